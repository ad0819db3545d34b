//! What the bench's clients ask for, and what they are given: as much as is usual, not the least that
//! works.

use xdhcpd_common::fingerprint;
use xdhcpd_common::maps::{Lease, Server, ServerFlags, Template};
use xdhcpd_common::times::SECOND;
use xdhcpd_tests::frames::FrameBuilder;
use xdhcpd_tests::scene::{self, ADDRESS, RELAY_ADDRESS, SERVER};

/// The reply's options: mask, router, two DNS servers, domain, MTU, broadcast address, NTP server.
const GIVEN: &[u8] =
    b"\x01\x04\xff\xff\xff\x00\x03\x04\x0a\x09\x00\x01\x06\x08\x0a\x09\x00\x35\x0a\x09\x00\x36\
\x0f\x0bexample.org\x1a\x02\x05\xdc\x1c\x04\x0a\x09\x00\xff\x2a\x04\x0a\x09\x00\x7b";

/// Option 55, as long as dhclient's.
const PARAMETERS: &[u8] = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42];

/// Option 60.
const CLASS: &[u8] = b"anaconda-Linux";

/// Option 82: a port and a switch.
const RELAY_INFO: &[u8] = b"\x01\x0cEthernet1/17\x02\x06\x02\x00\x00\x00\x00\x99";

/// A message with what every client sends.
pub fn usual(message: FrameBuilder) -> FrameBuilder {
    message
        .option(57, &[5, 220])
        .option(61, &[1, 2, 0, 0, 0, 0, 0x11])
        .option(60, CLASS)
        .option(12, b"node-0017")
        .option(55, PARAMETERS)
}

/// The same through a relay, which adds option 82.
pub fn relayed(message: FrameBuilder) -> FrameBuilder {
    usual(message).relayed(RELAY_ADDRESS, SERVER).option(82, RELAY_INFO)
}

/// A REQUEST in RENEWING, through a relay.
pub fn renewing_through_a_relay() -> FrameBuilder {
    relayed(FrameBuilder::message(3)).with(|frame| frame.ciaddr = ADDRESS)
}

/// What all clients have, until an hour from now. (The address is the same: the kernel does not mind.)
pub fn lease() -> Lease {
    let ask = fingerprint::add(fingerprint::add(0, 60, CLASS), 55, PARAMETERS);
    let now = scene::now();
    Lease { ask, expires: now + 3600 * SECOND, horizon: now + 24 * 3600 * SECOND, ..scene::lease() }
}

/// What all clients behind the relay have.
pub fn relayed_lease() -> Lease {
    let relay_info = fingerprint::add(0, 82, RELAY_INFO);
    Lease { giaddr: RELAY_ADDRESS, relay: RELAY_ADDRESS, relay_info, ..lease() }
}

/// What replies say.
pub fn template() -> Template {
    scene::template_with(GIVEN)
}

/// A server that checks what one on a virtual interface does, without limits.
pub fn server() -> Server {
    Server { flags: ServerFlags::CHECK_SOURCE, ..scene::server() }
}
