//! Clients that renew their leases all the time, each request once, and miss no answer.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::exchange::{self, address, message, renewal, reply_to};
use crate::netns::{NetNs, Pair};
use crate::scene::now;
use crate::tap::Tap;

/// A client's pause between two renewals: at any moment some are on their way.
const PAUSE: Duration = Duration::from_millis(1);

/// A client sends again after four seconds (RFC 2131 §4.1): none may have to.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// A client that has a lease.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its server's.
    pub server: [u8; 4],
}

/// The hardware address of a client.
pub fn mac(thread: u8, client: u8) -> [u8; 6] {
    [2, 0, 0, 0, thread, client]
}

/// Clients that got their leases from a server: `each` of them for every thread.
pub fn clients(pair: &Pair, server: [u8; 4], threads: u8, each: u8) -> Result<Vec<Vec<Client>>> {
    let tap = Tap::open(&pair.client, "c0")?;
    let obtain = |thread, client| {
        let mac = mac(thread, client);
        let [_, ack] = exchange::obtain(&tap, mac, |frame| frame)?;
        Ok(Client { mac, ip: address(&ack), server })
    };
    (1..=threads).map(|thread| (1..=each).map(|client| obtain(thread, client)).collect()).collect()
}

/// What became of the renewals of some clients.
#[derive(Debug, Default)]
pub struct Renewals {
    /// How many were acknowledged.
    pub acks: u64,
    /// The longest time that took.
    pub slowest: Duration,
    /// When each client sent the last that was acknowledged, by the clock since boot.
    pub last: Vec<(Client, u64)>,
}

/// Renews leases, one after the other, until it is to stop. Each request is sent once; one that is not
/// acknowledged in time is an error.
fn renew(namespace: &NetNs, clients: &[Client], stop: &AtomicBool) -> Result<Renewals> {
    let tap = Tap::open(namespace, "c0")?;
    let mut renewals =
        Renewals { last: clients.iter().map(|client| (*client, 0)).collect(), ..Renewals::default() };
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        for (client, last) in &mut renewals.last {
            number += 1;
            let frame = renewal(client.mac, client.ip, client.server)
                .with(|frame| frame.xid = number << 8 | u32::from(client.mac[4]));
            let (begun, sent) = (Instant::now(), now());
            tap.send(&frame.build())?;
            let reply = reply_to(&tap, &frame, PATIENCE)?;
            let reply = reply.with_context(|| format!("request {number} of {client:?} is not answered"))?;
            ensure!(
                reply.option(53) == Some(&[message::ACK]) && address(&reply) == client.ip,
                "{client:?}: no ACK"
            );
            renewals.acks += 1;
            renewals.slowest = renewals.slowest.max(begun.elapsed());
            *last = sent;
            std::thread::sleep(PAUSE);
        }
    }
    Ok(renewals)
}

/// Does something while clients renew; what became of the renewals.
pub fn while_clients_renew(
    pair: &Pair,
    clients: &[Vec<Client>],
    work: impl FnOnce() -> Result<()>,
) -> Result<Vec<Renewals>> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let threads: Vec<_> =
            clients.iter().map(|some| scope.spawn(move || renew(&pair.client, some, stop))).collect();
        let worked = work();
        stop.store(true, Ordering::Relaxed);
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let ended = ended.collect::<Result<Vec<_>>>()?;
        worked.map(|()| ended)
    })
}
