//! The streams, as SRS shows them, and what an edge has of each.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::hub::{PullStatus, Source, StreamView};

use super::codecs::{Audio, Video};
use super::page::Page;
use super::{AdminContext, Envelope, Failure, Kilobits, STREAM_NOT_FOUND, VHOST};

#[derive(Debug, Serialize)]
struct Streams {
    /// How many there are, in this part and others.
    total: usize,
    streams: Vec<Stream>,
}

#[derive(Debug, Serialize)]
struct One {
    stream: Stream,
}

#[derive(Debug, Serialize)]
struct Stream {
    id: String,
    name: String,
    vhost: &'static str,
    app: String,
    url: String,
    /// The URL that its publisher connected to; empty if there is none, or it says none.
    #[serde(rename = "tcUrl")]
    tc_url: String,
    live_ms: u64,
    clients: usize,
    frames: u64,
    send_bytes: u64,
    recv_bytes: u64,
    kbps: Kilobits,
    publish: Publish,
    video: Option<Video>,
    audio: Option<Audio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream>,
    /// Where an edge forwards its publisher to.
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Upstream>,
}

#[derive(Debug, Serialize)]
struct Publish {
    active: bool,
    /// The client or the pull that publishes it here: what can be kicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// The publish session, the same at every server that has the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The publisher's address; none for a pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
}

/// Where an edge has the stream from, or forwards it to.
#[derive(Debug, Serialize)]
struct Upstream {
    address: Option<String>,
    /// Whether that is another edge, which shields the origins.
    shield: bool,
    state: &'static str,
    retries: u32,
}

pub(in crate::admin) async fn list(State(context): State<Arc<AdminContext>>, Query(page): Query<Page>) -> Response {
    // Who does not ask for a part gets all: there are not as many streams as clients.
    let (start, count) = match page.part(usize::MAX) {
        Ok(part) => part,
        Err(error) => return Failure::of(&context, StatusCode::BAD_REQUEST, error),
    };
    let views = context.hub.streams();
    let total = views.len();
    let wanted = views.into_iter().skip(start).take(count);
    let streams = wanted.map(|view| Stream::of(&context, view)).collect();
    Envelope::of(&context, Streams { total, streams }).into_response()
}

pub(in crate::admin) async fn show(State(context): State<Arc<AdminContext>>, Path(id): Path<String>) -> Response {
    match context.hub.streams().into_iter().find(|view| view.id.as_str() == id) {
        Some(view) => {
            let stream = Stream::of(&context, view);
            Envelope::of(&context, One { stream }).into_response()
        }
        None => Failure::absent(&context, STREAM_NOT_FOUND, "there is no such stream here".to_owned()),
    }
}

impl Stream {
    fn of(context: &AdminContext, view: StreamView) -> Self {
        let publisher = view.live.as_ref().and_then(|_| context.sessions.publisher_of(&view.key));
        let publish = match &view.live {
            None => Publish { active: false, cid: None, session: None, ip: None },
            Some(live) => Publish {
                active: true,
                cid: publisher.map(|id| id.to_string()),
                session: Some(live.session.to_string()),
                ip: match &live.source {
                    Source::Client { address, .. } => Some(address.to_string()),
                    Source::Pull | Source::ShieldedPull => None,
                },
            },
        };
        Self {
            id: view.id.to_string(),
            name: view.key.stream().to_owned(),
            vhost: VHOST,
            app: view.key.app().to_owned(),
            url: format!("/{}", view.key),
            tc_url: publisher.and_then(|id| context.sessions.view(id)).map_or_else(String::new, |view| view.url.into()),
            live_ms: view.live.as_ref().map_or(0, |live| live.age.as_millis() as u64),
            // As SRS counts: players, and the publisher if it is a client of ours.
            clients: view.players + usize::from(publish.ip.is_some()),
            frames: view.video_frames,
            send_bytes: view.sent_bytes,
            recv_bytes: view.received_bytes,
            kbps: Kilobits { recv_30s: view.received_kilobits, send_30s: view.sent_kilobits },
            publish,
            video: view.headers.tracks.video.map(|codec| Video::of(codec, &view.headers)),
            audio: view.headers.tracks.audio.map(|codec| Audio::of(codec, &view.headers)),
            upstream: view.pull.map(Upstream::from),
            forward: view.forward.map(Upstream::from),
        }
    }
}

impl From<PullStatus> for Upstream {
    fn from(status: PullStatus) -> Self {
        Self { address: status.address, shield: status.shielded, state: status.state.label(), retries: status.retries }
    }
}
