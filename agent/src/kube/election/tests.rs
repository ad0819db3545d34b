//! Elections on a shelf in memory and on virtual time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::lease::{Shelf, record};
use super::rule::Term;
use super::{Candidacy, LEASE, RESIGN, run};
use crate::kube::client::RequestError;

/// What an API server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    Refuses,
    /// It does what it is asked to, and its answer is lost.
    LosesAnswers,
    Hangs,
}

#[derive(Debug)]
struct Kept {
    lease: Option<Lease>,
    version: u64,
}

/// One candidate's way to the Lease that all share.
#[derive(Debug, Clone)]
struct Way {
    kept: Arc<Mutex<Kept>>,
    mood: watch::Sender<Mood>,
    /// How long a request takes to arrive, and its answer to come back.
    delay: Duration,
    owner: watch::Sender<Option<OwnerReference>>,
}

impl Way {
    fn new() -> Self {
        let kept = Arc::new(Mutex::new(Kept { lease: None, version: 0 }));
        Self {
            kept,
            mood: watch::channel(Mood::Answers).0,
            delay: Duration::from_millis(20),
            owner: watch::channel(None).0,
        }
    }

    /// That of another candidate.
    fn other(&self) -> Self {
        Self { kept: Arc::clone(&self.kept), ..Self::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Has the owner made (again), with this uid.
    fn own(&self, uid: &str) {
        let owner = OwnerReference { name: "o".into(), uid: uid.into(), ..OwnerReference::default() };
        self.owner.send_replace(Some(owner));
    }

    fn owners(&self) -> Vec<String> {
        let lease = self.kept().lease.clone().unwrap_or_default();
        lease.metadata.owner_references.into_iter().flatten().map(|owner| owner.uid).collect()
    }

    fn holder(&self) -> Option<String> {
        self.kept().lease.as_ref().and_then(|lease| record(lease).holder)
    }

    async fn pass<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> Result<T, RequestError> {
        sleep(self.delay).await;
        let mood = *self.mood.borrow();
        let refused = || RequestError::Passing("refused".into());
        let answer = match mood {
            Mood::Refuses => return Err(refused()),
            Mood::Hangs => std::future::pending().await,
            Mood::Answers | Mood::LosesAnswers => act(&mut self.kept()),
        };
        sleep(self.delay).await;
        if mood == Mood::LosesAnswers { Err(refused()) } else { Ok(answer) }
    }
}

impl Shelf for Way {
    async fn read(&self) -> Result<Option<Lease>, RequestError> {
        self.pass(|kept| kept.lease.clone()).await
    }

    async fn write(&self, lease: &Lease) -> Result<Option<Lease>, RequestError> {
        let mut lease = lease.clone();
        self.pass(|kept| {
            let there = kept.lease.as_ref().and_then(|kept| kept.metadata.resource_version.clone());
            if there != lease.metadata.resource_version {
                return None;
            }
            kept.version = kept.version.saturating_add(1);
            lease.metadata.resource_version = Some(kept.version.to_string());
            kept.lease = Some(lease.clone());
            Some(lease)
        })
        .await
    }
}

struct Running {
    leads: watch::Receiver<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(way: &Way, me: &str) -> Self {
        let stop = CancellationToken::new();
        let candidacy = Candidacy {
            namespace: "dhcp".into(),
            name: "lease".into(),
            me: me.into(),
            owner: way.owner.subscribe(),
            lease: LEASE,
        };
        let (run, leads) = run(way.clone(), candidacy, stop.clone());
        Self { leads, stop, task: tokio::spawn(run) }
    }

    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// How long until it leads, or does not.
    async fn until(&mut self, leads: bool) -> Duration {
        let started = Instant::now();
        let change = self.leads.wait_for(|now| *now == leads);
        timeout(Duration::from_mins(2), change).await.expect("in two minutes").unwrap();
        started.elapsed()
    }
}

/// A leader and a follower.
async fn two() -> (Way, Running, Way, Running) {
    let way = Way::new();
    let mut first = Running::start(&way, "a");
    first.until(true).await;
    let other = way.other();
    let second = Running::start(&other, "b");
    sleep(Duration::from_mins(1)).await;
    assert!(first.leads() && !second.leads());
    (way, first, other, second)
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_is_killed_another_leads_within_eleven_seconds() {
    let (_, first, _, mut second) = two().await;
    first.task.abort();
    let took = second.until(true).await;
    assert!(took < Duration::from_secs(11), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_hands_over_at_the_next_look() {
    let (way, first, _, mut second) = two().await;
    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(way.holder(), None);
    assert!(!*first.leads.borrow());
    let took = second.until(true).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_an_answer_is_none_before_another_is_one() {
    for mood in [Mood::Hangs, Mood::Refuses, Mood::LosesAnswers] {
        let (way, mut first, _, mut second) = two().await;
        way.mood.send_replace(mood);
        let lost = first.until(false).await;
        assert!(lost <= Term::of(LEASE).give_up, "{mood:?}: {lost:?}");
        assert!(!second.leads(), "{mood:?}");
        second.until(true).await;
        way.mood.send_replace(Mood::Answers);
        sleep(Duration::from_mins(1)).await;
        assert!(!first.leads() && second.leads(), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaders_time_counts_from_when_it_asked() {
    let way = Way { delay: Duration::from_millis(1400), ..Way::new() };
    let mut first = Running::start(&way, "a");
    first.until(true).await;
    way.mood.send_replace(Mood::Hangs);
    let lost = first.until(false).await;
    let answering = way.delay.saturating_mul(2);
    assert!(lost.saturating_add(answering) <= Term::of(LEASE).give_up, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_changes_nothing() {
    let (way, mut first, _, second) = two().await;
    way.mood.send_replace(Mood::Refuses);
    let change = timeout(Duration::from_secs(4), first.leads.changed()).await;
    assert!(change.is_err(), "it leads on");
    way.mood.send_replace(Mood::Answers);
    let change = timeout(Duration::from_mins(1), first.leads.changed()).await;
    assert!(change.is_err() && first.leads() && !second.leads());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_by_its_name_leads_on_at_once() {
    let (way, first, _, second) = two().await;
    first.task.abort();
    let took = Running::start(&way, "a").until(true).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!second.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_removed_is_made_again() {
    let (way, first, _, second) = two().await;
    way.kept().lease = None;
    sleep(Duration::from_mins(1)).await;
    assert!(way.holder().is_some());
    assert!(first.leads() != second.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_an_owner_gets_it_with_the_next_renewal() {
    let (way, first, _, second) = two().await;
    assert!(way.owners().is_empty(), "nobody knew it");
    way.own("1");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(way.owners(), ["1"]);
    assert!(first.leads() && !second.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_a_former_owner_becomes_the_new_ones_or_is_made_again() {
    let (way, first, other, second) = two().await;
    for way in [&way, &other] {
        way.own("1");
    }
    sleep(Duration::from_secs(3)).await;
    // The owner is made anew, and what its predecessor owned is removed before anybody knows.
    way.kept().lease = None;
    sleep(Duration::from_secs(3)).await;
    for way in [&way, &other] {
        way.own("2");
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(way.owners(), ["2"]);
    // Or after that.
    way.kept().lease = None;
    let mut leaders = Vec::new();
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        leaders.push(u8::from(first.leads()) + u8::from(second.leads()));
    }
    assert!(leaders.iter().all(|leaders| *leaders <= 1), "{leaders:?}");
    assert_eq!((leaders.last(), way.owners()), (Some(&1), vec!["2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_it_to_somebodys_hand_follows() {
    let (way, mut first, _, _second) = two().await;
    let mut kept = way.kept().lease.clone().unwrap();
    kept.spec.as_mut().unwrap().holder_identity = Some("c".into());
    way.write(&kept).await.unwrap().unwrap();
    let took = first.until(false).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_an_api_server_is_not_held_up() {
    let (way, first, ..) = two().await;
    way.mood.send_replace(Mood::Hangs);
    let started = Instant::now();
    first.stop.cancel();
    first.task.await.unwrap();
    assert!(started.elapsed() <= RESIGN);
}

/// What befalls one of three candidates, and how long until the next thing does.
fn happening() -> impl Strategy<Value = (usize, u8, u64)> {
    (0_usize..3, 0_u8..7, 0_u64..20_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_two_lead_at_once_and_with_an_api_server_one_does(
        delays in proptest::array::uniform3(0_u64..900),
        happenings in proptest::collection::vec(happening(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let first = Way::new();
            let ways = delays.map(|delay| Way { delay: Duration::from_millis(delay), ..first.other() });
            let names = ["a", "b", "c"];
            let start = |at: usize| Running::start(&ways[at], names[at]);
            let mut running = [start(0), start(1), start(2)];
            let leaders = |running: &[Running; 3]| running.iter().filter(|one| one.leads()).count();
            for (at, what, pause) in happenings {
                match what {
                    0 | 1 => drop(ways[at].mood.send_replace(Mood::Answers)),
                    2 => drop(ways[at].mood.send_replace(Mood::Refuses)),
                    3 => drop(ways[at].mood.send_replace(Mood::Hangs)),
                    4 => drop(ways[at].mood.send_replace(Mood::LosesAnswers)),
                    5 => {
                        running[at].task.abort();
                        let _ = (&mut running[at].task).await;
                        running[at] = start(at);
                    }
                    _ => {
                        running[at].stop.cancel();
                        let _ = (&mut running[at].task).await;
                        running[at] = start(at);
                    }
                }
                for _ in 0..pause / 100 {
                    sleep(Duration::from_millis(100)).await;
                    assert!(leaders(&running) <= 1, "two lead");
                }
            }
            for way in &ways {
                way.mood.send_replace(Mood::Answers);
            }
            sleep(Duration::from_secs(30)).await;
            assert_eq!(leaders(&running), 1);
            for one in running {
                one.task.abort();
            }
        });
    }
}
