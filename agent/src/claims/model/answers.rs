//! What agents answer, whether or not they think that they lead.

use std::net::Ipv4Addr;

use super::super::{At, BlockId, Claims, Slot};
use super::agent::{Entry, Reply, key};
use super::client::Asks;
use super::world::{ADDRESSES, Frame, Without, World};

impl World {
    /// What an agent decides, whether or not it thinks that it leads, and how long before its term's end.
    pub(super) fn decide(
        &mut self,
        number: usize,
        client: usize,
        asks: Asks,
        lease: u64,
        by_kernel: bool,
    ) -> Option<(Reply, u64)> {
        let agent = &mut self.agents[number];
        let now = agent.clock(self.now);
        let claims = agent.claims.as_mut()?;
        let wants = &self.configs[agent.config];
        let key = key(client);
        let may = |ip: Ipv4Addr, claims: &Claims| {
            claims.allowance(now, ip, &key).filter(|_| wants.entitles(ip, &key))
        };
        let known = |ip: &Ipv4Addr, claims: &Claims| {
            let block = claims.copies().blocks.get(&BlockId::of(*ip));
            let slot = block.and_then(|known| known.copy.slots.get(ip));
            let is_bound = slot.and_then(Slot::binding).is_some_and(|binding| binding.client == key);
            is_bound || claims.held().get(ip).is_some_and(|held| held.client == key)
        };
        let allowed = |ip: Ipv4Addr, claims: &Claims| may(ip, claims).map(|allowance| (ip, allowance));
        let its = asks.wanted.filter(|ip| known(ip, claims)).and_then(|ip| allowed(ip, claims));
        let chosen = if asks.renews {
            its
        } else {
            let known = its.or_else(|| {
                ADDRESSES.iter().filter(|ip| known(ip, claims)).find_map(|ip| allowed(*ip, claims))
            });
            known.or_else(|| {
                let free: Vec<Ipv4Addr> = claims.free(now).collect();
                let wanted = asks.wanted.filter(|ip| free.contains(ip));
                wanted.or_else(|| free.first().copied()).and_then(|ip| allowed(ip, claims))
            })
        };
        let (ip, allowance) = chosen?;
        let lease = lease.min(wants.longest(ip)).min(allowance.longest);
        claims.decided(now, ip, &key);
        if self.without != Some(Without::SavedPromises) {
            agent.disk.held.clone_from(claims.held());
        }
        agent.kernel.retain(|other, entry| *other != ip && entry.client != client);
        if by_kernel {
            agent.kernel.insert(ip, Entry { client, until: allowance.until, lease, last: None });
        }
        self.say(|| format!("agent {number} promises {ip} to {client} for {lease}, renews {}", asks.renews));
        let reply = Reply { client, transaction: asks.transaction, ip, lease };
        Some((reply, allowance.until.since(now)))
    }

    /// An agent hears a client.
    pub(super) fn hear(&mut self, number: usize, client: usize, asks: Asks) {
        let lease = if self.random.chance(2) { u64::MAX } else { 1 + self.random.below(20) as u64 };
        let by_kernel = self.random.chance(2);
        let Some((reply, left)) = self.decide(number, client, asks, lease, by_kernel) else {
            if self.random.chance(20)
                && let Some(claims) = &mut self.agents[number].claims
            {
                for ip in ADDRESSES {
                    claims.asked(ip, &key(client));
                }
            }
            return;
        };
        // Between what it decided and what it does, it can be stopped, or end.
        let is_late = left < self.lateness && self.random.chance(2);
        match self.random.below(30) {
            _ if is_late => {
                // The client hears of no other.
                self.clients[client].only = Some(number);
                self.stop(number);
                self.agents[number].stuck = Some(reply);
            }
            0..2 => {
                self.say(|| format!("agent {number} is stopped with that"));
                self.stop(number);
                self.agents[number].stuck = Some(reply);
            }
            2 => self.crash(number, false),
            _ => self.reply(number, reply),
        }
    }

    pub(super) fn reply(&mut self, number: usize, reply: Reply) {
        self.send(Frame::Reply(reply));
        let agent = &mut self.agents[number];
        let now = agent.clock(self.now);
        if let Some(claims) = &mut agent.claims {
            claims.sent(now, reply.ip, &key(reply.client), reply.lease);
        }
    }

    /// RELEASE or DECLINE. What counts is when it came, not when it was read.
    pub(super) fn take_back(&mut self, number: usize, client: usize, ip: Ipv4Addr, rests: bool, arrived: At) {
        let agent = &mut self.agents[number];
        let now = agent.clock(self.now);
        agent.drain();
        let Some(claims) = &mut agent.claims else { return };
        let not_before = if rests { now.after(40) } else { At::NEVER };
        let at = if self.without == Some(Without::ArrivalTimes) { now } else { arrived };
        claims.given_up(at, ip, &key(client), not_before);
    }

    /// What came in is handled in its order; what came to a stopped agent waits, however long.
    pub(super) fn read_socket(&mut self, number: usize) {
        while self.agents[number].runs()
            && let Some((arrived, frame)) = self.agents[number].inbox.pop_front()
        {
            match frame {
                Frame::Ask { client, asks, .. } => self.hear(number, client, asks),
                Frame::GiveUp { client, ip, rests, .. } => self.take_back(number, client, ip, rests, arrived),
                Frame::Reply(_) => {}
            }
        }
    }
}
