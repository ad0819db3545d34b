//! The messages, as far as a generator has to know them.

/// Where things stand in a message (RFC 2131 §2).
mod at {
    pub const XID: usize = 4;
    pub const CIADDR: usize = 12;
    pub const YIADDR: usize = 16;
    pub const GIADDR: usize = 24;
    pub const CHADDR: usize = 28;
    pub const OPTIONS: usize = 240;
}

/// A message of a client as its relay passes it on.
pub(super) fn message_of(
    client: u32,
    relay: [u8; 4],
    xid: u32,
    kind: u8,
    ciaddr: [u8; 4],
    more: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 300];
    bytes[..4].copy_from_slice(&[1, 1, 6, 1]);
    bytes[at::XID..][..4].copy_from_slice(&xid.to_be_bytes());
    bytes[at::CIADDR..][..4].copy_from_slice(&ciaddr);
    bytes[at::GIADDR..][..4].copy_from_slice(&relay);
    bytes[at::CHADDR..][..6].copy_from_slice(&mac(client));
    bytes[at::OPTIONS - 4..][..4].copy_from_slice(&[99, 130, 83, 99]);
    let asked = [55, 6, 1, 3, 6, 15, 51, 54];
    let options = [&[53, 1, kind][..], more, &asked, &[255]].concat();
    bytes[at::OPTIONS..][..options.len()].copy_from_slice(&options);
    bytes
}

/// The hardware address of a client.
pub fn mac(client: u32) -> [u8; 6] {
    let [a, b, c, d] = client.to_be_bytes();
    [2, 0x9e, a, b, c, d]
}

/// The client of a hardware address.
pub(super) fn number(mac: [u8; 6]) -> Option<u32> {
    let [2, 0x9e, a, b, c, d] = mac else { return None };
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// What counts of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub xid: u32,
    pub kind: u8,
    pub mac: [u8; 6],
    pub address: [u8; 4],
    pub server: [u8; 4],
}

impl Reply {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.first() != Some(&2) {
            return None;
        }
        let mut reply = Self {
            xid: u32::from_be_bytes(field(bytes, at::XID)?),
            kind: 0,
            mac: field(bytes, at::CHADDR)?,
            address: field(bytes, at::YIADDR)?,
            server: [0; 4],
        };
        let mut options = bytes.get(at::OPTIONS..)?;
        // Servers write these two first; whatever comes later is nothing to us.
        while reply.kind == 0 || reply.server == [0; 4] {
            options = match options {
                [0, rest @ ..] => rest,
                [code, length, rest @ ..] if *code != 255 => {
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    match code {
                        53 => reply.kind = *value.first()?,
                        54 => reply.server = value.try_into().ok()?,
                        _ => {}
                    }
                    rest
                }
                _ => break,
            };
        }
        Some(reply)
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_hardware_address() {
        for client in [0, 1, 262_143, u32::MAX] {
            assert_eq!(number(mac(client)), Some(client));
        }
        assert_eq!(number([2, 0, 0, 0, 0, 1]), None);
    }

    #[test]
    fn a_reply_is_read_as_far_as_it_counts() {
        let mut bytes = vec![0; at::OPTIONS];
        bytes[0] = 2;
        bytes[at::XID..][..4].copy_from_slice(&7_u32.to_be_bytes());
        bytes[at::YIADDR..][..4].copy_from_slice(&[10, 9, 0, 100]);
        bytes[at::CHADDR..][..6].copy_from_slice(&mac(3));
        bytes.extend([53, 1, 2, 0, 54, 4, 10, 9, 0, 2, 255]);
        let reply = Reply::read(&bytes).unwrap();
        assert_eq!((reply.xid, reply.kind, number(reply.mac)), (7, 2, Some(3)));
        assert_eq!((reply.address, reply.server), ([10, 9, 0, 100], [10, 9, 0, 2]));
        bytes[0] = 1;
        assert_eq!(Reply::read(&bytes), None);
        assert_eq!(Reply::read(&[2; 100]), None);
    }
}
