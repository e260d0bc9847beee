//! What players of an edge notice of faults between the edge and its upstream: a gap, and nothing else.
//!
//! `make reliability` prints the table of docs/reliability.md from here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::numbered::{audio_header, video_header};
use super::harness::player::{Player, Protocol};
use super::harness::proxy::Proxy;
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::server::Server;
use super::harness::{let_pass, wait_at_most, wait_for, wait_until};

const STREAM: &str = "live/faults";

/// Publishers of a stopped origin are not its silent ones, and players wait for as long as the test does.
const ORIGIN: &str = "[publish]\nnormal_timeout = \"5m\"\n";
const EDGE: &str = "[play]\nplay_wait = \"1m\"\n";

/// By when a fault must have been noticed, and how long players may then still wait: several times what is promised,
/// because the machine may be loaded.
const NOTICED_WITHIN: Duration = Duration::from_secs(12);
const GAP_AT_MOST: Duration = Duration::from_secs(15);

#[test]
fn behind_one_address_another_node_is_found_though_the_first_one_accepts_and_says_nothing() {
    let origin = Server::origin(ORIGIN);
    let feed = Publisher::start(&origin, STREAM).feed();
    let balancer = Proxy::to(origin.rtmp);
    balancer.swallow();
    // As long as the player waits, the first connection is not given up.
    let edge = Server::edge(&[balancer.address], &format!("{EDGE}[upstream]\nconnect_timeout = \"10m\"\n"));
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    wait_until("the node that says nothing is asked", || balancer.accepted() > 0);
    balancer.heal();
    player.wait_for_frame(feed.session, feed.last_number());
}

/// A way for the connection to an upstream to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Refused,
    BlackHole,
    HalfOpen,
    Cut,
    Trickle,
    Garbage,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Refused => "reset, then refused",
            Self::BlackHole => "black hole: accepts, forwards nothing",
            Self::HalfOpen => "origin stopped (SIGSTOP)",
            Self::Cut => "reset in the middle of a message",
            Self::Trickle => "one byte a second",
            Self::Garbage => "64 KiB of garbage in the stream",
        }
    }

    /// Whether it holds until it is ended, for new connections too.
    const fn stays(self) -> bool {
        !matches!(self, Self::Cut | Self::Garbage)
    }

    fn begin(self, upstream: &Upstream) {
        match self {
            Self::Refused => upstream.proxy.refuse(),
            Self::BlackHole => upstream.proxy.swallow(),
            Self::HalfOpen => upstream.origin.signal(Signal::STOP),
            Self::Cut => upstream.proxy.cut(),
            Self::Trickle => upstream.proxy.trickle(),
            Self::Garbage => upstream.proxy.insert(&garbage(64 * 1024)),
        }
    }

    fn end(self, upstream: &Upstream) {
        match self {
            Self::HalfOpen => upstream.origin.signal(Signal::CONT),
            _ => upstream.proxy.heal(),
        }
    }
}

/// Bytes without a pattern, the same in every run (xorshift32).
fn garbage(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(count).collect()
}

/// An origin with a publisher, behind a proxy.
struct Upstream {
    origin: Server,
    proxy: Proxy,
    feed: Feed,
}

impl Upstream {
    fn start() -> Self {
        let origin = Server::origin(ORIGIN);
        let proxy = Proxy::to(origin.rtmp);
        let feed = Publisher::start(&origin, STREAM).feed();
        Self { origin, proxy, feed }
    }

    /// An origin that is pulled from over HTTP, with frames so large that faults strike in their middle.
    fn start_over_http() -> Self {
        let origin = Server::origin(ORIGIN);
        let proxy = Proxy::to(origin.http);
        let content = Content { frame_size: 60_000, ..Content::default() };
        let feed = Publisher::start_with(&origin, STREAM, content).feed();
        Self { origin, proxy, feed }
    }

    fn has_reached(&self, player: &Player) -> bool {
        player.last_frame().is_some_and(|frame| frame.session == self.feed.session)
    }
}

/// Lets the fault happen to the upstream in use. With one upstream it ends as soon as it was noticed, with two it stays.
#[track_caller]
fn players_stay_through(fault: Fault, upstream_count: usize) {
    let upstreams: Vec<Upstream> = (0..upstream_count).map(|_| Upstream::start()).collect();
    let addresses: Vec<SocketAddr> = upstreams.iter().map(|upstream| upstream.proxy.address).collect();
    let edge = Server::edge(&addresses, EDGE);
    let elsewhere = if upstream_count == 1 { "one origin" } else { "two origins have it" };
    players_of_the_edge_stay_through(fault, &upstreams, &edge, elsewhere);
}

/// The same with one upstream that is pulled from over HTTP-FLV.
#[track_caller]
fn players_stay_through_over_http_flv(fault: Fault) {
    let upstream = Upstream::start_over_http();
    let port = upstream.proxy.address.port();
    let config = format!("{EDGE}[upstream]\nprotocol = \"http-flv\"\nhttp_port = {port}\n");
    let edge = Server::edge(&[upstream.proxy.address], &config);
    players_of_the_edge_stay_through(fault, &[upstream], &edge, "one origin, over HTTP-FLV");
}

#[track_caller]
fn players_of_the_edge_stay_through(fault: Fault, upstreams: &[Upstream], edge: &Server, kind: &str) {
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, edge, STREAM));
    players.iter().for_each(Player::expect_media);
    let in_use = edge.upstream(STREAM).expect("it is pulled");
    let (hit, others): (Vec<_>, Vec<_>) = upstreams.iter().partition(|upstream| upstream.proxy.address == in_use);
    let [hit] = hit[..] else { panic!("{in_use} is one of them") };
    wait_until("the pull has been there for a while", || {
        players.iter().all(|player| hit.has_reached(player) && player.frames().len() > 60)
    });

    let begin = Instant::now();
    fault.begin(hit);
    wait_at_most(NOTICED_WITHIN, "the fault is noticed", || reconnects(edge) >= 1.0);
    let noticed = begin.elapsed();
    if others.is_empty() {
        fault.end(hit);
    }
    let address = wait_for("the stream is pulled again", || live_upstream(edge));
    let returning = upstreams.iter().find(|upstream| upstream.proxy.address == address).expect("one of them");
    assert!(others.is_empty() || !fault.stays() || address != in_use, "the pull is elsewhere now");
    let goal = returning.feed.last_number() + 50;
    for player in &players {
        wait_at_most(GAP_AT_MOST, "media returns", || {
            assert_eq!(player.ending(), None, "the player stays");
            player.last_frame().is_some_and(|frame| frame.session == returning.feed.session && frame.number > goal)
        });
        player.assert_monotonic();
        player.assert_only_gaps_before_keyframes();
    }
    if fault == Fault::HalfOpen && !others.is_empty() {
        fault.end(hit);
    }
    headers_are_those_of(edge, &returning.feed);
    let gap = players.iter().map(|player| player.longest_gap_since(begin)).max().unwrap_or_default();
    row(&format!("{}; {kind}", fault.name()), noticed, gap);
    let attempts = edge.metrics().sum("rillcast_upstream_connects_total");
    assert!(attempts <= 4.0 + 3.0 * begin.elapsed().as_secs_f64(), "{attempts} attempts");
}

fn row(fault: &str, noticed: Duration, gap: Duration) {
    println!("| {fault} | {:.2} s | {:.2} s |", noticed.as_secs_f64(), gap.as_secs_f64());
}

/// The address that the stream is being pulled from, if it is.
fn live_upstream(edge: &Server) -> Option<SocketAddr> {
    let stream = edge.stream(STREAM)?;
    if stream["upstream"]["state"] != "live" {
        return None;
    }
    stream["upstream"]["address"].as_str()?.parse().ok()
}

fn reconnects(edge: &Server) -> f64 {
    edge.metrics().sum("rillcast_upstream_reconnects_total")
}

/// Whoever joins now gets the headers of this publisher.
#[track_caller]
fn headers_are_those_of(edge: &Server, feed: &Feed) {
    for protocol in Protocol::ALL {
        let player = Player::join(protocol, edge, STREAM);
        assert!(player.wait_for_media().key);
        let headers = player.headers();
        assert_eq!(headers.video, Some(video_header(feed.session)));
        assert_eq!(headers.audio, Some(audio_header()));
    }
}

#[test]
fn players_stay_when_the_origin_refuses_and_returns() {
    players_stay_through(Fault::Refused, 1);
}

#[test]
fn players_stay_when_the_origin_refuses_and_another_has_the_stream() {
    players_stay_through(Fault::Refused, 2);
}

#[test]
fn players_stay_when_the_origin_vanishes_in_a_black_hole_and_returns() {
    players_stay_through(Fault::BlackHole, 1);
}

#[test]
fn players_stay_when_the_origin_vanishes_in_a_black_hole_and_another_has_the_stream() {
    players_stay_through(Fault::BlackHole, 2);
}

#[test]
fn players_stay_when_the_origin_stops_and_continues() {
    players_stay_through(Fault::HalfOpen, 1);
}

#[test]
fn players_stay_when_the_origin_stops_and_another_has_the_stream() {
    players_stay_through(Fault::HalfOpen, 2);
}

#[test]
fn players_stay_when_the_connection_is_reset_in_the_middle_of_a_message() {
    players_stay_through(Fault::Cut, 1);
}

#[test]
fn players_stay_when_the_connection_is_reset_in_a_message_and_another_has_the_stream() {
    players_stay_through(Fault::Cut, 2);
}

#[test]
fn players_stay_when_the_origin_sends_a_byte_a_second_and_recovers() {
    players_stay_through(Fault::Trickle, 1);
}

#[test]
fn players_stay_when_the_origin_sends_a_byte_a_second_and_another_has_the_stream() {
    players_stay_through(Fault::Trickle, 2);
}

#[test]
fn players_stay_when_garbage_comes_from_the_origin() {
    players_stay_through(Fault::Garbage, 1);
}

#[test]
fn players_stay_when_garbage_comes_from_the_origin_and_another_has_the_stream() {
    players_stay_through(Fault::Garbage, 2);
}

#[test]
fn players_stay_when_an_origin_that_is_pulled_from_over_http_refuses() {
    players_stay_through_over_http_flv(Fault::Refused);
}

#[test]
fn players_stay_when_an_origin_that_is_pulled_from_over_http_vanishes() {
    players_stay_through_over_http_flv(Fault::BlackHole);
}

#[test]
fn players_stay_when_an_origin_that_is_pulled_from_over_http_is_cut_off() {
    players_stay_through_over_http_flv(Fault::Cut);
}

#[test]
fn players_stay_when_an_origin_that_is_pulled_from_over_http_sends_a_byte_a_second() {
    players_stay_through_over_http_flv(Fault::Trickle);
}

#[test]
fn players_stay_when_an_origin_that_is_pulled_from_over_http_sends_garbage() {
    players_stay_through_over_http_flv(Fault::Garbage);
}

#[test]
fn after_a_reset_the_pictures_are_the_publisher_s_from_a_keyframe_on() {
    const GOP: usize = 30;
    let directory = tempfile::tempdir().unwrap();
    let [published, played] = ["published.flv", "played.flv"].map(|name| directory.path().join(name));
    ffmpeg::make_file(Tracks::Both, 20, &published);
    let origin = Server::origin("");
    let proxy = Proxy::to(origin.rtmp);
    let edge = Server::edge(&[proxy.address], EDGE);
    let _publisher = ffmpeg::publish_file(&published, &origin.rtmp_url(STREAM));
    let recording = thread::spawn({
        let (url, played) = (edge.flv_url(STREAM), played.clone());
        move || ffmpeg::record(&url, 6, &played)
    });
    let watcher = Player::join(Protocol::Rtmp, &edge, STREAM);
    wait_until("some seconds were played", || watcher.see(|seen| seen.tags.len() > 150));
    proxy.cut();
    wait_until("the cut is noticed", || reconnects(&edge) >= 1.0);
    recording.join().expect("ffmpeg recorded");

    let published = ffmpeg::picture_hashes(&published);
    let played = ffmpeg::picture_hashes(&played);
    assert!(played.len() > 4 * GOP, "only {} pictures", played.len());
    let places: Vec<usize> = played
        .iter()
        .map(|hash| published.iter().position(|other| other == hash).expect("a published picture"))
        .collect();
    for pair in places.windows(2) {
        let follows = pair[1] == pair[0] + 1 || (pair[1] > pair[0] && pair[1].is_multiple_of(GOP));
        assert!(follows, "picture {} follows {}", pair[1], pair[0]);
    }
}

#[test]
fn a_hundred_waiting_streams_ask_an_absent_origin_no_more_than_the_rhythm_allows() {
    const STREAMS: usize = 100;
    let origin = Server::origin("");
    let proxy = Proxy::to(origin.rtmp);
    proxy.refuse();
    let edge = Server::edge(&[proxy.address], EDGE);
    let begin = Instant::now();
    let players: Vec<Player> =
        (0..STREAMS).map(|number| Player::join(Protocol::HttpFlv, &edge, &format!("live/{number}"))).collect();
    let attempts = || edge.metrics().sum("rillcast_upstream_connects_total");
    wait_until("each stream was asked for a few times", || attempts() >= (5 * STREAMS) as f64);
    let_pass(Duration::from_secs(1));
    // At once, after 0.25 s, 0.5 s, then each second.
    let allowed = STREAMS as f64 * (4.0 + begin.elapsed().as_secs_f64());
    let made = attempts();
    assert!(made <= allowed, "{made} attempts in {:?}", begin.elapsed());
    assert_eq!(edge.metrics().sum("rillcast_dns_lookups_total"), 0.0, "an address literal is not looked up");

    proxy.heal();
    let _feed = Publisher::start(&origin, "live/42").feed();
    players[42].expect_media();
}

#[test]
fn at_most_sixteen_connects_to_an_address_are_under_way() {
    const LIMIT: usize = 16;
    let origin = Server::origin("");
    let proxy = Proxy::to(origin.rtmp);
    proxy.swallow();
    let edge = Server::edge(&[proxy.address], &format!("{EDGE}[upstream]\nconnect_timeout = \"1s\"\n"));
    let _players: Vec<Player> =
        (0..100).map(|number| Player::join(Protocol::HttpFlv, &edge, &format!("live/{number}"))).collect();
    wait_until("connections are made and given up", || proxy.accepted() > 3 * LIMIT);
    // The proxy may see a new connection before it sees the end of the one before.
    assert!((LIMIT / 2..=2 * LIMIT).contains(&proxy.most_open()), "{} at a time", proxy.most_open());
}

#[test]
fn when_one_of_three_addresses_dies_only_its_streams_move_and_when_all_died_they_return() {
    const STREAMS: usize = 12;
    let origin = Server::origin(ORIGIN);
    let streams: Vec<String> = (0..STREAMS).map(|number| format!("live/{number}")).collect();
    let feeds: Vec<Feed> = streams.iter().map(|stream| Publisher::start(&origin, stream).feed()).collect();
    let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::to(origin.rtmp)).collect();
    let addresses: Vec<SocketAddr> = proxies.iter().map(|proxy| proxy.address).collect();
    let edge = Server::edge(&addresses, EDGE);
    let players: Vec<Player> = streams.iter().map(|stream| Player::join(Protocol::HttpFlv, &edge, stream)).collect();
    players.iter().for_each(Player::expect_media);
    let upstreams = || -> Vec<Option<SocketAddr>> { streams.iter().map(|stream| edge.upstream(stream)).collect() };
    let before = upstreams();
    let dead = before[0].expect("it is pulled");
    let moving: BTreeSet<usize> = (0..STREAMS).filter(|number| before[*number] == Some(dead)).collect();

    proxies.iter().find(|proxy| proxy.address == dead).expect("one of them").refuse();
    wait_until("the streams of the dead address are pulled from others", || {
        upstreams().iter().all(|upstream| upstream.is_some_and(|upstream| upstream != dead))
            && edge.streams().iter().all(|stream| stream["upstream"]["state"] == "live")
    });
    let after = upstreams();
    for number in (0..STREAMS).filter(|number| !moving.contains(number)) {
        assert_eq!(after[number], before[number], "stream {number} has no reason to move");
    }
    assert_eq!(reconnects(&edge), moving.len() as f64);
    everybody_goes_on(&players, &feeds);

    proxies.iter().for_each(Proxy::refuse);
    wait_until("every pull is lost", || reconnects(&edge) >= (STREAMS + moving.len()) as f64);
    proxies.iter().for_each(Proxy::heal);
    everybody_goes_on(&players, &feeds);
}

#[track_caller]
fn everybody_goes_on(players: &[Player], feeds: &[Feed]) {
    for (player, feed) in players.iter().zip(feeds) {
        player.wait_for_frame(feed.session, feed.last_number() + 1);
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
        player.assert_only_gaps_before_keyframes();
    }
}

#[test]
fn a_backup_serves_only_while_no_primary_answers() {
    let (primary, backup) = (Upstream::start(), Upstream::start());
    let config = format!("{EDGE}[upstream]\nbackup_origins = [\"{}\"]\n", backup.proxy.address);
    let edge = Server::edge(&[primary.proxy.address], &config);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    wait_until("the pull has been there for a while", || players.iter().all(|player| player.frames().len() > 60));
    assert_eq!(backup.proxy.accepted(), 0, "the backup is not asked while the primary serves");

    let begin = Instant::now();
    primary.proxy.refuse();
    wait_at_most(NOTICED_WITHIN, "the fault is noticed", || reconnects(&edge) >= 1.0);
    let noticed = begin.elapsed();
    wait_until("the backup serves", || players.iter().all(|player| backup.has_reached(player)));
    let gap = players.iter().map(|player| player.longest_gap_since(begin)).max().unwrap_or_default();
    row("reset, then refused; a backup has it", noticed, gap);

    let begin = Instant::now();
    primary.proxy.heal();
    wait_until("the primary serves again", || players.iter().all(|player| primary.has_reached(player)));
    let back = begin.elapsed();
    let gap = players.iter().map(|player| player.longest_gap_since(begin)).max().unwrap_or_default();
    row("the primary is back, the backup is left", back, gap);
    assert_eq!(edge.upstream(STREAM), Some(primary.proxy.address));
    for player in &players {
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
        player.assert_only_gaps_before_keyframes();
    }
    let frames = players[0].frames();
    let mut changes = frames.windows(2).filter(|pair| pair[0].session != pair[1].session);
    assert!(changes.all(|pair| pair[1].key), "every change of upstream is at a keyframe");
    wait_until("the backup is left alone", || backup.proxy.open() == 0);
}

#[test]
fn an_origin_that_does_not_have_the_stream_is_not_left_alone() {
    let origins = [Server::origin(""), Server::origin("")];
    let proxies = origins.each_ref().map(|origin| Proxy::to(origin.rtmp));
    let edge = Server::edge(&proxies.each_ref().map(|proxy| proxy.address), EDGE);
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    wait_until("both have been asked a few times", || proxies.iter().all(|proxy| proxy.accepted() >= 6));
    let asked = proxies.each_ref().map(Proxy::accepted);
    assert!(asked[0].abs_diff(asked[1]) <= 1, "each attempt asks both: {asked:?}");
    let results = edge.metrics().by_label("rillcast_upstream_connects_total", "result");
    let failures: f64 = results.iter().filter(|(result, _)| *result != "not_found").map(|(_, count)| count).sum();
    assert_eq!(failures, 0.0, "{results:?}");
    let feed = Publisher::start(&origins[1], STREAM).feed();
    let frame = player.wait_for_media();
    assert_eq!(frame.session, feed.session);
}

#[test]
fn a_publisher_of_a_living_origin_may_be_silent() {
    let origin = Server::origin(ORIGIN);
    let proxy = Proxy::to(origin.rtmp);
    let edge = Server::edge(&[proxy.address], EDGE);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(30);
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_frame(publisher.session, publisher.last_number());
    // Longer than any upstream may be silent: its answers to pings are signs of life.
    let_pass(Duration::from_secs(7));
    publisher.push(30);
    player.wait_for_frame(publisher.session, publisher.last_number());
    player.assert_no_frame_missing();
    assert_eq!(proxy.accepted(), 1, "the pull was never given up");
    assert_eq!(wait_for("the edge counts", || Some(reconnects(&edge))), 0.0);
}
