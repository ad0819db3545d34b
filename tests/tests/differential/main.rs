//! One decision, compiled twice: the program and the engine, in the same state, given the same
//! frames, say the same bytes.
//!
//! Frames are generated from a seed that is printed: `XDHCPD_SEED` and `XDHCPD_FRAMES` repeat and
//! lengthen a run. What must be said at all, and not only alike, is in [`rows`].

mod both;
mod client;
mod rows;

use xdhcpd_tests::program::Program;
use xdhcpd_tests::random::{Random, number_from};

use self::both::Both;

/// Frames of one run.
const FRAMES: u64 = 200_000;
/// So many of a hundred frames must be answered by the kernel, or the generator tests nothing.
const LEAST_ANSWERED: u64 = 25;
/// Clients on each network.
const CLIENTS: u8 = 12;

/// Networks of all kinds.
pub const CONFIG: &str = r#"
networks:
  - name: plain
    interface: lo
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.200]
    probe: false
    gateway: 10.9.0.1
    leaseTime: 2h
    minLeaseTime: 10m
    maxLeaseTime: 1d
    relays: [10.9.0.9]
    options: {dns: [10.9.0.53, 10.9.0.54], domainName: example.org, mtu: 1400, ntp: [10.9.0.123]}
    boot: {nextServer: 10.9.0.3, file: undionly.kpxe, serverName: boot}
    reservations:
      - mac: "02:00:00:00:00:01"
        ip: 10.9.0.41
        hostName: one
        options: {dns: [10.9.0.41], routers: [10.9.0.4], vendor: [{code: 6, hex: "08"}], custom: [{code: 224, hex: "0a0b"}]}
        boot: {file: one.efi}
      - {circuitId: "0303", ip: 10.9.0.43, hostName: port-3, options: {ntp: [10.9.0.43]}}
    classes:
      - {name: ipxe, match: {userClass: iPXE}, boot: {file: "http://10.9.0.3/boot.ipxe"}}
      - {name: http, match: {arch: [16]}, boot: {file: "http://10.9.0.3/boot.efi"}}
      - {name: vendor, match: {vendorClass: PXEClient}, boot: {file: ipxe.efi}, options: {ntp: [10.9.0.7]}}
  - name: tagged
    interface: lo
    vlans: [5]
    subnet: 10.10.0.0/16
    ranges: [10.10.1.0-10.10.1.200]
    probe: false
    identity: client-id
    alwaysBroadcast: true
    renewTime: 20m
    rebindTime: 40m
    leaseTime: 1h
    reservations: [{clientId: "01:02:03:04:05", ip: 10.10.0.45, hostName: by-id, options: {mtu: 9000}}]
  - name: twice
    interface: lo
    vlans: [5, 7]
    subnet: 10.11.0.0/24
    ranges: [10.11.0.10-10.11.0.90]
    probe: false
    leaseTime: infinite
    checkSource: false
    options: {domainSearch: [a.example.org, b.example.org], routes: [{to: 10.0.0.0/8, via: 10.11.0.3}]}
  - name: remote
    interface: lo
    subnet: 10.20.0.0/24
    ranges: [10.20.0.10-10.20.0.200]
    probe: false
    gateway: 10.20.0.1
    relays: [10.20.0.1, 10.8.0.0/24]
    leaseTime: 30m
"#;

#[test]
fn kernel_and_engine_say_the_same_bytes() {
    let Some(program) = Program::load() else { return };
    let seed = number_from("XDHCPD_SEED").unwrap_or(0x5eed_0001);
    let frames = number_from("XDHCPD_FRAMES").unwrap_or(FRAMES);
    println!("seed {seed:#x}, {frames} frames");
    let mut random = Random::new(seed);
    let mut both = Both::new(program, &mut random);
    let mut answered = 0;
    for number in 0..frames {
        answered += u64::from(both.compare(&mut random, number));
        // A full ring would make the kernel leave all to the agent.
        if number % 1024 == 0 {
            both.program.events();
        }
    }
    println!("{answered} of {frames} frames were answered by the kernel");
    assert!(answered * 100 >= frames * LEAST_ANSWERED, "only {answered} of {frames} were answered");
}
