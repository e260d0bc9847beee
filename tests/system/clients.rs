//! Clients over the API: listed while they are there, and kicked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::harness::hook_server::{HookServer, Say};
use super::harness::http::{self, Response};
use super::harness::metrics::new_disconnects;
use super::harness::paced::Pace;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::{let_pass, wait_at_most, wait_for, wait_until};

const STREAM: &str = "live/seen";
const EVERY: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];
/// About 1.5 MB a second: kernel buffers are full soon.
const HEAVY: Content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };

fn clients(server: &Server) -> Vec<Value> {
    let body = server.admin("/api/v1/clients/?count=1000").json();
    body["clients"].as_array().expect("clients is an array").clone()
}

fn clients_of_kind(server: &Server, kind: &str) -> Vec<Value> {
    clients(server).into_iter().filter(|client| client["type"] == kind).collect()
}

/// The only client of a kind, once it is there.
#[track_caller]
fn client(server: &Server, kind: &str) -> Value {
    wait_for(&format!("there is one {kind}"), || match &clients_of_kind(server, kind)[..] {
        [client] => Some(client.clone()),
        _ => None,
    })
}

#[track_caller]
fn kick(server: &Server, client: &Value) -> Response {
    let id = client["id"].as_str().expect("a client has an id");
    http::request(server.admin, "DELETE", &format!("/api/v1/clients/{id}"))
}

#[test]
fn clients_are_listed_in_srs_s_shape_while_they_are_there() {
    let origin = Server::origin("");
    assert_eq!(origin.admin("/api/v1/clients").json()["clients"], serde_json::json!([]));
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = EVERY.map(|protocol| Player::join(protocol, &origin, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    let stream = origin.stream(STREAM).expect("the stream is there");
    for (kind, publish) in [("fmle-publish", true), ("rtmp-play", false), ("flv-play", false), ("ws-flv-play", false)] {
        let entry = client(&origin, kind);
        assert_eq!((&entry["app"], &entry["name"]), (&"live".into(), &"seen".into()), "{entry}");
        assert_eq!((&entry["publish"], &entry["server"]), (&publish.into(), &false.into()), "{entry}");
        assert_eq!((&entry["ip"], &entry["stream"]), (&"127.0.0.1".into(), &stream["id"]), "{entry}");
        let counted = if publish { "recv_bytes" } else { "send_bytes" };
        assert!(entry[counted].as_u64().unwrap() > 100, "{entry}");
        assert!(entry["alive"].as_f64().unwrap() > 0.0, "{entry}");
        let alone = origin.admin(&format!("/api/v1/clients/{}", entry["id"].as_str().unwrap())).json();
        assert_eq!((&alone["client"]["id"], &alone["code"]), (&entry["id"], &0.into()));
    }
    assert_eq!(stream["publish"]["cid"], client(&origin, "fmle-publish")["id"]);
    drop(players);
    wait_until("the players are gone from the list", || clients(&origin).len() == 1);
    drop(feed);
    wait_until("nobody is in the list", || clients(&origin).is_empty());
}

#[test]
fn the_list_comes_in_parts_of_ten_unless_it_is_asked_for_more() {
    let origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let players: Vec<Player> = (0..14).map(|_| Player::join(Protocol::HttpFlv, &origin, STREAM)).collect();
    players.iter().for_each(Player::expect_media);
    let part = |query: &str| {
        let body = origin.admin(&format!("/api/v1/clients/{query}")).json();
        assert_eq!(body["total"], 15, "{query}");
        let clients = body["clients"].as_array().unwrap().clone();
        clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = part("?count=100");
    assert_eq!(all.len(), 15);
    assert_eq!(part(""), all[..10]);
    assert_eq!(part("?start=10"), all[10..]);
    assert_eq!(part("?start=3&count=4"), all[3..7]);
    assert_eq!(part("?start=100"), all[..0]);
    for query in ["?count=10001", "?count=-1", "?start=x"] {
        assert_eq!(origin.admin(&format!("/api/v1/clients/{query}")).head.status, 400, "{query}");
    }
}

#[test]
fn a_kicked_player_ends_properly_and_others_go_on() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let stays = Player::join(Protocol::Rtmp, &origin, STREAM);
    stays.expect_media();
    let staying = client(&origin, "rtmp-play")["id"].clone();
    for (protocol, kind) in EVERY.into_iter().zip(["rtmp-play", "flv-play", "ws-flv-play"]) {
        let goes = Player::join(protocol, &origin, STREAM);
        goes.expect_media();
        let before = origin.metrics();
        let entry = wait_for("the player is listed", || {
            clients_of_kind(&origin, kind).into_iter().find(|client| client["id"] != staying)
        });
        assert_eq!(kick(&origin, &entry).json()["code"], 0);
        assert_eq!(goes.wait_for_end(), Ending::Proper, "{protocol:?}");
        wait_until("it is counted", || {
            new_disconnects(&before, &origin.metrics()) == BTreeMap::from([("kicked".to_owned(), 1.0)])
        });
        assert_eq!(kick(&origin, &entry).head.status, 404, "it is gone");
    }
    stays.wait_for_frame(feed.session, feed.last_number());
    stays.assert_no_frame_missing();
}

#[test]
fn a_kicked_player_that_takes_nothing_does_not_stay_for_it() {
    for (protocol, kind) in EVERY.into_iter().zip(["rtmp-play", "flv-play", "ws-flv-play"]) {
        let origin = Server::origin("[play]\nqueue_length = \"10m\"\nhard_lag = \"10m\"\n");
        let _feed = Publisher::start_with(&origin, STREAM, HEAVY).feed();
        let pace = Pace::unlimited();
        let stuck = Player::join_paced(protocol, &origin, STREAM, pace.clone());
        stuck.wait_for_media();
        pace.limit(0);
        let entry = client(&origin, kind);
        // Nothing is sent any more once every buffer on the way is full.
        let sent = || client(&origin, kind)["send_bytes"].as_u64();
        wait_at_most(Duration::from_secs(60), "the player is stuck", || {
            let before = sent();
            let_pass(Duration::from_secs(1));
            before == sent()
        });
        let before = origin.metrics();
        assert_eq!(kick(&origin, &entry).head.status, 200);
        wait_until("it is gone", || origin.metrics().sum("rillcast_players") == 0.0);
        wait_until("it is counted", || {
            new_disconnects(&before, &origin.metrics()) == BTreeMap::from([("kicked".to_owned(), 1.0)])
        });
        pace.release();
        stuck.wait_for_end();
    }
}

#[test]
fn a_kicked_player_that_waits_for_its_stream_is_refused() {
    let origin = Server::origin("[play]\nplay_wait = 0\n");
    for (protocol, kind) in EVERY.into_iter().zip(["rtmp-play", "flv-play", "ws-flv-play"]) {
        let waits = Player::join(protocol, &origin, STREAM);
        let entry = client(&origin, kind);
        assert_eq!(kick(&origin, &entry).head.status, 200);
        waits.wait_for_end();
        assert!(waits.answer().is_err(), "{protocol:?}");
    }
    wait_until("nobody is in the list", || clients(&origin).is_empty());
    wait_until("no stream is left", || origin.streams().is_empty());
}

#[test]
fn a_player_that_is_being_asked_about_is_listed_and_may_be_kicked() {
    let hooks = HookServer::start(|_| Say::Nothing);
    let origin = Server::origin(&format!("[hooks]\non_play = {:?}\ntimeout = \"1m\"\n", hooks.url()));
    for (protocol, kind) in EVERY.into_iter().zip(["rtmp-play", "flv-play", "ws-flv-play"]) {
        let waits = Player::join(protocol, &origin, STREAM);
        let entry = client(&origin, kind);
        assert_eq!(kick(&origin, &entry).head.status, 200);
        waits.wait_for_end();
        wait_until("it is not in the list", || clients_of_kind(&origin, kind).is_empty());
    }
}

#[test]
fn a_kicked_publisher_is_closed_and_may_come_again() {
    let origin = Server::origin("");
    let publisher = Publisher::start(&origin, STREAM);
    let entry = client(&origin, "fmle-publish");
    assert_eq!(kick(&origin, &entry).head.status, 200);
    publisher.wait_for_close();
    assert!(publisher.statuses().contains(&"NetStream.Unpublish.Success".to_owned()), "{:?}", publisher.statuses());
    wait_until("it is counted", || origin.metrics().labelled("rillcast_disconnects_total", "reason", "kicked") == 1.0);
    let _again = Publisher::start_when_free(&origin, STREAM);
    assert_ne!(client(&origin, "fmle-publish")["id"], entry["id"]);
}

#[test]
fn a_kicked_pull_begins_again_and_its_players_stay() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_media();
    let pull = client(&edge, "rtmp-pull");
    assert_eq!((&pull["publish"], &pull["server"]), (&true.into(), &true.into()), "{pull}");
    assert_eq!(edge.stream(STREAM).unwrap()["publish"]["cid"], pull["id"]);
    let at_origin = client(&origin, "rtmp-play");
    assert_eq!(at_origin["server"], true, "another server is told from a player: {at_origin}");
    let since = |client: &Value| client["alive"].as_f64().expect("a number");
    wait_until("it goes on for a while", || since(&client(&edge, "rtmp-pull")) > 0.5);
    assert_eq!(kick(&edge, &pull).head.status, 200);
    let next = wait_for("it has begun again", || {
        clients_of_kind(&edge, "rtmp-pull").into_iter().find(|client| since(client) < 0.5)
    });
    assert_eq!((&next["name"], &next["id"]), (&"seen".into(), &pull["id"]), "the pull is the same");
    player.wait_for_frame(feed.session, feed.last_number() + 25);
    player.assert_no_frame_missing();
    assert_eq!(edge.metrics().labelled("rillcast_upstream_reconnects_total", "reason", "kicked"), 1.0);
}

#[test]
fn ids_of_other_servers_and_of_nobody_are_not_known() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let entry = client(&origin, "fmle-publish");
    assert_eq!(kick(&edge, &entry).head.status, 404);
    for id in ["", "nobody", "0123456789abcdef00000001", "%00", "..%2f"] {
        for method in ["GET", "DELETE"] {
            let answer = http::request(origin.admin, method, &format!("/api/v1/clients/{id}"));
            let expected = if id.is_empty() { if method == "GET" { 200 } else { 405 } } else { 404 };
            assert_eq!(answer.head.status, expected, "{method} {id:?}");
            if expected == 404 {
                assert_eq!(answer.json()["code"], 2049, "{method} {id:?}");
            }
        }
    }
}

#[test]
fn one_stream_is_shown_by_its_id_with_its_resolution() {
    let origin = Server::origin("");
    let url = origin.rtmp_url(STREAM);
    let demo = Process::rillcast(&["publish", "--demo", &url]);
    let listed = wait_for("the stream is listed with its resolution", || {
        origin.stream(STREAM).filter(|stream| stream["video"]["width"].as_u64().is_some())
    });
    let (width, height) = (listed["video"]["width"].as_u64(), listed["video"]["height"].as_u64());
    assert!(width > Some(0) && height > Some(0), "{listed}");
    assert!(listed["video"]["profile"].is_string() && listed["video"]["level"].is_string(), "{listed}");
    let body = origin.admin(&format!("/api/v1/streams/{}", listed["id"].as_str().unwrap())).json();
    assert_eq!((&body["code"], &body["stream"]["name"]), (&0.into(), &"seen".into()), "{body}");
    let absent = origin.admin("/api/v1/streams/nothing");
    assert_eq!((absent.head.status, &absent.json()["code"]), (404, &2048.into()));
    drop(demo);
}

#[test]
fn streams_come_in_parts_when_that_is_asked_for() {
    let origin = Server::origin("");
    let _feeds: Vec<_> = (0..12).map(|number| Publisher::start(&origin, &format!("live/{number:02}")).feed()).collect();
    let names = |query: &str| {
        let body = origin.admin(&format!("/api/v1/streams/{query}")).json();
        assert_eq!(body["total"], 12);
        let streams = body["streams"].as_array().unwrap().clone();
        streams.iter().map(|stream| stream["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").len(), 12);
    assert_eq!(names("?start=3&count=2"), ["03", "04"]);
    let stream = origin.stream("live/00").unwrap();
    assert_eq!(stream["tcUrl"], format!("rtmp://{}/live", origin.rtmp), "{stream}");
    for query in ["?start=x", "?start=-1", "?count=10001"] {
        let answer = origin.admin(&format!("/api/v1/streams{query}"));
        assert_eq!((answer.head.status, &answer.json()["code"]), (400, &400.into()), "{query}");
    }
}

#[test]
fn summaries_tell_of_process_and_machine_in_srs_s_shape() {
    let origin = Server::origin("");
    let body = origin.admin("/api/v1/summaries").json();
    assert_eq!((&body["code"], &body["data"]["ok"]), (&0.into(), &true.into()));
    let (this, system) = (&body["data"]["self"], &body["data"]["system"]);
    assert_eq!((&this["pid"], &this["version"]), (&origin.id().into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(this["mem_kbyte"].as_u64() > Some(1_000), "{this}");
    for name in ["cpu_percent", "mem_ram_kbyte", "load_1m", "uptime", "srs_recv_bytes", "srs_send_bytes", "conn_srs"] {
        assert!(system[name].is_number(), "{name}: {system}");
    }
    let _feed = Publisher::start(&origin, STREAM).feed();
    wait_until("traffic and connections show", || {
        let system = &origin.admin("/api/v1/summaries").json()["data"]["system"];
        system["srs_recv_bytes"].as_u64() > Some(0) && system["conn_srs"] == 1
    });
}

#[test]
fn a_viewer_of_hls_is_a_client_and_stays_out_once_it_is_kicked() {
    let origin = Server::origin("");
    let demo = Process::rillcast(&["publish", "--demo", &origin.rtmp_url(STREAM)]);
    wait_until("there is a playlist", || origin.hls(STREAM).head.status == 200);
    let entry = client(&origin, "hls-play");
    assert_eq!((&entry["name"], &entry["publish"]), (&"seen".into(), &false.into()), "{entry}");
    let playlist = origin.hls(STREAM).text();
    let segment = playlist.lines().find(|line| !line.starts_with('#')).expect("the playlist names a segment");
    let bytes = http::get(origin.http, &format!("/live/{segment}")).body.len() as u64;
    wait_until("what it got is counted", || client(&origin, "hls-play")["send_bytes"].as_u64() > Some(bytes));
    assert_eq!(kick(&origin, &entry).head.status, 200);
    wait_until("it gets no playlist", || origin.hls(STREAM).head.status == 403);
    wait_until("it is not listed", || clients_of_kind(&origin, "hls-play").is_empty());
    assert_eq!(http::get(origin.http, "/live/seen.m3u8?token=other").head.status, 200, "others get it");
    drop(demo);
}
