//! What a server has promised, judged from the clients' end of a wire: no address is two clients' at
//! one time.
//!
//! A client counts its lease from when it asked (RFC 2131 §4.4.1), so that is where a promise's time
//! begins, and it ends with that time or with the client's own RELEASE. An OFFER promises its address
//! for as long as the server says that it holds it. Nothing is known here of the server: frames go in.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use xdhcpd_common::frame::bootp;

use crate::conversation::{self, Form, Said};
use crate::exchange;
use crate::frames::Reply;
use crate::tap::Frame;

type Mac = [u8; 6];

/// All promises on a wire.
#[derive(Debug)]
pub struct Ledger {
    offer_hold: Duration,
    promises: HashMap<Ipv4Addr, Promise>,
    /// When a client sent what is not answered yet, by its number.
    asked: HashMap<(Mac, [u8; 4]), SystemTime>,
    /// When it last gave an address back.
    gave_back: HashMap<Mac, SystemTime>,
    /// Addresses that a second client was given before the first one's time was over.
    pub twice: Vec<String>,
    /// How many ACKs there were.
    pub acks: u64,
    /// How often an address was given back.
    pub given_back: u64,
    /// How often an address went to another client than before.
    pub passed_on: u64,
}

/// What one client was promised of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The client.
    pub client: Mac,
    /// Acknowledged until then; none: it was only offered.
    pub acknowledged: Option<SystemTime>,
    /// Held for it until then.
    pub until: SystemTime,
}

impl Ledger {
    /// An empty one, of a server that holds what it offers for so long.
    pub fn new(offer_hold: Duration) -> Self {
        Self {
            offer_hold,
            promises: HashMap::new(),
            asked: HashMap::new(),
            gave_back: HashMap::new(),
            twice: Vec::new(),
            acks: 0,
            given_back: 0,
            passed_on: 0,
        }
    }

    /// Enters what was said, in its order.
    pub fn hear(&mut self, frames: &[Frame]) {
        for frame in frames {
            for said in conversation::of(std::slice::from_ref(frame)) {
                match (said.form(), &said) {
                    (Form::Release, Said::Asked(request)) => {
                        self.released(request.facts.mac, request.facts.ciaddr.into(), frame.at);
                    }
                    (_, Said::Asked(request)) => {
                        self.asked.insert((request.facts.mac, request.xid), frame.at);
                    }
                    (Form::Offer, Said::Answered(offer)) => self.offered(offer, frame.at),
                    (Form::Ack, Said::Answered(ack)) => self.acknowledged(ack, frame.at),
                    _ => {}
                }
            }
        }
    }

    /// Acknowledged leases that have not ended at `now`.
    pub fn acknowledged_at(&self, now: SystemTime) -> impl Iterator<Item = (Ipv4Addr, Promise)> {
        let runs = move |promise: &Promise| promise.acknowledged.is_some_and(|until| until > now);
        self.promises.iter().filter(move |(_, promise)| runs(promise)).map(|(ip, promise)| (*ip, *promise))
    }

    /// Whether an address is still promised as it was: its client has not given it back since.
    pub fn stands(&self, ip: Ipv4Addr, promise: Promise) -> bool {
        self.promises.get(&ip).is_some_and(|now| now.client == promise.client && now.until >= promise.until)
    }

    fn offered(&mut self, offer: &Reply, at: SystemTime) {
        let Some((client, asked)) = self.when_asked(offer) else { return };
        let until = asked + self.offer_hold;
        self.promise(exchange::address(offer), Promise { client, acknowledged: None, until }, at);
    }

    fn acknowledged(&mut self, ack: &Reply, at: SystemTime) {
        self.acks += 1;
        let Some((client, asked)) = self.when_asked(ack) else { return };
        let until = asked + Duration::from_secs(ack.seconds(51).into());
        self.promise(exchange::address(ack), Promise { client, acknowledged: Some(until), until }, at);
    }

    /// A client, and when it asked for this; none: it has given up since what it is answered.
    fn when_asked(&mut self, reply: &Reply) -> Option<(Mac, SystemTime)> {
        let client: Mac = reply.field(bootp::CHADDR, 6).try_into().ok()?;
        let number: [u8; 4] = reply.field(bootp::XID, 4).try_into().ok()?;
        let asked = self.asked.remove(&(client, number))?;
        let gave_back = self.gave_back.get(&client).is_some_and(|gave_back| *gave_back >= asked);
        (!gave_back).then_some((client, asked))
    }

    fn promise(&mut self, ip: Ipv4Addr, new: Promise, at: SystemTime) {
        let Some(former) = self.promises.get_mut(&ip) else {
            self.promises.insert(ip, new);
            return;
        };
        if former.client == new.client {
            former.acknowledged = former.acknowledged.max(new.acknowledged);
            former.until = former.until.max(new.until);
            return;
        }
        if let Ok(early) = former.until.duration_since(at)
            && !early.is_zero()
        {
            self.twice.push(format!("{ip} was {former:?}, and {early:?} before its end {new:?}"));
        }
        self.passed_on += 1;
        *former = new;
    }

    fn released(&mut self, client: Mac, ip: Ipv4Addr, at: SystemTime) {
        self.gave_back.insert(client, at);
        if let Some(promise) = self.promises.get_mut(&ip).filter(|promise| promise.client == client) {
            *promise = Promise { client, acknowledged: None, until: at };
            self.given_back += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{from_client, message};
    use crate::frames::{FrameBuilder, fix_ip_checksum};

    const ONE: Mac = [2, 0, 0, 0, 0, 1];
    const TWO: Mac = [2, 0, 0, 0, 0, 2];
    const IP: [u8; 4] = [10, 9, 0, 100];

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn heard(ledger: &mut Ledger, second: u64, frame: &FrameBuilder) {
        let mut bytes = frame.build();
        if frame.kind[0] == 2 {
            // As a server sends it: not to be fragmented.
            bytes[20] = 0x40;
            fix_ip_checksum(&mut bytes, 14);
        }
        ledger.hear(&[Frame { at: at(second), bytes }]);
    }

    fn reply(kind: u8, client: Mac, asked: u8) -> FrameBuilder {
        let reply = from_client(kind, client).option(54, &[10, 9, 0, 2]).option(51, &[0, 0, 0, 10]);
        reply.with(|frame| {
            frame.xid = from_client(asked, client).xid;
            frame.kind[0] = 2;
            (frame.from_port, frame.to_port) = (67, 68);
            frame.yiaddr = IP;
        })
    }

    /// A client asks at the one second, and has its ACK for ten seconds at the other.
    fn gets(ledger: &mut Ledger, client: Mac, asks: u64, has: u64) {
        heard(ledger, asks, &from_client(message::REQUEST, client).option(50, &IP));
        heard(ledger, has, &reply(message::ACK, client, message::REQUEST));
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Duration::from_secs(5));
        gets(&mut ledger, ONE, 100, 101);
        ledger
    }

    #[test]
    fn an_address_is_its_clients_for_the_time_it_was_given() {
        let mut ledger = ledger();
        let known: Vec<_> = ledger.acknowledged_at(at(109)).collect();
        let until = at(110);
        assert_eq!(known, [(IP.into(), Promise { client: ONE, acknowledged: Some(until), until })]);
        assert_eq!(ledger.acknowledged_at(at(110)).count(), 0, "counted from when it asked");
        gets(&mut ledger, TWO, 109, 110);
        assert_eq!((ledger.twice.len(), ledger.passed_on, ledger.acks), (0, 1, 2));
    }

    #[test]
    fn a_second_client_before_its_end_is_one_too_many() {
        let mut early = ledger();
        gets(&mut early, TWO, 101, 109);
        assert_eq!(early.twice.len(), 1);
        let mut renewed = ledger();
        gets(&mut renewed, ONE, 105, 105);
        gets(&mut renewed, TWO, 111, 112);
        assert_eq!(renewed.twice.len(), 1, "the first had renewed");
        let mut offered = ledger();
        heard(&mut offered, 108, &from_client(message::DISCOVER, TWO));
        heard(&mut offered, 109, &reply(message::OFFER, TWO, message::DISCOVER));
        assert_eq!(offered.twice.len(), 1, "an offer is one as well");
        gets(&mut offered, ONE, 112, 112);
        assert_eq!(offered.twice.len(), 2, "and is held");
    }

    #[test]
    fn what_a_client_gave_back_is_free_whatever_it_is_still_answered() {
        let mut ledger = ledger();
        heard(&mut ledger, 102, &from_client(message::REQUEST, ONE).option(50, &IP));
        heard(&mut ledger, 103, &exchange::release(ONE, IP.into(), [10, 9, 0, 2]));
        heard(&mut ledger, 103, &reply(message::ACK, ONE, message::REQUEST));
        assert_eq!(ledger.acknowledged_at(at(104)).count(), 0);
        gets(&mut ledger, TWO, 104, 104);
        assert_eq!(ledger.twice, [""; 0]);
        // Another's RELEASE gives nothing back.
        heard(&mut ledger, 105, &exchange::release(ONE, IP.into(), [10, 9, 0, 2]));
        let (ip, promise) = ledger.acknowledged_at(at(105)).next().unwrap();
        assert!(ledger.stands(ip, promise));
    }
}
