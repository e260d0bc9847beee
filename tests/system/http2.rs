//! Clients of HTTP/2 that do not behave: they take nothing, say nothing, or flood.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::authority::Authority;
use super::harness::ffmpeg::{self, Tracks};
use super::harness::http2::{self, END_HEADERS, END_STREAM, Http2, kind};
use super::harness::player::{Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::{Feed, Publisher};
use super::harness::server::Server;
use super::harness::{http, wait_at_most, wait_for, wait_until};

const STREAM: &str = "live/x";
const PLAYLIST: &str = "/live/x.m3u8";
/// More than a busy machine takes between two pictures, and less than who waits for a server that does something else.
const STARVED: Duration = Duration::from_secs(2);
/// When what is not taken is given up.
const IMPATIENT: &str =
    "[hls]\nfragment = \"1s\"\nwindow = \"20s\"\n[play]\nqueue_length = \"2s\"\nhard_lag = \"3s\"\n";
/// So much of an answer comes by itself that the whole of it waits.
const ONE_BYTE: u32 = 1;

/// An origin with segments of real pictures, and the path of one.
fn with_segments(config: &str) -> (Server, Process, String) {
    let origin = Server::origin(config);
    let publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    let segment = wait_for("there is a segment", || {
        let playlist = origin.hls(STREAM).text();
        playlist.lines().find(|line| line.ends_with(".ts")).map(|line| format!("/live/{line}"))
    });
    (origin, publisher, segment)
}

/// Streams and what has come on them, until `enough`.
#[track_caller]
fn read_until(client: &mut Http2, mut enough: impl FnMut(&BTreeMap<u32, Vec<u8>>, &[u32], &[u32]) -> bool) {
    let (mut data, mut complete, mut reset) = (BTreeMap::<u32, Vec<u8>>::new(), Vec::new(), Vec::new());
    while !enough(&data, &complete, &reset) {
        let frame = client.next_frame().expect("the connection goes on").expect("the connection goes on");
        match frame.kind {
            kind::DATA => data.entry(frame.stream).or_default().extend_from_slice(&frame.payload),
            kind::RST_STREAM => reset.push(frame.stream),
            kind::GOAWAY => panic!("the connection is to end"),
            _ => {}
        }
        if matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.flags & END_STREAM != 0 {
            complete.push(frame.stream);
        }
    }
}

#[test]
fn answers_that_are_never_taken_are_held_for_a_while_and_within_bounds() {
    const CONNECTIONS: usize = 30;
    const REQUESTS: usize = 99;
    let (origin, _publisher, segment) = with_segments(IMPATIENT);
    let size = http::get(origin.http, &segment).body.len();
    assert!(size > 16_384, "a segment of {size} bytes shows nothing");
    let before = origin.resident_memory();
    let reset = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = Http2::connect(origin.http, ONE_BYTE);
            for _ in 0..REQUESTS {
                client.get(&segment, &[("range", "bytes=0-65535")]).unwrap();
            }
            let reset = Arc::clone(&reset);
            // It shows that it is alive for as long as it may.
            thread::spawn(move || {
                while let Ok(Some(frame)) = client.next_frame() {
                    if frame.kind == kind::RST_STREAM
                        && reset.fetch_add(1, Ordering::Relaxed) + 1 == CONNECTIONS * REQUESTS
                    {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut most = 0;
    wait_at_most(Duration::from_secs(90), "every answer is given up", || {
        most = most.max(origin.resident_memory());
        reset.load(Ordering::Relaxed) == CONNECTIONS * REQUESTS
    });
    // 65,536 bytes of each would be 195 MB.
    let grown = most.saturating_sub(before);
    assert!(grown < 80 << 20, "{} MiB for answers that nobody takes", grown >> 20);
    drop(clients);
}

#[test]
fn an_answer_that_is_not_taken_is_ended_and_the_others_of_its_connection_go_on() {
    let (origin, _publisher, segment) = with_segments(IMPATIENT);
    let mut client = Http2::connect(origin.http, ONE_BYTE);
    client.give_room(0, 1 << 30).unwrap();
    let stalled = client.get(&segment, &[]).unwrap();
    read_until(&mut client, |data, _, _| data.contains_key(&stalled));
    // All the while the peer takes other answers.
    let mut is_over = false;
    while !is_over {
        let other = client.get(PLAYLIST, &[]).unwrap();
        client.give_room(other, 1 << 20).unwrap();
        read_until(&mut client, |_, complete, reset| {
            is_over |= reset.contains(&stalled);
            assert!(!reset.contains(&other), "an answer that is taken is ended");
            complete.contains(&other)
        });
    }
    let after = client.get(&segment, &[]).unwrap();
    client.give_room(after, 16 << 20).unwrap();
    let size = http::get(origin.http, &segment).body.len();
    read_until(&mut client, |data, complete, _| {
        complete.contains(&after) && data.get(&after).is_some_and(|bytes| bytes.len() == size)
    });
}

#[test]
fn an_answer_arrives_whole_in_a_window_of_exactly_its_size() {
    let (origin, _publisher, segment) = with_segments(IMPATIENT);
    let body = http::get(origin.http, &segment).body;
    let mut client = Http2::connect(origin.http, u32::try_from(body.len()).unwrap());
    client.give_room(0, 16 << 20).unwrap();
    let stream = client.get(&segment, &[]).unwrap();
    read_until(&mut client, |data, complete, _| {
        complete.contains(&stream) && data.get(&stream).is_some_and(|bytes| **bytes == *body)
    });
}

/// Connections that speak HTTP/2, as their handshake of TLS has settled, and say nothing.
struct Silent(Vec<Child>);

impl Silent {
    fn start(server: std::net::SocketAddr, count: usize) -> Self {
        let start = |_| {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-quiet", "-alpn", "h2", "-connect", &server.to_string()]);
            let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("openssl starts")
        };
        Self((0..count).map(start).collect())
    }

    fn have_ended(&mut self) -> bool {
        self.0.iter_mut().all(|child| child.try_wait().unwrap().is_some())
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

#[test]
fn who_has_begun_http_2_and_asks_for_nothing_is_gone_as_soon_as_anybody_who_says_nothing() {
    let authority = Authority::new();
    let directory = authority.certificate(&["localhost"]);
    let config = format!(
        "[http]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncertificates = [\"{}\"]\n[limits]\nmax_handshakes = 6\n",
        directory.display()
    );
    let origin = Server::origin(&config);
    let (feed, player) = playing(&origin);
    let began = Instant::now();
    let mut silent = Silent::start(origin.listens_for("https"), 2);
    let mut clients: Vec<Http2> = (0..2).map(|_| Http2::connect(origin.http, ONE_BYTE)).collect();
    let mut half: Vec<_> = (0..2).map(|_| http::connect(origin.http)).collect();
    for stream in &mut half {
        std::io::Write::write_all(stream, b"PRI ").unwrap();
    }
    wait_until("they are at their beginning", || origin.metrics().sum("rillcast_handshakes") == 6.0);
    // Nobody else is let in meanwhile, and nobody waits for long.
    let late = Player::join(Protocol::Rtmp, &origin, STREAM);
    late.expect_media();
    wait_until("the silent ones are gone", || silent.have_ended());
    for client in &mut clients {
        while client.next_frame().is_ok_and(|frame| frame.is_some()) {}
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    go_on(&feed, &player, began);
}

fn playing(origin: &Server) -> (Feed, Player) {
    let feed = Publisher::start(origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, origin, STREAM);
    player.expect_media();
    (feed, player)
}

#[track_caller]
fn go_on(feed: &Feed, player: &Player, since: Instant) {
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
    assert_eq!(player.ending(), None);
    let gap = player.longest_gap_since(since);
    assert!(gap < STARVED, "no picture for {gap:?}");
}

/// Sends the same again and again until the server ends the connection.
#[track_caller]
fn flood(client: &mut Http2, mut next: impl FnMut(&mut Http2) -> Vec<u8>) {
    const MOST: usize = 256 << 20;
    let mut sent = 0;
    loop {
        let bytes = next(client);
        sent += bytes.len();
        assert!(sent < MOST, "{sent} bytes of a flood are taken");
        if client.send_bytes(&bytes).is_err() {
            return;
        }
    }
}

#[test]
fn a_flood_of_requests_that_are_taken_back_ends_its_connection_and_no_other() {
    let origin = Server::origin("");
    let (feed, player) = playing(&origin);
    let began = Instant::now();
    let mut client = Http2::connect(origin.http, 65_535);
    flood(&mut client, |client| {
        let pairs = (0..500).flat_map(|_| {
            let stream = client.next_stream();
            let asked = http2::frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &http2::head(PLAYLIST, &[]));
            [asked, http2::frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        pairs.collect()
    });
    go_on(&feed, &player, began);
    wait_until("nothing of it is left", || origin.metrics().sum("rillcast_handshakes") == 0.0);
}

#[test]
fn a_head_without_end_ends_its_connection_and_no_other() {
    let origin = Server::origin("");
    let (feed, player) = playing(&origin);
    let (began, memory) = (Instant::now(), origin.resident_memory());
    let mut client = Http2::connect(origin.http, 65_535);
    let stream = client.next_stream();
    client.send(kind::HEADERS, END_STREAM, stream, &http2::head(PLAYLIST, &[])).unwrap();
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let more = http2::frame(kind::CONTINUATION, 0, stream, &field.repeat(150));
    flood(&mut client, |_| more.clone());
    go_on(&feed, &player, began);
    assert!(origin.resident_memory() < memory + (64 << 20));
}
