//! Who of several does what one alone should do: a `coordination.k8s.io/v1` Lease says.
//!
//! - [`rule`]: what follows from what was read and written, pure
//! - [`lease`]: the object
//! - here: asking the API server in time, and telling whom it concerns
//!
//! A leader is gone for the others when its record has stood still for the length of the lease by *their*
//! clocks: the times in it are for people, and no clock is compared with another. It is gone for itself
//! earlier, at two thirds of that after it sent its last renewal that went through, whether or not the API
//! server answers.
//!
//! A follower that cannot read the Lease for longer than it lasts knows of no leader, and is none: with nobody to ask,
//! there could be several. What it does meanwhile is up to what is done: an agent answers those clients that nobody
//! answers, for what it may promise is not for an election to say.
//!
//! Never a lock: a leader that was paused learns late that it is none. What two leaders at once could
//! spoil has to be kept safe otherwise.

pub mod lease;
pub mod rule;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::lease::{Kept, Shelf};
use self::rule::{Election, Step, Term};
use super::client::{Kubernetes, RequestError};

/// How long a leader that says nothing is still one. Another takes over within 10.5 s and the time of two
/// requests after the last renewal; after a clean stop within 1.5 s.
pub const LEASE: Duration = Duration::from_secs(9);

/// How long giving it up may take at the end: others do without after [`LEASE`].
const RESIGN: Duration = Duration::from_secs(3);

/// What is stood for, and by whom.
#[derive(Debug, Clone)]
pub struct Candidacy {
    /// Where the Lease is.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who we are; nobody else has this name at the same time. Who comes back with it goes on leading.
    pub me: String,
    /// With what the Lease is to go, as far as that is known now: one that we write says so.
    pub owner: watch::Receiver<Option<OwnerReference>>,
    /// How long a leader that says nothing is still one; [`LEASE`], and in whole seconds.
    pub lease: Duration,
}

/// Takes part in an election until cancelled, which is to be when the leader's work has ended: then what
/// is ours is given up, so that the next one need not wait. The receiver says whether we lead; never so
/// when the future is gone, however it went.
pub fn stand(
    kubernetes: &Kubernetes,
    candidacy: Candidacy,
    stop: CancellationToken,
) -> (impl Future<Output = ()> + Send + use<>, watch::Receiver<bool>) {
    let shelf = Kept::new(kubernetes.leases(&candidacy.namespace), candidacy.name.clone());
    run(shelf, candidacy, stop)
}

fn run(
    shelf: impl Shelf,
    candidacy: Candidacy,
    stop: CancellationToken,
) -> (impl Future<Output = ()> + Send, watch::Receiver<bool>) {
    let (sender, leads) = watch::channel(false);
    let term = Term::of(candidacy.lease);
    let candidate = Candidate {
        election: Election::new(candidacy.me.clone(), term),
        leads: Leads { sender, name: candidacy.name.clone() },
        term,
        started: Instant::now(),
        lease: None,
        failing: false,
        candidacy,
        shelf,
    };
    (candidate.run(stop), leads)
}

/// One who takes part.
struct Candidate<S> {
    candidacy: Candidacy,
    term: Term,
    shelf: S,
    election: Election,
    leads: Leads,
    /// Since when times count.
    started: Instant,
    /// The Lease as we wrote it last: it need not be read before it is written again.
    lease: Option<Lease>,
    /// Whether the last request failed: one word about each outage is enough.
    failing: bool,
}

/// What came of asking.
enum Asked {
    /// It is clear who leads.
    Clear,
    /// Somebody wrote while we did: it has to be read again.
    Outrun,
}

/// Tells whether we lead; that we do not, when it is dropped.
struct Leads {
    sender: watch::Sender<bool>,
    name: String,
}

impl Leads {
    fn tell(&self, now: bool) {
        self.sender.send_if_modified(|led| {
            let changed = *led != now;
            if changed {
                info!(lease = self.name, "{}", if now { "leading" } else { "not leading" });
            }
            *led = now;
            changed
        });
    }
}

impl Drop for Leads {
    fn drop(&mut self) {
        self.tell(false);
    }
}

impl<S: Shelf> Candidate<S> {
    async fn run(mut self, stop: CancellationToken) {
        let mut going = true;
        while going {
            going = tokio::select! {
                () = stop.cancelled() => false,
                () = self.turn() => true,
            };
        }
        self.leads.tell(false);
        if self.election.holds() && timeout(RESIGN, self.resign()).await.is_err() {
            debug!(lease = self.candidacy.name, "was not given up in time");
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn at(&self, time: Duration) -> Instant {
        self.started.checked_add(time).unwrap_or(self.started)
    }

    /// Reads the Lease, and writes it where that is our turn; then waits for the next one.
    async fn turn(&mut self) {
        let result = self.ask().await;
        let failed = result.is_err();
        if failed != std::mem::replace(&mut self.failing, failed) {
            match &result {
                Ok(_) => info!(lease = self.candidacy.name, "the election can be followed again"),
                Err(error) => warn!(lease = self.candidacy.name, "the election cannot be followed: {error}"),
            }
        }
        let next = match result {
            Ok(Asked::Clear) => self.election.next(self.now()),
            Ok(Asked::Outrun) | Err(_) => self.now().saturating_add(self.term.again),
        };
        let until = self.at(next);
        self.meanwhile(sleep_until(until)).await;
    }

    async fn ask(&mut self) -> Result<Asked, RequestError> {
        if let Some(lease) = self.lease.take() {
            return self.write(lease).await;
        }
        let found = self.meanwhile(in_time(self.term.patience, self.shelf.read())).await?;
        let step = self.election.read(found.as_ref().map(lease::record), self.now());
        let lease = found.unwrap_or_else(|| lease::new(&self.candidacy.name));
        match step {
            Step::Wait => Ok(Asked::Clear),
            Step::Renew | Step::Take => self.write(lease).await,
        }
    }

    /// Writes our name, if the Lease is still as it is here.
    async fn write(&mut self, lease: Lease) -> Result<Asked, RequestError> {
        let Candidacy { me, lease: term, owner, .. } = &self.candidacy;
        let held = lease::held(lease::owned(lease, owner.borrow().as_ref()), me, *term);
        let sent = self.now();
        self.election.writes();
        let written = self.meanwhile(in_time(self.term.patience, self.shelf.write(&held))).await?;
        let Some(written) = written else { return Ok(Asked::Outrun) };
        self.election.wrote(sent);
        self.lease = Some(written);
        Ok(Asked::Clear)
    }

    /// Waits for something, and tells when we lead no more meanwhile.
    async fn meanwhile<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        loop {
            let leads = self.election.leads(self.now());
            self.leads.tell(leads);
            let lapse = self.at(self.election.lapses().unwrap_or_default());
            tokio::select! {
                biased;
                () = sleep_until(lapse), if leads => {}
                done = something.as_mut() => return done,
            }
        }
    }

    /// Takes our name out, if it is there.
    async fn resign(&self) {
        loop {
            let done = async {
                let Some(lease) = self.shelf.read().await? else { return Ok(true) };
                let Some(free) = lease::given_up(lease, &self.candidacy.me) else { return Ok(true) };
                // A last renewal may have come in between.
                Ok::<_, RequestError>(self.shelf.write(&free).await?.is_some())
            };
            match done.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    debug!(lease = self.candidacy.name, "was not given up: {error}");
                    return;
                }
            }
        }
    }
}

async fn in_time<T>(
    patience: Duration,
    request: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    let late = |_| Err(RequestError::Passing(format!("no answer within {} s", patience.as_secs())));
    timeout(patience, request).await.unwrap_or_else(late)
}
