//! The drain over the API: looked at by everybody who may look, ordered and taken back by who may change something.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use crate::drain::{self, Order};
use crate::metrics::{Metrics, Protocol};

use super::AdminContext;
use super::access::Peer;
use super::api::{Envelope, Failure};

/// What stands behind the path of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Options {
    /// `1` has the process end once nobody is left; `0`, as without it, has it stay.
    exit: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Status {
    data: Data,
}

#[derive(Debug, Serialize)]
struct Data {
    /// What the order has come to.
    state: &'static str,
    /// Whether the process ends once nobody is left.
    exit: bool,
    /// When the order was given: milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadlines: Option<Deadlines>,
    remaining: Remaining,
}

/// When what happens: milliseconds since 1970.
#[derive(Debug, Serialize)]
struct Deadlines {
    listeners_close_ms: u64,
    release_begins_ms: u64,
    release_ends_ms: u64,
    end_ms: u64,
}

/// Who is still there.
#[derive(Debug, Serialize)]
struct Remaining {
    connections: usize,
    /// Without the pulls.
    players: i64,
    /// Players that are pulls by other servers.
    pulls: i64,
    publishers: i64,
}

pub(super) async fn show(State(context): State<Arc<AdminContext>>) -> Json<Envelope<Status>> {
    status(&context)
}

pub(super) async fn begin(
    State(context): State<Arc<AdminContext>>,
    Extension(peer): Extension<Peer>,
    Query(options): Query<Options>,
) -> Response {
    let purpose = match options.exit.as_deref() {
        None | Some("0") => drain::Purpose::Stay,
        Some("1") => drain::Purpose::Exit,
        Some(_) => {
            return Failure::of(&context, StatusCode::BAD_REQUEST, "exit is 1 or 0".to_owned());
        }
    };
    tracing::info!(peer = %peer.0, ?purpose, "ordered to drain");
    context.drain.begin(purpose);
    status(&context).into_response()
}

pub(super) async fn take_back(State(context): State<Arc<AdminContext>>, Extension(peer): Extension<Peer>) -> Response {
    match context.drain.take_back() {
        Ok(()) => {
            tracing::info!(peer = %peer.0, "ordered to serve");
            status(&context).into_response()
        }
        Err(error) => Failure::of(&context, StatusCode::CONFLICT, error.to_string()),
    }
}

fn status(context: &AdminContext) -> Json<Envelope<Status>> {
    let order = context.drain.order();
    let data = Data {
        state: context.drain.phase().label(),
        exit: order.is_some_and(|order| order.exits()),
        since_ms: order.map(|order| milliseconds(order.given_at)),
        deadlines: order.map(|order| deadlines(context, order)),
        remaining: Remaining {
            connections: context.drain.guests(),
            players: players(&context.metrics) - context.metrics.downstream_pulls.get(),
            pulls: context.metrics.downstream_pulls.get(),
            publishers: context.metrics.publishers.get(),
        },
    };
    Envelope::of(context, Status { data })
}

fn deadlines(context: &AdminContext, order: Order) -> Deadlines {
    let schedule = context.drain.schedule(order);
    let after = |moment: Instant| moment.saturating_duration_since(order.since);
    let at = |after: Duration| milliseconds(order.given_at + after);
    Deadlines {
        listeners_close_ms: at(after(schedule.closes)),
        release_begins_ms: at(after(schedule.releases.from)),
        release_ends_ms: at(after(schedule.releases.from + schedule.releases.window)),
        end_ms: at(after(schedule.ends)),
    }
}

fn players(metrics: &Metrics) -> i64 {
    [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv].map(|protocol| metrics.players(protocol).get()).iter().sum()
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
