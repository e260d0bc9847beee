//! The API, in the shapes that SRS's users know: an envelope of `code`, `server`, `service` and `pid`, and the data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::hub::{Headers, PullStatus, Source, StreamView};
use crate::media::class::Track;
use crate::media::codec::{AacConfig, AvcProfile, Codec};

use super::AdminContext;

/// What every answer begins with.
#[derive(Debug, Serialize)]
pub(super) struct Envelope<T: Serialize> {
    code: u32,
    server: String,
    service: &'static str,
    pid: String,
    #[serde(flatten)]
    content: T,
}

/// Why a request was not followed.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    error: String,
}

impl Failure {
    /// The answer with `status`, which stands in the envelope, too.
    pub(super) fn of(context: &AdminContext, status: StatusCode, error: String) -> Response {
        Self::with(context, status, Self { error })
    }

    /// The same with other words about it.
    pub(super) fn with(context: &AdminContext, status: StatusCode, content: impl Serialize) -> Response {
        let Json(envelope) = Envelope::of(context, content);
        (status, Json(Envelope { code: u32::from(status.as_u16()), ..envelope })).into_response()
    }
}

impl<T: Serialize> Envelope<T> {
    pub(super) fn of(context: &AdminContext, content: T) -> Json<Self> {
        Json(Self {
            code: 0,
            server: context.node.clone(),
            service: "rillcast",
            pid: std::process::id().to_string(),
            content,
        })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Versions {
    data: Version,
}

#[derive(Debug, Serialize)]
struct Version {
    major: u32,
    minor: u32,
    revision: u32,
    version: &'static str,
}

pub(super) async fn versions(State(context): State<Arc<AdminContext>>) -> Json<Envelope<Versions>> {
    let part = |text: &str| text.parse().unwrap_or(0);
    let version = Version {
        major: part(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: part(env!("CARGO_PKG_VERSION_MINOR")),
        revision: part(env!("CARGO_PKG_VERSION_PATCH")),
        version: env!("CARGO_PKG_VERSION"),
    };
    Envelope::of(&context, Versions { data: version })
}

#[derive(Debug, Serialize)]
pub(super) struct Streams {
    streams: Vec<Stream>,
}

#[derive(Debug, Serialize)]
struct Stream {
    id: String,
    name: String,
    vhost: &'static str,
    app: String,
    url: String,
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
struct Kilobits {
    recv_30s: u64,
    send_30s: u64,
}

#[derive(Debug, Serialize)]
struct Publish {
    active: bool,
    /// The publish session.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// The publisher's address; none for a pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
}

#[derive(Debug, Serialize)]
struct Video {
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
}

#[derive(Debug, Serialize)]
struct Audio {
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
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

pub(super) async fn streams(State(context): State<Arc<AdminContext>>) -> Json<Envelope<Streams>> {
    let streams = context.hub.streams().into_iter().map(Stream::from).collect();
    Envelope::of(&context, Streams { streams })
}

impl From<StreamView> for Stream {
    fn from(view: StreamView) -> Self {
        let publish = match &view.live {
            None => Publish { active: false, cid: None, ip: None },
            Some(live) => Publish {
                active: true,
                cid: Some(live.session.to_string()),
                ip: match &live.source {
                    Source::Client { address, .. } => Some(address.to_string()),
                    Source::Pull | Source::ShieldedPull => None,
                },
            },
        };
        Self {
            id: view.id.to_string(),
            name: view.key.stream().to_owned(),
            vhost: "__defaultVhost__",
            app: view.key.app().to_owned(),
            url: format!("/{}", view.key),
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

impl Video {
    fn of(codec: Codec, headers: &Headers) -> Self {
        // The record stands behind the tag header: one byte, packet type and composition time, or one byte and FourCC.
        let record = headers.sequence_header(Track::Video).and_then(|body| body.get(5..));
        let is_avc = matches!(codec, Codec::AVC | Codec::FourCc([b'a', b'v', b'c', b'1']));
        let profile = record.filter(|_| is_avc).and_then(AvcProfile::parse);
        Self {
            codec: codec.to_string(),
            profile: profile.map(AvcProfile::profile_name),
            level: profile.map(|profile| format!("{}.{}", profile.level / 10, profile.level % 10)),
        }
    }
}

impl Audio {
    fn of(codec: Codec, headers: &Headers) -> Self {
        let header = headers.sequence_header(Track::Audio);
        let config = match codec {
            Codec::AAC => header.and_then(|body| body.get(2..)),
            Codec::FourCc([b'm', b'p', b'4', b'a']) => header.and_then(|body| body.get(5..)),
            _ => None,
        };
        let config = config.and_then(AacConfig::parse);
        Self {
            codec: codec.to_string(),
            sample_rate: config.map(|config| config.sample_rate),
            channel: config.map(|config| config.channels),
            profile: config.map(AacConfig::profile_name),
        }
    }
}

impl From<PullStatus> for Upstream {
    fn from(status: PullStatus) -> Self {
        Self { address: status.address, shield: status.shielded, state: status.state.label(), retries: status.retries }
    }
}
