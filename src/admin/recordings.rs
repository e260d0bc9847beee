//! The recordings over the API: listed and downloaded by everybody who may look, deleted by who may change something.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use crate::config::DvrFormat;
use crate::dvr::{Filter, Library, LibraryError, Page, Reading, Recording};
use crate::net::byte_range::ByteRange;

use super::AdminContext;
use super::access::Peer;
use super::api::{Envelope, Failure};

/// How many recordings a page has that does not say.
const USUAL_COUNT: usize = 10;
/// How many it may have at most.
const MAX_COUNT: usize = 1_000;
/// How much of a file is read at once, in bytes.
const PIECE_BYTES: u64 = 256 << 10;

/// Which recordings are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    app: Option<String>,
    stream: Option<String>,
    /// How many are left out, from the newest on.
    #[serde(default)]
    start: usize,
    count: Option<usize>,
}

#[derive(Debug, Serialize)]
struct List {
    /// How many there are, on this page and others.
    total: usize,
    recordings: Vec<View>,
}

#[derive(Debug, Serialize)]
struct One {
    recording: View,
}

/// A recording as operators see it.
#[derive(Debug, Serialize)]
struct View {
    id: String,
    vhost: &'static str,
    app: String,
    /// The stream's own name.
    name: String,
    /// The publish session.
    cid: String,
    /// `recording` until the file is complete, then `complete`.
    state: &'static str,
    format: String,
    begin_ms: u64,
    duration_ms: u64,
    bytes: u64,
    /// Where the file is on the server.
    path: String,
    /// Where it can be had.
    url: String,
}

impl From<Recording> for View {
    fn from(recording: Recording) -> Self {
        Self {
            url: format!("/api/v1/recordings/{}/file", recording.id),
            id: recording.id,
            vhost: "__defaultVhost__",
            app: recording.app,
            name: recording.stream,
            cid: recording.session,
            state: if recording.is_complete { "complete" } else { "recording" },
            format: recording.format.to_string(),
            begin_ms: recording.begin_ms,
            duration_ms: recording.duration_ms,
            bytes: recording.bytes,
            path: recording.path.display().to_string(),
        }
    }
}

pub(super) async fn list(State(context): State<Arc<AdminContext>>, Query(question): Query<Question>) -> Response {
    let count = question.count.unwrap_or(USUAL_COUNT);
    if count > MAX_COUNT {
        return Failure::of(&context, StatusCode::BAD_REQUEST, format!("count is {MAX_COUNT} at most"));
    }
    let filter = Filter { app: question.app, stream: question.stream };
    let library = context.recordings.get();
    let page = library.map_or_else(Page::default, |library| library.list(&filter, question.start, count));
    let recordings = page.recordings.into_iter().map(View::from).collect();
    Envelope::of(&context, List { total: page.total, recordings }).into_response()
}

pub(super) async fn show(State(context): State<Arc<AdminContext>>, Path(id): Path<String>) -> Response {
    match library(&context).and_then(|library| library.get(&id).ok_or(LibraryError::NotFound)) {
        Ok(recording) => Envelope::of(&context, One { recording: recording.into() }).into_response(),
        Err(error) => failure(&context, &error),
    }
}

pub(super) async fn delete(
    State(context): State<Arc<AdminContext>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Response {
    let deleted = match library(&context) {
        Ok(library) => library.delete(&id).await,
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) => {
            tracing::info!(peer = %peer.0, id, "a recording was deleted on request");
            Envelope::of(&context, Deleted {}).into_response()
        }
        Err(error) => failure(&context, &error),
    }
}

/// Nothing more is to be said.
#[derive(Debug, Serialize)]
struct Deleted {}

/// The file itself, or the part of it that is asked for.
pub(super) async fn file(
    State(context): State<Arc<AdminContext>>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let opened = match library(&context) {
        Ok(library) => library.open(&id).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(reading) => send(reading, &method, &headers),
        Err(error) => failure(&context, &error),
    }
}

fn send(reading: Reading, method: &Method, asked: &HeaderMap) -> Response {
    let recording = &reading.recording;
    let length = recording.bytes;
    // What is complete never changes.
    let tag = format!("\"{}\"", recording.id);
    let wanted = match *method {
        Method::GET => ByteRange::wanted(asked, &tag, length),
        _ => ByteRange::Whole,
    };
    let content_range = wanted.content_range(length).map(|range| (header::CONTENT_RANGE, range));
    let (status, part) = match wanted {
        ByteRange::Whole => (StatusCode::OK, 0..length),
        ByteRange::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        ByteRange::Unsatisfiable => {
            return (StatusCode::RANGE_NOT_SATISFIABLE, AppendHeaders(content_range)).into_response();
        }
    };
    let content_type = match recording.format {
        DvrFormat::Flv => "video/x-flv",
        DvrFormat::Fmp4 => "video/mp4",
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, part.end - part.start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        .header(header::CONTENT_DISPOSITION, disposition(recording));
    if let Some((name, range)) = content_range {
        response = response.header(name, range);
    }
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from_stream(pieces(reading, part)) };
    response.body(body).unwrap_or_else(|error| {
        tracing::error!(%error, "a recording cannot be sent");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// The file's own name, for whoever saves it: without what a header cannot carry.
fn disposition(recording: &Recording) -> String {
    let name = recording.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let harmless = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    let name: String = name.chars().map(|character| if harmless(character) { character } else { '_' }).collect();
    format!("attachment; filename=\"{name}\"")
}

/// A part of a file, piece by piece, each read when the one before has been sent.
fn pieces(reading: Reading, part: Range<u64>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((reading, part), async |(reading, part)| {
        let most = (part.end - part.start).min(PIECE_BYTES);
        if most == 0 {
            return Ok(None);
        }
        let bytes = reading.read(part.start, most as usize).await?;
        if bytes.is_empty() {
            // Shorter than it was: the client must not take that for all.
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let rest = part.start + bytes.len() as u64..part.end;
        Ok(Some((bytes, (reading, rest))))
    })
}

fn library(context: &AdminContext) -> Result<&Library, LibraryError> {
    context.recordings.get().ok_or(LibraryError::NotFound)
}

fn failure(context: &AdminContext, error: &LibraryError) -> Response {
    let status = match error {
        LibraryError::NotFound => StatusCode::NOT_FOUND,
        LibraryError::Incomplete => StatusCode::CONFLICT,
        LibraryError::File(_) => {
            tracing::warn!(%error, "a recording cannot be used");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    Failure::of(context, status, error.to_string())
}
