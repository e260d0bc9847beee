//! Publishers, players and pulls, as SRS shows its clients, and the way to be rid of one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::admin::access::Peer;
use crate::sessions::{ClientId, ClientView};

use super::page::Page;
use super::{AdminContext, CLIENT_NOT_FOUND, Envelope, Failure, Kilobits, VHOST};

/// How many clients a part of the list has that does not say: as many as SRS shows.
const USUAL_COUNT: usize = 10;

#[derive(Debug, Serialize)]
struct Clients {
    /// How many there are, in this part and others.
    total: usize,
    clients: Vec<Client>,
}

#[derive(Debug, Serialize)]
struct One {
    client: Client,
}

/// An answer that says nothing but that it is done.
#[derive(Debug, Serialize)]
struct Nothing {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    id: String,
    vhost: &'static str,
    /// The stream's id; empty if the stream is not there.
    stream: String,
    /// The other end's address.
    ip: String,
    port: u16,
    page_url: Box<str>,
    /// Flash is gone.
    swf_url: &'static str,
    tc_url: Box<str>,
    url: String,
    app: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    publish: bool,
    /// Whether it is another server.
    server: bool,
    /// The program, as it calls itself.
    agent: Box<str>,
    /// For how long, in seconds.
    alive: f64,
    #[serde(rename = "send_bytes")]
    sent_bytes: u64,
    #[serde(rename = "recv_bytes")]
    received_bytes: u64,
    kbps: Kilobits,
}

pub(in crate::admin) async fn list(State(context): State<Arc<AdminContext>>, Query(page): Query<Page>) -> Response {
    let (start, count) = match page.part(USUAL_COUNT) {
        Ok(part) => part,
        Err(error) => return Failure::of(&context, StatusCode::BAD_REQUEST, error),
    };
    let total = context.sessions.len();
    let views = context.sessions.page(start, count);
    let clients = views.into_iter().map(|view| Client::of(&context, view)).collect();
    Envelope::of(&context, Clients { total, clients }).into_response()
}

pub(in crate::admin) async fn show(State(context): State<Arc<AdminContext>>, Path(id): Path<String>) -> Response {
    let view = id.parse().ok().and_then(|id| context.sessions.view(id));
    match view {
        Some(view) => {
            let client = Client::of(&context, view);
            Envelope::of(&context, One { client }).into_response()
        }
        None => absent(&context),
    }
}

pub(in crate::admin) async fn kick(
    State(context): State<Arc<AdminContext>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Response {
    let known = id.parse::<ClientId>().ok().filter(|id| context.sessions.kick(*id));
    match known {
        Some(id) => {
            tracing::info!(peer = %peer.0, %id, "ordered to kick a client");
            Envelope::of(&context, Nothing {}).into_response()
        }
        None => absent(&context),
    }
}

fn absent(context: &AdminContext) -> Response {
    Failure::absent(context, CLIENT_NOT_FOUND, "there is no such client here".to_owned())
}

impl Client {
    fn of(context: &AdminContext, view: ClientView) -> Self {
        let stream = context.hub.id_of(&view.key);
        Self {
            id: view.id.to_string(),
            vhost: VHOST,
            stream: stream.map(|id| id.to_string()).unwrap_or_default(),
            ip: view.peer.ip().to_canonical().to_string(),
            port: view.peer.port(),
            page_url: view.page,
            swf_url: "",
            tc_url: view.url,
            url: format!("/{}", view.key),
            app: view.key.app().to_owned(),
            name: view.key.stream().to_owned(),
            kind: view.kind.label(),
            publish: view.kind.publishes(),
            server: view.is_server,
            agent: view.agent,
            alive: (view.age.as_secs_f64() * 1_000.0).round() / 1_000.0,
            sent_bytes: view.sent_bytes,
            received_bytes: view.received_bytes,
            kbps: Kilobits { recv_30s: view.received_kilobits, send_30s: view.sent_kilobits },
        }
    }
}
