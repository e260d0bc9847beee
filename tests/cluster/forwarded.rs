//! An origin is lost under publishers that edges forward: neither they nor players are disconnected.

use std::time::Duration;

use rustix::process::Signal;

use super::bench::{Cluster, Live, Tier, row, scale, streams};
use super::harness::wait_until;

const ORIGINS: usize = 3;
const EDGES: usize = 3;

#[test]
fn nobody_is_disconnected_when_an_origin_dies() {
    let (mut cluster, live) = start();
    let moving = cluster.pod("origin-0").published();
    assert!(!moving.is_empty(), "it has some of the streams");
    live.mark();
    cluster.kill("origin-0");
    wait_until("its streams are at other origins", || publishers(&cluster, "") == live.streams.len());
    report(&live, &moving, "SIGKILL one origin, publishers forwarded by edges", Duration::from_millis(1_500));
}

#[test]
fn nobody_is_disconnected_when_an_origin_stops() {
    let (cluster, live) = start();
    let moving = cluster.pod("origin-0").published();
    assert!(!moving.is_empty(), "it has some of the streams");
    live.mark();
    cluster.pod("origin-0").signal(Signal::STOP);
    wait_until("its streams are at other origins", || publishers(&cluster, "origin-0") == live.streams.len());
    report(&live, &moving, "SIGSTOP an origin, publishers forwarded by edges", Duration::from_millis(4_500));
    // It has become another's ghost: it gives way when it goes on.
    cluster.pod("origin-0").signal(Signal::CONT);
    live.wait_until_all_is_well();
    live.assert_nobody_left();
    wait_until("it has given its streams up", || publishers(&cluster, "") == live.streams.len());
}

fn start() -> (Cluster, Live) {
    let streams = streams(scale::pick(9, 60));
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, &Cluster::origin_with_peers());
    let edge = cluster.forwarding_edge();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let live = Live::start(&cluster, streams, &cluster.service(Tier::Edges), scale::pick(18, 130));
    (cluster, live)
}

/// The publishers of all origins but one that cannot answer.
fn publishers(cluster: &Cluster, but: &str) -> usize {
    let answering = cluster.pods(Tier::Origins).filter(|origin| origin.name != but);
    answering.map(|origin| origin.count("rillcast_publishers") as usize).sum()
}

#[track_caller]
fn report(live: &Live, moving: &[String], scenario: &str, promised: Duration) {
    live.wait_until_all_is_well();
    let (moved, stayed) = live.figures_of(moving);
    row(scenario, format!("{} of {} streams: {moved}; the others: {stayed}", moving.len(), live.streams.len()));
    live.assert_nobody_left();
    assert_eq!(stayed.lost, 0);
    assert!(moved.gap(99) < scale::bound(promised), "{moved}");
    assert!(stayed.gap(100) < scale::bound(Duration::from_secs(1)), "{stayed}");
}
