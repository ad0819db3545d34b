//! Granting: a lease is offered or bound in the table, and the answer says so.

use std::net::Ipv4Addr;

use xdhcpd_common::decision::{self, Answer, Verdict};
use xdhcpd_common::facts::{MessageType, NONE};
use xdhcpd_common::maps::{self, LeaseFlags, LeaseKey, LeaseState, TemplateFlags};
use xdhcpd_common::times;

use crate::clock::Moment;
use crate::lease::Table;
use crate::lease::{AnsweredBy, Lease, State};

use super::candidates::Candidates;
use super::choice::Client;
use super::permit::Promise;
use super::render::Rendered;
use super::reply::{self, Content, ReplyKind};
use super::{Engine, KernelChange, Note, Outcome, Write, span, templates};
use crate::engine::request::Request;

/// What was granted to whom.
pub struct Grant<'a, 'b> {
    client: &'b Client<'a>,
    kind: ReplyKind,
    lease: Lease,
    promise: Promise,
    write: Option<Write>,
    is_new: bool,
    /// The entry under the MAC that a client known by its client-id had the address with before.
    left_behind: Option<LeaseKey>,
}

impl Grant<'_, '_> {
    /// What must be on disk before the client hears of it.
    pub(super) fn write(&self) -> Option<Write> {
        self.write
    }

    /// What is worth a line in the log.
    pub(super) fn note(&self) -> Option<Note> {
        self.is_new.then_some(Note::Allocated(self.lease.ip))
    }

    /// Up to when the kernel may go on alone: what is on disk once what is to be written is, and no
    /// further than we may promise anything.
    fn horizon(&self) -> Moment {
        let durable =
            self.write.map_or(self.lease.durable_until, |write| write.until.max(self.lease.durable_until));
        durable.min(self.promise.until)
    }
}

impl Engine {
    /// Offers `ip`: a present binding as it is, another address held for a while (row 25).
    pub(super) fn offer<'a, 'b>(
        &self,
        table: &mut Table,
        request: &Request,
        client: &'b Client<'a>,
        ip: Ipv4Addr,
        promise: Promise,
        now: Moment,
    ) -> Grant<'a, 'b> {
        let held = now.after(client.served.config.offer_hold);
        let present = own(table, client, ip).filter(|lease| lease.state.occupies());
        let is_new = present.is_none();
        let (state, starts, expires) = match &present {
            Some(lease) if lease.state == State::Bound => {
                (State::Bound, lease.starts, lease.expires.max(held))
            }
            _ => (State::Offered, now, held),
        };
        let lease = lease(request, ip, present.as_ref(), state, starts, expires);
        self.grant(table, request, client, ReplyKind::Offer, lease, promise, is_new, now)
    }

    /// Binds `ip`, which is the client's or was and is free, for the time it asks for.
    pub(super) fn bind<'a, 'b>(
        &self,
        table: &mut Table,
        request: &Request,
        client: &'b Client<'a>,
        ip: Ipv4Addr,
        promise: Promise,
        now: Moment,
    ) -> Grant<'a, 'b> {
        let expires = Moment(times::end(now.0, client.served.times(request, promise).lease));
        let previous = own(table, client, ip);
        let present = previous.filter(|lease| lease.state.occupies());
        let is_new = present.is_none();
        let starts =
            present.as_ref().filter(|lease| lease.state == State::Bound).map_or(now, |lease| lease.starts);
        let lease = lease(request, ip, present.as_ref(), State::Bound, starts, expires);
        self.grant(table, request, client, ReplyKind::Ack, lease, promise, is_new, now)
    }

    #[expect(clippy::too_many_arguments, reason = "the two callers above are its only ones")]
    fn grant<'a, 'b>(
        &self,
        table: &mut Table,
        request: &Request,
        client: &'b Client<'a>,
        kind: ReplyKind,
        lease: Lease,
        promise: Promise,
        is_new: bool,
        now: Moment,
    ) -> Grant<'a, 'b> {
        let span = span(client.served.times(request, promise).lease);
        let ip = lease.ip;
        let former = own(table, client, ip).filter(|former| former.state.occupies());
        let left_behind = former.map(|former| former.mac).filter(|mac| *mac != lease.mac);
        let left_behind = left_behind.map(|mac| client.served.key(mac));
        table.put(lease.clone());
        // Only the table knows how much of it is durable: nothing, if the client calls itself
        // something else than it does on disk.
        let lease = table.get(ip).cloned().unwrap_or(lease);
        let write = self
            .must_write(&lease, span, now)
            .then(|| Write { ip, until: self.horizon(client.served, span, now).max(lease.expires) });
        Grant { client, kind, lease, promise, write, is_new, left_behind }
    }

    /// The reply to what was granted, and the entry from which the kernel will give the next one.
    pub(super) fn answer(
        &self,
        request: &Request,
        candidates: &Candidates,
        grant: &Grant<'_, '_>,
        now: Moment,
    ) -> Outcome {
        let served = grant.client.served;
        let rendered = grant.client.rendered(request);
        let entry = self.entry(request, grant);
        let answer = self.decided(request, candidates, grant, &entry, now);
        let content = Content {
            kind: grant.kind,
            server: served.place.server,
            identifier: candidates.identifier(served),
            mac: served.place.mac,
            ciaddr: answer.ciaddr,
            yiaddr: grant.lease.ip,
            times: Some(answer.times),
            rendered: Some(&rendered),
            echo_relay_info: candidates.trusted,
            to: answer.to,
        };
        Outcome {
            granted: Some(grant.lease.ip),
            write: grant.write,
            kernel: Some(self.kernel_change(request, candidates, grant, entry, &rendered)),
            reply: Some(reply::encode(request, &content)),
            note: grant.note(),
            ..Outcome::new(grant.client.id)
        }
    }

    /// The kernel's entry for what was granted; its template is still to be found a slot.
    fn entry(&self, request: &Request, grant: &Grant<'_, '_>) -> maps::Lease {
        let by_client_id = grant.client.served.by_client_id;
        maps::Lease {
            generation: self.generation,
            expires: grant.lease.expires.0,
            horizon: grant.horizon().0,
            ask: request.facts.ask,
            relay_info: request.facts.relay_info,
            client_id: request.facts.client_id,
            ip: grant.lease.ip.octets(),
            giaddr: request.facts.giaddr,
            relay: if request.facts.is_relayed() { request.facts.source } else { NONE },
            state: if grant.lease.state == State::Bound { LeaseState::BOUND } else { LeaseState::OFFERED },
            flags: if by_client_id { LeaseFlags::BY_CLIENT_ID } else { 0 },
            mac: request.facts.mac,
            ..maps::Lease::default()
        }
    }

    /// The answer as the kernel would give it from this entry; where it would leave the request to
    /// us, the same answer without its reasons to.
    fn decided(
        &self,
        request: &Request,
        candidates: &Candidates,
        grant: &Grant<'_, '_>,
        entry: &maps::Lease,
        now: Moment,
    ) -> Answer {
        let served = grant.client.served;
        let server = self.server(served.place.wire).unwrap_or_default();
        let limited = grant.promise.limited(&served.terms);
        let terms = limited.as_ref().unwrap_or(&served.terms);
        if is_kernels(request, candidates, grant)
            && let Verdict::Reply(answer) = decision::decide(&request.facts, entry, terms, &server, now.0)
        {
            return answer;
        }
        let broadcast = served.terms.flags & TemplateFlags::ALWAYS_BROADCAST != 0;
        let to = decision::destination(&request.facts, grant.lease.ip.octets(), broadcast);
        let is_ack = grant.kind == ReplyKind::Ack;
        let times = served.times(request, grant.promise);
        Answer {
            kind: if is_ack { MessageType::ACK } else { MessageType::OFFER },
            times,
            expires: times::end(now.0, times.lease),
            ciaddr: if is_ack { request.facts.ciaddr } else { NONE },
            to: candidates.way_back(to),
        }
    }

    /// What the kernel may do from now on. A client that it cannot answer as we do is suspended
    /// there, so that no older entry answers for us.
    fn kernel_change(
        &self,
        request: &Request,
        candidates: &Candidates,
        grant: &Grant<'_, '_>,
        entry: maps::Lease,
        rendered: &Rendered,
    ) -> KernelChange {
        // One address has one entry: the new one is made when the client comes again.
        if let Some(key) = grant.left_behind {
            return KernelChange::Suspend(key);
        }
        let served = grant.client.served;
        let key = served.key(request.facts.mac);
        // Its template would have it give longer leases than we may.
        let is_limited = grant.promise.longest < served.terms.lease_max;
        let template = (!is_limited && is_kernels(request, candidates, grant))
            .then(|| {
                templates::template(&served.config, served.place.server.octets(), self.generation, rendered)
            })
            .flatten();
        match template {
            Some(template) => {
                KernelChange::Put { key, entry: Box::new(entry), template: Some(Box::new(template)) }
            }
            None => KernelChange::Suspend(key),
        }
    }

    /// Finds the slot of the template that an outcome brings; without one the client is suspended
    /// in the kernel.
    pub(super) fn place_template(&mut self, outcome: &mut Outcome) {
        let Some(KernelChange::Put { key, entry, template }) = &mut outcome.kernel else { return };
        let Some(wanted) = template.as_deref() else { return };
        match self.templates.slot(wanted) {
            Some((slot, is_new)) => {
                entry.template = slot;
                if !is_new {
                    *template = None;
                }
            }
            None => outcome.kernel = Some(KernelChange::Suspend(*key)),
        }
    }
}

/// Whether the kernel, too, may answer this client from now on: not where it could not say what we
/// say, or could not tell when that changes.
fn is_kernels(request: &Request, candidates: &Candidates, grant: &Grant<'_, '_>) -> bool {
    let client = grant.client;
    // The kernel echoes option 82 to whoever sends it.
    let echoes_rightly = candidates.trusted || request.relay_info().is_none();
    let is_plain = candidates.identifier.is_none() && candidates.relay_port.is_none();
    // Who has a reservation moves to it as soon as it can be had, which the kernel does not see.
    let is_settled = client.reservation.is_none_or(|reservation| reservation.ip == grant.lease.ip);
    !candidates.routed && echoes_rightly && is_plain && is_settled && client.served.classes_are_kernels
}

/// The table's lease for this address, if it is (or was) this client's.
pub(super) fn own(table: &Table, client: &Client<'_>, ip: Ipv4Addr) -> Option<Lease> {
    table.get(ip).filter(|lease| client.served.is_of(lease, &client.key)).cloned()
}

/// What is known of a client by its request, as a lease of `ip`.
pub(super) fn lease(
    request: &Request,
    ip: Ipv4Addr,
    present: Option<&Lease>,
    state: State,
    starts: Moment,
    expires: Moment,
) -> Lease {
    let host_name = request.host_name();
    Lease {
        ip,
        mac: request.facts.mac,
        client_id: request.client_id().map(Into::into),
        host_name: host_name.map(Into::into).or_else(|| present.and_then(|lease| lease.host_name.clone())),
        state,
        starts,
        expires,
        // The table's to say.
        durable_until: Moment::NEVER,
        answered_by: AnsweredBy::Agent,
        taken: state == State::Bound,
    }
}
