//! Giving addresses back for an operator, who takes their clients for dead.
//!
//! Whoever may still use the address is asked first: by ARP where we are on its link, else by ICMP
//! echo, for about a second. If anybody answers, the lease stands. So it does where the question
//! cannot be put, for then silence says nothing. The core goes on meanwhile: the operator alone
//! waits, and gets the answer when it is known.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::oneshot;
use xdhcpd_common::frame::ethernet;
use xdhcpd_common::maps::Wire;

use crate::clock::{Moment, Now};
use crate::config::host;
use crate::control::{Probe, QUEUE, ReleaseRefused, Released, Target};
use crate::engine::served::Place;
use crate::engine::{Ending, TakeBack, arp, probes};
use crate::lease::{Lease, State};
use crate::report::Mac;

use super::batch::Asking;
use super::core::Core;

/// How often a holder is asked, and how long it has each time: a machine that sleeps lightly wakes
/// up for the second, and all of it is well within [`crate::control::PATIENCE`].
const ASKED: u8 = 3;
const WITHIN: Duration = Duration::from_millis(300);

/// How often where there is always something left to read: what answered the first questions has been read by
/// then, for it came before what is left.
const ASKED_AMID_MUCH: u8 = ASKED + 2;

/// Holders that are asked at one time: as many as there can be operators waiting.
const MOST: usize = QUEUE;

/// Of a client's addresses, how many an error names.
const NAMED: usize = 16;

/// What an operator is told.
type Answer = Result<Released, ReleaseRefused>;

/// Holders that are being asked whether they still use their address.
#[derive(Debug, Default)]
pub struct Releases {
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    /// As it was when the first question was put.
    lease: Lease,
    wire: Wire,
    times: u8,
    until: Moment,
    answered: Option<ReleaseRefused>,
    reply: oneshot::Sender<Answer>,
}

impl Releases {
    /// Whether nobody is being asked.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// When somebody is to be asked again, or has been silent for long enough.
    pub fn next(&self) -> Option<Moment> {
        self.asked.iter().map(|asked| asked.until).min()
    }

    /// Somebody on a wire says that an address is its own.
    pub fn claimed(&mut self, wire: Wire, ip: Ipv4Addr, by: [u8; 6]) {
        self.answered(ip, Some(by), |asked| asked.wire == wire);
    }

    /// An address answered an echo request, or its client a message.
    pub fn heard(&mut self, ip: Ipv4Addr) {
        self.answered(ip, None, |_| true);
    }

    fn answered(&mut self, ip: Ipv4Addr, by: Option<[u8; 6]>, counts: impl Fn(&Asked) -> bool) {
        for asked in self.asked.iter_mut().filter(|asked| asked.lease.ip == ip && counts(asked)) {
            let refused = still_answers(&asked.lease, by);
            asked.answered.get_or_insert(refused);
        }
    }

    /// Those whose answer is known, or who have been silent for long enough.
    fn done(&mut self, now: Moment) -> Vec<Asked> {
        let is_done = |asked: &mut Asked| asked.answered.is_some() || asked.until <= now;
        self.asked.extract_if(.., is_done).collect()
    }
}

impl Core {
    /// Gives an address back, and answers; where its holder is asked first, later. An operator who
    /// is gone does not matter.
    pub(super) fn release(&mut self, target: Target, probe: Probe, reply: oneshot::Sender<Answer>) {
        let now = Now::read();
        let lease = match self.leased(target) {
            Ok(lease) => lease.clone(),
            Err(refused) => return drop(reply.send(Err(refused))),
        };
        match probe {
            Probe::First => self.ask_once_more(lease, 0, reply, now.moment),
            Probe::Skip => drop(reply.send(self.give_back(&lease, None, now))),
        }
    }

    /// Answers where it is known whether the holder still uses the address, and asks others again.
    pub(super) fn look_at_releases(&mut self) {
        let now = Now::read();
        for asked in self.releases.done(now.moment) {
            let Asked { lease, times, answered, reply, .. } = asked;
            if reply.is_closed() {
                continue;
            }
            match answered {
                Some(refused) => drop(reply.send(Err(refused))),
                // An answer may be among what waits to be read.
                None if times < ASKED || self.more && times < ASKED_AMID_MUCH => {
                    self.ask_once_more(lease, times, reply, now.moment);
                }
                None => {
                    // What was asked over a link that went down since has not been asked.
                    let silent = self.way_to(&lease);
                    let seen = Some((lease.state, lease.expires));
                    drop(reply.send(silent.and_then(|_| self.give_back(&lease, seen, now))));
                }
            }
        }
    }

    /// Nobody's silence counts for another configuration.
    pub(super) fn give_up_releases(&mut self) {
        for Asked { lease, reply, .. } in self.releases.asked.drain(..) {
            let reason = "the configuration or its interface changed meanwhile; ask again".to_owned();
            drop(reply.send(Err(ReleaseRefused::Failed { ip: lease.ip, reason })));
        }
    }

    fn ask_once_more(&mut self, lease: Lease, times: u8, reply: oneshot::Sender<Answer>, now: Moment) {
        match self.ask_holder(&lease) {
            Ok(wire) => {
                let (times, until) = (times.saturating_add(1), now.after(WITHIN));
                self.releases.asked.push(Asked { lease, wire, times, until, answered: None, reply });
            }
            Err(refused) => drop(reply.send(Err(refused))),
        }
    }

    /// Asks who has the address of a lease; the wire on which the answer would come.
    fn ask_holder(&mut self, lease: &Lease) -> Result<Wire, ReleaseRefused> {
        if self.releases.asked.len() >= MOST {
            return Err(cannot_tell(lease, format!("{MOST} others are being asked already")));
        }
        let (place, link) = self.way_to(lease)?;
        let ip = lease.ip;
        let questions: Vec<probes::Ask> = if place.on_link {
            arp_frames(&place, ip).into_iter().map(probes::Ask::Arp).collect()
        } else {
            vec![probes::Ask::Echo]
        };
        let questions: Vec<Asking> =
            questions.into_iter().map(|ask| Asking { link, probe: probes::Probe { ip, ask } }).collect();
        match self.links.ask(&questions).pop() {
            None => Ok(place.wire),
            Some(fault) => Err(cannot_tell(lease, fault)),
        }
    }

    /// Where the address of a lease can be asked for, and by which link.
    fn way_to(&self, lease: &Lease) -> Result<(Place, usize), ReleaseRefused> {
        let gone = || cannot_tell(lease, "its network is gone".to_owned());
        let id = self.table.network_of(lease.ip).ok_or_else(gone)?;
        let served = self.engine.served().get(usize::from(id.0)).ok_or_else(gone)?;
        let (place, name) = (served.place, &served.config.interface);
        let Some(link) = self.links.at(place.wire.interface) else {
            return Err(cannot_tell(lease, format!("interface {name} is not served")));
        };
        let works = |facts: &host::InterfaceFacts| facts.index == place.wire.interface && facts.running;
        if place.on_link && !host::interface(name).as_ref().is_some_and(works) {
            return Err(cannot_tell(lease, format!("interface {name} is down or has no carrier")));
        }
        Ok((place, link))
    }

    /// Ends a lease at once. With what was `seen` of it, only if it is still like that: its client
    /// was not answered since.
    fn give_back(&mut self, lease: &Lease, seen: Option<(State, Moment)>, now: Now) -> Answer {
        let failed = |reason: &str| ReleaseRefused::Failed { ip: lease.ip, reason: reason.to_owned() };
        let key = self.engine.key_of(&self.table, lease.ip).ok_or_else(|| failed("its network is gone"))?;
        if let Some(fault) = &self.disk.fault {
            return Err(failed(fault));
        }
        let keeps = self.network_at(lease.ip).is_some_and(|network| network.keep_addresses);
        // Who declined an address is not to get it back before others.
        let is_nobodys = keeps || lease.state == State::Declined;
        let into = if is_nobodys { Ending::LetGo } else { Ending::Released };
        if let Some(share) = &mut self.share {
            share.gives_up(lease.ip, now.moment);
        }
        if self.take_back_now(TakeBack { ip: lease.ip, key, into, seen }, now) {
            let network = self.network_name(lease.ip).unwrap_or_default().to_owned();
            return Ok(Released { ip: lease.ip, mac: Mac(lease.mac), network });
        }
        let present = self.table.get(lease.ip).map(|lease| (lease.state, lease.expires));
        if seen.is_some() && seen != present {
            return Err(still_answers(lease, None));
        }
        Err(failed("it could not be written to disk, or not be taken out of the kernel"))
    }

    /// The lease that an operator means.
    fn leased(&self, target: Target) -> Result<&Lease, ReleaseRefused> {
        let lease = self.find(target)?;
        if self.is_its_clients(lease) {
            Ok(lease)
        } else {
            Err(ReleaseRefused::NotInUse { ip: lease.ip, state: lease.state.into() })
        }
    }

    /// Whether there is something to give back.
    fn is_its_clients(&self, lease: &Lease) -> bool {
        lease.state.occupies() || self.table.is_kept(lease.ip)
    }

    fn find(&self, target: Target) -> Result<&Lease, ReleaseRefused> {
        match target {
            Target::Ip(ip) => self.table.get(ip).ok_or(ReleaseRefused::NoLease(target)),
            Target::Mac(mac) => {
                let has = |lease: &&Lease| lease.mac == mac.0 && self.is_its_clients(lease);
                let found: Vec<&Lease> =
                    self.table.leases_after(None, None).filter(has).take(NAMED).collect();
                match found.as_slice() {
                    [] => Err(ReleaseRefused::NoLease(target)),
                    [only] => Ok(only),
                    several => Err(ReleaseRefused::Several {
                        mac,
                        ips: several.iter().map(|lease| lease.ip).collect(),
                    }),
                }
            }
        }
    }
}

fn cannot_tell(lease: &Lease, reason: String) -> ReleaseRefused {
    ReleaseRefused::CannotTell { ip: lease.ip, state: lease.state.into(), reason }
}

fn still_answers(lease: &Lease, by: Option<[u8; 6]>) -> ReleaseRefused {
    let Lease { ip, mac, state, .. } = *lease;
    ReleaseRefused::StillAnswers { ip, state: state.into(), client: Mac(mac), by: by.map(Mac) }
}

/// Who has this address? Behind the wire's tags, whichever of the two EtherTypes its outer one has.
fn arp_frames(place: &Place, ip: Ipv4Addr) -> Vec<Vec<u8>> {
    let tag = |ether_type: u16, id: u16| {
        let ([a, b], [c, d]) = (ether_type.to_be_bytes(), id.to_be_bytes());
        [a, b, c, d]
    };
    let [outer, inner] = place.wire.vlan;
    if outer == 0 {
        return vec![arp::probe(place.mac, &[], ip)];
    }
    let inner = (inner != 0).then(|| tag(ethernet::VLAN, inner));
    let tags = |kind| [tag(kind, outer)].into_iter().chain(inner).collect::<Vec<_>>();
    [ethernet::VLAN, ethernet::SERVICE_VLAN].map(|kind| arp::probe(place.mac, &tags(kind), ip)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::AnsweredBy;

    const IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 7);
    const WIRE: Wire = Wire { interface: 7, vlan: [0; 2] };
    const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn lease() -> Lease {
        Lease {
            ip: IP,
            mac: CLIENT,
            client_id: None,
            host_name: None,
            state: State::Bound,
            starts: Moment(1),
            expires: Moment(100),
            durable_until: Moment(900),
            answered_by: AnsweredBy::Agent,
            taken: true,
        }
    }

    /// One holder that is asked until 50.
    fn asking() -> Releases {
        let (reply, _) = oneshot::channel();
        let asked = Asked { lease: lease(), wire: WIRE, times: 1, until: Moment(50), answered: None, reply };
        Releases { asked: vec![asked] }
    }

    /// What the operator is told at 10, if that is known then.
    fn told(releases: &mut Releases) -> Option<String> {
        let done = releases.done(Moment(10)).pop()?;
        done.answered.map(|refused| refused.to_string())
    }

    #[test]
    fn whoever_claims_the_address_on_its_wire_answers() {
        let mut releases = asking();
        releases.claimed(WIRE, IP, CLIENT);
        let stays = "10.9.0.7 stays leased: its client 02:00:00:00:00:01 still answers; --force gives it back all the same";
        assert_eq!(told(&mut releases).as_deref(), Some(stays));
        let mut releases = asking();
        releases.claimed(WIRE, IP, OTHER);
        let other = told(&mut releases).unwrap();
        assert!(other.contains("02:00:00:00:00:09, which is not its client, answers for it"), "{other}");
    }

    #[test]
    fn claims_of_other_addresses_and_on_other_wires_are_no_answer() {
        let mut releases = asking();
        releases.claimed(Wire { interface: 8, ..WIRE }, IP, CLIENT);
        releases.claimed(WIRE, Ipv4Addr::new(10, 9, 0, 8), CLIENT);
        releases.heard(Ipv4Addr::new(10, 9, 0, 8));
        assert_eq!(told(&mut releases), None);
        assert_eq!(releases.next(), Some(Moment(50)));
        releases.heard(IP);
        assert!(told(&mut releases).unwrap().contains("still answers"));
        assert!(releases.is_empty());
    }

    #[test]
    fn silence_is_known_when_its_time_is_over() {
        let mut releases = asking();
        assert!(releases.done(Moment(49)).is_empty());
        assert!(releases.done(Moment(50)).pop().unwrap().answered.is_none());
    }

    #[test]
    fn all_questions_fit_an_operators_patience() {
        let all = WITHIN.saturating_mul(ASKED_AMID_MUCH.into());
        assert!(all < crate::control::PATIENCE, "{all:?}");
    }

    #[test]
    fn a_tagged_holder_is_asked_behind_either_kind_of_tag() {
        let place = |vlan| Place {
            wire: Wire { interface: 7, vlan },
            mac: OTHER,
            server: Ipv4Addr::new(10, 9, 0, 2),
            on_link: true,
        };
        let types = |vlan| -> Vec<Vec<u8>> {
            arp_frames(&place(vlan), IP).iter().map(|frame| frame[12..frame.len() - 28].to_vec()).collect()
        };
        assert_eq!(types([0, 0]), [[8, 6]]);
        assert_eq!(types([5, 0]), [[0x81, 0, 0, 5, 8, 6], [0x88, 0xa8, 0, 5, 8, 6]]);
        assert_eq!(
            types([5, 7]),
            [[0x81, 0, 0, 5, 0x81, 0, 0, 7, 8, 6], [0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 8, 6]]
        );
    }
}
