//! HLS where somebody is asked about viewers: playlists and segments are for who may have them, and for nobody else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::harness::hook_server::{HookServer, Say, YES};
use super::harness::http::{self, Response};
use super::harness::jwt;
use super::harness::publisher::{Feed, Publisher};
use super::harness::server::Server;
use super::harness::{wait_for, wait_until};

const STREAM: &str = "live/guarded";
const HLS: &str = "[hls]\nfragment = \"1s\"\n";
const NO: Say = Say::This(200, r#"{"code":1}"#);

/// A hook server that lets those play that say `ok=1`.
fn guard() -> HookServer {
    HookServer::start(|event| {
        let is_good = event["param"].as_str().unwrap_or_default().contains("ok=1");
        if event["action"] != "on_play" || is_good { YES } else { NO }
    })
}

fn start(config: &str) -> (Server, Feed) {
    let origin = Server::origin(&format!("{HLS}{config}"));
    let feed = Publisher::start(&origin, STREAM).feed();
    (origin, feed)
}

/// What the player `agent` gets for a path.
#[track_caller]
fn get(server: &Server, agent: &str, path: &str) -> Response {
    http::send(server.http, "GET", path, &[("User-Agent", agent)], "")
}

#[track_caller]
fn status(server: &Server, agent: &str, path: &str) -> u16 {
    get(server, agent, path).head.status
}

/// The path of a segment as the playlist names it that `agent` gets with `query`.
#[track_caller]
fn segment(server: &Server, agent: &str, query: &str) -> String {
    wait_for("there are segments", || {
        let playlist = get(server, agent, &format!("/{STREAM}.m3u8?{query}"));
        assert!(playlist.head.status != 403, "{agent} may not");
        let text = playlist.text();
        let line = text.lines().find(|line| line.contains(".ts"))?;
        (playlist.head.status == 200).then(|| format!("/live/{line}"))
    })
}

#[test]
fn a_hook_guards_segments_as_it_guards_playlists() {
    let hooks = guard();
    let (origin, _feed) = start(&format!("[hooks]\non_play = {0:?}\non_stop = {0:?}\n", hooks.url()));
    assert_eq!(status(&origin, "a", &format!("/{STREAM}.m3u8")), 403);
    let path = segment(&origin, "a", "ok=1&seat=7");
    assert!(path.ends_with("?ok=1&seat=7"), "{path}");
    let asked = hooks.heard_of("on_play").len();
    let found = get(&origin, "a", &path);
    assert_eq!(found.head.status, 200);
    assert!(found.head.header("cache-control").unwrap().starts_with("private"), "it is not for others");
    let playlist = get(&origin, "a", &format!("/{STREAM}.m3u8?ok=1&seat=7"));
    assert!(playlist.head.header("cache-control").unwrap().starts_with("private"));
    assert_eq!(hooks.heard_of("on_play").len(), asked, "it is known by then");
    let bare = path.split('?').next().unwrap();
    for (agent, path) in [("a", bare), ("b", bare), ("b", &format!("{bare}?ok=0"))] {
        assert_eq!(status(&origin, agent, path), 403, "{agent} {path}");
    }
    assert_eq!(hooks.heard_of("on_play").len(), asked + 3, "others are asked about");
}

#[test]
fn a_viewer_that_begins_with_a_segment_is_asked_about_once_and_has_an_end() {
    let hooks = guard();
    let (origin, _feed) = start(&format!("[hooks]\non_play = {0:?}\non_stop = {0:?}\n", hooks.url()));
    let path = segment(&origin, "a", "ok=1");
    let of_b = || -> Vec<_> { hooks.heard().into_iter().filter(|event| event["param"] == "?ok=1&b").collect() };
    for _ in 0..3 {
        assert_eq!(status(&origin, "b", &format!("{path}&b")), 200);
    }
    wait_until("it is told of as a viewer that came and went", || of_b().len() >= 2);
    let heard = of_b();
    assert_eq!((heard.len(), &heard[0]["action"], &heard[1]["action"]), (2, &"on_play".into(), &"on_stop".into()));
    assert_eq!(heard[0]["client_id"], heard[1]["client_id"]);
}

#[test]
fn viewers_at_one_address_are_told_apart_by_what_a_callback_goes_by() {
    let callback = guard();
    let (origin, _feed) = start(&format!("[auth]\nplay_callback = {:?}\n", callback.url()));
    let path = segment(&origin, "a", "ok=1");
    assert_eq!(status(&origin, "a", &path), 200);
    for query in ["?ok=0", "", "?ok=2"] {
        assert_eq!(status(&origin, "a", &format!("/{STREAM}.m3u8{query}")), 403, "{query}");
        assert_eq!(status(&origin, "a", &format!("{}{query}", path.split('?').next().unwrap())), 403, "{query}");
    }
}

#[test]
fn a_viewer_is_kicked_by_the_id_that_hooks_know_and_gets_no_segment_either() {
    let hooks = guard();
    let (origin, _feed) = start(&format!("[hooks]\non_play = {0:?}\non_stop = {0:?}\n", hooks.url()));
    let path = segment(&origin, "a", "ok=1");
    assert_eq!(status(&origin, "a", &path), 200);
    wait_until("those are told of that came before there were segments", || {
        hooks.heard_of("on_play").len() == hooks.heard_of("on_stop").len() + 1
    });
    let asked = hooks.heard_of("on_play");
    let id = asked.last().unwrap()["client_id"].as_str().unwrap().to_owned();
    assert_eq!(origin.ask_admin("DELETE", &format!("/api/v1/clients/{id}"), &[], "").head.status, 200);
    assert_eq!(status(&origin, "a", &path), 403);
    assert_eq!(status(&origin, "a", &format!("/{STREAM}.m3u8?ok=1")), 403);
    wait_until("it is told of", || hooks.heard_of("on_stop").iter().any(|event| event["client_id"] == *id));
    assert_eq!(hooks.heard_of("on_play").len(), asked.len(), "nobody is asked about it again");
}

#[test]
fn an_edge_fetches_nothing_for_who_may_not_have_it() {
    const CLUSTER: &str = "[cluster]\nkey = \"a key of the whole cluster\"\n";
    let hooks = guard();
    let (origin, _feed) = start(CLUSTER);
    let upstream = format!("[upstream]\nhttp_port = {}\n", origin.http.port());
    let edge = Server::edge(&[origin.rtmp], &format!("{CLUSTER}{upstream}[hooks]\non_play = {:?}\n", hooks.url()));
    for file in ["guarded.m3u", "guarded.m3u8", "guarded/1.ts", "guarded/1.m4s"] {
        assert_eq!(status(&edge, "a", &format!("/live/{file}")), 403, "{file}");
    }
    assert_eq!(edge.metrics().sum("rillcast_hls_relayed_total"), 0.0);
    let path = segment(&edge, "a", "ok=1");
    assert_eq!(status(&edge, "a", &path), 200);
    assert!(edge.metrics().sum("rillcast_hls_relayed_total") > 0.0);
}

#[test]
fn an_expired_token_in_a_header_is_no_good_beside_a_viewer_that_watches() {
    const KEY: &str = "0123456789abcdef-play";
    let (origin, _feed) = start(&format!("[auth]\nplay_jwt_key = {KEY:?}\n"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let token = |expires: Duration| {
        let claims = format!(r#"{{"exp":{},"action":"play","stream":"*"}}"#, expires.as_secs());
        format!("Bearer {}", jwt::hs256(&claims, KEY))
    };
    let status = |token: &str| {
        let path = format!("/{STREAM}.m3u8");
        http::send(origin.http, "GET", &path, &[("User-Agent", "a"), ("Authorization", token)], "").head.status
    };
    let (good, expired) = (token(now + Duration::from_secs(3_600)), token(now - Duration::from_secs(60)));
    wait_until("somebody watches", || status(&good) == 200);
    assert_eq!(status(&expired), 403);
    assert_eq!(status(&good), 200);
}
