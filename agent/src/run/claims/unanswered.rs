//! Clients that nobody answers, as an agent that stands by hears them.
//!
//! It is their word alone that counts, for answers to others may pass us by: who asks the same again and
//! again was not answered. Answering one that was costs a frame, and no promise depends on it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use xdhcpd_common::facts::{Facts, MessageType, NONE};
use xdhcpd_common::maps::Wire;

use crate::clock::Moment;

/// A client that has asked so often, over such a time at least, is not answered. RFC 2131 §4.1 has clients ask
/// again after 4 and 8 seconds.
const ASKED: u32 = 3;
const FOR: Duration = Duration::from_secs(4);

/// Who has not asked for so long asks anew. Who rebinds asks once a minute, or less often.
const FORGOTTEN: Duration = Duration::from_mins(5);

/// Clients that are remembered; more of them wait until some are forgotten.
const MOST: usize = 4096;

/// Clients by what they asked.
#[derive(Debug, Default)]
pub struct Unanswered(HashMap<(Wire, [u8; 6]), Asking>);

/// One that asks.
#[derive(Debug, Clone, Copy)]
struct Asking {
    kind: u8,
    times: u32,
    first: Moment,
    last: Moment,
    /// It was found to be unanswered: it is ours until another server answers it.
    is_ours: bool,
}

impl Unanswered {
    /// Whether a message is to be answered here, where our servers are `ours`: its client has chosen us, or asks us
    /// alone, or nobody answers it.
    pub fn hears(&mut self, wire: Wire, facts: &Facts, ours: &[Ipv4Addr], now: Moment) -> bool {
        let client = (wire, facts.mac);
        if ours.contains(&facts.destination.into()) {
            return true;
        }
        if facts.server != NONE {
            let is_ours = ours.contains(&facts.server.into());
            if !is_ours {
                self.0.remove(&client);
            }
            return is_ours;
        }
        if !matches!(facts.kind, MessageType::DISCOVER | MessageType::REQUEST) {
            return false;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&client) {
            self.0.retain(|_, asking| now.since(asking.last) < FORGOTTEN);
            if self.0.len() >= MOST {
                return false;
            }
        }
        let first = Asking { kind: facts.kind, times: 0, first: now, last: now, is_ours: false };
        let asking = self.0.entry(client).or_insert(first);
        let is_another = asking.kind != facts.kind && !asking.is_ours;
        if is_another || now.since(asking.last) >= FORGOTTEN {
            *asking = first;
        }
        asking.times = asking.times.saturating_add(1);
        asking.last = now;
        asking.is_ours |= asking.times >= ASKED && now.since(asking.first) >= FOR;
        asking.is_ours
    }

    /// It is known again who answers.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: Wire = Wire { interface: 1, vlan: [0; 2] };
    const OURS: [u8; 4] = [10, 9, 0, 3];
    const DISCOVER: u8 = MessageType::DISCOVER;
    const REQUEST: u8 = MessageType::REQUEST;

    fn at(seconds: u64) -> Moment {
        Moment::NEVER.after(Duration::from_secs(seconds))
    }

    struct Client(Unanswered);

    impl Client {
        fn says(&mut self, kind: u8, server: [u8; 4], seconds: u64) -> bool {
            let facts = Facts { kind, server, mac: [2; 6], ..Facts::default() };
            self.0.hears(WIRE, &facts, &[OURS.into()], at(seconds))
        }
    }

    #[test]
    fn who_asks_the_third_time_is_answered_and_again_until_another_server_does() {
        let mut client = Client(Unanswered::default());
        assert!(!client.says(DISCOVER, NONE, 0) && !client.says(DISCOVER, NONE, 4));
        assert!(client.says(DISCOVER, NONE, 12));
        assert!(client.says(REQUEST, OURS, 13), "it has chosen us");
        assert!(client.says(REQUEST, NONE, 60));
        assert!(!client.says(REQUEST, [10, 9, 0, 2], 61));
        assert!(!client.says(REQUEST, NONE, 62));
        let facts = Facts { kind: REQUEST, mac: [3; 6], destination: OURS, ..Facts::default() };
        assert!(client.0.hears(WIRE, &facts, &[OURS.into()], at(63)), "it asks us alone");
    }

    #[test]
    fn who_goes_on_or_asks_now_and_then_was_answered() {
        let mut client = Client(Unanswered::default());
        for (kind, seconds) in [(DISCOVER, 0), (DISCOVER, 4), (REQUEST, 5), (REQUEST, 9), (DISCOVER, 14)] {
            assert!(!client.says(kind, NONE, seconds));
        }
        for seconds in [400, 800, 1200, 1600] {
            assert!(!client.says(REQUEST, NONE, seconds));
        }
        assert!(!client.says(MessageType::INFORM, NONE, 1601));
    }

    #[test]
    fn a_burst_is_no_patience() {
        let mut client = Client(Unanswered::default());
        assert!((0..3).all(|_| !client.says(DISCOVER, NONE, 0)));
        assert!(!client.says(DISCOVER, NONE, 3));
        assert!(client.says(DISCOVER, NONE, 4));
    }

    #[test]
    fn a_flood_of_clients_is_bounded_and_passes() {
        let mut unanswered = Unanswered::default();
        let mut ask = |number: u32, seconds: u64| {
            let [a, b, c, d] = number.to_be_bytes();
            let facts = Facts { kind: DISCOVER, mac: [2, 0, a, b, c, d], ..Facts::default() };
            unanswered.hears(WIRE, &facts, &[], at(seconds));
            unanswered.0.len()
        };
        let kept = (0..5000).map(|number| ask(number, 0)).last();
        assert_eq!(kept, Some(MOST));
        assert_eq!(ask(9999, 300), 1);
    }
}
