//! Hostile and broken peers: their connection closes with a reason, and nothing else is touched.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;

use super::harness::metrics::new_disconnects;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::rtmp::{Message, RtmpClient, chunks, message_type, text};
use super::harness::server::Server;
use super::harness::{http, let_pass, wait_at_most, wait_until};

const STREAM: &str = "live/untouched";
const MEBIBYTE: u64 = 1024 * 1024;

/// A server with a stream that must not notice anything.
struct Target {
    origin: Server,
    feed: Feed,
    players: [Player; 2],
}

impl Target {
    #[track_caller]
    fn start() -> Self {
        let origin = Server::origin("");
        let feed = Publisher::start(&origin, STREAM).feed();
        let players = Protocol::ALL.map(|protocol| Player::join(protocol, &origin, STREAM));
        players.iter().for_each(Player::expect_media);
        Self { origin, feed, players }
    }

    /// Runs an attack that must end with its connection closed by the server, for a reason that is counted and logged.
    #[track_caller]
    fn closes(&mut self, attack: &str, reason: &str, run: impl FnOnce(SocketAddr)) {
        let before = self.origin.metrics();
        run(self.origin.rtmp);
        let mut reasons = new_disconnects(&before, &self.origin.metrics());
        wait_until(&format!("{attack} is counted"), || {
            reasons = new_disconnects(&before, &self.origin.metrics());
            !reasons.is_empty()
        });
        assert_eq!(reasons, BTreeMap::from([(reason.to_owned(), 1.0)]), "{attack}");
        wait_until(&format!("{attack} is logged as {reason}"), || {
            self.origin.log().iter().any(|line| line["fields"]["reason"] == reason)
        });
        self.is_untouched();
    }

    #[track_caller]
    fn is_untouched(&mut self) {
        assert!(self.origin.is_running(), "the process has ended");
        for player in &self.players {
            player.wait_for_frame(self.feed.session, self.feed.last_number());
            player.assert_no_frame_missing();
        }
    }
}

#[test]
fn a_handshake_of_another_version_is_closed() {
    Target::start().closes("version 6", "handshake_invalid", |server| {
        sends_and_is_closed(server, &[&[6], &[0; 1536][..]].concat())
    });
}

#[test]
fn an_http_request_on_the_rtmp_port_is_closed() {
    Target::start().closes("HTTP", "handshake_invalid", |server| {
        sends_and_is_closed(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    });
}

#[test]
fn a_handshake_that_drips_is_closed_in_time() {
    Target::start().closes("a slow drip", "handshake_timeout", |server| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.write_all(&[3]).unwrap();
        wait_at_most(Duration::from_secs(30), "the dripping peer is closed", || {
            stream.write_all(&[0]).is_err() || is_closed(&stream)
        });
    });
}

#[test]
fn a_peer_that_says_nothing_after_the_handshake_is_closed_in_time() {
    Target::start()
        .closes("silence", "command_timeout", |server| is_closed_by_server(RtmpClient::open(server).unwrap()));
}

#[test]
fn signs_of_life_do_not_make_up_for_a_missing_command() {
    Target::start().closes("pongs and nothing else", "command_timeout", |server| {
        let client = RtmpClient::open(server).unwrap();
        wait_until("the server closes the connection", || {
            let_pass(Duration::from_millis(200));
            client.sink.send(&pong()).is_err()
        });
    });
}

#[test]
fn a_player_that_never_reads_cannot_pile_up_memory_by_what_it_sends() {
    let heavy = Content { frame_size: 60_000, ..Content::default() };
    let mut target = Target::start();
    let _feed = Publisher::start_with(&target.origin, "live/heavy", heavy).feed();
    let memory = target.origin.resident_memory();
    let mut client = RtmpClient::open(target.origin.rtmp).unwrap();
    client.connect("live", &[]).unwrap();
    client.play("heavy").unwrap();
    client.sink.stream().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let_pass(Duration::from_secs(3));
    let flood = chunks(2, &pong(), 128).concat().repeat(1_000);
    for _ in 0..3_000 {
        if client.sink.send_raw(&flood).is_err() {
            break;
        }
    }
    let grown = target.origin.resident_memory().saturating_sub(memory);
    println!("a flood of pongs costs {grown} bytes");
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes for a player that does not read");
    target.is_untouched();
}

#[test]
fn chunk_size_zero_is_refused() {
    Target::start().closes("chunk size 0", "chunk_invalid", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.send(&message(message_type::SET_CHUNK_SIZE, vec![0; 4])).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn the_largest_chunk_size_there_is_costs_no_memory_and_works() {
    let mut target = Target::start();
    let memory = target.origin.resident_memory();
    let mut publishers: Vec<Publisher> =
        (0..20).map(|index| Publisher::start(&target.origin, &format!("live/other-{index}"))).collect();
    for publisher in &mut publishers {
        publisher.sink().set_chunk_size(0x7fff_ffff).unwrap();
        publisher.push(2);
    }
    let player = Player::join(Protocol::Rtmp, &target.origin, "live/other-7");
    player.wait_for_frame(publishers[7].session, publishers[7].last_number());
    let grown = target.origin.resident_memory().saturating_sub(memory);
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes for announced chunk sizes");
    target.is_untouched();
}

#[test]
fn a_command_that_announces_more_than_64_kib_is_refused() {
    Target::start().closes("a huge command", "message_too_large", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.send_raw(&announcement(3, message_type::COMMAND, 65 * 1024)).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn a_media_message_that_announces_more_than_8_mib_is_refused() {
    Target::start().closes("a huge frame", "message_too_large", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.send_raw(&announcement(6, message_type::VIDEO, 9 * 1024 * 1024)).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn announced_lengths_that_are_never_delivered_cost_no_memory() {
    let mut target = Target::start();
    let memory = target.origin.resident_memory();
    let clients: Vec<RtmpClient> = (0..40)
        .map(|_| {
            let client = RtmpClient::open(target.origin.rtmp).unwrap();
            for chunk_stream in 3..63 {
                client.sink.send_raw(&announcement(chunk_stream, message_type::VIDEO, 8 * 1024 * 1024)).ok();
            }
            client
        })
        .collect();
    let_pass(Duration::from_secs(1));
    let grown = target.origin.resident_memory().saturating_sub(memory);
    println!("40 connections that announce 480 MiB each cost {grown} bytes");
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes for nothing delivered");
    clients.into_iter().for_each(is_closed_by_server);
    target.is_untouched();
}

#[test]
fn too_many_chunk_streams_are_refused() {
    Target::start().closes("100 chunk streams", "chunk_invalid", |server| {
        let client = RtmpClient::open(server).unwrap();
        for chunk_stream in 0..100 {
            // Chunk stream ids from 64 on take a second byte (RTMP specification 1.0, section 5.3.1.1).
            let mut bytes = announcement(0, message_type::VIDEO, 1_000);
            bytes.insert(1, chunk_stream);
            client.sink.send_raw(&bytes).ok();
        }
        is_closed_by_server(client);
    });
}

#[test]
fn deeply_nested_amf0_is_refused() {
    const DEPTH: usize = 15_000;
    Target::start().closes("deep AMF0", "amf_invalid", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.set_chunk_size(65_536).unwrap();
        let mut body = b"\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00".to_vec();
        body.extend(b"\x03\x00\x01a".repeat(DEPTH));
        client.sink.send(&message(message_type::COMMAND, body)).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn truncated_amf0_is_refused() {
    Target::start().closes("truncated AMF0", "amf_invalid", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.send(&message(message_type::COMMAND, b"\x02\x00\xffconnect".to_vec())).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn a_command_before_connect_is_refused() {
    Target::start().closes("publish before connect", "protocol_violation", |server| {
        let client = RtmpClient::open(server).unwrap();
        client.sink.send(&Message::command(0, "publish", 1.0, &[text("x"), text("y")])).unwrap();
        is_closed_by_server(client);
    });
}

#[test]
fn set_data_frame_without_arguments_harms_nobody() {
    let mut target = Target::start();
    let before_connect = RtmpClient::open(target.origin.rtmp).unwrap();
    let publisher = Publisher::start(&target.origin, "live/other");
    let nothing_set = message(message_type::DATA, b"\x02\x00\x0d@setDataFrame".to_vec());
    before_connect.sink.send(&nothing_set).unwrap();
    publisher.sink().send(&nothing_set).unwrap();
    let mut feed = publisher;
    feed.push(3);
    let player = Player::join(Protocol::Rtmp, &target.origin, "live/other");
    player.wait_for_frame(feed.session, feed.last_number());
    target.is_untouched();
}

#[test]
fn an_aggregate_whose_parts_do_not_fit_is_refused() {
    const AGGREGATE: u8 = 22;
    let mut target = Target::start();
    let mut publisher = Publisher::start(&target.origin, "live/other");
    publisher.push(1);
    let body = [&[9, 0xff, 0xff, 0xff][..], &[0; 20]].concat();
    publisher.sink().send(&Message { stream_id: 1, ..message(AGGREGATE, body) }).unwrap();
    publisher.wait_for_close();
    target.is_untouched();
}

#[test]
fn noise_after_the_handshake_harms_nobody() {
    let mut target = Target::start();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..50 {
        let client = RtmpClient::open(target.origin.rtmp).unwrap();
        let noise: Vec<u8> = (0..4_096).map(|_| next_random(&mut state)).collect();
        client.sink.send_raw(&noise).ok();
    }
    target.is_untouched();
}

#[test]
fn names_that_no_stream_may_have_are_refused_to_publishers_and_players() {
    let mut target = Target::start();
    let long = format!("live/{}", "x".repeat(10 * 1024));
    for name in ["live/..", "live/%2e%2e", "live/a%00b", "live/", &long] {
        let published = Publisher::attempt(target.origin.rtmp, name, Default::default());
        assert!(published.is_err(), "{name} was published");
        let player = Player::join(Protocol::Rtmp, &target.origin, name);
        assert!(player.answer().is_err(), "{name} is played");
    }
    target.is_untouched();
}

#[test]
fn an_oversized_http_head_is_refused() {
    let mut target = Target::start();
    let mut request = b"GET /live/untouched.flv HTTP/1.1\r\nHost: a\r\n".to_vec();
    for index in 0..20_000 {
        request.extend(format!("X-Filler-{index}: {}\r\n", "y".repeat(80)).into_bytes());
    }
    request.extend(b"\r\n");
    if let Ok(response) = http::exchange(target.origin.http, &request, false) {
        assert!((400..500).contains(&response.head.status), "{:?}", response.head);
    }
    target.is_untouched();
}

#[test]
fn what_is_not_http_is_refused_on_the_http_port() {
    let mut target = Target::start();
    for request in [&b"\x03\x00\x00\x00garbage\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        if let Ok(response) = http::exchange(target.origin.http, request, false) {
            assert!((400..600).contains(&response.head.status), "{:?}", response.head);
        }
    }
    target.is_untouched();
}

#[test]
fn an_http_head_that_never_ends_is_closed_in_time() {
    let mut target = Target::start();
    let mut stream = http::connect(target.origin.http);
    stream.write_all(b"GET /live/untouched.flv HTTP/1.1\r\nX-Slow: ").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    wait_at_most(Duration::from_secs(60), "the slow head is closed", || {
        stream.write_all(b"z").is_err() || is_closed(&stream)
    });
    target.is_untouched();
}

fn message(type_id: u8, payload: Vec<u8>) -> Message {
    Message { type_id, stream_id: 0, timestamp: 0, payload: Bytes::from(payload) }
}

fn pong() -> Message {
    message(message_type::USER_CONTROL, vec![0, 7, 0, 0, 0, 0])
}

/// The first chunk of a message of this length; the rest never comes.
fn announcement(chunk_stream: u8, type_id: u8, length: usize) -> Vec<u8> {
    let whole = Message { stream_id: 1, ..message(type_id, vec![0; length]) };
    chunks(chunk_stream, &whole, 128).swap_remove(0)
}

#[track_caller]
fn sends_and_is_closed(server: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(bytes).unwrap();
    wait_until("the server closes the connection", || is_closed(&stream));
}

/// Whether the peer has closed; drops what else it sent. The stream has a short read timeout.
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[track_caller]
fn is_closed_by_server(client: RtmpClient) {
    wait_until("the server closes the connection", || is_closed(client.sink.stream()));
}

/// Xorshift: the same noise in every run.
fn next_random(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 24) as u8
}
