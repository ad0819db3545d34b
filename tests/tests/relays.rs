//! Clients behind relay agents that people use: the server knows their network by the relay, and
//! them by where they are plugged in.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Client, Program};
use xdhcpd_tests::conversation::{self, Form, Said};
use xdhcpd_tests::frames::Reply;
use xdhcpd_tests::netns::CLIENT_MAC;
use xdhcpd_tests::relays::{Kind, RELAY, RELAY_NEAR, Row};
use xdhcpd_tests::skip;
use xdhcpd_tests::wait::{SOON, until_true};

/// The relay has an address on each of its links, and speaks from the one or the other.
const NETWORKS: &str = "
  - {name: near, interface: s0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
  - name: far
    interface: s0
    subnet: 10.8.0.0/24
    ranges: [10.8.0.100-10.8.0.110]
    gateway: 10.8.0.1
    relays: [10.8.0.1, 10.9.0.1]
    leaseTime: 30s
    renewTime: 4s
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 100);
const US: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

fn can_run(kind: Kind, programs: &[Program]) -> bool {
    let test = skip::this_test();
    skip::is_root(&test)
        && kind.is_there(&test)
        && programs.iter().all(|program| program.is_there(&test))
        && skip::is_there(&test, "tshark", "tshark")
}

/// Two clients one after the other: a new lease, the same again, a renewal by unicast that the relay
/// has no part in, and a release.
fn serves_clients(kind: Kind) -> Result<()> {
    const PROGRAMS: [Program; 2] = [Program::Dhclient, Program::Udhcpc];
    if !can_run(kind, &PROGRAMS) {
        return Ok(());
    }
    let mut row = Row::new()?;
    let server = row.serve(NETWORKS)?;
    let capture = Capture::start(&row.near.client, "c0")?;
    row.relay(kind)?;
    for program in PROGRAMS {
        let before = server.answered()?;
        let lease = clients::obtain(program, &row.client, "far0")?;
        ensure!((lease.ip, lease.server, lease.router) == (FIRST, US, Some(RELAY)), "{lease:?}");
        let since = server.answered()?.since(before);
        ensure!(since.is_a_new_clients(), "{program:?}: {since:?}");

        let before = server.answered()?;
        let mut client = Client::start(program, &row.client, "far0")?;
        ensure!(client.lease()?.ip == FIRST);
        let since = server.answered()?.since(before);
        ensure!(since.is_a_known_clients(), "{program:?}: {since:?} {:#}", server.json("stats")?);

        // A renewal is the client's own unicast, routed by the relay's host.
        row.client.ip(&format!("route replace default via {RELAY}"))?;
        let before = server.answered()?;
        ensure!(client.renew()?.ip == FIRST);
        let since = server.answered()?.since(before);
        // ISC's relay listens on raw sockets, and passes on what is routed past it as well; udhcpc can
        // miss an answer and ask again.
        ensure!(since.agent.1 >= 1 && since.agent.0 + since.kernel.0 == 0, "{program:?}: {since:?}");

        client.release(&row.client)?;
        until_true("the lease to be released", SOON, || Ok(server.lease(FIRST)?["state"] == "released"))?;
        ensure!(server.lease(FIRST)?["network"] == "far");
        row.client.ip("address flush dev far0")?;
    }
    let captured = capture.finish()?;
    let said = conversation::of(&captured.frames);
    for said in &said {
        is_of_this_kind(kind, said)?;
    }
    ensure!(!said.iter().any(|said| said.form() == Form::Nak));
    let replies = said.iter().filter(|said| matches!(said, Said::Answered(_))).count();
    ensure!(captured.judge()? == replies && replies >= 10, "{replies} replies");
    Ok(())
}

/// What the relay adds to a request, and that a reply gives back: `giaddr` and option 82.
fn is_of_this_kind(kind: Kind, said: &Said) -> Result<()> {
    let (giaddr, information) = match said {
        Said::Asked(request) => (request.facts.giaddr, request.relay_info()),
        Said::Answered(reply) => (giaddr(reply), reply.option(82)),
    };
    // What is routed past it, a relay that sees it all the same takes for its upper link's.
    if giaddr == [0; 4] || said.is_of_an_address() {
        return Ok(());
    }
    let expected = if kind == Kind::IscWithLinkSelection { RELAY_NEAR } else { RELAY };
    ensure!(Ipv4Addr::from(giaddr) == expected, "{kind:?}: {said:?}");
    let begins: Option<&[u8]> = match kind {
        Kind::Isc | Kind::Dnsmasq => None,
        Kind::IscWithCircuit => Some(&[1, 2, b'r', b'0']),
        Kind::IscWithLinkSelection => Some(&[5, 4, 10, 8, 0, 1]),
    };
    let is_right = match (begins, information) {
        (None, None) => true,
        (Some(begins), Some(sent)) => sent.windows(begins.len()).any(|part| part == begins),
        _ => false,
    };
    ensure!(is_right, "{kind:?}: {said:?}");
    Ok(())
}

fn giaddr(reply: &Reply) -> [u8; 4] {
    reply.field(xdhcpd_common::frame::bootp::GIADDR, 4).try_into().unwrap_or_default()
}

#[test]
fn c10_clients_behind_iscs_relay_live_on_a_network_of_their_own() -> Result<()> {
    serves_clients(Kind::Isc)
}

#[test]
fn c10_clients_behind_dnsmasqs_relay_live_on_a_network_of_their_own() -> Result<()> {
    serves_clients(Kind::Dnsmasq)
}

#[test]
fn c51_a_relay_that_names_the_circuit_gets_it_back_from_agent_and_kernel() -> Result<()> {
    serves_clients(Kind::IscWithCircuit)
}

#[test]
fn c52_a_relay_on_the_servers_link_that_names_the_clients_gets_addresses_of_that() -> Result<()> {
    serves_clients(Kind::IscWithLinkSelection)
}

/// By MAC and client-id first, by the circuit last; inside of the pool and outside.
const RESERVED: &str = r#"
    reservations:
      - {mac: "02:00:00:00:00:33", ip: 10.8.0.105, hostName: by-mac}
      - {clientId: "01:02:00:00:00:00:01", ip: 10.8.0.20, hostName: by-id}
      - {circuitId: "72:30", ip: 10.8.0.30, hostName: by-circuit, options: {dns: [10.8.0.53]}}
"#;

#[test]
fn c53_reservations_by_mac_client_id_and_circuit_hold_through_a_relay_with_option_82() -> Result<()> {
    let kind = Kind::IscWithCircuit;
    if !can_run(kind, &[Program::Dhclient, Program::Udhcpc]) {
        return Ok(());
    }
    let mut row = Row::new()?;
    let server = row.serve(&format!("{}{RESERVED}", NETWORKS.trim_end()))?;
    row.relay(kind)?;
    let expected = [
        // udhcpc names itself by its hardware address, dhclient not at all.
        (Program::Udhcpc, CLIENT_MAC, [10, 8, 0, 20], "by-id"),
        (Program::Dhclient, CLIENT_MAC, [10, 8, 0, 30], "by-circuit"),
        (Program::Dhclient, "02:00:00:00:00:33", [10, 8, 0, 105], "by-mac"),
    ];
    for (program, mac, ip, name) in expected {
        row.client.ip(&format!("link set far0 address {mac}"))?;
        for turn in ["first", "second"] {
            let mut client = Client::start(program, &row.client, "far0")?;
            let lease = client.lease()?;
            ensure!(lease.ip == Ipv4Addr::from(ip), "{name}, {turn} time: {lease:?}");
            let said = lease.variables.get("new_host_name").or(lease.variables.get("hostname"));
            ensure!(said.is_some_and(|said| said == name), "{name}, {turn} time: {lease:?}");
            ensure!((lease.dns == [Ipv4Addr::new(10, 8, 0, 53)]) == (name == "by-circuit"), "{lease:?}");
        }
        ensure!(server.lease(Ipv4Addr::from(ip))?["mac"] == mac);
    }
    Ok(())
}
