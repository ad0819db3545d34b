//! Other DHCP servers that the kernel heard on our wires: whom an operator is told of, and counted.
//!
//! Agents of one ClusterAgent hear each other, and are no strangers. One that was never read of may be new: it is
//! judged by what all agents had noted some seconds after it was first heard. While that cannot be read it is
//! waited for a while, and for ever by an agent that has not read of any yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::warn;
use xdhcpd_common::maps::Event;

use super::core::Core;
use super::warnings;
use crate::kube::claims::servers::Read;
use crate::report::Mac;

/// An agent that answers has noted by what within this time.
const NOTED: Duration = Duration::from_secs(5);

/// How long a read is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Servers that wait to be judged; of more, each is told of: somebody forges them.
const MOST: usize = 64;

/// Servers that may be agents of our own ClusterAgent.
#[derive(Debug, Default)]
pub struct Unjudged(BTreeMap<(String, Mac), Unknown>);

/// One of them.
#[derive(Debug)]
struct Unknown {
    since: Instant,
    /// The last that was heard of it, with all its messages.
    event: Event,
}

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Peer,
    Stranger,
    /// It takes a read that is sent now, or later.
    Open,
}

/// Who a server is that was first heard at `since`, by what was read last.
fn judge(server: Mac, since: Instant, read: Option<&Read>, now: Instant) -> Verdict {
    let Some(read) = read else { return Verdict::Open };
    if read.servers.contains(&server) {
        return Verdict::Peer;
    }
    let is_fresh = read.sent.saturating_duration_since(since) >= NOTED;
    let is_late = now.saturating_duration_since(since) >= PATIENCE;
    if is_fresh || is_late { Verdict::Stranger } else { Verdict::Open }
}

impl Core {
    /// The kernel heard another server.
    pub(super) fn other_server(&mut self, event: &Event, now: Instant) {
        let network = self.engine.served().iter().find(|served| served.place.wire == event.key.wire);
        let Some(network) = network.map(|served| served.config.name.clone()) else { return };
        let Some(share) = &self.share else { return self.tell_of_server(network, event) };
        let server = Mac(event.key.mac);
        let read = share.neighbours.read.borrow();
        if judge(server, now, read.as_ref(), now) == Verdict::Peer {
            return;
        }
        drop(read);
        let is_full = self.unjudged.0.len() >= MOST;
        match self.unjudged.0.get_mut(&(network.clone(), server)) {
            Some(unknown) => {
                let messages = unknown.event.messages.saturating_add(event.messages.max(1));
                unknown.event = Event { messages, ..*event };
            }
            None if is_full => self.tell_of_server(network, event),
            None => drop(self.unjudged.0.insert((network, server), Unknown { since: now, event: *event })),
        }
    }

    /// Judges those of which enough is known, and asks for what it takes to judge the others.
    pub(super) fn judge_servers(&mut self, now: Instant) {
        let Some(share) = self.share.as_ref().filter(|_| !self.unjudged.0.is_empty()) else { return };
        let read = share.neighbours.read.borrow().clone();
        let verdict = |server: &Mac, unknown: &Unknown| judge(*server, unknown.since, read.as_ref(), now);
        let judged: Vec<_> = self
            .unjudged
            .0
            .extract_if(.., |(_, server), unknown| verdict(server, unknown) != Verdict::Open)
            .collect();
        if self.unjudged.0.values().any(|unknown| now.saturating_duration_since(unknown.since) >= NOTED) {
            // One that is under way is as good, or is asked for again.
            let _is_asked = share.neighbours.asks.try_send(());
        }
        for ((network, server), unknown) in judged {
            if verdict(&server, &unknown) == Verdict::Stranger {
                self.tell_of_server(network, &unknown.event);
            }
        }
    }

    fn tell_of_server(&mut self, network: String, event: &Event) {
        if let Some(notice) = warnings::of_other_server(&mut self.quiet, &network, event) {
            warn!("{notice}");
            self.outlets.notices.tell(notice);
        }
        let count = self.counts.other_servers.entry(network).or_default();
        *count = count.saturating_add(event.messages.max(1).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    #[test]
    fn a_server_is_a_stranger_when_none_of_us_had_noted_it_for_a_while() {
        let heard = Instant::now();
        let at = |seconds| heard + Duration::from_secs(seconds);
        let read = |seconds| Some(Read { sent: at(seconds), servers: [PEER].into() });
        for (server, read, now, verdict) in [
            (PEER, read(0), at(0), Verdict::Peer),
            (PEER, read(9), at(9), Verdict::Peer),
            (OTHER, read(0), at(30), Verdict::Open),
            (OTHER, read(4), at(30), Verdict::Open),
            (OTHER, read(5), at(6), Verdict::Stranger),
            // The API server is away.
            (OTHER, read(0), at(60), Verdict::Stranger),
            (OTHER, None, at(600), Verdict::Open),
        ] {
            assert_eq!(judge(server, heard, read.as_ref(), now), verdict, "{server} {read:?}");
        }
    }
}
