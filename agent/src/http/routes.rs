//! What is answered at which path.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::info;

use super::timings::AgentMetrics;
use super::{exposition, lease_stream, metrics};
use crate::conditions::Conditions;
use crate::control::{Handle, Health, NoAnswer, Probe, ReleaseRefused, Target};

/// The most bytes of a request's body: a release names one address.
const BODY_BYTES: usize = 4 << 10;

/// How long until an answer begins: what the run loop may take, and some.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What the routes answer from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Asks the run loop.
    pub handle: Handle,
    /// What the agent measures of itself.
    pub metrics: Arc<AgentMetrics>,
    /// What else it waits for before it is ready.
    pub conditions: Conditions,
}

impl Source {
    /// How the agent is, in all.
    async fn health(&self) -> Health {
        let mut health = self.handle.health().await;
        let reasons = self.conditions.reasons();
        health.ready &= reasons.is_empty();
        health.problems.extend(reasons);
        health
    }
}

/// What everybody may read: health, metrics, leases and counters.
pub fn public(source: Source) -> Router {
    bounded(reading().with_state(source))
}

/// What root may do on this machine: read the same, and give addresses back.
pub fn private(source: Source) -> Router {
    bounded(reading().route("/release", post(release)).with_state(source))
}

fn reading() -> Router<Source> {
    Router::new()
        .route("/healthz", get(live))
        .route("/health", get(live))
        .route("/readyz", get(ready))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .route("/leases", get(leases))
        .route("/stats", get(stats))
        .fallback(nothing_here)
}

/// Within bounds: how large a body is, and how long an answer takes.
pub(super) fn bounded(router: Router) -> Router {
    router.layer(DefaultBodyLimit::max(BODY_BYTES)).layer(middleware::from_fn(in_time))
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response();
    timeout(ANSWER_TIME, next.run(request)).await.unwrap_or_else(late)
}

async fn live(State(source): State<Source>) -> Response {
    let health = source.health().await;
    health_response(health.live, health.problems)
}

async fn ready(State(source): State<Source>) -> Response {
    let health = source.health().await;
    health_response(health.live && health.ready, health.problems)
}

/// `{"ok":true}`, and what is wrong where something is.
#[derive(Serialize)]
struct HealthBody {
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// What a probe gets.
pub(super) fn health_response(ok: bool, problems: Vec<String>) -> Response {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(HealthBody { ok, problems })).into_response()
}

async fn scrape(State(source): State<Source>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = source.handle.snapshot().await?;
    let health = source.health().await;
    scraped(&headers, metrics::render(snapshot, health.live && health.ready, source.metrics))
}

/// What a scraper gets, in the format that it asks for.
pub(super) fn scraped(headers: &HeaderMap, text: Result<String, fmt::Error>) -> Result<Response, Problem> {
    let text = text.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (kind, text) = if accept.is_some_and(exposition::wants_open_metrics) {
        (exposition::OPEN_METRICS, text)
    } else {
        (exposition::CLASSIC, exposition::classic(&text))
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What `/leases` may be asked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeasesParameters {
    network: Option<String>,
}

async fn leases(
    State(source): State<Source>,
    parameters: Result<Query<LeasesParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(LeasesParameters { network }) =
        parameters.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let page = source.handle.leases(lease_stream::first_page(network.clone())).await?;
    let page = page.map_err(|unknown| Problem::new(StatusCode::NOT_FOUND, unknown))?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, lease_stream::body(source.handle, network, page)).into_response())
}

async fn stats(State(source): State<Source>) -> Result<Response, Problem> {
    Ok(Json(source.handle.snapshot().await?.stats).into_response())
}

/// What `/release` may be asked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseParameters {
    /// Whether the holder is not asked first.
    #[serde(default)]
    force: bool,
}

async fn release(
    State(source): State<Source>,
    parameters: Result<Query<ReleaseParameters>, QueryRejection>,
    target: Result<Json<Target>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(target) = target.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let Query(ReleaseParameters { force }) =
        parameters.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let probe = if force { Probe::Skip } else { Probe::First };
    let released = source.handle.release(target, probe).await?.map_err(|refused| {
        let status = match refused {
            ReleaseRefused::NoLease(_) => StatusCode::NOT_FOUND,
            ReleaseRefused::NotInUse { .. }
            | ReleaseRefused::Several { .. }
            | ReleaseRefused::StillAnswers { .. } => StatusCode::CONFLICT,
            ReleaseRefused::CannotTell { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ReleaseRefused::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, refused)
    })?;
    info!(ip = %released.ip, mac = %released.mac, network = released.network, "released by the operator");
    Ok(Json(released).into_response())
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::nothing_at(&uri, "/healthz, /readyz, /metrics, /leases and /stats")
}

impl Problem {
    /// There is nothing at a path, but at these there is.
    pub(super) fn nothing_at(uri: &Uri, paths: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("nothing is at {}; there are {paths}", uri.path()))
    }
}

/// An answer that says what is wrong: `{"error": "…"}`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
}

/// The body of a problem.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong, for people.
    pub error: String,
}

impl Problem {
    fn new(status: StatusCode, error: impl fmt::Display) -> Self {
        Self { status, error: error.to_string() }
    }
}

impl From<NoAnswer> for Problem {
    fn from(why: NoAnswer) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error })).into_response()
    }
}
