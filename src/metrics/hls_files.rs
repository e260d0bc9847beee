//! What is counted of playlists and segments as files: asked for by players, and fetched by edges.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{Labelled, label_values};

label_values! {
    /// What kind of file it is.
    FileKind {
        /// A playlist, which changes.
        Playlist = "playlist",
        /// A segment, or what goes before one.
        Segment = "segment",
    }
}

label_values! {
    /// What became of a request for a file.
    FileResult {
        /// It was sent, or a part of it.
        Sent = "sent",
        /// The client has it already.
        NotModified = "not_modified",
        /// There is none.
        Absent = "absent",
        /// The server could not, or its limits kept the client out.
        Refused = "refused",
        /// Another origin has it, and the peer was told where.
        Redirected = "redirected",
    }
}

label_values! {
    /// Where an edge had a file from.
    RelayResult {
        /// It was here.
        Hit = "hit",
        /// It was on its way already.
        Merged = "merged",
        /// An origin was asked, and sent it.
        Fetched = "fetched",
        /// Origins were asked, and none of them could: the latest one was sent once more.
        Stale = "stale",
        /// There is none.
        Absent = "absent",
        /// No origin could be reached.
        Failed = "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileAndResult {
    file: FileKind,
    result: FileResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileAndSource {
    file: FileKind,
    result: RelayResult,
}

/// The metrics of playlists and segments as files.
#[derive(Debug, Default)]
pub struct HlsFileMetrics {
    requests: Family<FileAndResult, Counter>,
    relayed: Family<FileAndSource, Counter>,
    /// Bytes of segments that an edge keeps.
    pub cache_bytes: Gauge,
}

impl HlsFileMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("hls_requests", "Playlists and segments asked for", self.requests.clone());
        registry.register("hls_relayed", "Where an edge had playlists and segments from", self.relayed.clone());
        registry.register("hls_cache_bytes", "Bytes of fetched segments in memory", self.cache_bytes.clone());
        for &file in FileKind::ALL {
            FileResult::ALL.iter().for_each(|&result| drop(self.requests(file, result)));
            RelayResult::ALL.iter().for_each(|&result| drop(self.relayed(file, result)));
        }
    }

    /// Requests for files of a kind that came to `result`.
    pub fn requests(&self, file: FileKind, result: FileResult) -> Counter {
        self.requests.get_or_create_owned(&FileAndResult { file, result })
    }

    /// Files of a kind that an edge had from where `result` says, once for each that wanted it.
    pub fn relayed(&self, file: FileKind, result: RelayResult) -> Counter {
        self.relayed.get_or_create_owned(&FileAndSource { file, result })
    }
}
