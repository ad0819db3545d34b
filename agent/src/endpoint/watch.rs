//! Looks at each of a changing set of targets once an interval.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::schedule::{Schedule, Targets};
use super::{Limits, Seen, Target, look};

/// Looks under way at a time. Ten thousand endpoints that are all dead cost ten thousand times
/// [`Limits::connect`], which this many get through in 80 seconds; those that answer are quicker.
const PARALLEL: usize = 256;

/// Looks at every target once an interval, at a new or changed one at once, until `stop`, or until
/// nobody changes the targets or takes the results any more.
///
/// There is never more than one look at a target at a time, and what was seen of one that has since
/// changed or gone is dropped.
pub async fn watch(
    targets: watch::Receiver<Arc<BTreeMap<String, Target>>>,
    interval: Duration,
    seen: mpsc::Sender<(String, Seen)>,
    stop: CancellationToken,
) {
    let look = |target: Target| async move { look(&target, &Limits::default()).await };
    // Dropped when stopped, and all looks with it.
    stop.run_until_cancelled(watch_with(targets, Schedule::new(interval, PARALLEL), seen, look)).await;
}

async fn watch_with<L>(
    mut targets: watch::Receiver<Targets>,
    mut schedule: Schedule,
    seen: mpsc::Sender<(String, Seen)>,
    look: impl Fn(Target) -> L,
) where
    L: Future<Output = Seen> + Send + 'static,
{
    let mut looks = Looks::default();
    targets.mark_changed();
    loop {
        while let Some((name, target)) = schedule.start(Instant::now().into_std()) {
            looks.start(name, look(target));
        }
        let next = schedule.next().map(Instant::from_std);
        tokio::select! {
            // Changes first: what they make useless must not be sent after them.
            biased;
            changed = targets.changed() => {
                if changed.is_err() {
                    return;
                }
                let targets = Arc::clone(&targets.borrow_and_update());
                for name in schedule.replace(targets, Instant::now().into_std()) {
                    looks.abort(&name);
                }
            }
            ended = looks.ended(&seen) => {
                let Some((permit, name, saw)) = ended else {
                    return;
                };
                if schedule.finish(&name, Instant::now().into_std()) && let Some(saw) = saw {
                    permit.send((name, saw));
                }
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// Looks under way, by the names of their targets. Dropped, they end.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<Seen>,
    names: HashMap<Id, String>,
    handles: HashMap<String, AbortHandle>,
}

impl Looks {
    fn start(&mut self, name: String, look: impl Future<Output = Seen> + Send + 'static) {
        let handle = self.tasks.spawn(look);
        self.names.insert(handle.id(), name.clone());
        self.handles.insert(name, handle);
    }

    fn abort(&self, name: &str) {
        if let Some(handle) = self.handles.get(name) {
            handle.abort();
        }
    }

    /// The next look to end, once there is room for what it saw: its target's name, and that, unless
    /// it was cut short. None: nobody takes what is seen any more.
    async fn ended<'a>(
        &mut self,
        seen: &'a mpsc::Sender<(String, Seen)>,
    ) -> Option<(mpsc::Permit<'a, (String, Seen)>, String, Option<Seen>)> {
        let permit = seen.reserve().await.ok()?;
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else { std::future::pending().await };
            let (id, saw) = match ended {
                Ok((id, saw)) => (id, Some(saw)),
                Err(error) => (error.id(), died(&error)),
            };
            if let Some(name) = self.names.remove(&id) {
                self.handles.remove(&name);
                return Some((permit, name, saw));
            }
        }
    }
}

/// A look that did not come to its end has seen nothing; one that was not cut short says why.
fn died(error: &JoinError) -> Option<Seen> {
    if error.is_panic() {
        error!(%error, "a look at a BMC endpoint died; it is repeated an interval later");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc::Receiver;
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    use super::*;

    const INTERVAL: Duration = Duration::from_mins(1);

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_mins(10);

    /// How long a look takes here.
    const LOOK: Duration = Duration::from_secs(2);

    /// Looks that are counted, and take their time.
    #[derive(Debug, Default)]
    struct Counted {
        now: AtomicUsize,
        most: AtomicUsize,
        ports: Mutex<Vec<u16>>,
    }

    /// Ends a count, also when the look is cut short.
    struct Ended(Arc<Counted>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.now.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn counted_look(counted: Arc<Counted>, target: Target) -> Seen {
        let before = counted.now.fetch_add(1, Ordering::Relaxed);
        counted.most.fetch_max(before.saturating_add(1), Ordering::Relaxed);
        counted.ports.lock().unwrap().push(target.port);
        let _ended = Ended(counted);
        sleep(LOOK).await;
        let mut seen = Seen::nothing();
        seen.note("port", &target.port.to_string());
        seen
    }

    struct Scene {
        counted: Arc<Counted>,
        targets: watch::Sender<Targets>,
        seen: Receiver<(String, Seen)>,
        task: JoinHandle<()>,
    }

    fn targets(count: u16, port: u16) -> Targets {
        let target = |port| Target { ip: Ipv4Addr::LOCALHOST, port, https: false, credentials: None };
        Arc::new((0..count).map(|number| (format!("bmc-{number}"), target(port))).collect())
    }

    fn scene(count: u16, parallel: usize, room: usize) -> Scene {
        let counted = Arc::new(Counted::default());
        let (to_targets, from_targets) = watch::channel(targets(count, 1));
        let (to_seen, from_seen) = mpsc::channel(room);
        let counting = Arc::clone(&counted);
        let look = move |target| counted_look(Arc::clone(&counting), target);
        let schedule = Schedule::new(INTERVAL, parallel);
        let task = tokio::spawn(watch_with(from_targets, schedule, to_seen, look));
        Scene { counted, targets: to_targets, seen: from_seen, task }
    }

    async fn next(seen: &mut Receiver<(String, Seen)>) -> (String, String) {
        let (name, seen) = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
        (name, seen.info["port"].clone())
    }

    #[tokio::test(start_paused = true)]
    async fn every_target_is_looked_at_once_an_interval() {
        let mut scene = scene(20, 8, 1024);
        sleep(10 * INTERVAL).await;
        scene.task.abort();
        let mut looks: HashMap<String, usize> = HashMap::new();
        while let Ok((name, _)) = scene.seen.try_recv() {
            *looks.entry(name).or_default() += 1;
        }
        assert_eq!(looks.len(), 20);
        // One at once, and the second after half an interval at the soonest.
        assert!(looks.values().all(|count| (10..=11).contains(count)), "{looks:?}");
        assert!(scene.counted.most.load(Ordering::Relaxed) <= 8);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_no_more_looks_at_a_time_than_allowed() {
        let mut scene = scene(50, 5, 1);
        for _ in 0..50 {
            next(&mut scene.seen).await;
        }
        assert_eq!(scene.counted.most.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_changes_during_a_look_is_looked_at_anew_and_only_that_counts() {
        let mut scene = scene(1, 4, 4);
        sleep(LOOK / 2).await;
        let start = Instant::now();
        scene.targets.send(targets(1, 2)).unwrap();
        assert_eq!(next(&mut scene.seen).await, ("bmc-0".to_owned(), "2".to_owned()));
        // At once: the look that had become useless did not hold it up.
        assert!(start.elapsed() < LOOK + Duration::from_millis(100), "{:?}", start.elapsed());
        assert_eq!(*scene.counted.ports.lock().unwrap(), [1, 2]);
        assert_eq!(scene.counted.most.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_of_a_target_that_is_gone_is_dropped() {
        let mut scene = scene(2, 4, 4);
        sleep(LOOK / 2).await;
        scene.targets.send(targets(1, 1)).unwrap();
        assert_eq!(next(&mut scene.seen).await.0, "bmc-0");
        sleep(LOOK).await;
        assert!(scene.seen.try_recv().is_err());
        assert_eq!(scene.counted.now.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_receiver_is_dropped_too_when_its_target_goes() {
        let mut scene = scene(3, 4, 1);
        // All have been looked at, and there was room for one.
        sleep(2 * LOOK).await;
        scene.targets.send(targets(0, 1)).unwrap();
        sleep(Duration::from_millis(1)).await;
        next(&mut scene.seen).await;
        sleep(INTERVAL).await;
        assert!(scene.seen.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_dies_is_repeated() {
        let (_targets, from_targets) = watch::channel(targets(1, 1));
        let (to_seen, mut seen) = mpsc::channel(1);
        let looks = AtomicUsize::new(0);
        let look = move |_| {
            let first = looks.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if first { panic!("on purpose") } else { Seen::nothing() } }
        };
        let task = tokio::spawn(watch_with(from_targets, Schedule::new(INTERVAL, 1), to_seen, look));
        assert_eq!(timeout(2 * INTERVAL, seen.recv()).await.unwrap().unwrap().0, "bmc-0");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nobody_takes_what_is_seen_or_changes_the_targets() {
        let Scene { targets, seen, task, .. } = scene(1, 1, 1);
        drop(seen);
        timeout(INTERVAL, task).await.unwrap().unwrap();
        drop(targets);
        let Scene { targets, seen: _seen, task, .. } = scene(1, 1, 1);
        drop(targets);
        timeout(INTERVAL, task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_ends_at_once_when_stopped_and_no_look_goes_on() {
        // Accepts and says nothing: a look at it takes its whole time.
        let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let (_targets, from_targets) = watch::channel(targets(3, port));
        let (to_seen, _seen) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(from_targets, INTERVAL, to_seen, stop.clone()));
        let (mut looked_at, _) = silent.accept().await.unwrap();
        stop.cancel();
        timeout(Limits::default().total / 2, task).await.unwrap().unwrap();
        let mut request = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut looked_at, &mut request);
        assert!(timeout(Limits::default().total / 2, end).await.is_ok(), "the connection is still there");
    }
}
