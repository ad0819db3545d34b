//! A cluster that somebody else runs: a forwarder in our namespace that leads to it.
//!
//! A test's namespace has no way out. The forwarder listens in there, and connects from where the
//! test's process is; TLS passes through it, so who answers is verified as ever.

use std::ffi::OsString;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use socket2::SockRef;

use super::api::Access;
use super::{API_ADDRESS, API_PORT};
use crate::netns::{self, succeed};

/// The variable that names an existing cluster, as kubectl takes it.
const KUBECONFIG: &str = "KUBECONFIG";

/// The existing cluster that tests are to take, if there is one.
pub fn kubeconfig() -> Option<OsString> {
    std::env::var_os(KUBECONFIG).filter(|path| !path.is_empty())
}

/// The way to a cluster.
#[derive(Debug)]
pub struct Elsewhere {
    /// Host and port of its API server.
    server: String,
    home: String,
    forwarder: Option<Forwarder>,
}

impl Elsewhere {
    /// Opens the way from the namespace `home`; gives what a kubeconfig needs that
    /// leads through it, too.
    pub fn start(kubectl: &Path, kubeconfig: &OsString, home: &str) -> Result<(Self, Access)> {
        let mut view = Command::new(kubectl);
        view.args(["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
        let output = succeed(view.env(KUBECONFIG, kubeconfig))?;
        let config: Value = serde_json::from_slice(&output.stdout)?;
        let mut cluster = config["clusters"][0]["cluster"].clone();
        let url = cluster["server"].as_str().context("KUBECONFIG names no server")?.to_owned();
        let server = Server::parse(&url).with_context(|| format!("KUBECONFIG's server {url} is no URL"))?;
        cluster["server"] = json!(format!("https://{API_ADDRESS}:{API_PORT}{}", server.path));
        if cluster["tls-server-name"].is_null() {
            cluster["tls-server-name"] = json!(server.host);
        }
        let mut elsewhere = Self {
            server: format!("{}:{}", server.host_in_url, server.port),
            home: home.to_owned(),
            forwarder: None,
        };
        elsewhere.listen()?;
        Ok((elsewhere, Access { cluster, user: config["users"][0]["user"].clone() }))
    }

    /// Opens the way again.
    pub fn listen(&mut self) -> Result<()> {
        let listener = netns::inside(&self.home, || TcpListener::bind((API_ADDRESS, API_PORT)))??;
        self.forwarder = Some(Forwarder::start(listener, self.server.clone()));
        Ok(())
    }

    /// Closes it: nobody listens, and what was connected is cut.
    pub fn stop(&mut self) {
        self.forwarder = None;
    }
}

/// The parts of an API server's URL.
#[derive(Debug, PartialEq, Eq)]
struct Server<'u> {
    host: &'u str,
    /// An IPv6 address is in brackets here.
    host_in_url: &'u str,
    port: &'u str,
    path: &'u str,
}

impl<'u> Server<'u> {
    fn parse(url: &'u str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host_in_url, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, "443"),
        };
        let host = host_in_url.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then_some(Self { host, host_in_url, port, path: path.trim_end_matches('/') })
    }
}

/// Copies bytes both ways between those who connect here and a server.
#[derive(Debug)]
pub(super) struct Forwarder {
    listener: Arc<TcpListener>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts in the namespace of the thread that calls; `server` is its host and port.
    pub(super) fn start(listener: TcpListener, server: String) -> Self {
        let listener = Arc::new(listener);
        let open = Arc::new(Mutex::new(Vec::new()));
        let (accepting, opened) = (Arc::clone(&listener), Arc::clone(&open));
        let thread = thread::spawn(move || {
            // Ends when the listener is shut down.
            while let Ok((near, _)) = accepting.accept() {
                // Who cannot be forwarded sees a connection that closes.
                let _ = forward(near, &server, &opened);
            }
        });
        Self { listener, open, thread: Some(thread) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(near: TcpStream, server: &str, open: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let far = TcpStream::connect(server)?;
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far.try_clone()?, near.try_clone()?)] {
        thread::spawn(move || {
            let _ = io::copy(&mut &from, &mut &to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    open.lock().unwrap_or_else(PoisonError::into_inner).extend([near, far]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_servers_url_has_a_host_a_port_and_a_path() {
        let parts = |url| {
            Server::parse(url).map(|server| (server.host, server.host_in_url, server.port, server.path))
        };
        assert_eq!(parts("https://127.0.0.1:34567"), Some(("127.0.0.1", "127.0.0.1", "34567", "")));
        assert_eq!(
            parts("https://kube.example.org/"),
            Some(("kube.example.org", "kube.example.org", "443", ""))
        );
        assert_eq!(parts("https://r/k8s/c-1"), Some(("r", "r", "443", "/k8s/c-1")));
        assert_eq!(parts("https://[fd00::1]:6443"), Some(("fd00::1", "[fd00::1]", "6443", "")));
        assert_eq!(parts("https://[fd00::1]"), Some(("fd00::1", "[fd00::1]", "443", "")));
        assert_eq!(parts("http://a"), None);
        assert_eq!(parts("https://"), None);
    }

    #[test]
    fn a_forwarder_leads_to_the_server_until_it_is_dropped() -> Result<()> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let here = listener.local_addr()?;
        let forwarder = Forwarder::start(listener, server.local_addr()?.to_string());
        let mut near = TcpStream::connect(here)?;
        let (mut far, _) = server.accept()?;
        let mut bytes = [0; 4];
        near.write_all(b"ping")?;
        far.read_exact(&mut bytes)?;
        assert_eq!(&bytes, b"ping");
        far.write_all(b"pong")?;
        near.read_exact(&mut bytes)?;
        assert_eq!(&bytes, b"pong");
        drop(forwarder);
        assert_eq!(near.read(&mut bytes)?, 0, "what was connected is cut");
        assert!(TcpStream::connect(here).is_err(), "nobody listens");
        Ok(())
    }
}
