//! What the HTTP server asks for playlists and segments.
//!
//! Owns the question and its answers. An origin's own library packages what is published there; an edge's asks the
//! origins. Whoever asks knows nothing of either.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::resource::Resource;

/// Has playlists and segments.
pub trait Library: Send + Sync + 'static {
    /// Finds `resource`, or says why it is not there. A playlist of a stream that is published but has no segment yet is
    /// waited for, for a bounded time. Dropping the future is leaving; nobody else notices.
    fn find<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Object, Absent>>;
}

/// A playlist or a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// All of it. Clones share the bytes.
    pub bytes: Bytes,
    /// What it is.
    pub media_type: MediaType,
    /// An entity tag (RFC 9110, 8.8.3), quotation marks included: another one for other bytes.
    pub etag: String,
    /// For how long it is true.
    pub freshness: Freshness,
}

/// For how long an object is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// For ever: its bytes never change.
    Immutable,
    /// It changes with every segment.
    Changing {
        /// How long it may be kept by caches.
        max_age: Duration,
        /// The target duration that it tells players, who come about that often.
        target: Duration,
    },
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// A playlist of either kind.
    Playlist,
    /// A segment in MPEG-TS.
    TransportStream,
    /// What goes before segments in fragmented MP4.
    Init,
    /// A segment in fragmented MP4.
    Fragments,
}

impl MediaType {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Playlist => "application/vnd.apple.mpegurl",
            Self::TransportStream => "video/mp2t",
            Self::Init => "video/mp4",
            Self::Fragments => "video/iso.segment",
        }
    }
}

/// Why something is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// Nobody publishes the stream here, nor did a moment ago.
    #[error("nobody publishes the stream")]
    NoStream,
    /// The stream is published, but its first segment is not complete yet.
    #[error("the stream has only just begun")]
    NotYet,
    /// The segment is none of those that are kept.
    #[error("there is no such segment any more")]
    Gone,
    /// The stream cannot be had as HLS, for this reason.
    #[error("{0}")]
    Unsupported(String),
    /// The process holds as many segments as it may.
    #[error("the server has no memory left for the segments of another stream")]
    Full,
    /// Nobody could be asked who might have it.
    #[error("no origin can be reached")]
    Unreachable,
}
