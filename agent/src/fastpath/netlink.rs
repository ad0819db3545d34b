//! Which XDP program is attached to an interface, and how: one question to the kernel.

use std::io;

use crate::netlink::{ask, attribute, u32_at};

/// `RTM_NEWLINK`: the answer.
const NEWLINK: u16 = 16;
/// `RTM_GETLINK`: the question.
const GETLINK: u16 = 18;
/// Length of `struct ifinfomsg`.
const INTERFACE: usize = 16;
/// `IFLA_XDP`: holds the three below.
const XDP: u16 = 43;
/// `IFLA_XDP_ATTACHED`.
const ATTACHED: u16 = 2;
/// `IFLA_XDP_PROG_ID`.
const PROGRAM: u16 = 4;

/// How a program sits on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// In the hardware, or in more than one place.
    Other,
}

/// The XDP program of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attached {
    /// The program's id; 0 where it has more than one.
    pub program: u32,
    /// Where it sits.
    pub hook: Hook,
}

/// Asks for the XDP program of an interface; none: it has none.
pub(super) fn attached(index: u32) -> io::Result<Option<Attached>> {
    read(&ask(GETLINK, &question(index), NEWLINK)?)
}

/// The `struct ifinfomsg` for one interface.
fn question(index: u32) -> Vec<u8> {
    let fields: [&[u8]; 4] = [
        &[0; 4], // family and type
        &index.to_ne_bytes(),
        &[0; 4], // flags
        &[0; 4], // changed flags
    ];
    fields.concat()
}

/// Reads the body of the answer.
fn read(body: &[u8]) -> io::Result<Option<Attached>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut short");
    let Some(xdp) = attribute(body.get(INTERFACE..).ok_or_else(short)?, XDP) else { return Ok(None) };
    let hook = match attribute(xdp, ATTACHED).and_then(<[u8]>::first) {
        None | Some(0) => return Ok(None),
        Some(1) => Hook::Native,
        Some(2) => Hook::Generic,
        Some(_) => Hook::Other,
    };
    let program = attribute(xdp, PROGRAM).and_then(|value| u32_at(value, 0)).unwrap_or(0);
    Ok(Some(Attached { program, hook }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().strict_add(4);
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn about_xdp(xdp: &[u8]) -> Vec<u8> {
        let name = with_length(3, b"eth0\0");
        [vec![0; INTERFACE], name, with_length(XDP | 0x8000, xdp)].concat()
    }

    #[test]
    fn a_program_is_found_behind_other_attributes() {
        let xdp = [with_length(ATTACHED, &[2]), with_length(PROGRAM, &77_u32.to_ne_bytes())].concat();
        let found = read(&about_xdp(&xdp)).unwrap();
        assert_eq!(found, Some(Attached { program: 77, hook: Hook::Generic }));
    }

    #[test]
    fn an_interface_without_a_program_has_none() {
        assert_eq!(read(&about_xdp(&with_length(ATTACHED, &[0]))).unwrap(), None);
        assert_eq!(read(&[0; INTERFACE]).unwrap(), None);
    }

    #[test]
    fn no_prefix_of_an_answer_panics() {
        let whole = about_xdp(&[with_length(ATTACHED, &[1]), with_length(PROGRAM, &[1, 0, 0, 0])].concat());
        for end in 0..whole.len() {
            let _any = read(&whole[..end]);
        }
        assert!(read(&[]).is_err());
    }

    #[test]
    fn the_loopback_interface_has_no_program() {
        assert_eq!(attached(1).unwrap(), None);
        assert_eq!(attached(u32::MAX >> 1).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
