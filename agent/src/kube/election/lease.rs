//! The Lease that stands for an election: reading and writing it, and what it says.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::rule::Record;
use crate::kube::client::{RequestError, ask};

/// Where one Lease is kept.
pub trait Shelf: Send + Sync {
    /// As it is; none: it is not there.
    fn read(&self) -> impl Future<Output = Result<Option<Lease>, RequestError>> + Send;

    /// Makes it, or puts it in the place of the version that it carries. None: it is another already, and
    /// nothing was written over.
    fn write(&self, lease: &Lease) -> impl Future<Output = Result<Option<Lease>, RequestError>> + Send;
}

/// That of an API server.
#[derive(Debug)]
pub struct Kept {
    api: Api<Lease>,
    name: String,
}

impl Kept {
    /// The Lease of this name.
    pub const fn new(api: Api<Lease>, name: String) -> Self {
        Self { api, name }
    }
}

impl Shelf for Kept {
    async fn read(&self) -> Result<Option<Lease>, RequestError> {
        ask(self.api.get_opt(&self.name)).await
    }

    async fn write(&self, lease: &Lease) -> Result<Option<Lease>, RequestError> {
        let parameters = PostParams::default();
        let made = lease.metadata.resource_version.is_none();
        let writing = async {
            let written = if made {
                self.api.create(&parameters, lease).await
            } else {
                self.api.replace(&self.name, &parameters, lease).await
            };
            match written {
                Ok(lease) => Ok(Some(lease)),
                // Somebody was faster, or has removed it. Making it where its namespace is missing fails
                // for ever, and is told.
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 && !made => Ok(None),
                Err(error) => Err(error),
            }
        };
        ask(writing).await
    }
}

/// What it says.
pub fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity,
        lease: seconds.map(Duration::from_secs),
        // Not the version: who puts a label on it is no sign of the leader's life.
        renewed: spec.renew_time.map(|time| time.0),
    }
}

/// One that is not there yet.
pub fn new(name: &str) -> Lease {
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None }
}

/// The Lease as one that goes with its owner, and not with a former one of that name.
pub fn owned(mut lease: Lease, owner: Option<&OwnerReference>) -> Lease {
    if let Some(owner) = owner {
        let owners = lease.metadata.owner_references.get_or_insert_default();
        if !owners.iter().any(|known| known.uid == owner.uid) {
            owners.retain(|known| (&known.kind, &known.name) != (&owner.kind, &owner.name));
            owners.push(owner.clone());
        }
    }
    lease
}

/// The Lease as held by `me`, after it was as `before`. Its times are for people.
pub fn held(before: Lease, me: &str, term: Duration) -> Lease {
    let now = MicroTime(Timestamp::now());
    let made = before.metadata.resource_version.is_none();
    let spec = before.spec.unwrap_or_default();
    let mine = spec.holder_identity.as_deref() == Some(me);
    let transitions = spec.lease_transitions.unwrap_or(0);
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(term.as_secs().max(1)).ok(),
        acquire_time: spec.acquire_time.filter(|_| mine).or_else(|| Some(now.clone())),
        renew_time: Some(now),
        lease_transitions: Some(if mine || made { transitions } else { transitions.saturating_add(1) }),
        ..spec
    };
    Lease { spec: Some(spec), ..before }
}

/// The Lease as given up by `me`; none: it is not ours.
pub fn given_up(mut lease: Lease, me: &str) -> Option<Lease> {
    let spec = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(me))?;
    spec.holder_identity = None;
    Some(lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lease: Lease) -> Lease {
        let metadata = ObjectMeta { resource_version: Some("1".into()), ..lease.metadata };
        Lease { metadata, ..lease }
    }

    const TERM: Duration = Duration::from_secs(9);

    #[test]
    fn a_new_holder_is_counted_and_one_that_renews_is_not() {
        let first = kept(held(new("l"), "a", TERM));
        let transitions = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions;
        assert_eq!(transitions(&first), Some(0));
        let again = held(first.clone(), "a", TERM);
        assert_eq!(transitions(&again), Some(0));
        assert_eq!(again.spec.as_ref().unwrap().acquire_time, first.spec.unwrap().acquire_time);
        assert_eq!(transitions(&held(again, "b", TERM)), Some(1));
    }

    #[test]
    fn only_what_is_ours_is_given_up() {
        let lease = held(new("l"), "a", TERM);
        assert_eq!(given_up(lease.clone(), "b"), None);
        let free = given_up(lease, "a").unwrap();
        assert_eq!(record(&free).holder, None);
    }

    #[test]
    fn a_lease_belongs_to_the_owner_of_today_and_to_whomever_others_have_named() {
        let owner = |kind: &str, uid: &str| OwnerReference {
            kind: kind.into(),
            name: "o".into(),
            uid: uid.into(),
            ..OwnerReference::default()
        };
        let (former, today, others) = (owner("K", "1"), owner("K", "2"), owner("Other", "3"));
        let owners = |lease: &Lease| lease.metadata.owner_references.clone();
        let mut lease = owned(new("l"), Some(&former));
        assert_eq!(owners(&lease), Some(vec![former]));
        lease.metadata.owner_references.get_or_insert_default().push(others.clone());
        let lease = owned(lease, Some(&today));
        assert_eq!(owners(&lease), Some(vec![others.clone(), today.clone()]));
        let lease = owned(owned(lease, Some(&today)), None);
        assert_eq!(owners(&lease), Some(vec![others, today]));
    }

    #[test]
    fn a_renewal_changes_the_record_and_a_label_does_not() {
        let lease = kept(held(new("l"), "a", TERM));
        assert_eq!(record(&lease).lease, Some(TERM));
        assert_ne!(record(&lease), record(&held(lease.clone(), "a", TERM)));
        let mut labelled = lease.clone();
        labelled.metadata.resource_version = Some("2".into());
        assert_eq!(record(&lease), record(&labelled));
    }
}
