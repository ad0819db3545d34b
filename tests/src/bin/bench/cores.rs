//! Which core runs what, and how long it took there.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::ProgramInfo;
use rustix::thread::{CpuSet, sched_setaffinity};
use xdhcpd_tests::netns::NetNs;

/// Where servers run.
pub const SERVER: usize = 0;
/// Where who asks them runs; on a machine of one core that is the same one.
pub const CLIENT: usize = 1;

/// Runs `work` on a core; what it starts stays there. Then this thread goes to the client's.
pub fn on<T>(core: usize, work: impl FnOnce() -> T) -> Result<T> {
    stay_on(core)?;
    let done = work();
    stay_on(CLIENT)?;
    Ok(done)
}

/// Keeps this thread on a core.
fn stay_on(core: usize) -> Result<()> {
    let cores = fs::read_to_string("/proc/cpuinfo")?.lines().filter(|l| l.starts_with("processor")).count();
    let mut set = CpuSet::new();
    set.set(core.min(cores.saturating_sub(1)));
    sched_setaffinity(None, &set).context("cannot stay on one core")
}

/// How long all processes in a namespace have run so far, on all cores.
pub fn time_of(namespace: &NetNs) -> Duration {
    let tasks = namespace
        .processes()
        .into_iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok());
    let times = tasks.flatten().flatten().filter_map(|task| {
        // Nanoseconds on a core come first (sched-stats.rst); a thread may end meanwhile.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    times.map(Duration::from_nanos).sum()
}

/// How long a pinned program has run so far, while the kernel keeps count, and how often.
pub fn time_of_program(pin: &Path) -> Result<(Duration, u64)> {
    let info = ProgramInfo::from_pin(pin).with_context(|| format!("no program at {}", pin.display()))?;
    Ok((info.run_time(), info.run_count()))
}

/// The bytes that a pinned map takes in the kernel.
pub fn size_of_map(pin: &Path) -> Result<u64> {
    let map = aya::maps::MapData::from_pin(pin).with_context(|| format!("no map at {}", pin.display()))?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
    let value = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
    Ok(value.trim().parse()?)
}

/// The bytes of memory that all processes in a namespace hold for themselves.
pub fn memory_of(namespace: &NetNs) -> u64 {
    let sizes = namespace.processes().into_iter().filter_map(|process| {
        let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    sizes.sum::<u64>() * 1024
}
