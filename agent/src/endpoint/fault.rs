//! Why an endpoint could not be read, as its operator is told.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use rustls::CertificateError;

/// Why an endpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// There is no TCP connection.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// There is none yet.
    #[error("cannot connect: no answer within {0:?}")]
    ConnectTime(Duration),
    /// The handshake failed.
    #[error("TLS: {}", tls_text(.0))]
    Tls(#[source] io::Error),
    /// Our own TLS configuration cannot be used.
    #[error("TLS: {0}")]
    Setup(#[source] rustls::Error),
    /// It does not speak HTTP, or closed the connection.
    #[error("HTTP: {}", with_causes(.0))]
    Http(#[source] hyper::Error),
    /// What was to be sent makes no request.
    #[error("HTTP: {0}")]
    Request(#[source] hyper::http::Error),
    /// The body could not be read, or is too large.
    #[error("{path}: the body: {}", with_causes(.source.as_ref()))]
    Body {
        /// What was asked for.
        path: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It wants a login, or another one.
    #[error("{path}: HTTP 401: {}", login_text(*.login))]
    Unauthorized {
        /// What was asked for.
        path: String,
        /// Whether a username was sent.
        login: bool,
    },
    /// It wants us to ask elsewhere.
    #[error("{path}: redirects to {location}, which is not followed{}", redirect_hint(location))]
    Redirect {
        /// What was asked for.
        path: String,
        /// Where it points to.
        location: String,
    },
    /// It answers with an error.
    #[error("{path}: HTTP {}", .status.as_u16())]
    Status {
        /// What was asked for.
        path: String,
        /// The answer.
        status: StatusCode,
    },
    /// It answers with something else.
    #[error("{path}: {problem}")]
    NotRedfish {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

fn login_text(login: bool) -> &'static str {
    if login {
        "the Secret's username or password is refused"
    } else {
        "it asks for a username and password, and there are none in a Secret"
    }
}

fn redirect_hint(location: &str) -> &'static str {
    if location.starts_with("https:") { "; should https be true?" } else { "" }
}

/// What a failed handshake means, where that is known.
fn tls_text(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => "it speaks something else; should https be false?".into(),
        // The signature is bad when another authority has the same name.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its certificate is not signed by the Secret's ca.crt".into(),
        _ => with_causes(error),
    }
}

/// An error and what caused it, each said once.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
