//! Writing objects: one request for each action, at a pace that an API server does not feel, and
//! counted by what became of it.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::client::{REQUEST, told};
use super::desired::Action;
use super::objects::HostStatus;
use crate::http::WriteCounts;

/// The most writes in any second that one agent asks of the API server: 10,000 new leases, at two
/// writes each, are shown within 45 s.
pub const WRITES_PER_SECOND: u32 = 500;

/// Writes under way at one time.
pub const IN_FLIGHT: usize = 32;

/// Writes that may go out at once after a pause; they count among those of the second that follows.
const BURST: u32 = 20;

/// After the first failure of the API server itself nothing is written for so long; doubled with
/// each further one.
const FIRST_REST: Duration = Duration::from_millis(250);

/// The longest that nothing is written.
const LAST_REST: Duration = Duration::from_secs(5);

/// What became of an action.
#[derive(Debug)]
pub enum Written {
    /// Done; the object as it is now, where the answer has it.
    Done(Option<Box<HostStatus>>),
    /// Not done, and why: it is to be looked at again later.
    Failed(String),
    /// The API server cannot take it, or anything else, now.
    Away(String),
}

/// Does it.
pub async fn write(api: Api<HostStatus>, action: Action, counts: &WriteCounts) -> Written {
    let verb = action.verb();
    let Ok(done) = timeout(REQUEST, carry_out(&api, action)).await else {
        counts.count(verb, "timeout");
        return Written::Away(format!("no answer within {} s", REQUEST.as_secs()));
    };
    match done {
        Ok(object) => {
            counts.count(verb, "ok");
            Written::Done(object)
        }
        Err(kube::Error::Api(status)) if verb == "delete" && status.code == 404 => {
            counts.count(verb, "ok");
            Written::Done(None)
        }
        Err(error) => {
            let result = result(&error);
            counts.count(verb, result);
            match result {
                "unreachable" | "throttled" | "unavailable" => Written::Away(told(&error)),
                _ => Written::Failed(told(&error)),
            }
        }
    }
}

async fn carry_out(api: &Api<HostStatus>, action: Action) -> kube::Result<Option<Box<HostStatus>>> {
    let written = match action {
        Action::Create(mut object) => {
            // The status is a resource of its own: it is not taken here.
            object.status = None;
            api.create(&PostParams::default(), &object).await?
        }
        Action::Relabel(object) => {
            let patch = json!({ "metadata": {
                "resourceVersion": object.resource_version(),
                "labels": object.labels(),
                "ownerReferences": object.metadata.owner_references,
            }});
            api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?
        }
        Action::WriteStatus(object) => {
            api.replace_status(&object.name_any(), &PostParams::default(), &object).await?
        }
        Action::Delete(object) => {
            let preconditions = Some(Preconditions { uid: object.uid(), resource_version: None });
            let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
            api.delete(&object.name_any(), &parameters).await?;
            return Ok(None);
        }
    };
    Ok(Some(Box::new(written)))
}

/// What a failure is counted as.
fn result(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => "conflict",
            429 => "throttled",
            503 | 504 => "unavailable",
            403 => "forbidden",
            _ => "error",
        },
        _ => "unreachable",
    }
}

/// Keeps to [`WRITES_PER_SECOND`], and lets an API server rest that cannot take writes.
#[derive(Debug)]
pub struct Pace {
    /// When the next write would go out if all were evenly spread.
    next: Instant,
    /// Nothing goes out before.
    rests_until: Instant,
    /// How long it will rest the next time.
    rest: Duration,
}

impl Pace {
    /// From now on.
    pub fn new(now: Instant) -> Self {
        Self { next: now, rests_until: now, rest: FIRST_REST }
    }

    /// How long the next write has to wait.
    pub fn wait(&self, now: Instant) -> Duration {
        let ahead = interval().saturating_mul(BURST.saturating_sub(1));
        let turn = self.next.saturating_duration_since(now).saturating_sub(ahead);
        turn.max(self.rests_until.saturating_duration_since(now))
    }

    /// A write goes out.
    pub fn spend(&mut self, now: Instant) {
        let next = self.next.max(now);
        self.next = next.checked_add(interval()).unwrap_or(next);
    }

    /// The API server took a write.
    pub fn taken(&mut self) {
        self.rest = FIRST_REST;
    }

    /// It cannot take any now. All that were under way say so: that counts once.
    pub fn refused(&mut self, now: Instant) {
        if self.rests_until <= now {
            self.rests_until = now.checked_add(self.rest).unwrap_or(now);
            self.rest = self.rest.saturating_mul(2).min(LAST_REST);
        }
    }
}

/// Between two writes, so that a burst and those after it stay within what a second may have.
fn interval() -> Duration {
    let steady = WRITES_PER_SECOND.saturating_sub(BURST);
    Duration::from_secs(1).checked_div(steady).unwrap_or(Duration::from_millis(3))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use super::*;

    /// When writes go out in ten seconds, if there always are some, and after a pause.
    fn writes(mut pace: Pace, start: Instant) -> Vec<Instant> {
        let (mut now, mut writes) = (start, Vec::new());
        while now < start + Duration::from_secs(10) {
            let wait = pace.wait(now);
            if wait.is_zero() {
                pace.spend(now);
                writes.push(now);
            } else {
                now += wait;
            }
        }
        writes
    }

    #[test]
    fn no_second_has_more_writes_than_the_pace_allows() {
        let start = Instant::now();
        let writes = writes(Pace::new(start), start);
        let most = usize::try_from(WRITES_PER_SECOND).unwrap();
        for (at, first) in writes.iter().enumerate() {
            let within =
                writes[at..].iter().take_while(|next| **next < *first + Duration::from_secs(1)).count();
            assert!(within <= most, "{within}");
        }
        assert!(writes.len() > 9 * most, "{}", writes.len());
    }

    #[test]
    fn a_server_that_cannot_take_writes_rests_longer_each_time_and_not_after_one_was_taken() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut rests = Vec::new();
        for _ in 0..7 {
            // All that were under way.
            (0..IN_FLIGHT).for_each(|_| pace.refused(now));
            rests.push(pace.wait(now).as_millis());
            now += pace.wait(now);
        }
        assert_eq!(rests, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        pace.taken();
        pace.refused(now);
        assert_eq!(pace.wait(now), FIRST_REST);
    }
}
