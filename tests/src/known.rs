//! Known clients that are asked for without a break, in turn, and how they were answered.
//!
//! Each question is of another transaction; so an answer that does not come, or comes late, is a gap in
//! what clients see, however short.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use xdhcpd_common::frame::bootp;

use crate::exchange::{self, from_client, message};
use crate::frames::{self, FrameBuilder, Reply};
use crate::tap::Tap;

/// How long an answer is waited for: many times what one takes on the busiest machine.
const LISTEN: Duration = Duration::from_secs(2);

/// A client with its address.
pub type Client = ([u8; 6], Ipv4Addr);

/// How it went.
#[derive(Debug, Default)]
pub struct Answers {
    /// Questions.
    pub asked: u64,
    /// Those that got no answer at all.
    pub unanswered: Vec<String>,
    /// The longest time until an answer was there.
    pub slowest: Duration,
}

/// Whether a message is to or from one of our clients.
pub fn is_ours(mac: [u8; 6]) -> bool {
    mac.starts_with(&[2, 0, 0x6b, 0, 0])
}

/// So many clients, each with a lease.
pub fn obtain(tap: &Tap, count: u8) -> Result<Vec<Client>> {
    let macs = (0..count).map(|number| [2, 0, 0x6b, 0, 0, number]);
    macs.map(|mac| Ok((mac, exchange::address(&exchange::obtain(tap, mac, |frame| frame)?[1])))).collect()
}

/// Asks for the clients in turn, a question each `pace`, until `end` says so.
///
/// Each comes as a client that looks for servers, that comes back to its lease, or that rebinds it.
pub fn ask_on(tap: &Tap, clients: &[Client], pace: Duration, end: &AtomicBool) -> Result<Answers> {
    let mut answers = Answers::default();
    let mut next = Instant::now();
    for (number, (mac, ip)) in (1_u32..).zip(clients.iter().cycle()) {
        if end.load(Ordering::Acquire) {
            break;
        }
        let question = question(number, *mac, *ip);
        let at = SystemTime::now();
        tap.send(&question.build())?;
        answers.asked += 1;
        match exchange::reply_frame(tap, &question, LISTEN)? {
            Some(frame) => {
                let reply = Reply::read(&frame.bytes);
                ensure!(exchange::address(&reply) == *ip, "{mac:?} has {ip}: {reply:?}");
                ensure!(reply.field(bootp::CHADDR, 6) == mac.as_slice(), "{reply:?}");
                answers.slowest = answers.slowest.max(frame.at.duration_since(at).unwrap_or_default());
            }
            None => answers.unanswered.push(format!("{mac:02x?} at {at:?}: {question:?}")),
        }
        next += pace;
        // What else is on the wire is read away meanwhile.
        while let Some(rest) = next.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            tap.receive(rest)?;
        }
    }
    Ok(answers)
}

fn question(number: u32, mac: [u8; 6], ip: Ipv4Addr) -> FrameBuilder {
    let question = match number % 3 {
        0 => from_client(message::DISCOVER, mac),
        1 => from_client(message::REQUEST, mac).option(50, &ip.octets()),
        _ => exchange::renewal(mac, ip, frames::BROADCAST),
    };
    question.with(|frame| frame.xid = number)
}
