//! The table against a plain list of leases.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a step of the model test does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Put {
        host: u8,
        client: u8,
        state: State,
        length: u8,
    },
    Release(u8),
    Expire(u8),
    Decline(u8, u8),
    Forget(u8),
    Renew {
        host: u8,
        client: u8,
        length: u8,
    },
    LetGo(u8),
    /// Offers and leases are bound, and end this much later at the earliest.
    Revise(u8),
    /// Whether the network keeps addresses from now on.
    Reconfigure(bool),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let host = 0u8..16;
    let client = 1u8..6;
    prop_oneof![
        6 => (host.clone(), client.clone(), 0usize..5, 0u8..20).prop_map(|(host, client, state, length)| {
            Step::Put { host, client, state: State::ALL[state], length }
        }),
        2 => host.clone().prop_map(Step::Release),
        2 => host.clone().prop_map(Step::Expire),
        1 => (host.clone(), 0u8..20).prop_map(|(host, length)| Step::Decline(host, length)),
        1 => host.clone().prop_map(Step::Forget),
        1 => host.clone().prop_map(Step::LetGo),
        2 => (host, client, 0u8..20).prop_map(|(host, client, length)| Step::Renew { host, client, length }),
        1 => (0u8..20).prop_map(Step::Revise),
        1 => any::<bool>().prop_map(Step::Reconfigure),
    ]
}

/// The table as a plain list of leases, every question answered by looking at all of them.
#[derive(Default)]
pub(super) struct Model {
    leases: BTreeMap<Ipv4Addr, Lease>,
    keeps: bool,
}

/// 10.0.0.0/28: two ranges, an excluded, a reserved and a server's address among them.
pub(super) fn model_config() -> Config {
    let mut net = network("10.0.0.0/28", &[("10.0.0.8-10.0.0.13", None), ("10.0.0.2-10.0.0.6", Some("c"))]);
    net.exclude = vec![ip("10.0.0.9")..=ip("10.0.0.9")];
    net.gateway = Some(ip("10.0.0.2"));
    net.reservations = vec![reservation("10.0.0.11"), reservation("10.0.0.14")];
    config(vec![net])
}

const MODEL_OPEN: [u8; 4] = [8, 10, 12, 13];
const MODEL_CLASS: [u8; 4] = [3, 4, 5, 6];
const MODEL_RESERVED: [u8; 2] = [11, 14];

pub(super) fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

impl Model {
    fn next_free(&self, member: bool, skipped: u8) -> Option<Ipv4Addr> {
        let class: &[u8] = if member { &MODEL_CLASS } else { &[] };
        let pool: Vec<Ipv4Addr> = MODEL_OPEN.iter().chain(class).map(|n| host(*n)).collect();
        let free = || pool.iter().copied().filter(|ip| *ip != host(skipped));
        let never = free().find(|ip| !self.leases.contains_key(ip));
        let had = free().filter_map(|ip| self.leases.get(&ip));
        let had = had.filter(|lease| !lease.state.occupies() && !self.is_kept(lease));
        never.or(had.min_by_key(|lease| (lease.expires, lease.ip)).map(|lease| lease.ip))
    }

    fn is_kept(&self, lease: &Lease) -> bool {
        self.keeps && lease.taken && !lease.state.occupies() && lease.mac != [0; 6]
    }

    fn counts(&self) -> Counts {
        let pool: Vec<Ipv4Addr> =
            MODEL_OPEN.iter().chain(&MODEL_CLASS).chain(&MODEL_RESERVED).map(|n| host(*n)).collect();
        let count = |wanted: &[State]| {
            pool.iter().filter_map(|ip| self.leases.get(ip)).filter(|l| wanted.contains(&l.state)).count()
                as u64
        };
        let (used, declined) = (count(&[State::Offered, State::Bound]), count(&[State::Declined]));
        let total = pool.len() as u64;
        let dynamic = MODEL_OPEN.iter().chain(&MODEL_CLASS).filter_map(|n| self.leases.get(&host(*n)));
        let kept = dynamic.filter(|lease| self.is_kept(lease)).count() as u64;
        Counts { total, used, declined, kept, remaining: total - used - declined - kept }
    }

    fn due(&self, now: Moment) -> Vec<Ipv4Addr> {
        let mut due: Vec<&Lease> =
            self.leases.values().filter(|lease| lease.state.occupies() && lease.expires <= now).collect();
        due.sort_by_key(|lease| (lease.expires, lease.ip));
        due.iter().map(|lease| lease.ip).collect()
    }

    /// The newest address that the client has.
    fn occupied_by(&self, client: u8) -> Option<Ipv4Addr> {
        let has =
            |lease: &&Lease| lease.mac == mac(client) && matches!(lease.state, State::Offered | State::Bound);
        self.leases.values().filter(has).max_by_key(|lease| (lease.starts, lease.ip)).map(|lease| lease.ip)
    }
}

/// Does a step to both, at a time; lengths are in `unit`s of time.
pub(super) fn apply(step: &Step, now: u64, unit: u64, table: &mut Table, model: &mut Model) {
    let at = Moment(now);
    let after = |length: u8| now + u64::from(length) * unit;
    let freed = |lease: &mut Lease, state| {
        (lease.state, lease.starts, lease.expires) = (state, at, at);
    };
    match *step {
        Step::Put { host: number, client, state, length } => {
            let new = lease(&host(number).to_string(), client, state, now, after(length));
            table.put(new.clone());
            let took = |former: &Lease| former.taken && former.mac == new.mac;
            let taken = new.taken || model.leases.get(&new.ip).is_some_and(took);
            model.leases.insert(new.ip, Lease { taken, ..new });
        }
        Step::Release(number) => {
            let had = model.leases.get_mut(&host(number)).map(|lease| freed(lease, State::Released));
            assert_eq!(table.release(host(number), at), had.is_some());
        }
        Step::Expire(number) => {
            let had = model.leases.get_mut(&host(number)).map(|lease| {
                if lease.state == State::Declined {
                    lease.mac = [0; 6];
                }
                freed(lease, State::Expired);
            });
            assert_eq!(table.expire(host(number), at), had.is_some());
        }
        Step::Decline(number, length) => {
            let until = Moment(after(length));
            if let Some(lease) = model.leases.get_mut(&host(number)) {
                (lease.state, lease.starts, lease.expires) = (State::Declined, at, until);
            }
            table.decline(host(number), at, until);
        }
        Step::Forget(number) => assert_eq!(table.forget(host(number)), model.leases.remove(&host(number))),
        Step::Renew { host: number, client, length } => {
            let until = Moment(after(length));
            table.renewed(host(number), mac(client), at, until, AnsweredBy::Agent);
            if let Some(lease) = model.leases.get_mut(&host(number)).filter(|lease| lease.mac == mac(client))
            {
                lease.taken |= !matches!(lease.state, State::Declined | State::Released);
                match lease.state {
                    State::Bound => lease.expires = lease.expires.max(until),
                    State::Offered | State::Expired => {
                        (lease.state, lease.starts, lease.expires) = (State::Bound, at, until);
                    }
                    State::Declined | State::Released => {}
                }
            }
        }
        Step::LetGo(number) => {
            let had = model.leases.get_mut(&host(number)).map(|lease| {
                lease.mac = [0; 6];
                freed(lease, State::Expired);
            });
            assert_eq!(table.let_go(host(number), at), had.is_some());
        }
        Step::Revise(length) => {
            let until = Moment(after(length));
            let word = |lease: &Lease| {
                let expires = lease.expires.max(until);
                let is_meant = matches!(lease.state, State::Offered | State::Bound);
                is_meant.then(|| Lease { state: State::Bound, expires, ..lease.clone() })
            };
            table.revise(word);
            for lease in model.leases.values_mut() {
                *lease = word(lease).unwrap_or_else(|| lease.clone());
            }
        }
        Step::Reconfigure(keeps) => {
            let mut config = model_config();
            config.networks[0].keep_addresses = keeps;
            table.reconfigure(&config);
            model.keeps = keeps;
        }
    }
}

proptest! {
    #[test]
    fn the_table_is_what_a_plain_list_of_leases_is(
        steps in prop::collection::vec((step(), 0u8..16), 1..80),
        // Within one second, in neighbouring ones, and far apart.
        unit in prop::sample::select(vec![1, 1 << 28, 1 << 30, 1 << 33]),
    ) {
        let mut table = Table::new(&model_config());
        let mut model = Model::default();
        for (now, (step, skipped)) in steps.iter().enumerate() {
            let now = (now as u64 + 1) * unit;
            apply(step, now, unit, &mut table, &mut model);
            let next = model.leases.values().filter(|it| it.state.occupies()).map(|it| it.expires).min();
            let is_known = |next| table.next_due().is_some_and(|due| due <= next);
            prop_assert!(next.is_none_or(is_known), "after {:?}", step);
            for member in [false, true] {
                let chosen = table.next_free(NETWORK, |_| member, |ip| ip == host(*skipped));
                prop_assert_eq!(chosen, model.next_free(member, *skipped), "after {:?}", step);
            }
            prop_assert_eq!(table.counts(NETWORK), model.counts());
            prop_assert_eq!(table.due(Moment(now)), model.due(Moment(now)));
            for number in 0..16 {
                prop_assert_eq!(table.get(host(number)), model.leases.get(&host(number)));
                let kept = model.leases.get(&host(number)).is_some_and(|lease| model.is_kept(lease));
                prop_assert_eq!(table.is_kept(host(number)), kept);
            }
            for client in 1..6 {
                if let Some(has) = model.occupied_by(client) {
                    prop_assert_eq!(known_at(&table, client), Some(has), "after {:?}", step);
                } else if let Some(memory) = table.of_client(NETWORK, &ClientKey::Mac(mac(client))) {
                    prop_assert!(memory.mac == mac(client) && !memory.state.occupies());
                }
            }
        }
    }
}
