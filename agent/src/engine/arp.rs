//! ARP (RFC 826): asking whether somebody has an address, and reading who says so.

use std::net::Ipv4Addr;

use xdhcpd_common::frame::ethernet;

/// EtherType of ARP.
pub const ETHER_TYPE: u16 = 0x0806;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const ETHERNET_AND_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Operation 1.
const REQUEST: [u8; 2] = [0, 1];
/// The most tags that a wire can have.
const MAX_TAGS: usize = 2;

/// Who says, in an ARP message, that an address is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// VLAN ids of the frame, outermost first, as in [`xdhcpd_common::maps::Wire`].
    pub vlan: [u16; 2],
    /// The sender's hardware address.
    pub mac: [u8; 6],
    /// The sender's protocol address; 0.0.0.0 where it claims none, as in a probe.
    pub ip: Ipv4Addr,
}

/// The frame of an ARP probe (RFC 5227 §2.1.1): a request for an address by somebody who has none,
/// so that nobody's cache learns anything from it.
pub fn probe(own: [u8; 6], tags: &[[u8; 4]], ip: Ipv4Addr) -> Vec<u8> {
    request(own, tags, Ipv4Addr::UNSPECIFIED, ip)
}

/// The frame of an ARP announcement (RFC 5227 §3): everybody who has the address in a cache has it with this
/// hardware address from then on.
pub fn announcement(own: [u8; 6], tags: &[[u8; 4]], ip: Ipv4Addr) -> Vec<u8> {
    request(own, tags, ip, ip)
}

fn request(own: [u8; 6], tags: &[[u8; 4]], sender: Ipv4Addr, ip: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(50);
    frame.extend([0xff; 6]);
    frame.extend(own);
    frame.extend(tags.as_flattened());
    frame.extend(ETHER_TYPE.to_be_bytes());
    frame.extend(ETHERNET_AND_IPV4);
    frame.extend(REQUEST);
    frame.extend(own);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(ip.octets());
    frame
}

/// Reads the sender of an ARP message for IPv4, whatever its operation; none: it is no such message.
pub fn read(frame: &[u8]) -> Option<Claim> {
    let (_macs, mut rest) = frame.split_first_chunk::<12>()?;
    let mut vlan = [0; 2];
    let mut places = vlan.iter_mut().take(MAX_TAGS);
    loop {
        let (ether_type, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        match u16::from_be_bytes(*ether_type) {
            ETHER_TYPE => break,
            ethernet::VLAN | ethernet::SERVICE_VLAN => {
                let (tag, after) = rest.split_first_chunk::<2>()?;
                *places.next()? = u16::from_be_bytes(*tag) & ethernet::VLAN_ID;
                rest = after;
            }
            _ => return None,
        }
    }
    let (kind, rest) = rest.split_first_chunk::<6>()?;
    let (_operation, rest) = rest.split_first_chunk::<2>()?;
    let (mac, rest) = rest.split_first_chunk::<6>()?;
    let (ip, _target) = rest.split_first_chunk::<4>()?;
    (*kind == ETHERNET_AND_IPV4).then(|| Claim { vlan, mac: *mac, ip: Ipv4Addr::from(*ip) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 9, 2];
    const ASKED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
    const TAGS: [[u8; 4]; 2] = [[0x88, 0xa8, 0x20, 5], [0x81, 0, 0, 7]];

    #[test]
    fn an_announcement_claims_the_address_for_its_sender() {
        let claim = read(&announcement(OWN, &TAGS, ASKED)).unwrap();
        assert_eq!(claim, Claim { vlan: [5, 7], mac: OWN, ip: ASKED });
    }

    /// What the holder of the address answers to a probe, in the probe's own frame.
    fn answer(probe: &[u8], mac: [u8; 6], ip: Ipv4Addr) -> Vec<u8> {
        let (link, arp) = probe.split_at(probe.len().saturating_sub(28));
        [link, &arp[..7], &[2], &mac, &ip.octets(), &arp[18..]].concat()
    }

    #[test]
    fn c24_a_probe_asks_all_for_the_address_and_claims_none() {
        let frame = probe(OWN, &[], ASKED);
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 9, 2, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..], [2, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 9, 0, 100]);
        assert_eq!(read(&frame).map(|claim| claim.ip), Some(Ipv4Addr::UNSPECIFIED));
    }

    #[test]
    fn c24_an_answer_is_read_behind_up_to_two_tags() {
        let holder = [2, 0, 0, 0, 7, 7];
        for (tags, vlan) in [(&TAGS[..0], [0, 0]), (&TAGS[..1], [5, 0]), (&TAGS[..], [5, 7])] {
            let frame = answer(&probe(OWN, tags, ASKED), holder, ASKED);
            assert_eq!(read(&frame), Some(Claim { vlan, mac: holder, ip: ASKED }));
        }
        let three = [TAGS[0], TAGS[1], TAGS[1]];
        assert_eq!(read(&probe(OWN, &three, ASKED)), None);
    }

    #[test]
    fn what_is_cut_or_of_another_protocol_is_no_claim() {
        let frame = answer(&probe(OWN, &TAGS, ASKED), OWN, ASKED);
        let (least, _target) = frame.split_at(frame.len().saturating_sub(10));
        for length in 0..least.len() {
            assert_eq!(read(&frame[..length]), None, "{length} bytes");
        }
        for at in [20, 22, 23, 24, 26, 27] {
            let mut other = frame.clone();
            other[at] ^= 1;
            assert_eq!(read(&other), None, "byte {at}");
        }
    }
}
