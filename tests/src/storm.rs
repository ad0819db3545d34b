//! A boot storm: thousands of machines that start at one time behind a relay, each through several
//! boots one after the other, each boot a DISCOVER, OFFER, REQUEST, ACK.
//!
//! It stands in the relay's place: what it sends is what a relay passes on (`giaddr`, one hop, option
//! 82 of the switch port that the machine is plugged into), and replies come back to it. A machine
//! repeats what is not answered, as firmware does, and gives up after [`TRIES`].

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xdhcpd_common::frame::bootp;

use crate::exchange::{self, from_client, message};
use crate::frames::Reply;
use crate::random::Random;
use crate::tap::Tap;

/// How long a machine waits before it repeats itself (RFC 2131 §4.1: four seconds at first).
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it asks in all.
const TRIES: u32 = 4;
/// Longest time for all of it: many times what it takes on an idle machine.
const LIMIT: Duration = Duration::from_mins(2);
/// Decides what is lost.
const SEED: u64 = 82;
/// Ports of a switch.
const PORTS: u32 = 48;

/// A program that a machine runs while it boots.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// Its name, for messages.
    pub name: &'static str,
    /// What it says of itself beside its hardware address: options 55, 60, 61, 77, 93, 97.
    pub options: fn([u8; 6]) -> Options,
}

/// Options in their order: codes and values.
pub type Options = Vec<(u8, Vec<u8>)>;

/// The three programs of a machine that boots over the network: a PXE ROM, iPXE, and the system.
/// Each sends another client-id and other options.
pub const BOOTS: [Boot; 3] = [
    Boot { name: "ROM", options: rom },
    Boot { name: "iPXE", options: ipxe },
    Boot { name: "system", options: system },
];

/// What is to happen.
#[derive(Debug, Clone, Copy)]
pub struct Storm<'a> {
    /// How many machines.
    pub machines: u32,
    /// So many of them are under way at one time.
    pub at_once: u32,
    /// What each runs.
    pub boots: &'a [Boot],
    /// One in so many replies is lost on its way; that to a message sent again is not.
    pub loses: Option<usize>,
    /// The relay's address.
    pub relay: [u8; 4],
    /// The server's.
    pub server: [u8; 4],
    /// And its hardware address.
    pub server_mac: [u8; 6],
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// Of each machine, every address that an ACK gave it.
    pub addresses: Vec<BTreeSet<Ipv4Addr>>,
    /// How many boots ended with an ACK.
    pub acks: u32,
    /// NAKs, and to whom.
    pub naks: Vec<[u8; 6]>,
    /// Boots that were given up.
    pub gave_up: Vec<([u8; 6], &'static str)>,
    /// Messages that were sent more than once.
    pub repeated: u32,
    /// The longest time from a DISCOVER to its ACK.
    pub slowest: Duration,
    /// The shortest time of that in a first boot.
    pub quickest_first: Option<Duration>,
    /// How long it took in all.
    pub took: Duration,
}

/// The hardware address of a machine.
pub fn mac(machine: u32) -> [u8; 6] {
    let [_, a, b, c] = machine.to_be_bytes();
    [2, 0, 0x50, a, b, c]
}

/// Runs it to its end.
pub fn run(tap: &Tap, storm: Storm<'_>) -> Result<Aftermath> {
    let mut weather = Weather {
        tap,
        storm,
        machines: Vec::new(),
        under_way: 0,
        deadlines: VecDeque::new(),
        luck: Random::new(SEED),
        aftermath: Aftermath::default(),
    };
    let began = Instant::now();
    weather.blow()?;
    let Weather { machines, mut aftermath, .. } = weather;
    aftermath.took = began.elapsed();
    aftermath.addresses = machines.into_iter().map(|machine| machine.addresses).collect();
    Ok(aftermath)
}

/// A storm that is on.
struct Weather<'a> {
    tap: &'a Tap,
    storm: Storm<'a>,
    machines: Vec<Machine>,
    under_way: u32,
    /// When which machine has waited long enough for what; in their order, for all wait equally long.
    deadlines: VecDeque<(Instant, u32, Wait)>,
    luck: Random,
    aftermath: Aftermath,
}

#[derive(Debug)]
struct Machine {
    wait: Wait,
    began: Instant,
    /// What it sent last, to be sent again.
    sent: Vec<u8>,
    addresses: BTreeSet<Ipv4Addr>,
}

/// What a machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    boot: usize,
    /// OFFER or ACK; none: it has come to its end.
    kind: u8,
    tries: u32,
}

impl Weather<'_> {
    fn blow(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            ensure!(began.elapsed() < LIMIT, "not over after {LIMIT:?}: {:?}", self.aftermath);
            while self.under_way < self.storm.at_once && self.started() < self.storm.machines {
                self.start()?;
            }
            if self.under_way == 0 {
                return Ok(());
            }
            let now = Instant::now();
            let next = self.deadlines.front().map_or(PATIENCE, |(at, ..)| at.saturating_duration_since(now));
            if let Some(frame) = self.tap.receive(next)? {
                self.hear(&frame.bytes)?;
            }
            self.repeat()?;
        }
    }

    fn started(&self) -> u32 {
        u32::try_from(self.machines.len()).unwrap_or(u32::MAX)
    }

    fn start(&mut self) -> Result<()> {
        let number = self.started();
        let wait = Wait { boot: 0, kind: message::OFFER, tries: 0 };
        let addresses = BTreeSet::new();
        self.machines.push(Machine { wait, began: Instant::now(), sent: Vec::new(), addresses });
        self.under_way += 1;
        self.discover(number, 0)
    }

    fn discover(&mut self, number: u32, boot: usize) -> Result<()> {
        self.machine(number)?.began = Instant::now();
        let frame = self.frame(number, boot, message::DISCOVER, &[]);
        self.say(number, Wait { boot, kind: message::OFFER, tries: 0 }, frame)
    }

    /// A message of a machine with these options too, as its relay passes it on.
    fn frame(&self, number: u32, boot: usize, kind: u8, more: &[(u8, &[u8])]) -> Vec<u8> {
        let Storm { relay, server, server_mac, boots, .. } = self.storm;
        let mac = mac(number);
        let options = boots.get(boot).map(|boot| (boot.options)(mac)).unwrap_or_default();
        let frame = from_client(kind, mac).relayed(relay, server).with(|frame| {
            frame.destination = server_mac;
            frame.xid = xid(number, boot);
        });
        let frame = options.iter().fold(frame, |frame, (code, value)| frame.option(*code, value));
        let frame = more.iter().fold(frame, |frame, (code, value)| frame.option(*code, value));
        // The relay's option comes last.
        frame.option(82, &relay_information(number)).build()
    }

    fn say(&mut self, number: u32, wait: Wait, frame: Vec<u8>) -> Result<()> {
        self.tap.send(&frame)?;
        let machine = self.machine(number)?;
        machine.sent = frame;
        machine.wait = wait;
        self.deadlines.push_back((Instant::now() + PATIENCE, number, wait));
        Ok(())
    }

    fn machine(&mut self, number: u32) -> Result<&mut Machine> {
        self.machines.get_mut(number as usize).context("a machine that was started")
    }

    /// Takes a reply; what else is on the wire is nothing to us.
    fn hear(&mut self, bytes: &[u8]) -> Result<()> {
        if !exchange::is_reply(bytes) {
            return Ok(());
        }
        let reply = Reply::read(bytes);
        if reply.field(bootp::GIADDR, 4) != self.storm.relay {
            return Ok(());
        }
        let xid = u32::from_be_bytes(reply.field(bootp::XID, 4).try_into()?);
        let (number, boot) = (xid / 4, (xid % 4) as usize);
        ensure!(reply.field(bootp::CHADDR, 6) == mac(number), "a reply with somebody else's number");
        let kind = reply.option(53).and_then(|value| value.first().copied()).unwrap_or_default();
        if kind == message::NAK {
            self.aftermath.naks.push(mac(number));
        }
        let wait = self.machine(number)?.wait;
        // An answer to what was sent twice comes twice.
        if (wait.boot, wait.kind) != (boot, kind) || (wait.tries == 0 && self.is_lost()) {
            return Ok(());
        }
        if kind == message::OFFER {
            self.request(number, boot, &reply)
        } else {
            self.bound(number, boot, &reply)
        }
    }

    fn is_lost(&mut self) -> bool {
        self.storm.loses.is_some_and(|times| self.luck.chance(times))
    }

    fn request(&mut self, number: u32, boot: usize, offer: &Reply) -> Result<()> {
        let server = offer.option(54).context("an OFFER names its server")?;
        let address = exchange::address(offer).octets();
        let frame = self.frame(number, boot, message::REQUEST, &[(54, server), (50, &address)]);
        self.say(number, Wait { boot, kind: message::ACK, tries: 0 }, frame)
    }

    fn bound(&mut self, number: u32, boot: usize, ack: &Reply) -> Result<()> {
        let machine = self.machine(number)?;
        machine.addresses.insert(exchange::address(ack));
        let took = machine.began.elapsed();
        self.aftermath.acks += 1;
        self.aftermath.slowest = self.aftermath.slowest.max(took);
        if boot == 0 {
            let quickest = self.aftermath.quickest_first.unwrap_or(took);
            self.aftermath.quickest_first = Some(quickest.min(took));
        }
        self.next(number, boot)
    }

    /// What comes after a boot that has ended, well or not.
    fn next(&mut self, number: u32, boot: usize) -> Result<()> {
        if boot + 1 < self.storm.boots.len() {
            return self.discover(number, boot + 1);
        }
        self.machine(number)?.wait = Wait { boot: boot + 1, kind: 0, tries: 0 };
        self.under_way -= 1;
        Ok(())
    }

    /// Says again what was not answered in time.
    fn repeat(&mut self) -> Result<()> {
        while let Some((at, number, wait)) = self.deadlines.front().copied() {
            if at > Instant::now() {
                break;
            }
            self.deadlines.pop_front();
            let machine = self.machine(number)?;
            if machine.wait != wait {
                continue;
            }
            if wait.tries + 1 < TRIES {
                let frame = std::mem::take(&mut machine.sent);
                self.aftermath.repeated += 1;
                self.say(number, Wait { tries: wait.tries + 1, ..wait }, frame)?;
            } else {
                let name = self.storm.boots.get(wait.boot).map_or("", |boot| boot.name);
                self.aftermath.gave_up.push((mac(number), name));
                self.next(number, wait.boot)?;
            }
        }
        Ok(())
    }
}

/// One number for each boot of each machine; the same in all of its messages.
fn xid(number: u32, boot: usize) -> u32 {
    number * 4 + u32::try_from(boot).unwrap_or(3)
}

/// Option 82 as a relay in a switch writes it: the port, and the switch's own address.
fn relay_information(number: u32) -> Vec<u8> {
    let (switch, port) = (number / PORTS, number % PORTS);
    let circuit = format!("rack{}/{port}", switch % 1000);
    let [_, a, b, c] = switch.to_be_bytes();
    let mut value = vec![1, u8::try_from(circuit.len()).unwrap_or_default()];
    value.extend(circuit.into_bytes());
    value.extend([2, 8, 0, 6, 2, 0, 0x5e, a, b, c]);
    value
}

fn rom(mac: [u8; 6]) -> Options {
    let uuid = machine_id(mac);
    vec![
        (55, vec![1, 3, 6, 15, 17, 43, 60, 66, 67, 128, 129]),
        (57, vec![4, 236]),
        (61, uuid.clone()),
        (97, uuid),
        (93, vec![0, 7]),
        (94, vec![1, 3, 16]),
        (60, b"PXEClient:Arch:00007:UNDI:003016".to_vec()),
    ]
}

fn ipxe(mac: [u8; 6]) -> Options {
    vec![
        (57, vec![5, 192]),
        (93, vec![0, 7]),
        (94, vec![1, 3, 16]),
        (60, b"PXEClient:Arch:00007:UNDI:003016".to_vec()),
        (77, b"iPXE".to_vec()),
        (55, vec![1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 175, 203]),
        (61, [&[1][..], &mac].concat()),
        (97, machine_id(mac)),
    ]
}

fn system(mac: [u8; 6]) -> Options {
    // An IAID and a DUID made of the hardware address (RFC 4361).
    let identifier = [&[255][..], &mac[2..], &[0, 3, 0, 1], &mac].concat();
    vec![
        (61, identifier),
        (55, vec![1, 3, 6, 12, 15, 26, 42, 119, 121]),
        (12, format!("node-{:02x}{:02x}{:02x}", mac[3], mac[4], mac[5]).into_bytes()),
    ]
}

/// A UUID as option 97 has it, made of the hardware address.
fn machine_id(mac: [u8; 6]) -> Vec<u8> {
    [&[0][..], &[0x42; 10], &mac].concat()
}
