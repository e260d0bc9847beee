//! What a new configuration reaches, and when.

use std::fs;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use super::harness::hook_server::{HookServer, Say};
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::{Server, free_address};
use super::harness::wait_until;
use super::reload::{put, put_valid, reload, wait_for_setting};

const STREAM: &str = "live/changed";

#[test]
fn new_limits_hold_for_who_comes_and_nobody_who_is_there_is_sent_away() {
    let server = Server::origin("");
    let feed = Publisher::start(&server, STREAM).feed();
    let players: Vec<Player> = (0..3).map(|_| Player::join(Protocol::Rtmp, &server, STREAM)).collect();
    players.iter().for_each(Player::expect_media);
    put_valid(&server, "limits.max_players = 2\n");
    assert!(Player::join(Protocol::HttpFlv, &server, STREAM).answer().is_err());
    put_valid(&server, "[limits]\nmax_connections_per_address = 4\n");
    let fifth = Player::join(Protocol::HttpFlv, &server, STREAM);
    fifth.wait_for_end();
    assert!(fifth.answer().is_err(), "a publisher and three players are four, though they came before the limit");
    put_valid(&server, "");
    Player::join(Protocol::HttpFlv, &server, STREAM).expect_media();
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
    }
}

#[test]
fn the_level_of_the_log_changes_at_once() {
    let server = Server::origin("");
    let lines = |level: &str| server.log().iter().filter(|line| line["level"] == level).count();
    // Errors are always logged, and what came before them has been read by then.
    let log_an_error = || {
        let known = lines("ERROR");
        server.write_config("limits.max_players = \"x\"\n");
        assert_eq!(reload(&server).head.status, 400);
        wait_until("the error is logged", || lines("ERROR") > known);
        server.write_config("");
        assert_eq!(reload(&server).head.status, 200);
    };
    assert_eq!(put(&server, "log.level = \"error\"\n").head.status, 200);
    log_an_error();
    let (info, debug) = (lines("INFO"), lines("DEBUG"));
    let _first = Publisher::start(&server, "live/unheard");
    log_an_error();
    assert_eq!((lines("INFO"), lines("DEBUG")), (info, debug));
    assert_eq!(put(&server, "log.level = \"debug\"\n").head.status, 200);
    let _second = Publisher::start(&server, "live/heard");
    wait_until("more is logged than before", || lines("DEBUG") > debug && lines("INFO") > info);
}

#[test]
fn pages_are_let_in_as_is_said_when_they_ask_though_their_connection_is_older() {
    let server = Server::origin("http.cors_origins = [\"https://one.example\"]\n");
    let request = || {
        let url = format!("http://{}/live/x.m3u8", server.http);
        let request = hyper::Request::get(&url).header("host", "a").header("origin", "https://two.example");
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let is_let_in = |response: &hyper::Response<_>| response.headers().contains_key("access-control-allow-origin");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connect = || async { TokioIo::new(tokio::net::TcpStream::connect(server.http).await.unwrap()) };
    let (mut first, mut second) = runtime.block_on(async {
        let (first, connection) = hyper::client::conn::http1::handshake(connect().await).await.unwrap();
        tokio::spawn(connection);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), connect().await);
        let (second, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        (first, second)
    });
    let mut ask = || {
        runtime.block_on(async {
            let answers = [first.send_request(request()).await.unwrap(), second.send_request(request()).await.unwrap()];
            let seen = answers.each_ref().map(is_let_in);
            for answer in answers {
                answer.into_body().collect().await.unwrap();
            }
            first.ready().await.unwrap();
            seen
        })
    };
    assert_eq!(ask(), [false, false]);
    put_valid(&server, "http.cors_origins = [\"https://two.example\"]\n");
    assert_eq!(ask(), [true, true]);
}

#[test]
fn a_hook_that_takes_the_place_of_another_is_asked_though_the_answer_of_that_one_is_known() {
    let (old, new) = (HookServer::consenting(), HookServer::start(|_| Say::This(200, r#"{"code":1}"#)));
    let on_play = |hooks: &HookServer| format!("[hooks]\ncache = \"10m\"\non_play = {:?}\n", hooks.url());
    let server = Server::origin(&on_play(&old));
    let _feed = Publisher::start(&server, STREAM).feed();
    Player::join(Protocol::HttpFlv, &server, STREAM).expect_media();
    put_valid(&server, &on_play(&new));
    assert_eq!(Player::join(Protocol::HttpFlv, &server, STREAM).answer(), Err("403".to_owned()));
}

#[test]
fn settings_of_a_stream_hold_for_streams_that_begin() {
    let server = Server::origin("");
    put_valid(&server, "[publish]\nenabled = false\n[play]\nplay_wait = \"1ms\"\n");
    assert!(Publisher::attempt(server.rtmp, STREAM, Content::default()).is_err());
    let absent = Player::join(Protocol::HttpFlv, &server, "live/absent");
    assert_eq!(absent.answer(), Err("404".to_owned()));
    put_valid(&server, "");
    let _feed = Publisher::start(&server, STREAM).feed();
    Player::join(Protocol::HttpFlv, &server, STREAM).expect_media();
}

#[test]
fn an_edge_finds_the_origins_that_it_is_told_of() {
    let origin = Server::origin("");
    let edge = Server::edge(&[free_address()], "[play]\nplay_wait = 0\n");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    wait_until("the wrong one is tried", || edge.metrics().sum("rillcast_upstream_connects_total") > 0.0);
    assert_eq!(player.frames().len(), 0);
    put_valid(&edge, &format!("upstream.origins = [\"{}\"]\n", origin.rtmp));
    player.expect_media();
    // Who has it already keeps it, whatever is said of those to come.
    put_valid(&edge, &format!("upstream.origins = [\"{}\"]\n", free_address()));
    let seen = player.last_frame().unwrap();
    player.wait_for_frame(seen.session, seen.number + 50);
    assert_eq!(player.ending(), None);
}

#[test]
fn hls_is_turned_on_and_off_where_it_was_not() {
    let off = "[hls]\nenabled = false\n";
    let origin = Server::origin(off);
    let edge = Server::edge(&[origin.rtmp], &format!("{off}[upstream]\nhttp_port = {}\n", origin.http.port()));
    let _feed = Publisher::start(&origin, STREAM).feed();
    for server in [&origin, &edge] {
        assert_eq!(server.hls(STREAM).head.status, 404);
        put_valid(server, "hls.enabled = true\n");
    }
    for server in [&edge, &origin] {
        wait_until("there is a playlist", || server.hls(STREAM).head.status == 200);
        put_valid(server, "");
        assert_eq!(server.hls(STREAM).head.status, 404);
    }
}

#[test]
fn recording_begins_where_nothing_was_recorded_and_ends_for_what_begins_then() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin("");
    let threads = || fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().count();
    let before = threads();
    let path = directory.path().join("[app]/[stream].[timestamp]").display().to_string();
    let recorded = || server.admin("/api/v1/recordings").json()["total"].as_u64().unwrap();
    Publisher::start(&server, "live/before").feed().stop().close();
    assert_eq!(recorded(), 0);
    put_valid(&server, &format!("[dvr]\nenabled = true\npath = {path:?}\n"));
    assert!(threads() > before, "the recorder has begun");
    let feed = Publisher::start(&server, "live/recorded").feed();
    wait_until("it is being recorded", || recorded() == 1);
    put_valid(&server, "");
    let _later = Publisher::start(&server, "live/later").feed();
    feed.stop().close();
    let complete = |entry: &serde_json::Value| entry["state"] == "complete";
    wait_until("the first is complete", || {
        let list = server.admin("/api/v1/recordings").json();
        list["recordings"].as_array().unwrap().iter().all(complete)
    });
    assert_eq!(recorded(), 1, "what has begun since is not recorded");
    assert_eq!(fs::read_dir(directory.path().join("live")).unwrap().count(), 1);
}

#[test]
fn a_drain_that_is_ordered_keeps_its_times_and_the_next_has_the_new_ones() {
    let server = Server::origin("");
    put_valid(
        &server,
        "[drain]\npropagation_delay = \"1h\"\nsoft_timeout = \"2h\"\nwindow = 0\nhard_timeout = \"3h\"\n",
    );
    let deadline = || server.admin("/api/v1/drain").json()["data"]["deadlines"]["end_ms"].as_u64();
    let order = |method: &str| server.ask_admin(method, "/api/v1/drain", &[], "").head.status;
    assert_eq!(order("POST"), 200);
    let ends = deadline().unwrap();
    put_valid(
        &server,
        "[drain]\npropagation_delay = \"1h\"\nsoft_timeout = \"2h\"\nwindow = 0\nhard_timeout = \"9h\"\n",
    );
    assert_eq!(deadline(), Some(ends));
    assert_eq!(order("DELETE"), 200);
    assert_eq!(order("POST"), 200);
    assert!(deadline().unwrap() > ends + 5 * 3_600_000);
    assert_eq!(order("DELETE"), 200);
}

#[test]
fn readiness_follows_a_limit_that_is_set_while_the_process_runs() {
    let server = Server::origin("");
    let _feed = Publisher::start(&server, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &server, STREAM);
    player.expect_media();
    assert_eq!(server.admin("/readyz").head.status, 200);
    put_valid(&server, "[limits]\nmax_players = 1\nunready_at = \"50%\"\n");
    wait_until("it is full", || server.admin("/readyz").head.status == 503);
    put_valid(&server, "");
    wait_until("it is not", || server.admin("/readyz").head.status == 200);
    assert_eq!(server.setting("limits.unready_at"), json!(null));
}

#[test]
fn origins_meet_others_that_they_are_told_of() {
    let addresses = [free_address(), free_address()];
    let settings = |peers: &[SocketAddr]| {
        let peers: Vec<String> = peers.iter().map(|address| format!("{:?}", address.to_string())).collect();
        format!("[cluster]\nkey = \"0123456789abcdef\"\npeers = [{}]\n", peers.join(", "))
    };
    let [first, second] = addresses.map(|address| {
        let ports = [address, free_address(), free_address()];
        Server::origin_at(ports, &settings(&[address]))
    });
    let feed = Publisher::start(&first, STREAM).feed();
    assert_eq!([&first, &second].map(|origin| origin.metrics().sum("rillcast_peers")), [0.0, 0.0]);
    for origin in [&first, &second] {
        let data = put_valid(origin, &settings(&addresses));
        assert_eq!((data["changed"].clone(), data["pending_restart"].clone()), (json!(["cluster.peers"]), json!([])));
    }
    wait_until("each can ask the other", || {
        [&first, &second].map(|origin| origin.metrics().sum("rillcast_peers")) == [1.0, 1.0]
    });
    let alone = put(&first, "cluster.peers = []\n");
    assert_eq!(alone.head.status, 400, "alone it can only be from its start on: {}", alone.text());
    let peers = first.setting("cluster.peers");
    assert_eq!(peers.as_array().map(Vec::len), Some(2));
    assert_eq!(first.ask_admin("DELETE", "/api/v1/config", &[], "").head.status, 200);
    // Files may say so. Until the restart it stays as it is, not as it was at the start.
    first.write_config(&settings(&addresses));
    wait_for_setting(&first, "cluster.peers", &peers);
    first.write_config(&settings(&[]));
    wait_until("it waits for a restart", || first.config()["pending_restart"][0]["key"] == "cluster.peers");
    assert_eq!(first.setting("cluster.peers"), peers);
    assert!(!feed.is_closed());
}

#[test]
fn recordings_are_kept_as_long_as_is_said_now_and_found_where_it_is_said_now() {
    let directory = tempfile::tempdir().unwrap();
    let settings = |place: &str, more: &str| {
        let path = directory.path().join(place).join("[app]/[stream].[timestamp]").display().to_string();
        format!("[dvr]\nenabled = true\npath = {path:?}\n{more}")
    };
    let total = |server: &Server| server.admin("/api/v1/recordings").json()["total"].as_u64().unwrap();
    let other = Server::origin(&settings("two", ""));
    let feed = Publisher::start(&other, STREAM).feed();
    wait_until("it is being recorded", || total(&other) == 1);
    feed.stop().close();
    let is_complete = || other.admin("/api/v1/recordings").json()["recordings"][0]["state"] == "complete";
    wait_until("it is complete", is_complete);

    let server = Server::origin(&settings("one", ""));
    assert_eq!(total(&server), 0);
    put_valid(&server, &settings("two", ""));
    wait_until("it is found at the other place", || total(&server) == 1);
    put_valid(&server, &settings("two", "retention = \"1s\"\n"));
    wait_until("it has been kept for long enough", || total(&server) == 0);
    assert!(!directory.path().join("two/live").exists());
}
