//! The loader, as the agent sees it: wanted with a fast path, stopped without one, and asked for
//! nothing but its word on how things stand.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::error;

use crate::config::Config;
use crate::fastpath::{InterfaceStatus, Strangers};
use crate::loader::{Order, Report};
use crate::notices::{Notice, Notices, What};
use crate::report::{LoaderReport, LoaderState};
use crate::supervise::{Child, Job, Limits, Rule, Spec, State, Status};

use super::core::Core;

/// What it means that the loader is given up.
const GAVE_UP: &str = "loader: it ended too often in a row, and is not started again before the agent is or \
                       its configuration changes; the XDP program is not looked after";

/// How often its word is looked for, by a thread that waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The loader's process, if one is wanted.
#[derive(Debug, Default)]
pub struct Loader {
    child: Option<Child>,
    status: watch::Sender<Status>,
    strangers: Strangers,
    log: String,
}

impl Loader {
    /// No process yet. It will know these programs of others.
    pub fn new(strangers: Strangers) -> Self {
        Self { strangers, ..Self::default() }
    }

    /// What it shall log once it is started, as `RUST_LOG` says it.
    #[must_use]
    pub fn logging(self, directives: String) -> Self {
        Self { log: directives, ..self }
    }

    /// How it is doing, to be watched.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Has the program loaded and attached as a configuration says.
    pub(super) fn want(&mut self, config: &Config) {
        match self.job(config).and_then(|job| Ok((self.child()?, job))) {
            Ok((child, job)) => child.want(Some(job)),
            Err(fault) => error!("the loader cannot be started: {fault}; the agent answers alone"),
        }
    }

    /// Waits until it has said how things stand, or will not before long; the thread does nothing else
    /// meanwhile.
    pub(super) fn wait_for_its_word(&self, within: Duration) {
        let begun = Instant::now();
        while is_awaited(&self.status.borrow()) && begun.elapsed() < within {
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Ends the process, and waits for that; its program stays where it is.
    pub(super) fn stop(&mut self) {
        self.child = None;
    }

    fn child(&mut self) -> io::Result<&Child> {
        if self.child.is_none() {
            let arguments = ["loader".into(), "--log-filter".into(), self.log.clone().into()];
            self.child = Some(Child::new(Spec::own("loader", arguments), self.status.clone())?);
        }
        self.child.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn job(&self, config: &Config) -> io::Result<Job> {
        let order = Order {
            name: config.name.clone(),
            log: config.fast_path.log,
            mode: config.fast_path.mode,
            interfaces: interfaces(config),
            strangers: self.strangers.clone(),
        };
        let loader = config.loader;
        Ok(Job {
            order: serde_json::to_string(&order)?,
            rule: Rule {
                min_interval: loader.min_interval,
                window: loader.window,
                max_failures: loader.max_failures,
            },
            limits: Limits { cpu: loader.cpu, memory: loader.memory },
        })
    }

    /// Its last word since its last start.
    fn said(&self) -> Option<Report> {
        serde_json::from_str(self.status.borrow().said.as_deref()?).ok()
    }
}

/// Returns once the loader has said how things stand, or will not before long.
pub async fn has_spoken(mut status: watch::Receiver<Status>) {
    // Who could tell is gone: nothing is to be waited for.
    let _ended = status.wait_for(|status| !is_awaited(status)).await;
}

/// Whether its word is still to come.
fn is_awaited(status: &Status) -> bool {
    status.state == State::Running && status.said.is_none()
}

/// Tells those who watch a cluster when the loader is given up, as long as there is a core.
pub async fn tell_when_given_up(mut status: watch::Receiver<Status>, notices: Notices) {
    while status.wait_for(|status| status.state == State::Fatal).await.is_ok() {
        notices.tell(Notice { what: What::LoaderGaveUp, text: GAVE_UP.to_owned() });
        if status.wait_for(|status| status.state != State::Fatal).await.is_err() {
            return;
        }
    }
}

/// The interfaces of a configuration, each once.
fn interfaces(config: &Config) -> Vec<String> {
    let names = config.networks.iter().map(|network| network.interface.clone());
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

impl Core {
    /// Where the program is, by the kernel's own word, and why it is not elsewhere, by the loader's.
    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        if self.fast.is_none() && self.fast_fault.is_none() {
            return Vec::new();
        }
        let said = self.loader.said();
        let why = |name: &str| match &said {
            _ if self.fast.is_none() => self.fast_fault.clone().unwrap_or_default(),
            Some(Report::Failed(why)) => why.clone(),
            Some(Report::Loaded { problems }) if problems.contains_key(name) => {
                problems.get(name).cloned().unwrap_or_default()
            }
            _ => "the XDP program is not attached yet".to_owned(),
        };
        let status = |name: String| {
            let mode = self.fast.as_ref().and_then(|fast| fast.mode(&name));
            let problem = mode.is_none().then(|| why(&name));
            InterfaceStatus { attached: mode.is_some(), mode: mode.unwrap_or("off"), problem, name }
        };
        interfaces(&self.config).into_iter().map(status).collect()
    }

    /// What `stats` says of the loader.
    pub(super) fn loader_report(&self) -> LoaderReport {
        let status = self.loader.status.borrow();
        let state = match status.state {
            // There is nothing to be loaded, though there should be.
            State::Stopped if self.fast_fault.is_some() => LoaderState::Fatal,
            State::Stopped => LoaderState::Stopped,
            State::Running => LoaderState::Running,
            State::Killed => LoaderState::Killed,
            State::Fatal => LoaderState::Fatal,
        };
        LoaderReport { state, restarts: status.restarts }
    }

    /// What health says of the loader, where that is not well.
    pub(super) fn loader_problem(&self) -> Option<String> {
        match self.loader.status.borrow().state {
            State::Running | State::Stopped => None,
            State::Killed => Some("loader: it was killed, and is started again".to_owned()),
            State::Fatal => Some(GAVE_UP.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn each_time_it_is_given_up_those_who_watch_are_told_once() {
        let loader = Loader::default();
        let (sender, mut told) = mpsc::channel(9);
        let telling = tokio::spawn(tell_when_given_up(loader.status(), Notices::to(sender)));
        for _ in 0..2 {
            loader.status.send_modify(|status| status.state = State::Fatal);
            assert_eq!(told.recv().await.unwrap().what, What::LoaderGaveUp);
            loader.status.send_modify(|status| status.restarts += 1);
            loader.status.send_modify(|status| status.state = State::Running);
            tokio::task::yield_now().await;
        }
        drop(loader);
        telling.await.unwrap();
        assert!(told.recv().await.is_none(), "no more than that");
    }
}
