//! From a parsed request to its outcome: look-ups, the decision, and what it takes to act on it.

use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};
use aya_ebpf::programs::XdpContext;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::decision::{self, Answer, Verdict};
use xdhcpd_common::facts::MessageType;
use xdhcpd_common::maps::{Event, EventKind, Lease, LeaseState, Template};

use crate::events;
use crate::maps::{LEASES, Request, Scratch, TEMPLATES};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::resize::{resize, undo};

/// Makes all ready for the reply to a request, or says why there is none.
#[inline(always)]
pub(crate) fn answer(ctx: &XdpContext, scratch: &mut Scratch) -> Outcome {
    let request = &scratch.request;
    let (facts, server, key) = (&request.header.facts, &request.server, &request.key);
    // Before the look-up, so that it also holds for clients that are not known.
    match decision::foreign_source(facts, server) {
        Some(Verdict::Drop(reason)) => return Outcome::dropped(reason),
        Some(Verdict::Pass(reason)) => return Outcome::left_to_agent(reason),
        _ => {}
    }
    let Some(entry) = LEASES.get_ptr_mut(key) else {
        return Outcome::left_to_agent(Counter::NoLease);
    };
    // SAFETY: elements of this map are freed no sooner than the program ends. What other CPUs change
    // meanwhile are single words, and an answer checks them again under the lock.
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
    let Scratch { forgotten, request, plan, kept } = scratch;
    let packet = &Packet::with(ctx, forgotten);
    // SAFETY: as in `answer`; the address and generation are checked again under the lock.
    let lease = unsafe { &*entry };
    let (ip, generation) = (lease.ip, lease.generation);
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
    let Some(event) = events::reserve() else {
        return Outcome::left_to_agent(Counter::RingFull);
    };
    let Some(resized) = resize(ctx, growth) else {
        event.discard(0);
        return Outcome::left_to_agent(Counter::NoRoom);
    };
    let (now, expires) = (request.now, plan.expires);
    if !(Renewal { ip, generation, expires, now }.apply(entry)) {
        event.discard(0);
        // What cannot be put back as it was must not be seen.
        return if undo(ctx, resized) {
            Outcome::left_to_agent(Counter::Stale)
        } else {
            Outcome::dropped(Counter::NoRoom)
        };
    }
    let (kind, key) = (EventKind::RENEWED, request.key);
    events::submit(event, Event { kind, key, ip, at: now, expires, ..Event::default() });
    Outcome::answered(Counter::AnsweredAck)
}

/// What an ACK does to its lease.
struct Renewal {
    ip: [u8; 4],
    generation: u32,
    expires: u64,
    now: u64,
}

impl Renewal {
    /// Renews the lease, unless the agent has changed it since it was read.
    #[inline(always)]
    fn apply(&self, entry: *mut Lease) -> bool {
        // SAFETY: `entry` was found in this run. Its lock is at its start, as the kernel found in the
        // map's BTF; words are read and written as they are in memory, neither earlier nor later.
        unsafe {
            bpf_spin_lock(entry.cast());
            let holds = (&raw const (*entry).ip).cast::<u32>().read_volatile() == u32::from_ne_bytes(self.ip)
                && (&raw const (*entry).generation).read_volatile() == self.generation
                && (&raw const (*entry).state).read_volatile() != LeaseState::SUSPENDED
                && (&raw const (*entry).horizon).read_volatile() >= self.expires;
            if holds {
                // Another CPU may have answered the same client a moment later.
                if (&raw const (*entry).expires).read_volatile() < self.expires {
                    (&raw mut (*entry).expires).write_volatile(self.expires);
                }
                (&raw mut (*entry).answered).write_volatile(self.now);
                (&raw mut (*entry).state).write_volatile(LeaseState::BOUND);
            }
            bpf_spin_unlock(entry.cast());
            holds
        }
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
        let (kind, key, at) = (EventKind::SUSPENDED, request.key, request.now);
        events::submit(room, Event { kind, key, ip, at, expires, ..Event::default() });
    }
    Outcome::left_to_agent(Counter::GivenBack)
}
