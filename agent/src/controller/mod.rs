//! `xdhcpd controller`: keeps for each ClusterAgent what runs it, and says in its status how that is.
//!
//! - [`parts`]: what runs an agent, as manifests; [`ports`]: where its health is served
//! - [`check`]: whether an object makes sense; [`plan`]: what is to be done, of what shall be and what is
//!   there; [`status`]: what is said of it. All these are pure
//! - [`keep`]: one look at one agent: asking, doing, saying
//! - [`watch`](mod@watch), [`work`]: who is looked at when; [`metrics`]: what is counted
//! - here: the wiring
//!
//! Everything follows from the ClusterAgent and from what is there: each part is applied as it shall be,
//! whenever the object or a part of it changes, so what is missing is made again and what was edited is put
//! right. Of several controllers one works ([`crate::kube::election`]); two at once would write the same.
//!
//! Never here: what an agent serves. An agent goes on without a controller.

pub mod check;
pub mod keep;
pub mod metrics;
pub mod parts;
pub mod plan;
pub mod ports;
pub mod status;
pub mod watch;
pub mod work;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::keep::Keeper;
use self::metrics::Metrics;
use self::parts::Settings;
use self::work::Work;
use crate::conditions::Conditions;
use crate::http;
use crate::kube::client::Kubernetes;
use crate::kube::election::{self, Candidacy};

/// The Lease that says which controller works.
const ELECTION: &str = "xdhcpd-controller";

/// How a controller is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Of the agents.
    pub settings: Settings,
    /// Which controller this is, among several.
    pub identity: String,
    /// Where health and metrics are served; none: nowhere.
    pub http: Option<SocketAddr>,
}

/// Runs until cancelled.
pub async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    let Options { settings, identity, http } = options;
    let kubernetes = Kubernetes::connect(&identity).await?;
    let listener = match http {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("--http: cannot listen on {address}"))?,
        ),
        None => None,
    };
    let candidacy = Candidacy {
        namespace: settings.namespace.clone(),
        name: ELECTION.to_owned(),
        me: identity,
        owner: tokio::sync::watch::channel(None).1,
        lease: election::LEASE,
    };
    info!(namespace = settings.namespace, identity = candidacy.me, image = settings.image, "started");
    // In the order in which they end: work, then the claim to it, then the word on both.
    let (worked, resigned) = (CancellationToken::new(), CancellationToken::new());
    let (election, leading) = election::stand(&kubernetes, candidacy, worked.clone());
    let (metrics, conditions) = (Metrics::default(), Conditions::default());
    let work = Work::new(Keeper { kubernetes, settings }, leading, metrics.clone(), conditions.clone());
    let mut tasks = JoinSet::new();
    if let Some(listener) = listener {
        let router = http::plain(move || metrics.render(), conditions);
        tasks.spawn(http::serve_tcp(listener, router, resigned.clone()));
    }
    let working = async {
        let ends = worked.drop_guard();
        work.run(stop).await;
        drop(ends);
    };
    tokio::join!(working, election);
    resigned.cancel();
    tasks.join_all().await;
    info!("stopped");
    Ok(())
}
