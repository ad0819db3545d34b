//! What relays say that no relay here can be made to: by hand, on the server's link.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use xdhcpd_common::frame::bootp;
use xdhcpd_tests::exchange::{self, address, ask, from_client, is_met_with_silence, message};
use xdhcpd_tests::frames::{EVERYBODY, FrameBuilder, RELAY, Reply};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;

/// Two halls behind one relay, a third that lists a whole range of relays, and our own link.
const NETWORKS: &str = r#"
  - name: near
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
    reservations: [{circuitId: "09:09", ip: 10.9.0.5}]
  - name: hall1
    interface: s0
    subnet: 10.8.1.0/24
    ranges: [10.8.1.100-10.8.1.110]
    relays: [10.8.1.1]
    probe: false
    reservations:
      - {remoteId: "00:06:02:00:5e:00:00:01", ip: 10.8.1.20}
      - {circuitId: "01:02", ip: 10.8.1.105}
  - name: hall2
    interface: s0
    subnet: 10.8.2.0/24
    ranges: [10.8.2.100-10.8.2.110]
    relays: [10.8.1.1]
    probe: false
  - name: hall3
    interface: s0
    subnet: 10.8.3.0/24
    ranges: [10.8.3.100-10.8.3.110]
    relays: [172.16.0.0/12]
    probe: false
"#;

const US: [u8; 4] = [10, 9, 0, 2];
const LISTED: [u8; 4] = [10, 8, 1, 1];
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

struct Scene {
    _pair: Pair,
    server: Server,
    tap: Tap,
}

/// None where it cannot be laid out, which is noted.
fn scene(networks: &str) -> Result<Option<Scene>> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(None);
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, networks)?;
    let tap = Tap::open(&pair.client, "c0")?;
    Ok(Some(Scene { _pair: pair, server, tap }))
}

/// As a relay passes it on, with option 82 where there is something to say.
fn through(relay: [u8; 4], information: &[u8]) -> impl Fn(FrameBuilder) -> FrameBuilder {
    move |frame| {
        let frame = frame.relayed(relay, US).with(|frame| frame.destination = EVERYBODY);
        if information.is_empty() { frame } else { frame.option(82, information) }
    }
}

impl Scene {
    /// The whole way to a lease, twice: by the agent at first. Both times the same is said.
    fn obtain(&self, mac: [u8; 6], relay: [u8; 4], information: &[u8]) -> Result<Reply> {
        let replies = || exchange::obtain(&self.tap, mac, through(relay, information));
        let first = replies()?;
        let second = replies()?;
        assert_eq!(first, second, "agent and kernel say the same");
        let [_, ack] = second;
        for reply in first {
            assert_eq!((reply.to, reply.ports), (relay, (67, 67)));
            assert_eq!(reply.destination, RELAY, "back to where it came from");
            assert_eq!(reply.field(bootp::GIADDR, 4), relay);
        }
        Ok(ack)
    }

    fn ignored(&self, reason: &str) -> Result<u64> {
        Ok(self.server.json("stats")?["agent"]["ignored"][reason].as_u64().unwrap_or_default())
    }
}

#[test]
fn c51_only_listed_relays_are_served_and_believed() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let circuit = [1, 2, 9, 9];
    // Listed by its address, or by the range that it is in, where it is no address of the network.
    let ack = scene.obtain(ONE, LISTED, &circuit)?;
    assert_eq!((address(&ack), ack.option(82)), (Ipv4Addr::new(10, 8, 1, 100), Some(&circuit[..])));
    let selecting = [1, 2, 9, 9, 5, 4, 10, 8, 3, 0];
    let ack = scene.obtain(ONE, [172, 17, 4, 1], &selecting)?;
    assert_eq!((address(&ack), ack.option(82)), (Ipv4Addr::new(10, 8, 3, 100), Some(&selecting[..])));
    // A neighbour that is not listed may relay, as anybody on the link may ask; it is not believed.
    let ack = scene.obtain(TWO, [10, 9, 0, 77], &circuit)?;
    assert_eq!((address(&ack), ack.option(82)), (Ipv4Addr::new(10, 9, 0, 100), None));
    // From elsewhere it is not even heard.
    let stranger = through([10, 7, 0, 1], &[5, 4, 10, 8, 1, 0])(from_client(message::DISCOVER, TWO));
    assert!(is_met_with_silence(&scene.tap, &stranger)?);
    assert_eq!(scene.ignored("unknown_relay")?, 1);
    scene.server.wait_for_log("through relay 10.7.0.1")?;
    // Without a relay, option 82 is the client's own idea.
    let [_, ack] = exchange::obtain(&scene.tap, [2, 0, 0, 0, 1, 3], |frame| frame.option(82, &circuit))?;
    assert_eq!((address(&ack), ack.option(82)), (Ipv4Addr::new(10, 9, 0, 101), None));
    Ok(())
}

#[test]
fn c52_giaddr_sub_option_5_and_option_118_choose_the_subnet_in_this_order_of_weight() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let hall = |mac: [u8; 6], information: &[u8], client: Option<[u8; 4]>| -> Result<u8> {
        let change = |frame: FrameBuilder| {
            let frame = client.iter().fold(frame, |frame, subnet| frame.option(118, subnet));
            through(LISTED, information)(frame)
        };
        let [offer, ack] = exchange::obtain(&scene.tap, mac, change)?;
        assert_eq!(address(&offer), address(&ack));
        assert_eq!(ack.option(118), client.as_ref().map(<[u8; 4]>::as_slice), "it comes back");
        assert_eq!((ack.to, ack.field(bootp::GIADDR, 4)), (LISTED, &LISTED[..]));
        Ok(address(&ack).octets()[2])
    };
    let second = [5, 4, 10, 8, 2, 0];
    assert_eq!(hall([2, 0, 0, 0, 2, 1], &[], None)?, 1, "giaddr alone");
    assert_eq!(hall([2, 0, 0, 0, 2, 2], &second, None)?, 2, "sub-option 5");
    assert_eq!(hall([2, 0, 0, 0, 2, 3], &[], Some([10, 8, 2, 0]))?, 2, "option 118");
    assert_eq!(hall([2, 0, 0, 0, 2, 4], &second, Some([10, 8, 1, 0]))?, 2, "the relay's word counts first");
    // A subnet that the relay has nothing to say about.
    let beyond = through(LISTED, &[5, 4, 10, 8, 3, 0])(from_client(message::DISCOVER, TWO));
    assert!(is_met_with_silence(&scene.tap, &beyond)?);
    Ok(())
}

#[test]
fn c52_sub_option_11_is_the_server_that_the_client_knows_to_the_end_of_its_lease() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let information = [11, 4, 10, 8, 1, 1];
    let ack = scene.obtain(ONE, LISTED, &information)?;
    let ip = address(&ack);
    assert_eq!(ack.option(54), Some(&LISTED[..]));
    assert_eq!(ack.from, US, "the frame comes from us");
    // The client renews with whom it takes for its server, the relay, which passes that on.
    let relayed =
        |kind| through(LISTED, &information)(from_client(kind, ONE).with(|frame| frame.ciaddr = ip.octets()));
    let ack = ask(&scene.tap, &relayed(message::REQUEST))?;
    assert_eq!((address(&ack), ack.option(54)), (ip, Some(&LISTED[..])));
    // Our own name is another server's to this client: it has chosen that, and we withdraw.
    let other = through(LISTED, &information)(from_client(message::REQUEST, TWO));
    let other = other.option(54, &US).option(50, &[10, 8, 1, 105]);
    assert!(is_met_with_silence(&scene.tap, &other)?);
    scene.tap.send(&relayed(7).option(54, &LISTED).build())?;
    xdhcpd_tests::wait::until_true("the lease to be released", xdhcpd_tests::wait::SOON, || {
        Ok(scene.server.lease(ip)?["state"] == "released")
    })
}

#[test]
fn c52_sub_option_19_brings_replies_to_the_port_that_the_relay_sent_from() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let from_port = |port: u16| {
        move |frame: FrameBuilder| through(LISTED, &[19, 0])(frame).with(|frame| frame.from_port = port)
    };
    for port in [1067, 67] {
        let [offer, ack] = exchange::obtain(&scene.tap, ONE, from_port(port))?;
        for reply in [offer, ack] {
            assert_eq!((reply.ports, reply.to), ((67, port), LISTED));
            assert_eq!(reply.option(82), Some(&[19, 0][..]));
        }
    }
    // Who does not ask for it is answered where relays listen.
    let [offer, _] = exchange::obtain(&scene.tap, TWO, |frame| {
        through(LISTED, &[1, 1, 7])(frame).with(|frame| frame.from_port = 1067)
    })?;
    assert_eq!(offer.ports, (67, 67));
    Ok(())
}

#[test]
fn c53_reservations_by_remote_id_and_circuit_go_with_the_port_and_not_with_the_machine() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let switch = [2, 8, 0, 6, 2, 0, 0x5e, 0, 0, 1];
    let circuit = [1, 2, 1, 2];
    assert_eq!(address(&scene.obtain(ONE, LISTED, &switch)?), Ipv4Addr::new(10, 8, 1, 20));
    assert_eq!(address(&scene.obtain(TWO, LISTED, &circuit)?), Ipv4Addr::new(10, 8, 1, 105));
    // The circuit is nearer than the switch.
    let both = [&circuit[..], &switch].concat();
    let output = scene.server.run(&["release", "--force", "10.8.1.105"])?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(address(&scene.obtain([2, 0, 0, 0, 1, 3], LISTED, &both)?), Ipv4Addr::new(10, 8, 1, 105));
    // Another machine at a port whose address is still bound gets one of the pool meanwhile.
    let other = exchange::obtain(&scene.tap, [2, 0, 0, 0, 1, 4], through(LISTED, &switch))?;
    assert_eq!(address(&other[1]), Ipv4Addr::new(10, 8, 1, 100));
    Ok(())
}

#[test]
fn c13_a_client_behind_a_relay_is_refused_by_way_of_it_and_by_broadcast() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let information = [1, 2, 9, 9];
    scene.obtain(ONE, LISTED, &information)?;
    let request = from_client(message::REQUEST, ONE).option(50, &[10, 8, 1, 107]);
    let nak = ask(&scene.tap, &through(LISTED, &information)(request))?;
    assert_eq!(nak.option(53), Some(&[message::NAK][..]));
    assert_eq!((nak.to, nak.ports, nak.destination), (LISTED, (67, 67), RELAY));
    assert_eq!(nak.field(bootp::XID + 6, 1), [0x80], "the relay is to broadcast it");
    assert_eq!(nak.option(82), Some(&information[..]));
    Ok(())
}

#[test]
fn c51_the_kernel_answers_only_the_relay_that_a_client_is_known_behind() -> Result<()> {
    let Some(scene) = scene(NETWORKS)? else { return Ok(()) };
    let information = [1, 2, 9, 9];
    scene.obtain(ONE, LISTED, &information)?;
    let before = scene.server.answered()?;
    scene.obtain(ONE, LISTED, &information)?;
    let since = scene.server.answered()?.since(before);
    assert_eq!((since.kernel, since.agent), ((2, 2), (0, 0)));
    // At another port of the switch it is the agent's to say what that means.
    let passed = scene.server.passed("other_relay")?;
    let moved = through(LISTED, &[1, 2, 9, 8])(from_client(message::DISCOVER, ONE));
    let offer = ask(&scene.tap, &moved)?;
    assert_eq!(offer.option(82), Some(&[1, 2, 9, 8][..]));
    assert_eq!(scene.server.passed("other_relay")?, passed + 1);
    let lease = scene.server.lease(address(&offer))?;
    lease["ip"].as_str().context("it keeps its address")?;
    Ok(())
}
