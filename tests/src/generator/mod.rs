//! Many clients behind one relay, asked for by whoever wants a server loaded: as fast as a core can
//! send, with every answer counted and timed.
//!
//! It stands in the relay's place, on one UDP socket at the relay's address and port 67, so that any
//! server can be loaded in the same way. It waits busily: it wants a core of its own.

mod message;
mod run;
mod socket;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::message::{Reply, mac, message_of};
use self::run::Run;
use self::socket::Messages;
use crate::exchange::message as kind;
use crate::netns::NetNs;

/// How long after the last message answers still count.
const LATE: Duration = Duration::from_secs(1);
/// An exchange that is not over after this is counted as lost, so that others can begin.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// How often a server that does not answer yet is asked.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What each client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// DISCOVER, OFFER, REQUEST, ACK.
    Lease,
    /// REQUEST, ACK: of the address that the client has.
    Renewal,
}

/// How hard it asks.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many exchanges are begun in a second, whatever becomes of them.
    Rate(f64),
    /// So many are under way at any time: the next begins when one has ended.
    Window(usize),
}

/// What is to happen.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What each client does.
    pub exchange: Exchange,
    /// How hard.
    pub pace: Pace,
    /// Which clients take turns: from this one on.
    pub first: u32,
    /// How many.
    pub clients: u32,
    /// New exchanges are begun for so long.
    pub time: Duration,
    /// And not more than this many.
    pub most: u64,
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Exchanges that were begun.
    pub begun: u64,
    /// Those that ended with an ACK, and how long each took, in order of time taken.
    pub took: Vec<Duration>,
    /// NAKs.
    pub refused: u64,
    /// From the first message to the last ACK.
    pub elapsed: Duration,
}

impl Outcome {
    /// How many ended with an ACK.
    pub fn done(&self) -> u64 {
        self.took.len() as u64
    }

    /// Which part of the exchanges did not.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn lost(&self) -> f64 {
        if self.begun == 0 { 1.0 } else { 1.0 - self.done() as f64 / self.begun as f64 }
    }

    /// Exchanges done in a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn rate(&self) -> f64 {
        self.done() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The time within which this part of the exchanges was over; none: there were none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is a count"
    )]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let at = (self.took.len() as f64 * part) as usize;
        self.took.get(at.min(self.took.len().checked_sub(1)?)).copied()
    }
}

/// A generator: a socket, and what each client got.
#[derive(Debug)]
pub struct Generator {
    messages: Messages,
    relay: [u8; 4],
    /// By the client's number; `0.0.0.0` where it has none.
    addresses: Vec<[u8; 4]>,
    /// Clients that asked once, to see whether the server is there.
    strangers: u32,
}

impl Generator {
    /// A relay of this address in `namespace`, which asks this server.
    pub fn new(namespace: &NetNs, relay: Ipv4Addr, server: Ipv4Addr) -> Result<Self> {
        let messages = namespace.inside(|| Messages::open(relay, server))??;
        Ok(Self { messages, relay: relay.octets(), addresses: Vec::new(), strangers: 0 })
    }

    /// Runs a load to its end.
    pub fn run(&mut self, load: &Load) -> Result<Outcome> {
        let end = (load.first + load.clients) as usize;
        if self.addresses.len() < end {
            self.addresses.resize(end, [0; 4]);
        }
        // What came for an earlier load is not this one's.
        while self.messages.receive(|_| {})? > 0 {}
        Run::new(self, load).run()
    }

    /// Asks until the server answers; how long that took. An error when it is not worth waiting for any more.
    pub fn wait_for_server(&mut self, goes_on: impl Fn(Instant) -> bool) -> Result<Duration> {
        let began = Instant::now();
        // One that no server has met: a known one is answered by a kernel whose agent is down.
        self.strangers += 1;
        let stranger = u32::MAX - self.strangers;
        let message = message_of(stranger, self.relay, 0, kind::DISCOVER, [0; 4], &[]);
        let mut asked = None;
        loop {
            let now = Instant::now();
            if asked.is_none_or(|asked| now - asked > ASK_AGAIN) {
                ensure!(goes_on(began), "no answer within {:?}", began.elapsed());
                self.messages.send(std::slice::from_ref(&message))?;
                asked = Some(now);
            }
            let mut answered = false;
            self.messages.receive(|bytes| {
                answered |= Reply::read(bytes).is_some_and(|reply| reply.mac == mac(stranger));
            })?;
            if answered {
                return Ok(began.elapsed());
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_lost() {
        let took: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let outcome = Outcome { begun: 125, took, refused: 0, elapsed: Duration::from_secs(2) };
        assert_eq!(format!("{:.2} {:.0}", outcome.lost(), outcome.rate()), "0.20 50");
        assert_eq!(outcome.quantile(0.5), Some(Duration::from_millis(51)));
        assert_eq!(outcome.quantile(1.0), Some(Duration::from_millis(100)));
        assert_eq!(Outcome::default().quantile(0.5), None);
    }
}
