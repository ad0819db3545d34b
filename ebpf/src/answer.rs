//! From a parsed request to its outcome: look-ups, the decision, and what it takes to act on it.

use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};
use aya_ebpf::programs::XdpContext;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::decision::{self, Answer, Verdict};
use xdhcpd_common::facts::MessageType;
use xdhcpd_common::maps::{Event, EventKind, Lease, LeaseState, Template};
use xdhcpd_common::times::{TICK, TOLD_FOR};

use crate::maps::{LEASES, Request, Scratch, Served, TEMPLATES};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::resize::{Resized, resize, undo};
use crate::{clock, events, words};

/// Makes all ready for the reply to a request, or says why there is none.
#[inline(always)]
pub(crate) fn answer(ctx: &XdpContext, scratch: &mut Scratch) -> Outcome {
    let request = &mut scratch.request;
    let (facts, server, key) = (&request.header.facts, &request.server, &request.key);
    // Before the look-up, so that it also holds for clients that are not known.
    match decision::foreign_source(facts, server) {
        Some(Verdict::Drop(reason)) => return Outcome::dropped(reason),
        Some(Verdict::Pass(reason)) => return Outcome::left_to_agent(reason),
        _ => {}
    }
    // An offer promises nothing yet. (Before the look-up, because reading the clock waits for all loads.)
    if facts.kind != MessageType::DISCOVER {
        request.now = clock::exactly().wrapping_add(TICK);
    }
    let Some(entry) = LEASES.get_ptr_mut(key) else {
        return Outcome::left_to_agent(Counter::NoLease);
    };
    // SAFETY: elements of this map are freed no sooner than the program ends. What others change meanwhile is
    // checked again before an ACK, which promises: under the lock, or by the epoch.
    let lease = unsafe { &*entry };
    let Some(terms) = TEMPLATES.get(lease.template) else {
        return Outcome::left_to_agent(Counter::Stale);
    };
    match decision::decide(facts, lease, terms, server, request.now) {
        Verdict::Reply(answer) => reply(ctx, scratch, entry, terms, &answer),
        Verdict::Suspend => suspend(request, entry),
        Verdict::Pass(reason) => Outcome::left_to_agent(reason),
        Verdict::Drop(reason) => Outcome::dropped(reason),
    }
}

/// Plans the reply, gives the frame its length, and renews the lease.
#[inline(always)]
fn reply(
    ctx: &XdpContext,
    scratch: &mut Scratch,
    entry: *mut Lease,
    terms: &Template,
    answer: &Answer,
) -> Outcome {
    let Scratch { served, forgotten, request, plan, kept, woken, .. } = scratch;
    let packet = &Packet::with(ctx, forgotten);
    // SAFETY: as in `answer`.
    let lease = unsafe { &*entry };
    let (ip, generation) = (lease.ip, lease.generation);
    let mac = words::of_chaddr(request.header.chaddr);
    let renewal = Renewal { ip, generation, mac, expires: answer.expires, began: request.began() };
    let plan = match plan.note(packet, request, answer, ip, lease.template) {
        Ok(plan) => plan,
        Err(reason) => return Outcome::left_to_agent(reason),
    };
    let growth = match plan.measure(packet, terms, kept) {
        Ok(growth) => growth,
        Err(reason) => return Outcome::left_to_agent(reason),
    };
    if plan.kind == MessageType::OFFER {
        // An offer changes nothing: who takes it sends a REQUEST.
        return match resize(ctx, growth) {
            Some(_) => Outcome::answered(Counter::AnsweredOffer),
            None => Outcome::left_to_agent(Counter::NoRoom),
        };
    }
    if renewal.is_told(lease) {
        return repeat(ctx, growth, &renewal, entry, *served);
    }
    let told = renewal.told(lease);
    let Some(event) = events::reserve() else {
        return Outcome::left_to_agent(Counter::RingFull);
    };
    let Some(resized) = resize(ctx, growth) else {
        events::discard(event);
        return Outcome::left_to_agent(Counter::NoRoom);
    };
    if !renewal.apply(entry, told) {
        events::discard(event);
        return put_back(ctx, resized);
    }
    let (kind, key, at) = (EventKind::RENEWED, request.key, request.began());
    events::submit(event, Event { kind, key, ip, at, expires: told, ..Event::default() }, woken);
    Outcome::answered(Counter::AnsweredAck)
}

/// Answers what the last event covers. (A way of its own, because Linux 5.10 does not see that an event which
/// may be there or not is given back wherever it is there.)
#[inline(always)]
fn repeat(ctx: &XdpContext, growth: i32, renewal: &Renewal, entry: *mut Lease, served: Served) -> Outcome {
    let Some(resized) = resize(ctx, growth) else {
        return Outcome::left_to_agent(Counter::NoRoom);
    };
    // Other CPUs' renewals change a word at a time, and end what they began.
    if served.still_holds() || renewal.still_told(entry) {
        return Outcome::answered(Counter::AnsweredAck);
    }
    put_back(ctx, resized)
}

/// The agent changed the lease meanwhile: the frame goes up as it came. What cannot be put back so must not
/// be seen.
#[inline(always)]
fn put_back(ctx: &XdpContext, resized: Resized) -> Outcome {
    if undo(ctx, resized) {
        Outcome::left_to_agent(Counter::Stale)
    } else {
        Outcome::dropped(Counter::NoRoom)
    }
}

/// What an ACK does to its lease.
struct Renewal {
    ip: [u8; 4],
    generation: u32,
    mac: u64,
    /// What the client is promised.
    expires: u64,
    began: u64,
}

impl Renewal {
    /// Whether an event of a moment ago covers this renewal too: it told of a later end.
    #[inline(always)]
    fn is_told(&self, lease: &Lease) -> bool {
        lease.state == LeaseState::BOUND
            && lease.expires >= self.expires
            && self.began.saturating_sub(lease.answered) < TOLD_FOR
    }

    /// The end that an event tells of: a little later than the client's, but not past the horizon.
    #[inline(always)]
    fn told(&self, lease: &Lease) -> u64 {
        let later = self.expires.saturating_add(TOLD_FOR);
        if later > lease.horizon { lease.horizon } else { later }
    }

    /// Renews the lease until `told`, unless the agent has changed it since it was read.
    #[inline(always)]
    fn apply(&self, entry: *mut Lease, told: u64) -> bool {
        // SAFETY: `entry` was found in this run. Its lock is at its start, as the kernel found in the
        // map's BTF; words are read and written as they are in memory, neither earlier nor later.
        unsafe {
            bpf_spin_lock(entry.cast());
            let holds = self.state(entry) != LeaseState::SUSPENDED
                && (&raw const (*entry).horizon).read_volatile() >= told;
            if holds {
                // Another CPU may have answered the same client a moment later.
                if (&raw const (*entry).expires).read_volatile() < told {
                    (&raw mut (*entry).expires).write_volatile(told);
                }
                (&raw mut (*entry).answered).write_volatile(self.began);
                (&raw mut (*entry).state).write_volatile(LeaseState::BOUND);
            }
            bpf_spin_unlock(entry.cast());
            holds
        }
    }

    /// Whether the lease still runs as long as this renewal promises.
    #[inline(always)]
    fn still_told(&self, entry: *mut Lease) -> bool {
        // SAFETY: as in `apply`.
        unsafe {
            bpf_spin_lock(entry.cast());
            let holds = self.state(entry) == LeaseState::BOUND
                && (&raw const (*entry).expires).read_volatile() >= self.expires;
            bpf_spin_unlock(entry.cast());
            holds
        }
    }

    /// The entry's state, if it is still the client's and as it was read; suspended if it is not. State and client
    /// are one word: no lock is held where an entry is made in the memory of one that was removed.
    ///
    /// # Safety
    ///
    /// As in `apply`, under the lock.
    #[inline(always)]
    unsafe fn state(&self, entry: *mut Lease) -> u8 {
        const {
            let at = core::mem::offset_of!(Lease, state);
            assert!(at.is_multiple_of(8), "a word begins with the state");
            assert!(core::mem::offset_of!(Lease, mac) == at.wrapping_add(2), "and ends with the MAC");
        }
        // SAFETY: the caller's.
        let (ip, generation, word) = unsafe {
            (
                (&raw const (*entry).ip).cast::<u32>().read_volatile(),
                (&raw const (*entry).generation).read_volatile(),
                (&raw const (*entry).state).cast::<u64>().read_volatile(),
            )
        };
        let client = word >> 16;
        let holds = (client == self.mac || client == 0)
            && ip == u32::from_ne_bytes(self.ip)
            && generation == self.generation;
        if holds { word as u8 } else { LeaseState::SUSPENDED }
    }
}

/// Suspends an entry whose client gives the address back, tells the agent, and lets the message
/// itself go up.
#[inline(always)]
fn suspend(request: &Request, entry: *mut Lease) -> Outcome {
    // SAFETY: as in `Renewal::apply`.
    let (ip, expires) = unsafe {
        bpf_spin_lock(entry.cast());
        (&raw mut (*entry).state).write_volatile(LeaseState::SUSPENDED);
        let ip = (&raw const (*entry).ip).cast::<u32>().read_volatile();
        let expires = (&raw const (*entry).expires).read_volatile();
        bpf_spin_unlock(entry.cast());
        (ip.to_ne_bytes(), expires)
    };
    if let Some(room) = events::reserve() {
        let (kind, key, at) = (EventKind::SUSPENDED, request.key, request.began());
        events::submit_now(room, Event { kind, key, ip, at, expires, ..Event::default() });
    }
    Outcome::left_to_agent(Counter::GivenBack)
}
