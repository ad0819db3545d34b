//! `xdhcpd run`: the agent's wiring. Starts its parts in order, and stops them in order.
//!
//! - the **core** ([`core`]) on a thread of its own: table, engine, journal, maps, sockets
//! - the **loader**, a process of its own that [`crate::supervise`] looks after: the XDP program
//! - the **HTTP** servers: on the unix socket, and on TCP if configured
//! - with a ClusterAgent, what follows it and shows leases ([`cluster`])
//! - the **signals**: SIGHUP reloads, SIGTERM and SIGINT stop
//!
//! The core is asked through [`crate::control::Handle`]; nobody else touches what it owns.

mod adopt;
mod answers;
mod batch;
mod claims;
pub mod cluster;
mod commit;
pub mod core;
mod disk;
mod fast_path;
mod follow;
mod links;
mod loader;
mod options;
mod other_servers;
mod outlets;
pub mod own_address;
mod places;
mod probes;
mod quiet;
mod release;
mod reload;
mod sync;
mod take_back;
#[cfg(test)]
mod tests;
mod warnings;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::{Moment, Now};
use crate::conditions::Conditions;
use crate::config::{self, Config, FastPathMode};
use crate::control;
use crate::fastpath::Strangers;
use crate::http;
use crate::kube::going::Going;
use crate::lease::{Journal, Loaded, Table};
use crate::privileges;

use self::claims::Share;
use self::core::Core;
use self::links::Links;
use self::loader::Loader;
pub use self::options::{ConfigSource, RunOptions};
use self::outlets::Outlets;
use self::own_address::OwnAddresses;
pub use self::reload::{Prepared, Reload, prepare_config};

/// New configurations that may wait for the core.
const RELOADS: usize = 1;

/// How long the loader's first word is waited for, before anybody can ask how things stand. Clients
/// are answered meanwhile.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// Runs the agent until a signal ends it. The log is started once it is known what is to be logged, which is
/// also told to those who log for us.
pub fn run(options: &RunOptions, start_log: impl FnOnce(config::Log) -> Result<String>) -> Result<()> {
    // First, while there is one thread.
    let (loader, kept) = give_up_privileges(options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (prepared, cluster) = match &options.source {
            ConfigSource::Cluster(source) => {
                let (prepared, begun) = cluster::begin(options, source).await?;
                (prepared, Some(begun))
            }
            _ => (reload::prepare(options)?, None),
        };
        let witness = cluster.as_ref().and_then(cluster::Begun::witness);
        let started = match start_log(prepared.config.log) {
            Ok(directives) => {
                if let Err(fault) = kept {
                    warn!("no privileges are given up: {fault}");
                }
                start(options, (prepared, loader.logging(directives)), cluster).await
            }
            Err(fault) => Err(fault),
        };
        match (started, witness) {
            (Ok(running), _) => running.until_told(options).await,
            (Err(fault), Some(witness)) => {
                witness.start_failed(&fault).await;
                Err(fault)
            }
            (Err(fault), None) => Err(fault),
        }
    })
}

/// An agent that serves.
struct Running {
    name: String,
    signals: Signals,
    core: std::thread::JoinHandle<Result<()>>,
    tasks: JoinSet<()>,
    configs: mpsc::Sender<Reload>,
    stop: CancellationToken,
    going: Going,
}

/// All that can fail of a start.
async fn start(
    options: &RunOptions,
    (prepared, loader): (Prepared, Loader),
    cluster: Option<cluster::Begun>,
) -> Result<Running> {
    // Before anything else is touched: whoever has the lease file is the agent of this name.
    let has_leases = crate::lease::journal_path(&prepared.config.leases.dir, &prepared.config.name).exists();
    let mut leases = open_journal(&prepared.config)?;
    let mut share = None;
    let mut publishing = None;
    if let Some(begun) = &cluster {
        begun.rebuild_leases(&prepared.config, &mut leases)?;
        let (beginning, rest) = begun.begin_claims(&prepared.config, has_leases)?;
        (share, publishing) = (Some(beginning), Some(rest));
    }
    // From here on a signal does not end the agent half-way.
    let signals = Signals::catch()?;
    let name = prepared.config.name.clone();
    let socket = http::Socket::bind(&options.socket(&prepared.config))?;
    let tcp = match prepared.config.http {
        Some(address) => Some(
            tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| format!("http.listen: cannot listen on {address}"))?,
        ),
        None => None,
    };
    let (handle, questions) = control::channel();
    let (outlets, ends) = match &cluster {
        Some(_) => cluster::outlets(),
        None => (Outlets::default(), cluster::Ends::default()),
    };
    let stop = CancellationToken::new();
    let (configs, reloads) = mpsc::channel(RELOADS);
    let loader_status = loader.status();
    let begin = Begin { prepared, loader, leases, share, outlets: outlets.clone() };
    let core = start_core(begin, questions, reloads, stop.clone())?;
    // What is late comes all the same.
    let _late = tokio::time::timeout(FIRST_WORD, loader::has_spoken(loader_status.clone())).await;
    let (conditions, going) = (Conditions::default(), Going::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(loader::tell_when_given_up(loader_status, outlets.notices.clone()));
    if let Some((begun, publishing)) = cluster.zip(publishing) {
        let wires = cluster::Wires {
            core: handle.clone(),
            ends,
            metrics: Arc::clone(&outlets.metrics),
            conditions: conditions.clone(),
            configs: configs.clone(),
            going: going.clone(),
            notices: outlets.notices.clone(),
        };
        begun.follow(&mut tasks, publishing, wires, &stop);
    }
    let source = http::Source { handle, metrics: outlets.metrics, conditions };
    tasks.spawn(http::serve_unix(socket, http::private(source.clone()), stop.clone()));
    if let Some(listener) = tcp {
        tasks.spawn(http::serve_tcp(listener, http::public(source), stop.clone()));
    }
    Ok(Running { name, signals, core, tasks, configs, stop, going })
}

impl Running {
    /// Serves until a signal comes, or the core has ended.
    async fn until_told(self, options: &RunOptions) -> Result<()> {
        let Self { name, signals, core, tasks, configs, stop, going } = self;
        signals.watch(options, &configs, &stop).await;
        stop.cancel();
        let core = tokio::task::spawn_blocking(move || core.join()).await?;
        tasks.join_all().await;
        match core {
            Ok(ended) => ended?,
            Err(_) => anyhow::bail!("the core ended by a fault of its own: please report this"),
        }
        if going.is_known() {
            info!("ClusterAgent {name} is removed: so are the program and what it answers from");
        }
        if options.detach_on_exit || going.is_known() {
            crate::fastpath::detach(&name)?;
        }
        info!("stopped");
        Ok(())
    }
}

/// Does what takes rights that are not needed again, and gives those up: also for the loader, which
/// is told what they showed.
fn give_up_privileges(options: &RunOptions) -> (Loader, io::Result<()>) {
    let loader = Loader::new(Strangers::look());
    // What is wrong with it is said when it is read for good.
    let Ok(config) = options.load() else { return (loader, Ok(())) };
    if config.fast_path.mode != FastPathMode::Off {
        // Also said then.
        let _refused = crate::fastpath::prepare();
    }
    let socket = options.socket(&config);
    let mut files = vec![config.leases.dir.as_path()];
    files.extend(socket.parent());
    if let ConfigSource::File(path) = &options.source {
        files.push(path);
    }
    (loader, privileges::keep_for_agent(&files))
}

/// What the core begins with.
struct Begin {
    prepared: Prepared,
    loader: Loader,
    leases: (Journal, Loaded),
    share: Option<claims::Beginning>,
    outlets: Outlets,
}

/// The thread of the core, once it is ready to serve.
fn start_core(
    begin: Begin,
    questions: mpsc::Receiver<control::Question>,
    reloads: mpsc::Receiver<Reload>,
    stop: CancellationToken,
) -> Result<std::thread::JoinHandle<Result<()>>> {
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("core".into()).spawn(move || {
        // Whatever ends the core ends the agent.
        let _stops = stop.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match take_and_build(begin) {
                Ok(core) => {
                    let _ = ready.send(Ok(()));
                    let (core, ended) = core.run(questions, reloads, stop).await;
                    if let Some(addresses) = core.addresses {
                        addresses.give_back();
                    }
                    Ok(ended?)
                }
                Err(fault) => {
                    let _ = ready.send(Err(fault));
                    Ok(())
                }
            }
        })
    })?;
    started.recv().context("the core ended before it had begun")??;
    Ok(thread)
}

/// The core, on interfaces that have the addresses it answers from.
fn take_and_build(begin: Begin) -> Result<Core> {
    let addresses = OwnAddresses::take(&begin.prepared.config)?;
    match build_core(begin) {
        Ok(mut core) => {
            core.addresses = Some(addresses);
            Ok(core)
        }
        Err(fault) => {
            addresses.give_back();
            Err(fault)
        }
    }
}

/// The lease file, locked, and what it says.
fn open_journal(config: &Config) -> Result<(Journal, Loaded)> {
    let (journal, loaded) = Journal::open(&config.leases.dir, &config.name, Now::read())?;
    for note in &loaded.notes {
        warn!("{}: {note}", journal.path().display());
    }
    Ok((journal, loaded))
}

/// The core, serving.
fn build_core(begin: Begin) -> Result<Core> {
    let Begin { prepared, loader, leases: (journal, mut loaded), share, outlets } = begin;
    let Prepared { config, places } = prepared;
    let fault = loaded.fault.take();
    let mut table = Table::load(&config, loaded);
    let share = share.map(|beginning| Share::begin(beginning, &config, &places, &table, Now::read()));
    if outlets.leases.is_some() {
        table.note_changes();
    }
    let mut core = Core {
        engine: adopt::alone(&config, &places),
        table,
        journal,
        fast: None,
        fast_fault: None,
        loader,
        links: Links::new()?,
        counts: core::Counts::default(),
        outlets,
        leaving: take_back::Leaving::default(),
        releases: release::Releases::default(),
        more: false,
        disk: disk::Disk::default(),
        // A share's answers leave before the next are decided.
        syncer: share.is_none().then(sync::Syncer::start).and_then(Result::ok),
        under_way: None,
        news: follow::News::new()?,
        seen: follow::Seen::default(),
        recycle_after: Moment::NEVER,
        events: Vec::new(),
        quiet: quiet::Quiet::default(),
        unanswered: claims::Unanswered::default(),
        unjudged: other_servers::Unjudged::default(),
        addresses: None,
        share,
        config,
    };
    if let Some(fault) = fault {
        core.disk_failed(&fault);
    }
    core.begin(&places, Now::read())?;
    Ok(core)
}

/// The signals that the agent listens to.
struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// SIGHUP hands the core a new configuration; returns when the agent shall stop.
    async fn watch(self, options: &RunOptions, configs: &mpsc::Sender<Reload>, stop: &CancellationToken) {
        let Self { mut reload, mut terminate, mut interrupt } = self;
        let reloads = async {
            while reload.recv().await.is_some() {
                if let Some(prepared) = prepare_again(options) {
                    // A core that is busy takes it later; a signal to stop is not kept waiting by it.
                    let _ = configs.send(Reload { prepared, answer: None }).await;
                }
            }
            // No more of these can come; the others decide.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
            () = reloads => {}
        }
    }
}

/// The new configuration; none: what is wrong with it has been said.
fn prepare_again(options: &RunOptions) -> Option<Prepared> {
    if matches!(options.source, ConfigSource::Cluster(_)) {
        info!("the ClusterAgent is followed without being asked to: there is nothing to reload");
        return None;
    }
    match reload::prepare(options) {
        Ok(prepared) => {
            info!("reloading");
            Some(prepared)
        }
        Err(fault) => {
            for line in format!("{fault:#}").lines() {
                error!("{line}");
            }
            error!("the configuration stays as it was");
            None
        }
    }
}

/// A MAC as people write it.
fn mac_text(mac: [u8; 6]) -> String {
    crate::report::Mac(mac).to_string()
}
