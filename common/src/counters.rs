//! What is counted, by name: one list makes the enum the program counts with, the struct that
//! `bpftool` shows, and the names that metrics and `xdhcpd stats` print.

/// Declares an enum whose variants are indexes into [`Counters`] and have a name.
macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $field:ident,)*) => {
        /// What is counted; the number is the place in [`Counters`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in the map, in metrics and in JSON (there without its prefix).
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }

        /// The one value, for each CPU, of `COUNTERS`.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// How long answers took: bucket `n` counts those of under `2^(n+6)` ns that fit no
            /// lower one; the last takes the rest.
            pub answer_nanoseconds: [u64; TIME_BUCKETS],
            /// Sum of the times in `answer_nanoseconds`.
            pub answer_nanoseconds_sum: u64,
        }

        impl Counters {
            /// The count of one counter.
            pub const fn get(&self, counter: Counter) -> u64 {
                match counter { $(Counter::$variant => self.$field,)* }
            }
        }
    };
}

/// How many buckets the histogram of answer times has.
pub const TIME_BUCKETS: usize = 16;

/// One answer in this many is timed: two readings of the clock would cost a third of an answer.
pub const TIMED_ANSWERS: u64 = 64;

counters! {
    /// OFFERs sent by the kernel.
    AnsweredOffer = answered_offer,
    /// ACKs sent by the kernel.
    AnsweredAck = answered_ack,
    /// Not a message to a DHCP server.
    NotDhcp = passed_not_dhcp,
    /// A wire that no network is on.
    NotServed = passed_not_served,
    /// Neither broadcast nor addressed to us.
    ForeignDestination = passed_foreign_destination,
    /// IP source neither 0.0.0.0, nor in the subnet, nor the client's relay; or a MAC source that is a
    /// group's, or a router's.
    ForeignNetwork = passed_foreign_network,
    /// IP options, a wrong version, or a fragment.
    IpHeader = passed_ip_header,
    /// Lengths of frame, IP, UDP and BOOTP disagree.
    Length = passed_length,
    /// A wrong IP or UDP checksum.
    Checksum = passed_checksum,
    /// op, htype, hlen, hops, cookie or chaddr.
    Bootp = passed_bootp,
    /// An option cut short, twice, of the wrong length, or no END.
    Options = passed_options,
    /// More options than the kernel walks.
    ManyOptions = passed_many_options,
    /// An option whose meaning only the agent knows (52, 97, 118).
    RareOption = passed_rare_option,
    /// A client-id or relay information too long to echo, or too short to be one.
    EchoLength = passed_echo_length,
    /// INFORM and the like.
    MessageType = passed_message_type,
    /// RELEASE or DECLINE of a lease that the kernel suspended.
    GivenBack = passed_given_back,
    /// No entry for this client.
    NoLease = passed_no_lease,
    /// The entry is suspended.
    Suspended = passed_suspended,
    /// The entry or its template is of another configuration.
    Stale = passed_stale,
    /// The lease ran out.
    Expired = passed_expired,
    /// The lease runs out before the client could take the offer.
    Expiring = passed_expiring,
    /// Renewed up to the horizon: the agent must write first.
    Horizon = passed_horizon,
    /// Only offered, and this is not the REQUEST that takes it.
    NotBound = passed_not_bound,
    /// Through another relay, or with other relay information, than before.
    OtherRelay = passed_other_relay,
    /// Another client-id, where that is the identity.
    OtherClientId = passed_other_client_id,
    /// Other parameters asked for than the template was rendered for.
    OtherParameters = passed_other_parameters,
    /// Option 54 names another server.
    OtherServer = passed_other_server,
    /// Another address than the lease's.
    OtherAddress = passed_other_address,
    /// A REQUEST in none of the four states of RFC 2131.
    RequestForm = passed_request_form,
    /// The reply would not fit 576 bytes.
    ReplyLength = passed_reply_length,
    /// No room in the ring buffer for the event.
    RingFull = passed_ring_full,
    /// The frame could not be resized.
    NoRoom = passed_no_room,
    /// A frame whose source is not its chaddr.
    ForeignSource = dropped_foreign_source,
    /// Over the client's budget.
    ClientBudget = dropped_client_budget,
    /// Over the wire's budget.
    WireBudget = dropped_wire_budget,
    /// Messages of other DHCP servers.
    OtherServerMessages = other_server_messages,
}
