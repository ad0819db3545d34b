//! The share of an agent of a cluster: what is on disk of it, the way to the API server, and the election of
//! who answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Begun;
use crate::claims::{AgentId, Bounds};
use crate::clock::Now;
use crate::conditions::Conditions;
use crate::config::Config;
use crate::kube::claims::servers::{self, Noting};
use crate::kube::claims::{self, Calls, Store, Theirs, Watch};
use crate::kube::client::{Kubernetes, RequestError, ask};
use crate::kube::election::{self, Candidacy, LEASE, lease};
use crate::kube::events::about;
use crate::kube::session::Wanted;
use crate::notices::Notices;
use crate::run::claims::{Beginning, Offset, Word};

/// How often is looked who leads, while it is not us.
const LOOK: Duration = Duration::from_secs(1);

/// What is published, until it is done by a task.
pub struct Publishing {
    me: AgentId,
    store: Store,
    theirs: Theirs,
    noting: Noting,
    offset: Offset,
    word: watch::Sender<Word>,
    shows: watch::Sender<bool>,
    /// The ClusterAgent; none: it has not been read.
    owner: watch::Sender<Option<OwnerReference>>,
}

/// The object as the owner of what goes with it.
fn owner_of(object: &ObjectReference) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: object.api_version.clone()?,
        kind: object.kind.clone()?,
        name: object.name.clone()?,
        uid: object.uid.clone()?,
        ..OwnerReference::default()
    })
}

impl Begun {
    /// Reads what was kept of the claims. `has_leases`: the lease file was there, which says what was promised.
    pub fn begin_claims(&self, config: &Config, has_leases: bool) -> Result<(Beginning, Publishing)> {
        let owner = self.read_from.as_ref().and_then(|object| object.uid.as_deref());
        let (folder, name) = (&config.leases.dir, &self.cluster.agent);
        let (store, saved) = Store::open(folder, name, has_leases, owner)
            .with_context(|| format!("{}: what is known of other agents cannot be kept", folder.display()))?;
        let (ours, theirs) = claims::queues();
        let (neighbours, noting) = servers::neighbours();
        let offset = Offset::of(Now::read());
        // Where nobody can be asked, nobody is known to answer but us.
        let word = if self.read_from.is_some() { Word::Unknown } else { Word::Ours };
        let (sender, word) = watch::channel(word);
        let me = Arc::clone(&saved.me);
        let beginning = Beginning { me: saved.me, copies: saved.copies, offset, ours, word, neighbours };
        let shows = watch::channel(sender.borrow().is_ours()).0;
        let owner = watch::channel(self.read_from.as_ref().and_then(owner_of)).0;
        Ok((beginning, Publishing { me, store, theirs, noting, offset, word: sender, shows, owner }))
    }
}

impl Publishing {
    /// Whether it is us who answer, and so show what there is.
    pub fn shows(&self) -> watch::Receiver<bool> {
        self.shows.subscribe()
    }

    /// Publishes, and takes part in the election, until told to stop.
    pub fn go_on(
        self,
        tasks: &mut JoinSet<()>,
        kubernetes: &Kubernetes,
        (conditions, notices, mut wanted): (Conditions, Notices, watch::Receiver<Option<Wanted>>),
        stop: &CancellationToken,
    ) {
        let Self { me, store, theirs, noting, offset, word, shows, owner } = self;
        let mut heard = word.subscribe();
        let node = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
        let now: Watch = Arc::new(move || offset.at(Now::read().moment));
        let calls = Calls { client: kubernetes.once(), now: Arc::clone(&now), bounds: Bounds::DEFAULT };
        let name: Arc<str> = kubernetes.agent.as_str().into();
        tasks.spawn(servers::note(calls, name, Arc::clone(&me), noting, stop.clone()));
        let session = claims::Session {
            kubernetes: kubernetes.clone(),
            me: Arc::clone(&me),
            store,
            node,
            bounds: Bounds::DEFAULT,
            now,
            queues: theirs,
            conditions,
            notices,
        };
        tasks.spawn(claims::run(session, stop.clone()));
        let candidacy = Candidacy {
            namespace: kubernetes.client.default_namespace().to_owned(),
            name: format!("agent-{}", kubernetes.agent),
            me: me.to_string(),
            owner: owner.subscribe(),
            lease: LEASE,
        };
        let (election, leads) = election::stand(kubernetes, candidacy.clone(), stop.clone());
        tasks.spawn(election);
        let (kubernetes, stop) = (kubernetes.clone(), stop.clone());
        let showing = async move {
            while heard.changed().await.is_ok() {
                let is_ours = heard.borrow_and_update().is_ours();
                shows.send_if_modified(|shows| std::mem::replace(shows, is_ours) != is_ours);
            }
        };
        // One that is made again under its name is another owner.
        let owning = async move {
            while wanted.changed().await.is_ok() {
                let seen =
                    wanted.borrow_and_update().as_ref().and_then(|wanted| owner_of(&about(&wanted.agent)));
                owner.send_if_modified(|owner| {
                    seen.is_some() && std::mem::replace(owner, seen.clone()) != seen
                });
            }
        };
        tasks.spawn(async move {
            let following =
                async { tokio::join!(follow(kubernetes, candidacy, leads, word), showing, owning) };
            tokio::select! {
                () = stop.cancelled() => {}
                ((), (), ()) = following => {}
            }
        });
    }
}

/// Says who answers. It takes another agent that is seen to lead to make this one silent: who has lost the API
/// server answers on, alone or not. Who was silent when that went knows nothing of the leader when as much time
/// has passed as makes it none.
async fn follow(
    kubernetes: Kubernetes,
    candidacy: Candidacy,
    mut leads: watch::Receiver<bool>,
    word: watch::Sender<Word>,
) {
    let leases = kubernetes.leases(&candidacy.namespace);
    let mut looked = Instant::now();
    loop {
        if *leads.borrow_and_update() {
            word.send_replace(Word::Ours);
            if leads.changed().await.is_err() {
                return;
            }
            continue;
        }
        let seen = ask(leases.get_opt(&candidacy.name)).await;
        let holder = seen.map(|lease| lease.and_then(|lease| lease::record(&lease).holder));
        if holder.is_ok() {
            looked = Instant::now();
        }
        let is_long = looked.elapsed() > candidacy.lease;
        word.send_if_modified(|word| {
            let next = said(&candidacy.me, &holder, is_long, *word);
            std::mem::replace(word, next) != next
        });
        if let Err(fault) = holder {
            debug!("who answers cannot be seen: {fault}");
        }
        tokio::select! {
            changed = leads.changed() => if changed.is_err() { return },
            () = sleep(LOOK) => {}
        }
    }
}

/// What follows from who holds the Lease, while it is not known to be ours; `is_long`: that could not be seen for
/// longer than the Lease lasts.
fn said(me: &str, holder: &Result<Option<String>, RequestError>, is_long: bool, before: Word) -> Word {
    match holder {
        Ok(Some(holder)) if holder != me && !holder.is_empty() => Word::Anothers,
        Err(_) if before == Word::Unknown => Word::Ours,
        Err(_) if before == Word::Anothers && is_long => Word::Lost,
        // It is being taken, perhaps by us; or nobody knows.
        Ok(_) | Err(_) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_has_to_be_seen_to_lead_before_an_agent_is_silent() {
        let away = || Err(RequestError::Passing("away".into()));
        let holds = |who: &str| Ok(Some(who.to_owned()));
        for (holder, before, then) in [
            (holds("b"), Word::Unknown, Word::Anothers),
            (holds("b"), Word::Ours, Word::Anothers),
            (holds("b"), Word::Lost, Word::Anothers),
            (holds("a"), Word::Unknown, Word::Unknown),
            (holds("a"), Word::Anothers, Word::Anothers),
            (Ok(None), Word::Ours, Word::Ours),
            (holds(""), Word::Anothers, Word::Anothers),
            (away(), Word::Unknown, Word::Ours),
            (away(), Word::Ours, Word::Ours),
            (away(), Word::Anothers, Word::Anothers),
            (away(), Word::Lost, Word::Lost),
        ] {
            assert_eq!(said("a", &holder, false, before), then, "{holder:?} {before:?}");
        }
    }

    #[test]
    fn one_that_is_silent_and_sees_nothing_for_a_lease_answers_whom_nobody_does() {
        let away = || Err(RequestError::Passing("away".into()));
        for (before, then) in
            [(Word::Anothers, Word::Lost), (Word::Lost, Word::Lost), (Word::Ours, Word::Ours)]
        {
            assert_eq!(said("a", &away(), true, before), then, "{before:?}");
        }
    }
}
