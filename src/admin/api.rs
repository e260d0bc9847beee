//! The API, in the shapes that SRS's users know: an envelope of `code`, `server`, `service` and `pid`, and the data.

pub(super) mod clients;
mod codecs;
mod page;
pub(super) mod streams;
pub(super) mod summaries;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

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

/// What SRS calls the virtual host of who names none; there are no others.
const VHOST: &str = "__defaultVhost__";

/// Rates over about half a minute, in the words of SRS.
#[derive(Debug, Serialize)]
struct Kilobits {
    recv_30s: u64,
    send_30s: u64,
}

/// SRS's code for a stream that there is not.
const STREAM_NOT_FOUND: u32 = 2048;
/// SRS's code for a client that there is not.
const CLIENT_NOT_FOUND: u32 = 2049;

impl Failure {
    /// The answer to a question for what there is not, with SRS's code for that.
    fn absent(context: &AdminContext, code: u32, error: String) -> Response {
        let Json(envelope) = Envelope::of(context, Self { error });
        (StatusCode::NOT_FOUND, Json(Envelope { code, ..envelope })).into_response()
    }

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
