//! A load, from its first message to its last answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::message::{Reply, message_of, number};
use super::socket::BATCH;
use super::{Exchange, GIVEN_UP, Generator, LATE, Load, Outcome, Pace};
use crate::exchange::message;

/// A client that is in the middle of an exchange.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    began: Instant,
    /// The xid of its messages, which no other exchange has.
    xid: u32,
}

/// A load that runs.
pub(super) struct Run<'a> {
    generator: &'a mut Generator,
    load: &'a Load,
    /// By the client's number, counted from the first.
    clients: Vec<Option<UnderWay>>,
    under_way: usize,
    /// Exchanges in the order in which they began, to find those that are lost.
    oldest: VecDeque<(Instant, u32, u32)>,
    /// Messages to be sent.
    outbox: Vec<Vec<u8>>,
    next: u32,
    outcome: Outcome,
    last: Instant,
}

impl<'a> Run<'a> {
    pub(super) fn new(generator: &'a mut Generator, load: &'a Load) -> Self {
        Self {
            clients: vec![None; load.clients as usize],
            generator,
            load,
            under_way: 0,
            oldest: VecDeque::new(),
            outbox: Vec::new(),
            next: 0,
            outcome: Outcome::default(),
            last: Instant::now(),
        }
    }

    pub(super) fn run(mut self) -> Result<Outcome> {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            let goes_on = now - began < self.load.time && self.outcome.begun < self.load.most;
            if goes_on {
                for _ in 0..self.due(now - began) {
                    self.begin(now);
                }
            } else if self.under_way == 0 || now - began > self.load.time + LATE && now - self.last > LATE {
                break;
            }
            self.flush()?;
            self.hear()?;
            self.give_up(now);
        }
        self.outcome.elapsed = self.last - began;
        self.outcome.took.sort_unstable();
        Ok(self.outcome)
    }

    /// How many exchanges are to be begun now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of at most a batch")]
    fn due(&self, since: Duration) -> u64 {
        let due = match self.load.pace {
            Pace::Rate(rate) => ((since.as_secs_f64() * rate) as u64).saturating_sub(self.outcome.begun),
            Pace::Window(window) => window.saturating_sub(self.under_way) as u64,
        };
        due.min(BATCH as u64).min(self.load.most - self.outcome.begun)
    }

    /// Begins the next client's exchange, unless it is in the middle of one.
    fn begin(&mut self, now: Instant) {
        let number = self.next;
        self.next = (number + 1) % self.load.clients;
        self.outcome.begun += 1;
        let xid = u32::try_from(self.outcome.begun & 0xffff_ffff).unwrap_or_default().rotate_left(8)
            ^ self.load.first;
        let Some(slot) = self.clients.get_mut(number as usize) else { return };
        if slot.replace(UnderWay { began: now, xid }).is_none() {
            self.under_way += 1;
        }
        self.oldest.push_back((now, number, xid));
        let client = self.load.first + number;
        let message = match self.load.exchange {
            Exchange::Lease => self.message(client, xid, message::DISCOVER, [0; 4], &[]),
            Exchange::Renewal => {
                let address = self.generator.addresses.get(client as usize).copied().unwrap_or_default();
                self.message(client, xid, message::REQUEST, address, &[])
            }
        };
        self.outbox.push(message);
    }

    fn message(&self, client: u32, xid: u32, kind: u8, ciaddr: [u8; 4], more: &[u8]) -> Vec<u8> {
        message_of(client, self.generator.relay, xid, kind, ciaddr, more)
    }

    /// Sends what is to be sent, as far as the kernel takes it now.
    fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.outbox.len() {
            let taken = self.generator.messages.send(&self.outbox[sent..])?;
            if taken == 0 {
                break;
            }
            sent += taken;
        }
        self.outbox.drain(..sent);
        Ok(())
    }

    fn hear(&mut self) -> Result<()> {
        let mut heard = Vec::new();
        self.generator.messages.receive(|bytes| heard.extend(Reply::read(bytes)))?;
        let now = Instant::now();
        for reply in heard {
            self.take(&reply, now);
        }
        Ok(())
    }

    fn take(&mut self, reply: &Reply, now: Instant) {
        let Some(number) = number(reply.mac).and_then(|client| client.checked_sub(self.load.first)) else {
            return;
        };
        let Some(slot) = self.clients.get_mut(number as usize) else { return };
        let Some(under_way) = slot.filter(|under_way| under_way.xid == reply.xid) else { return };
        match reply.kind {
            message::OFFER => {
                let more = [&[54, 4][..], &reply.server, &[50, 4], &reply.address].concat();
                let client = self.load.first + number;
                let request = self.message(client, reply.xid, message::REQUEST, [0; 4], &more);
                self.outbox.push(request);
                return;
            }
            message::ACK => {
                self.outcome.took.push(now - under_way.began);
                if let Some(address) = self.generator.addresses.get_mut((self.load.first + number) as usize) {
                    *address = reply.address;
                }
                self.last = now;
            }
            message::NAK => self.outcome.refused += 1,
            _ => return,
        }
        *slot = None;
        self.under_way -= 1;
    }

    fn give_up(&mut self, now: Instant) {
        while let Some((_, number, xid)) =
            self.oldest.front().copied().filter(|(at, ..)| now - *at > GIVEN_UP)
        {
            self.oldest.pop_front();
            let slot = self.clients.get_mut(number as usize);
            if let Some(slot) = slot.filter(|slot| slot.is_some_and(|under_way| under_way.xid == xid)) {
                *slot = None;
                self.under_way -= 1;
            }
        }
    }
}
