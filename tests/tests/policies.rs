//! What an operator decides about addresses that are not plainly a client's: held offers, declined
//! addresses, strangers, and pools that are for known machines alone.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use xdhcpd_tests::exchange::{self, SILENCE, address, ask, from_client, is_met_with_silence, message};
use xdhcpd_tests::frames::{BROADCAST, FrameBuilder, Reply};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.102]
    leaseTime: 1h
    declineHold: 8s
    probe: false
";

/// Longer than a test takes to look at what is out of use, on a busy machine too.
const DECLINE_HOLD: Duration = Duration::from_secs(8);
const US: [u8; 4] = [10, 9, 0, 2];
const OTHER_SERVER: [u8; 4] = [10, 9, 0, 3];
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 9, 9];
const DECLINE: u8 = 4;

struct Scene {
    _pair: Pair,
    server: Server,
    tap: Tap,
}

/// None where it cannot be laid out, which is noted.
fn scene(network: &str) -> Result<Option<Scene>> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(None);
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, network)?;
    let tap = Tap::open(&pair.client, "c0")?;
    Ok(Some(Scene { _pair: pair, server, tap }))
}

impl Scene {
    fn obtain(&self, mac: [u8; 6]) -> Result<Ipv4Addr> {
        let [offer, ack] = exchange::obtain(&self.tap, mac, |frame| frame)?;
        assert_eq!(address(&offer), address(&ack));
        Ok(address(&ack))
    }

    fn decline(&self, mac: [u8; 6], ip: Ipv4Addr, server: [u8; 4]) -> Result<()> {
        let frame = from_client(DECLINE, mac).option(50, &ip.octets()).option(54, &server);
        self.tap.send(&frame.build())
    }

    fn state(&self, ip: Ipv4Addr) -> Result<String> {
        Ok(self.server.lease(ip)?["state"].as_str().unwrap_or_default().to_owned())
    }

    fn wait_for(&self, ip: Ipv4Addr, state: &str) -> Result<()> {
        until_true(&format!("{ip} to be {state}"), SOON, || Ok(self.state(ip)? == state))
    }

    /// Sends a request that is refused, or met with silence.
    fn is_refused(&self, frame: &FrameBuilder) -> Result<bool> {
        self.tap.send(&frame.build())?;
        let Some(reply) = exchange::reply_to(&self.tap, frame, SILENCE)? else { return Ok(false) };
        assert_is_a_broadcast_nak(&reply);
        Ok(true)
    }
}

fn assert_is_a_broadcast_nak(reply: &Reply) {
    assert_eq!(reply.option(53), Some(&[message::NAK][..]));
    assert_eq!((reply.to, address(reply)), (BROADCAST, Ipv4Addr::UNSPECIFIED));
    assert!(reply.option(51).is_none() && reply.option(54) == Some(&US[..]));
}

fn reboot(mac: [u8; 6], ip: [u8; 4]) -> FrameBuilder {
    from_client(message::REQUEST, mac).option(50, &ip)
}

fn rebinding(mac: [u8; 6], ip: [u8; 4]) -> FrameBuilder {
    from_client(message::REQUEST, mac).with(|frame| (frame.ciaddr, frame.from) = (ip, ip))
}

#[test]
fn c45_a_declined_address_is_out_of_use_for_its_hold_and_then_free_again() -> Result<()> {
    let Some(scene) = scene(&NETWORK.replace("100-10.9.0.102", "100-10.9.0.100"))? else { return Ok(()) };
    assert_eq!(scene.obtain(ONE)?, FIRST);
    let began = Instant::now();
    scene.decline(ONE, FIRST, US)?;
    scene.wait_for(FIRST, "declined")?;
    assert_eq!(scene.server.json("stats")?["networks"][0]["declined"], 1);
    // Nobody gets it, nor does the kernel answer who had it.
    for mac in [ONE, TWO] {
        assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, mac))?);
    }
    let offer = until("the address to be free", SOON, || {
        let discover = from_client(message::DISCOVER, TWO);
        scene.tap.send(&discover.build())?;
        exchange::reply_to(&scene.tap, &discover, SILENCE)
    })?;
    assert_eq!(address(&offer), FIRST);
    assert!(began.elapsed() >= DECLINE_HOLD, "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn c45_nobody_declines_what_is_not_his() -> Result<()> {
    let Some(scene) = scene(NETWORK)? else { return Ok(()) };
    let ip = scene.obtain(ONE)?;
    scene.decline(STRANGER, ip, US)?;
    scene.decline(ONE, ip, OTHER_SERVER)?;
    scene.decline(STRANGER, Ipv4Addr::new(10, 9, 0, 101), US)?;
    until_true("all to be ignored", SOON, || {
        let ignored = &scene.server.json("stats")?["agent"]["ignored"];
        Ok(ignored
            .as_object()
            .is_some_and(|all| all.values().filter_map(serde_json::Value::as_u64).sum::<u64>() == 3))
    })?;
    assert_eq!(scene.state(ip)?, "bound");
    let before = scene.server.answered()?;
    assert_eq!(scene.obtain(ONE)?, ip);
    let since = scene.server.answered()?.since(before);
    assert!(since.is_a_known_clients(), "the kernel answers it as before: {since:?}");
    Ok(())
}

#[test]
fn c45_a_client_that_declines_all_there_is_takes_the_pool_for_a_while_and_no_longer() -> Result<()> {
    let Some(scene) = scene(NETWORK)? else { return Ok(()) };
    for _ in 100..=102 {
        let ip = scene.obtain(STRANGER)?;
        scene.decline(STRANGER, ip, US)?;
        scene.wait_for(ip, "declined")?;
    }
    assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, ONE))?);
    scene.server.wait_for_log("the pool is empty")?;
    until_true("the pool to be free again", SOON, || {
        Ok(scene.server.json("stats")?["networks"][0]["remaining"] == 3)
    })?;
    scene.obtain(ONE)?;
    Ok(())
}

#[test]
fn c30_an_offer_is_free_at_once_when_its_client_takes_another_servers() -> Result<()> {
    let Some(scene) = scene(&NETWORK.replace("100-10.9.0.102", "100-10.9.0.100"))? else { return Ok(()) };
    assert_eq!(address(&ask(&scene.tap, &from_client(message::DISCOVER, ONE))?), FIRST);
    assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, TWO))?, "it is held");
    let elsewhere = from_client(message::REQUEST, ONE).option(54, &OTHER_SERVER).option(50, &[10, 9, 0, 55]);
    assert!(is_met_with_silence(&scene.tap, &elsewhere)?);
    assert_eq!(scene.obtain(TWO)?, FIRST);
    Ok(())
}

#[test]
fn c34_c37_strangers_are_refused_only_where_the_network_is_authoritative() -> Result<()> {
    for authoritative in [false, true] {
        let network = format!("{}    authoritative: {authoritative}\n", NETWORK.trim_start_matches('\n'));
        let Some(scene) = scene(&format!("\n{network}"))? else { return Ok(()) };
        let ip = scene.obtain(ONE)?.octets();
        let free = [10, 9, 0, 102];
        let elsewhere = [192, 168, 1, 5];
        for frame in [
            reboot(STRANGER, free),
            reboot(STRANGER, ip),
            reboot(STRANGER, elsewhere),
            rebinding(STRANGER, free),
            rebinding(STRANGER, ip),
        ] {
            assert_eq!(scene.is_refused(&frame)?, authoritative, "{frame:?}");
        }
        // Whom we know we refuse in any case: it is ours to say what it has.
        assert!(scene.is_refused(&reboot(ONE, free))?);
        assert!(scene.is_refused(&reboot(ONE, elsewhere))?);
        assert_eq!(scene.is_refused(&rebinding(ONE, free))?, authoritative);
        assert_eq!(address(&ask(&scene.tap, &reboot(ONE, ip))?).octets(), ip, "and what is its own it gets");
    }
    Ok(())
}

/// Inside of the range and outside of it; the range itself is for nobody.
const RESERVED: &str = r#"
    reservedOnly: true
    reservations:
      - {mac: "02:00:00:00:01:01", ip: 10.9.0.100, hostName: inside}
      - {clientId: "ff:00:11:22:33", ip: 10.9.0.20, hostName: outside}
"#;

#[test]
fn c21_a_pool_for_reservations_alone_serves_nobody_else() -> Result<()> {
    let Some(scene) = scene(&format!("{}{RESERVED}", NETWORK.trim_end()))? else { return Ok(()) };
    assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, STRANGER))?);
    assert_eq!(scene.server.json("stats")?["agent"]["ignored"]["not_reserved"], 1);
    let named = |frame: FrameBuilder| frame.option(61, &[0xff, 0, 0x11, 0x22, 0x33]);
    for turn in ["first", "second"] {
        assert_eq!(scene.obtain(ONE)?, FIRST, "{turn} time");
        let [_, ack] = exchange::obtain(&scene.tap, TWO, named)?;
        assert_eq!(address(&ack), Ipv4Addr::new(10, 9, 0, 20), "{turn} time");
        assert_eq!(ack.option(12), Some(&b"outside"[..]));
    }
    // The same machine without its name is nobody.
    assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, TWO))?);
    assert!(!scene.is_refused(&reboot(STRANGER, [10, 9, 0, 101]))?);
    Ok(())
}
