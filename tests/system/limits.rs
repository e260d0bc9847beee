//! Bounds on how connections begin, on requests, and on what publishers send.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::harness::http2::{PREFACE, frame, kind};
use super::harness::metrics::new_disconnects;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::rtmp::RtmpClient;
use super::harness::server::Server;
use super::harness::{http, let_pass, wait_until};

const STREAM: &str = "live/limited";

/// A server with a stream and players of it.
fn playing(config: &str) -> (Server, super::harness::publisher::Feed, Vec<Player>) {
    let origin = Server::origin(config);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players: Vec<Player> = Protocol::ALL.map(|protocol| Player::join(protocol, &origin, STREAM)).into();
    players.iter().for_each(Player::expect_media);
    (origin, feed, players)
}

/// More than a busy machine takes between two pictures, and less than who waits for a server that does something else.
const STARVED: Duration = Duration::from_secs(2);

/// Fails unless the players have had every picture, and none late since `began`.
#[track_caller]
fn go_on(feed: &super::harness::publisher::Feed, players: &[Player], began: Instant) {
    for player in players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
        assert_eq!(player.ending(), None);
        let gap = player.longest_gap_since(began);
        assert!(gap < STARVED, "no picture for {gap:?}");
    }
}

/// Connections that begin and do not go on.
fn slow_loris(server: SocketAddr, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(first).unwrap();
        stream
    };
    (0..count).map(begin).collect()
}

#[test]
fn a_fleet_that_never_finishes_its_handshakes_is_bounded_and_leaves_players_alone() {
    let silent = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
    const LIMIT: f64 = 60.0;
    let (origin, feed, players) = playing("[limits]\nmax_handshakes = 60\n");
    let began = Instant::now();
    let fleets = [
        slow_loris(origin.rtmp, 75, &[3]),
        slow_loris(origin.http, 75, b"GET / HTTP/1.1\r\nX-"),
        // What could still be HTTP/2 is waited for, too, and what is and says no more.
        slow_loris(origin.http, 30, b"PR"),
        slow_loris(origin.http, 30, b"PRI * HTTP/2.0\r\n"),
        slow_loris(origin.http, 30, &silent),
    ];
    wait_until("as many handshakes are under way as may be", || origin.metrics().sum("rillcast_handshakes") >= LIMIT);
    assert!(origin.metrics().sum("rillcast_handshakes") <= LIMIT);
    // Who comes behind them waits, and is served.
    let late = Player::join(Protocol::Rtmp, &origin, STREAM);
    late.expect_media();
    go_on(&feed, &players, began);
    assert!(origin.metrics().sum("rillcast_paced_connections_total") > 0.0);
    drop(fleets);
    wait_until("none is left", || origin.metrics().sum("rillcast_handshakes") == 0.0);
}

#[test]
fn a_crowd_is_accepted_at_its_pace_and_everybody_is_served() {
    const CROWD: usize = 60;
    let (origin, feed, players) = playing("[limits]\nmax_handshakes_per_second = 20\n");
    let began = Instant::now();
    let crowd: Vec<Player> = (0..CROWD).map(|_| Player::join(Protocol::HttpFlv, &origin, STREAM)).collect();
    crowd.iter().for_each(Player::expect_media);
    // A quarter of a second's worth may come at once.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    go_on(&feed, &players, began);
    go_on(&feed, &crowd, Instant::now());
    assert!(origin.metrics().sum("rillcast_paced_connections_total") > 0.0);
}

#[test]
fn a_publisher_that_sends_more_than_it_may_is_ended_with_the_reason_and_no_other_is() {
    let (origin, feed, players) = playing("[limits]\npublish_bitrate = \"2Mbit\"\n");
    let (before, began) = (origin.metrics(), Instant::now());
    let heavy = Publisher::start_with(&origin, "live/heavy", Content { frame_size: 50_000, ..Content::default() });
    let heavy = heavy.feed();
    wait_until("it is ended", || heavy.is_closed());
    wait_until("and that is counted", || {
        new_disconnects(&before, &origin.metrics()).get("publish_too_fast") == Some(&1.0)
    });
    go_on(&feed, &players, began);
    // Nobody keeps the name from it.
    drop(Publisher::start_when_free(&origin, "live/heavy"));
}

#[test]
fn heads_and_bodies_of_requests_are_bounded() {
    let origin = Server::origin("[limits]\nmax_header_bytes = \"2KiB\"\nmax_body_bytes = \"1KiB\"\n");
    let status = |head: &str| http::exchange(origin.http, head.as_bytes(), true).map(|answer| answer.head.status);
    let request = |fields: &str| format!("GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(status(&request(&format!("X-Long: {}\r\n", "x".repeat(1_500)))).unwrap(), 404);
    assert_eq!(status(&request(&format!("X-Long: {}\r\n", "x".repeat(2_100)))).unwrap(), 431);
    assert_eq!(status(&request(&"X: y\r\n".repeat(70))).unwrap(), 431);
    assert_eq!(status(&request("Content-Length: 1025\r\n")).unwrap(), 413);
    // What no limit allows is not read to its end.
    let endless = request(&format!("X-Long: {}\r\n", "x".repeat(1 << 20)));
    assert!(status(&endless).is_err() || status(&endless).is_ok_and(|status| status == 431));
}

#[test]
fn a_handshake_that_is_complete_takes_no_place_among_those_that_are_not() {
    let (origin, feed, players) = playing("[limits]\nmax_handshakes = 1\n");
    let began = Instant::now();
    let more: Vec<Player> = (0..5).map(|_| Player::join(Protocol::Rtmp, &origin, STREAM)).collect();
    more.iter().for_each(Player::expect_media);
    go_on(&feed, &players, began);
    // One that stops between the handshake and its first command is not complete.
    let _silent = RtmpClient::open(origin.rtmp).unwrap();
    wait_until("it is under way", || origin.metrics().sum("rillcast_handshakes") == 1.0);
}

#[test]
fn connections_that_are_refused_take_nobodys_turn() {
    const REFUSED: usize = 200;
    let origin = Server::origin("[limits]\nmax_handshakes_per_second = 5\nmax_connections_per_address = 1\n");
    let _held = RtmpClient::open(origin.rtmp).unwrap();
    let refused: Vec<_> = (0..REFUSED).map(|_| TcpStream::connect(origin.rtmp).unwrap()).collect();
    let began = Instant::now();
    // From another address: at five a second it would be its turn after forty seconds.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&origin.rtmp.into()).unwrap();
    RtmpClient::handshake_on(socket.into()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(refused);
}

#[test]
fn bytes_that_could_become_either_version_of_http_keep_nobody_busy() {
    const CONNECTIONS: usize = 400;
    const SPAN: Duration = Duration::from_secs(3);
    let origin = Server::origin("");
    let fleet = slow_loris(origin.http, CONNECTIONS, b"PR");
    wait_until("they are there", || origin.metrics().sum("rillcast_handshakes") == CONNECTIONS as f64);
    let before = origin.processor_time();
    let_pass(SPAN);
    // Asked each 10 ms, they take about half a core in a debug build.
    let used = origin.processor_time() - before;
    assert!(used < SPAN / 6, "{used:?} of {SPAN:?} for peers that say nothing");
    drop(fleet);
}
