//! What operators do to a running agent: new configurations, releases, and looking at it.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::exchange::{self, address, from_client, is_met_with_silence, message};
use xdhcpd_tests::frames::{EVERYBODY, FrameBuilder};
use xdhcpd_tests::netns::{CLIENT_MAC, Pair};
use xdhcpd_tests::server::{Agent, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
    offerHold: 60s
    options: {dns: [10.9.0.53]}
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
/// The client's end of the link itself.
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn can_run() -> bool {
    skip::is_root(&skip::this_test())
}

#[test]
fn c60_a_changed_option_reaches_a_known_client_at_its_next_message() -> Result<()> {
    if !can_run() || !Program::Udhcpc.is_there(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    let known = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    assert_eq!(known.dns, [Ipv4Addr::new(10, 9, 0, 53)]);

    server.write_config(&NETWORK.replace("10.9.0.53", "10.9.0.99"), "")?;
    server.signal("HUP")?;
    server.wait_for_log("the configuration is served")?;
    let before = server.answered()?;
    for turn in ["first", "second"] {
        let lease = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
        assert_eq!(lease.ip, FIRST);
        assert_eq!(lease.dns, [Ipv4Addr::new(10, 9, 0, 99)], "{turn} time after the change");
    }
    let since = server.answered()?.since(before);
    assert!(since.kernel.0 >= 1 && since.kernel.1 >= 1, "the kernel has the new options: {since:?}");
    Ok(())
}

#[test]
fn a_bad_new_file_changes_nothing_and_says_so() -> Result<()> {
    if !can_run() || !Program::Udhcpc.is_there(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    let before = server.answered()?;
    server.write_config(&NETWORK.replace("10.9.0.100-10.9.0.110", "10.8.0.100-10.8.0.110"), "")?;
    server.signal("HUP")?;
    server.wait_for_log("the configuration stays as it was")?;
    assert!(server.log().contains("networks[0].ranges[0]"), "it names the place");
    let lease = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    assert_eq!((lease.ip, lease.dns), (FIRST, vec![Ipv4Addr::new(10, 9, 0, 53)]));
    let since = server.answered()?.since(before);
    assert!(since.is_a_known_clients(), "{since:?}");
    assert!(server.stop("TERM")?.success(), "it still ran");
    Ok(())
}

#[test]
fn a_released_address_goes_to_another_client_and_never_again_to_the_old_one() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let one_address = NETWORK.replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.100");
    let server = Server::start(&pair.server, &one_address)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST);
    assert!(is_met_with_silence(&tap, &from_client(message::DISCOVER, TWO))?, "it is another's");

    let output = server.run(&["release", "10.9.0.100"])?;
    assert!(output.status.success(), "{output:?}");
    assert_ne!(server.lease(FIRST)?["state"], "bound");
    let before = server.answered()?;
    let [offer, ack] = exchange::obtain(&tap, TWO, |frame| frame)?;
    assert_eq!((address(&offer), address(&ack)), (FIRST, FIRST));

    // The old client asks for what it had, in every way it can.
    let renewing = from_client(message::REQUEST, ONE).unicast(FIRST.octets(), [10, 9, 0, 2]);
    let renewing = renewing.with(|frame| frame.destination = [0xff; 6]);
    let rebooting = from_client(message::REQUEST, ONE).option(50, &FIRST.octets());
    for frame in [from_client(message::DISCOVER, ONE), renewing, rebooting] {
        tap.send(&frame.build())?;
        let reply = exchange::reply_to(&tap, &frame, exchange::SILENCE)?;
        let kind = reply.as_ref().and_then(|reply| reply.option(53)?.first().copied());
        assert!(matches!(kind, None | Some(message::NAK)), "{reply:?}");
    }
    let since = server.answered()?.since(before);
    assert!(since.is_a_new_clients(), "only the new client was answered: {since:?}");
    let lease = server.lease(FIRST)?;
    assert_eq!(lease["mac"], "02:00:00:00:01:02");
    assert_eq!(lease["state"], "bound");
    Ok(())
}

#[test]
fn release_takes_a_mac_too_and_says_when_there_is_nothing_to_release() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(server.run(&["release", "02:00:00:00:01:01"])?.status.success());
    until_true("the lease to be gone", SOON, || Ok(server.lease(FIRST)?["state"] != "bound"))?;
    for unknown in ["10.9.0.109", "02:00:00:00:01:09"] {
        let output = server.run(&["release", unknown])?;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(unknown), "{output:?}");
    }
    Ok(())
}

/// The answer to `release`, as far as people see it.
fn release(server: &Server, words: &[&str]) -> Result<(Option<i32>, String)> {
    let output = server.run(&[&["release"], words].concat())?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn a_client_that_still_answers_keeps_its_address_unless_forced() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, CLIENT, |frame| frame)?;
    pair.client.ip("address add 10.9.0.100/24 dev c0")?;
    for target in ["10.9.0.100", CLIENT_MAC] {
        let (code, said) = release(&server, &[target])?;
        let stays = format!("10.9.0.100 stays leased: its client {CLIENT_MAC} still answers; --force");
        assert!(code == Some(1) && said.contains(&stays), "{code:?} {said}");
    }
    assert_eq!(server.lease(FIRST)?["state"], "bound");
    assert!(server.lease(FIRST)?["inKernel"] == true, "nothing else changed");
    assert_eq!(release(&server, &["10.9.0.100", "--force"])?, (Some(0), String::new()));
    assert_eq!(server.lease(FIRST)?["state"], "released");
    Ok(())
}

#[test]
fn a_stranger_that_uses_the_address_keeps_it_from_being_given_back() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    pair.client.ip("address add 10.9.0.100/24 dev c0")?;
    let (code, said) = release(&server, &["10.9.0.100"])?;
    let stranger = format!("{CLIENT_MAC}, which is not its client, answers for it");
    assert!(code == Some(1) && said.contains(&stranger), "{code:?} {said}");
    assert_eq!(server.lease(FIRST)?["state"], "bound");
    Ok(())
}

#[test]
fn a_client_that_cannot_be_asked_keeps_its_address_unless_forced() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    // Takes the other end's carrier away.
    pair.client.ip("link set c0 down")?;
    let (code, said) = release(&server, &["10.9.0.100"])?;
    assert!(code == Some(1) && said.contains("cannot be told"), "{code:?} {said}");
    // The kernel says so of the interface, or the interface takes no frame, whichever comes first.
    assert!(said.contains("interface s0"), "{said}");
    assert_eq!(server.lease(FIRST)?["state"], "bound");
    assert_eq!(release(&server, &["10.9.0.100", "--force"])?.0, Some(0));
    Ok(())
}

#[test]
fn nobody_waits_while_a_silent_holder_is_asked() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, "fastPath: {mode: off}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    let mut release = server.command(&["release", "10.9.0.100"]).spawn()?;
    let mut slowest = Duration::ZERO;
    let status = loop {
        let asked = Instant::now();
        exchange::obtain(&tap, TWO, |frame| frame)?;
        slowest = slowest.max(asked.elapsed());
        if let Some(status) = release.try_wait()? {
            break status;
        }
    };
    assert!(status.success());
    assert!(slowest < Duration::from_millis(250), "{slowest:?}: less than one question takes");
    Ok(())
}

#[test]
fn behind_a_relay_a_client_that_answers_a_ping_keeps_its_address() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.client.ip("address add 10.9.0.1/24 dev c0")?;
    pair.client.ip("address add 10.8.0.100/32 dev lo")?;
    pair.client.ip("link set lo up")?;
    pair.server.ip("route add 10.8.0.0/24 via 10.9.0.1")?;
    let remote = NETWORK.replace("10.9.0.", "10.8.0.");
    let remote = remote.replace("probe: false", "probe: false\n    relays: [10.8.0.1]");
    let server = Server::start(&pair.server, &remote)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let relayed = |frame: FrameBuilder| {
        frame.relayed([10, 8, 0, 1], [10, 9, 0, 2]).with(|frame| frame.destination = EVERYBODY)
    };
    exchange::obtain(&tap, ONE, relayed)?;
    let (code, said) = release(&server, &["10.8.0.100"])?;
    assert!(code == Some(1) && said.contains("still answers"), "{code:?} {said}");
    pair.client.ip("address del 10.8.0.100/32 dev lo")?;
    assert_eq!(release(&server, &["10.8.0.100"])?.0, Some(0), "now it is silent");
    pair.server.ip("route del 10.8.0.0/24")?;
    exchange::obtain(&tap, TWO, relayed)?;
    let (code, said) = release(&server, &["02:00:00:00:01:02"])?;
    assert!(code == Some(1) && said.contains("no ping can be sent there"), "{code:?} {said}");
    Ok(())
}

#[test]
fn c46_a_kept_address_is_no_other_clients_until_the_operator_lets_it_go() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let one_address = NETWORK.replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.100");
    let network = one_address.replace("probe: false", "probe: false\n    keepAddresses: true");
    let mut server = Server::start(&pair.server, &network)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    let gives_back = from_client(message::RELEASE, ONE).unicast(FIRST.octets(), [10, 9, 0, 2]);
    let gives_back = gives_back.with(|frame| frame.destination = EVERYBODY).option(54, &[10, 9, 0, 2]);
    tap.send(&gives_back.build())?;
    until_true("the lease to be released", SOON, || Ok(server.lease(FIRST)?["state"] == "released"))?;
    for _ in ["before a restart", "and after it"] {
        assert!(is_met_with_silence(&tap, &from_client(message::DISCOVER, TWO))?, "it is the first one's");
        let pool = server.json("stats")?["networks"][0].clone();
        assert!(pool["kept"] == 1 && pool["remaining"] == 0, "{pool}");
        server.stop("TERM")?;
        server.restart(&pair.server)?;
    }
    assert_eq!(release(&server, &["02:00:00:00:01:01"])?, (Some(0), String::new()));
    server.stop("KILL")?;
    server.restart(&pair.server)?;
    let [_, ack] = exchange::obtain(&tap, TWO, |frame| frame)?;
    assert_eq!(address(&ack), FIRST);
    Ok(())
}

#[test]
fn c25_an_offer_that_is_not_taken_is_free_again_after_its_hold() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let network = NETWORK
        .replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.100")
        .replace("offerHold: 60s", "offerHold: 2s");
    let server = Server::start(&pair.server, &network)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let offer = exchange::ask(&tap, &from_client(message::DISCOVER, ONE))?;
    assert_eq!(address(&offer), FIRST);
    assert_eq!(server.lease(FIRST)?["state"], "offered");
    assert!(is_met_with_silence(&tap, &from_client(message::DISCOVER, TWO))?, "held for the first");
    let ack = until("the offer to be free again", SOON, || {
        let discover = from_client(message::DISCOVER, TWO);
        tap.send(&discover.build())?;
        exchange::reply_to(&tap, &discover, exchange::SILENCE)
    })?;
    assert_eq!(address(&ack), FIRST);
    let request = from_client(message::REQUEST, ONE).option(50, &FIRST.octets());
    let late = request.option(54, &[10, 9, 0, 2]);
    tap.send(&late.build())?;
    let reply = exchange::reply_to(&tap, &late, exchange::SILENCE)?;
    let kind = reply.as_ref().and_then(|reply| reply.option(53)?.first().copied());
    assert_ne!(kind, Some(message::ACK), "it is offered to the second now");
    Ok(())
}

#[test]
fn c48_a_bootp_client_gets_its_reservation_and_its_system_the_same_by_dhcp() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let network = format!(
        "{NETWORK}    bootp: true\n    boot: {{file: vmunix}}\n    \
         reservations: [{{mac: \"02:00:00:00:01:01\", ip: 10.9.0.5}}]\n"
    );
    let server = Server::start(&pair.server, &network)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let bootp = |mac| from_client(0, mac).without_options();
    let reply = exchange::ask(&tap, &bootp(ONE))?;
    assert_eq!((address(&reply), reply.message.len()), (Ipv4Addr::new(10, 9, 0, 5), 300));
    assert_eq!(reply.message[108..115], *b"vmunix\0");
    assert!(reply.codes().iter().all(|code| !(50..=61).contains(code)), "{:?}", reply.codes());
    assert!(is_met_with_silence(&tap, &bootp(TWO))?, "it has no reservation");
    let lease = server.lease(Ipv4Addr::new(10, 9, 0, 5))?;
    assert_eq!((&lease["state"], &lease["expires"]), (&"bound".into(), &serde_json::Value::Null));
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), Ipv4Addr::new(10, 9, 0, 5));
    Ok(())
}

#[test]
fn an_interface_that_is_missing_or_down_is_named() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.server.ip("link add d0 type veth peer name d1")?;
    pair.server.ip("address add 10.9.0.3/24 dev d0")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.yaml");
    for (interface, said) in [("s9", "s9 does not exist"), ("d0", "is down")] {
        let networks = NETWORK.replace("interface: s0", &format!("interface: {interface}"));
        let name = format!("xdhcpd-test-{}-named", std::process::id());
        let leases = folder.path().display();
        fs::write(&file, format!("name: {name}\nleases: {{dir: {leases}}}\nnetworks:{networks}"))?;
        for command in ["check", "run"] {
            let mut command =
                pair.server.command(Agent::binary()).arg(command).arg("--config").arg(&file).output()?;
            command.stdout.append(&mut command.stderr);
            let text = String::from_utf8_lossy(&command.stdout);
            assert_eq!(command.status.code(), Some(1), "{text}");
            assert!(text.contains("networks[0].interface") && text.contains(said), "{text}");
        }
        // The file itself is right: it may be meant for another machine.
        let mut check = pair.server.command(Agent::binary());
        assert!(check.args(["check", "--no-host", "--config"]).arg(&file).output()?.status.success());
    }
    Ok(())
}
