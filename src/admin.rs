//! The admin port: health, metrics and the API.
//!
//! Owns what operators and Kubernetes see. The server hands it a listener; it reads the hub's views and the metrics, and
//! never touches a media connection.

mod access;
mod api;
mod attempts;
mod configuration;
mod drain;
mod health;
mod recordings;
mod system;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Live, Percentage};
use crate::drain::Drain;
use crate::dvr::Library;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::net::admission::Admission;
use crate::net::listener;
use crate::net::stream::Stream;
use crate::net::tls::{Alpn, ServerTls};
use crate::sessions::Sessions;

pub use access::Access;
use access::Peer;
pub use configuration::{Configuration, InForce, Pending, Reloaded};
pub use health::Health;
pub use system::UsageMeter;

/// What the admin port shows.
#[derive(Debug)]
pub struct AdminContext {
    /// The streams.
    pub hub: Hub,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Whether the process is ready.
    pub health: Arc<Health>,
    /// The order to drain, to be given here too.
    pub drain: Drain,
    /// Who is connected.
    pub sessions: Sessions,
    /// The connections.
    pub admission: Arc<Admission>,
    /// The configuration in force.
    pub config: Live,
    /// Its owner.
    pub configuration: Arc<dyn Configuration>,
    /// Who comes here.
    pub access: Access,
    /// The recordings, once anything may be recorded.
    pub recordings: Arc<OnceLock<Library>>,
    /// This node's id.
    pub node: String,
    /// When it all began.
    pub started: Instant,
    /// The use of cores from one question to the next.
    pub usage: Mutex<UsageMeter>,
}

/// The content type of OpenMetrics text (OpenMetrics 1.0, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a client may take for the head of a request, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the admin port, over TLS if there is any, until `stop`, then answers what was asked.
pub async fn serve(listener: TcpListener, tls: Option<ServerTls>, context: Arc<AdminContext>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let router = router(context);
    loop {
        let (socket, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener::accept(&listener) => accepted,
        };
        let router = router.clone().layer(Extension(Peer(peer)));
        connections.spawn(serve_connection(socket, tls.clone(), router, stop.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_connection(socket: TcpStream, tls: Option<ServerTls>, router: Router, stop: CancellationToken) {
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => match timeout(HEAD_TIMEOUT, tls.accept(socket, Alpn::Http1)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "no TLS on an admin connection"),
            Err(_) => return,
        },
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection failed");
    }
}

fn router(context: Arc<AdminContext>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/versions", get(api::versions))
        .route("/api/v1/summaries", get(api::summaries::summaries))
        .route("/api/v1/streams", get(api::streams::list))
        .route("/api/v1/streams/", get(api::streams::list))
        .route("/api/v1/streams/{id}", get(api::streams::show))
        .route("/api/v1/clients", get(api::clients::list))
        .route("/api/v1/clients/", get(api::clients::list))
        .route("/api/v1/clients/{id}", get(api::clients::show).delete(api::clients::kick))
        .route("/api/v1/config", get(configuration::show).put(configuration::put).delete(configuration::delete))
        .route("/api/v1/reload", post(configuration::reload))
        .route("/api/v1/drain", get(drain::show).post(drain::begin).delete(drain::take_back))
        .route("/api/v1/recordings", get(recordings::list))
        .route("/api/v1/recordings/", get(recordings::list))
        .route("/api/v1/recordings/{id}", get(recordings::show).delete(recordings::delete))
        .route("/api/v1/recordings/{id}/file", get(recordings::file))
        .layer(from_fn_with_state(Arc::clone(&context), access::guard))
        .with_state(context)
}

async fn started(State(context): State<Arc<AdminContext>>) -> Response {
    answer(context.health.has_started(), "started\n", "starting\n")
}

/// An order to drain counts from the moment it is given, whatever has been done about it.
async fn ready(State(context): State<Arc<AdminContext>>) -> Response {
    let serves = context.health.is_ready() && !context.drain.is_ordered();
    // Of everything that limits say.
    let unready_at = context.config.current().limits.unready_at.map(Percentage::fraction);
    let has_room = unready_at.is_none_or(|unready_at| context.health.has_room(context.used(), unready_at));
    answer(serves && has_room, "ready\n", if serves { "full\n" } else { "not ready\n" })
}

impl AdminContext {
    /// The part of the limit that is used most.
    fn used(&self) -> f64 {
        self.admission.used().max(self.hub.used_capacity())
    }

    /// Brings the gauges up to date that are not kept on the way.
    fn observe(&self) {
        self.hub.observe();
        self.metrics.open_connections.set(i64::try_from(self.admission.open_connections()).unwrap_or(i64::MAX));
        self.metrics.draining.set(i64::from(self.drain.is_ordered()));
    }
}

fn answer(good: bool, yes: &'static str, no: &'static str) -> Response {
    if good { yes.into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, no).into_response() }
}

async fn metrics(State(context): State<Arc<AdminContext>>) -> Response {
    context.observe();
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
