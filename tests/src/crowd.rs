//! A crowd of clients that ask, renew, give back and come again in any order, and keep a list of all
//! that was acknowledged: which address, to whom, until when.
//!
//! It never forgives: a refusal, or an address offered or acknowledged to one client while it is
//! promised to another, is an error. A server that does not answer is no error: what is not answered is
//! sent again.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use xdhcpd_common::frame::bootp;

use crate::exchange::{self, from_client, message};
use crate::frames::{FrameBuilder, Reply};
use crate::random::Random;
use crate::tap::Tap;

/// How long an answer is waited for before the question is sent again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions under way at one time.
const AT_ONCE: usize = 24;

/// What was acknowledged: an address is a client's until a moment, unless it gives it back before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The client's hardware address.
    pub mac: [u8; 6],
    /// The end of its lease, counted from when it asked.
    pub until: Instant,
}

/// How often what was acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Acks {
    /// A new lease, or an old one by way of a DISCOVER.
    pub selected: u32,
    /// A renewal.
    pub renewed: u32,
    /// A client that came back to its lease.
    pub returned: u32,
}

impl Acks {
    fn all(self) -> u32 {
        self.selected + self.renewed + self.returned
    }
}

/// The clients, and what they were promised.
#[derive(Debug)]
pub struct Crowd<'a> {
    tap: &'a Tap,
    server: [u8; 4],
    clients: Vec<Client>,
    promises: BTreeMap<Ipv4Addr, Promise>,
    random: Random,
    transactions: u32,
    acks: Acks,
}

#[derive(Debug, Default)]
struct Client {
    address: Option<Ipv4Addr>,
    asks: Option<Question>,
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Question {
    kind: Kind,
    xid: u32,
    frame: Vec<u8>,
    /// When it was first sent, and when last.
    asked: Instant,
    sent: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Discover,
    Select,
    Renew,
    Return,
}

impl<'a> Crowd<'a> {
    /// So many clients of the server with this address, all of them new.
    pub fn new(tap: &'a Tap, server: [u8; 4], size: u16, random: Random) -> Self {
        let clients = (0..size).map(|_| Client::default()).collect();
        let promises = BTreeMap::new();
        Self { tap, server, clients, promises, random, transactions: 0, acks: Acks::default() }
    }

    /// What was acknowledged so far.
    pub fn acks(&self) -> Acks {
        self.acks
    }

    /// What is promised now.
    pub fn promises(&mut self) -> &BTreeMap<Ipv4Addr, Promise> {
        let now = Instant::now();
        self.promises.retain(|_, promise| promise.until > now);
        &self.promises
    }

    /// Asks for this, that and the other until so many more answers came.
    pub fn mill_about(&mut self, acks: u32, limit: Duration) -> Result<()> {
        let (enough, end) = (self.acks.all() + acks, Instant::now() + limit);
        while self.acks.all() < enough {
            ensure!(Instant::now() < end, "no {acks} acknowledgements within {limit:?}: {:?}", self.acks);
            self.ask_again()?;
            // More than all can be asked at once by few.
            for _ in self.under_way()..AT_ONCE {
                self.begin_something()?;
            }
            self.listen(end)?;
        }
        Ok(())
    }

    /// Every client that has an address comes back to it, as after a power cut of its own, and must be
    /// told that it is still its own. How many there are.
    pub fn come_back(&mut self, limit: Duration) -> Result<usize> {
        let end = Instant::now() + limit;
        // Who was waiting for an answer has not heard of what the server may have decided.
        self.clients.iter_mut().for_each(|client| client.asks = None);
        let promised: Vec<[u8; 6]> = self.promises().values().map(|promise| promise.mac).collect();
        let mut waiting: Vec<usize> = promised.into_iter().filter_map(number).collect();
        let count = waiting.len();
        while !waiting.is_empty() {
            ensure!(Instant::now() < end, "{} of {count} are not known after {limit:?}", waiting.len());
            self.ask_again()?;
            for client in &waiting {
                if self.under_way() < AT_ONCE && self.clients[*client].asks.is_none() {
                    self.begin(*client, Kind::Return)?;
                }
            }
            if let Some(returned) = self.listen(end)? {
                waiting.retain(|client| *client != returned);
            }
        }
        Ok(count)
    }

    fn under_way(&self) -> usize {
        self.clients.iter().filter(|client| client.asks.is_some()).count()
    }

    /// Some client that waits for nothing does what a client does.
    fn begin_something(&mut self) -> Result<()> {
        let client = self.random.below(self.clients.len());
        if self.clients[client].asks.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        let address = self.clients[client].address;
        let holds = address.and_then(|ip| self.promises.get(&ip)).is_some_and(|promise| promise.until > now);
        match self.random.below(20) {
            0..=10 if holds => self.begin(client, Kind::Renew),
            11..=13 if holds => self.begin(client, Kind::Return),
            14..=15 if holds => self.release(client),
            // New, or with a lease that it does not remember.
            _ => self.begin(client, Kind::Discover),
        }
    }

    fn begin(&mut self, client: usize, kind: Kind) -> Result<()> {
        let frame = from_client(message::DISCOVER, mac(client));
        let address = self.clients[client].address;
        let frame = match (kind, address) {
            (Kind::Renew, Some(ip)) => exchange::renewal(mac(client), ip, self.server),
            (Kind::Return, Some(ip)) => from_client(message::REQUEST, mac(client)).option(50, &ip.octets()),
            _ => frame,
        };
        self.ask(client, kind, frame)
    }

    /// Its own word is enough: the address is not the client's from here on.
    fn release(&mut self, client: usize) -> Result<()> {
        let Some(ip) = self.clients[client].address.take() else { return Ok(()) };
        self.promises.remove(&ip);
        self.send(&exchange::release(mac(client), ip, self.server).build())
    }

    fn ask(&mut self, client: usize, kind: Kind, frame: FrameBuilder) -> Result<()> {
        self.transactions += 1;
        let xid = self.transactions;
        let frame = frame.with(|frame| frame.xid = xid).build();
        self.send(&frame)?;
        let asked = Instant::now();
        self.clients[client].asks = Some(Question { kind, xid, frame, asked, sent: asked });
        Ok(())
    }

    fn ask_again(&mut self) -> Result<()> {
        let now = Instant::now();
        for client in 0..self.clients.len() {
            let Some(question) = &mut self.clients[client].asks else { continue };
            if now.duration_since(question.sent) > PATIENCE {
                question.sent = now;
                let frame = question.frame.clone();
                self.send(&frame)?;
            }
        }
        Ok(())
    }

    /// A wire that nothing is plugged into takes nothing: as if it were lost on its way.
    fn send(&self, frame: &[u8]) -> Result<()> {
        match self.tap.send(frame) {
            Err(error) if error.chain().any(is_unplugged) => Ok(()),
            other => other,
        }
    }

    /// Takes a reply, if one comes soon; the client whose question it answers.
    fn listen(&mut self, until: Instant) -> Result<Option<usize>> {
        let limit = until.saturating_duration_since(Instant::now()).min(PATIENCE / 4);
        let Some(frame) = self.tap.receive(limit)? else { return Ok(None) };
        if !exchange::is_reply(&frame.bytes) {
            return Ok(None);
        }
        self.hear(&Reply::read(&frame.bytes))
    }

    fn hear(&mut self, reply: &Reply) -> Result<Option<usize>> {
        let to: [u8; 6] = reply.field(bootp::CHADDR, 6).try_into()?;
        let client = number(to).context("a reply to nobody of ours")?;
        let (ip, kind) = (exchange::address(reply), reply.option(53).map(<[u8]>::to_vec));
        let is_offer = match kind.as_deref() {
            Some([message::OFFER]) => true,
            Some([message::ACK]) => false,
            _ => bail!("{to:02x?} was refused: {:?}, {:?}", self.clients[client], reply.options),
        };
        let word = if is_offer { "offered" } else { "acknowledged" };
        let now = Instant::now();
        if let Some(other) = self.promises.get(&ip).filter(|it| it.mac != to && it.until > now) {
            bail!("{ip} is {word} to {to:02x?}, and was promised to {:02x?}", other.mac);
        }
        let xid = reply.field(bootp::XID, 4);
        // What was asked twice is answered twice; the second time it says nothing new.
        let Some(question) = self.clients[client].asks.take_if(|it| it.xid.to_be_bytes() == *xid) else {
            return Ok(None);
        };
        if is_offer {
            ensure!(question.kind == Kind::Discover, "an offer to {:?}", question.kind);
            let request = from_client(message::REQUEST, to).option(50, &ip.octets()).option(54, &self.server);
            self.ask(client, Kind::Select, request)?;
            return Ok(None);
        }
        let had = self.clients[client].address.replace(ip);
        match question.kind {
            Kind::Discover => bail!("{to:02x?} was acknowledged what it had not asked for"),
            Kind::Select => self.acks.selected += 1,
            Kind::Renew => self.acks.renewed += 1,
            Kind::Return => self.acks.returned += 1,
        }
        if question.kind != Kind::Select {
            ensure!(had == Some(ip), "{to:02x?} asked for {had:?}, and was acknowledged {ip}");
        }
        let until = question.asked + Duration::from_secs(reply.seconds(51).into());
        self.promises.insert(ip, Promise { mac: to, until });
        Ok(Some(client))
    }
}

/// Whether an error is that of an interface without a carrier.
fn is_unplugged(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    matches!(code, Some(libc::ENOBUFS | libc::ENETDOWN | libc::EIO))
}

/// The hardware address of a client.
fn mac(client: usize) -> [u8; 6] {
    let [.., high, low] = client.to_be_bytes();
    [2, 0, 0, 0x60, high, low]
}

/// Which client has this hardware address; none: none of ours.
fn number(mac: [u8; 6]) -> Option<usize> {
    match mac {
        [2, 0, 0, 0x60, high, low] => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}
