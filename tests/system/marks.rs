//! Marks on the wire: who is acknowledged as a server of the cluster, who is served as an ordinary client, and what is
//! counted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rillcast::auth::{ClusterKey, Mark};
use rillcast::config::Secret;
use rillcast::rtmp::{ClientEvent, Goal};

use super::harness::client::Client;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::Server;
use super::harness::{http, wait_for, wait_until};

const KEY: &str = "correct horse battery staple";
const OTHER_KEY: &str = "quite another horse's battery";
const APP: &str = "live";
const NAME: &str = "marked";
const STREAM: &str = "live/marked";

/// An origin with a key, or without, where ordinary players wait for ever.
fn origin(key: Option<&str>) -> Server {
    origin_with(&cluster(key))
}

fn origin_with(config: &str) -> Server {
    Server::origin(&format!("[play]\nplay_wait = 0\n{config}"))
}

fn cluster(key: Option<&str>) -> String {
    key.map(|key| format!("[cluster]\nkey = \"{key}\"\n")).unwrap_or_default()
}

/// A mark as an edge makes it, so long ago.
fn mark(key: Option<&str>, age: Duration) -> String {
    let key = key.map(|key| ClusterKey::new(&Secret::new(key)));
    Mark::of_pull("a-test").to_text(key.as_ref(), SystemTime::now() - age)
}

fn fresh_mark(key: &str) -> String {
    mark(Some(key), Duration::ZERO)
}

/// A client that has connected with a mark, or without, and asks to play.
#[track_caller]
fn connect(server: &Server, mark: Option<&str>) -> Client {
    Client::connected(server.rtmp, APP, Goal::Play { name: NAME.to_owned() }, mark)
}

/// Fails unless the mark makes a pull: acknowledged, and told at once that the stream is absent.
#[track_caller]
fn assert_pull(origin: &Server, mark: &str) {
    let mut client = connect(origin, Some(mark));
    let acknowledgement = client.acknowledgement.take().expect("the mark is acknowledged");
    assert!(!acknowledgement.node.is_empty());
    assert_eq!(acknowledgement.version, env!("CARGO_PKG_VERSION"));
    match client.next_event() {
        Ok(ClientEvent::Refused { code, .. }) => assert_eq!(code, "NetStream.Play.StreamNotFound"),
        other => panic!("play was answered by {other:?}"),
    }
}

/// Fails unless the mark, or none, makes an ordinary client: not acknowledged, and waiting for a publisher.
#[track_caller]
fn assert_ordinary_client(origin: &Server, mark: Option<&str>) {
    let mut client = connect(origin, mark);
    assert_eq!(client.acknowledgement, None);
    std::thread::scope(|scope| {
        let started = scope.spawn(|| client.next_event());
        wait_until("the client waits", || origin.metrics().labelled("rillcast_players", "protocol", "rtmp") == 1.0);
        let publisher = Publisher::start(origin, STREAM);
        let event = started.join().unwrap();
        assert!(matches!(event, Ok(ClientEvent::Started { .. })), "play was answered by {event:?}");
        publisher.unpublish();
    });
    drop(client);
    wait_until("the stream is gone", || origin.streams().is_empty());
}

/// Every result that was counted at all.
fn counted(server: &Server) -> BTreeMap<String, f64> {
    let mut counts = server.metrics().by_label("rillcast_marks_total", "result");
    assert_eq!(counts.len(), 6, "every series exists from the start");
    counts.retain(|_, count| *count > 0.0);
    counts
}

#[track_caller]
fn assert_counted(server: &Server, expected: &[(&str, f64)]) {
    let expected: BTreeMap<String, f64> =
        expected.iter().map(|(result, count)| ((*result).to_owned(), *count)).collect();
    assert_eq!(counted(server), expected);
}

#[test]
fn a_verified_mark_is_acknowledged_as_a_pull() {
    let origin = origin(Some(KEY));
    assert_pull(&origin, &fresh_mark(KEY));
    assert_pull(&origin, &fresh_mark(KEY));
    assert_counted(&origin, &[("verified", 2.0)]);
}

#[test]
fn an_unsigned_mark_is_acknowledged_as_a_pull_where_there_is_no_key() {
    let origin = origin(None);
    assert_pull(&origin, &mark(None, Duration::ZERO));
    assert_counted(&origin, &[("unsigned", 1.0)]);
}

#[test]
fn an_unsigned_mark_makes_an_ordinary_client_where_there_is_a_key() {
    let origin = origin(Some(KEY));
    assert_ordinary_client(&origin, Some(&mark(None, Duration::ZERO)));
    assert_counted(&origin, &[("unsigned", 1.0)]);
}

#[test]
fn an_unsigned_mark_is_no_way_around_the_limits_where_there_is_a_key() {
    let origin = origin_with(&format!("[limits]\nmax_players = 1\n{}", cluster(Some(KEY))));
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.expect_media();
    let unsigned = mark(None, Duration::ZERO);
    let mut client = connect(&origin, Some(&unsigned));
    match client.next_event() {
        Ok(ClientEvent::Refused { code, .. }) => assert_eq!(code, "NetStream.Play.Failed"),
        other => panic!("play was answered by {other:?}"),
    }
    for path in ["/live/marked.flv", "/live/marked.m3u8"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRillcast-Mark: {unsigned}\r\n\r\n");
        // A viewer is refused once there is a playlist to be had.
        wait_until("there is no room", || {
            http::exchange(origin.http, head.as_bytes(), false).is_ok_and(|answer| answer.head.status == 503)
        });
    }
    // Who proves to be a server is no player.
    let mut verified = connect(&origin, Some(&fresh_mark(KEY)));
    assert!(matches!(verified.next_event(), Ok(ClientEvent::Started { .. })));
    player.wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn who_sends_an_unsigned_mark_where_there_is_a_key_can_be_ended_like_any_player() {
    let origin = origin(Some(KEY));
    let _feed = Publisher::start(&origin, STREAM).feed();
    let mut client = connect(&origin, Some(&mark(None, Duration::ZERO)));
    assert!(matches!(client.next_event(), Ok(ClientEvent::Started { .. })));
    let id = wait_for("it is listed as a player", || {
        let clients = origin.admin("/api/v1/clients").json()["clients"].clone();
        let listed = clients.as_array()?.iter().find(|client| client["publish"] == false)?;
        assert_eq!(listed["server"], false, "{listed}");
        listed["id"].as_str().map(str::to_owned)
    });
    assert_eq!(origin.ask_admin("DELETE", &format!("/api/v1/clients/{id}"), &[], "").head.status, 200);
    wait_until("it is ended", || origin.metrics().labelled("rillcast_players", "protocol", "rtmp") == 0.0);
    wait_until("and told so", || !matches!(client.next_event(), Ok(ClientEvent::Media(_))));
}

#[test]
fn a_signed_mark_is_unsigned_to_an_origin_without_a_key() {
    let origin = origin(None);
    assert_pull(&origin, &fresh_mark(KEY));
    assert_counted(&origin, &[("unsigned", 1.0)]);
}

#[test]
fn a_mark_that_is_refused_makes_an_ordinary_client() {
    let origin = origin(Some(KEY));
    let hour = Duration::from_secs(3_600);
    assert_ordinary_client(&origin, Some(&fresh_mark(OTHER_KEY)));
    assert_counted(&origin, &[("wrong", 1.0)]);
    assert_ordinary_client(&origin, Some(&mark(Some(KEY), hour)));
    assert_counted(&origin, &[("old", 1.0), ("wrong", 1.0)]);
    assert_ordinary_client(&origin, Some("not a mark"));
    assert_counted(&origin, &[("malformed", 1.0), ("old", 1.0), ("wrong", 1.0)]);
    // One of many is logged; the first always is.
    let refusal = wait_for("a refusal is logged", || {
        origin.log().iter().find_map(|line| line["fields"]["refusal"].as_str().map(str::to_owned))
    });
    assert!(refusal.contains("cluster.key"), "{refusal}");
}

#[test]
fn a_mark_is_good_for_one_connection() {
    let origin = origin(Some(KEY));
    let mark = fresh_mark(KEY);
    assert_pull(&origin, &mark);
    assert_ordinary_client(&origin, Some(&mark));
    assert_counted(&origin, &[("replayed", 1.0), ("verified", 1.0)]);
}

#[test]
fn a_mark_of_a_version_to_come_is_acknowledged_with_the_version_that_is_here() {
    let origin = origin(None);
    assert_pull(&origin, "v=1;node=b;version=99.0.0-rc.1;shape=round;path=b,a");
    assert_counted(&origin, &[("unsigned", 1.0)]);
}

#[test]
fn who_sends_no_mark_is_an_ordinary_client_and_not_counted() {
    let origin = origin(Some(KEY));
    assert_ordinary_client(&origin, None);
    assert_counted(&origin, &[]);
}

#[test]
fn an_edge_with_the_key_is_verified_and_one_with_another_key_still_plays() {
    let origin = origin(Some(KEY));
    let feed = Publisher::start(&origin, STREAM).feed();
    for (key, result) in [(Some(KEY), "verified"), (None, "unsigned"), (Some(OTHER_KEY), "wrong")] {
        let edge = Server::edge(&[origin.rtmp], &cluster(key));
        let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
        player.wait_for_frame(feed.session, feed.last_number());
        assert!(origin.metrics().labelled("rillcast_marks_total", "result", result) >= 1.0, "{result}");
        for server in [&origin, &edge] {
            let log = format!("{:?}", server.log());
            assert!(!log.contains(KEY) && !log.contains(OTHER_KEY), "a key is in the log");
        }
    }
}
