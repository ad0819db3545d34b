//! What is to be done, of what shall be and what is there. Pure.
//!
//! A part that somebody else made under a name of ours is left alone, and nothing is done then: half of an
//! agent is worse than none. The claim alone is taken whosever it is, and never changed: leases that were
//! there before us are what it is wanted for.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::core::DynamicObject;

use super::parts::{Kind, Part};

/// What is there, under the names of one agent's parts.
pub type Found = BTreeMap<Kind, DynamicObject>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Make it, or make it as it is here; if it is there, only if it is still this one.
    Apply(Part, Option<String>),
    /// Make it.
    Make(Part),
    /// Take it away, if it is still this one.
    Remove(Kind, String),
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// Something of this kind has the name, and is not ours.
    Taken(Kind),
    /// Something of this kind has to be gone first.
    Going(Kind),
}

/// What to do, in this order.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What can be done now.
    pub acts: Vec<Act>,
    /// What cannot, and why; the parts tell when that changes.
    pub hindrance: Option<Hindrance>,
}

/// What brings about `wanted` of what is `found`, for the agent with this uid.
pub fn plan(wanted: Vec<Part>, found: &Found, uid: &str) -> Plan {
    let ours = |object: &DynamicObject| is_ours(object, uid);
    let taken = wanted.iter().find(|part| {
        part.kind != Kind::PersistentVolumeClaim && found.get(&part.kind).is_some_and(|object| !ours(object))
    });
    if let Some(part) = taken {
        return Plan { acts: Vec::new(), hindrance: Some(Hindrance::Taken(part.kind)) };
    }
    let mut plan = Plan::default();
    for (kind, object) in found {
        let unwanted = kind.is_workload() && wanted.iter().all(|part| part.kind != *kind);
        if unwanted && ours(object) {
            plan.remove(*kind, object);
        }
    }
    for part in wanted {
        let kind = part.kind;
        // Two workloads of one agent would be two agents on one node.
        if kind.is_workload() && plan.hindrance.is_some() {
            break;
        }
        match found.get(&kind) {
            None if kind == Kind::PersistentVolumeClaim => plan.acts.push(Act::Make(part)),
            None => plan.acts.push(Act::Apply(part, None)),
            Some(_) if kind == Kind::PersistentVolumeClaim => {}
            Some(object) if object.metadata.deletion_timestamp.is_some() || !can_become(object, &part) => {
                plan.remove(kind, object);
            }
            Some(object) => plan.acts.push(Act::Apply(part, object.uid())),
        }
    }
    plan
}

/// Whether it belongs to the agent with this uid.
pub fn is_ours(object: &DynamicObject, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

impl Plan {
    /// Has it go, if it is not going already.
    fn remove(&mut self, kind: Kind, object: &DynamicObject) {
        self.hindrance.get_or_insert(Hindrance::Going(kind));
        if object.metadata.deletion_timestamp.is_none() {
            self.acts.extend(object.uid().map(|uid| Act::Remove(kind, uid)));
        }
    }
}

/// Whether what cannot be changed is as it shall be.
fn can_become(object: &DynamicObject, part: &Part) -> bool {
    part.kind.fixed().is_none_or(|fixed| {
        // Of the object itself `metadata` and the like are held apart.
        object.data.pointer(fixed) == part.body.pointer(fixed)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const UID: &str = "owner";

    fn part(kind: Kind) -> Part {
        let body = json!({"spec": {"selector": {"a": "b"}}, "roleRef": {"name": "r"}});
        Part { kind, name: kind.name("bmc"), body }
    }

    fn object(owner: Option<&str>, change: impl FnOnce(&mut Value)) -> DynamicObject {
        let owners: Vec<_> = owner
            .iter()
            .map(|uid| json!({"apiVersion": "v1", "kind": "ClusterAgent", "name": "bmc", "uid": uid}))
            .collect();
        let mut value = json!({
            "apiVersion": "v1",
            "kind": "Any",
            "metadata": {"name": "agent-bmc", "uid": "there", "ownerReferences": owners},
            "spec": {"selector": {"a": "b"}},
            "roleRef": {"name": "r"},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn ours() -> DynamicObject {
        object(Some(UID), |_| {})
    }

    fn planned(wanted: &[Kind], found: impl IntoIterator<Item = (Kind, DynamicObject)>) -> Plan {
        let wanted = wanted.iter().map(|kind| part(*kind)).collect();
        plan(wanted, &found.into_iter().collect(), UID)
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_put_right() {
        let wanted = [Kind::ServiceAccount, Kind::PersistentVolumeClaim, Kind::DaemonSet];
        let plan = planned(&wanted, [(Kind::DaemonSet, ours())]);
        let expected = [
            Act::Apply(part(Kind::ServiceAccount), None),
            Act::Make(part(Kind::PersistentVolumeClaim)),
            Act::Apply(part(Kind::DaemonSet), Some("there".into())),
        ];
        assert_eq!((plan.acts, plan.hindrance), (expected.into(), None));
    }

    #[test]
    fn what_is_not_ours_is_left_alone_and_so_is_all_else() {
        for owner in [None, Some("another")] {
            let found = [(Kind::DaemonSet, object(owner, |_| {}))];
            let plan = planned(&[Kind::ServiceAccount, Kind::DaemonSet], found);
            assert_eq!(plan, Plan { acts: vec![], hindrance: Some(Hindrance::Taken(Kind::DaemonSet)) });
        }
    }

    #[test]
    fn a_claim_is_taken_whosever_it_is_and_never_changed() {
        let claims = [object(None, |_| {}), object(Some("another"), |_| {}), ours()];
        for claim in claims {
            let plan = planned(&[Kind::PersistentVolumeClaim], [(Kind::PersistentVolumeClaim, claim)]);
            assert_eq!(plan, Plan::default());
        }
    }

    #[test]
    fn a_workload_of_the_other_kind_goes_before_the_new_one_comes() {
        let plan = planned(&[Kind::ServiceAccount, Kind::DaemonSet], [(Kind::Deployment, ours())]);
        let expected =
            [Act::Remove(Kind::Deployment, "there".into()), Act::Apply(part(Kind::ServiceAccount), None)];
        assert_eq!((plan.acts, plan.hindrance), (expected.into(), Some(Hindrance::Going(Kind::Deployment))));
        let going = object(Some(UID), |object| {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
        let plan = planned(&[Kind::DaemonSet], [(Kind::Deployment, going)]);
        assert_eq!(plan, Plan { acts: vec![], hindrance: Some(Hindrance::Going(Kind::Deployment)) });
        let foreign = planned(&[Kind::DaemonSet], [(Kind::Deployment, object(None, |_| {}))]);
        assert_eq!(foreign.acts, [Act::Apply(part(Kind::DaemonSet), None)]);
    }

    #[test]
    fn without_a_workload_wanted_ours_goes() {
        let plan = planned(&[Kind::ServiceAccount], [(Kind::DaemonSet, ours())]);
        assert_eq!(plan.acts[0], Act::Remove(Kind::DaemonSet, "there".into()));
    }

    #[test]
    fn what_cannot_be_changed_is_made_anew() {
        let older = |pointer: &'static str| {
            object(Some(UID), |object| *object.pointer_mut(pointer).unwrap() = json!({"old": "one"}))
        };
        for (kind, pointer) in [
            (Kind::DaemonSet, "/spec/selector"),
            (Kind::ClusterRoleBinding, "/roleRef"),
            (Kind::RoleBinding, "/roleRef"),
        ] {
            let plan = planned(&[kind], [(kind, older(pointer))]);
            assert_eq!(plan.acts, [Act::Remove(kind, "there".into())]);
            assert_eq!(plan.hindrance, Some(Hindrance::Going(kind)));
        }
    }
}
