//! Limits of the loader's CPU time and memory: set, and in force.

use anyhow::{Context as _, Result};

use crate::lab::{Lab, Setting};

const NETWORKS: &str = "
http: {listen: off}
networks:
  - {name: rack1, interface: eth0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
";

/// The folder of the control group that the loader is in.
fn group_of_loader(lab: &mut Lab) -> Result<String> {
    let loader = lab.run("cat /proc/$(cat /tmp/agent)/task/*/children")?;
    let groups = lab.run(&format!("cat /proc/{}/cgroup", loader.trim()))?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(format!("/sys/fs/cgroup{}", group.with_context(|| format!("no group in {groups}"))?))
}

#[test]
fn the_loader_gets_no_more_cpu_and_memory_than_it_may_have() -> Result<()> {
    let config = format!("loader: {{cpu: 100m, memory: 256Mi}}\n{NETWORKS}");
    let setting = Setting { config: &config, ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    let group = group_of_loader(&mut lab)?;
    assert_eq!(group, "/sys/fs/cgroup/xdhcpd.service/loader");
    assert_eq!(lab.run(&format!("cat {group}/cpu.max"))?.trim(), "10000 100000");
    assert_eq!(lab.run(&format!("cat {group}/memory.max"))?.trim(), "268435456");
    // Loading the program alone takes longer than its share of one period.
    let used = lab.run(&format!("cat {group}/cpu.stat"))?;
    let throttled = used.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    assert_ne!(throttled, Some("0"), "{used}");
    let agents = lab.run("cat /proc/$(cat /tmp/agent)/cgroup")?;
    assert_eq!(agents.trim(), "0::/xdhcpd.service/xdhcpd", "beside it, without limits");
    Ok(())
}

#[test]
fn a_loader_that_takes_more_memory_than_it_may_have_is_killed_which_is_said_and_comes_back() -> Result<()> {
    let config = format!("loader: {{memory: 64Mi, minInterval: 1s}}\n{NETWORKS}");
    let setting = Setting { config: &config, ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    let group = group_of_loader(&mut lab)?;
    assert_eq!(lab.run(&format!("cat {group}/memory.max"))?.trim(), (64 << 20).to_string());
    // It does with what may be configured; so it gets less than that.
    lab.run(&format!("echo 1M >{group}/memory.max"))?;
    lab.becomes("the loader to be started again", |stats| {
        stats["loader"]["state"] == "running" && stats["loader"]["restarts"] == 1
    })?;
    let log = lab.log();
    assert!(log.contains("(SIGKILL)): it took all the memory that its limit allows"), "{log}");
    let group = group_of_loader(&mut lab)?;
    assert_eq!(lab.run(&format!("cat {group}/memory.max"))?.trim(), (64 << 20).to_string());
    Ok(())
}
