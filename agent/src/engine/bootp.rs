//! BOOTP (RFC 951, RFC 1534; checklist row 48): a message without option 53, answered from reservations
//! where the network says so.
//!
//! Its client never comes back to renew, and never gives its address back: it has it for ever
//! ([`super::served::Served::times`]). What DHCP added (53, 54, the times, option 57 and overload) is
//! nothing to it, and its vendor field is as long as BOOTP's.

use xdhcpd_common::decision;
use xdhcpd_common::facts::NONE;
use xdhcpd_common::maps::TemplateFlags;
use xdhcpd_common::times;

use crate::engine::request::Request;
use crate::lease::Table;

use super::candidates::Candidates;
use super::ignored::Ignored;
use super::permit::Turn;
use super::reply::{self, Content, ReplyKind};
use super::{Engine, KernelChange, Outcome};

impl Engine {
    pub(super) fn bootp(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        let mut clients = self.clients(request, candidates);
        clients.retain(|client| client.served.config.bootp);
        if clients.is_empty() {
            return Err(Ignored::MessageType);
        }
        let reserved = clients.iter().find_map(|client| Some((client, client.reservation?.ip)));
        let (client, ip) = reserved.ok_or(Ignored::NotReserved)?;
        let facts = &request.facts;
        let is_its = facts.ciaddr == NONE || facts.ciaddr == ip.octets();
        if !is_its || !client.can_take(table, ip) {
            return Err(Ignored::NotTheClients);
        }
        // It never renews, so nothing less will do.
        let promise = client.promise(turn, ip).ok().filter(|promise| promise.longest == times::INFINITE);
        let promise = promise.ok_or(Ignored::NotClaimed)?;
        let left = clients.iter().find_map(|client| client.other(table, ip));
        let grant = self.bind(table, request, client, ip, promise, turn.now);
        let served = client.served;
        let broadcast = served.terms.flags & TemplateFlags::ALWAYS_BROADCAST != 0;
        let content = Content {
            kind: ReplyKind::Bootp,
            server: served.place.server,
            identifier: candidates.identifier(served),
            mac: served.place.mac,
            ciaddr: facts.ciaddr,
            yiaddr: ip,
            times: None,
            rendered: Some(&client.rendered(request)),
            echo_relay_info: candidates.trusted,
            to: candidates.way_back(decision::destination(facts, ip.octets(), broadcast)),
        };
        Ok(Outcome {
            granted: Some(ip),
            write: grant.write(),
            // An entry could not know that its lease has no end.
            kernel: Some(KernelChange::Suspend(served.key(facts.mac))),
            reply: Some(reply::encode(request, &content)),
            note: grant.note(),
            take_back: left,
            ..Outcome::new(client.id)
        })
    }
}
