//! What a request means for a lease: the decision that the kernel and the agent share.
//!
//! [`decide`] says how to answer a client whose lease is at hand. It answers only what is sure;
//! all else is a [`Verdict::Pass`] with the reason, which the agent takes up.

use crate::counters::Counter;
use crate::facts::{Facts, MessageType, NONE};
use crate::maps::{Lease, LeaseFlags, LeaseState, Server, ServerFlags, Template, TemplateFlags};
use crate::times::{self, SECOND, Times};

/// An offer is made only while the lease has at least this long to run, so that the client's
/// REQUEST finds it.
pub const OFFER_MARGIN: u64 = 5 * SECOND;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer it.
    Reply(Answer),
    /// Suspend the entry, then pass the message up: the client gives its address back.
    Suspend,
    /// Leave it to the agent.
    Pass(Counter),
    /// Not worth the agent's time.
    Drop(Counter),
}

/// The part of a reply that depends on the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Option 53: OFFER or ACK.
    pub kind: u8,
    /// Options 51, 58, 59.
    pub times: Times,
    /// When the lease ends, if this is an ACK.
    pub expires: u64,
    /// ciaddr of the reply.
    pub ciaddr: [u8; 4],
    /// Where it goes.
    pub to: Destination,
}

/// Where a reply goes (checklist rows 10 to 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// IP destination.
    pub ip: [u8; 4],
    /// UDP port: 68, or 67 for a relay.
    pub port: u16,
    /// The link-layer address.
    pub link: Link,
}

/// The link-layer address of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// ff:ff:ff:ff:ff:ff.
    Broadcast,
    /// chaddr.
    Client,
    /// Back to where the frame came from: a relay, or the router before it.
    Sender,
}

/// Decides on a request of the client whose lease this is.
///
/// The lease's generation is checked against the server's, and the template's too: the caller
/// need only look them up.
#[inline(always)]
pub fn decide(facts: &Facts, lease: &Lease, terms: &Template, server: &Server, now: u64) -> Verdict {
    if let Some(refused) = gate(facts, lease, terms, server, now) {
        return refused;
    }
    match facts.kind {
        MessageType::DISCOVER => discover(facts, lease, terms, now),
        MessageType::REQUEST => request(facts, lease, terms, now),
        MessageType::RELEASE if facts.ciaddr == lease.ip && facts.server == terms.server => Verdict::Suspend,
        MessageType::DECLINE if facts.requested == lease.ip && facts.server == terms.server => {
            Verdict::Suspend
        }
        MessageType::RELEASE | MessageType::DECLINE => Verdict::Pass(Counter::OtherAddress),
        _ => Verdict::Pass(Counter::MessageType),
    }
}

/// Checks that hold for every message (checklist G3, G8, G10, G11 and rows 49 to 51).
#[inline(always)]
fn gate(facts: &Facts, lease: &Lease, terms: &Template, server: &Server, now: u64) -> Option<Verdict> {
    if let Some(refused) = foreign_source(facts, server) {
        return Some(refused);
    }
    let pass = |reason| Some(Verdict::Pass(reason));
    if lease.state == LeaseState::SUSPENDED {
        return pass(Counter::Suspended);
    }
    let is_its = lease.mac == facts.mac || lease.mac == [0; 6];
    if !is_its || lease.generation != server.generation || terms.generation != server.generation {
        return pass(Counter::Stale);
    }
    if now >= lease.expires {
        return pass(Counter::Expired);
    }
    if facts.giaddr != lease.giaddr || facts.relay_info != lease.relay_info {
        return pass(Counter::OtherRelay);
    }
    if lease.flags & LeaseFlags::BY_CLIENT_ID != 0 && facts.client_id != lease.client_id {
        return pass(Counter::OtherClientId);
    }
    if !addressed_to_us(facts, terms) {
        return pass(Counter::ForeignDestination);
    }
    if !from_our_network(facts, lease, terms) {
        return pass(Counter::ForeignNetwork);
    }
    // One that gives its address back asks for nothing, whatever it lists.
    let asks = matches!(facts.kind, MessageType::DISCOVER | MessageType::REQUEST);
    if asks && facts.ask != lease.ask {
        return pass(Counter::OtherParameters);
    }
    None
}

/// A frame that claims to come from another client than the one in chaddr (G8).
///
/// What a router brought (a renewal from another link) has the router's MAC: it is unicast, has an IP
/// source, and goes up. What cannot have come through a router is dropped.
#[inline(always)]
pub fn foreign_source(facts: &Facts, server: &Server) -> Option<Verdict> {
    if facts.giaddr != NONE || facts.from_client || server.flags & ServerFlags::CHECK_SOURCE == 0 {
        return None;
    }
    if facts.source == NONE || facts.destination == BROADCAST {
        return Some(Verdict::Drop(Counter::ForeignSource));
    }
    Some(Verdict::Pass(Counter::ForeignNetwork))
}

/// 255.255.255.255.
pub const BROADCAST: [u8; 4] = [255; 4];

#[inline(always)]
fn addressed_to_us(facts: &Facts, terms: &Template) -> bool {
    let [network, mask] = [u32::from_ne_bytes(terms.network), u32::from_ne_bytes(terms.mask)];
    facts.destination == BROADCAST
        || facts.destination == terms.server
        || u32::from_ne_bytes(facts.destination) == network | !mask
}

#[inline(always)]
fn from_our_network(facts: &Facts, lease: &Lease, terms: &Template) -> bool {
    if facts.giaddr != NONE {
        return facts.source == lease.relay;
    }
    let [network, mask] = [u32::from_ne_bytes(terms.network), u32::from_ne_bytes(terms.mask)];
    facts.source == NONE || u32::from_ne_bytes(facts.source) & mask == network
}

/// DISCOVER: the present binding is offered again (row 21).
#[inline(always)]
fn discover(facts: &Facts, lease: &Lease, terms: &Template, now: u64) -> Verdict {
    if facts.ciaddr != NONE || facts.server != NONE {
        return Verdict::Pass(Counter::RequestForm);
    }
    if lease.expires.saturating_sub(now) < OFFER_MARGIN {
        return Verdict::Pass(Counter::Expiring);
    }
    answer(MessageType::OFFER, facts, lease, terms, now)
}

/// REQUEST, told apart by RFC 2131 §4.3.2's table (rows 29 to 38).
#[inline(always)]
fn request(facts: &Facts, lease: &Lease, terms: &Template, now: u64) -> Verdict {
    let pass = Verdict::Pass;
    if facts.ciaddr == NONE {
        // SELECTING (54) or INIT-REBOOT (none): 50 names the address.
        if facts.requested == NONE {
            return pass(Counter::RequestForm);
        }
        if facts.server != NONE && facts.server != terms.server {
            return pass(Counter::OtherServer);
        }
        if facts.requested != lease.ip {
            return pass(Counter::OtherAddress);
        }
    } else {
        // RENEWING (unicast) or REBINDING (broadcast): neither 50 nor 54.
        if facts.server != NONE || facts.requested != NONE {
            return pass(Counter::RequestForm);
        }
        if facts.ciaddr != lease.ip {
            return pass(Counter::OtherAddress);
        }
    }
    let selecting = facts.server != NONE;
    if !selecting && lease.state != LeaseState::BOUND {
        return pass(Counter::NotBound);
    }
    let verdict = answer(MessageType::ACK, facts, lease, terms, now);
    match verdict {
        Verdict::Reply(answer) if answer.expires > lease.horizon => pass(Counter::Horizon),
        _ => verdict,
    }
}

#[inline(always)]
fn answer(kind: u8, facts: &Facts, lease: &Lease, terms: &Template, now: u64) -> Verdict {
    let times = times::times(facts.lease_time, facts.mac, terms);
    Verdict::Reply(Answer {
        kind,
        times,
        expires: times::end(now, times.lease),
        ciaddr: if kind == MessageType::ACK { facts.ciaddr } else { NONE },
        to: destination(facts, lease.ip, terms.flags & TemplateFlags::ALWAYS_BROADCAST != 0),
    })
}

/// Where an OFFER or ACK goes.
#[inline(always)]
pub fn destination(facts: &Facts, yiaddr: [u8; 4], always_broadcast: bool) -> Destination {
    if facts.giaddr != NONE {
        return Destination { ip: facts.giaddr, port: 67, link: Link::Sender };
    }
    if facts.ciaddr != NONE {
        return Destination { ip: facts.ciaddr, port: 68, link: Link::Client };
    }
    if facts.broadcast || always_broadcast {
        return Destination { ip: BROADCAST, port: 68, link: Link::Broadcast };
    }
    Destination { ip: yiaddr, port: 68, link: Link::Client }
}
