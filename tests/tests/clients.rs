//! Real clients get leases: the first time from the agent, then from the kernel, and tshark finds
//! nothing to object to in either's replies.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Client, Program};
use xdhcpd_tests::netns::{CLIENT_MAC, Pair};
use xdhcpd_tests::server::{Answered, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::wait::{SOON, until, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    gateway: 10.9.0.1
    leaseTime: 1h
    probe: false
    options: {dns: [10.9.0.53, 10.9.0.54], domainName: example.org, mtu: 1400}
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const US: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Whether a test can run; else it is noted as skipped.
fn can_run(programs: &[Program]) -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && programs.iter().all(|program| program.is_there(&test))
}

/// The client's first exchange is the agent's, the second the kernel's, and both say the same.
fn is_served_by_the_agent_then_by_the_kernel(program: Program) -> Result<()> {
    if !can_run(&[program]) || !skip::is_there(&skip::this_test(), "tshark", "tshark") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let capture = Capture::start(&pair.client, "c0")?;

    let first = clients::obtain(program, &pair.client, "c0")?;
    assert_eq!((first.ip, first.server, first.seconds), (FIRST, US, 3600));
    assert_eq!(first.router, Some(Ipv4Addr::new(10, 9, 0, 1)));
    assert_eq!(first.dns, [Ipv4Addr::new(10, 9, 0, 53), Ipv4Addr::new(10, 9, 0, 54)]);
    let after_first = server.answered()?;
    assert!(after_first.is_a_new_clients(), "{after_first:?}");
    let lease = server.lease(FIRST)?;
    assert_eq!(lease["mac"], CLIENT_MAC);
    assert_eq!(lease["network"], "rack1");
    assert_eq!(lease["state"], "bound");
    assert_eq!(lease["inKernel"], true);

    let second = clients::obtain(program, &pair.client, "c0")?;
    assert_eq!((second.ip, second.server, second.seconds), (FIRST, US, 3600));
    assert_eq!((second.router, &second.dns), (first.router, &first.dns));
    let by_kernel = server.answered()?.since(after_first);
    assert!(by_kernel.is_a_known_clients(), "{by_kernel:?} {:#}", server.json("stats")?);
    until("the lease to be the kernel's", SOON, || {
        let lease = server.lease(FIRST)?;
        Ok((lease["lastAnsweredBy"] == "kernel" && lease["state"] == "bound").then_some(()))
    })?;

    assert_eq!(capture.finish()?.judge()?, 4);
    Ok(())
}

#[test]
fn dhclient_is_served_by_the_agent_then_by_the_kernel() -> Result<()> {
    is_served_by_the_agent_then_by_the_kernel(Program::Dhclient)
}

#[test]
fn udhcpc_is_served_by_the_agent_then_by_the_kernel() -> Result<()> {
    is_served_by_the_agent_then_by_the_kernel(Program::Udhcpc)
}

#[test]
fn dhcpcd_is_served_by_the_agent_then_by_the_kernel() -> Result<()> {
    is_served_by_the_agent_then_by_the_kernel(Program::Dhcpcd)
}

/// A renewal by unicast is answered in the kernel, which the lease table learns.
fn renews_in_the_kernel(program: Program) -> Result<()> {
    if !can_run(&[program]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let mut client = Client::start(program, &pair.client, "c0")?;
    assert_eq!(client.lease()?.ip, FIRST);
    let before = server.answered()?;
    let expires = server.lease(FIRST)?["expires"].clone();
    assert_eq!(client.renew()?.ip, FIRST);
    let since = server.answered()?.since(before);
    // udhcpc sends from a socket that it closes at once. On a veth pair the kernel's answer is back
    // before that, goes to that socket, and is lost: the client asks again, by broadcast.
    let asked = if program == Program::Udhcpc { 1..=2 } else { 1..=1 };
    assert!(asked.contains(&since.kernel.1) && since.agent == (0, 0), "{since:?}");
    until_true("the table to show the renewal", SOON, || {
        let lease = server.lease(FIRST)?;
        Ok(lease["lastAnsweredBy"] == "kernel" && lease["expires"].as_str() >= expires.as_str())
    })
}

#[test]
fn c35_udhcpc_renews_in_the_kernel() -> Result<()> {
    renews_in_the_kernel(Program::Udhcpc)
}

#[test]
fn c35_dhcpcd_renews_in_the_kernel() -> Result<()> {
    renews_in_the_kernel(Program::Dhcpcd)
}

#[test]
fn c35_dhclient_renews_in_the_kernel_at_its_t1() -> Result<()> {
    if !can_run(&[Program::Dhclient]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    // T1 is half of it.
    let server = Server::start(&pair.server, &NETWORK.replace("leaseTime: 1h", "leaseTime: 6s"))?;
    let mut client = Client::start(Program::Dhclient, &pair.client, "c0")?;
    assert_eq!(client.lease()?.seconds, 6);
    let before = server.answered()?;
    assert_eq!(client.lease()?.ip, FIRST);
    assert_eq!(server.answered()?.since(before), Answered { kernel: (0, 1), agent: (0, 0) });
    Ok(())
}

#[test]
fn c32_dhclient_that_starts_again_with_its_lease_is_answered_in_the_kernel() -> Result<()> {
    if !can_run(&[Program::Dhclient]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let mut client = Client::start(Program::Dhclient, &pair.client, "c0")?;
    client.lease()?;
    let before = server.answered()?;
    let mut client = client.start_again(&pair.client)?;
    assert_eq!(client.lease()?.ip, FIRST);
    assert_eq!(server.answered()?.since(before), Answered { kernel: (0, 1), agent: (0, 0) });
    Ok(())
}

/// What a client releases is free, and the kernel no longer answers for it.
fn releases(program: Program) -> Result<()> {
    if !can_run(&[program]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let mut client = Client::start(program, &pair.client, "c0")?;
    client.lease()?;
    client.release(&pair.client)?;
    until_true("the lease to be released", SOON, || {
        let lease = server.lease(FIRST)?;
        Ok(lease["state"] == "released" && lease["inKernel"] == false)
    })?;
    let before = server.answered()?;
    // It comes back to the same address, by way of the agent.
    assert_eq!(clients::obtain(program, &pair.client, "c0")?.ip, FIRST);
    let since = server.answered()?.since(before);
    assert!(since.is_a_new_clients(), "{since:?}");
    Ok(())
}

#[test]
fn c46_dhclient_releases_its_lease() -> Result<()> {
    releases(Program::Dhclient)
}

#[test]
fn c46_udhcpc_releases_its_lease() -> Result<()> {
    releases(Program::Udhcpc)
}

#[test]
fn c46_dhcpcd_releases_its_lease() -> Result<()> {
    releases(Program::Dhcpcd)
}

#[test]
fn c45_an_address_that_dhclient_declines_is_quarantined() -> Result<()> {
    if !can_run(&[Program::Dhclient]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let mut client = Client::start(Program::Dhclient, &pair.client, "c0")?;
    client.refuse_next()?;
    assert_eq!(client.lease()?.ip, Ipv4Addr::new(10, 9, 0, 101), "the next after the one refused");
    assert_eq!(server.lease(FIRST)?["state"], "declined");
    let stats = server.json("stats")?;
    assert_eq!(stats["networks"][0]["declined"], 1);
    Ok(())
}

#[test]
fn c45_an_address_that_answers_udhcpcs_probe_is_declined() -> Result<()> {
    if !can_run(&[Program::Udhcpc]) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    // Somebody has it already: the server's own kernel answers the client's ARP request.
    pair.server.ip("address add 10.9.0.100/32 dev s0")?;
    let mut client = Client::start_with(Program::Udhcpc, &pair.client, "c0", &["-a200"])?;
    assert_eq!(client.lease()?.ip, Ipv4Addr::new(10, 9, 0, 101));
    assert_eq!(server.lease(FIRST)?["state"], "declined");
    Ok(())
}
