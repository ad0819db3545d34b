//! What the decision needs to know of a request.
//!
//! Facts are read off a frame that has passed the gate: every option walked, every length checked.

/// Message types of option 53.
pub struct MessageType;

impl MessageType {
    /// DHCPDISCOVER.
    pub const DISCOVER: u8 = 1;
    /// DHCPOFFER.
    pub const OFFER: u8 = 2;
    /// DHCPREQUEST.
    pub const REQUEST: u8 = 3;
    /// DHCPDECLINE.
    pub const DECLINE: u8 = 4;
    /// DHCPACK.
    pub const ACK: u8 = 5;
    /// DHCPNAK.
    pub const NAK: u8 = 6;
    /// DHCPRELEASE.
    pub const RELEASE: u8 = 7;
    /// DHCPINFORM.
    pub const INFORM: u8 = 8;
}

/// A request, as far as the decision looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Option 53.
    pub kind: u8,
    /// The broadcast bit of flags.
    pub broadcast: bool,
    /// The frame's source MAC is chaddr.
    pub from_client: bool,
    /// The first 6 bytes of chaddr.
    pub mac: [u8; 6],
    /// IP source.
    pub source: [u8; 4],
    /// IP destination.
    pub destination: [u8; 4],
    /// ciaddr; zero: none.
    pub ciaddr: [u8; 4],
    /// giaddr; zero: not relayed.
    pub giaddr: [u8; 4],
    /// Option 50; zero: none, or that.
    pub requested: [u8; 4],
    /// Option 54; zero: none, or that.
    pub server: [u8; 4],
    /// Option 51; 0: none, or that.
    pub lease_time: u32,
    /// Fingerprint of option 61; 0: none.
    pub client_id: u64,
    /// Fingerprint of option 82; 0: none.
    pub relay_info: u64,
    /// Fingerprint of options 55, 60, 77 and 93, which decide what the reply says; 0: none.
    pub ask: u64,
}

/// No address.
pub const NONE: [u8; 4] = [0; 4];

impl Facts {
    /// Whether a relay sent it.
    #[inline(always)]
    pub fn is_relayed(&self) -> bool {
        self.giaddr != NONE
    }
}
