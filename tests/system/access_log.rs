//! The line that the log gets for every session at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::http;
use super::harness::metrics::new_disconnects;
use super::harness::paced::Pace;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::{wait_at_most, wait_for, wait_until};

const STREAM: &str = "live/told";

/// The lines of sessions of a kind that have ended.
fn ended(server: &Server, kind: &str) -> Vec<Value> {
    let lines = server.log().into_iter().filter(|line| line["target"] == "access");
    lines.map(|line| line["fields"].clone()).filter(|fields| fields["kind"] == kind).collect()
}

/// The only one, once it is there.
#[track_caller]
fn line(server: &Server, kind: &str) -> Value {
    let found = wait_for(&format!("a {kind} has ended"), || ended(server, kind).pop());
    assert_eq!(ended(server, kind).len(), 1, "one line for each session");
    found
}

#[test]
fn a_session_s_end_is_one_line_with_who_what_how_long_how_much_and_why() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let kinds = [(Protocol::Rtmp, "rtmp-play"), (Protocol::HttpFlv, "flv-play"), (Protocol::WsFlv, "ws-flv-play")];
    for (protocol, kind) in kinds {
        let player = Player::join(protocol, &origin, STREAM);
        player.wait_for_frame(feed.session, feed.last_number() + 10);
        let before = origin.metrics();
        player.leave();
        let line = line(&origin, kind);
        assert_eq!(line["stream"], STREAM, "{line}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert_eq!(line["id"].as_str().unwrap().len(), 24, "{line}");
        assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["sent_bytes"].as_u64().unwrap() > 1_000, "{line}");
        assert!(line["first_frame_ms"].is_u64() && line["behind_ms"].is_u64(), "{line}");
        assert_eq!(line["skipped_packets"], 0, "{line}");
        wait_until("the metric has the same reason", || {
            let reason = line["reason"].as_str().unwrap().to_owned();
            new_disconnects(&before, &origin.metrics()) == BTreeMap::from([(reason, 1.0)])
        });
    }
    drop(feed);
    let line = line(&origin, "fmle-publish");
    assert!(line["received_bytes"].as_u64().unwrap() > 1_000 && line["first_frame_ms"].is_null(), "{line}");
    assert_eq!(line["reason"], "peer_closed", "{line}");
}

#[test]
fn who_is_refused_has_a_line_with_the_stream_that_it_wanted() {
    let origin = Server::origin("[play]\nplay_wait = \"100ms\"\n");
    for (protocol, kind) in [(Protocol::Rtmp, "rtmp-play"), (Protocol::HttpFlv, "flv-play")] {
        Player::join(protocol, &origin, STREAM).wait_for_end();
        let line = line(&origin, kind);
        assert_eq!((&line["stream"], &line["reason"]), (&STREAM.into(), &"stream_not_found".into()), "{line}");
        assert!(line["sent_bytes"].as_u64() < Some(1_000), "{line}");
    }
    let closed = Server::origin("[auth]\nplay_key = \"0123456789abcdef\"\n");
    for (protocol, kind) in
        [(Protocol::Rtmp, "rtmp-play"), (Protocol::HttpFlv, "flv-play"), (Protocol::WsFlv, "ws-flv-play")]
    {
        Player::join(protocol, &closed, STREAM).wait_for_end();
        let line = line(&closed, kind);
        assert_eq!((&line["stream"], &line["reason"]), (&STREAM.into(), &"access_denied".into()), "{line}");
    }
    assert_eq!(http::get(closed.http, &format!("/{STREAM}.m3u8")).head.status, 401);
    assert_eq!(line(&closed, "hls-play")["reason"], "access_denied");
    let _first = Publisher::start(&origin, STREAM).feed();
    assert!(Publisher::attempt(origin.rtmp, STREAM, Content::default()).is_err());
    assert_eq!(line(&origin, "fmle-publish")["reason"], "publish_conflict");
}

#[test]
fn a_player_that_fell_behind_shows_how_far() {
    let origin = Server::origin("[play]\nqueue_length = \"1s\"\nhard_lag = \"3s\"\n");
    let content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };
    let _feed = Publisher::start_with(&origin, STREAM, content).feed();
    let pace = Pace::unlimited();
    let slow = Player::join_paced(Protocol::Rtmp, &origin, STREAM, pace.clone());
    slow.wait_for_media();
    pace.limit(0);
    wait_at_most(Duration::from_secs(90), "it is closed", || !ended(&origin, "rtmp-play").is_empty());
    let line = line(&origin, "rtmp-play");
    assert_eq!(line["reason"], "slow_player", "{line}");
    // About as much as is kept for it.
    assert!(line["behind_ms"].as_u64() > Some(500), "{line}");
    pace.release();
}

#[test]
fn both_ends_of_a_pull_have_a_line() {
    let (origin, edge) = Server::origin_and_edge("", "[upstream]\nlinger = 0\n");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_media();
    player.leave();
    let pull = line(&edge, "rtmp-pull");
    assert_eq!((&pull["reason"], &pull["server"]), (&"not_wanted".into(), &true.into()), "{pull}");
    assert_eq!(pull["peer"], origin.rtmp.to_string(), "{pull}");
    assert!(pull["received_bytes"].as_u64() > Some(1_000), "{pull}");
    assert_eq!(line(&origin, "rtmp-play")["server"], true);
}

#[test]
fn sessions_that_a_stop_ends_have_their_lines_too() {
    let mut origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let players = [Protocol::Rtmp, Protocol::HttpFlv].map(|protocol| Player::join(protocol, &origin, STREAM));
    players.iter().for_each(Player::expect_media);
    origin.signal(Signal::INT);
    assert_eq!(origin.wait_for_exit(), Some(0));
    for kind in ["rtmp-play", "flv-play", "fmle-publish"] {
        assert_eq!(line(&origin, kind)["reason"], "shutdown", "{kind}");
    }
}
