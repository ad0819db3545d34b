//! Clients as they are: one address at a time, counted from when its answer came.

use std::net::Ipv4Addr;

/// A client; its number is its name.
#[derive(Default)]
pub struct Client {
    /// The address that it uses, and until when.
    pub has: Option<(Ipv4Addr, u64)>,
    /// The answer it waits for.
    pub asks: Option<Asks>,
    /// Only this agent hears it.
    pub only: Option<usize>,
}

/// A question of a client. It is sent again with the same transaction until it is answered.
#[derive(Clone, Copy)]
pub struct Asks {
    pub transaction: u64,
    pub since: u64,
    /// It renews: it waits until its lease has ended, as long as that may be.
    pub renews: bool,
    pub wanted: Option<Ipv4Addr>,
}

impl Client {
    /// Lets go of what has ended.
    pub fn look(&mut self, now: u64, patience: u64) {
        self.has.take_if(|(_, end)| *end <= now);
        let has = self.has.is_some();
        self.asks.take_if(|asks| if asks.renews { !has } else { now > asks.since + patience });
    }

    /// An answer came; whether it is taken.
    pub fn hears(&mut self, transaction: u64, ip: Ipv4Addr, lease: u64, now: u64) -> bool {
        if self.asks.is_none_or(|asks| asks.transaction != transaction) {
            return false;
        }
        self.asks = None;
        self.has = Some((ip, now.saturating_add(lease)));
        true
    }
}
