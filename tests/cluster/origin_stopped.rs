//! An origin stops answering (SIGSTOP): its connections stay open and carry nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::bench::cluster::streams;
use super::bench::pod::Pod;
use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale};
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 3;
const EDGES: usize = 3;

/// Two encoders publish each stream, to different origins, as is usual where a stream matters.
#[test]
fn players_stay_when_an_origin_stops_and_another_has_the_stream() {
    let streams = streams(scale::pick(9, 60));
    let players_an_edge = scale::pick(18, 130);
    let mut cluster = Cluster::start();
    // Encoders of a stopped origin are not its silent ones.
    cluster.start_pods(Tier::Origins, ORIGINS, "[publish]\nnormal_timeout = \"5m\"\n");
    let edge = cluster.edge_by_service();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let encoders: Vec<Encoders> = (0..ORIGINS)
        .map(|origin| {
            let target = cluster.target(&format!("origin-{origin}"));
            let not_there = (origin + 1) % ORIGINS;
            let other = streams.iter().enumerate().filter(|(number, _)| number % ORIGINS != not_there);
            let streams: Vec<String> = other.map(|(_, stream)| stream.clone()).collect();
            Encoders::start_all(cluster.runtime(), &streams, &target, Habit::USUAL)
        })
        .collect();
    let mut audience = Audience::new();
    audience.join_each_edge(&cluster, players_an_edge, &streams);
    audience.wait_until_playing();
    // All edges rank the same way, but one that had to wait for an answer may have got it from elsewhere.
    let pulls = pulled_from(&cluster, "origin-0");
    let moving: BTreeSet<&String> = pulls.iter().collect();
    assert!(!moving.is_empty(), "the hash gives it some of the streams");

    audience.mark();
    encoders.iter().for_each(Encoders::mark);
    let begin = Instant::now();
    cluster.pod("origin-0").signal(Signal::STOP);
    let mut noticed = Duration::ZERO;
    wait_until("every pull from it is given up", || {
        noticed = begin.elapsed();
        silent(&cluster) >= pulls.len() as u64
    });
    audience.wait_for_frames_after(Instant::now());
    let_pass(Duration::from_secs(2));

    let is_moving = |stream: &str| moving.iter().any(|moving| *moving == stream);
    let (moved, stayed) = (audience.figures_of(is_moving), audience.figures_of(|stream| !is_moving(stream)));
    row(
        "SIGSTOP an origin, each stream published twice",
        format!(
            "{} of {} streams: noticed after {:.2} s; {moved}; the others: {stayed}",
            moving.len(),
            streams.len(),
            noticed.as_secs_f64()
        ),
    );
    cluster.pod("origin-0").signal(Signal::CONT);
    for figures in [&moved, &stayed] {
        figures.assert_in_order();
        assert_eq!(figures.disconnects, 0, "{:?}", audience.endings());
    }
    assert_eq!(stayed.lost, 0);
    assert!(noticed < scale::bound(Duration::from_secs(3)), "{noticed:?}");
    assert!(moved.gap(99) < scale::bound(Duration::from_millis(4_500)), "{moved}");
    assert!(stayed.gap(100) < scale::bound(Duration::from_secs(1)), "{stayed}");
}

/// The streams that the edges have from an origin, once for each edge.
fn pulled_from(cluster: &Cluster, origin: &str) -> Vec<String> {
    let address = cluster.pod(origin).rtmp().to_string();
    let pulls = cluster.pods(Tier::Edges).flat_map(Pod::streams);
    let from_it = pulls.filter(|stream| stream["upstream"]["address"] == address.as_str());
    from_it.filter_map(|stream| Some(stream["url"].as_str()?.trim_start_matches('/').to_owned())).collect()
}

fn silent(cluster: &Cluster) -> u64 {
    let count = |edge: &Pod| edge.metrics().labelled("rillcast_upstream_reconnects_total", "reason", "silent") as u64;
    cluster.pods(Tier::Edges).map(count).sum()
}
