//! HTTP-FLV in its details: methods, versions, headers, paths.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rillcast::media::Kind;

use super::harness::flv;
use super::harness::http::{self, Body, Head, Response};
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

#[test]
fn the_end_of_the_stream_is_the_end_of_an_http_1_0_connection() {
    let origin = Server::origin("[publish]\nresume_timeout = \"0s\"\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    Player::join(Protocol::HttpFlv, &origin, STREAM).wait_for_media();
    let mut stream = http::connect(origin.http);
    stream.write_all(format!("GET {PATH} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").as_bytes()).unwrap();
    let mut source = BufReader::new(stream);
    assert_eq!(Head::read(&mut source).unwrap().header("transfer-encoding"), None);
    flv::read_header(&mut source).unwrap();
    feed.stop().close();
    while flv::read_tag(&mut source).unwrap().is_some() {}
}

#[test]
fn head_invents_no_length() {
    let (origin, _feed) = start();
    for path in [PATH, "/live/nobody.flv"] {
        let head = http::request(origin.http, "HEAD", path).head;
        assert_eq!(head.header("content-length"), None, "{head:?}");
    }
}

#[test]
fn a_connection_goes_on_after_not_found() {
    let (origin, feed) = start();
    let stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    for path in ["/live/nobody.flv", "/", "/live/.flv"] {
        let head = ask(&stream, &mut source, path, "");
        let mut body = String::new();
        Body::new(&mut source, &head).read_to_string(&mut body).unwrap();
        assert!((400..=404).contains(&head.status) && body.ends_with('\n'), "{path}: {head:?} {body}");
    }
    let head = ask(&stream, &mut source, PATH, "");
    assert_eq!(first_frame(Body::new(&mut source, &head)).session, feed.session);
}

#[test]
fn targets_in_absolute_form_and_queries_name_the_same_stream() {
    let (origin, feed) = start();
    for target in [format!("http://any.example:99{PATH}"), format!("{PATH}?token=a/b.flv&x=%00"), format!("{PATH}?")] {
        let stream = http::connect(origin.http);
        let mut source = BufReader::new(stream.try_clone().unwrap());
        let head = ask(&stream, &mut source, &target, "");
        assert_eq!(head.status, 200, "{target}");
        assert_eq!(first_frame(Body::new(&mut source, &head)).session, feed.session);
    }
    assert_eq!(origin.streams().len(), 1);
}

#[test]
fn only_listed_origins_may_play_where_there_is_a_list() {
    let config = "[http]\ncors_origins = [\"https://one.example\", \"https://two.example\"]\n";
    let origin = Server::origin(&format!("{SHORT_WAIT}{config}"));
    let allowed_for = |page: &str, method: &str| {
        let request = format!(
            "{method} {PATH} HTTP/1.1\r\nHost: a\r\nOrigin: {page}\r\nConnection: close\r\n\
             Access-Control-Request-Method: GET\r\n\r\n"
        );
        let head = http::exchange(origin.http, request.as_bytes(), true).unwrap().head;
        assert!(head.header("vary").is_some_and(|vary| vary.contains("origin")), "{head:?}");
        head.header("access-control-allow-origin").map(str::to_owned)
    };
    for method in ["GET", "OPTIONS"] {
        assert_eq!(allowed_for("https://two.example", method).as_deref(), Some("https://two.example"));
        assert_eq!(allowed_for("https://three.example", method), None);
    }
}

#[test]
fn a_preflight_allows_what_a_page_asks_for() {
    let (origin, _feed) = start();
    let request = format!(
        "OPTIONS {PATH} HTTP/1.1\r\nHost: a\r\nOrigin: https://player.example\r\nConnection: close\r\n\
         Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range, authorization\r\n\
         Access-Control-Request-Private-Network: true\r\n\r\n"
    );
    let head = http::exchange(origin.http, request.as_bytes(), true).unwrap().head;
    assert_eq!(head.header("access-control-allow-headers"), Some("range, authorization"));
    assert_eq!(head.header("access-control-allow-private-network"), Some("true"));
}

const MARK: &str = "Rillcast-Mark: v=1;node=a-test;path=a-test\r\n";

#[test]
fn a_pull_is_acknowledged_and_told_the_session() {
    let (origin, feed) = start();
    let stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    let head = ask(&stream, &mut source, PATH, MARK);
    assert!(head.header("rillcast-mark").is_some_and(|mark| mark.starts_with("v=1;node=")), "{head:?}");
    assert!(head.header("rillcast-session").is_some_and(|session| session.len() == 24), "{head:?}");
    assert_eq!(first_frame(Body::new(&mut source, &head)).session, feed.session);

    let head = http::get(origin.http, "/live/nobody.flv").head;
    assert_eq!((head.header("rillcast-mark"), head.header("rillcast-session")), (None, None), "no player is one of us");
}

#[test]
fn a_pull_of_an_absent_stream_is_answered_at_once() {
    let origin = Server::origin("[play]\nplay_wait = \"0s\"\n");
    let stream = http::connect(origin.http);
    let head = ask(&stream, &mut BufReader::new(&stream), "/live/nobody.flv", MARK);
    assert_eq!(head.status, 404);
    assert!(head.header("rillcast-mark").is_some(), "{head:?}");
}

#[test]
fn a_pull_ends_properly_with_its_publisher_while_players_stay() {
    let (origin, feed) = start();
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    player.wait_for_media();
    let stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    let head = ask(&stream, &mut source, PATH, MARK);
    feed.stop().close();
    let mut body = Body::new(&mut source, &head);
    flv::read_header(&mut body).unwrap();
    while flv::read_tag(&mut body).unwrap().is_some() {}
    assert_eq!(player.ending(), None);
}

#[test]
fn an_idle_pull_gets_a_sign_of_life_each_second_with_the_last_timestamp() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"10m\"\n");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(30);
    let stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    let head = ask(&stream, &mut source, PATH, MARK);
    let mut body = Body::new(&mut source, &head);
    flv::read_header(&mut body).unwrap();
    let mut next = || flv::read_tag(&mut body).unwrap().expect("the stream goes on");
    let mut last = 0;
    while Frame::of(&next()).is_none_or(|frame| {
        last = frame.timestamp;
        frame.number < publisher.last_number()
    }) {}
    let began = Instant::now();
    for _ in 0..3 {
        let sign = next();
        assert_eq!((sign.kind, sign.payload.len(), sign.timestamp), (Kind::Data, 0, last));
    }
    assert!(began.elapsed().as_millis() >= 2_500, "three of them within {:?}", began.elapsed());
    publisher.push(1);
    while Frame::of(&next()).is_none() {}
}

/// Sends one GET and reads the head of its answer.
#[track_caller]
fn ask(mut stream: &TcpStream, source: &mut impl std::io::BufRead, target: &str, headers: &str) -> Head {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).unwrap();
    Head::read(source).unwrap()
}

#[track_caller]
fn first_frame(mut body: impl Read) -> Frame {
    flv::read_header(&mut body).unwrap();
    loop {
        if let Some(frame) = Frame::of(&flv::read_tag(&mut body).unwrap().expect("the stream goes on")) {
            return frame;
        }
    }
}
