//! Every name has a home among the origins: where streams are, and how they are found wherever they were published.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::cluster::edge_config;
use super::bench::control_plane::pod_host;
use super::bench::placement::home;
use super::bench::{Cluster, Live, Tier, row, scale, streams};
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 3;
const EDGES: usize = 4;

#[test]
fn streams_published_at_edges_are_at_their_homes_and_every_edge_pulls_them_once() {
    let streams = streams(scale::pick(12, 60));
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, &Cluster::origin_with_peers());
    let edge = cluster.forwarding_edge();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let live = Live::start(&cluster, streams, &cluster.service(Tier::Edges), scale::pick(24, 100));
    // The edge that forwards a stream has it already.
    let pulls = (EDGES - 1) * live.streams.len();
    wait_until("every edge pulls every stream once", || players_at_origins(&cluster) == pulls);
    live.mark();
    let_pass(scale::time(Duration::from_secs(3)));
    assert_eq!(players_at_origins(&cluster), pulls, "a stream is pulled once by each edge");
    assert_eq!(
        cluster.pods(Tier::Edges).map(|edge| edge.count("rillcast_forwards")).sum::<u64>(),
        live.streams.len() as u64
    );

    let hosts: Vec<String> = cluster
        .pods(Tier::Origins)
        .map(|origin| format!("{}:{}", pod_host(&origin.name, Tier::Origins), origin.rtmp().port()))
        .collect();
    for (origin, host) in cluster.pods(Tier::Origins).zip(&hosts) {
        let expected: BTreeSet<String> =
            live.streams.iter().filter(|stream| home(stream, &hosts) == Some(host)).cloned().collect();
        assert_eq!(origin.published().into_iter().collect::<BTreeSet<String>>(), expected, "{host}");
    }
    report(&cluster, &live, "by name, published at edges", pulls);
}

#[test]
fn streams_published_anywhere_are_found_through_one_virtual_ip() {
    let streams = streams(scale::pick(12, 60));
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, &Cluster::origin_with_peers());
    let balancer = cluster.balancer(Tier::Origins);
    let edge = edge_config(&balancer.rtmp().to_string());
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let live = Live::start(&cluster, streams, &balancer.target(), scale::pick(24, 100));
    let pulls = EDGES * live.streams.len();
    wait_until("every edge pulls every stream once", || players_at_origins(&cluster) == pulls);
    live.mark();
    let_pass(scale::time(Duration::from_secs(3)));
    assert_eq!(players_at_origins(&cluster), pulls, "a stream is pulled once by each edge");
    report(&cluster, &live, "by one virtual IP, published there", pulls);
}

#[track_caller]
fn report(cluster: &Cluster, live: &Live, how: &str, pulls: usize) {
    let figures = live.audience.figures();
    let published: Vec<usize> = cluster.pods(Tier::Origins).map(|origin| origin.published().len()).collect();
    row(
        &format!("{ORIGINS} origins {how}, {} streams, {EDGES} edges", live.streams.len()),
        format!("{pulls} pulls, streams at the origins {published:?}; {figures}"),
    );
    live.assert_nobody_left();
    assert_eq!(figures.lost, 0);
}

/// Players of origins are edges here: one for each stream that an edge pulls.
fn players_at_origins(cluster: &Cluster) -> usize {
    cluster.pods(Tier::Origins).map(|origin| origin.count("rillcast_players") as usize).sum()
}
