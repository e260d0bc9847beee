//! WebSocket-FLV: the stream as binary messages, the control frames around it, and what closes it.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use rillcast::media::{Kind, Tag};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::harness::http::{self, Head, Response};
use super::harness::metrics::new_disconnects;
use super::harness::numbered::{Frame, audio_header};
use super::harness::paced::Pace;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::server::Server;
use super::harness::{flv, let_pass, wait_at_most, wait_for, wait_until, ws};

const STREAM: &str = "live/socket";
/// The key of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// About 1.5 MB a second: kernel buffers are full soon.
const HEAVY: Content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };

fn open(server: &Server) -> WebSocket<TcpStream> {
    ws::open(http::connect(server.http), &server.http.to_string(), STREAM).unwrap().expect("the stream is there")
}

fn origin() -> (Server, Feed) {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    Player::join(Protocol::HttpFlv, &origin, STREAM).wait_for_media();
    (origin, feed)
}

#[test]
fn a_player_gets_the_tags_of_an_http_player_at_origin_and_edge() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    for server in [&origin, &edge] {
        let players = [Protocol::HttpFlv, Protocol::WsFlv].map(|protocol| Player::join(protocol, server, STREAM));
        players.iter().for_each(Player::expect_media);
        let last = feed.last_number() + 50;
        for player in &players {
            player.wait_for_frame(feed.session, last);
            player.assert_no_frame_missing();
            player.assert_monotonic();
        }
        let [http, ws] = &players;
        assert_eq!(ws.headers(), http.headers());
        assert_eq!(ws.see(|recording| recording.flags), http.see(|recording| recording.flags));
        assert_eq!(common(ws, http, last), common(http, ws, last));
        assert_eq!(server.metrics().labelled("rillcast_players", "protocol", "ws-flv"), 1.0);
        assert!(server.metrics().labelled("rillcast_egress_bytes_total", "protocol", "ws-flv") > 10_000.0);
    }
    assert_eq!(edge.metrics().sum("rillcast_upstream_connects_total"), 1.0, "both are served from one pull");
}

/// The tags of `one` from the first frame that `other` has as well up to frame `last`.
#[track_caller]
fn common(one: &Player, other: &Player, last: u32) -> Vec<Tag> {
    let first = one.frames()[0].number.max(other.frames()[0].number);
    let wanted = |tag: &Tag| Frame::of(tag).is_some_and(|frame| (first..=last).contains(&frame.number));
    let tags: Vec<Tag> = one.see(|recording| recording.tags.iter().filter(|tag| wanted(tag)).cloned().collect());
    assert!(tags.len() >= 50, "only {} frames in common", tags.len());
    tags
}

#[test]
fn the_file_header_is_a_message_of_its_own_and_each_other_holds_whole_tags() {
    let (origin, _feed) = origin();
    let mut socket = open(&origin);
    let first = socket.read().unwrap().into_data();
    assert_eq!(first.len(), 13);
    flv::read_header(&mut first.as_ref()).unwrap();
    for _ in 0..20 {
        let message = socket.read().unwrap();
        assert!(message.is_binary(), "{message:?}");
        let data = message.into_data();
        let mut rest = data.as_ref();
        while flv::read_tag(&mut rest).unwrap().is_some() {}
    }
}

#[test]
fn a_late_joiner_gets_headers_and_begins_with_a_keyframe() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"10m\"\n");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(60);
    let early = Player::join(Protocol::WsFlv, &origin, STREAM);
    early.wait_for_frame(publisher.session, publisher.last_number());
    publisher.push(2);
    let late = Player::join(Protocol::WsFlv, &origin, STREAM);
    late.wait_for_frame(publisher.session, publisher.last_number());
    assert_eq!(late.headers(), early.headers());
    assert!(late.headers().video.is_some() && late.headers().audio.is_some() && late.headers().metadata.is_some());
    let first = late.frames()[0];
    assert!(first.key && first.number >= 100, "{first:?}");
    late.assert_no_frame_missing();
}

#[test]
fn an_absent_stream_is_not_found_before_anything_is_upgraded() {
    let config = "[play]\nplay_wait = \"300ms\"\n";
    let (origin, edge) = Server::origin_and_edge(config, config);
    for server in [&origin, &edge] {
        let player = Player::join(Protocol::WsFlv, server, "live/nobody");
        assert_eq!(player.answer(), Err("404".to_owned()));
    }
}

#[test]
fn a_player_that_leaves_while_it_waits_is_noticed() {
    let (_origin, edge) = Server::origin_and_edge("", "[play]\nplay_wait = \"0s\"\n[upstream]\nlinger = \"100ms\"\n");
    let player = Player::join(Protocol::WsFlv, &edge, "live/nobody");
    wait_until("the edge waits with the player", || edge.metrics().sum("rillcast_players") == 1.0);
    player.leave();
    wait_until("the edge has noticed", || edge.metrics().sum("rillcast_players") == 0.0);
    wait_until("nobody asks for the stream any more", || edge.metrics().sum("rillcast_upstream_pulls") == 0.0);
}

#[test]
fn a_player_that_waits_plays_when_the_publisher_comes() {
    let (origin, edge) = Server::origin_and_edge("", "[play]\nplay_wait = \"20s\"\n");
    let player = Player::join(Protocol::WsFlv, &edge, STREAM);
    wait_until("the edge has asked", || edge.metrics().sum("rillcast_upstream_connects_total") >= 1.0);
    let feed = Publisher::start(&origin, STREAM).feed();
    player.wait_for_frame(feed.session, 0);
}

#[test]
fn a_player_that_stops_reading_is_closed_with_its_reason() {
    let origin = Server::origin("[play]\nqueue_length = \"2s\"\nhard_lag = \"4s\"\n");
    let feed = Publisher::start_with(&origin, STREAM, HEAVY).feed();
    let healthy = Player::join(Protocol::WsFlv, &origin, STREAM);
    let pace = Pace::unlimited();
    let stopped = Player::join_paced(Protocol::WsFlv, &origin, STREAM, pace.clone());
    stopped.wait_for_media();
    let (before, memory) = (origin.metrics(), origin.resident_memory());
    pace.limit(0);
    wait_at_most(Duration::from_secs(90), "the player that does not read is closed", || {
        assert!(origin.resident_memory() < memory + (64 << 20), "memory grows with a stopped player");
        origin.metrics().sum("rillcast_players") == 1.0
    });
    assert_eq!(new_disconnects(&before, &origin.metrics()), BTreeMap::from([("slow_player".to_owned(), 1.0)]));
    healthy.wait_for_frame(feed.session, feed.last_number());
    healthy.assert_no_frame_missing();
}

#[test]
fn a_slow_reader_skips_to_keyframes_and_goes_on() {
    let origin = Server::origin("[play]\nqueue_length = \"2s\"\nhard_lag = \"10m\"\n");
    let feed = Publisher::start_with(&origin, STREAM, HEAVY).feed();
    let pace = Pace::unlimited();
    let slow = Player::join_paced(Protocol::WsFlv, &origin, STREAM, pace.clone());
    slow.wait_for_media();
    pace.limit(700_000);
    wait_at_most(Duration::from_secs(90), "the slow player has skipped", || {
        slow.frames().windows(2).any(|pair| pair[1].number != pair[0].number + 1)
    });
    pace.release();
    slow.wait_for_frame(feed.session, feed.last_number());
    let frames = slow.frames();
    let gaps = (1..frames.len()).filter(|&at| frames[at].number != frames[at - 1].number + 1);
    for at in gaps {
        let picture = frames[at..].iter().find(|frame| frame.kind == Kind::Video).unwrap();
        assert!(picture.key, "the first picture after a gap is {picture:?}");
    }
    slow.assert_monotonic();
}

#[test]
fn pings_are_answered_and_messages_ignored() {
    let (origin, _feed) = origin();
    let mut socket = open(&origin);
    for round in 0..3_u8 {
        socket.send(Message::text("is anybody there?")).unwrap();
        socket.send(Message::binary(vec![7; 60_000])).unwrap();
        socket.send(Message::Ping(Bytes::from(vec![round; 100]))).unwrap();
        while socket.read().unwrap() != Message::Pong(Bytes::from(vec![round; 100])) {}
    }
}

#[test]
fn a_message_larger_than_64_kib_closes_with_1009() {
    let (origin, _feed) = origin();
    let before = origin.metrics();
    let mut socket = open(&origin);
    socket.send(Message::binary(vec![0; 65_537])).unwrap();
    assert_eq!(closed(&mut socket), Some(CloseCode::Size));
    wait_for_reason(&origin, &before, "message_too_large");
}

#[test]
fn bytes_that_break_the_protocol_close_with_1002() {
    let (origin, _feed) = origin();
    let before = origin.metrics();
    let mut socket = open(&origin);
    // A text frame that is not masked.
    socket.get_mut().write_all(&[0x81, 0x02, b'h', b'i']).unwrap();
    assert_eq!(closed(&mut socket), Some(CloseCode::Protocol));
    wait_for_reason(&origin, &before, "protocol_violation");
}

#[test]
fn a_client_that_closes_gets_its_closing_frame_back() {
    let (origin, _feed) = origin();
    let before = origin.metrics();
    let mut socket = open(&origin);
    socket.close(Some(CloseFrame { code: CloseCode::Library(4_000), reason: "enough".into() })).unwrap();
    assert_eq!(closed(&mut socket), Some(CloseCode::Library(4_000)));
    wait_for_reason(&origin, &before, "peer_closed");
    wait_until("the player is gone", || origin.metrics().sum("rillcast_players") == 0.0);
}

#[test]
fn a_client_that_goes_without_a_word_is_noticed() {
    let (origin, _feed) = origin();
    let before = origin.metrics();
    drop(open(&origin));
    wait_until("the player is gone", || origin.metrics().sum("rillcast_players") == 0.0);
    wait_until("its end is counted", || {
        let reasons = new_disconnects(&before, &origin.metrics());
        ["peer_closed", "peer_lost"].iter().filter_map(|reason| reasons.get(*reason)).sum::<f64>() >= 1.0
    });
}

#[test]
fn the_end_of_the_stream_closes_with_1000() {
    let origin = Server::origin("[publish]\nresume_timeout = \"500ms\"\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::WsFlv, &origin, STREAM);
    player.wait_for_media();
    feed.stop().close();
    assert_eq!(player.wait_for_end(), Ending::Proper);
    assert_eq!(player.see(|recording| recording.close_code), Some(1_000));
}

#[test]
fn other_tracks_close_with_1000() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"10m\"\n");
    let before = origin.metrics();
    let content = Content { audio: false, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin, STREAM, content);
    publisher.push(30);
    let player = Player::join(Protocol::WsFlv, &origin, STREAM);
    player.wait_for_media();
    publisher.send(Kind::Audio, 2_000, audio_header()).unwrap();
    publisher.push(60);
    assert_eq!(player.wait_for_end(), Ending::Proper);
    assert_eq!(player.see(|recording| recording.close_code), Some(1_000));
    wait_for_reason(&origin, &before, "tracks_changed");
}

#[test]
fn the_end_of_the_server_closes_with_1001() {
    let (mut origin, _feed) = origin();
    let player = Player::join(Protocol::WsFlv, &origin, STREAM);
    player.wait_for_media();
    origin.signal(Signal::TERM);
    assert_eq!(origin.wait_for_exit(), Some(0));
    assert_eq!(player.wait_for_end(), Ending::Proper);
    assert_eq!(player.see(|recording| recording.close_code), Some(1_001));
    player.assert_no_frame_missing();
}

#[test]
fn a_flawed_handshake_is_refused_in_http() {
    let origin = Server::origin("[http]\ncors_origins = [\"https://player.example\"]\n");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let ask = |version: &str, headers: &str| -> Response {
        let request = format!("GET /{STREAM}.flv {version}\r\nHost: a\r\n{headers}\r\n");
        http::exchange(origin.http, request.as_bytes(), true).unwrap()
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (http, headers, status) in [
        ("HTTP/1.0", format!("{upgrade}{key}{version}"), 400),
        ("HTTP/1.1", format!("{upgrade}{version}Connection: close\r\n"), 400),
        ("HTTP/1.1", format!("{upgrade}Sec-WebSocket-Key: short\r\n{version}Connection: close\r\n"), 400),
        ("HTTP/1.1", format!("{upgrade}{key}Sec-WebSocket-Version: 12\r\n"), 426),
        ("HTTP/1.1", format!("{key}{version}Connection: close\r\n"), 426),
        ("HTTP/1.1", format!("{upgrade}{key}{version}Origin: https://other.example\r\n"), 403),
    ] {
        let Response { head, .. } = ask(http, &headers);
        assert_eq!(head.status, status, "{http} {headers}");
        if status == 426 {
            assert_eq!(head.header("sec-websocket-version"), Some("13"));
            assert_eq!(head.header("upgrade"), Some("websocket"));
        }
    }
    let mut stream = http::connect(origin.http);
    let headers = format!("{upgrade}{key}{version}Origin: https://player.example\r\n");
    stream.write_all(format!("GET /{STREAM}.flv HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).unwrap();
    let head = Head::read(&mut BufReader::new(stream)).unwrap();
    assert_eq!((head.status, head.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}

#[test]
fn a_connection_may_be_upgraded_after_other_requests() {
    let (origin, feed) = origin();
    let stream = http::connect(origin.http);
    let mut source = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..2 {
        (&stream).write_all(format!("HEAD /{STREAM}.flv HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(Head::read(&mut source).unwrap().status, 200);
    }
    let mut socket = ws::open(stream, "a", STREAM).unwrap().expect("the stream is there");
    socket.read().unwrap();
    let frame = wait_for("media comes", || {
        let data = socket.read().unwrap().into_data();
        let tag = flv::read_tag(&mut data.as_ref()).unwrap();
        tag.as_ref().and_then(Frame::of)
    });
    assert_eq!(frame.session, feed.session);
}

#[test]
fn a_hundred_sockets_that_come_and_go_leave_nothing_behind() {
    let (origin, _feed) = origin();
    wait_until("the first player has left", || origin.metrics().sum("rillcast_players") == 0.0);
    let files = origin.open_files();
    for round in 0..10 {
        let sockets: Vec<_> = (0..10).map(|_| open(&origin)).collect();
        let_pass(Duration::from_millis(20));
        for mut socket in sockets {
            if round % 2 == 0 {
                socket.close(None).unwrap();
                closed(&mut socket);
            }
        }
    }
    wait_until("no player is left", || origin.metrics().sum("rillcast_players") == 0.0);
    wait_until("no socket is left", || origin.open_files() <= files + 2);
}

/// Reads to the end: the code of the closing frame, if one came.
fn closed(socket: &mut WebSocket<TcpStream>) -> Option<CloseCode> {
    let mut code = None;
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return code,
            Err(error) => panic!("the connection ended without a handshake: {error}"),
        }
    }
}

#[track_caller]
fn wait_for_reason(server: &Server, before: &super::harness::metrics::Metrics, reason: &str) {
    wait_until(&format!("{reason} is counted"), || {
        new_disconnects(before, &server.metrics()).get(reason).is_some_and(|count| *count >= 1.0)
    });
}
