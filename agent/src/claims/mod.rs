//! Several agents, no referee: how agents that share networks never give one address twice.
//!
//! A pure room: what was read and what happened goes in with the time, what to write and what may be promised
//! comes out ([`Claims`]). Never here: a clock, a socket, Kubernetes. Which agent answers is decided elsewhere
//! (an election) and does not matter here: any may, at any time, as far as [`Claims::allowance`] goes.
//!
//! # What is published
//!
//! - A [`Term`] each: *until* when the agent, its kernel included, decides anything. It is extended at half
//!   of its length. An agent whose term has come to its end begins anew, with the next *incarnation*.
//!   Its end is the horizon of every binding the agent answers for: one write extends them all.
//! - [`Block`]s, of 256 addresses each and the same ones whatever is configured. An address ([`Slot`]) is
//!   nobody's, *claimed* by an incarnation of an agent, or *bound* to a client with the *longest* lease that it
//!   is ever promised. A bound one can be *marked*: it is being taken back.
//!
//! Every write is a compare-and-swap by the object's serial (A1). One of an object is on its way at a time; where
//! nobody knows what became of it, the same write is sent again.
//!
//! # What is assumed
//!
//! - A1: compare-and-swap; and a read that is not a watch sees all that was written before it was sent. Nobody
//!   removes these objects or edits them by hand (whoever stores them guards them).
//! - A2: the clocks of agents that act differ by at most [`Bounds::clocks`]. A clock does not step: `now` is
//!   boot time with an offset taken once. An agent that a server's date shows to be further off
//!   ([`judge`]) does nothing at all, and one that was never compared writes nothing.
//! - A3: a frame arrives within [`Bounds::travel`] or never; those of one client to one machine in their order.
//! - A4: a client uses one address, counts its lease from when the answer came, and takes an answer only to the
//!   question it asks now. Without an address it waits for at most [`Bounds::patience`]; one that renews as
//!   long as its lease lasts.
//! - A5: the kernel answers in the instant in which it decides. A process can stop anywhere, for any time.
//! - A6: `now` is read after what comes with it. What is said to be on disk is. A lost disk is a new [`AgentId`].
//!
//! # The rules
//!
//! **R1, to decide.** An agent promises address x to client c, for a lease of at most the longest published, only
//! before its term's end and if its copy has x (a) bound to c and unmarked, or (b) claimed by its present incarnation and
//! promised by itself to nobody else. It may have read an old copy. A kernel's entry never answers past that
//! end, nor for other leases. The promise is on disk before it is sent.
//!
//! **R2, in flight.** Of a claim that a write on its way changes, only what stays true either way is used.
//! What allows more counts once acknowledged; what allows less is on disk before it is sent.
//!
//! **R3, a term** counts from its acknowledgement, if the former end had not come by then; else the agent begins
//! anew: after the acknowledgement it reads all blocks, then decides; and it uses a claim of an earlier
//! incarnation only once it has written that claim again. What it had promised of an address that is then neither its
//! client's nor its own is past: others freed or took it (R8, R5). Copies never go back to an older serial.
//!
//! **R4, over.** What an agent decides before `until` is over at `until + patience + 2 · longest`
//! ([`Bounds::over`]; the lemma below), by its clock; for another agent, `clocks` later.
//!
//! **R5, to take a claim** of another agent: a read of the terms that knows the claim's incarnation was sent after that term's
//! end + `clocks`, and the term, with its own longest lease, is over.
//!
//! **R6, to mark** needs nothing: anybody may, because the client gave x up, or is not heard of, or the
//! configuration has x for another. Nor does taking a mark off, for x is bound to c before and after: who knows the
//! client to be alive, and entitled, does it, by a promise that it holds or because the client asks.
//!
//! **R7, to confirm** a mark: the agent sees it (so R1 is silent), its kernel has let go of x and told what it did, and all
//! that it promised is over: sent, with the lease and `travel` after that; or, where nobody knows when it was sent, R4
//! from the decision; or, where its process is gone, the longest lease and `travel` after another began, for then nothing
//! was sent any more, whatever that one promises since; or, where the kernel's word is lost, the horizon it had.
//! Or c gave x up after all of it: by the mark's time, less `clocks` and `travel`.
//!
//! **R8, to free** a marked x: a read of the terms was sent after this mark (by its serial) was seen,
//! and every agent in it has confirmed, or is over by R4 with x's longest lease, its end + `clocks` before that read;
//! or had its end, with `clocks` and `travel`, before c gave x up.
//!
//! **R9, longest** is only ever raised, of a binding and of a term; a binding begins with no less than the term's.
//!
//! # Why no address is given twice
//!
//! *Late answers* (R4). An answer decided at t < until and taken at r, for a lease l ≤ longest, holds until r + l.
//! Where c had no address, r ≤ t + patience (A4). Where it renewed, it had asked with its former answer
//! in hand, so that this came before t; it waits no longer than that lease, at most longest (R9), lasts: r ≤ t + longest. In both
//! cases r + l ≤ until + patience + 2 · longest, however late the answer was sent. Of an answer known to be sent by
//! s, r ≤ s + travel (A3).
//!
//! *An address is bound to c, or claimed by i, and only what R1 allows is promised.* Suppose x is promised to d
//! while c may hold it. Serials order the slots of x (A1); between the one that allowed c and the one that
//! allowed d, x was taken by R5, or freed by R8, or both promises are one agent's by its own claim.
//!
//! 1. *One agent, one claim*: it gives x to d when its promise to c is over or given up, and its kernel has
//!    let go (R1b, R7), its disk remembers (R1), and no write that would publish c is on its way (R2).
//! 2. *R5, the owner i against the taker*: i's promises under the claim's incarnation were decided before its last
//!    counted end, for leases of at most the term's longest. The taker's read was sent when that end, as read, had
//!    passed by any clock within `clocks`. A later extension of that incarnation does not count (R3): it was
//!    acknowledged too late. So all of it is over (R4). A later incarnation of i does not use the claim before it has
//!    written it, and then the taker's swap fails.
//! 3. *R8, the agents j that answer c by their copies.* Such a j is in the read, or is not. If it is not, or its end had
//!    passed before the read was sent, then whatever term it has since counts from after that read, and so
//!    after the mark; it read all blocks after that (R3), saw the mark, and is silent: of two that first write and then
//!    read what the other writes, one sees the other. What it decided before its end is over, or was given up, by R8.
//!    If it has confirmed, it is silent from then on, over crashes too (R2), and what it promised is past (R7).
//!    That holds until the mark is taken off; then the serial is another and the swap of R8 fails.
//! 4. *Given up*: c sent its RELEASE at most `travel` before the mark's time; what was decided before that is
//!    void: c does not wait for it any more (A4), or has had it. The mark's time is when the RELEASE came to the machine,
//!    not when a stopped agent read it; an address that was answered since is not given up.
//! 5. *Configurations* may differ: R1 to R9 name none. A reservation is a binding, published ahead; moved to
//!    another client, it is marked and freed like any.
//!
//! # What it costs, and the numbers
//!
//! Free addresses, for a while: what an agent claims ahead; and what it claimed or its clients have, once it
//! is away: until its term is over, then nothing for ever. While all are there, an address comes back when its
//! lease has ended, `travel` and a handful of writes later; with one away, at that one's term's end + `patience` + twice the binding's
//! longest lease + `clocks` (an address given up after that end: at once).
//!
//! - Terms: [`Wants::LEADING`] for who answers, so that a day without API server stops nobody, [`Wants::STANDING_BY`]
//!   for who does not: it needs the API server to begin anyway.
//! - Leases from claims: [`Wants::UNPUBLISHED`]. One without an end is a binding's alone, and a binding is as long
//!   as its own network's leases ([`Wants::longest`]): it costs its own address and no other. That one is given up
//!   by the client's or the operator's word alone, once an agent that may have promised it is away for good, or has
//!   begun again and does not know for how long it did.
//! - Who stands by takes no client for gone ([`Wants::hears_since`]): it hears none. Addresses that clients keep
//!   ([`Wants::kept`]) are given up by the client's or the operator's word alone.
//! - The term of an agent that never returns stays for as long as its ClusterAgent: a write that it had on its way
//!   can still claim addresses, which nobody could take then (R5), and R8 waits by it for all that it may have
//!   answered, of the longest binding there is.
//! - [`Bounds::DEFAULT`] has the why of its own.
//!
//! The tests in `model` run this with everything that can go wrong, and take each rule out in turn: R9's "only
//! raised" apart, for which there is no switch.

mod agenda;
mod change;
mod clock;
mod held;
#[cfg(test)]
mod model;
mod others;
mod plan;
mod published;
mod rules;
mod state;
mod times;
mod told;
mod wants;

pub use clock::{Clock, judge};
pub use held::Held;
pub use plan::Request;
pub use published::{AgentId, Binding, Block, BlockId, Mark, Slot, Term};
pub use state::{Allowance, Claims, Copies, Granted, Known};
pub use times::{At, Bounds, FOREVER, Span};
pub use wants::{Pool, Wants};
