//! How many pods: from what one costs here to what a cluster needs.
//!
//! Owns the arithmetic. Every assumption is an argument; none is hidden.

use crate::report::table::{Table, grouped, number};

/// What is to be served, and what a pod can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Live streams.
    pub(crate) streams: u64,
    /// Bits a second of each.
    pub(crate) bitrate: f64,
    /// CPU milliseconds of an edge for each gigabit that it delivers.
    pub(crate) cpu_ms_per_gigabit: f64,
    /// How many times more a gigabit costs that comes in than one that goes out.
    pub(crate) ingest_factor: f64,
    /// Cores of a pod.
    pub(crate) cores: f64,
    /// The share of its cores and of its network that a pod should use.
    pub(crate) utilisation: f64,
    /// Bits a second of a pod's network.
    pub(crate) network: f64,
    /// Connections of a pod.
    pub(crate) connections: u64,
    /// Bytes of memory for each player.
    pub(crate) bytes_per_player: f64,
    /// Seconds of each stream that a pod holds in memory.
    pub(crate) ring_seconds: f64,
    /// Streams have viewers by Zipf's law; otherwise all have equally many.
    pub(crate) zipf: bool,
}

/// What a number of viewers needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// Edge pods.
    pub(crate) edges: u64,
    /// Origin pods.
    pub(crate) origins: u64,
    /// Bits a second from edges to viewers.
    pub(crate) viewer_egress: f64,
    /// Bits a second out of origins.
    pub(crate) origin_egress: f64,
    /// Bits a second from edges to edges.
    pub(crate) edge_egress: f64,
    /// Bytes of memory of an edge pod.
    pub(crate) edge_memory: f64,
}

/// Nobody runs one of anything.
const LEAST_PODS: u64 = 2;
/// The number of edges decides what they pull, and the other way round; this settles it.
const ITERATIONS: u32 = 20;

impl Demand {
    /// What `viewers` need, with or without a shield between edges and origins.
    pub(crate) fn plan(&self, viewers: u64, shield: bool) -> Plan {
        let viewer_egress = viewers as f64 * self.bitrate;
        let mut edges = LEAST_PODS;
        let mut pulls = self.pulls(viewers, edges);
        for _ in 0..ITERATIONS {
            pulls = self.pulls(viewers, edges);
            let between = if shield { (pulls - self.watched(viewers)).max(0.0) } else { 0.0 };
            let out = viewer_egress + between * self.bitrate;
            let pods = self.pods(out, pulls * self.bitrate, viewers as f64 + between);
            if pods <= edges {
                break;
            }
            edges = pods;
        }
        let watched = self.watched(viewers);
        let (from_origins, between) =
            if shield { (watched.min(pulls), (pulls - watched).max(0.0)) } else { (pulls, 0.0) };
        let published = self.streams as f64 * self.bitrate;
        let origin_egress = from_origins * self.bitrate;
        let ring_bytes = pulls / edges as f64 * self.bitrate / 8.0 * self.ring_seconds;
        Plan {
            edges,
            origins: self.pods(origin_egress, published, from_origins + self.streams as f64),
            viewer_egress,
            origin_egress,
            edge_egress: between * self.bitrate,
            edge_memory: viewers as f64 / edges as f64 * self.bytes_per_player + ring_bytes,
        }
    }

    /// Pods that send, take in and hold so much.
    fn pods(&self, out: f64, taken_in: f64, connections: f64) -> u64 {
        let cpu_ms = (out + taken_in * self.ingest_factor) * 1e-9 * self.cpu_ms_per_gigabit;
        let by_cpu = cpu_ms / (1000.0 * self.cores * self.utilisation);
        let by_network = out.max(taken_in) / (self.network * self.utilisation);
        let by_connections = connections / self.connections as f64;
        (by_cpu.max(by_network).max(by_connections).ceil() as u64).max(LEAST_PODS)
    }

    /// Streams that somebody watches: viewers choose at random, so that a stream with v on average has none with e^-v.
    fn watched(&self, viewers: u64) -> f64 {
        self.over_streams(viewers, |viewers| 1.0 - (-viewers).exp())
    }

    /// Pulls of all edges together: of e edges, e * (1 - e^(-v/e)) have one of a stream's v viewers.
    fn pulls(&self, viewers: u64, edges: u64) -> f64 {
        let edges = edges as f64;
        self.over_streams(viewers, |viewers| edges * (1.0 - (-viewers / edges).exp()))
    }

    fn over_streams(&self, viewers: u64, each: impl Fn(f64) -> f64) -> f64 {
        let (streams, viewers) = (self.streams as f64, viewers as f64);
        if !self.zipf {
            return streams * each(viewers / streams);
        }
        let whole: f64 = (1..=self.streams).map(|rank| 1.0 / rank as f64).sum();
        (1..=self.streams).map(|rank| each(viewers / (rank as f64 * whole))).sum()
    }

    /// A row for each number of viewers, with and without a shield.
    pub(crate) fn table(&self, viewers: &[u64]) -> Table {
        let mut table = Table::new(&[
            "viewers",
            "shield",
            "edge pods",
            "origin pods",
            "to viewers",
            "out of origins",
            "edge to edge",
            "memory of an edge",
        ]);
        for viewers in viewers {
            for shield in [false, true] {
                let plan = self.plan(*viewers, shield);
                table.push(vec![
                    grouped(*viewers),
                    if shield { "yes" } else { "no" }.to_owned(),
                    grouped(plan.edges),
                    grouped(plan.origins),
                    rate(plan.viewer_egress),
                    rate(plan.origin_egress),
                    rate(plan.edge_egress),
                    format!("{} MiB", number(plan.edge_memory / f64::from(1 << 20))),
                ]);
            }
        }
        table
    }
}

fn rate(bits_per_second: f64) -> String {
    match bits_per_second {
        0.0 => "–".to_owned(),
        bits if bits >= 1e12 => format!("{} Tbit/s", number(bits * 1e-12)),
        bits if bits >= 1e9 => format!("{} Gbit/s", number(bits * 1e-9)),
        bits => format!("{} Mbit/s", number(bits * 1e-6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            streams: 100,
            bitrate: 2e6,
            cpu_ms_per_gigabit: 50.0,
            ingest_factor: 3.0,
            cores: 4.0,
            utilisation: 0.5,
            network: 25e9,
            connections: 100_000,
            bytes_per_player: 6_144.0,
            ring_seconds: 12.0,
            zipf: false,
        }
    }

    #[test]
    fn ten_million_viewers_are_limited_by_the_network() {
        let plan = demand().plan(10_000_000, false);
        assert_eq!(plan.viewer_egress, 20e12);
        // 20 Tbit/s over half of 25 Gbit/s each.
        assert_eq!(plan.edges, 1_600);
        // Every edge has a viewer of every stream.
        assert!((plan.origin_egress / (1_600.0 * 100.0 * 2e6) - 1.0).abs() < 0.01);
    }

    #[test]
    fn behind_a_shield_each_stream_leaves_the_origins_once() {
        let (without, with) = (demand().plan(10_000_000, false), demand().plan(10_000_000, true));
        assert_eq!(with.origin_egress, 100.0 * 2e6);
        assert!(with.origins < without.origins);
        assert!(with.edge_egress > 0.0 && with.edges >= without.edges);
    }

    #[test]
    fn few_viewers_need_two_of_each_and_pull_what_they_watch() {
        let plan = demand().plan(10, false);
        assert_eq!((plan.edges, plan.origins), (2, 2));
        assert!(plan.origin_egress <= 10.1 * 2e6);
    }

    #[test]
    fn unpopular_streams_are_pulled_by_fewer_edges() {
        let even = demand();
        let zipf = Demand { zipf: true, ..even };
        let edges = |demand: &Demand| demand.plan(100_000, false).origin_egress;
        assert!(edges(&zipf) < edges(&even));
    }
}
