//! What the lab prints: two exchanges of a real client, who answered them and how fast.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::interrupt;
use xdhcpd_tests::netns::succeed;
use xdhcpd_tests::server::{Agent, Answered};
use xdhcpd_tests::wait;

use crate::exchanges::{Times, times};
use crate::scene::{CLIENT, FOLDER, NAME, SERVER, Scene};

/// One exchange: who answered, and how fast.
struct Exchange {
    answered: Answered,
    times: Times,
}

/// Runs the client twice and prints what happened.
pub fn tell(scene: &Scene) -> Result<()> {
    let stats = scene.agent().json("stats")?;
    if stats["kernel"]["attached"] != true {
        bail!(
            "the program is not attached to s0; the agent's log:\n{}",
            std::fs::read_to_string(format!("{FOLDER}/log"))?
        );
    }
    println!("{:<10}{:<14}{:>12}    {:<14}{:>12}", "exchange", "OFFER by", "after", "ACK by", "after");
    for name in ["first", "second"] {
        let Exchange { answered, times } = exchange(scene)?;
        println!(
            "{name:<10}{:<14}{:>12}    {:<14}{:>12}",
            who(answered.kernel.0, answered.agent.0),
            shown(times.offer),
            who(answered.kernel.1, answered.agent.1),
            shown(times.ack),
        );
    }
    println!(
        "\nThe first time the agent chose an address, wrote it to disk and into the kernel's map, and offered it.\n\
         The second time the kernel knew the client, and answered by itself."
    );
    print_command(scene.agent(), "leases")?;
    print_command(scene.agent(), "stats")
}

/// One run of a client that knows of no lease, watched on its interface.
fn exchange(scene: &Scene) -> Result<Exchange> {
    let before = scene.agent().answered()?;
    let capture = Capture::start(scene.client(), "c0")?;
    let lease = clients::obtain(Program::Udhcpc, scene.client(), "c0")?;
    let frames = capture.finish()?.frames;
    let times =
        times(&frames).with_context(|| format!("the capture lacks a part of {}'s exchange", lease.ip))?;
    // The agent counts a moment after it has answered.
    let answered = wait::until("both replies to be counted", wait::SOON, || {
        let answered = scene.agent().answered()?.since(before);
        let complete = answered.kernel.0 + answered.agent.0 >= 1 && answered.kernel.1 + answered.agent.1 >= 1;
        Ok((complete || interrupt::came()).then_some(answered))
    })?;
    Ok(Exchange { answered, times })
}

fn who(kernel: u64, agent: u64) -> &'static str {
    match (kernel, agent) {
        (1.., 0) => "the kernel",
        (0, 1..) => "the agent",
        (0, 0) => "nobody",
        _ => "both",
    }
}

fn shown(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

fn print_command(agent: &Agent, command: &str) -> Result<()> {
    println!("\n$ xdhcpd {command} --name {NAME}");
    let output = succeed(&mut agent.command(&[command]))?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// What to type in a lab that stays.
pub fn how_to_look_around() {
    let agent = Agent::binary().canonicalize().unwrap_or_else(|_| Agent::binary());
    let agent = agent.display();
    let pins = Agent::named(NAME).pins();
    let pins = pins.display();
    println!(
        "
The lab stays up. To look around in it:

  who has which address, who answered what:
    {agent} leases --name {NAME}
    {agent} stats --name {NAME} --watch
  another exchange, as another client if you change the hardware address:
    nsenter --net=/run/netns/{CLIENT} ip link set c0 address 02:00:00:00:00:02
    nsenter --net=/run/netns/{CLIENT} udhcpc -f -q -n -i c0 -s /bin/true
  a shell on either side (nsenter keeps /sys/fs/bpf in sight, which `ip netns exec` does not):
    nsenter --net=/run/netns/{SERVER}
    nsenter --net=/run/netns/{CLIENT}
  what the kernel knows:
    bpftool map dump pinned {pins}/LEASES
    bpftool map dump pinned {pins}/COUNTERS
    bpftool prog show pinned {pins}/program
  configuration, log and leases:
    ls {FOLDER}

To take it down:
    cargo xtask lab --down"
    );
}
