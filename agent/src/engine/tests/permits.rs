//! What the engine answers where not everything may be promised: agents that share their addresses.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::*;
use crate::clock::Moment;
use crate::engine::permit::{Permits, Promise, Refused};
use crate::lease::{ClientKey, State};

/// The word of those who share the addresses.
#[derive(Default)]
struct Word {
    bound: BTreeMap<Ipv4Addr, ClientKey>,
    /// Bound ones that are being taken back.
    marked: BTreeSet<Ipv4Addr>,
    free: BTreeSet<Ipv4Addr>,
    /// Addresses of which another agent knows more.
    unsure: BTreeSet<Ipv4Addr>,
    silent: bool,
    until: Moment,
    longest: u32,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Word>>);

impl Permits for Shared {
    fn promise(&self, ip: Ipv4Addr, client: &ClientKey) -> Result<Promise, Refused> {
        let word = self.0.borrow();
        let is_its = word.bound.get(&ip) == Some(client);
        if word.silent || is_its && word.marked.contains(&ip) {
            return Err(Refused::NotNow);
        }
        let promise = Promise { until: word.until, longest: word.longest };
        if is_its || word.free.contains(&ip) { Ok(promise) } else { Err(Refused::NotIts) }
    }

    fn is_free(&self, ip: Ipv4Addr) -> bool {
        !self.0.borrow().silent && self.0.borrow().free.contains(&ip)
    }

    fn may_refuse(&self, ip: Ipv4Addr, client: &ClientKey) -> bool {
        let word = self.0.borrow();
        !word.silent && !word.unsure.contains(&ip) && word.bound.get(&ip) != Some(client)
    }
}

/// A lab in which only `free` may be given, for as long as anybody wants it.
fn sharing(lines: &[&str], free: &[u8]) -> (Lab, Shared) {
    let mut lab = Lab::new(&rack(lines));
    let word = Word {
        free: free.iter().map(|last| ip(*last)).collect(),
        until: Moment::FOREVER,
        longest: u32::MAX,
        ..Word::default()
    };
    let shared = Shared(Rc::new(RefCell::new(word)));
    lab.permits = Box::new(shared.clone());
    (lab, shared)
}

#[test]
fn a_new_client_gets_a_free_address_that_is_ours_and_none_where_none_is() {
    let (mut lab, _word) = sharing(&[], &[102]);
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(102), "the ranges begin with others");
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
}

#[test]
fn an_address_that_a_client_asks_for_is_its_only_if_it_is_ours() {
    let (mut lab, _word) = sharing(&[], &[101, 103]);
    assert_eq!(lab.offer(discover(1).option(50, &ip(103).octets())).yiaddr, ip(103));
    assert_eq!(lab.offer(discover(2).option(50, &ip(102).octets())).yiaddr, ip(101));
}

#[test]
fn a_client_whose_address_must_wait_gets_no_other_one() {
    let (mut lab, word) = sharing(&[], &[100, 101]);
    let address = bound(&mut lab, 1);
    word.0.borrow_mut().bound.insert(address, ClientKey::Mac(mac(1)));
    word.0.borrow_mut().marked.insert(address);
    assert_eq!(lab.ignored(discover(1)), Ignored::NotClaimed);
    assert_eq!(lab.ignored(renewing(1, address)), Ignored::NotClaimed);
    word.0.borrow_mut().marked.clear();
    assert_eq!(lab.offer(discover(1)).yiaddr, address);
}

#[test]
fn a_client_whose_address_is_anothers_by_now_gets_another_one() {
    let (mut lab, word) = sharing(&[], &[100, 101]);
    let address = bound(&mut lab, 1);
    word.0.borrow_mut().free.remove(&address);
    word.0.borrow_mut().bound.insert(address, ClientKey::Mac(mac(9)));
    let next = lab.offer(discover(1)).yiaddr;
    assert!(next != address && lab.lease(next).state == State::Offered);
}

#[test]
fn who_may_promise_nothing_says_nothing() {
    let (mut lab, word) = sharing(&["authoritative: true"], &[100, 101]);
    let address = bound(&mut lab, 1);
    word.0.borrow_mut().silent = true;
    let writes = lab.writes.len();
    assert_eq!(lab.ignored(discover(1)), Ignored::NotClaimed);
    assert_eq!(lab.ignored(selecting(1, address)), Ignored::NotClaimed);
    assert_eq!(lab.ignored(init_reboot(1, address)), Ignored::NotClaimed);
    assert_eq!(lab.ignored(renewing(1, address)), Ignored::NotClaimed);
    assert_eq!(lab.ignored(rebinding(7, ip(103))), Ignored::NotClaimed, "no NAK either");
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
    assert_eq!(lab.writes.len(), writes, "nothing is written for that");
}

#[test]
fn no_client_is_refused_what_another_agent_may_have_given_it() {
    let (mut lab, word) = sharing(&["authoritative: true"], &[100]);
    word.0.borrow_mut().unsure.insert(ip(102));
    assert_eq!(lab.ignored(renewing(1, ip(102))), Ignored::NotClaimed);
    assert_eq!(lab.ignored(init_reboot(1, ip(102))), Ignored::NotClaimed);
    assert_eq!(lab.ignored(selecting(1, ip(102))), Ignored::NotClaimed);
    lab.nak(renewing(1, ip(103)));
}

#[test]
fn a_lease_is_no_longer_than_it_may_be_and_the_kernel_gives_none_then() {
    let (mut lab, word) = sharing(&["leaseTime: 1h", "minLeaseTime: 30m"], &[100, 101]);
    word.0.borrow_mut().longest = 600;
    assert_eq!(lab.offer(discover(1)).number(51), Some(600));
    assert_eq!(lab.ack(selecting(1, ip(100))).number(51), Some(600));
    assert_eq!(lab.lease(ip(100)).expires.since(lab.now).as_secs(), 600);
    assert!(lab.entry(mac(1)).is_none(), "its template says an hour");
    word.0.borrow_mut().longest = 86_400;
    assert_eq!(lab.ack(renewing(1, ip(100))).number(51), Some(3600));
    assert!(lab.entry(mac(1)).is_some(), "no lease is longer than a day");
}

#[test]
fn the_kernel_answers_alone_only_as_long_as_the_agent_may() {
    let (mut lab, word) = sharing(&["leaseTime: 1h"], &[100]);
    let until = lab.now.after(std::time::Duration::from_mins(90));
    word.0.borrow_mut().until = until;
    let address = lab.offer(discover(1)).yiaddr;
    lab.ack(selecting(1, address));
    assert_eq!(lab.entry(mac(1)).unwrap().horizon, until.0);
    assert!(lab.lease(address).durable_until > until, "what is on disk is another matter");
    lab.wait(1700);
    assert!(lab.kernel(&renewing(1, address)).is_some());
    lab.wait(200);
    assert!(lab.kernel(&renewing(1, address)).is_none(), "that lease would end after it");
}

#[test]
fn a_client_without_end_is_answered_only_by_a_promise_without_end() {
    let lines = ["bootp: true", "reservations: [{mac: \"02:00:00:00:00:01\", ip: 10.9.0.5}]"];
    let (mut lab, word) = sharing(&lines, &[]);
    word.0.borrow_mut().bound.insert(ip(5), ClientKey::Mac(mac(1)));
    word.0.borrow_mut().longest = 86_400;
    let bootp = || Builder {
        mac: mac(1),
        source_mac: mac(1),
        least: 300,
        ..Builder::with_options(&[12, 1, b'a', 255])
    };
    assert_eq!(lab.ignored(bootp()), Ignored::NotClaimed);
    word.0.borrow_mut().longest = u32::MAX;
    assert!(lab.got(&bootp()).is_some());
}

#[test]
fn options_alone_are_no_promise() {
    let (mut lab, word) = sharing(&[], &[]);
    word.0.borrow_mut().silent = true;
    let inform = unicast(message(1, MessageType::INFORM).option(55, &WANTS), ip(50));
    assert!(lab.got(&inform).is_some());
}
