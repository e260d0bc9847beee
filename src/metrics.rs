//! What the process counts, and how it shows it.
//!
//! Owns every metric of the process and the labels they carry. Whoever does something counts it here, through handles
//! that are plain atomics; the admin port encodes them. Every series exists from the start, at zero. Nothing here is per
//! stream: a cluster has too many of them for a time series each.

mod access;
mod dvr;
mod hls;
mod hls_files;
mod hooks;
mod labels;
mod operating;
mod reason;
mod tls;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use access::{AccessAction, AccessMetrics, AccessRefusal};
pub use dvr::DvrMetrics;
pub use hls::{HlsDiskError, HlsMetrics};
pub use hls_files::{FileKind, FileResult, HlsFileMetrics, RelayResult};
pub use hooks::{Hook, HookResult, HooksMetrics};
pub use labels::{
    ConnectResult, ConnectionResult, DropReason, LookupResult, MarkResult, Protocol, ReconnectReason,
    RecordingDeletion, RecordingError, Shortage, TlsReload,
};
use labels::{Labelled, One, ProtocolAndResult};
pub use operating::{AdminRefusal, OperatingMetrics};
pub use reason::Reason;
pub use tls::TlsMetrics;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Streams that have a publisher, or are being pulled and have media.
    pub streams: Gauge,
    /// Publishers that are clients of this process.
    pub publishers: Gauge,
    /// Players that are pulls by other servers.
    pub downstream_pulls: Gauge,
    /// Connections that are open.
    pub open_connections: Gauge,
    /// Connections that have not said yet what they want.
    pub handshakes: Gauge,
    /// Connections that had to wait for others to begin.
    pub paced_connections: Counter,
    /// 1 from the order to drain on, until it is taken back; else 0.
    pub draining: Gauge,
    /// Streams being pulled from upstream, those in retry included.
    pub upstream_pulls: Gauge,
    /// Streams whose publisher is passed on upstream, those in retry included.
    pub forwards: Gauge,
    /// Publishers that lost a race for a name, or their name to a later one.
    pub stream_conflicts: Counter,
    /// Other origins of the cluster that can be asked.
    pub peers: Gauge,
    /// Streams of other origins that this one knows the holder of.
    pub leases: Gauge,
    /// Bytes that all rings hold, wire forms included.
    pub ring_bytes: Gauge,
    /// The largest merge window in force, in seconds.
    pub merge_window: Gauge<f64, AtomicU64>,
    /// From the play command to the first media write, in seconds.
    pub first_frame: Histogram,
    /// HLS.
    pub hls: HlsMetrics,
    /// Recordings.
    pub dvr: DvrMetrics,
    /// Playlists and segments as files.
    pub hls_files: HlsFileMetrics,
    /// The configuration, and who comes to the admin port.
    pub operating: OperatingMetrics,
    /// Certificates.
    pub tls: TlsMetrics,
    /// Clients that may not do what they ask for.
    pub access: AccessMetrics,
    /// Requests to hooks.
    pub hooks: HooksMetrics,
    players: Family<One<Protocol>, Gauge>,
    connections: Family<ProtocolAndResult, Counter>,
    disconnects: Family<One<Reason>, Counter>,
    refused_players: Family<One<Shortage>, Counter>,
    ingress_bytes: Family<One<Protocol>, Counter>,
    egress_bytes: Family<One<Protocol>, Counter>,
    dropped_packets: Family<One<DropReason>, Counter>,
    upstream_connects: Family<One<ConnectResult>, Counter>,
    upstream_reconnects: Family<One<ReconnectReason>, Counter>,
    dns_lookups: Family<One<LookupResult>, Counter>,
    marks: Family<One<MarkResult>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric and makes every series.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("rillcast"),
            streams: Gauge::default(),
            publishers: Gauge::default(),
            downstream_pulls: Gauge::default(),
            open_connections: Gauge::default(),
            handshakes: Gauge::default(),
            paced_connections: Counter::default(),
            draining: Gauge::default(),
            upstream_pulls: Gauge::default(),
            forwards: Gauge::default(),
            stream_conflicts: Counter::default(),
            peers: Gauge::default(),
            leases: Gauge::default(),
            ring_bytes: Gauge::default(),
            merge_window: Gauge::default(),
            first_frame: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            hls: HlsMetrics::default(),
            dvr: DvrMetrics::default(),
            hls_files: HlsFileMetrics::default(),
            operating: OperatingMetrics::default(),
            tls: TlsMetrics::default(),
            access: AccessMetrics::default(),
            hooks: HooksMetrics::default(),
            players: Family::default(),
            connections: Family::default(),
            disconnects: Family::default(),
            refused_players: Family::default(),
            ingress_bytes: Family::default(),
            egress_bytes: Family::default(),
            dropped_packets: Family::default(),
            upstream_connects: Family::default(),
            upstream_reconnects: Family::default(),
            dns_lookups: Family::default(),
            marks: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        let build = [("version", env!("CARGO_PKG_VERSION"))].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let info = prometheus_client::metrics::info::Info::new(build.to_vec());
        registry.register("build", "The version that runs", info);
        registry.register("streams", "Streams that have media", self.streams.clone());
        registry.register("publishers", "Publishers connected to this process", self.publishers.clone());
        registry.register("players", "Players, pulls by edges included", self.players.clone());
        let pulls = self.downstream_pulls.clone();
        registry.register("downstream_pulls", "Players that are pulls by other servers", pulls);
        registry.register("refused_players", "Players that a limit kept out", self.refused_players.clone());
        registry.register("open_connections", "Connections that are open", self.open_connections.clone());
        registry.register("handshakes", "Connections that have just begun", self.handshakes.clone());
        let paced = self.paced_connections.clone();
        registry.register("paced_connections", "Connections that waited for others to begin", paced);
        registry.register("draining", "Whether the process drains", self.draining.clone());
        registry.register("connections", "Connections accepted or refused", self.connections.clone());
        registry.register("disconnects", "Connections ended, by reason", self.disconnects.clone());
        registry.register("upstream_pulls", "Streams being pulled from upstream", self.upstream_pulls.clone());
        registry.register("forwards", "Streams whose publisher is forwarded upstream", self.forwards.clone());
        registry.register("upstream_connects", "Attempts to connect upstream", self.upstream_connects.clone());
        registry.register("upstream_reconnects", "Pulls and forwards that were lost", self.upstream_reconnects.clone());
        registry.register("stream_conflicts", "Publishers that lost a name", self.stream_conflicts.clone());
        registry.register("ingress_bytes", "Bytes received", self.ingress_bytes.clone());
        registry.register("peers", "Other origins that can be asked", self.peers.clone());
        registry.register("leases", "Streams of other origins known here", self.leases.clone());
        registry.register("egress_bytes", "Bytes sent", self.egress_bytes.clone());
        registry.register("dropped_packets", "Packets that players skipped", self.dropped_packets.clone());
        registry.register("ring_bytes", "Bytes that all rings hold", self.ring_bytes.clone());
        let window = self.merge_window.clone();
        registry.register_with_unit("merge_window", "The largest merge window", Unit::Seconds, window);
        let first_frame = self.first_frame.clone();
        registry.register_with_unit("first_frame", "Play command to first media", Unit::Seconds, first_frame);
        registry.register("dns_lookups", "Names resolved", self.dns_lookups.clone());
        registry.register("marks", "Marks of servers that pull", self.marks.clone());
        self.hls.register(registry);
        self.dvr.register(registry);
        self.hls_files.register(registry);
        self.operating.register(registry);
        self.tls.register(registry);
        self.access.register(registry);
        self.hooks.register(registry);
        self.touch_every_series();
        self
    }

    fn touch_every_series(&self) {
        for &protocol in Protocol::ALL {
            drop(self.players(protocol));
            drop(self.ingress_bytes(protocol));
            drop(self.egress_bytes(protocol));
            for &result in ConnectionResult::ALL {
                drop(self.connections(protocol, result));
            }
        }
        Shortage::ALL.iter().for_each(|&shortage| drop(self.refused_players(shortage)));
        Reason::ALL.iter().for_each(|&reason| drop(self.disconnects(reason)));
        DropReason::ALL.iter().for_each(|&reason| drop(self.dropped_packets(reason)));
        ConnectResult::ALL.iter().for_each(|&result| drop(self.upstream_connects(result)));
        ReconnectReason::ALL.iter().for_each(|&reason| drop(self.upstream_reconnects(reason)));
        LookupResult::ALL.iter().for_each(|&result| drop(self.dns_lookups(result)));
        MarkResult::ALL.iter().for_each(|&result| drop(self.marks(result)));
    }

    /// Players over `protocol`.
    pub fn players(&self, protocol: Protocol) -> Gauge {
        self.players.get_or_create_owned(&[("protocol", protocol)])
    }

    /// Connections over `protocol` that were let in or not.
    pub fn connections(&self, protocol: Protocol, result: ConnectionResult) -> Counter {
        self.connections.get_or_create_owned(&ProtocolAndResult { protocol, result })
    }

    /// Connections that ended for `reason`.
    pub fn disconnects(&self, reason: Reason) -> Counter {
        self.disconnects.get_or_create_owned(&[("reason", reason)])
    }

    /// Players that were refused for want of `shortage`.
    pub fn refused_players(&self, shortage: Shortage) -> Counter {
        self.refused_players.get_or_create_owned(&[("limit", shortage)])
    }

    /// Bytes received over `protocol`.
    pub fn ingress_bytes(&self, protocol: Protocol) -> Counter {
        self.ingress_bytes.get_or_create_owned(&[("protocol", protocol)])
    }

    /// Bytes sent over `protocol`.
    pub fn egress_bytes(&self, protocol: Protocol) -> Counter {
        self.egress_bytes.get_or_create_owned(&[("protocol", protocol)])
    }

    /// Bytes sent over all protocols.
    pub fn total_egress_bytes(&self) -> u64 {
        Protocol::ALL.iter().map(|&protocol| self.egress_bytes(protocol).get()).sum()
    }

    /// Packets that a player did not get, counted per player.
    pub fn dropped_packets(&self, reason: DropReason) -> Counter {
        self.dropped_packets.get_or_create_owned(&[("reason", reason)])
    }

    /// Attempts to connect upstream that ended in `result`.
    pub fn upstream_connects(&self, result: ConnectResult) -> Counter {
        self.upstream_connects.get_or_create_owned(&[("result", result)])
    }

    /// Pulls that had media, and forwards that were accepted, and were lost for `reason`.
    pub fn upstream_reconnects(&self, reason: ReconnectReason) -> Counter {
        self.upstream_reconnects.get_or_create_owned(&[("reason", reason)])
    }

    /// Names resolved with `result`.
    pub fn dns_lookups(&self, result: LookupResult) -> Counter {
        self.dns_lookups.get_or_create_owned(&[("result", result)])
    }

    /// Marks that peers sent and that were judged to be `result`.
    pub fn marks(&self, result: MarkResult) -> Counter {
        self.marks.get_or_create_owned(&[("result", result)])
    }

    /// The OpenMetrics text of everything.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_at_zero_from_the_start() {
        let text = Metrics::new().encode().unwrap();
        for line in [
            "rillcast_streams 0",
            "rillcast_publishers 0",
            "rillcast_upstream_pulls 0",
            "rillcast_forwards 0",
            "rillcast_ring_bytes 0",
            "rillcast_peers 0",
            "rillcast_leases 0",
            "rillcast_players{protocol=\"rtmp\"} 0",
            "rillcast_downstream_pulls 0",
            "rillcast_open_connections 0",
            "rillcast_draining 0",
            "rillcast_handshakes 0",
            "rillcast_paced_connections_total 0",
            "rillcast_refused_players_total{limit=\"players\"} 0",
            "rillcast_refused_players_total{limit=\"egress\"} 0",
            "rillcast_players{protocol=\"http-flv\"} 0",
            "rillcast_players{protocol=\"ws-flv\"} 0",
            "rillcast_connections_total{protocol=\"rtmp\",result=\"accepted\"} 0",
            "rillcast_disconnects_total{reason=\"slow_player\"} 0",
            "rillcast_upstream_connects_total{result=\"connected\"} 0",
            "rillcast_marks_total{result=\"verified\"} 0",
            "rillcast_merge_window_seconds 0.0",
            "rillcast_first_frame_seconds_count 0",
            "rillcast_hls_requests_total{file=\"segment\",result=\"sent\"} 0",
            "rillcast_hls_relayed_total{file=\"segment\",result=\"fetched\"} 0",
            "rillcast_hls_cache_bytes 0",
            "rillcast_players{protocol=\"hls\"} 0",
            "rillcast_hls_streams 0",
            "rillcast_hls_segments_total 0",
            "rillcast_hls_memory_bytes 0",
            "rillcast_hls_forced_cuts_total 0",
            "rillcast_hls_dropped_packets_total 0",
            "rillcast_hls_disk_segments_total 0",
            "rillcast_hls_disk_errors_total{reason=\"full\"} 0",
            "rillcast_auth_refusals_total{action=\"play\",reason=\"expired\"} 0",
            "rillcast_hooks_total{hook=\"on_play\",result=\"failed\"} 0",
            "rillcast_hooks_waiting 0",
            "rillcast_tls_certificate_expiry_timestamp_seconds 0",
            "rillcast_tls_certificate_reloads_total{result=\"failed\"} 0",
            "rillcast_dvr_recordings 0",
            "rillcast_dvr_files_total 0",
            "rillcast_dvr_bytes_total 0",
            "rillcast_dvr_dropped_bytes_total 0",
            "rillcast_dvr_errors_total{reason=\"full\"} 0",
            "rillcast_dvr_deleted_files_total{reason=\"age\"} 0",
            "rillcast_config_last_reload_successful 1",
            "rillcast_admin_refusals_total{reason=\"wrong_credentials\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn the_version_is_told() {
        let text = Metrics::new().encode().unwrap();
        assert!(text.contains(concat!("rillcast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
    }
}
