//! Accepts connections and serves them, within bounds: how many there are, how long a head may
//! take and how large it may be, and how long a connection lives.
//!
//! A stranger can cost us no more than these: the run loop and the packets never wait for HTTP.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::socket::Socket;

/// Connections of one listener at a time; the next waits in the listener's backlog.
const CONNECTIONS: usize = 64;

/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

/// After so long a connection gets no further request, so that a client that stops reading does not
/// hold its place for ever.
const LIFE: Duration = Duration::from_mins(5);

/// How long the last answer of a connection may take, and the answers under way when we stop.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// How long to wait after a failed accept: it fails for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
trait Connections: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Connections for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Connections for Socket {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

/// Serves over TCP until `stop`.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve(listener, router, stop).await;
}

/// Serves over a unix socket until `stop`; then its file is gone.
pub async fn serve_unix(socket: Socket, router: Router, stop: CancellationToken) {
    serve(socket, router, stop).await;
}

async fn serve(listener: impl Connections, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(next) = stop.run_until_cancelled(next(&listener, &places)).await {
        match next {
            Some((stream, place)) => {
                let connection = connection(stream, router.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            None => sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
    // What comes from now on is refused, while the last answers are still sent.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it; none: accepting failed.
async fn next<L: Connections>(
    listener: &L,
    places: &Arc<Semaphore>,
) -> Option<(L::Stream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.next().await {
        Ok(stream) => Some((stream, place)),
        Err(error) => {
            warn!(%error, "cannot accept an HTTP connection");
            None
        }
    }
}

/// Serves one connection to its end, or to the end of its life, or until we stop.
fn connection<S>(stream: S, router: Router, stop: CancellationToken) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    async move {
        let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            result = served.as_mut() => Some(result),
            () = stop.cancelled() => None,
            () = sleep(LIFE) => None,
        };
        let result = if let Some(result) = ended {
            result
        } else {
            served.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, served).await.unwrap_or(Ok(()))
        };
        if let Err(error) = result {
            debug!(%error, "an HTTP connection ended early");
        }
    }
}
