//! Who serves a cluster's API: servers of ours, or a cluster that was there before us.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::elsewhere::{self, Elsewhere};
use super::parts;
use super::servers::Servers;

/// The API's servers.
#[derive(Debug)]
pub enum Api {
    /// Processes of ours.
    Own(Box<Servers>),
    /// The cluster that `KUBECONFIG` names.
    Elsewhere(Elsewhere),
}

/// The `cluster` and the `user` of an administrator's kubeconfig.
#[derive(Debug)]
pub struct Access {
    /// Where the API is, and whose certificates to believe.
    pub cluster: Value,
    /// What proves who is asking.
    pub user: Value,
}

impl Api {
    /// Makes the API answer in the namespace of this name, in a while; files go to `folder`.
    pub fn start(
        kubectl: &Path,
        home: &str,
        folder: &Path,
        api_arguments: &[&str],
    ) -> Result<(Self, Access)> {
        let Some(kubeconfig) = elsewhere::kubeconfig() else {
            let programs = parts::servers().map_err(|missing| anyhow!(missing))?;
            let servers = Servers::start(programs, home, folder, api_arguments)?;
            let access = servers.access();
            return Ok((Self::Own(Box::new(servers)), access));
        };
        if !api_arguments.is_empty() {
            bail!("the API server of KUBECONFIG takes no arguments from us");
        }
        let (forwarder, access) = Elsewhere::start(kubectl, &kubeconfig, home)?;
        Ok((Self::Elsewhere(forwarder), access))
    }

    /// Makes it answer again after [`Api::stop`], in a while.
    pub fn start_again(&mut self) -> Result<()> {
        match self {
            Self::Own(servers) => servers.start_api(),
            Self::Elsewhere(forwarder) => forwarder.listen(),
        }
    }

    /// Ends it on the spot.
    pub fn stop(&mut self) {
        match self {
            Self::Own(servers) => servers.stop_api(),
            Self::Elsewhere(forwarder) => forwarder.stop(),
        }
    }

    /// Sends the API server a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match self {
            Self::Own(servers) => servers.signal_api(signal),
            Self::Elsewhere(_) => bail!("the API server of KUBECONFIG is not ours to signal"),
        }
    }

    /// Sees to it that there are controllers; a cluster that was there has them.
    pub fn start_controllers(&mut self, kubeconfig: &Path) -> Result<()> {
        match self {
            Self::Own(servers) => servers.start_controllers(kubeconfig),
            Self::Elsewhere(_) => Ok(()),
        }
    }

    /// Sees to it that there is a scheduler.
    pub fn start_scheduler(&mut self, program: &Path, kubeconfig: &Path) -> Result<()> {
        match self {
            Self::Own(servers) => servers.start_scheduler(program, kubeconfig),
            Self::Elsewhere(_) => Ok(()),
        }
    }

    /// An error when a server of ours has ended.
    pub fn check(&mut self) -> Result<()> {
        match self {
            Self::Own(servers) => servers.check(),
            Self::Elsewhere(_) => Ok(()),
        }
    }

    /// What there is to know when it does not answer.
    pub fn last_words(&self) -> String {
        match self {
            Self::Own(servers) => servers.last_words(),
            Self::Elsewhere(_) => "it is the cluster that KUBECONFIG names".into(),
        }
    }
}
