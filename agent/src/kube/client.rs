//! The API server: how it is reached, and which of its failures pass.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::events::Events;
use super::objects::{ClusterAgent, HostEndpoint, HostStatus};

/// A server that does not take a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(3);

/// The longest that one request may take; watches are no requests.
pub const REQUEST: Duration = Duration::from_secs(10);

/// Between two tries at the start.
const AGAIN: Duration = Duration::from_millis(500);

/// The API server, on behalf of one agent.
#[derive(Clone)]
pub struct Kubernetes {
    /// The agent's name.
    pub agent: String,
    /// The client; what the server cannot take now it tries again by itself.
    pub client: Client,
    /// The same without that, for those who count requests.
    once: Client,
    /// Where events go.
    pub events: Events,
}

/// Why a request gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server was not reached, or cannot answer now: later it may.
    #[error("the API server cannot be asked: {0}")]
    Passing(String),
    /// It answered, and will answer likewise again.
    #[error("{0}")]
    Lasting(String),
}

impl Kubernetes {
    /// A client from $KUBECONFIG, ~/.kube/config or the pod's service account. Asks nothing yet.
    pub async fn connect(agent: &str) -> Result<Self> {
        let config = Config::infer()
            .await
            .context("no way to the API server: neither $KUBECONFIG nor a pod's service account gives one")?;
        Self::by(agent, config)
    }

    /// The same from this kubeconfig.
    pub async fn connect_by(agent: &str, kubeconfig: &Path) -> Result<Self> {
        let read = Kubeconfig::read_from(kubeconfig).context("no way to the API server")?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        Self::by(agent, config.context("no way to the API server")?)
    }

    fn by(agent: &str, mut config: Config) -> Result<Self> {
        config.connect_timeout = Some(CONNECT);
        let client = |config| Client::try_from(config).context("no way to the API server");
        let mut without_retry = config.clone();
        without_retry.default_retry = false;
        let (client, once) = (client(config)?, client(without_retry)?);
        let events = Events::new(client.clone(), agent);
        Ok(Self { agent: agent.to_owned(), client, once, events })
    }

    /// The client that tries nothing again.
    pub fn once(&self) -> Client {
        self.once.clone()
    }

    /// All ClusterAgents.
    pub fn agents(&self) -> Api<ClusterAgent> {
        Api::all(self.client.clone())
    }

    /// All HostEndpoints.
    pub fn endpoints(&self) -> Api<HostEndpoint> {
        Api::all(self.client.clone())
    }

    /// All HostStatus objects.
    pub fn statuses(&self) -> Api<HostStatus> {
        Api::all(self.once.clone())
    }

    /// The Leases of a namespace. Who asks for them is in a hurry, and tries again by itself.
    pub fn leases(&self, namespace: &str) -> Api<Lease> {
        Api::namespaced(self.once.clone(), namespace)
    }
}

/// Waits for the answer to one request, no longer than [`REQUEST`].
pub async fn ask<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
    match timeout(REQUEST, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if passes(&error) => Err(RequestError::Passing(told(&error))),
        Ok(Err(error)) => Err(RequestError::Lasting(told(&error))),
        Err(_) => Err(RequestError::Passing(format!("no answer within {} s", REQUEST.as_secs()))),
    }
}

/// Asks until there is an answer, or `patience` is over.
pub async fn ask_for<T, F>(patience: Duration, request: impl Fn() -> F) -> Result<T, RequestError>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut said = false;
    let mut last = RequestError::Passing(format!("no answer within {} s", patience.as_secs()));
    let asking = async {
        loop {
            match ask(request()).await {
                Err(error @ RequestError::Passing(_)) => {
                    if !std::mem::replace(&mut said, true) {
                        warn!("{error}; trying for {} s", patience.as_secs());
                    }
                    last = error;
                    sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    };
    match timeout(patience, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(last),
    }
}

/// Whether a failure may be over later. A server that has only just started refuses (403) what it
/// will allow once it has read its rules; an object that is not there (404) stays that way.
pub fn passes(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 0 | 401 | 403 | 408 | 409 | 429 | 500..),
        kube::Error::Service(_)
        | kube::Error::HyperError(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::Auth(_) => true,
        _ => false,
    }
}

/// What went wrong, to its first cause.
pub fn told(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let (mut text, mut cause) = match error {
        // Its own words are those of the library's layers.
        kube::Error::Service(fault) => (fault.to_string(), fault.source()),
        _ => (error.to_string(), std::error::Error::source(error)),
    };
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
