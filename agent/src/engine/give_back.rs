//! What clients give up: DECLINE and RELEASE (checklist rows 45 and 46).

use std::net::Ipv4Addr;

use xdhcpd_common::facts::NONE;

use crate::clock::Moment;
use crate::engine::request::Request;
use crate::lease::{State, Table};

use super::candidates::Candidates;
use super::choice::Client;
use super::ignored::Ignored;
use super::messages::holder;
use super::{Ending, Engine, KernelChange, Note, Outcome, TakeBack, Write};

impl Engine {
    /// From its holder, naming us: out of use for a while. Whoever has the address now is none of
    /// our clients.
    pub(super) fn decline(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        now: Moment,
    ) -> Result<Outcome, Ignored> {
        let clients = self.clients(request, candidates);
        let ip = Ipv4Addr::from(request.facts.requested);
        if request.facts.server == NONE {
            return Err(Ignored::OtherServer);
        }
        let client = giver(table, request, candidates, &clients, ip)?;
        let lease = table.get(ip).ok_or(Ignored::NotTheClients)?;
        let key = client.served.key(lease.mac);
        let until = now.after(client.served.config.decline_hold);
        table.decline(ip, now, until);
        Ok(Outcome {
            write: Some(Write { ip, until }),
            kernel: Some(KernelChange::Suspend(key)),
            note: Some(Note::Declined(ip)),
            ..Outcome::new(client.id)
        })
    }

    /// From its holder: free, and kept for it as long as it can be.
    ///
    /// Some clients leave option 54 out. A RELEASE is unicast, so one sent to our own address names
    /// us as well.
    pub(super) fn release(
        &self,
        table: &Table,
        request: &Request,
        candidates: &Candidates,
    ) -> Result<Outcome, Ignored> {
        let clients = self.clients(request, candidates);
        let ip = Ipv4Addr::from(request.facts.ciaddr);
        let client = giver(table, request, candidates, &clients, ip)?;
        let lease = table.get(ip).ok_or(Ignored::NotTheClients)?;
        let take_back = TakeBack::of(lease, client.served, Ending::Released);
        Ok(Outcome {
            kernel: Some(KernelChange::Suspend(take_back.key)),
            take_back: Some(take_back),
            note: Some(Note::Released(ip)),
            ..Outcome::new(client.id)
        })
    }
}

/// The client that has the address it gives up, and names us.
fn giver<'a, 'b>(
    table: &Table,
    request: &Request,
    candidates: &Candidates,
    clients: &'b [Client<'a>],
    ip: Ipv4Addr,
) -> Result<&'b Client<'a>, Ignored> {
    let client = holder(table, clients, ip).ok_or(Ignored::NotTheClients)?;
    let facts = &request.facts;
    let named = if facts.server == NONE { facts.destination } else { facts.server };
    if named != candidates.identifier(client.served).octets() {
        return Err(Ignored::OtherServer);
    }
    let has = table.get(ip).is_some_and(|lease| matches!(lease.state, State::Bound | State::Offered));
    if has { Ok(client) } else { Err(Ignored::NotTheClients) }
}
