//! Which changes of leases readers are told of.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{Model, apply, host, model_config, step};
use super::*;
use crate::lease::Changes;
use crate::lease::changes::look_alike;

/// A reader's picture: the leases it has looked at, by address.
#[derive(Default)]
struct Picture(BTreeMap<Ipv4Addr, Lease>);

impl Picture {
    /// Looks at what it is told has changed, and at nothing else.
    fn follow(&mut self, table: &Table, changes: Changes) {
        match changes {
            Changes::All => self.0 = table.leases().map(|lease| (lease.ip, lease.clone())).collect(),
            Changes::Of(ips) => {
                for ip in ips {
                    self.0.remove(&ip);
                    self.0.extend(table.get(ip).map(|lease| (ip, lease.clone())));
                }
            }
        }
    }

    /// Whether a reader that looks at everything sees the same.
    fn is_of(&self, table: &Table) -> bool {
        let is_known = |lease: &Lease| self.0.get(&lease.ip).is_some_and(|known| look_alike(known, lease));
        self.0.len() == table.leases().count() && table.leases().all(is_known)
    }
}

proptest! {
    #[test]
    fn who_follows_the_changes_sees_what_one_sees_who_looks_at_everything(
        steps in prop::collection::vec((step(), any::<bool>()), 1..80)
    ) {
        let (mut table, mut model) = (Table::new(&model_config()), Model::default());
        table.note_changes();
        let (mut waiting, mut picture) = (Changes::default(), Picture::default());
        for (now, (step, looks)) in steps.iter().enumerate() {
            apply(step, now as u64 + 1, 1, &mut table, &mut model);
            waiting.merge(table.take_changes());
            if *looks {
                picture.follow(&table, std::mem::take(&mut waiting));
                prop_assert!(picture.is_of(&table), "after {:?}", step);
            }
        }
    }
}

/// A table with one bound lease at host 8, of which readers know.
fn known() -> Table {
    let mut table = Table::new(&model_config());
    table.note_changes();
    table.put(lease("10.0.0.8", 1, State::Bound, 1, 100));
    assert_eq!(table.take_changes(), Changes::All, "to begin with everything is new");
    table
}

#[test]
fn a_renewal_is_no_change_whoever_answers_it() {
    let mut table = known();
    let bound = lease("10.0.0.8", 1, State::Bound, 1, 900);
    table.put(bound.clone());
    assert!(table.renewed(host(8), mac(1), Moment(50), Moment(950), AnsweredBy::Kernel));
    table.mark_durable(&Synced::pretend(&[(&bound, Moment(4000))]));
    assert!(table.take_changes().is_empty());
}

#[test]
fn what_a_reader_sees_of_a_lease_is_a_change() {
    let changed = Changes::Of([host(8)].into());
    let bound = || lease("10.0.0.8", 1, State::Bound, 1, 100);
    let changes: [fn(&mut Lease); 4] = [
        |lease| lease.mac = mac(2),
        |lease| lease.client_id = Some([1, 2].into()),
        |lease| lease.host_name = Some("node1".into()),
        |lease| lease.state = State::Released,
    ];
    for change in changes {
        let mut table = known();
        let mut other = bound();
        change(&mut other);
        table.put(other.clone());
        assert_eq!(table.take_changes(), changed, "{other:?}");
    }
    let ends: [fn(&mut Table) -> bool; 4] = [
        |table| table.release(host(8), Moment(2)),
        |table| table.expire(host(8), Moment(2)),
        |table| table.decline(host(8), Moment(2), Moment(9)),
        |table| table.forget(host(8)).is_some(),
    ];
    for end in ends {
        let mut table = known();
        assert!(end(&mut table));
        assert_eq!(table.take_changes(), changed);
        assert!(table.take_changes().is_empty());
    }
}

#[test]
fn another_configuration_changes_everything() {
    let mut table = known();
    table.reconfigure(&model_config());
    assert_eq!(table.take_changes(), Changes::All);
}

#[test]
fn where_nobody_looks_nothing_is_noted() {
    let mut table = Table::new(&model_config());
    table.put(lease("10.0.0.8", 1, State::Bound, 1, 100));
    assert!(table.take_changes().is_empty());
}
