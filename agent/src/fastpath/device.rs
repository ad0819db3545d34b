//! What an interface is made of, asked from its driver (ethtool's ioctl), and what follows from it
//! for XDP.
//!
//! The ioctl is asked and not sysfs, because sysfs shows the network namespace that it was mounted
//! in, not the one that the agent runs in.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// `SIOCETHTOOL`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// `ETHTOOL_GDRVINFO`.
const GET_DRIVER: u32 = 0x03;
/// `ETHTOOL_GFLAGS`.
const GET_FLAGS: u32 = 0x25;
/// `ETHTOOL_SFLAGS`.
const SET_FLAGS: u32 = 0x26;
/// `ETH_FLAG_RXVLAN`: the device takes VLAN tags off what it receives.
const RX_VLAN: u32 = 1 << 8;

/// Drivers of virtual machines' interfaces: they sit on a bus like a network card, but hand over
/// checksums that the other side has only begun.
const PARAVIRTUAL: [&str; 5] = ["virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "vif"];

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    unused: [u8; 12],
    numbers: [u32; 5],
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The driver of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Driver {
    /// Its name.
    pub name: String,
    /// Where the device sits, such as a PCI address; empty or a word for virtual ones.
    bus: String,
}

impl Driver {
    /// Asks for the driver of an interface; none where there is nobody to answer.
    pub fn of(interface: &str) -> Option<Self> {
        let mut info = DriverInfo {
            command: GET_DRIVER,
            driver: [0; 32],
            version: [0; 32],
            firmware: [0; 32],
            bus: [0; 32],
            rom: [0; 32],
            unused: [0; 12],
            numbers: [0; 5],
        };
        // SAFETY: the command is one that fills a `struct ethtool_drvinfo`, which this is.
        unsafe { ethtool(interface, &raw mut info) }.ok()?;
        Some(Self { name: text(&info.driver), bus: text(&info.bus) })
    }

    /// Whether frames come from a wire and not from another machine's memory.
    pub fn is_physical(&self) -> bool {
        // PCI and USB addresses have colons; what virtual devices say in their place has none.
        self.bus.contains(':') && !PARAVIRTUAL.contains(&self.name.as_str())
    }

    /// Whether replies sent from the driver get lost.
    ///
    /// A veth drops what a native program sends, unless its peer runs XDP (or GRO) too.
    pub fn loses_native_replies(&self) -> bool {
        self.name == "veth"
    }
}

/// Makes the interface leave VLAN tags in the frame, where a program can see them; whether it took
/// them off before. An error means that it goes on taking them off.
pub(super) fn keep_vlan_tags(interface: &str) -> io::Result<bool> {
    let mut flags = Value { command: GET_FLAGS, data: 0 };
    // SAFETY: the command is one that fills a `struct ethtool_value`, which this is.
    let asked = unsafe { ethtool(interface, &raw mut flags) };
    // Where nobody can be asked about offloads there are none.
    if asked.is_err() || flags.data & RX_VLAN == 0 {
        return Ok(false);
    }
    let mut wanted = Value { command: SET_FLAGS, data: flags.data & !RX_VLAN };
    // SAFETY: the command is one that reads a `struct ethtool_value`, which this is.
    unsafe { ethtool(interface, &raw mut wanted)? };
    Ok(true)
}

/// `SIOCETHTOOL` of netdevice(7).
///
/// # Safety
///
/// The request begins with a command that reads or writes no more than its type.
unsafe fn ethtool<T>(interface: &str, request: *mut T) -> io::Result<()> {
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: request.cast() } };
    // SAFETY: the kernel reads the name, which ends in a zero, and follows the pointer; what it does
    // there is the caller's promise.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A name that ends in zeros.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(name: &str, bus: &str) -> Driver {
        Driver { name: name.to_owned(), bus: bus.to_owned() }
    }

    #[test]
    fn network_cards_are_physical() {
        assert!(driver("ixgbe", "0000:3b:00.1").is_physical());
        assert!(driver("r8152", "usb-0000:00:14.0-4").is_physical());
    }

    #[test]
    fn software_and_virtual_machines_interfaces_are_not() {
        for (name, bus) in [
            ("veth", ""),
            ("bridge", "N/A"),
            ("tun", "tap"),
            ("virtio_net", "0000:00:03.0"),
            ("vmxnet3", "0000:0b:00.0"),
        ] {
            assert!(!driver(name, bus).is_physical(), "{name} on {bus:?}");
        }
    }

    #[test]
    fn only_a_veth_loses_what_a_native_program_sends() {
        assert!(driver("veth", "").loses_native_replies());
        assert!(!driver("mlx5_core", "0000:01:00.0").loses_native_replies());
    }

    #[test]
    fn a_name_that_is_no_interface_has_no_driver() {
        assert_eq!(Driver::of("nosuch0"), None);
        assert_eq!(Driver::of("a name far longer than the kernel takes"), None);
        assert!(!keep_vlan_tags("nosuch0").unwrap());
    }

    #[test]
    fn the_kernels_struct_is_196_bytes() {
        assert_eq!(size_of::<DriverInfo>(), 196);
    }
}
