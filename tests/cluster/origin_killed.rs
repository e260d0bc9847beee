//! An origin dies with SIGKILL under publishers and players.

use std::time::{Duration, Instant};

use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale, streams};
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 3;
const EDGES: usize = 3;

#[test]
fn players_stay_when_an_origin_dies_and_its_encoders_reconnect_to_others() {
    let streams = streams(scale::pick(9, 60));
    let players_an_edge = scale::pick(18, 130);
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, "");
    let edge = cluster.edge_by_name();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let balancer = cluster.balancer(Tier::Origins);
    let encoders = Encoders::start_all(cluster.runtime(), &streams, &balancer.target(), Habit::USUAL);
    let mut audience = Audience::new();
    audience.join_each_edge(&cluster, players_an_edge, &streams);
    audience.wait_until_playing();
    let moving = cluster.pod("origin-0").published();
    assert!(!moving.is_empty() && moving.len() < streams.len(), "it has some of the streams: {moving:?}");

    audience.mark();
    encoders.mark();
    cluster.kill("origin-0");
    wait_until("its encoders have noticed", || encoders.disconnects().len() >= moving.len());
    wait_until("all encoders publish again", || encoders.all_publish());
    audience.wait_for_frames_after(Instant::now());
    let_pass(Duration::from_secs(2));

    let is_moving = |stream: &str| moving.iter().any(|moving| moving == stream);
    let (moved, stayed) = (audience.figures_of(is_moving), audience.figures_of(|stream| !is_moving(stream)));
    row(
        "SIGKILL one origin, publishers direct",
        format!("{} of {} streams: {moved}; the others: {stayed}", moving.len(), streams.len()),
    );
    for figures in [&moved, &stayed] {
        figures.assert_in_order();
        assert_eq!(figures.disconnects, 0, "{:?}", audience.endings());
    }
    assert_eq!(stayed.lost, 0);
    assert!(moved.gap(99) < scale::bound(Duration::from_secs(3)), "{moved}");
    assert!(stayed.gap(100) < scale::bound(Duration::from_secs(1)), "{stayed}");
    let lost: Vec<String> = encoders.disconnects().into_iter().map(|(stream, _)| stream).collect();
    assert!(lost.iter().all(|stream| is_moving(stream)), "encoders of other origins were closed: {lost:?}");
}
