//! Frames with VLAN tags on an interface that knows nothing of the VLAN.
//!
//! Many cards drop tags that nobody has registered, unless they are promiscuous. So where a network is
//! behind tags its interface is made that, for good: the program answers there while the agent is
//! stopped. Frames to other machines that come up with it are nobody's business here (the gate).

use std::io;

use crate::netlink;

/// `RTM_NEWLINK`, which also changes one that is there.
const CHANGE: u16 = 16;

/// Has an interface hear frames whatever their tags are.
pub fn hear_all(interface: u32) -> io::Result<()> {
    let flag = u32::try_from(libc::IFF_PROMISC).unwrap_or_default().to_ne_bytes();
    // `struct ifinfomsg`: family and type, the interface, its flags, and which of them are meant.
    let message = [[0; 4], interface.to_ne_bytes(), flag, flag].concat();
    netlink::change(CHANGE, 0, &message)
}
