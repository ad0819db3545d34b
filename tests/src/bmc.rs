//! A BMC: a small Redfish service in a namespace, over HTTP or HTTPS.
//!
//! Over HTTPS it lets in only those who show a certificate of its [`Authority`]. As Redfish has it, the
//! service root is open to all, and what lies below may want a login ([`Bmc::demand_login`]).

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use socket2::SockRef;

use crate::netns::NetNs;
use crate::wait;

/// The most bytes of a request's head.
const MAX_HEAD: u64 = 16 << 10;

/// A running BMC; it stops when dropped. One connection is served at a time, with one answer.
#[derive(Debug)]
pub struct Bmc {
    listener: Arc<TcpListener>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What it answers, and to whom.
#[derive(Debug)]
struct State {
    requests: AtomicU64,
    says: Mutex<Says>,
}

#[derive(Debug)]
struct Says {
    /// The Authorization header that is wanted below the root.
    login: Option<String>,
    power: String,
}

impl Bmc {
    /// Listens in `namespace`, with TLS if there is an authority to be trusted.
    pub fn start(namespace: &NetNs, at: SocketAddrV4, authority: Option<&Authority>) -> Result<Self> {
        let tls = authority.map(|authority| authority.server(at)).transpose()?;
        let listener = namespace.inside(|| TcpListener::bind(at))?;
        let listener = Arc::new(listener.with_context(|| format!("listening on {at}"))?);
        let says = Mutex::new(Says { login: None, power: "On".to_owned() });
        let state = Arc::new(State { requests: AtomicU64::new(0), says });
        let (accepting, answering) = (Arc::clone(&listener), Arc::clone(&state));
        let thread = std::thread::Builder::new().name(format!("bmc-{at}")).spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                // A client that goes away, or fails the handshake, is served no further; that is all.
                let _ = answering.serve(stream, tls.as_ref());
            }
        })?;
        Ok(Self { listener, state, thread: Some(thread) })
    }

    /// From now on wants this login below the service root.
    pub fn demand_login(&self, username: &str, password: &str) {
        let login = format!("Basic {}", BASE64.encode(format!("{username}:{password}")));
        self.state.says().login = Some(login);
    }

    /// Changes the power state that its system tells of.
    pub fn set_power(&self, power: &str) {
        power.clone_into(&mut self.state.says().power);
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        // On Linux this makes a thread in accept come back with an error.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<()> {
        stream.set_read_timeout(Some(wait::SOON))?;
        stream.set_write_timeout(Some(wait::SOON))?;
        match tls {
            None => self.answer(stream)?,
            Some(config) => {
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, stream);
                self.answer(&mut stream)?;
                stream.conn.send_close_notify();
                stream.flush()?;
            }
        }
        Ok(())
    }

    fn answer(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let head = BufReader::new((&mut stream).take(MAX_HEAD));
        let head: Vec<String> = head
            .lines()
            .take_while(|line| !line.as_ref().is_ok_and(String::is_empty))
            .collect::<Result<_, _>>()?;
        let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let login = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then_some(value)
        });
        let (status, body) = self.resource(path, login);
        let body = body.to_string();
        let length = body.len();
        // Counted before it is sent: who has the answer finds it counted.
        self.requests.fetch_add(1, Ordering::Relaxed);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )?;
        stream.flush()
    }

    fn resource(&self, path: &str, login: Option<&str>) -> (&'static str, Value) {
        let says = self.says();
        if path != "/redfish/v1/" && says.login.as_deref().is_some_and(|wanted| login != Some(wanted)) {
            return ("401 Unauthorized", json!({}));
        }
        let members = |path: &str| json!({"Members": [{"@odata.id": path}], "Members@odata.count": 1});
        let body = match path {
            "/redfish/v1/" => json!({
                "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot", "Id": "RootService", "Name": "Root Service",
                "RedfishVersion": "1.6.0", "UUID": "92384634-2938-2342-8820-489239905423",
                "Systems": {"@odata.id": "/redfish/v1/Systems"},
                "Managers": {"@odata.id": "/redfish/v1/Managers"},
            }),
            "/redfish/v1/Systems" => members("/redfish/v1/Systems/1"),
            "/redfish/v1/Systems/1" => json!({
                "Manufacturer": "Example", "Model": "Board 9", "SerialNumber": "S-77",
                "PowerState": says.power, "Status": {"Health": "OK"},
            }),
            "/redfish/v1/Managers" => members("/redfish/v1/Managers/bmc"),
            "/redfish/v1/Managers/bmc" => json!({"FirmwareVersion": "9.9"}),
            _ => return ("404 Not Found", json!({})),
        };
        ("200 OK", body)
    }
}

/// Who signs the certificates of BMCs and of those who may talk to them.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The data of a Secret for one who may talk to its BMCs: `tls.crt`, `tls.key` and `ca.crt`.
    pub fn secret(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(Vec::new())?.signed_by(&key, &self.issuer)?;
        let data =
            [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem()), ("ca.crt", self.issuer.pem())];
        Ok(data.into_iter().map(|(key, text)| (key.to_owned(), text.into_bytes())).collect())
    }

    /// The server's side of TLS at an address.
    fn server(&self, at: SocketAddrV4) -> Result<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(*at.ip()))];
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        Ok(Arc::new(config))
    }
}
