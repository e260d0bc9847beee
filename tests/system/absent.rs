//! Streams that nobody publishes: players wait a bounded time, get a clear answer, and leave nothing behind.

use std::thread;
use std::time::{Duration, Instant};

use super::harness::http;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::rtmp::RtmpClient;
use super::harness::server::Server;
use super::harness::{let_pass, wait_until};

const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
const MEBIBYTE: u64 = 1024 * 1024;

#[test]
fn a_player_of_an_absent_stream_is_refused_after_play_wait() {
    let config = "[play]\nplay_wait = \"1s\"\n";
    let (origin, edge) = Server::origin_and_edge(config, config);
    for server in [&origin, &edge] {
        for (protocol, refusal) in [(Protocol::Rtmp, NOT_FOUND), (Protocol::HttpFlv, "404")] {
            let asked = Instant::now();
            // A name of its own, because a wait that ended empty is remembered for a second.
            let player = Player::join(protocol, server, &format!("live/absent-{protocol:?}"));
            assert_eq!(player.answer(), Err(refusal.to_owned()));
            assert!(asked.elapsed() >= Duration::from_millis(900), "refused after only {:?}", asked.elapsed());
        }
    }
}

#[test]
fn a_miss_is_remembered_for_a_moment_and_cleared_by_a_publish() {
    let origin = Server::origin("[play]\nplay_wait = \"200ms\"\n");
    let stream = "live/missed";
    assert_eq!(Player::join(Protocol::HttpFlv, &origin, stream).answer(), Err("404".to_owned()));
    let _feed = Publisher::start(&origin, stream).feed();
    let player = Player::join(Protocol::HttpFlv, &origin, stream);
    assert_eq!(player.answer(), Ok(()));
    player.wait_for_media();
}

#[test]
fn a_player_that_waits_plays_when_the_publisher_comes() {
    let config = "[play]\nplay_wait = \"20s\"\n";
    let (origin, edge) = Server::origin_and_edge(config, config);
    let players: Vec<Player> = [&origin, &edge]
        .into_iter()
        .flat_map(|server| Protocol::ALL.map(|protocol| Player::join(protocol, server, "live/soon")))
        .collect();
    wait_until("the edge has asked the origin", || edge.metrics().sum("rillcast_upstream_connects_total") >= 1.0);
    let feed = Publisher::start(&origin, "live/soon").feed();
    for player in players {
        assert_eq!(player.answer(), Ok(()));
        player.wait_for_frame(feed.session, 0);
        player.assert_no_frame_missing();
    }
}

#[test]
fn a_player_may_wait_for_ever_where_play_wait_is_zero() {
    let origin = Server::origin("[play]\nplay_wait = \"0s\"\n");
    let player = Player::join(Protocol::Rtmp, &origin, "live/patience");
    let_pass(Duration::from_secs(7));
    assert_eq!((player.see(|recording| recording.statuses.clone()), player.ending()), (vec![], None));
    let _feed = Publisher::start(&origin, "live/patience").feed();
    player.wait_for_media();
}

#[test]
fn a_marked_play_of_an_absent_stream_is_answered_at_once() {
    let origin = Server::origin("[play]\nplay_wait = \"0s\"\n");
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.connect("live", &[("rillcast", "v=1;node=a-test;path=a-test;session=1")]).unwrap();
    client.play("nobody").unwrap();
    loop {
        let message = client.receive().unwrap().expect("an answer comes before the end");
        if let Some(status) = message.status() {
            assert_eq!(status, NOT_FOUND);
            break;
        }
    }
}

#[test]
fn a_player_that_leaves_while_it_waits_is_noticed() {
    let config = "[play]\nplay_wait = \"0s\"\n";
    let (_origin, edge) = Server::origin_and_edge("", &format!("{config}[upstream]\nlinger = \"100ms\"\n"));
    let_pass(Duration::from_millis(200));
    let before = edge.open_files();
    for protocol in Protocol::ALL {
        let player = Player::join(protocol, &edge, "live/nobody");
        wait_until("the edge waits with the player", || edge.metrics().sum("rillcast_upstream_pulls") == 1.0);
        player.leave();
        wait_until("its connection is gone", || edge.open_files() <= before);
        wait_until("nobody asks for the stream any more", || edge.metrics().sum("rillcast_upstream_pulls") == 0.0);
        assert_eq!(edge.metrics().sum("rillcast_players"), 0.0);
    }
}

#[test]
fn a_thousand_requests_for_absent_streams_leave_nothing_behind() {
    const THREADS: usize = 50;
    const REQUESTS: usize = 10;
    let config = "[play]\nplay_wait = \"100ms\"\n[upstream]\nlinger = \"100ms\"\n";
    let (origin, edge) = Server::origin_and_edge("[play]\nplay_wait = \"100ms\"\n", config);
    let ask_all = || {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let edge = &edge;
                scope.spawn(move || {
                    for request in 0..REQUESTS {
                        let name = format!("live/absent-{thread}-{request}");
                        assert_eq!(http::get(edge.http, &format!("/{name}.flv")).head.status, 404);
                        let player = Player::join(Protocol::Rtmp, edge, &name);
                        assert_eq!(player.answer(), Err(NOT_FOUND.to_owned()));
                    }
                });
            }
        });
    };
    let files = [edge.open_files(), origin.open_files()];
    ask_all();
    let memory = edge.resident_memory();
    ask_all();
    wait_until("the edge's sockets are gone", || edge.open_files() <= files[0] + 2);
    wait_until("the origin's sockets are gone", || origin.open_files() <= files[1] + 2);
    wait_until("no stream is left", || edge.streams().is_empty() && origin.streams().is_empty());
    let metrics = edge.metrics();
    for name in ["rillcast_players", "rillcast_streams", "rillcast_upstream_pulls", "rillcast_ring_bytes"] {
        assert_eq!(metrics.sum(name), 0.0, "{name}");
    }
    let grown = edge.resident_memory().saturating_sub(memory);
    println!("the second thousand cost {grown} bytes");
    assert!(grown < 16 * MEBIBYTE, "the second thousand requests cost {grown} bytes");
}
