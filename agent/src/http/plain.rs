//! What a process without a core serves: its health and its metrics.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use super::routes::{Problem, bounded, health_response, scraped};
use crate::conditions::Conditions;

/// What the routes answer from.
#[derive(Clone)]
struct Source {
    metrics: Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>,
    conditions: Conditions,
}

/// Health, which is what `conditions` say of it, and the metrics that `metrics` writes in the OpenMetrics
/// format.
pub fn plain(
    metrics: impl Fn() -> Result<String, fmt::Error> + Send + Sync + 'static,
    conditions: Conditions,
) -> Router {
    let router = Router::new()
        .route("/healthz", get(live))
        .route("/health", get(live))
        .route("/readyz", get(ready))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .fallback(nothing_here);
    bounded(router.with_state(Source { metrics: Arc::new(metrics), conditions }))
}

/// Who answers lives.
async fn live(State(source): State<Source>) -> Response {
    health_response(true, source.conditions.reasons())
}

async fn ready(State(source): State<Source>) -> Response {
    let reasons = source.conditions.reasons();
    health_response(reasons.is_empty(), reasons)
}

async fn scrape(State(source): State<Source>, headers: HeaderMap) -> Result<Response, Problem> {
    scraped(&headers, (source.metrics)())
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::nothing_at(&uri, "/healthz, /readyz and /metrics")
}
