//! What a ClusterAgent's status says of what runs it. Pure.
//!
//! - `Accepted`: the object makes sense, and what it takes could be made
//! - `Ready`: an agent serves
//! - `Complete`: there is one wherever one shall be, each as the object has it now, and all of them serve

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::plan::Hindrance;
use crate::kube::objects::ClusterAgentStatus;

/// The longest message: a condition takes 32 KiB, and people read less.
const MESSAGE: usize = 1024;

/// How far a workload is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many pods there shall be.
    pub wanted: i32,
    /// How many of them serve.
    pub ready: i32,
    /// How many of them are as the workload says now.
    pub updated: i32,
    /// Whether these numbers are about the workload as it is now.
    pub current: bool,
}

impl Progress {
    /// Of none.
    pub const NONE: Self = Self { wanted: 0, ready: 0, updated: 0, current: true };

    /// That of a DaemonSet.
    pub fn of_daemon_set(set: &DaemonSet) -> Self {
        let status = set.status.clone().unwrap_or_default();
        Self {
            wanted: status.desired_number_scheduled,
            ready: status.number_ready,
            updated: status.updated_number_scheduled.unwrap_or(0),
            current: is_current(status.observed_generation, set.metadata.generation),
        }
    }

    /// That of a Deployment.
    pub fn of_deployment(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let spec = deployment.spec.as_ref();
        Self {
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            current: is_current(status.observed_generation, deployment.metadata.generation),
        }
    }
}

fn is_current(observed: Option<i64>, generation: Option<i64>) -> bool {
    observed.unwrap_or(0) >= generation.unwrap_or(0)
}

/// What became of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its parts are as they shall be.
    Kept(Progress),
    /// The object makes no sense: what is there stays as it is.
    Refused(String, Progress),
    /// A part could not be made.
    Failed(String, Progress),
    /// Something stands in the way.
    Hindered(Hindrance, Progress),
    /// No port is free for its health.
    NoPort,
}

/// A condition's state: what holds, a word for programs, a sentence for people.
type Said = (bool, &'static str, String);

impl Outcome {
    /// Whether something is wrong that somebody has to do something about: a word and a sentence for an
    /// event.
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        let (fine, reason, message) = self.accepted();
        (!fine).then_some((reason, message))
    }

    /// The status that says this, after it was as `before`; none: it says so already. `generation` is that
    /// of the object it is about.
    pub fn status(
        &self,
        before: Option<&ClusterAgentStatus>,
        generation: Option<i64>,
        now: &Time,
    ) -> Option<ClusterAgentStatus> {
        let condition = |kind: &str, (holds, reason, message): Said| {
            let said = before.and_then(|before| before.conditions.iter().find(|said| said.type_ == kind));
            let status = if holds { "True" } else { "False" };
            let since = said.filter(|said| said.status == status).map(|said| &said.last_transition_time);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: message.chars().take(MESSAGE).collect(),
                observed_generation: generation,
                last_transition_time: since.unwrap_or(now).clone(),
            }
        };
        let ready = self.ready();
        let status = ClusterAgentStatus {
            ready: ready.0,
            conditions: vec![
                condition("Accepted", self.accepted()),
                condition("Ready", ready),
                condition("Complete", self.complete()),
            ],
        };
        (before != Some(&status)).then_some(status)
    }

    fn progress(&self) -> Progress {
        match self {
            Self::Kept(progress)
            | Self::Refused(_, progress)
            | Self::Failed(_, progress)
            | Self::Hindered(_, progress) => *progress,
            Self::NoPort => Progress::NONE,
        }
    }

    fn accepted(&self) -> Said {
        match self {
            Self::Kept(_) | Self::Hindered(Hindrance::Going(_), _) => {
                (true, "Accepted", "what it takes is there".into())
            }
            Self::Refused(why, _) => (false, "Invalid", why.clone()),
            Self::Failed(why, _) => (false, "PartRefused", why.clone()),
            Self::Hindered(Hindrance::Taken(kind), _) => {
                let message = format!(
                    "there is a {kind:?} of its name that belongs to somebody else: remove it, or name this \
                     object otherwise"
                );
                (false, "NameTaken", message)
            }
            Self::NoPort => {
                (false, "NoPort", "there are too many agents: no port is free for its health".into())
            }
        }
    }

    fn ready(&self) -> Said {
        let Progress { wanted, ready, .. } = self.progress();
        match (wanted, ready) {
            (..=0, _) => (false, "NoAgents", "no node is selected, or replicas is 0".into()),
            (_, ..=0) => (false, "NoneServes", format!("none of {wanted} agents serves")),
            _ => (true, "Serving", format!("{ready} of {wanted} agents serve")),
        }
    }

    fn complete(&self) -> Said {
        let Progress { wanted, ready, updated, current } = self.progress();
        match self {
            Self::Kept(_) => {}
            Self::Hindered(Hindrance::Going(kind), _) => {
                return (false, "Replacing", format!("the former {kind:?} has to be gone first"));
            }
            _ => return (false, "NotAccepted", "the object as it is now is not what runs".into()),
        }
        if !current {
            return (false, "Changing", "its agents are about to be changed".into());
        }
        match wanted {
            ..=0 => (true, "NoAgents", "there shall be none".into()),
            _ if updated < wanted => {
                (false, "RollingOut", format!("{updated} of {wanted} agents are as they shall be"))
            }
            _ if ready < wanted => (false, "NotAllServe", format!("{ready} of {wanted} agents serve")),
            _ => (true, "AllServe", format!("all of {wanted} agents serve")),
        }
    }
}

/// What a status says, a sentence for each condition.
pub fn sentences(status: &ClusterAgentStatus) -> Vec<String> {
    status.conditions.iter().map(|said| format!("{}: {}", said.reason, said.message)).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::super::parts::Kind;
    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn progress(wanted: i32, ready: i32, updated: i32) -> Progress {
        Progress { wanted, ready, updated, current: true }
    }

    /// `ready`, and of each condition whether it holds and why.
    fn said(outcome: &Outcome) -> (bool, Vec<(String, String)>) {
        let status = outcome.status(None, Some(1), &at(5)).unwrap();
        let said = status.conditions.iter().map(|said| (said.status.clone(), said.reason.clone()));
        (status.ready, said.collect())
    }

    #[track_caller]
    fn says(outcome: &Outcome, ready: bool, expected: [(&str, &str); 3]) {
        let expected = expected.map(|(status, reason)| (status.to_owned(), reason.to_owned()));
        assert_eq!(said(outcome), (ready, expected.to_vec()));
    }

    const ACCEPTED: (&str, &str) = ("True", "Accepted");
    const SERVING: (&str, &str) = ("True", "Serving");

    #[test]
    fn it_is_ready_when_one_serves_and_complete_when_all_do() {
        let kept = |wanted, ready, updated| Outcome::Kept(progress(wanted, ready, updated));
        says(&kept(2, 2, 2), true, [ACCEPTED, SERVING, ("True", "AllServe")]);
        says(&kept(2, 1, 2), true, [ACCEPTED, SERVING, ("False", "NotAllServe")]);
        says(&kept(2, 2, 1), true, [ACCEPTED, SERVING, ("False", "RollingOut")]);
        says(&kept(2, 0, 2), false, [ACCEPTED, ("False", "NoneServes"), ("False", "NotAllServe")]);
        says(&kept(0, 0, 0), false, [ACCEPTED, ("False", "NoAgents"), ("True", "NoAgents")]);
        let changing = Outcome::Kept(Progress { current: false, ..progress(2, 2, 2) });
        says(&changing, true, [ACCEPTED, SERVING, ("False", "Changing")]);
    }

    #[test]
    fn what_is_refused_says_so_and_what_runs_goes_on_being_told() {
        let serving = progress(1, 1, 1);
        let not = ("False", "NotAccepted");
        says(&Outcome::Refused("x".into(), serving), true, [("False", "Invalid"), SERVING, not]);
        says(&Outcome::Failed("x".into(), serving), true, [("False", "PartRefused"), SERVING, not]);
        let taken = Outcome::Hindered(Hindrance::Taken(Kind::DaemonSet), Progress::NONE);
        says(&taken, false, [("False", "NameTaken"), ("False", "NoAgents"), not]);
        let going = Outcome::Hindered(Hindrance::Going(Kind::DaemonSet), Progress::NONE);
        says(&going, false, [ACCEPTED, ("False", "NoAgents"), ("False", "Replacing")]);
        assert_eq!(going.complaint(), None);
        assert_eq!(taken.complaint().map(|(reason, _)| reason), Some("NameTaken"));
    }

    #[test]
    fn a_status_that_says_so_already_is_not_written_again() {
        let kept = Outcome::Kept(progress(1, 1, 1));
        let first = kept.status(None, Some(1), &at(5)).unwrap();
        assert_eq!(kept.status(Some(&first), Some(1), &at(6)), None);
    }

    #[test]
    fn a_condition_keeps_the_time_since_which_it_holds() {
        let status = |ready, before: Option<&ClusterAgentStatus>, second| {
            Outcome::Kept(progress(2, ready, 2)).status(before, Some(1), &at(second)).unwrap()
        };
        let none = status(0, None, 5);
        let one = status(1, Some(&none), 6);
        let since =
            |status: &ClusterAgentStatus, at: usize| status.conditions[at].last_transition_time.clone();
        assert_eq!((since(&one, 1), since(&one, 2)), (at(6), at(5)));
        let both = status(2, Some(&one), 7);
        assert_eq!((since(&both, 0), since(&both, 1), since(&both, 2)), (at(5), at(6), at(7)));
    }

    #[test]
    fn the_numbers_are_about_the_workload_as_it_is_now_or_say_so() {
        let set = |generation, observed| {
            let status = serde_json::json!({
                "observedGeneration": observed, "desiredNumberScheduled": 3, "numberReady": 2,
                "updatedNumberScheduled": 1, "currentNumberScheduled": 3, "numberMisscheduled": 0,
            });
            let metadata = serde_json::json!({"generation": generation});
            let set = serde_json::json!({"metadata": metadata, "status": status});
            Progress::of_daemon_set(&serde_json::from_value(set).unwrap())
        };
        assert_eq!(set(1, 1), progress(3, 2, 1));
        assert!(!set(2, 1).current);
    }
}
