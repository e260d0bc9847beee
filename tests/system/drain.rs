//! Draining: what clients notice when a server takes leave of them, by signal and over the API.
//!
//! No test waits for a bare time: the hard timeout is far away wherever it is not what a test is about.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rml_rtmp::rml_amf0::Amf0Value;
use rustix::process::Signal;
use serde_json::Value;

use super::harness::client::{Client, Purpose};
use super::harness::http;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::rtmp::{Message, RtmpClient};
use super::harness::server::{Server, free_address};
use super::harness::{let_pass, pause, wait_until};

const STREAM: &str = "live/drain";

/// All three protocols of players.
const PROTOCOLS: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];

/// Drain times; the hard timeout is an hour.
fn times(propagation_delay: &str, soft_timeout: &str, window: &str) -> String {
    format!(
        "[drain]\npropagation_delay = \"{propagation_delay}\"\nsoft_timeout = \"{soft_timeout}\"\n\
         window = \"{window}\"\nhard_timeout = \"1h\"\n"
    )
}

/// Listeners close at once, and nobody is ever sent away.
fn closes_at_once() -> String {
    times("0s", "30m", "0s")
}

/// Connections are taken for ever.
fn never_closes() -> String {
    times("30m", "30m", "0s")
}

/// Listeners close at once, and everybody is sent away at once.
fn empties_at_once() -> String {
    times("0s", "0s", "0s")
}

fn is_ready(server: &Server) -> bool {
    server.admin("/readyz").head.status == 200
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn order(server: &Server, method: &str, query: &str) -> Value {
    let response = http::request(server.admin, method, &format!("/api/v1/drain{query}"));
    assert_eq!(response.head.status, 200, "{}", response.text());
    response.json()["data"].clone()
}

fn status(server: &Server) -> Value {
    server.admin("/api/v1/drain").json()["data"].clone()
}

#[test]
fn a_signal_makes_the_server_unready_at_once_while_it_still_takes_connections() {
    let (origin, edge) = Server::origin_and_edge("", &never_closes());
    let feed = Publisher::start(&origin, STREAM).feed();
    assert!(is_ready(&edge));
    edge.signal(Signal::TERM);
    wait_until("the edge is not ready", || !is_ready(&edge));
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    assert_eq!(edge.metrics().sum("rillcast_draining"), 1.0);
    assert_eq!(edge.admin("/livez").head.status, 200);
    assert_eq!(edge.admin("/startupz").head.status, 200);
}

#[test]
fn players_go_on_when_the_listeners_are_closed_and_the_process_ends_with_the_last_of_them() {
    let (origin, mut edge) = Server::origin_and_edge("", &closes_at_once());
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    edge.signal(Signal::TERM);
    for address in [edge.rtmp, edge.http] {
        wait_until("nothing listens", || !accepts(address));
    }
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number() + 25));
    let remaining = status(&edge)["remaining"].clone();
    assert_eq!((&remaining["players"], &remaining["connections"]), (&3.into(), &3.into()), "{remaining}");
    assert!(edge.is_running());
    players.iter().for_each(Player::leave);
    assert_eq!(edge.wait_for_exit(), Some(0));
}

#[test]
fn players_are_sent_away_cleanly_between_a_frame_and_the_next_keyframe() {
    let (origin, mut edge) = Server::origin_and_edge("", &empties_at_once());
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    for player in &players {
        assert_eq!(player.wait_for_end(), Ending::Proper);
        player.assert_no_frame_missing();
        // Each tick is a frame of video and one of audio; a GOP is 25 ticks.
        let last = player.last_frame().unwrap();
        assert_eq!((last.number + 1) % 50, 0, "the next one is a keyframe: {last:?}");
    }
    let [rtmp, _, ws] = &players;
    let statuses = rtmp.see(|recording| recording.statuses.clone());
    assert!(statuses.ends_with(&["NetStream.Play.UnpublishNotify".to_owned(), "StreamEOF".to_owned()]), "{statuses:?}");
    assert_eq!(ws.see(|recording| recording.close_code), Some(1_001));
    assert!(!feed.is_closed(), "the publisher is the origin's");
}

#[test]
fn players_without_video_and_players_who_wait_are_sent_away_too() {
    let config = format!("{}[play]\nplay_wait = 0\n", empties_at_once());
    let (origin, mut edge) = Server::origin_and_edge("[play]\nplay_wait = 0\n", &config);
    let content = Content { video: false, ..Content::default() };
    let _feed = Publisher::start_with(&origin, STREAM, content).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    let waiting = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, "live/nobody"));
    wait_until("all are there", || edge.metrics().sum("rillcast_players") == 6.0);
    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    players.iter().for_each(|player| assert_eq!(player.wait_for_end(), Ending::Proper));
    let refusals = waiting.each_ref().map(|player| player.answer().unwrap_err());
    assert_eq!(refusals, ["NetStream.Play.Failed", "503", "503"]);
    let retry_after = waiting[1].see(|recording| recording.head.as_ref()?.header("retry-after").map(str::to_owned));
    assert!(retry_after.is_some_and(|seconds| seconds.parse::<u16>().unwrap() > 0));
}

#[test]
fn leaving_is_spread_over_the_window() {
    let (origin, mut edge) = Server::origin_and_edge("", &times("0s", "0s", "4s"));
    let content = Content { gop: 1, ..Content::default() };
    let _feed = Publisher::start_with(&origin, STREAM, content).feed();
    let players: Vec<Player> = (0..40).map(|_| Player::join(Protocol::Rtmp, &edge, STREAM)).collect();
    players.iter().for_each(Player::expect_media);
    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    let mut ends: Vec<_> = players
        .iter()
        .map(|player| {
            assert_eq!(player.wait_for_end(), Ending::Proper);
            player.see(|recording| *recording.arrivals.last().unwrap())
        })
        .collect();
    ends.sort();
    let spread = (ends[39] - ends[0]).as_secs_f64();
    assert!(spread > 3.0, "the last one went {spread} s after the first");
    // Each quarter of the players goes in a time of its own, however late the machine is.
    for quarter in ends.chunks(10) {
        assert!((quarter[9] - quarter[0]).as_secs_f64() > 0.3, "{quarter:?} of {ends:?}");
    }
}

#[test]
fn the_hard_timeout_ends_whoever_is_left() {
    let drain = "[drain]\npropagation_delay = 0\nsoft_timeout = \"1s\"\nwindow = 0\nhard_timeout = \"1s\"\n";
    let (mut origin, mut edge) = Server::origin_and_edge(drain, drain);
    // A GOP that lasts for ever.
    let content = Content { gop: u32::MAX, ..Content::default() };
    let feed = Publisher::start_with(&origin, STREAM, content).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    players.iter().for_each(|player| assert_eq!(player.wait_for_end(), Ending::Proper));
    origin.signal(Signal::TERM);
    assert_eq!(origin.wait_for_exit(), Some(0));
    wait_until("the publisher is closed", || feed.is_closed());
}

#[test]
fn the_process_does_not_end_before_the_propagation_delay_though_nobody_is_there() {
    let mut edge = Server::edge(&[free_address()], &never_closes());
    edge.signal(Signal::TERM);
    wait_until("the edge drains", || status(&edge)["state"] == "announced");
    let_pass(Duration::from_millis(500));
    assert!(edge.is_running() && accepts(edge.rtmp));
}

#[test]
fn a_second_signal_and_sigint_end_the_process_at_once() {
    for signals in [&[Signal::TERM, Signal::TERM][..], &[Signal::TERM, Signal::INT], &[Signal::INT]] {
        let (origin, mut edge) = Server::origin_and_edge("", &never_closes());
        let _feed = Publisher::start(&origin, STREAM).feed();
        let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
        players.iter().for_each(Player::expect_media);
        for (number, signal) in signals.iter().enumerate() {
            edge.signal(*signal);
            if number + 1 < signals.len() {
                wait_until("the edge drains", || !is_ready(&edge));
            }
        }
        assert_eq!(edge.wait_for_exit(), Some(0), "{signals:?}");
        players.iter().for_each(|player| assert_eq!(player.wait_for_end(), Ending::Proper));
    }
}

#[test]
fn an_order_over_the_api_is_taken_back_and_everything_is_as_before() {
    let (origin, mut edge) = Server::origin_and_edge("", &closes_at_once());
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.expect_media();
    for _ in 0..2 {
        let ordered = order(&edge, "POST", "");
        assert_eq!((&ordered["exit"], ordered["since_ms"].is_u64()), (&false.into(), true), "{ordered}");
        assert!(!is_ready(&edge), "as soon as the order is answered");
        for address in [edge.rtmp, edge.http] {
            wait_until("nothing listens", || !accepts(address));
        }
        assert_eq!(status(&edge)["state"], "closed");
        let taken_back = order(&edge, "DELETE", "");
        assert_eq!((&taken_back["state"], &taken_back["since_ms"]), (&"serving".into(), &Value::Null));
        wait_until("the edge is ready", || is_ready(&edge));
        assert!(accepts(edge.rtmp) && accepts(edge.http), "ready means that it listens");
        assert_eq!(edge.metrics().sum("rillcast_draining"), 0.0);
    }
    player.wait_for_frame(feed.session, feed.last_number() + 1);
    player.assert_no_frame_missing();
    assert!(edge.is_running());
}

#[test]
fn an_order_that_is_taken_back_stops_the_sending_away() {
    let (origin, edge) = Server::origin_and_edge("", &times("0s", "0s", "20m"));
    let content = Content { gop: 1, ..Content::default() };
    let feed = Publisher::start_with(&origin, STREAM, content).feed();
    let players: Vec<Player> = (0..20).map(|_| Player::join(Protocol::Rtmp, &edge, STREAM)).collect();
    players.iter().for_each(Player::expect_media);
    order(&edge, "POST", "");
    wait_until("it has begun", || status(&edge)["state"] == "releasing");
    order(&edge, "DELETE", "");
    wait_until("the edge is ready", || is_ready(&edge));
    let here: Vec<&Player> = players.iter().filter(|player| player.ending().is_none()).collect();
    here.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number() + 25));
    assert!(here.len() >= 15, "of a window of twenty minutes not even a quarter has passed");
}

#[test]
fn an_order_to_stay_empties_the_server_and_lets_it_live() {
    let drain = "[drain]\npropagation_delay = 0\nsoft_timeout = 0\nwindow = 0\nhard_timeout = 0\n";
    let (mut origin, mut edge) = Server::origin_and_edge(drain, drain);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    for server in [&edge, &origin] {
        order(server, "POST", "");
        wait_until("nobody is left", || status(server)["remaining"]["connections"] == 0);
        assert_eq!(status(server)["state"], "over");
    }
    players.iter().for_each(|player| assert_eq!(player.wait_for_end(), Ending::Proper));
    wait_until("the publisher is closed", || feed.is_closed());
    assert!(edge.is_running() && origin.is_running());
    for server in [&edge, &origin] {
        order(server, "DELETE", "");
        wait_until("the server is ready", || is_ready(server));
    }
    let feed = Publisher::start_when_free(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn an_order_to_exit_over_the_api_ends_the_process_and_one_of_the_system_is_not_taken_back() {
    let drain = closes_at_once();
    let (origin, mut edge) = Server::origin_and_edge("", &drain);
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.expect_media();
    assert_eq!(order(&edge, "POST", "?exit=1")["exit"], true);
    order(&edge, "DELETE", "");
    wait_until("the edge is ready", || is_ready(&edge));
    order(&edge, "POST", "");
    edge.signal(Signal::TERM);
    wait_until("the edge is to exit", || status(&edge)["exit"] == true);
    let refused = http::request(edge.admin, "DELETE", "/api/v1/drain");
    assert_eq!((refused.head.status, &refused.json()["code"]), (409, &409.into()));
    player.leave();
    assert_eq!(edge.wait_for_exit(), Some(0));
}

#[test]
fn what_is_no_order_is_refused_with_a_reason() {
    let edge = Server::edge(&[free_address()], "");
    let refused = http::request(edge.admin, "POST", "/api/v1/drain?exit=yes");
    assert_eq!((refused.head.status, &refused.json()["code"]), (400, &400.into()));
    assert_eq!(refused.json()["error"], "exit is 1 or 0");
    assert_eq!(status(&edge)["state"], "serving");
    assert_eq!(http::request(edge.admin, "PUT", "/api/v1/drain").head.status, 405);
}

#[test]
fn an_origin_closes_publishers_when_its_listeners_close_and_takes_none_from_the_order_on() {
    let (mut origin, edge) = Server::origin_and_edge(&times("2s", "30m", "0s"), "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.expect_media();
    origin.signal(Signal::TERM);
    wait_until("the origin drains", || !is_ready(&origin));
    let refusal = Publisher::attempt(origin.rtmp, "live/new", Content::default()).err();
    assert_eq!(refusal.as_deref(), Some("NetConnection.Connect.AppShutdown"));
    wait_until("the publisher is closed", || feed.is_closed());
    let publisher = feed.stop();
    assert_eq!(publisher.statuses(), ["NetStream.Unpublish.Success"], "it was not asked to reconnect");
    assert_eq!(origin.wait_for_exit(), Some(0));
    assert!(player.ending().is_none(), "the edge keeps its players");
}

#[test]
fn an_origin_asks_who_can_reconnect_at_once_and_keeps_its_pull_until_the_publisher_has_gone() {
    for can in [Purpose::PublishWithReconnect, Purpose::PublishMarked] {
        let (mut origin, edge) = Server::origin_and_edge(&closes_at_once(), "");
        let mut publisher = Client::start(origin.rtmp, STREAM, can);
        publisher.push_keyframe();
        let player = Player::join(Protocol::Rtmp, &edge, STREAM);
        wait_until("the edge pulls", || origin.metrics().sum("rillcast_downstream_pulls") == 1.0);
        origin.signal(Signal::TERM);
        assert_eq!(publisher.wait_for_reconnect_request(), None);
        assert_eq!(status(&origin)["remaining"]["publishers"], 1);
        assert_eq!(status(&origin)["remaining"]["pulls"], 1);
        publisher.close();
        assert_eq!(origin.wait_for_exit(), Some(0));
        assert!(player.ending().is_none(), "the edge keeps its players");
    }
}

#[test]
fn a_draining_origin_lets_a_session_that_it_has_be_taken_over() {
    const KEY: &str = "correct horse battery staple";
    let config = format!("[cluster]\nkey = \"{KEY}\"\n{}", times("30m", "30m", "0s"));
    let origin = Server::origin(&config);
    let first = Client::start(origin.rtmp, STREAM, Purpose::Forward { key: KEY, session: "one" });
    origin.signal(Signal::TERM);
    wait_until("the origin drains", || !is_ready(&origin));
    let second = Client::attempt(origin.rtmp, STREAM, Purpose::Forward { key: KEY, session: "one" });
    assert!(second.is_ok(), "{:?}", second.err());
    let other = Client::attempt(origin.rtmp, "live/other", Purpose::Forward { key: KEY, session: "two" });
    assert_eq!(other.err().as_deref(), Some("NetConnection.Connect.AppShutdown"));
    drop(first);
}

#[test]
fn players_of_a_draining_origin_stay_until_it_is_their_turn() {
    let (mut origin, _edge) = Server::origin_and_edge(&times("0s", "3s", "0s"), "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &origin, STREAM));
    players.iter().for_each(Player::expect_media);
    origin.signal(Signal::TERM);
    wait_until("the publisher is closed", || feed.is_closed());
    assert!(players.iter().all(|player| player.ending().is_none()), "they wait for its return");
    assert_eq!(origin.wait_for_exit(), Some(0));
    players.iter().for_each(|player| assert_eq!(player.wait_for_end(), Ending::Proper));
}

#[test]
fn a_paused_player_is_sent_away_too() {
    let (origin, mut edge) = Server::origin_and_edge("", &empties_at_once());
    let _feed = Publisher::start(&origin, STREAM).feed();
    let mut client = RtmpClient::open(edge.rtmp).unwrap();
    client.connect("live", &[]).unwrap();
    client.play("drain").unwrap();
    let status_of = |client: &mut RtmpClient, wanted: &str| {
        while client.receive().unwrap().expect("it is open").status().as_deref() != Some(wanted) {}
    };
    status_of(&mut client, "NetStream.Play.Start");
    let pause = [Amf0Value::Null, Amf0Value::Boolean(true), Amf0Value::Number(0.0)];
    client.sink.send(&Message::command(1, "pause", 0.0, &pause)).unwrap();
    status_of(&mut client, "NetStream.Pause.Notify");
    edge.signal(Signal::TERM);
    status_of(&mut client, "NetStream.Play.UnpublishNotify");
    drop(client);
    assert_eq!(edge.wait_for_exit(), Some(0));
}

#[test]
fn connections_that_wait_when_the_listeners_close_are_served() {
    // Every moment of the closing is met by somebody: nobody who was connected is reset.
    let (origin, mut edge) = Server::origin_and_edge("", &times("1s", "30m", "0s"));
    let request = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    let _feed = Publisher::start(&origin, STREAM).feed();
    let witness = Player::join(Protocol::Rtmp, &edge, STREAM);
    witness.expect_media();
    edge.signal(Signal::TERM);
    let (mut answered, mut reset) = (0, 0);
    while let Ok(socket) = TcpStream::connect(edge.http) {
        match http::exchange_on(socket, request, true) {
            Ok(response) => {
                assert_eq!(response.head.status, 404);
                answered += 1;
            }
            Err(_) => reset += 1,
        }
        pause();
    }
    assert!(answered > 0);
    // Between the last look at who waits and the close there is a moment that no system call closes.
    assert!(reset <= 1, "{reset} connections were accepted and not answered");
    witness.leave();
    assert_eq!(edge.wait_for_exit(), Some(0));
}
