//! A request that has passed the gate: everything the engine may ask of it.

mod host_name;
pub mod options;

use xdhcpd_common::facts::{Facts, NONE};
use xdhcpd_common::options::LEAST_CLIENT_ID;

use self::options::{RequestOptions, code};

/// The client's host name (RFC 2132 §3.14).
const HOST_NAME: u8 = 12;
/// Its fully qualified domain name (RFC 4702).
const FQDN: u8 = 81;

/// What every client takes (RFC 2131 §2); a smaller option 57 counts as this.
pub const LEAST_MESSAGE: u16 = 576;

/// A client's message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What the decision looks at: for one frame the very same as in the kernel.
    pub facts: Facts,
    /// VLAN ids, outermost first, as in [`xdhcpd_common::maps::Wire`]; 0: none.
    pub vlan: [u16; 2],
    /// The frame's tags (TPID and TCI), outermost first, for the reply to carry.
    pub tags: Vec<[u8; 4]>,
    /// Source of the frame: the client, its relay, or the router before us.
    pub source_mac: [u8; 6],
    /// Destination of the frame: one of ours, or the broadcast address.
    pub destination_mac: [u8; 6],
    /// UDP source port, where a relay may want its reply (RFC 8357).
    pub source_port: u16,
    /// xid.
    pub xid: [u8; 4],
    /// flags, reserved bits and all, to be copied.
    pub flags: [u8; 2],
    /// All of chaddr, to be copied.
    pub chaddr: [u8; 16],
    /// Always 1.
    pub htype: u8,
    /// Always 6.
    pub hlen: u8,
    /// All options.
    pub options: RequestOptions,
    /// There was no option 53: BOOTP.
    pub bootp: bool,
}

impl Request {
    /// Option 61; one of under two bytes is no identifier (RFC 2132 §9.14) and counts as not sent.
    pub fn client_id(&self) -> Option<&[u8]> {
        self.options.get(code::CLIENT_ID).filter(|id| id.len() >= LEAST_CLIENT_ID)
    }

    /// All of option 82; none where no relay is there to have added it.
    pub fn relay_info(&self) -> Option<&[u8]> {
        if self.facts.giaddr == NONE { None } else { self.options.get(code::RELAY_INFO) }
    }

    /// The first sub-option of option 82 with this code; none where the option is not well-formed.
    pub fn relay_suboption(&self, code: u8) -> Option<&[u8]> {
        let mut rest = self.relay_info()?;
        let mut found = None;
        while let Some((sent, after)) = rest.split_first() {
            let (length, after) = after.split_first()?;
            let (value, after) = after.split_at_checked(usize::from(*length))?;
            if *sent == code && found.is_none() {
                found = Some(value);
            }
            rest = after;
        }
        found
    }

    /// The client's name for itself, if it is a name: option 12, or 81 where that is missing.
    pub fn host_name(&self) -> Option<String> {
        match self.options.get(HOST_NAME) {
            Some(value) => host_name::plain(value),
            None => host_name::fqdn(self.options.get(FQDN)?),
        }
    }

    /// Option 55: the codes asked for, in the client's order.
    pub fn parameter_list(&self) -> &[u8] {
        self.options.get(code::PARAMETERS).unwrap_or_default()
    }

    /// Option 60.
    pub fn vendor_class(&self) -> Option<&[u8]> {
        self.options.get(code::VENDOR_CLASS)
    }

    /// Option 77, raw: some clients send text, some RFC 3004's list.
    pub fn user_class(&self) -> Option<&[u8]> {
        self.options.get(code::USER_CLASS)
    }

    /// Option 93: the architectures a boot ROM can run; none where it is not a list of them.
    pub fn architectures(&self) -> Vec<u16> {
        match self.options.get(code::ARCHITECTURE).unwrap_or_default().as_chunks::<2>() {
            (pairs, []) => pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
            _ => Vec::new(),
        }
    }

    /// Option 97: the machine's own id, to be echoed.
    pub fn machine_id(&self) -> Option<&[u8]> {
        self.options.get(code::MACHINE_ID)
    }

    /// Option 118: the subnet that the client asks for.
    pub fn subnet_selection(&self) -> Option<[u8; 4]> {
        self.options.fixed(code::SUBNET_SELECTION)
    }

    /// The largest DHCP message that the client takes, IP and UDP headers included.
    pub fn max_message(&self) -> u16 {
        self.options.fixed(code::MAX_SIZE).map_or(LEAST_MESSAGE, u16::from_be_bytes).max(LEAST_MESSAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[(u8, &[u8])]) -> Request {
        Request { options: options.iter().copied().collect(), ..Request::default() }
    }

    #[test]
    fn c50_a_client_id_under_two_bytes_counts_as_not_sent() {
        assert_eq!(with(&[(61, &[])]).client_id(), None);
        assert_eq!(with(&[(61, &[1])]).client_id(), None);
        assert_eq!(with(&[(61, &[1, 2])]).client_id(), Some(&[1, 2][..]));
        assert_eq!(with(&[(61, &[7; 255])]).client_id(), Some(&[7; 255][..]));
        assert_eq!(with(&[(61, &[7; 255]), (61, &[8; 3])]).client_id().map(<[u8]>::len), Some(258));
    }

    #[test]
    fn c51_relay_information_without_a_relay_is_not_there() {
        let mut request = with(&[(82, &[1, 2, 9, 9, 2, 1, 7])]);
        assert_eq!(request.relay_info(), None);
        assert_eq!(request.relay_suboption(1), None);
        request.facts.giaddr = [10, 8, 0, 1];
        assert_eq!(request.relay_info(), Some(&[1, 2, 9, 9, 2, 1, 7][..]));
        assert_eq!(request.relay_suboption(1), Some(&[9, 9][..]));
        assert_eq!(request.relay_suboption(2), Some(&[7][..]));
        assert_eq!(request.relay_suboption(5), None);
    }

    #[test]
    fn relay_information_that_is_cut_short_has_no_sub_options() {
        let mut request = with(&[(82, &[1, 1, 9, 2, 4, 7])]);
        request.facts.giaddr = [10, 8, 0, 1];
        assert_eq!(request.relay_suboption(1), None);
    }

    #[test]
    fn option_81_names_the_client_only_where_12_is_missing() {
        assert_eq!(with(&[(81, b"\0\0\0b")]).host_name().as_deref(), Some("b"));
        assert_eq!(with(&[(12, b"a"), (81, b"\0\0\0b")]).host_name().as_deref(), Some("a"));
        assert_eq!(with(&[(12, b"a a"), (81, b"\0\0\0b")]).host_name(), None);
        assert_eq!(with(&[]).host_name(), None);
    }

    #[test]
    fn c07_option_57_under_576_counts_as_576() {
        assert_eq!(with(&[]).max_message(), 576);
        assert_eq!(with(&[(57, &[0, 100])]).max_message(), 576);
        assert_eq!(with(&[(57, &[5, 220])]).max_message(), 1500);
    }

    #[test]
    fn c57_architectures_are_pairs_of_bytes() {
        assert_eq!(with(&[(93, &[0, 7, 0, 9])]).architectures(), [7, 9]);
        assert!(with(&[(93, &[0, 7, 0])]).architectures().is_empty());
        assert!(with(&[]).architectures().is_empty());
    }
}
