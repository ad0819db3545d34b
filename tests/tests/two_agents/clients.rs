//! Clients: known ones that ask without a break, others that come and go, and one with a network stack of its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use xdhcpd_tests::exchange::{self, address, from_client, message, release, reply_to};
use xdhcpd_tests::frames;
use xdhcpd_tests::known;
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::tap::Tap;

use super::scene::SELF_IP;

/// How long an answer is waited for, before the next client asks.
const LISTEN: Duration = Duration::from_millis(300);

/// Known clients ask in turn; the longest that each went without an answer.
pub fn ask_on(tap: &Tap, clients: &[known::Client], end: &AtomicBool) -> Result<HashMap<[u8; 6], Duration>> {
    let begun = Instant::now();
    let mut last: HashMap<[u8; 6], Instant> = clients.iter().map(|(mac, _)| (*mac, begun)).collect();
    let mut gaps: HashMap<[u8; 6], Duration> = HashMap::new();
    for (number, (mac, ip)) in (1_u32..).zip(clients.iter().cycle()) {
        if end.load(Ordering::Acquire) {
            break;
        }
        let question = match number % 2 {
            0 => from_client(message::REQUEST, *mac).option(50, &ip.octets()),
            _ => exchange::renewal(*mac, *ip, frames::BROADCAST),
        };
        let question = question.with(|frame| frame.xid = number);
        tap.send(&question.build())?;
        let reply = reply_to(tap, &question, LISTEN)?;
        let gap = last.get(mac).map(Instant::elapsed).unwrap_or_default();
        if let Some(reply) = reply {
            ensure!(
                reply.option(53) == Some(&[message::ACK]) && address(&reply) == *ip,
                "{mac:?}: {reply:?}"
            );
            last.insert(*mac, Instant::now());
        }
        let longest = gaps.entry(*mac).or_default();
        *longest = gap.max(*longest);
        thread::sleep(Duration::from_millis(10));
    }
    Ok(gaps)
}

/// A client with a network stack of its own, which renews at its server's address as that is found there.
pub struct Renewing {
    socket: UdpSocket,
    mac: [u8; 6],
    ip: Ipv4Addr,
}

impl Renewing {
    /// Gets its address.
    pub fn begin(clients: &NetNs) -> Result<Self> {
        let mac = [2, 7, 7, 7, 7, 7];
        clients.ip("link add link c0 name m0 address 02:07:07:07:07:07 type macvlan mode bridge")?;
        clients.ip("link set m0 up")?;
        let [_, ack] = exchange::obtain(&Tap::open(clients, "m0")?, mac, |frame| frame)?;
        let ip = address(&ack);
        clients.ip(&format!("address add {ip}/16 dev m0"))?;
        let socket = clients.inside(|| UdpSocket::bind((ip, 68)))??;
        socket.set_read_timeout(Some(LISTEN))?;
        Ok(Self { socket, mac, ip })
    }

    /// The longest that it went without an answer.
    pub fn renew_until(&self, end: &AtomicBool) -> Result<Duration> {
        const PAYLOAD: usize = 42;
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        let mut number = 0;
        while !end.load(Ordering::Acquire) {
            number += 1;
            let server: Ipv4Addr = SELF_IP.parse()?;
            let question = exchange::renewal(self.mac, self.ip, server.octets());
            let frame = question.with(|frame| frame.xid = number).build();
            let payload = frame.get(PAYLOAD..).context("a message")?;
            // Nobody may be there just now.
            let _sent = self.socket.send_to(payload, (server, 67));
            let mut reply = [0; 1500];
            let is_answered = self.socket.recv(&mut reply).is_ok() && reply[4..8] == number.to_be_bytes();
            longest = longest.max(last.elapsed());
            if is_answered {
                last = Instant::now();
            }
            thread::sleep(LISTEN);
        }
        Ok(longest)
    }
}

/// What became of clients that come.
#[derive(Debug, Default)]
pub struct Came {
    pub got: u32,
    nothing: u32,
    renewed: u32,
    gave_back: u32,
}

/// Clients come; some renew a while later, some give their address back, and some are never heard of again.
pub fn come_and_go(tap: &Tap, end: &AtomicBool) -> Result<Came> {
    let mut came = Came::default();
    let mut here: Vec<([u8; 6], Ipv4Addr, [u8; 4])> = Vec::new();
    for number in 0_u32.. {
        if end.load(Ordering::Acquire) {
            break;
        }
        let [a, b, c, d] = number.to_be_bytes();
        let mac = [2, 9, a, b, c, d];
        match lease(tap, mac)? {
            Some((ip, server)) => {
                came.got += 1;
                here.push((mac, ip, server));
            }
            None => came.nothing += 1,
        }
        if here.len() > 20 {
            let (mac, ip, server) = here.remove(0);
            match number % 3 {
                0 => {
                    tap.send(&release(mac, ip, server).build())?;
                    came.gave_back += 1;
                }
                1 => {
                    let question = exchange::renewal(mac, ip, frames::BROADCAST);
                    tap.send(&question.with(|frame| frame.xid ^= 0x55).build())?;
                    came.renewed += 1;
                }
                _ => {}
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(came)
}

/// The whole way to a lease; none: nobody answered.
pub fn lease(tap: &Tap, mac: [u8; 6]) -> Result<Option<(Ipv4Addr, [u8; 4])>> {
    // Every other one is answered by broadcast, so that the other agent hears it, too.
    let flags = u16::from(mac[5] % 2) << 15;
    let discover = from_client(message::DISCOVER, mac).with(|frame| frame.flags = flags);
    tap.send(&discover.build())?;
    let Some(offer) = reply_to(tap, &discover, LISTEN)? else { return Ok(None) };
    let server: [u8; 4] = offer.option(54).context("an OFFER names its server")?.try_into()?;
    let request = from_client(message::REQUEST, mac).option(50, &address(&offer).octets());
    let request = request.option(54, &server).with(|frame| frame.flags = flags);
    tap.send(&request.build())?;
    let Some(reply) = reply_to(tap, &request, LISTEN)? else { return Ok(None) };
    if reply.option(53) != Some(&[message::ACK]) {
        bail!("refused what was offered: {reply:?}");
    }
    Ok(Some((address(&reply), server)))
}
