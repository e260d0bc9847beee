//! Many players, one pull: nobody misses a frame, whoever comes and goes, in whatever order.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::harness::player::{Headers, Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::{let_pass, wait_until};

const STREAM: &str = "live/crowd";

#[test]
fn two_hundred_players_at_random_times_share_one_pull_and_miss_nothing() {
    const PLAYERS: usize = 200;
    let spread = Duration::from_secs(5);
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();

    let mut due = random_times(PLAYERS, spread);
    due.sort();
    let start = Instant::now();
    let mut players: Vec<Player> = Vec::new();
    for (index, due) in due.into_iter().enumerate() {
        wait_until("the next player is due", || start.elapsed() >= due);
        players.push(Player::join(Protocol::ALL[index % 2], &edge, STREAM));
        // The first one starts the pull.
        players[0].expect_media();
        assert_eq!(edge.metrics().sum("rillcast_upstream_pulls"), 1.0, "after player {index}");
    }
    // Everybody sees at least one more keyframe.
    let_pass(Duration::from_secs(2));
    let (session, last) = (feed.session, feed.last_number());

    let mut headers: Vec<Headers> = Vec::new();
    for player in &players {
        player.wait_for_frame(session, last);
        assert!(player.frames()[0].key, "a player starts with a keyframe");
        player.assert_no_frame_missing();
        player.assert_monotonic();
        headers.push(player.headers());
    }
    assert!(headers.iter().all(|own| *own == headers[0]), "all players got the same headers, byte by byte");
    assert!(headers[0].metadata.is_some() && headers[0].video.is_some() && headers[0].audio.is_some());

    let metrics = edge.metrics();
    assert_eq!(metrics.labelled("rillcast_players", "protocol", "rtmp"), 100.0);
    assert_eq!(metrics.sum("rillcast_players"), 200.0);
    assert_eq!(metrics.sum("rillcast_upstream_pulls"), 1.0);
    assert_eq!(metrics.sum("rillcast_upstream_connects_total"), 1.0, "the origin was asked once");
    assert_eq!(origin.metrics().sum("rillcast_players"), 1.0, "the origin serves the edge and nobody else");
}

#[test]
fn all_players_that_ask_at_the_same_instant_share_one_pull() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let players: Vec<Player> = (0..40).map(|index| Player::join(Protocol::ALL[index % 2], &edge, STREAM)).collect();
    players.iter().for_each(Player::expect_media);
    assert_eq!(edge.metrics().sum("rillcast_upstream_connects_total"), 1.0);
}

#[test]
fn the_pull_lingers_after_the_last_player_and_then_ends() {
    let (origin, edge) = Server::origin_and_edge("", "[upstream]\nlinger = \"1s\"\n");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_media();
    player.leave();
    let left = Instant::now();
    wait_until("the edge has no player", || edge.metrics().sum("rillcast_players") == 0.0);
    wait_until("the pull ends", || edge.metrics().sum("rillcast_upstream_pulls") == 0.0);
    assert!(left.elapsed() >= Duration::from_millis(900), "the pull ended {:?} after the player", left.elapsed());
    wait_until("the origin notices", || origin.metrics().sum("rillcast_players") == 0.0);
    assert_eq!(origin.metrics().sum("rillcast_publishers"), 1.0);
}

/// One step of a schedule, after a pause in milliseconds.
#[derive(Debug, Clone)]
enum Step {
    Join(Protocol, u64),
    Leave(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = prop_oneof![Just(Protocol::Rtmp), Just(Protocol::HttpFlv)];
    let pause = 0..120_u64;
    prop_oneof![
        (protocol, pause.clone()).prop_map(|(protocol, pause)| Step::Join(protocol, pause)),
        (any::<usize>(), pause).prop_map(|(who, pause)| Step::Leave(who, pause)),
    ]
}

#[test]
fn no_play_is_ever_refused_whatever_the_order_of_joins_and_leaves() {
    // With so short a linger, pulls end and begin all the time: that is where a play could fall into a gap.
    let (origin, edge) = Server::origin_and_edge("", "[upstream]\nlinger = \"40ms\"\n");
    let _feed = Publisher::start_with(&origin, STREAM, Content { gop: 5, ..Content::default() }).feed();
    let config = Config { cases: 10, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&proptest::collection::vec(step(), 1..30), |steps| {
            let mut players: Vec<Player> = Vec::new();
            for step in steps {
                match step {
                    Step::Join(protocol, pause) => {
                        let_pass(Duration::from_millis(pause));
                        players.push(Player::join(protocol, &edge, STREAM));
                    }
                    Step::Leave(who, pause) if !players.is_empty() => {
                        let_pass(Duration::from_millis(pause));
                        players.swap_remove(who % players.len()).leave();
                    }
                    Step::Leave(..) => {}
                }
            }
            for player in players {
                prop_assert_eq!(player.answer(), Ok(()));
                player.wait_for_media();
                player.assert_no_frame_missing();
            }
            Ok(())
        })
        .unwrap();
}

fn random_times(count: usize, within: Duration) -> Vec<Duration> {
    let mut runner = TestRunner::default();
    let millis = 0..within.as_millis() as u64;
    let times = proptest::collection::vec(millis, count).new_tree(&mut runner).expect("a plain range").current();
    println!("players join at (ms): {times:?}");
    times.into_iter().map(Duration::from_millis).collect()
}

#[test]
fn in_a_wide_window_input_waits_in_its_socket_and_neither_a_frame_nor_the_goodbye_is_missed() {
    let window = "[play]\nmw_latency = \"1s\"\n";
    let (origin, edge) = Server::origin_and_edge(window, window);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    let_pass(Duration::from_secs(3));
    let (session, last) = (feed.session, feed.last_number());
    for player in &players {
        player.wait_for_frame(session, last);
        player.assert_no_frame_missing();
        player.assert_monotonic();
    }
    feed.stop().unpublish();
    wait_until("the origin has heard the goodbye", || origin.metrics().sum("rillcast_publishers") == 0.0);
}
