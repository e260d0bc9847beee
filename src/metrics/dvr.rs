//! What is counted of recordings.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{Labelled, One, RecordingDeletion, RecordingError};

/// The metrics of recordings.
#[derive(Debug, Default)]
pub struct DvrMetrics {
    /// Recordings that are being written.
    pub recordings: Gauge,
    /// Recordings that were completed, those found half written included.
    pub files: Counter,
    /// Bytes written.
    pub bytes: Counter,
    /// Bytes of media that were published and not recorded, because the disk was too slow or took no more.
    pub dropped_bytes: Counter,
    errors: Family<One<RecordingError>, Counter>,
    deleted_files: Family<One<RecordingDeletion>, Counter>,
}

impl DvrMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("dvr_recordings", "Recordings being written", self.recordings.clone());
        registry.register("dvr_files", "Recordings completed", self.files.clone());
        registry.register("dvr_bytes", "Bytes of recordings written", self.bytes.clone());
        registry.register("dvr_dropped_bytes", "Bytes published and not recorded", self.dropped_bytes.clone());
        registry.register("dvr_errors", "Times that recording failed", self.errors.clone());
        registry.register("dvr_deleted_files", "Recordings deleted", self.deleted_files.clone());
        RecordingError::ALL.iter().for_each(|&reason| drop(self.errors(reason)));
        RecordingDeletion::ALL.iter().for_each(|&reason| drop(self.deleted_files(reason)));
    }

    /// Times that recording failed for `reason`.
    pub fn errors(&self, reason: RecordingError) -> Counter {
        self.errors.get_or_create_owned(&[("reason", reason)])
    }

    /// Recordings that were deleted for `reason`.
    pub fn deleted_files(&self, reason: RecordingDeletion) -> Counter {
        self.deleted_files.get_or_create_owned(&[("reason", reason)])
    }
}
