//! Publishers at an edge: passed on to an origin, and to the next one when that goes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rillcast::media::{Kind, Tag};
use rillcast::rtmp::Status;
use rustix::process::Signal;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::nginx::Nginx;
use super::harness::numbered::{Frame, video_header};
use super::harness::player::{Player, Protocol};
use super::harness::proxy::Proxy;
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::scripted_origin::{Script, ScriptedOrigin};
use super::harness::server::{Server, free_address};
use super::harness::{wait_for, wait_until};

const STREAM: &str = "live/forwarded";
const KEY: &str = "[cluster]\nkey = \"correct horse battery staple\"\n";
const BAD_NAME: &str = "NetStream.Publish.BadName";
const MEBIBYTE: u64 = 1024 * 1024;

/// An edge that takes publishers.
#[track_caller]
fn edge(origins: &[SocketAddr], config: &str) -> Server {
    Server::edge(origins, &format!("{config}\n[publish]\nenabled = true\n"))
}

/// Two origins, and two edges in front of them.
struct Cluster {
    origins: [Server; 2],
    edges: [Server; 2],
}

impl Cluster {
    #[track_caller]
    fn start(config: &str) -> Self {
        let origins = [Server::origin(config), Server::origin(config)];
        let addresses = [origins[0].rtmp, origins[1].rtmp];
        let edges = [edge(&addresses, config), edge(&addresses, config)];
        Self { origins, edges }
    }

    /// The origin that the stream is forwarded to.
    #[track_caller]
    fn home(&mut self) -> &mut Server {
        let address = wait_for("the stream is forwarded", || forwarded_to(&self.edges[0]));
        self.origins.iter_mut().find(|origin| origin.rtmp == address).expect("one of the two")
    }

    /// Players at both edges over both protocols.
    #[track_caller]
    fn players(&self) -> Vec<Player> {
        let edges = self.edges.iter();
        edges.flat_map(|edge| Protocol::ALL.map(|protocol| Player::join(protocol, edge, STREAM))).collect()
    }
}

/// Where an edge forwards the stream, once it is accepted.
#[track_caller]
fn forwarded_to(edge: &Server) -> Option<SocketAddr> {
    let stream = edge.stream(STREAM)?;
    (stream["forward"]["state"] == "live").then(|| stream["forward"]["address"].as_str()?.parse().ok())?
}

#[track_caller]
fn wait_for_all(players: &[Player], feed: &Feed) {
    for player in players {
        player.wait_for_frame(feed.session, feed.last_number());
    }
}

/// The players never left, got no frame twice, and time never went back.
#[track_caller]
fn went_on(players: &[Player]) {
    for player in players {
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
        player.assert_only_gaps_before_keyframes();
    }
}

fn content(origin: &ScriptedOrigin) -> Vec<Frame> {
    origin.tags().iter().filter_map(Frame::of).collect()
}

#[test]
fn what_ffmpeg_publishes_to_an_edge_plays_everywhere_and_ends_with_it() {
    let mut cluster = Cluster::start(KEY);
    let publisher = ffmpeg::publish(Tracks::Both, &cluster.edges[0].rtmp_url(STREAM));
    let home = cluster.home().rtmp_url(STREAM);
    for url in [home, cluster.edges[0].rtmp_url(STREAM), cluster.edges[1].flv_url(STREAM)] {
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
    }
    let edge = cluster.edges[0].metrics();
    assert_eq!(edge.sum("rillcast_forwards"), 1.0);
    assert_eq!(edge.sum("rillcast_publishers"), 1.0);
    assert_eq!(edge.sum("rillcast_players"), 0.0, "a forward is no player");
    assert_eq!(cluster.home().metrics().sum("rillcast_publishers"), 1.0);
    drop(publisher);
    wait_until("nobody has the stream", || {
        let servers = cluster.origins.iter().chain(&cluster.edges);
        servers.map(|server| server.metrics().sum("rillcast_publishers")).sum::<f64>() == 0.0
    });
    wait_until("the forward is over", || cluster.edges[0].metrics().sum("rillcast_forwards") == 0.0);
}

#[test]
fn media_arrives_at_the_origin_as_it_was_published() {
    let origin = ScriptedOrigin::start(Script { is_ours: true, refusal: None });
    let edge = edge(&[origin.rtmp], "");
    let mut publisher = Publisher::start(&edge, STREAM);
    publisher.push(40);
    let last = publisher.last_number();
    wait_until("the last frame has arrived", || content(&origin).last().is_some_and(|frame| frame.number == last));
    let tags = origin.tags();
    assert_eq!(tags.first().map(|tag| tag.kind), Some(Kind::Data), "metadata comes first");
    assert!(tags.iter().any(|tag: &Tag| tag.payload == video_header(publisher.session)));
    let frames = content(&origin);
    let numbers: Vec<u32> = frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, (0..=last).collect::<Vec<u32>>());
    assert_eq!(frames.last().map(|frame| frame.timestamp), Some(publisher.clock() - 40));
    publisher.unpublish();
    wait_until("the origin is told goodbye", || origin.goodbyes() == 1);
}

#[test]
fn an_origin_that_is_killed_is_left_for_the_next_one_and_nobody_notices() {
    let mut cluster = Cluster::start(KEY);
    let feed = Publisher::start(&cluster.edges[0], STREAM).feed();
    let players = cluster.players();
    wait_for_all(&players, &feed);

    let lost = cluster.home().rtmp;
    let killed = Instant::now();
    cluster.home().kill();
    wait_until("the other origin has the stream", || forwarded_to(&cluster.edges[0]).is_some_and(|now| now != lost));
    wait_for_all(&players, &feed);
    let gaps: Vec<Duration> = players.iter().map(|player| player.longest_gap_since(killed)).collect();
    println!("the longest gaps after the origin was killed: {gaps:?}");
    went_on(&players);
    assert!(!feed.is_closed(), "the encoder has lost its connection");
    assert_eq!(cluster.edges[0].metrics().sum("rillcast_forwards"), 1.0);
    assert!(cluster.edges[0].metrics().sum("rillcast_upstream_reconnects_total") >= 1.0);
}

#[test]
fn an_origin_that_is_killed_is_left_for_the_next_one_without_a_key_too() {
    let mut cluster = Cluster::start("");
    let feed = Publisher::start(&cluster.edges[0], STREAM).feed();
    let players = cluster.players();
    wait_for_all(&players, &feed);
    cluster.home().kill();
    wait_for_all(&players, &feed);
    wait_until("media flows again", || {
        players.iter().all(|player| player.last_frame().is_some_and(|frame| frame.number + 100 > feed.last_number()))
    });
    for player in &players {
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
    }
    assert!(!feed.is_closed());
}

#[test]
fn an_origin_that_falls_silent_is_left_for_the_next_one() {
    let mut cluster = Cluster::start(KEY);
    let feed = Publisher::start(&cluster.edges[0], STREAM).feed();
    let players = cluster.players();
    wait_for_all(&players, &feed);

    let silent = cluster.home();
    let lost = silent.rtmp;
    let stopped = Instant::now();
    silent.signal(Signal::STOP);
    wait_until("the other origin has the stream", || forwarded_to(&cluster.edges[0]).is_some_and(|now| now != lost));
    println!("the stream had a new origin after {:?}", stopped.elapsed());
    wait_for_all(&players, &feed);
    went_on(&players);
    assert!(!feed.is_closed());
    let origin = cluster.origins.iter().find(|origin| origin.rtmp == lost).unwrap();
    origin.signal(Signal::CONT);
    wait_until("the former origin has lost its publisher", || origin.metrics().sum("rillcast_publishers") == 0.0);
    wait_for_all(&players, &feed);
    went_on(&players);
}

#[test]
fn a_connection_that_falls_silent_is_made_again_and_takes_over_from_what_is_left_of_it() {
    for config in [KEY, ""] {
        let origin = Server::origin(config);
        let proxy = Proxy::to(origin.rtmp);
        let edge = edge(&[proxy.address], config);
        let feed = Publisher::start(&edge, STREAM).feed();
        wait_until("the origin has the stream", || origin.stream(STREAM).is_some());
        let at_origin = Player::join(Protocol::HttpFlv, &origin, STREAM);
        at_origin.wait_for_frame(feed.session, feed.last_number());
        proxy.swallow();
        wait_until("the edge has noticed", || forwarded_to(&edge).is_none());
        proxy.heal();
        at_origin.wait_for_frame(feed.session, feed.last_number());
        at_origin.assert_monotonic();
        assert_eq!(at_origin.ending(), None);
        assert!(!feed.is_closed());
    }
}

#[test]
fn a_single_origin_that_restarts_gets_its_publisher_back() {
    let mut origin = Server::origin_on_fixed_ports(KEY);
    let edge = edge(&[origin.rtmp], KEY);
    let feed = Publisher::start(&edge, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_media();
    origin.kill();
    wait_until("the edge tries again", || {
        edge.stream(STREAM).is_some_and(|stream| stream["forward"]["state"] != "live")
    });
    assert_eq!(edge.metrics().sum("rillcast_forwards"), 1.0, "a forward in retry is a forward");
    origin.restart();
    wait_until("the origin has the stream", || forwarded_to(&edge).is_some());
    let at_origin = Player::join(Protocol::Rtmp, &origin, STREAM);
    at_origin.wait_for_frame(feed.session, feed.last_number());
    assert!(!feed.is_closed());
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
}

#[test]
fn the_origin_s_refusal_reaches_the_encoder_as_it_is() {
    let origin = Server::origin("");
    let edge = edge(&[origin.rtmp], "");
    let _first = Publisher::start(&origin, STREAM).feed();
    assert_eq!(Publisher::attempt(edge.rtmp, STREAM, Content::default()).err().as_deref(), Some(BAD_NAME));
    assert!(edge.stream(STREAM).is_none(), "nothing of it is left");

    let refusal = Some((Status::PublishDenied, "not on a Sunday"));
    let strict = ScriptedOrigin::start(Script { is_ours: false, refusal });
    let edge = self::edge(&[strict.rtmp], "");
    let denied = Publisher::attempt(edge.rtmp, STREAM, Content::default()).err();
    assert_eq!(denied.as_deref(), Some("NetStream.Publish.Denied"));
    wait_until("it is said", || edge.log().iter().any(|line| line["fields"]["error"] == "not on a Sunday"));
}

#[test]
fn of_two_publishers_at_two_edges_one_has_the_name() {
    let cluster = Cluster::start(KEY);
    let first = Publisher::start(&cluster.edges[0], STREAM).feed();
    let second = Publisher::attempt(cluster.edges[1].rtmp, STREAM, Content::default());
    assert_eq!(second.err().as_deref(), Some(BAD_NAME));
    let at_same_edge = Publisher::attempt(cluster.edges[0].rtmp, STREAM, Content::default());
    assert_eq!(at_same_edge.err().as_deref(), Some(BAD_NAME));
    let player = Player::join(Protocol::Rtmp, &cluster.edges[1], STREAM);
    player.wait_for_frame(first.session, first.last_number());
}

#[test]
fn a_publisher_is_told_when_no_origin_can_be_reached() {
    let edge = edge(&[free_address(), free_address()], "[upstream]\nconnect_timeout = \"1s\"\n");
    let refusal = Publisher::attempt(edge.rtmp, STREAM, Content::default()).err();
    assert_eq!(refusal.as_deref(), Some(BAD_NAME));
    wait_until("the reason is counted", || {
        edge.metrics().labelled("rillcast_disconnects_total", "reason", "upstream_lost") == 1.0
    });
}

#[test]
fn an_edge_takes_no_publishers_unless_it_is_told_to() {
    let (_origin, edge) = Server::origin_and_edge("", "");
    let refusal = Publisher::attempt(edge.rtmp, STREAM, Content::default()).err();
    assert_eq!(refusal.as_deref(), Some("NetStream.Publish.Denied"));
}

#[test]
fn ours_get_the_query_without_what_authenticates_and_foreign_origins_as_it_came() {
    for (is_ours, name) in [(true, "forwarded?room=1"), (false, "forwarded?token=a&room=1&sign=b")] {
        let origin = ScriptedOrigin::start(Script { is_ours, refusal: None });
        let edge = edge(&[origin.rtmp], "");
        let _publisher = Publisher::start(&edge, &format!("{STREAM}?token=a&room=1&sign=b"));
        let published = origin.published();
        assert_eq!(published.len(), 1);
        assert_eq!((published[0].app.as_str(), published[0].name.as_str()), ("live", name));
        assert!(published[0].session.is_some(), "the mark tells the session");
    }
}

#[test]
fn an_origin_that_asks_to_be_left_keeps_the_publisher_until_the_next_one_has_it() {
    let script = Script { is_ours: true, refusal: None };
    let origins = [ScriptedOrigin::start(script), ScriptedOrigin::start(script)];
    let edge = edge(&[origins[0].rtmp, origins[1].rtmp], "");
    let feed = Publisher::start(&edge, STREAM).feed();
    let at = wait_for("the stream is forwarded", || forwarded_to(&edge));
    let [from, to] = if origins[0].rtmp == at { [0, 1] } else { [1, 0] }.map(|index: usize| &origins[index]);
    wait_until("the first has media", || content(from).len() > 50);

    // The next one does not want it at first.
    to.follow(Script { is_ours: true, refusal: Some((Status::PublishBadName, "not yet")) });
    from.ask_to_leave();
    wait_until("the next one was asked", || to.published().len() >= 2);
    assert_eq!(from.publishers(), 1, "the first still has it");
    to.follow(script);
    wait_until("the next one has it", || to.publishers() == 1);
    wait_until("the first is told goodbye", || from.goodbyes() == 1);
    wait_until("the next one has media", || content(to).len() > 50);

    let sessions: Vec<_> = origins.iter().flat_map(ScriptedOrigin::published).map(|one| one.session).collect();
    assert!(sessions.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_some()), "{sessions:?}");
    let first = content(to)[0];
    assert!(first.key, "it begins with {first:?}");
    let last = content(from).last().copied().unwrap();
    assert!(first.number <= last.number + 1, "nothing lies between {last:?} and {first:?}");
    assert!(!feed.is_closed());
    let moved = edge.metrics().labelled("rillcast_upstream_reconnects_total", "reason", "moved");
    assert_eq!(moved, 1.0);
}

#[test]
fn an_origin_that_asks_to_be_left_keeps_the_publisher_as_long_as_there_is_no_other() {
    let origin = ScriptedOrigin::start(Script { is_ours: true, refusal: None });
    let edge = edge(&[origin.rtmp], "");
    let feed = Publisher::start(&edge, STREAM).feed();
    wait_until("the origin has media", || content(&origin).len() > 50);
    origin.ask_to_leave();
    // It has asked itself a few times, and found that it was there already.
    let asked = origin.connections();
    wait_until("others were looked for", || origin.connections() >= asked + 3);
    let last = feed.last_number();
    wait_until("it has still got media", || content(&origin).last().is_some_and(|frame| frame.number > last));
    assert_eq!(origin.published().len(), 1);
    assert!(!feed.is_closed());
    origin.end(Status::UnpublishSuccess);
    wait_until("it has the publisher again", || origin.published().len() == 2 && origin.publishers() >= 1);
    assert!(!feed.is_closed());
}

#[test]
fn an_encoder_whose_name_another_one_has_won_is_told_bad_name() {
    let origin = ScriptedOrigin::start(Script { is_ours: true, refusal: None });
    let edge = edge(&[origin.rtmp], "");
    let mut publisher = Publisher::start(&edge, STREAM);
    publisher.push(5);
    wait_until("the origin has media", || !content(&origin).is_empty());
    origin.end(Status::PublishBadName);
    publisher.wait_for_close();
    assert!(publisher.statuses().iter().any(|status| status == BAD_NAME), "{:?}", publisher.statuses());
    wait_until("the forward is over", || edge.metrics().sum("rillcast_forwards") == 0.0);
}

#[test]
fn an_origin_that_ends_the_publisher_for_another_reason_is_asked_again() {
    let origin = ScriptedOrigin::start(Script { is_ours: true, refusal: None });
    let edge = edge(&[origin.rtmp], "");
    let feed = Publisher::start(&edge, STREAM).feed();
    wait_until("the origin has media", || !content(&origin).is_empty());
    origin.end(Status::UnpublishSuccess);
    wait_until("the origin has it again", || origin.published().len() == 2 && origin.publishers() >= 1);
    assert!(!feed.is_closed());
}

#[test]
fn a_slow_origin_skips_to_keyframes_and_costs_no_memory() {
    const HEAVY: Content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };
    let origin = ScriptedOrigin::start(Script { is_ours: true, refusal: None });
    let edge = edge(&[origin.rtmp], "[play]\nqueue_length = \"2s\"\n");
    let feed = Publisher::start_with(&edge, STREAM, HEAVY).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_media();
    let before = edge.resident_memory();
    origin.pace().limit(100_000);
    wait_until("packets are skipped", || {
        assert!(edge.resident_memory() < before + 64 * MEBIBYTE, "memory grows with a slow origin");
        edge.metrics().sum("rillcast_dropped_packets_total") > 0.0
    });
    origin.pace().release();
    let last = feed.last_number();
    wait_until("the origin has caught up", || content(&origin).last().is_some_and(|frame| frame.number >= last));
    let frames = content(&origin);
    let video: Vec<Frame> = frames.into_iter().filter(|frame| frame.kind == Kind::Video).collect();
    for pair in video.windows(2) {
        let follows = pair[1].number == pair[0].number + 2 || (pair[1].number > pair[0].number && pair[1].key);
        assert!(follows, "{:?} follows {:?}", pair[1], pair[0]);
    }
    assert_eq!(origin.published().len(), 1, "a slow origin is not given up");
    player.wait_for_frame(feed.session, last);
    player.assert_no_frame_missing();
}

#[test]
fn nginx_takes_what_an_edge_forwards() {
    let nginx = Nginx::start("");
    let edges = [edge(&[nginx.rtmp], ""), edge(&[nginx.rtmp], "")];
    let _publisher = ffmpeg::publish(Tracks::Both, &edges[0].rtmp_url(STREAM));
    wait_until("the stream is forwarded", || forwarded_to(&edges[0]).is_some());
    for url in [format!("rtmp://{}/{STREAM}", nginx.rtmp), edges[1].flv_url(STREAM)] {
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
    }
    let refusal = Publisher::attempt(edges[1].rtmp, STREAM, Content::default()).err();
    assert_eq!(refusal.as_deref(), Some(BAD_NAME), "nginx's own words");
}

#[test]
fn players_who_wait_at_the_edge_get_its_publisher_and_follow_it_to_another_edge() {
    let (origin, first) = {
        let origin = Server::origin(KEY);
        let first = edge(&[origin.rtmp], &format!("{KEY}[play]\nplay_wait = 0\n"));
        (origin, first)
    };
    let second = edge(&[origin.rtmp], KEY);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &first, STREAM));
    wait_until("the edge has asked for the stream", || first.metrics().sum("rillcast_upstream_pulls") == 1.0);

    let feed = Publisher::start(&first, STREAM).feed();
    wait_for_all(&players, &feed);
    wait_until("the pull is over", || first.metrics().sum("rillcast_upstream_pulls") == 0.0);
    feed.stop().unpublish();
    wait_until("the origin has no publisher", || origin.metrics().sum("rillcast_publishers") == 0.0);
    let feed = Publisher::start(&second, STREAM).feed();
    wait_for_all(&players, &feed);
    went_on(&players);
    assert_eq!(first.metrics().sum("rillcast_upstream_pulls"), 1.0);
}

#[test]
fn a_publisher_at_the_edge_replaces_the_pull_of_one_that_has_left() {
    let origin = Server::origin(&format!("{KEY}[publish]\nnormal_timeout = \"10m\"\n"));
    let edge = edge(&[origin.rtmp], KEY);
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_frame(feed.session, feed.last_number());
    feed.stop().close();
    let feed = Publisher::start_when_free(&edge, STREAM).feed();
    player.wait_for_frame(feed.session, feed.last_number() + 20);
    assert_eq!(player.ending(), None);
    player.assert_monotonic();
    wait_until("the pull is over", || edge.metrics().sum("rillcast_upstream_pulls") == 0.0);
    assert_eq!(edge.metrics().sum("rillcast_forwards"), 1.0);
}

#[test]
fn a_publisher_that_replaces_another_one_does_so_at_edge_and_origin() {
    const REPLACE: &str = "[publish]\non_conflict = \"replace\"\n";
    let origin = Server::origin(REPLACE);
    let edges = [0, 1].map(|_| Server::edge(&[origin.rtmp], &format!("{REPLACE}enabled = true\n")));
    let first = Publisher::start(&edges[0], STREAM).feed();
    for edge in &edges {
        let player = Player::join(Protocol::HttpFlv, edge, STREAM);
        player.wait_for_frame(first.session, first.last_number());
    }
    let second = Publisher::start(&edges[0], STREAM).feed();
    wait_until("the first is closed", || first.is_closed());
    let third = Publisher::start(&edges[1], STREAM).feed();
    wait_until("the second is closed", || second.is_closed());
    let player = Player::join(Protocol::HttpFlv, &edges[0], STREAM);
    player.wait_for_frame(third.session, third.last_number());
    assert!(!third.is_closed());
    wait_until("one forward is left", || {
        edges.iter().map(|edge| edge.metrics().sum("rillcast_forwards")).sum::<f64>() == 1.0
    });
}

#[test]
fn behind_one_address_another_node_takes_the_publisher_though_the_first_one_accepts_and_says_nothing() {
    let origin = Server::origin("");
    let balancer = Proxy::to(origin.rtmp);
    balancer.swallow();
    let edge = edge(&[balancer.address], "[upstream]\nconnect_timeout = \"10m\"\n");
    let publisher = std::thread::spawn(move || (Publisher::start(&edge, STREAM).feed(), edge));
    wait_until("the node that says nothing is asked", || balancer.accepted() > 0);
    balancer.heal();
    let (feed, _edge) = publisher.join().unwrap();
    Player::join(Protocol::HttpFlv, &origin, STREAM).wait_for_frame(feed.session, feed.last_number());
}
