//! The admin port: health, metrics and the API.
//!
//! Owns what operators and Kubernetes see. The server hands it a listener; it reads the hub's views and the metrics, and
//! never touches a media connection.

mod api;
mod health;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::metrics::Metrics;

pub use health::Health;

/// What the admin port shows.
#[derive(Debug)]
pub struct AdminContext {
    /// The streams.
    pub hub: Hub,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Whether the process is ready.
    pub health: Arc<Health>,
    /// This node's id.
    pub node: String,
}

/// The content type of OpenMetrics text (OpenMetrics 1.0, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the admin port until `stop`, then answers what was asked.
pub async fn serve(listener: TcpListener, context: Arc<AdminContext>, stop: CancellationToken) -> io::Result<()> {
    let router = router(context);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(context: Arc<AdminContext>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/versions", get(api::versions))
        .route("/api/v1/streams", get(api::streams))
        .route("/api/v1/streams/", get(api::streams))
        .with_state(context)
}

async fn started(State(context): State<Arc<AdminContext>>) -> Response {
    answer(context.health.has_started(), "started\n", "starting\n")
}

async fn ready(State(context): State<Arc<AdminContext>>) -> Response {
    answer(context.health.is_ready(), "ready\n", "not ready\n")
}

fn answer(good: bool, yes: &'static str, no: &'static str) -> Response {
    if good { yes.into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, no).into_response() }
}

async fn metrics(State(context): State<Arc<AdminContext>>) -> Response {
    context.hub.observe();
    match context.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
