//! An edge that pulls over HTTP-FLV: from an origin of our own, and from upstreams that do it badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rillcast::media::{Kind, flv};

use super::harness::numbered::{metadata, video_frame, video_header};
use super::harness::player::{Ending, Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::server::Server;
use super::harness::{let_pass, wait_until};

const STREAM: &str = "live/http-pull";
const PROTOCOLS: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];

/// An edge that pulls over HTTP from `port` of the given addresses.
fn edge(origins: &[SocketAddr], port: u16, upstream: &str) -> Server {
    Server::edge(origins, &format!("[upstream]\nprotocol = \"http-flv\"\nhttp_port = {port}\n{upstream}"))
}

fn edge_of(origin: &Server) -> Server {
    edge(&[origin.rtmp], origin.http.port(), "")
}

#[track_caller]
fn wait_for_all(players: &[Player], feed: &Feed) {
    for player in players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_monotonic();
        player.assert_no_frame_missing();
    }
}

fn connects(edge: &Server, result: &str) -> f64 {
    edge.metrics().labelled("rillcast_upstream_connects_total", "result", result)
}

fn reconnects(edge: &Server, reason: &str) -> f64 {
    edge.metrics().labelled("rillcast_upstream_reconnects_total", "reason", reason)
}

#[test]
fn players_of_every_protocol_share_one_pull_over_http() {
    let origin = Server::origin("");
    let edge = edge_of(&origin);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);
    let direct = Player::join(Protocol::HttpFlv, &origin, STREAM);
    direct.wait_for_media();
    for player in &players {
        assert_eq!(player.headers(), direct.headers());
    }
    assert_eq!(edge.metrics().sum("rillcast_upstream_connects_total"), 1.0);
    assert_eq!(origin.metrics().labelled("rillcast_players", "protocol", "rtmp"), 0.0, "nothing goes over RTMP");
    assert_eq!(origin.metrics().labelled("rillcast_players", "protocol", "http-flv"), 2.0);
    wait_until("what came is counted", || {
        edge.metrics().labelled("rillcast_ingress_bytes_total", "protocol", "http-flv") > 1_000.0
    });
    let upstream = edge.stream(STREAM).unwrap()["upstream"].clone();
    assert_eq!(upstream["address"], origin.http.to_string());
}

#[test]
fn pulls_are_signed_and_one_with_another_key_is_served_as_a_player_is() {
    let key = |word: &str| format!("[cluster]\nkey = \"{}\"\n", word.repeat(4));
    let origin = Server::origin(&key("right-key"));
    let feed = Publisher::start(&origin, STREAM).feed();
    for (word, result) in [("right-key", "verified"), ("wrong-key", "wrong")] {
        let edge = edge(&[origin.rtmp], origin.http.port(), &key(word));
        let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
        player.wait_for_frame(feed.session, feed.last_number());
        assert_eq!(origin.metrics().labelled("rillcast_marks_total", "result", result), 1.0, "{result}");
    }
}

#[test]
fn names_that_need_escaping_are_the_same_at_the_origin() {
    let origin = Server::origin("");
    let edge = edge_of(&origin);
    let stream = "live/eu/caf%C3%A9%20100%25%3F%23%2B";
    let feed = Publisher::start(&origin, stream).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, stream);
    player.wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn players_stay_when_the_origin_is_killed_and_comes_back() {
    let mut origin = Server::origin_on_fixed_ports("");
    let edge = edge_of(&origin);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);

    origin.kill();
    wait_until("the publisher has lost its origin", || feed.is_closed());
    origin.restart();
    let feed = Publisher::start(&origin, STREAM).feed();
    wait_for_all(&players, &feed);
    assert!(players.iter().all(|player| player.ending().is_none()));
    assert!(edge.metrics().sum("rillcast_upstream_reconnects_total") >= 1.0);
}

#[test]
fn players_stay_when_the_publisher_changes() {
    let origin = Server::origin("");
    let edge = edge_of(&origin);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);

    feed.stop().close();
    wait_until("the edge knows at once", || reconnects(&edge, "ended") == 1.0);
    let feed = Publisher::start(&origin, STREAM).feed();
    wait_for_all(&players, &feed);
    assert!(players.iter().all(|player| player.ending().is_none()));
}

#[test]
fn the_same_session_pulled_again_repeats_nothing_and_misses_nothing() {
    let origin = Server::origin("");
    let proxy = Proxy::in_front_of(origin.http);
    let edge = edge(&[proxy.address], proxy.address.port(), "");
    // With one keyframe only, the origin's cache holds whatever a pull misses.
    let content = Content { gop: u32::MAX, ..Content::default() };
    let feed = Publisher::start_with(&origin, STREAM, content).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);
    for cut in 1..=3 {
        proxy.cut();
        wait_until("the pull is lost", || edge.metrics().sum("rillcast_upstream_reconnects_total") >= f64::from(cut));
        // A cut that comes while nothing is pulled cuts nothing.
        wait_until("it is pulled again", || connects(&edge, "connected") >= f64::from(cut + 1));
        wait_for_all(&players, &feed);
    }
    assert!(players.iter().all(|player| player.ending().is_none()));
}

#[test]
fn a_publisher_that_stands_still_does_not_cost_the_pull() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"10m\"\n");
    let edge = edge(&[origin.rtmp], origin.http.port(), "read_timeout = \"1s\"\n");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(30);
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_frame(publisher.session, publisher.last_number());
    // Longer than either of the times after which an upstream counts as dead.
    let_pass(Duration::from_secs(5));
    publisher.push(30);
    player.wait_for_frame(publisher.session, publisher.last_number());
    player.assert_no_frame_missing();
    assert_eq!(edge.metrics().sum("rillcast_upstream_reconnects_total"), 0.0);
    assert!(
        player.see(|recording| recording.tags.iter().all(|tag| !tag.payload.is_empty())),
        "signs of life are between servers"
    );
}

#[test]
fn an_absent_stream_is_asked_for_in_rhythm_and_is_no_failure() {
    let origin = Server::origin("[play]\nplay_wait = \"10m\"\n");
    let edge = Server::edge(
        &[origin.rtmp],
        &format!(
            "[play]\nplay_wait = \"1s\"\n[upstream]\nprotocol = \"http-flv\"\nhttp_port = {}\n",
            origin.http.port()
        ),
    );
    assert_eq!(Player::join(Protocol::HttpFlv, &edge, "live/nobody").answer(), Err("404".to_owned()));
    let asked = connects(&edge, "not_found");
    assert!((2.0..=6.0).contains(&asked), "asked {asked} times");
    assert_eq!(connects(&edge, "failed") + connects(&edge, "refused"), 0.0);
}

#[test]
fn redirects_are_followed_and_players_know_nothing_of_them() {
    let origin = Server::origin("");
    let target = format!("http://{}/{STREAM}.flv", origin.http);
    let upstream = Upstream::start(free_place(), move |_| {
        Answer::closed(format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"))
    });
    let edge = edge(&[upstream.address], upstream.address.port(), "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_frame(feed.session, feed.last_number());
    assert_eq!(player.see(|recording| recording.head.as_ref().unwrap().status), 200);
    assert_eq!(upstream.connections(), 1);
}

/// Upstreams that never send a stream.
fn useless() -> Vec<(&'static str, Answer)> {
    const PAGE: &str = "<html><body>Bad gateway</body></html>";
    let page = |status: &str, content_type: &str| {
        let length = PAGE.len();
        format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{PAGE}")
    };
    vec![
        ("an error page", Answer::closed(page("502 Bad Gateway", "text/html"))),
        ("a page instead of a stream", Answer::closed(page("200 OK", "text/html"))),
        ("a page that is called a stream", Answer::closed(page("200 OK", "video/x-flv"))),
        ("what is not HTTP", Answer::closed("RFB 003.008\n")),
        ("nothing", Answer::closed("")),
        ("a stall after the head", Answer::held(stream_head())),
        ("a truncated chunk", Answer::closed([stream_head().as_bytes(), b"ff\r\nFLV"].concat())),
    ]
}

#[test]
fn what_is_no_stream_is_a_failure_and_not_a_storm() {
    for (what, answer) in useless() {
        let upstream = Upstream::start(free_place(), move |_| answer.clone());
        let edge = Server::edge(
            &[upstream.address],
            &format!(
                "[play]\nplay_wait = \"2s\"\n[upstream]\nprotocol = \"http-flv\"\nhttp_port = {}\nread_timeout = \"500ms\"\n",
                upstream.address.port()
            ),
        );
        let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
        assert_eq!(player.answer(), Err("404".to_owned()), "{what}");
        assert_eq!(connects(&edge, "connected") + connects(&edge, "not_found"), 0.0, "{what}");
        assert!(connects(&edge, "failed") + connects(&edge, "refused") >= 1.0, "{what}");
        assert!(upstream.connections() <= 8, "{what}: {} connections in two seconds", upstream.connections());
    }
}

#[test]
fn an_upstream_that_sends_nonsense_does_not_keep_a_player_from_one_that_has_the_stream() {
    for (what, answer) in useless() {
        // The kernel gives none of these ports to anybody on another address meanwhile.
        let origin = Server::origin_on_fixed_ports("");
        let feed = Publisher::start(&origin, STREAM).feed();
        // The same port of another address of this host.
        let beside = SocketAddr::from(([127, 0, 0, 2], origin.http.port()));
        let _upstream = Upstream::start(beside, move |_| answer.clone());
        let edge = edge(&[SocketAddr::from(([127, 0, 0, 2], 1_935)), origin.rtmp], origin.http.port(), "");
        let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
        assert_eq!(player.answer(), Ok(()), "{what}");
        player.wait_for_frame(feed.session, feed.last_number());
    }
}

#[test]
fn players_stay_whatever_breaks_a_stream_and_each_break_is_counted_as_what_it_is() {
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    for (break_, hold, reason) in [
        (b"0\r\n\r\n".to_vec(), false, "ended"),
        (b"ff\r\n\x09".to_vec(), false, "closed"),
        (b"not a chunk\r\n".to_vec(), true, "invalid"),
        (chunk(&[0xee; 64]), true, "invalid"),
        (Vec::new(), true, "silent"),
    ] {
        // Each connection brings what the last one brought, and breaks: a foreign upstream tells no session.
        let upstream = Upstream::start(free_place(), move |number| {
            let mut body = flv::header(false, true).to_vec();
            let mut write = |kind, timestamp, payload: &[u8]| flv::write_tag(&mut body, kind, timestamp, payload);
            write(Kind::Data, 0, &metadata(1));
            write(Kind::Video, 0, &video_header(1));
            for frame in 0..10 {
                write(Kind::Video, frame * 40, &video_frame(number as u32 + 1, frame, frame == 0, 200));
            }
            Answer { bytes: [stream_head().as_bytes(), &chunk(&body), &break_].concat(), hold }
        });
        let edge = edge(&[upstream.address], upstream.address.port(), "read_timeout = \"700ms\"\n");
        let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
        wait_until(&format!("{reason} is counted twice"), || reconnects(&edge, reason) >= 2.0);
        for player in &players {
            assert_eq!(player.ending(), None, "{reason}");
            player.assert_monotonic();
        }
        assert_eq!(edge.metrics().sum("rillcast_upstream_reconnects_total"), reconnects(&edge, reason), "{reason}");
    }
}

#[test]
fn the_end_of_the_edge_ends_its_pull() {
    let origin = Server::origin("");
    let mut edge = edge_of(&origin);
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_media();
    edge.signal(rustix::process::Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    assert_eq!(player.wait_for_end(), Ending::Proper);
    wait_until("the origin has no player", || origin.metrics().sum("rillcast_players") == 0.0);
}

fn stream_head() -> String {
    "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
}

fn free_place() -> SocketAddr {
    SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
}

/// What a scripted upstream sends; then it closes, or holds the connection until its peer closes.
#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
    hold: bool,
}

impl Answer {
    fn closed(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), hold: false }
    }

    fn held(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), hold: true }
    }
}

/// A scripted upstream; it lives as long as the test process.
struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers the connection of each number, from 0.
    fn start(place: SocketAddr, answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(place).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answer(count.fetch_add(1, Ordering::Relaxed));
                // A peer that goes before it has read everything is part of the tests.
                thread::spawn(move || drop(serve(stream.unwrap(), &answer)));
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut source = BufReader::new(&stream);
    let mut line = String::new();
    while source.read_line(&mut line)? > 2 {
        line.clear();
    }
    (&stream).write_all(&answer.bytes)?;
    while answer.hold && source.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Passes bytes on until it is cut; then the next connections are passed on.
struct Proxy {
    address: SocketAddr,
    open: Arc<std::sync::Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn in_front_of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(free_place()).unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(std::sync::Mutex::new(Vec::new()));
        let registered = open.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(target).unwrap());
                let clones = [&near, &far].map(|stream| stream.try_clone().unwrap());
                registered.lock().unwrap().extend([&near, &far].map(|stream| stream.try_clone().unwrap()));
                let [near_too, far_too] = clones;
                thread::spawn(move || pass_on(near, far));
                thread::spawn(move || pass_on(far_too, near_too));
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(std::net::Shutdown::Both).ok();
}
