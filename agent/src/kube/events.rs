//! Events: what an operator should see beside the object it concerns. Sent when they can be; an
//! event that does not get through is in the log all the same.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tracing::debug;

use super::client::ask;
use crate::notices::What;

/// Who sends them.
const CONTROLLER: &str = "xdhcpd";

/// The longest note that the API takes.
const NOTE: usize = 1024;

/// Where events go.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// What kind of event it is: a word of its own for each, that alerts can be written against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The agent did not start.
    StartFailed,
    /// A configuration is served.
    ConfigApplied,
    /// A configuration is not served: the one before it is.
    ConfigRefused,
    /// A HostEndpoint names no agent, and there are several.
    NoAgentNamed,
    /// What runs an agent is not as its object has it, for this reason.
    NotRun(&'static str),
    /// The core noticed something.
    Noticed(What),
}

impl Reason {
    const fn kind(self) -> EventType {
        match self {
            Self::ConfigApplied => EventType::Normal,
            _ => EventType::Warning,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Noticed(what) => format!("{what:?}"),
            Self::NotRun(why) => why.to_owned(),
            other => format!("{other:?}"),
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::StartFailed => "Start",
            Self::ConfigApplied | Self::ConfigRefused => "Configure",
            Self::NoAgentNamed => "Show",
            Self::NotRun(_) => "Run",
            Self::Noticed(_) => "Serve",
        }
    }
}

impl Events {
    /// Events of one agent.
    pub fn new(client: Client, agent: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.into(), instance: Some(agent.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Sends one about an object.
    pub async fn send(&self, about: &ObjectReference, reason: Reason, note: &str) {
        let event = Event {
            type_: reason.kind(),
            reason: reason.name(),
            note: Some(note.chars().take(NOTE).collect()),
            action: reason.action().to_owned(),
            secondary: None,
        };
        if let Err(error) = ask(self.recorder.publish(&event, about)).await {
            debug!("an event of {reason:?} was not taken: {error}");
        }
    }
}

/// What an event about an object names.
pub fn about<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}
