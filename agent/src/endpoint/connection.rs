//! One endpoint's connection: TCP, TLS, and GETs one after the other, each within bounds.
//!
//! A connection is used again as long as the endpoint keeps it open, for a TLS handshake costs a BMC's small
//! processor up to a second. It ends with the value: nothing runs beside it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use super::{Credentials, Limits, Target, trust};

/// The most bytes of an answer's head.
const HEAD_BYTES: usize = 16 << 10;

/// An answer: its status, where it redirects to, and its whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

/// An endpoint that is asked one thing after the other.
pub(super) struct Connection<'a> {
    target: &'a Target,
    limits: &'a Limits,
    open: Option<Open>,
}

/// A connection that is open, as far as we know.
struct Open {
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes; ends when the endpoint closes the connection.
    driver: Fuse<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<'a> Connection<'a> {
    /// Connects when it is first asked.
    pub(super) fn new(target: &'a Target, limits: &'a Limits) -> Self {
        Self { target, limits, open: None }
    }

    /// Whether a username and password are sent along.
    pub(super) fn has_login(&self) -> bool {
        self.credentials().is_some_and(Credentials::has_login)
    }

    /// The endpoint's own URL, without a path.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.target.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// The answer to a GET.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, Fault> {
        if let Some(mut open) = self.open.take() {
            match open.get(self.request(path)?, path, self.limits.body).await {
                // Closed since the last answer: nothing is wrong with that.
                Err(Fault::Http(_)) => {}
                other => return self.keep(open, other),
            }
        }
        let mut open = self.connect().await?;
        let answer = open.get(self.request(path)?, path, self.limits.body).await;
        self.keep(open, answer)
    }

    /// Keeps the connection for the next GET, unless this one has left it in the middle of an answer.
    fn keep(&mut self, open: Open, answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
        if answer.is_ok() {
            self.open = Some(open);
        }
        answer
    }

    fn credentials(&self) -> Option<&Credentials> {
        self.target.credentials.as_deref()
    }

    fn authority(&self) -> String {
        match (self.target.https, self.target.port) {
            (true, 443) | (false, 80) => self.target.ip.to_string(),
            (_, port) => format!("{}:{port}", self.target.ip),
        }
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, Fault> {
        let mut request = Request::get(path)
            .header(HOST, self.authority())
            .header(USER_AGENT, concat!("xdhcpd/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .header("OData-Version", "4.0")
            .body(Empty::new())
            .map_err(Fault::Request)?;
        if let Some(login) = self.credentials().and_then(Credentials::basic) {
            request.headers_mut().insert(AUTHORIZATION, login.clone());
        }
        Ok(request)
    }

    async fn connect(&mut self) -> Result<Open, Fault> {
        let wait = self.limits.connect;
        let stream = timeout(wait, TcpStream::connect((self.target.ip, self.target.port))).await;
        let stream = stream.map_err(|_| Fault::ConnectTime(wait))?.map_err(Fault::Connect)?;
        if !self.target.https {
            return Open::on(stream).await;
        }
        let config = match self.credentials() {
            Some(credentials) => Arc::clone(credentials.tls()),
            None => trust::nobody().map_err(Fault::Setup)?,
        };
        let name = ServerName::IpAddress(IpAddr::V4(self.target.ip).into());
        let stream = TlsConnector::from(config).connect(name, stream).await;
        Open::on(stream.map_err(Fault::Tls)?).await
    }
}

impl Open {
    async fn on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, Fault> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Fault::Http)?;
        // Its error comes with the answer that it cut short.
        let driver: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(connection.map(drop));
        Ok(Self { sender, driver: driver.fuse() })
    }

    async fn get(
        &mut self,
        request: Request<Empty<Bytes>>,
        path: &str,
        most: usize,
    ) -> Result<Answer, Fault> {
        let Self { sender, driver } = self;
        let mut exchange = pin!(async {
            sender.ready().await.map_err(Fault::Http)?;
            let response = sender.send_request(request).await.map_err(Fault::Http)?;
            whole(response, path, most).await
        });
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // Closed, and what came before may still have to be read.
            () = driver => exchange.await,
        }
    }
}

/// The answer with its body.
async fn whole(response: Response<Incoming>, path: &str, most: usize) -> Result<Answer, Fault> {
    let (head, body) = response.into_parts();
    let location = head.headers.get(LOCATION).map(HeaderValue::as_bytes);
    let location = location.map(|location| String::from_utf8_lossy(location).into_owned());
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|source| Fault::Body { path: path.to_owned(), source })?.to_bytes();
    Ok(Answer { status: head.status, location, body })
}
