//! A server in an endpoint's place. It speaks just enough HTTP to misuse it: an answer is bytes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a path is answered with.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// These bytes, and the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and the connection is closed.
    Close(Vec<u8>),
    /// These bytes first, then the same again and again.
    Repeat(Vec<u8>, Vec<u8>),
    /// A byte of it now and then.
    Drip(Vec<u8>),
}

/// How long a slow endpoint thinks about each byte.
const DRIP: Duration = Duration::from_millis(20);

/// A running server; it ends with this value.
pub(super) struct StandIn {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl StandIn {
    /// Answers these paths, and all others with 404.
    pub(super) async fn http(replies: BTreeMap<String, Reply>) -> Self {
        Self::start(listener().await, replies, None)
    }

    /// The same on a listener whose port is known before.
    pub(super) fn http_on(listener: TcpListener, replies: BTreeMap<String, Reply>) -> Self {
        Self::start(listener, replies, None)
    }

    /// The same over TLS.
    pub(super) async fn https(replies: BTreeMap<String, Reply>, config: Arc<ServerConfig>) -> Self {
        Self::start(listener().await, replies, Some(TlsAcceptor::from(config)))
    }

    fn start(listener: TcpListener, replies: BTreeMap<String, Reply>, tls: Option<TlsAcceptor>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, tls, Arc::new(replies), Arc::clone(&heads), Arc::clone(&connections)));
        Self { port, heads, connections, _task: task }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The paths that were asked for.
    pub(super) fn paths(&self) -> Vec<String> {
        self.heads().iter().map(|head| path(head).to_owned()).collect()
    }
}

/// A port of the loopback that is listened on.
pub(super) async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    replies: Arc<BTreeMap<String, Reply>>,
    heads: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        count.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&replies), Arc::clone(&heads)));
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    replies: Arc<BTreeMap<String, Reply>>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    // Whatever the other side does to the connection is its own business.
    let _ = match tls {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => answer(stream, &replies, &heads).await,
            Err(error) => Err(error),
        },
        None => answer(stream, &replies, &heads).await,
    };
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    replies: &BTreeMap<String, Reply>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let reply = replies.get(path(&head)).cloned().unwrap_or_else(|| status("404 Not Found", ""));
        heads.lock().unwrap().push(head);
        match reply {
            Reply::Keep(bytes) => stream.write_all(&bytes).await?,
            Reply::Close(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Reply::Repeat(first, more) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&more).await?;
                }
            }
            Reply::Drip(bytes) => {
                for byte in bytes {
                    stream.write_u8(byte).await?;
                    stream.flush().await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
        }
        stream.flush().await?;
    }
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// An answer with a JSON body.
pub(super) fn json(body: &Value) -> Reply {
    Reply::Keep(ok(&body.to_string()))
}

/// An answer with this body, as bytes.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An answer without a body; the headers end their lines themselves.
pub(super) fn status(status: &str, headers: &str) -> Reply {
    Reply::Keep(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n").into_bytes())
}

/// A BMC with one system and one manager.
pub(super) fn bmc() -> BTreeMap<String, Reply> {
    use serde_json::json as value;
    let members = |path: &str| value!({"Members": [{"@odata.id": path}]});
    let replies = [
        (
            "/redfish/v1/",
            value!({
                "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot", "RedfishVersion": "1.6.0",
                "Vendor": "Acme", "Product": "Board Keeper", "Name": "Root Service",
                "UUID": "92384634-2938-2342-8820-489239905423",
                "Systems": {"@odata.id": "/redfish/v1/Systems"},
                "Managers": {"@odata.id": "/redfish/v1/Managers"},
            }),
        ),
        ("/redfish/v1/Systems", members("/redfish/v1/Systems/1")),
        (
            "/redfish/v1/Systems/1",
            value!({
                "Manufacturer": "Acme", "Model": "A9", "SerialNumber": "S-77", "PowerState": "On",
                "BiosVersion": "2.1", "HostName": "node5", "Status": {"Health": "OK", "State": "Enabled"},
                "OperatingSystem": {"@odata.id": "/redfish/v1/Systems/1/OperatingSystem"},
            }),
        ),
        (
            "/redfish/v1/Systems/1/OperatingSystem",
            value!({"Type": "Linux", "Kernel": {"Name": "Linux", "Release": "6.12.1"}}),
        ),
        ("/redfish/v1/Managers", members("/redfish/v1/Managers/bmc")),
        ("/redfish/v1/Managers/bmc", value!({"FirmwareVersion": "9.9"})),
    ];
    replies.iter().map(|(path, body)| ((*path).to_owned(), json(body))).collect()
}
