//! Why a request got no answer, by name: the label of a metric, and a word in the log.
//!
//! First the reasons of the gate, which a frame must pass to be a request at all, then those of the
//! engine, which knows what it means.

/// A reason for silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("ignored: {}", self.name())]
pub enum Ignored {
    /// Too short for Ethernet, more than two VLAN tags, or not IPv4.
    Ethernet,
    /// Sent to a multicast MAC.
    Destination,
    /// Sent from a multicast MAC, or from an IP address that sends nothing.
    Source,
    /// Not version 4, or a header shorter than 20 bytes.
    IpHeader,
    /// A fragment.
    Fragment,
    /// Not UDP, or not to port 67.
    NotDhcp,
    /// Lengths of frame, IP, UDP and BOOTP disagree.
    Lengths,
    /// A wrong IP or UDP checksum.
    Checksum,
    /// op is not BOOTREQUEST.
    Op,
    /// htype is not Ethernet's.
    Htype,
    /// hlen is not 6.
    Hlen,
    /// Over 16 hops: a loop of relays.
    Hops,
    /// chaddr is zero or multicast.
    Chaddr,
    /// Not the cookie of RFC 2131.
    Cookie,
    /// An option cut short, or no END.
    Options,
    /// A second 50, 51, 53, 54 or 57.
    DuplicateOption,
    /// A 50, 51, 53, 54 or 57 of the wrong length.
    OptionLength,
    /// An option 52 that says nothing sensible.
    Overload,
    /// A message that no client sends, or BOOTP where it is not served.
    MessageType,
    /// No network is on this wire.
    NotServed,
    /// Addressed to somebody else.
    ForeignDestination,
    /// A frame whose source is not its chaddr.
    ForeignSource,
    /// Through a relay that is not listed.
    UnknownRelay,
    /// A REQUEST in none of the four states of RFC 2131.
    RequestForm,
    /// For another server.
    OtherServer,
    /// A client that we do not know asks for an address it had elsewhere.
    UnknownClient,
    /// About an address that is not the client's.
    NotTheClients,
    /// A client without a reservation, where only those are served.
    NotReserved,
    /// The pool is empty.
    NoFreeAddress,
    /// Nothing that agents of a cluster agreed on lets us promise, or refuse, the address now.
    NotClaimed,
    /// Another agent of the cluster answers.
    StandingBy,
}

impl Ignored {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::Ethernet,
        Self::Destination,
        Self::Source,
        Self::IpHeader,
        Self::Fragment,
        Self::NotDhcp,
        Self::Lengths,
        Self::Checksum,
        Self::Op,
        Self::Htype,
        Self::Hlen,
        Self::Hops,
        Self::Chaddr,
        Self::Cookie,
        Self::Options,
        Self::DuplicateOption,
        Self::OptionLength,
        Self::Overload,
        Self::MessageType,
        Self::NotServed,
        Self::ForeignDestination,
        Self::ForeignSource,
        Self::UnknownRelay,
        Self::RequestForm,
        Self::OtherServer,
        Self::UnknownClient,
        Self::NotTheClients,
        Self::NotReserved,
        Self::NoFreeAddress,
        Self::NotClaimed,
        Self::StandingBy,
    ];

    /// The name in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Destination => "destination",
            Self::Source => "source",
            Self::IpHeader => "ip_header",
            Self::Fragment => "fragment",
            Self::NotDhcp => "not_dhcp",
            Self::Lengths => "lengths",
            Self::Checksum => "checksum",
            Self::Op => "op",
            Self::Htype => "htype",
            Self::Hlen => "hlen",
            Self::Hops => "hops",
            Self::Chaddr => "chaddr",
            Self::Cookie => "cookie",
            Self::Options => "options",
            Self::DuplicateOption => "duplicate_option",
            Self::OptionLength => "option_length",
            Self::Overload => "overload",
            Self::MessageType => "message_type",
            Self::NotServed => "not_served",
            Self::ForeignDestination => "foreign_destination",
            Self::ForeignSource => "foreign_source",
            Self::UnknownRelay => "unknown_relay",
            Self::RequestForm => "request_form",
            Self::OtherServer => "other_server",
            Self::UnknownClient => "unknown_client",
            Self::NotTheClients => "not_the_clients",
            Self::NotReserved => "not_reserved",
            Self::NoFreeAddress => "no_free_address",
            Self::NotClaimed => "not_claimed",
            Self::StandingBy => "standing_by",
        }
    }
}
