//! HTTP-FLV in its details: methods, versions, headers, paths.

use std::io::{BufReader, Write};

use super::harness::flv;
use super::harness::http::{self, Head, Response};
use super::harness::numbered::Frame;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Feed, Publisher};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/http";
const PATH: &str = "/live/http.flv";
const SHORT_WAIT: &str = "[play]\nplay_wait = \"200ms\"\n";

fn start() -> (Server, Feed) {
    let origin = Server::origin(SHORT_WAIT);
    let feed = Publisher::start(&origin, STREAM).feed();
    Player::join(Protocol::HttpFlv, &origin, STREAM).wait_for_media();
    (origin, feed)
}

#[test]
fn a_stream_is_chunked_never_stored_and_open_to_other_origins() {
    let (origin, _feed) = start();
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    player.wait_for_media();
    let head = player.see(|recording| recording.head.clone()).unwrap();
    assert_eq!((head.version.as_str(), head.status), ("HTTP/1.1", 200));
    assert!(head.is_chunked());
    assert_eq!(head.header("content-type"), Some("video/x-flv"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn http_1_0_gets_the_bare_body() {
    let (origin, _feed) = start();
    let mut stream = http::connect(origin.http);
    stream.write_all(format!("GET {PATH} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut source = BufReader::new(stream);
    let head = Head::read(&mut source).unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    flv::read_header(&mut source).unwrap();
    let mut frames = 0;
    while frames < 20 {
        let tag = flv::read_tag(&mut source).unwrap().expect("the stream goes on");
        frames += Frame::of(&tag).iter().count();
    }
}

#[test]
fn head_answers_without_a_body_and_joins_nothing() {
    let (origin, _feed) = start();
    wait_until("the first player has left", || origin.metrics().sum("rillcast_players") == 0.0);
    let response = http::request(origin.http, "HEAD", PATH);
    assert_eq!(response.head.status, 200);
    assert_eq!(response.head.header("content-type"), Some("video/x-flv"));
    assert_eq!(origin.metrics().sum("rillcast_first_frame_seconds_count"), 1.0, "only the first player joined");
}

#[test]
fn head_on_an_absent_stream_is_not_found() {
    let (origin, _feed) = start();
    assert_eq!(http::request(origin.http, "HEAD", "/live/nobody.flv").head.status, 404);
}

#[test]
fn options_says_what_other_origins_may_do() {
    let (origin, _feed) = start();
    let request = format!(
        "OPTIONS {PATH} HTTP/1.1\r\nHost: a\r\nOrigin: https://player.example\r\n\
         Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n"
    );
    let response = http::exchange(origin.http, request.as_bytes(), true).unwrap();
    assert!(matches!(response.head.status, 200 | 204), "{:?}", response.head);
    assert_eq!(response.head.header("access-control-allow-origin"), Some("*"));
    let methods = response.head.header("access-control-allow-methods").unwrap_or_default();
    assert!(methods.contains('*') || methods.contains("GET"), "{methods}");
}

#[test]
fn other_methods_are_not_allowed_and_told_which_are() {
    let (origin, _feed) = start();
    for method in ["POST", "PUT", "DELETE"] {
        let response = http::request(origin.http, method, PATH);
        assert_eq!(response.head.status, 405, "{method}");
        assert!(response.head.header("allow").is_some_and(|allowed| allowed.contains("GET")), "{:?}", response.head);
    }
}

#[test]
fn paths_that_no_stream_can_have_are_refused_at_once() {
    let (origin, _feed) = start();
    let long = format!("/live/{}.flv", "x".repeat(10 * 1024));
    for path in [
        "/",
        "/live",
        "/live/",
        "/live/.flv",
        "/live/x.txt",
        "/nothing.flv",
        "/live/../http.flv",
        "/live/%2e%2e/http.flv",
        "/live/a%00b.flv",
        "/live/%ff%fe.flv",
        "/live/%zz.flv",
        "/live//http.flv",
        &long,
    ] {
        let response = http::get(origin.http, path);
        assert!((400..=414).contains(&response.head.status), "{path}: {:?}", response.head);
    }
}

#[test]
fn one_connection_serves_several_requests() {
    let (origin, _feed) = start();
    let mut stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..3 {
        stream.write_all(b"HEAD /live/http.flv HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(Head::read(&mut source).unwrap().status, 200);
    }
}

#[test]
fn an_answer_to_an_absent_stream_is_open_to_other_origins_too() {
    let (origin, _feed) = start();
    let Response { head, .. } = http::get(origin.http, "/live/nobody.flv");
    assert_eq!(head.status, 404);
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
}
