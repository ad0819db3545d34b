//! A core with a share: what it ends with, and what it leaves on disk of promises that may still hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Beginning, Offset, Word, peers};
use crate::claims::{At, Binding, Block, BlockId, Clock, Copies, FOREVER, Mark, Slot};
use crate::clock::{Moment, Now};
use crate::config::{Config, parse_yaml};
use crate::control;
use crate::kube::claims::{Heard, Theirs, queues, servers};
use crate::lease::{AnsweredBy, ClientKey, Lease, State};
use crate::run::core::Core;
use crate::run::loader::Loader;
use crate::run::outlets::Outlets;
use crate::run::reload::prepare_config;
use crate::run::{Begin, build_core, open_journal, start_core};

/// As long as nothing ends by itself.
const LONG: Duration = Duration::from_hours(10);

/// One network, on an interface that no machine has.
fn config(folder: &TempDir) -> Config {
    let network = "name: a, interface: no-such-one, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]";
    let name = format!("xdhcpd-test-{}-share", std::process::id());
    let leases = folder.path().display();
    parse_yaml(&format!("name: {name}\nleases: {{dir: {leases}}}\nnetworks: [{{{network}}}]")).unwrap()
}

/// What a core begins with that serves nothing, and who hears what it asks.
fn begin(folder: &TempDir, offset: Offset) -> (Begin, Theirs) {
    let config = Config { networks: Vec::new(), ..config(folder) };
    let prepared = prepare_config(config).map_err(|problems| problems.to_string()).unwrap();
    let leases = open_journal(&prepared.config).unwrap();
    let (ours, theirs) = queues();
    let word = watch::channel(Word::Ours).1;
    let (neighbours, _) = servers::neighbours();
    let share = Beginning { me: "us".into(), copies: Copies::default(), offset, ours, word, neighbours };
    (
        Begin {
            prepared,
            loader: Loader::default(),
            leases,
            share: Some(share),
            outlets: Outlets::default(),
        },
        theirs,
    )
}

pub(in crate::run) fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

/// A lease that was given for a while.
pub(in crate::run) fn lease(last: u8, answered_by: AnsweredBy) -> Lease {
    let now = Now::read().moment;
    Lease {
        ip: ip(last),
        mac: [2, 0, 0, 0, 0, last],
        client_id: None,
        host_name: None,
        state: State::Bound,
        starts: now,
        expires: now.after(LONG),
        durable_until: Moment::NEVER,
        answered_by,
        taken: true,
    }
}

/// A core whose file says that 10.9.0.100 was promised, and whose table has it ended since.
pub(in crate::run) fn with_an_ended_lease_that_may_hold(folder: &TempDir) -> Core {
    let now = Now::read();
    let config = config(folder);
    let (mut journal, _) = open_journal(&config).unwrap();
    let lease = lease(100, AnsweredBy::Agent);
    let _proof = journal.append(&[(&lease, lease.expires)], now).unwrap();
    drop(journal);
    let mut core = build_core(begin(folder, Offset::of(now)).0).unwrap();
    core.table.reconfigure(&config);
    core.table.expire(ip(100), now.moment);
    let client = core.table.client_of(core.table.get(ip(100)).unwrap());
    assert!(!core.share_ended(ip(100), client.as_ref(), now.moment), "its end is not written");
    core
}

/// What the next start finds in the file.
pub(in crate::run) fn on_disk(folder: &TempDir, core: Core) -> HashMap<Ipv4Addr, State> {
    drop(core);
    let (_journal, loaded) = open_journal(&config(folder)).unwrap();
    loaded.leases().iter().map(|lease| (lease.ip, lease.state)).collect()
}

#[tokio::test]
async fn an_agent_whose_clock_was_off_and_is_set_ends_as_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let now = Now::read();
    // As it was before somebody set the clock.
    let offset = Offset::of(Now { wall: now.wall - 7_000_000_000, ..now });
    let (begin, theirs) = begin(&folder, offset);
    let (_handle, questions) = control::channel();
    let (_configs, reloads) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let core = start_core(begin, questions, reloads, stop.clone()).unwrap();
    theirs.heard.send(Heard::Clock(Clock::Off)).await.unwrap();
    stop.cancelled().await;
    let fault = core.join().unwrap().unwrap_err();
    assert!(fault.to_string().contains("the agent ends, to begin anew"), "{fault:#}");
}

#[tokio::test]
async fn a_clock_that_is_set_is_nothing_to_an_agent_on_which_others_can_rely() {
    let folder = tempfile::tempdir().unwrap();
    let now = Now::read();
    let mut core = build_core(begin(&folder, Offset::of(now)).0).unwrap();
    let set = Now { wall: now.wall + 7_000_000_000, ..now };
    let share = core.share.as_mut().unwrap();
    for (clock, begins_anew) in [(Clock::Unknown, false), (Clock::Within, false), (Clock::Off, true)] {
        share.claims.judge_clock(clock);
        assert_eq!(share.must_begin_anew(set), begins_anew, "{clock:?}");
        assert!(!share.must_begin_anew(now), "{clock:?}: it was not set");
    }
}

#[tokio::test]
async fn a_promise_that_may_hold_is_in_every_new_file_until_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = with_an_ended_lease_that_may_hold(&folder);
    // Written in parts, as it has grown.
    let now = Now::read();
    let grown = vec![lease(101, AnsweredBy::Agent); 10_000];
    core.table.put(grown[0].clone());
    let grown: Vec<_> = grown.iter().map(|lease| (lease, lease.expires)).collect();
    let _proof = core.journal.append(&grown, now).unwrap();
    let before = core.journal.length();
    core.compact_some();
    assert!(core.journal.length() < before, "it is another file");
    let both = HashMap::from([(ip(100), State::Bound), (ip(101), State::Bound)]);
    assert_eq!(on_disk(&folder, core), both);

    // Its client gives it up.
    let mut core = build_core(begin(&folder, Offset::of(now)).0).unwrap();
    core.table.reconfigure(&config(&folder));
    core.table.expire(ip(100), now.moment);
    let client = core.table.client_of(core.table.get(ip(100)).unwrap()).unwrap();
    assert!(!core.share_ended(ip(100), Some(&client), now.moment));
    let share = core.share.as_mut().unwrap();
    let later = Now::read().moment.after(Duration::from_millis(2));
    share.claims.given_up(share.offset.at(later), ip(100), &client, At::NEVER);
    core.write_ends(Now::read());
    assert_eq!(on_disk(&folder, core)[&ip(100)], State::Expired);
}

#[tokio::test]
async fn a_lease_that_was_given_up_to_another_agent_ends_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let now = Now::read();
    drop(with_an_ended_lease_that_may_hold(&folder));
    let mut core = build_core(begin(&folder, Offset::of(now)).0).unwrap();
    core.table.reconfigure(&config(&folder));
    let [client, other] = [100, 7].map(|last| ClientKey::Mac([2, 0, 0, 0, 0, last]));
    let see = |core: &mut Core, serial, client: &ClientKey, mark| {
        let slot = Slot::Bound(Binding { client: client.clone(), longest: FOREVER, mark });
        let block = Block { serial, slots: BTreeMap::from([(ip(100), slot)]) };
        let share = core.share.as_mut().unwrap();
        share.claims.block_seen(At(1), BlockId::of(ip(100)), Arc::new(block));
        share.seen.insert(BlockId::of(ip(100)));
        peers::follow(core);
        let lease = core.table.get(ip(100)).unwrap();
        (lease.state, core.table.client_of(lease))
    };
    let mark = || {
        Some(Mark { serial: 2, given_up: At(u64::MAX), not_before: At::NEVER, confirmed: BTreeSet::new() })
    };
    assert_eq!(see(&mut core, 1, &client, None), (State::Bound, Some(client.clone())));
    assert_eq!(
        see(&mut core, 2, &client, mark()),
        (State::Bound, Some(client.clone())),
        "the kernel may answer"
    );
    let share = core.share.as_mut().unwrap();
    let later = share.offset.at(now.moment.after(LONG));
    share.claims.given_up(later, ip(100), &client, At::NEVER);
    assert_eq!(see(&mut core, 3, &client, mark()), (State::Expired, Some(client.clone())));
    assert_eq!(see(&mut core, 4, &other, None), (State::Bound, Some(other)), "another agent gave it away");
    assert_eq!(on_disk(&folder, core)[&ip(100)], State::Expired);
}
