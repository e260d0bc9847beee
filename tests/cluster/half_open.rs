//! Connections that stay open and carry nothing, as a load balancer leaves them behind that lost its state.

use std::time::{Duration, Instant};

use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale, streams};
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 2;
const EDGES: usize = 2;

/// What encoders do that ask their server for a sign of life.
const WATCHFUL: Habit = Habit { reconnect_after: Duration::from_secs(1), silence: Some(Duration::from_secs(3)) };

/// By when a publisher's ghost is closed (`publish.normal_timeout`), and its stream looked for elsewhere.
const PROMISED: Duration = Duration::from_secs(7);

#[test]
fn players_stay_when_all_encoders_connections_become_half_open() {
    let streams = streams(scale::pick(8, 60));
    let players_an_edge = scale::pick(16, 100);
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, "");
    let edge = cluster.edge_by_name();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let balancer = cluster.balancer(Tier::Origins);
    let encoders = Encoders::start_all(cluster.runtime(), &streams, &balancer.target(), WATCHFUL);
    let mut audience = Audience::new();
    audience.join_each_edge(&cluster, players_an_edge, &streams);
    audience.wait_until_playing();

    audience.mark();
    encoders.mark();
    balancer.freeze();
    wait_until("all encoders have noticed", || encoders.disconnects().len() >= streams.len());
    wait_until("all encoders publish again", || encoders.all_publish());
    audience.wait_for_frames_after(Instant::now());
    let_pass(Duration::from_secs(2));

    let figures = audience.figures();
    row("half-open connections to all encoders, which notice after 3 s", &figures);
    figures.assert_in_order();
    assert_eq!(figures.disconnects, 0, "{:?}", audience.endings());
    assert!(figures.gap(99) < scale::bound(PROMISED), "{figures}");
}
