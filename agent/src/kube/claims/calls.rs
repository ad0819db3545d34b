//! One request to the API server and its answer, with the date that the server wrote on it.
//!
//! Never tried again here: what a request means depends on when it was sent.

use std::fmt;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::DATE;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::timeout;

use crate::claims::{At, Bounds, Clock, judge};
use crate::kube::client::{REQUEST, told};

/// Reads the clock of the claims.
pub type Watch = Arc<dyn Fn() -> At + Send + Sync>;

/// What asks.
#[derive(Clone)]
pub struct Calls {
    /// The way to the API server.
    pub client: Client,
    /// Our clock.
    pub now: Watch,
    /// What is assumed of clocks.
    pub bounds: Bounds,
}

/// What an answer's date says of our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The verdict.
    pub clock: Clock,
    /// By how many milliseconds our clock is ahead of the server's, by and large.
    pub ahead: i64,
}

/// Why a request gave nothing.
#[derive(Debug)]
pub enum Fault {
    /// The server said no, and why.
    Refused(u16, String),
    /// Nobody knows whether it was carried out; or nobody can say so now.
    Away(String),
    /// The answer says what its type has no place for; or what is there is nothing that an agent writes.
    Nonsense(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code, why) => write!(f, "{why} ({code})"),
            Self::Away(why) | Self::Nonsense(why) => f.write_str(why),
        }
    }
}

impl Calls {
    /// Asks once, and waits no longer than [`REQUEST`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        verdict: &mut Option<Verdict>,
    ) -> Result<T, Fault> {
        let request = request.map_err(|error| Fault::Nonsense(error.to_string()))?;
        match timeout(REQUEST, self.ask(request, verdict)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Away(format!("no answer within {} s", REQUEST.as_secs()))),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
        verdict: &mut Option<Verdict>,
    ) -> Result<T, Fault> {
        let away = |error: &kube::Error| Fault::Away(told(error));
        let asked = (self.now)();
        let response = self.client.send(request.map(Body::from)).await.map_err(|error| away(&error))?;
        let answered = (self.now)();
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        if let Some(found) = date.and_then(|date| self.judge(asked, date, answered)) {
            *verdict = Some(found);
        }
        let code = response.status();
        let body = response.into_body().collect().await.map_err(|error| away(&error))?.to_bytes();
        if code.is_success() {
            return serde_json::from_slice(&body).map_err(|error| Fault::Nonsense(error.to_string()));
        }
        let said = serde_json::from_slice::<Status>(&body).map(|status| status.message);
        let said = said.unwrap_or_else(|_| "the API server does not say why".to_owned());
        Err(Fault::Refused(code.as_u16(), said))
    }

    /// What a date says: it names no more than the second.
    fn judge(&self, asked: At, date: &str, answered: At) -> Option<Verdict> {
        let seconds = OffsetDateTime::parse(date, &Rfc2822).ok()?.unix_timestamp();
        let first = At(u64::try_from(seconds).ok()?.saturating_mul(1000));
        let clock = judge(asked, first..=first.after(999), answered, &self.bounds)?;
        let ahead = i128::from(answered.0).saturating_sub(i128::from(first.0));
        Some(Verdict { clock, ahead: i64::try_from(ahead).unwrap_or(i64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_date_is_judged_to_the_second() {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let calls = Calls {
            client: Client::try_from(config).unwrap(),
            now: Arc::new(|| At(0)),
            bounds: Bounds { clocks: 20_000, ..Bounds::DEFAULT },
        };
        // 1,785,585,600 seconds.
        let date = "Sat, 01 Aug 2026 12:00:00 GMT";
        let judge = |asked: u64, answered: u64| {
            let at = |offset| At(1_785_585_600_000 + offset - 100_000);
            calls.judge(at(asked), date, at(answered)).map(|verdict| verdict.clock)
        };
        assert_eq!(judge(100_000, 100_010), Some(Clock::Within));
        assert_eq!(judge(91_000, 91_010), Some(Clock::Within));
        assert_eq!(judge(90_500, 90_510), None, "the second reaches over the bound");
        assert_eq!(judge(89_000, 89_010), Some(Clock::Off));
        assert_eq!(judge(112_000, 112_010), Some(Clock::Off));
        assert_eq!(calls.judge(At(0), "yesterday", At(0)), None);
    }
}
