//! Every pod of a tier is replaced, one after the other.

use std::time::{Duration, Instant};

use super::bench::{Audience, Cluster, Encoders, Habit, Live, Tier, drain, row, scale, streams};
use super::harness::wait_until;

const ORIGINS: usize = 3;
const EDGES: usize = 3;

/// How soon a player comes back that was closed.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

#[test]
fn edges_are_replaced_and_their_players_move_a_few_at_a_time() {
    let streams = streams(scale::pick(6, 60));
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, 2, "");
    let edge = format!("{}{}", cluster.edge_by_service(), drain::config());
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let origins = cluster.service(Tier::Origins);
    let _encoders = Encoders::start_all(cluster.runtime(), &streams, &origins, Habit::USUAL);
    let mut audience = Audience::new();
    audience.join(scale::pick(96, 400), &streams, &cluster.service(Tier::Edges), Some(RECONNECT_AFTER));
    audience.wait_until_playing();

    audience.mark();
    let mut most_players = 0;
    for number in 0..EDGES {
        // The new pod is ready before the old one is told to go (maxSurge 1, maxUnavailable 0).
        cluster.start_pod(&format!("edge-{}", EDGES + number), Tier::Edges, 0, &edge);
        cluster.wait_until_ready();
        let old = format!("edge-{number}");
        most_players = most_players.max(cluster.pod(&old).count("rillcast_players"));
        cluster.delete(&old);
    }
    audience.wait_for_frames_after(Instant::now());

    let figures = audience.figures();
    let most = most_within_a_second(&audience.endings());
    let share = most_players as f64 / drain::window().as_secs_f64();
    row(
        &format!("rolling restart of {EDGES} edges, {} players reconnect", figures.players),
        format!(
            "{} refused; {} moved, at most {most} within a second, of {most_players} an edge over {} s; gap p50 {:.2} s, \
             p99 {:.2} s",
            figures.refused,
            figures.disconnects,
            drain::window().as_secs(),
            figures.gap(50).as_secs_f64(),
            figures.gap(99).as_secs_f64()
        ),
    );
    figures.assert_in_order();
    assert_eq!(figures.refused, 0, "{:?}", audience.endings());
    assert!(figures.disconnects as u64 >= most_players, "every edge's players had to move");
    // Players leave at keyframes, a second apart here, and the machine may stand still for a moment.
    assert!(most as f64 <= 2.5 * share + 4.0, "{most} players within a second, the window's share is {share:.1}");
}

#[test]
fn origins_are_replaced_and_nobody_is_disconnected() {
    let origin = format!("{}{}", Cluster::origin_with_peers(), drain::config());
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, &origin);
    let edge = cluster.forwarding_edge();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let edges = cluster.service(Tier::Edges);
    let live = Live::start(&cluster, streams(scale::pick(9, 60)), &edges, scale::pick(18, 130));

    live.mark();
    let mut slowest = Duration::ZERO;
    for number in (0..ORIGINS).rev() {
        let name = format!("origin-{number}");
        slowest = slowest.max(cluster.delete(&name));
        cluster.start_pod(&name, Tier::Origins, 0, &origin);
        cluster.wait_until_ready();
    }
    live.wait_until_all_is_well();
    wait_until("all streams are at origins", || {
        cluster.pods(Tier::Origins).map(|origin| origin.published().len()).sum::<usize>() == live.streams.len()
    });
    let figures = live.audience.figures();
    row(
        &format!("rolling restart of {ORIGINS} origins, publishers forwarded"),
        format!("each ends within {:.0} s; {figures}", slowest.as_secs_f64()),
    );
    live.assert_nobody_left();
    assert!(figures.gap(99) < scale::bound(Duration::from_secs(1)), "{figures}");
}

/// The most connections that ended within a second.
fn most_within_a_second(endings: &[(Instant, String)]) -> usize {
    let until =
        |from: Instant| endings.iter().filter(move |(at, _)| *at >= from && *at - from < Duration::from_secs(1));
    endings.iter().map(|(from, _)| until(*from).count()).max().unwrap_or_default()
}
