//! A segment: some seconds of a stream, complete, and never changed again.
//!
//! Owns what is known of it. Packagers make segments, shelves and the disk keep them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::library::{Freshness, MediaType, Object};
use super::memory::Charge;
use super::resource::File;

/// Bytes that never change, with their tag.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    etag: String,
    _charge: Charge,
}

impl Body {
    pub(super) fn new(bytes: Bytes, charge: Charge) -> Self {
        Self { etag: etag(&bytes), bytes, _charge: charge }
    }

    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn object(&self, media_type: MediaType) -> Object {
        Object { bytes: self.bytes.clone(), media_type, etag: self.etag.clone(), freshness: Freshness::Immutable }
    }
}

/// The entity tag of bytes: that of others differs.
pub(super) fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// What goes before segments in fragmented MP4.
#[derive(Debug)]
pub(super) struct Initialisation {
    /// The number of the first segment that needs it.
    pub(super) number: u64,
    pub(super) body: Body,
}

/// What playlists say of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) duration_ms: u64,
    /// When its first frame was, in milliseconds since 1970.
    pub(super) date_ms: u64,
    /// Whether it does not go on where the one before it ended.
    pub(super) is_discontinuous: bool,
    /// How many discontinuities there were up to it, its own included.
    pub(super) discontinuities: u64,
    /// Whether decoding can begin with it.
    pub(super) is_independent: bool,
    /// The number of its initialisation; none for MPEG-TS.
    pub(super) initialisation: Option<u64>,
    pub(super) bytes: usize,
}

impl Entry {
    /// Its name.
    pub(super) const fn file(&self) -> File {
        match self.initialisation {
            Some(_) => File::Fragments(self.number),
            None => File::TransportStream(self.number),
        }
    }
}

/// A segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entry: Entry,
    pub(super) body: Body,
    pub(super) initialisation: Option<Arc<Initialisation>>,
}

impl Segment {
    /// What it is to HTTP.
    pub(super) fn object(&self) -> Object {
        let media_type = if self.initialisation.is_some() { MediaType::Fragments } else { MediaType::TransportStream };
        self.body.object(media_type)
    }
}
