//! Keys and values of the maps, as `bpftool map dump` shows them.
//!
//! Addresses are in network byte order, as bytes; times are boot-time nanoseconds. Every struct is
//! `repr(C)` without implicit padding, so that it can be compared and copied byte for byte.

/// The kernel's lock inside a map value; its name is what the verifier looks for.
///
/// The agent writes a lease's value in place under this lock (`BPF_F_LOCK`), so a program that
/// holds a pointer to the value never sees half of a change.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct bpf_spin_lock {
    /// The kernel's own.
    pub val: u32,
}

/// Key of `LEASES`: a client on a wire.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseKey {
    /// The interface and VLAN the client is on.
    pub wire: Wire,
    /// chaddr.
    pub mac: [u8; 6],
    /// Always zero.
    pub zero: [u8; 2],
}

/// Key of `SERVERS`: an interface and the VLAN tags of a frame, outermost first, 0 for none.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wire {
    /// Index of the interface.
    pub interface: u32,
    /// VLAN ids, host byte order.
    pub vlan: [u16; 2],
}

/// Value of `LEASES`: a binding that is on disk up to `horizon`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// Held while `expires`, `answered` and `state` are changed.
    pub lock: bpf_spin_lock,
    /// The configuration this entry was made for.
    pub generation: u32,
    /// When the client's time ends, or up to [`crate::times::TOLD_FOR`] later; `u64::MAX`: never.
    pub expires: u64,
    /// Up to when the kernel may renew alone; `u64::MAX`: for ever.
    pub horizon: u64,
    /// When the kernel last answered with an ACK that it told of; 0: never.
    pub answered: u64,
    /// Fingerprint of what the client asked for when the template was rendered ([`crate::facts`]).
    pub ask: u64,
    /// Fingerprint of option 82 when the entry was made; 0: there was none.
    pub relay_info: u64,
    /// Fingerprint of option 61 when the entry was made; 0: there was none.
    pub client_id: u64,
    /// The client's address.
    pub ip: [u8; 4],
    /// giaddr of its requests; zero: it is on the link.
    pub giaddr: [u8; 4],
    /// IP source of its relay; zero: it is on the link.
    pub relay: [u8; 4],
    /// Index into `TEMPLATES`.
    pub template: u32,
    /// [`LeaseState`].
    pub state: u8,
    /// [`LeaseFlags`].
    pub flags: u8,
    /// chaddr of the client whose entry this is; zero: not said. The memory of an entry that was removed may
    /// hold another client's while a run of the program that found it goes on.
    pub mac: [u8; 6],
}

/// What a lease's entry is good for.
pub struct LeaseState;

impl LeaseState {
    /// Nothing: the agent decides.
    pub const SUSPENDED: u8 = 0;
    /// Offered: a REQUEST in SELECTING binds it.
    pub const OFFERED: u8 = 1;
    /// Bound.
    pub const BOUND: u8 = 2;
}

/// Bits of [`Lease::flags`].
pub struct LeaseFlags;

impl LeaseFlags {
    /// The client-id is part of the client's identity: `client_id` must match.
    pub const BY_CLIENT_ID: u8 = 1;
}

/// Value of `SERVERS`: how a wire is served.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Server {
    /// The present configuration; entries of another generation go up.
    pub generation: u32,
    /// [`ServerFlags`].
    pub flags: u32,
    /// Tells one configuration from another, so that a restart can keep the generation.
    pub config: u64,
    /// The address of the first network on this wire.
    pub address: [u8; 4],
    /// The interface's own MAC.
    pub mac: [u8; 6],
    /// Always zero.
    pub zero: [u8; 2],
    /// What may go up from this wire in a second; 0: no limit.
    pub wire_per_second: u32,
    /// What may go up from one client in a second; 0: no limit.
    pub client_per_second: u32,
}

/// Bits of [`Server::flags`].
pub struct ServerFlags;

impl ServerFlags {
    /// A frame that no relay sent must have chaddr as its source.
    pub const CHECK_SOURCE: u32 = 1;
    /// The request's UDP checksum is verified (never on virtual interfaces, which hand over
    /// half-made ones).
    pub const CHECK_UDP: u32 = 2;
}

/// The most bytes of options that a template holds.
pub const TEMPLATE_OPTIONS: usize = 256;

/// Value of `TEMPLATES`: all of a reply that does not depend on the request.
///
/// `options` follows 53, 54, 51 (and 58, 59) and precedes 61, 82 and END.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// The configuration it was rendered for.
    pub generation: u32,
    /// [`TemplateFlags`].
    pub flags: u32,
    /// Our address on the network: source of the reply, and option 54.
    pub server: [u8; 4],
    /// The subnet.
    pub network: [u8; 4],
    /// The subnet's mask.
    pub mask: [u8; 4],
    /// siaddr.
    pub next_server: [u8; 4],
    /// Lease time for those who ask for none, in seconds; `u32::MAX`: for ever.
    pub lease_default: u32,
    /// The least lease time.
    pub lease_min: u32,
    /// The most.
    pub lease_max: u32,
    /// T1 where it is fixed, else 0.
    pub renew: u32,
    /// T2 where it is fixed, else 0.
    pub rebind: u32,
    /// How much of `options` is used.
    pub options_len: u32,
    /// Partial checksum of what the reply takes from here (see [`crate::checksum`]).
    pub sum: u32,
    /// Always zero.
    pub zero: u32,
    /// sname.
    pub server_name: [u8; 64],
    /// file.
    pub file: [u8; 128],
    /// Encoded options.
    pub options: [u8; TEMPLATE_OPTIONS],
}

/// Bits of [`Template::flags`].
pub struct TemplateFlags;

impl TemplateFlags {
    /// Replies are broadcast whatever the client's flag says.
    pub const ALWAYS_BROADCAST: u32 = 1;
}

/// Bit of the number in `EPOCH`: it changes with each change that the agent makes of `LEASES`, too. Without it
/// the number says nothing of leases.
pub const COVERS_LEASES: u64 = 1 << 63;

/// The element of `COUNTERS` that the program counts in.
pub const PROGRAM_COUNTERS: u32 = 0;

/// The element of `COUNTERS` that says what was counted before there was this map. The program never
/// touches it: the agent can write it while the program counts.
pub const CARRIED_COUNTERS: u32 = 1;

/// What the ring buffer `EVENTS` carries.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event {
    /// [`EventKind`].
    pub kind: u32,
    /// For another server: its messages since the last such event.
    pub messages: u32,
    /// The client; for another server its own MAC.
    pub key: LeaseKey,
    /// The lease's address; for another server its own.
    pub ip: [u8; 4],
    /// Always zero.
    pub more_zero: [u8; 4],
    /// When it happened.
    pub at: u64,
    /// When the client's time ends now.
    pub expires: u64,
}

/// Values of [`Event::kind`].
pub struct EventKind;

impl EventKind {
    /// The kernel sent an ACK, and may send more for [`crate::times::TOLD_FOR`]: the lease runs until
    /// `expires`.
    pub const RENEWED: u32 = 1;
    /// A RELEASE or DECLINE suspended the entry; the message itself goes up.
    pub const SUSPENDED: u32 = 2;
    /// A reply of another DHCP server came in on our wire.
    pub const OTHER_SERVER: u32 = 3;
}

/// Value of `LIMITS`: a client's budget of messages that go up. (Under a key that is no client's, what
/// was seen of other servers.)
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// When `left` was last filled.
    pub filled: u64,
    /// Messages left; of another server, those that no event told of yet.
    pub left: u32,
    /// Always zero.
    pub zero: u32,
}
