//! What is counted of HLS at an origin.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{Labelled, One, label_values};

label_values! {
    /// Why a playlist or a segment was not written to disk.
    HlsDiskError {
        /// The disk is full, or a quota is reached.
        Full = "full",
        /// The file system is read-only.
        ReadOnly = "read_only",
        /// The process may not write there.
        Denied = "denied",
        /// The stream's name makes no name of a file, or one that another stream has.
        Name = "name",
        /// The disk is slower than segments come.
        Slow = "slow",
        /// Anything else that the system reports.
        Failed = "failed",
    }
}

/// The metrics of HLS.
#[derive(Debug, Default)]
pub struct HlsMetrics {
    /// Streams that are being packaged.
    pub streams: Gauge,
    /// Segments made.
    pub segments: Counter,
    /// Bytes of segments in memory.
    pub memory_bytes: Gauge,
    /// Segments of which a keyframe is not the first picture, because none came in time.
    pub forced_cuts: Counter,
    /// Packets that were not packaged: skipped because packaging lags, or broken.
    pub dropped_packets: Counter,
    /// Segments written to disk.
    pub disk_segments: Counter,
    disk_errors: Family<One<HlsDiskError>, Counter>,
}

impl HlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("hls_streams", "Streams being packaged", self.streams.clone());
        registry.register("hls_segments", "Segments made", self.segments.clone());
        registry.register("hls_memory_bytes", "Bytes of segments in memory", self.memory_bytes.clone());
        registry.register("hls_forced_cuts", "Segments cut without a keyframe", self.forced_cuts.clone());
        registry.register("hls_dropped_packets", "Packets published and not packaged", self.dropped_packets.clone());
        registry.register("hls_disk_segments", "Segments written to disk", self.disk_segments.clone());
        registry.register("hls_disk_errors", "Files not written to disk", self.disk_errors.clone());
        HlsDiskError::ALL.iter().for_each(|&reason| drop(self.disk_errors(reason)));
    }

    /// Files that were not written for `reason`.
    pub fn disk_errors(&self, reason: HlsDiskError) -> Counter {
        self.disk_errors.get_or_create_owned(&[("reason", reason)])
    }
}
