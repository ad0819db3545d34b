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

/// The most writes in a second that one agent asks of the API server: 10,000 new leases, at two
/// writes each, are shown within 50 s.
pub const WRITES_PER_SECOND: u32 = 400;

/// Writes under way at one time.
pub const IN_FLIGHT: usize = 32;

/// Writes that may go out at once after a pause.
const BURST: u32 = 40;

/// What became of an action.
#[derive(Debug)]
pub enum Written {
    /// Done; the object as it is now, where the answer has it.
    Done(Option<Box<HostStatus>>),
    /// Not done, and why: it is to be looked at again later.
    Failed(String),
}

/// Does it.
pub async fn write(api: Api<HostStatus>, action: Action, counts: &WriteCounts) -> Written {
    let verb = action.verb();
    let done = match timeout(REQUEST, carry_out(&api, action)).await {
        Ok(done) => done,
        Err(_) => {
            counts.count(verb, "timeout");
            return Written::Failed(format!("no answer within {} s", REQUEST.as_secs()));
        }
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
            counts.count(verb, result(&error));
            Written::Failed(told(&error))
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
            403 => "forbidden",
            _ => "error",
        },
        _ => "unreachable",
    }
}

/// Keeps to [`WRITES_PER_SECOND`].
#[derive(Debug)]
pub struct Pace {
    /// When the next write would go out if all were evenly spread.
    next: Instant,
}

impl Pace {
    /// From now on.
    pub fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// How long the next write has to wait.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now).saturating_sub(interval().saturating_mul(BURST))
    }

    /// A write goes out.
    pub fn spend(&mut self, now: Instant) {
        let next = self.next.max(now);
        self.next = next.checked_add(interval()).unwrap_or(next);
    }
}

fn interval() -> Duration {
    Duration::from_secs(1).checked_div(WRITES_PER_SECOND).unwrap_or(Duration::from_millis(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_writes_go_out_than_the_pace_allows() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut writes = 0;
        while now < start + Duration::from_secs(10) {
            let wait = pace.wait(now);
            if wait.is_zero() {
                pace.spend(now);
                writes += 1;
            } else {
                now += wait;
            }
        }
        let most = 10 * WRITES_PER_SECOND + BURST + 1;
        assert!((10 * WRITES_PER_SECOND..=most).contains(&writes), "{writes}");
    }
}
