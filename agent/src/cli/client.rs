//! Asks the agent over its unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::http::ErrorBody;

/// How long the agent may take to begin its answer: longer than it waits for its own run loop.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// How long the whole answer may take; a million leases take some seconds.
const BODY_TIME: Duration = Duration::from_mins(2);

/// The most bytes of an answer: more than all the leases that one agent can have.
const BODY_BYTES: usize = 4 << 30;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the agent is not running: nothing listens at {}", socket.display())]
    NotRunning {
        /// Where it would listen.
        socket: PathBuf,
    },
    /// The socket may not be used.
    #[error("{}: only root may ask the agent", socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
    },
    /// The agent said no.
    #[error("{error}")]
    Refused {
        /// What the agent said.
        error: String,
    },
    /// Talking to it went wrong.
    #[error("{}: {source}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// How it went wrong.
        source: anyhow::Error,
    },
}

/// Asks the agent that listens at one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Asks at this socket.
    pub const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it asks.
    #[cfg(test)]
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Whether anybody listens.
    pub async fn is_running(&self) -> Result<bool, ClientError> {
        match self.connect().await {
            Ok(_) => Ok(true),
            Err(ClientError::NotRunning { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is at a path.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        match self.ask(Method::GET, path, Bytes::new()).await {
            // It ended while it was asked.
            Err(ClientError::Broken { .. }) if matches!(self.is_running().await, Ok(false)) => {
                Err(ClientError::NotRunning { socket: self.socket.clone() })
            }
            answer => answer,
        }
    }

    /// Sends something to a path.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let stream = self.connect().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "xdhcpd")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.broken(error))?;
        let (status, body) = match timeout(BODY_TIME, exchange(stream, request)).await {
            Ok(answer) => answer.map_err(|error| self.broken(error))?,
            Err(late) => return Err(self.broken(late)),
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.broken(error));
        }
        let said = serde_json::from_slice::<ErrorBody>(&body);
        Err(ClientError::Refused { error: said.map_or_else(|_| status.to_string(), |body| body.error) })
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = || self.socket.clone();
        UnixStream::connect(&self.socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { socket: socket() }
            }
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { socket: socket() },
            _ => self.broken(error),
        })
    }

    fn broken(&self, source: impl Into<anyhow::Error>) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), source: source.into() }
    }
}

/// Sends one request and reads its answer to the end.
async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = timeout(ANSWER_TIME, sender.send_request(request)).await??;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES).collect().await;
        anyhow::Ok((status, body.map_err(|error| anyhow::anyhow!(error))?.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = answer.as_mut() => answer,
        // The connection may end before the last of the answer is taken.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

/// Text as it may stand in a query.
pub fn query_value(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
