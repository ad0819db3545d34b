//! The acceptance checklist: what the server must do, a row each, and who may do it.
//!
//! A row's id begins the names of its tests: `c29_…` for row 29, `g05_…` for G5, `b01_…` for B1.

/// One requirement.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// As tests name it: a letter and two digits.
    pub id: &'static str,
    /// Who may answer (or drop), and when.
    pub path: Path,
    /// What is required, in short.
    pub says: &'static str,
}

/// Who does what a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// K: the kernel may answer.
    Kernel,
    /// K*: the kernel may answer under this condition, else it passes the message up.
    KernelIf(&'static str),
    /// A: the agent alone.
    Agent,
    /// The agent, and this much of it the kernel.
    AgentAnd(&'static str),
    /// D: the kernel may drop it, and counts that.
    Dropped,
}

impl Path {
    /// Whether the row needs a test that runs the XDP program.
    pub fn needs_kernel(self) -> bool {
        self != Self::Agent
    }

    /// Whether the row needs a test of the agent.
    pub fn needs_agent(self) -> bool {
        self != Self::Dropped
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kernel => f.pad("K"),
            Self::KernelIf(condition) => f.pad(&format!("K* {condition}")),
            Self::Agent => f.pad("A"),
            Self::AgentAnd(kernel) => f.pad(&format!("A, {kernel}")),
            Self::Dropped => f.pad("D"),
        }
    }
}

const fn row(id: &'static str, path: Path, says: &'static str) -> Row {
    Row { id, path, says }
}

use Path::{Agent as A, AgentAnd, Dropped as D, Kernel as K, KernelIf};

/// Where the condition is the plain one: else the kernel would say something else than the agent.
const SURE: Path = KernelIf("when sure");

/// All rows, in their order.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // The gate.
    row("g01", K, "Ethernet II with 0, 1 or 2 VLAN tags, to the broadcast MAC or ours"),
    row("g02", K, "IPv4 with a header of 20 bytes, no fragment, UDP"),
    row("g03", K, "IP destination broadcast, ours or the subnet's broadcast; source none, in the subnet, or a listed relay"),
    row("g04", K, "UDP to port 67, from 68, or from 67 with giaddr set"),
    row("g05", K, "lengths of IP, UDP and frame agree; at least 240 bytes of BOOTP"),
    row("g06", K, "the IP checksum is right; the UDP checksum where a switch says so"),
    row("g07", K, "op 1, htype 1, hlen 6, hops up to 16, the cookie, chaddr unicast and not zero"),
    row("g08", K, "not relayed: the Ethernet source is chaddr, by a policy that is on by default"),
    row("g09", K, "options walked to END in bounds; 53 of length 1; typed ones of their length, once; no 52"),
    row("g10", K, "the lease is bound, not suspended, of this generation, interface and VLAN"),
    row("g11", K, "the lease has not expired, by boot time"),
    row("g12", D, "budgets for each client and each interface of what goes up"),
    // Messages.
    row("c01", K, "op 2; htype, hlen, xid, flags, giaddr and chaddr copied; hops and secs 0"),
    row("c02", K, "ciaddr: 0 in OFFER and NAK, the REQUEST's own in ACK"),
    row("c03", K, "yiaddr: the address in OFFER and ACK, 0 in NAK and in the ACK to INFORM"),
    row("c04", K, "siaddr the next boot server or 0; sname and file empty unless configured"),
    row("c05", K, "reserved bits of flags ignored"),
    row("c06", K, "replies of at least 300 bytes; shorter requests are served"),
    row("c07", KernelIf("up to 576 bytes"), "the reply fits 576 bytes, or the client's option 57"),
    row("c08", K, "53 first, then 54 and 51; 1 before 3; 82 last; each once, long ones split by RFC 3396"),
    row("c09", K, "a right, non-zero UDP checksum and a right IP checksum"),
    row("c10", KernelIf("straight from the relay"), "relayed: unicast to giaddr, port 67 to 67, whoever the next hop is"),
    row("c11", K, "ciaddr set: unicast to ciaddr, port 68"),
    row("c12", K, "broadcast flag: broadcast; else unicast to yiaddr and chaddr; or always broadcast"),
    row("c13", A, "NAK: broadcast; through a relay to giaddr with the broadcast flag"),
    row("c14", K, "source address and option 54 are an address of ours on that network"),
    // DISCOVER.
    row("c21", AgentAnd("present bindings K"), "choice: reservation, present binding, last one, address asked for, never used, free for longest; networks in order"),
    row("c22", K, "OFFER carries 51, 53, 54, 1; never 50, 55, 57"),
    row("c23", SURE, "the lease time asked for is clamped to the pool's limits"),
    row("c24", A, "a new address is probed before it is offered, and no other client waits for that"),
    row("c25", A, "an offer is held for a while, then free again"),
    row("c26", SURE, "configured options that are asked for, in the order asked; the mask always"),
    row("c27", A, "empty pool: silence, a warning once a minute, a metric"),
    row("c28", A, "two DISCOVERs at one moment never get one address"),
    // REQUEST.
    row("c29", KernelIf("when durable"), "SELECTING, 54 ours, 50 the offered address: durable, then ACK"),
    row("c30", A, "SELECTING, 54 another's: silence, and our offer is free at once"),
    row("c31", A, "SELECTING, 50 not what we offered: NAK"),
    row("c32", K, "INIT-REBOOT, the right address: ACK"),
    row("c33", A, "INIT-REBOOT, wrong network or wrong address of a known client: NAK"),
    row("c34", A, "INIT-REBOOT, unknown client: silence; NAK where authoritative"),
    row("c35", KernelIf("within the horizon"), "RENEWING: ACK with the full time"),
    row("c36", SURE, "REBINDING: ACK if ours"),
    row("c37", A, "renewing an address that is not the client's: NAK if authoritative, else silence"),
    row("c38", A, "50 with ciaddr, 54 with ciaddr, or neither 50 nor ciaddr: ignored, counted"),
    row("c39", K, "T1 and T2 half and 7/8 of the time unless configured, jitter by client alone; none where infinite"),
    row("c40", K, "the ACK says what the OFFER said"),
    row("c41", SURE, "boot file and next server are in the ACK as in the OFFER"),
    // The rest of the protocol.
    row("c45", AgentAnd("suspended by K"), "DECLINE of the holder, naming us: quarantined, counted; of anybody else: ignored"),
    row("c46", AgentAnd("suspended by K"), "RELEASE of the holder: free, kept for it; of anybody else: ignored"),
    row("c47", A, "INFORM: ACK to ciaddr with options, no 51, no yiaddr, no lease"),
    row("c48", A, "BOOTP without 53: from reservations where a network says so, else ignored"),
    row("c49", SURE, "identity: the MAC alone; client-id where the network says so"),
    row("c50", KernelIf("up to 64 bytes"), "61 returned unaltered when it was sent, and only then; under 2 bytes ignored"),
    row("c51", KernelIf("up to 128 bytes"), "82 echoed whole, last; not trusted from an unlisted relay or with giaddr 0"),
    row("c52", A, "82.5 and 118 choose the subnet; 82.11 overrides 54; 82.19 the port"),
    row("c53", AgentAnd("then K"), "reservations by MAC, client-id, circuit-id, remote-id; with host name and options"),
    row("c54", A, "52 read on the way in; used on the way out only when there is no room"),
    row("c55", KernelIf("from the template"), "119 compressed, 121 with the default route, 42, 26, 6, 12, 15, 28, 43, 66, 67, 150, any by number"),
    row("c56", A, "108 only when asked for and configured"),
    row("c57", A, "60, 77, 93, 97 select boot file and server; 97 echoed; iPXE; HTTP boot; 60 only with a 43"),
    row("c58", AgentAnd("counted by K"), "another server's messages: counted, logged once a minute, never answered"),
    row("c59", A, "expired addresses come back, never before the horizon if the kernel could renew them"),
    row("c60", K, "a change of configuration reaches every lease at its next message"),
    row("c61", K, "a clock that steps neither expires nor extends a lease"),
    // What has broken other servers.
    row("b01", K, "hlen from 0 to 255"),
    row("b02", K, "a wrong cookie"),
    row("b03", K, "108 in the parameter list with no subnet"),
    row("b04", K, "a host name that is empty, over long or not UTF-8"),
    row("b05", K, "an FQDN label over 63 bytes"),
    row("b06", K, "a client-id of 0, 1 and 255 bytes"),
    row("b07", K, "a UDP length too small, too large and wrapped"),
    row("b08", K, "an option cut at each byte"),
    row("b09", K, "53 of length 2"),
    row("b10", K, "50 of length 3 followed by a good 54"),
    row("b11", K, "a RELEASE whose client-id looks like a REQUEST"),
    row("b12", K, "overload that points at itself"),
    row("b13", K, "IHL 6"),
    row("b14", K, "fragments"),
    row("b15", K, "htype 32"),
    row("b16", K, "text of a client's own that would make a journal or an object unreadable"),
    row("b17", K, "thousands of relays in giaddr"),
    row("b18", K, "DECLINE for every address"),
];

/// The row with this id.
pub fn find(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_letter_and_two_digits_and_each_is_there_once() {
        for row in ROWS {
            let (letter, number) = row.id.split_at(1);
            assert!(["b", "c", "g"].contains(&letter) && number.len() == 2, "{}", row.id);
            assert!(number.parse::<u8>().is_ok(), "{}", row.id);
            assert_eq!(ROWS.iter().filter(|other| other.id == row.id).count(), 1, "{}", row.id);
        }
        assert_eq!(find("c29").map(|row| row.path), Some(KernelIf("when durable")));
        assert_eq!(find("c42"), None);
    }
}
