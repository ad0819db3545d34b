//! A network card with a driver, and interfaces of its VLANs.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::exchange::address;
use xdhcpd_tests::frames::FrameBuilder;

use crate::lab::{Lab, Setting};

const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 1];
/// What the tags of VLAN 5 and 6 look like in a frame.
const TAGS: [(u16, u16); 2] = [(0x8100, 5), (0x8100, 6)];

const CARD: &str = "
http: {listen: off}
networks:
  - {name: rack1, interface: eth0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
";

const VLANS: &str = "
http: {listen: off}
networks:
  - {name: plain, interface: eth0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
  - name: tag
    interface: eth0
    vlans: [5]
    subnet: 10.5.0.0/24
    ranges: [10.5.0.100-10.5.0.110]
    probe: false
  - {name: interface, interface: eth0.6, subnet: 10.6.0.0/24, ranges: [10.6.0.100-10.6.0.110], probe: false}
";

#[test]
fn a_card_is_served_in_its_driver() -> Result<()> {
    let setting = Setting { config: CARD, ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    let (first, answered) = lab.exchange(CLIENT, |frame| frame)?;
    assert!(answered.is_a_new_clients(), "{answered:?}");
    let (second, answered) = lab.exchange(CLIENT, |frame| frame)?;
    assert!(answered.is_a_known_clients(), "{answered:?}");
    assert_eq!(first, second, "whoever answers says the same");
    assert_eq!(address(&second[1]), Ipv4Addr::new(10, 9, 0, 100));
    let stats = lab.json("stats")?;
    assert_eq!(stats["kernel"]["interfaces"][0]["mode"], "native", "{}", lab.log());
    assert_eq!(stats["loader"]["state"], "running");
    Ok(())
}

#[test]
fn vlans_are_served_by_their_tags_and_by_their_interfaces() -> Result<()> {
    let setting = Setting { config: VLANS, modules: &["8021q"], ..Setting::default() };
    let Some(mut lab) = Lab::set(&setting)? else { return Ok(()) };
    lab.run("ip address add 10.5.0.2/24 dev eth0")?;
    lab.run("ip link add link eth0 name eth0.6 type vlan id 6")?;
    lab.run("ip address add 10.6.0.2/24 dev eth0.6 && ip link set eth0.6 up")?;
    lab.start_agent()?;
    for (tag, network) in [(None, 9), (Some(TAGS[0]), 5), (Some(TAGS[1]), 6)] {
        let change = |frame: FrameBuilder| match tag {
            Some((_, vlan)) => frame.vlan(vlan),
            None => frame,
        };
        let (first, answered) = lab.exchange(CLIENT, change)?;
        assert!(answered.is_a_new_clients(), "{tag:?}: {answered:?}");
        let (second, answered) = lab.exchange(CLIENT, change)?;
        assert!(answered.is_a_known_clients(), "{tag:?}: {answered:?}");
        for reply in first.iter().chain(&second) {
            assert_eq!(reply.tags, Vec::from_iter(tag));
            assert_eq!(address(reply), Ipv4Addr::new(10, network, 0, 100));
            assert_eq!(reply.option(54), Some([10, network, 0, 2].as_slice()));
        }
    }
    let stats = lab.json("stats")?;
    let interfaces = stats["kernel"]["interfaces"].as_array().cloned().unwrap_or_default();
    let modes = interfaces.iter().map(|one| format!("{} {}", one["name"], one["mode"]));
    let modes: Vec<String> = modes.collect();
    assert_eq!(modes, [r#""eth0" "native""#, r#""eth0.6" "generic""#]);
    Ok(())
}
