//! A real Kubernetes API: etcd, kube-apiserver and, where a test asks for it, the controllers.
//!
//! A cluster has a network namespace for its home, its own or one that the test made. There its API
//! server answers at [`API_URL`], an address that is on no link; [`Cluster::connect`] joins further
//! namespaces to the home, and in all of them the same kubeconfigs work. Certificates are verified,
//! rights are checked (RBAC), objects are kept over a stop of the API server.
//!
//! With `KUBECONFIG` set that cluster is used and no server is started: a forwarder in the home
//! namespace answers at [`API_URL`] in its place, so that nothing changes for a test but that the
//! cluster may have controllers and objects already. What it cannot do: arguments of the API server,
//! [`Cluster::pause_api`], and users whose credentials come from a program that needs a network.
//!
//! The servers die with the value, and with the test's process however that ends.

mod account;
mod api;
mod elsewhere;
mod kubectl;
pub mod parts;
pub(crate) mod process;
mod servers;

use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::process::Signal;
use serde_json::{Value, json};

pub use self::kubectl::Kubectl;

use self::account::write_kubeconfig;
use self::api::Api;
use self::elsewhere::Forwarder;
use crate::netns::{self, NetNs, command_in, succeed};
use crate::{skip, wait};

/// Where the API server answers, in the home and in every connected namespace.
pub const API_URL: &str = "https://198.19.0.1:6443";
/// Its address: of the block for benchmarks (RFC 2544), which no test's network uses.
pub(crate) const API_ADDRESS: &str = "198.19.0.1";
/// Its port.
const API_PORT: u16 = 6443;

/// Has owners guarded: to name one that is not to go before what it owns takes a right.
pub const OWNERS_GUARDED: &str = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement";

/// Where objects are of which nobody says where.
const DEFAULT: &str = "default";

/// The name of the node that a cluster of our own may have.
pub const NODE: &str = "node";

/// Where the service `kubernetes` is, for pods: the first of the addresses of services.
const SERVICE: (&str, u16) = ("10.96.0.1", 443);

/// Longest wait for a server to be ready: seconds on an idle machine.
pub const READY: Duration = Duration::from_mins(2);

/// A cluster without nodes.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they go.
    api: Api,
    kubectl: Kubectl,
    /// The `cluster` of its kubeconfigs.
    stanza: Value,
    home: String,
    connected: AtomicU16,
    service: Option<Forwarder>,
    _own_home: Option<NetNs>,
    folder: tempfile::TempDir,
}

/// Whether a cluster can be had here; else the test `name` is noted as skipped, and why.
pub fn is_there(name: &str) -> bool {
    if !skip::is_root(name) {
        return false;
    }
    let own = elsewhere::kubeconfig().is_none();
    let missing = parts::kubectl().err().or_else(|| if own { parts::servers().err() } else { None });
    if let Some(missing) = missing {
        skip::skipped(name, &missing);
        return false;
    }
    !own || skip::is_there(name, "openssl", "openssl")
}

/// Whether the servers will be ours, so that they take arguments and can be paused; else the test
/// `name` is noted as skipped.
pub fn is_own(name: &str) -> bool {
    let own = elsewhere::kubeconfig().is_none();
    if !own {
        skip::skipped(name, "needs an API server of its own: unset KUBECONFIG");
    }
    own
}

impl Cluster {
    /// Starts one in a namespace of its own and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same with more arguments to the API server.
    pub fn start_with(api_arguments: &[&str]) -> Result<Self> {
        let home = NetNs::new("kube")?;
        let name = home.name().to_owned();
        Self::begin(&name, Some(home), api_arguments)
    }

    /// Starts one in this namespace, which must outlive it.
    pub fn start_in(home: &NetNs) -> Result<Self> {
        Self::start_in_with(home, &[])
    }

    /// The same with more arguments to the API server.
    pub fn start_in_with(home: &NetNs, api_arguments: &[&str]) -> Result<Self> {
        Self::begin(home.name(), None, api_arguments)
    }

    /// One for all tests of this process that leave it running: started with the first, and gone with
    /// the process.
    pub fn shared() -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = shared.get_or_insert_with(|| {
            // SAFETY: the handler is a function that does not unwind.
            unsafe { libc::atexit(drop_shared) };
            Self::start().map(Arc::new).map_err(|error| format!("{error:#}"))
        });
        cluster.clone().map_err(|error| anyhow!(error))
    }

    fn begin(home: &str, own_home: Option<NetNs>, api_arguments: &[&str]) -> Result<Self> {
        let folder = netns::folder("kube")?;
        ip(home, &format!("address add {API_ADDRESS}/32 dev lo"))?;
        let program = parts::kubectl().map_err(|missing| anyhow!(missing))?;
        let (api, access) = Api::start(&program, home, folder.path(), api_arguments)?;
        let kubeconfig = folder.path().join("admin.kubeconfig");
        write_kubeconfig(&kubeconfig, &access.cluster, &access.user, DEFAULT)?;
        let kubectl = Kubectl::new(program, home, kubeconfig);
        let home = home.to_owned();
        let mut cluster = Self {
            api,
            kubectl,
            stanza: access.cluster,
            home,
            connected: AtomicU16::new(0),
            service: None,
            _own_home: own_home,
            folder,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (api, kubectl) = (&mut self.api, &self.kubectl);
        let mut last = String::new();
        let ready = wait::until_true("the API server to be ready", READY, || {
            api.check()?;
            let answer = kubectl.run(&["get", "--raw", "/readyz"]);
            last = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Ok(answer.is_ok())
        });
        ready.with_context(|| format!("{last}\n{}", self.api.last_words()))
    }

    /// Lets processes in another namespace reach the API server at [`API_URL`]: by a link of its own,
    /// `kube0` there, which a test may take down.
    pub fn connect(&self, namespace: &NetNs) -> Result<()> {
        let number = self.connected.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.checked_add(1).context("too many namespaces")?.to_be_bytes();
        let address = format!("198.18.{high}.{low}");
        let link = format!("kube{number}-home");
        ip(&self.home, &format!("link add {link} type veth peer name kube0 netns {}", namespace.name()))?;
        ip(&self.home, &format!("link set {link} up"))?;
        ip(&self.home, &format!("route add {address} dev {link}"))?;
        namespace.ip(&format!("address add {address}/32 dev kube0"))?;
        namespace.ip("link set kube0 up")?;
        namespace.ip(&format!("route add {API_ADDRESS} dev kube0 src {address}"))?;
        Ok(())
    }

    /// Has everything that a connected namespace sends to the API server get lost, without a word, as
    /// on a cable that is cut.
    pub fn cut_off(&self, namespace: &NetNs) -> Result<()> {
        let nobody = "lladdr 02:00:00:00:00:00 nud permanent";
        namespace.ip(&format!("neighbour replace {API_ADDRESS} dev kube0 {nobody}"))?;
        Ok(())
    }

    /// Undoes [`Cluster::cut_off`].
    pub fn reconnect(&self, namespace: &NetNs) -> Result<()> {
        namespace.ip(&format!("neighbour del {API_ADDRESS} dev kube0"))?;
        Ok(())
    }

    /// An administrator's kubeconfig, good in the home and in connected namespaces.
    pub fn admin_kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// Runs kubectl as an administrator; its output, or an error with what it said.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.kubectl.run(words)
    }

    /// kubectl with another kubeconfig, such as a service account's.
    pub fn kubectl_of(&self, kubeconfig: &Path) -> Kubectl {
        self.kubectl.with_kubeconfig(kubeconfig)
    }

    /// Ends the API server on the spot, as a crash does: its port refuses, its objects stay.
    pub fn stop_api(&mut self) {
        self.api.stop();
    }

    /// Starts it again, at the same address with the same objects, and waits until it answers.
    pub fn start_api(&mut self) -> Result<()> {
        self.api.start_again()?;
        self.wait_until_ready()
    }

    /// Stops the API server in its tracks: it takes connections, and answers nothing.
    pub fn pause_api(&self) -> Result<()> {
        self.api.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume_api(&self) -> Result<()> {
        self.api.signal(Signal::CONT)
    }

    /// Starts the controllers: garbage collection, default service accounts. They look for new kinds
    /// of objects twice a minute only, so CRDs had better be there before them.
    pub fn start_controllers(&mut self) -> Result<()> {
        self.api.start_controllers(self.kubectl.kubeconfig())
    }

    /// Starts the scheduler, which gives pods to nodes.
    pub fn start_scheduler(&mut self, program: &Path) -> Result<()> {
        self.api.start_scheduler(program, self.kubectl.kubeconfig())
    }

    /// Lets pods of the home reach the API server where they look for it: the service `kubernetes`.
    pub fn open_service(&mut self) -> Result<()> {
        let (address, _) = SERVICE;
        ip(&self.home, &format!("address add {address}/32 dev lo"))?;
        // Its threads stay in the namespace that they are started in.
        let start = || {
            std::io::Result::Ok(Forwarder::start(
                TcpListener::bind(SERVICE)?,
                format!("{API_ADDRESS}:{API_PORT}"),
            ))
        };
        self.service = Some(netns::inside(&self.home, start)??);
        Ok(())
    }

    /// A kubeconfig of the node [`NODE`].
    pub fn node_kubeconfig(&self) -> Result<PathBuf> {
        let kubeconfig = self.folder().join("node.kubeconfig");
        write_kubeconfig(&kubeconfig, &self.stanza, &json!({"token": servers::NODE_TOKEN}), DEFAULT)?;
        Ok(kubeconfig)
    }

    /// An error when a server of ours has ended.
    pub fn check(&mut self) -> Result<()> {
        self.api.check()
    }

    /// The name of its home, for [`netns::command_in`].
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Where kubeconfigs and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// As an administrator.
impl Deref for Cluster {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        &self.kubectl
    }
}

/// What [`Cluster::shared`] gives, or why there is none.
static SHARED: Mutex<Option<Result<Arc<Cluster>, String>>> = Mutex::new(None);

/// A static is never dropped; its servers would be killed, but namespace and folder would stay.
extern "C" fn drop_shared() {
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
}

fn ip(namespace: &str, words: &str) -> Result<()> {
    succeed(command_in(namespace, "ip").args(words.split_whitespace()))?;
    Ok(())
}
