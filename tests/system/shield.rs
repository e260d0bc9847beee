//! Edges of one tier that pull through one of them: the stream leaves the origin once, whoever of them comes and goes and
//! whatever each of them sees in DNS.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::dns::{DnsServer, RecordType, Reply};
use super::harness::http;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Feed, Publisher};
use super::harness::rtmp::RtmpClient;
use super::harness::server::{Server, free_address};
use super::harness::{wait_at_most, wait_until};

const STREAM: &str = "live/shielded";
const TIER: &str = "edges.test.";
/// All of 127.0.0.0/8 is this host.
const HOSTS: [&str; 4] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
const TTL: u32 = 1;
/// By when a stream leaves the origin once again.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// An edge at `host`, on the port that its whole tier has, that asks `dns` who else is in it.
fn edge(origin: &Server, dns: &DnsServer, host: &str, port: u16, config: &str) -> Server {
    let nameserver = dns.address();
    Server::edge(
        &[],
        &format!(
            "rtmp.listen = \"{host}:{port}\"\nupstream.origins = [\"{}\"]\nupstream.shield = \"{TIER}:{port}\"\n\
             dns.nameservers = [\"{nameserver}\"]\n{config}",
            origin.rtmp
        ),
    )
}

/// A DNS server that knows these hosts as the tier.
fn view(hosts: &[&str]) -> DnsServer {
    let dns = DnsServer::start();
    dns.set_addresses(TIER, TTL, hosts);
    dns
}

/// A tier of which every edge sees all of them.
fn tier(origin: &Server, dns: &DnsServer, hosts: &[&str], port: u16, config: &str) -> Vec<Server> {
    dns.set_addresses(TIER, TTL, hosts);
    hosts.iter().map(|host| edge(origin, dns, host, port, config)).collect()
}

fn players(edges: &[Server], stream: &str) -> Vec<Player> {
    edges.iter().flat_map(|edge| Protocol::ALL.map(|protocol| Player::join(protocol, edge, stream))).collect()
}

#[track_caller]
fn all_get_on(players: &[Player], feed: &Feed) {
    let goal = feed.last_number();
    for player in players {
        player.wait_for_frame(feed.session, goal);
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
    }
}

/// How many pull from an origin.
fn pulls(origin: &Server) -> f64 {
    origin.metrics().sum("rillcast_players")
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Origin,
    Shield(SocketAddr),
}

/// Which way an edge has a stream, once it has it.
fn way(edge: &Server, stream: &str) -> Option<Way> {
    let upstream = edge.stream(stream)?["upstream"].clone();
    let address = upstream["address"].as_str()?.parse().ok()?;
    let is_shielded = upstream["shield"].as_bool()?;
    (upstream["state"] == "live").then_some(if is_shielded { Way::Shield(address) } else { Way::Origin })
}

/// The one edge that has the stream from the origin, if all others have it from that one.
fn shield_of(edges: &[Server], stream: &str) -> Option<usize> {
    let shield = edges.iter().position(|edge| way(edge, stream) == Some(Way::Origin))?;
    let through_it = Some(Way::Shield(edges[shield].rtmp));
    let mut others = edges.iter().enumerate().filter(|(number, _)| *number != shield);
    others.all(|(_, edge)| way(edge, stream) == through_it).then_some(shield)
}

#[track_caller]
fn wait_for_one_pull(origin: &Server, edges: &[Server], stream: &str) -> usize {
    let mut shield = None;
    wait_at_most(HEALED_WITHIN, "the stream leaves the origin once", || {
        shield = shield_of(edges, stream);
        shield.is_some() && pulls(origin) == 1.0
    });
    shield.expect("the wait ends only with one")
}

#[test]
fn a_stream_leaves_the_origin_once_for_the_whole_tier() {
    for config in ["", "cluster.key = \"correct horse battery staple\"\n"] {
        let origin = Server::origin(config);
        let dns = view(&[]);
        let edges = tier(&origin, &dns, &HOSTS[..3], free_address().port(), config);
        let feed = Publisher::start(&origin, STREAM).feed();
        let players = players(&edges, STREAM);
        all_get_on(&players, &feed);
        wait_for_one_pull(&origin, &edges, STREAM);
        all_get_on(&players, &feed);
        players.iter().for_each(Player::assert_only_gaps_before_keyframes);
    }
}

#[test]
fn when_the_shield_dies_players_stay_and_its_successor_shields_the_origin() {
    players_stay_when_the_shield_goes(Signal::KILL);
}

#[test]
fn when_the_shield_stops_players_stay_and_its_successor_shields_the_origin() {
    players_stay_when_the_shield_goes(Signal::TERM);
}

#[track_caller]
fn players_stay_when_the_shield_goes(signal: Signal) {
    let origin = Server::origin("");
    let dns = view(&[]);
    let port = free_address().port();
    let mut edges = tier(&origin, &dns, &HOSTS[..3], port, "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let mut most = 0.0_f64;
    let first = {
        let _players = players(&edges, STREAM);
        wait_for_one_pull(&origin, &edges, STREAM)
    };
    let mut shield = edges.swap_remove(first);
    let host = shield.rtmp.ip().to_string();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);

    shield.signal(signal);
    shield.wait_for_exit();
    let goal = feed.last_number() + 100;
    wait_until("the players go on", || {
        most = most.max(pulls(&origin));
        players.iter().all(|player| player.last_frame().is_some_and(|frame| frame.number > goal))
    });
    all_get_on(&players, &feed);
    wait_for_one_pull(&origin, &edges, STREAM);

    // DNS names it again: its rank is what it was.
    edges.push(edge(&origin, &dns, &host, port, ""));
    let returned = edges.len() - 1;
    wait_at_most(HEALED_WITHIN, "the stream comes through the shield again", || {
        most = most.max(pulls(&origin));
        shield_of(&edges, STREAM) == Some(returned) && pulls(&origin) == 1.0
    });
    assert!(most <= 2.0, "{most} pulls at a time");
    all_get_on(&players, &feed);
    players.iter().for_each(Player::assert_only_gaps_before_keyframes);
}

#[test]
fn a_shield_that_stands_still_is_left() {
    let origin = Server::origin("");
    let dns = view(&[]);
    let mut edges = tier(&origin, &dns, &HOSTS[..2], free_address().port(), "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let shield = {
        let _players = players(&edges, STREAM);
        wait_for_one_pull(&origin, &edges, STREAM)
    };
    let shield = edges.swap_remove(shield);
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    shield.signal(Signal::STOP);
    wait_until("the stream is had from the origin", || way(&edges[0], STREAM) == Some(Way::Origin));
    all_get_on(&players, &feed);
    shield.signal(Signal::CONT);
    let through_it = Some(Way::Shield(shield.rtmp));
    wait_at_most(HEALED_WITHIN, "the shield is used again", || way(&edges[0], STREAM) == through_it);
    all_get_on(&players, &feed);
}

#[test]
fn a_lone_edge_pulls_from_the_origin() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    for reply in [
        Reply::addresses(TTL, &HOSTS[..1]),
        // Another one that is not there.
        Reply::addresses(TTL, &HOSTS[..2]),
        Reply::Empty,
        Reply::NoName,
        Reply::Failure,
        Reply::Silence,
    ] {
        let dns = DnsServer::start();
        println!("{reply:?}");
        dns.set(TIER, RecordType::A, reply);
        let edges = [edge(&origin, &dns, HOSTS[0], free_address().port(), "")];
        let players = players(&edges, STREAM);
        all_get_on(&players, &feed);
        assert_eq!(way(&edges[0], STREAM), Some(Way::Origin));
    }
}

#[test]
fn two_edges_that_see_only_each_other_get_the_stream_over_one_of_them() {
    let origin = Server::origin("");
    let port = free_address().port();
    let views = [view(&HOSTS[1..2]), view(&HOSTS[..1])];
    let edges = [edge(&origin, &views[0], HOSTS[0], port, ""), edge(&origin, &views[1], HOSTS[1], port, "")];
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    wait_for_one_pull(&origin, &edges, STREAM);
    all_get_on(&players, &feed);
    players.iter().for_each(Player::assert_only_gaps_before_keyframes);
}

#[test]
fn edges_that_see_each_other_in_a_circle_all_get_the_stream() {
    let origin = Server::origin("");
    let port = free_address().port();
    let views: Vec<DnsServer> = (0..3).map(|number| view(&[HOSTS[(number + 1) % 3]])).collect();
    let edges: Vec<Server> = (0..3).map(|number| edge(&origin, &views[number], HOSTS[number], port, "")).collect();
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    let begin = Instant::now();
    // Long enough for each of them to have looked for a better way a few times.
    wait_until("they go on for a while", || {
        assert!(pulls(&origin) <= 3.0);
        begin.elapsed() > Duration::from_secs(20)
    });
    all_get_on(&players, &feed);
    players.iter().for_each(Player::assert_only_gaps_before_keyframes);
}

#[test]
fn two_halves_of_a_tier_that_do_not_see_each_other_take_the_stream_twice_until_they_do() {
    let origin = Server::origin("");
    let port = free_address().port();
    let views = [view(&HOSTS[..2]), view(&HOSTS[2..])];
    let edges: Vec<Server> = (0..4).map(|number| edge(&origin, &views[number / 2], HOSTS[number], port, "")).collect();
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    wait_until("each half takes the stream once", || {
        edges.chunks(2).all(|half| shield_of(half, STREAM).is_some()) && pulls(&origin) == 2.0
    });
    views.iter().for_each(|dns| dns.set_addresses(TIER, TTL, &HOSTS));
    wait_for_one_pull(&origin, &edges, STREAM);
    all_get_on(&players, &feed);
    players.iter().for_each(Player::assert_only_gaps_before_keyframes);
}

#[test]
fn an_edge_shields_some_streams_and_has_others_through_its_tier() {
    const STREAMS: usize = 16;
    let origin = Server::origin("");
    let dns = view(&[]);
    let edges = tier(&origin, &dns, &HOSTS[..2], free_address().port(), "");
    let streams: Vec<String> = (0..STREAMS).map(|number| format!("live/{number}")).collect();
    let feeds: Vec<Feed> = streams.iter().map(|stream| Publisher::start(&origin, stream).feed()).collect();
    let players: Vec<Vec<Player>> = streams.iter().map(|stream| players(&edges, stream)).collect();
    let mut shields = Vec::new();
    wait_at_most(HEALED_WITHIN, "each stream leaves the origin once", || {
        shields = streams.iter().filter_map(|stream| shield_of(&edges, stream)).collect();
        shields.len() == STREAMS && pulls(&origin) == STREAMS as f64
    });
    assert!(shields.contains(&0) && shields.contains(&1), "{shields:?}");
    for (players, feed) in players.iter().zip(&feeds) {
        all_get_on(players, feed);
    }
}

#[test]
fn two_tiers_share_an_origin() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let views = [view(&[]), view(&[])];
    let tiers = views.each_ref().map(|dns| tier(&origin, dns, &HOSTS[..2], free_address().port(), ""));
    let players: Vec<Player> = tiers.iter().flat_map(|edges| players(edges, STREAM)).collect();
    all_get_on(&players, &feed);
    wait_until("each tier takes the stream once", || {
        tiers.iter().all(|edges| shield_of(edges, STREAM).is_some()) && pulls(&origin) == 2.0
    });
}

#[test]
fn an_origin_that_is_pulled_from_over_http_is_shielded_too() {
    let origin = Server::origin("");
    let dns = view(&[]);
    let config = format!("upstream.protocol = \"http-flv\"\nupstream.http_port = {}\n", origin.http.port());
    let edges = tier(&origin, &dns, &HOSTS[..2], free_address().port(), &config);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    wait_for_one_pull(&origin, &edges, STREAM);
}

#[test]
fn a_stream_that_comes_later_is_found_and_one_that_never_comes_is_not() {
    let origin = Server::origin("");
    let dns = view(&[]);
    let edges = tier(&origin, &dns, &HOSTS[..3], free_address().port(), "play.play_wait = \"3s\"\n");
    for player in players(&edges, "live/never") {
        assert!(player.answer().is_err());
    }
    let edges = tier(&origin, &dns, &HOSTS[..3], free_address().port(), "play.play_wait = 0\n");
    let players = players(&edges, STREAM);
    wait_until("every edge has asked in vain", || {
        edges
            .iter()
            .all(|edge| edge.metrics().labelled("rillcast_upstream_connects_total", "result", "not_found") >= 1.0)
    });
    let feed = Publisher::start(&origin, STREAM).feed();
    all_get_on(&players, &feed);
    wait_for_one_pull(&origin, &edges, STREAM);
}

#[test]
fn players_stay_while_the_origin_is_away() {
    let mut origin = Server::origin_on_fixed_ports("");
    let dns = view(&[]);
    let edges = tier(&origin, &dns, &HOSTS[..3], free_address().port(), "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = players(&edges, STREAM);
    all_get_on(&players, &feed);
    origin.kill();
    drop(feed);
    wait_until("every edge has tried again", || {
        let retries = |edge: &Server| edge.stream(STREAM).and_then(|stream| stream["upstream"]["retries"].as_u64());
        edges.iter().all(|edge| retries(edge).is_some_and(|count| count >= 2))
    });
    origin.restart();
    let feed = Publisher::start(&origin, STREAM).feed();
    all_get_on(&players, &feed);
    wait_for_one_pull(&origin, &edges, STREAM);
    all_get_on(&players, &feed);
}

/// A pull of the stream that says so by `mark`, and the first status it is answered with.
fn pull(edge: &Server, mark: &str) -> (RtmpClient, String) {
    let mut client = RtmpClient::open(edge.rtmp).unwrap();
    client.connect("live", &[("rillcast", mark)]).unwrap();
    client.play("shielded").unwrap();
    loop {
        let message = client.receive().unwrap().expect("an answer");
        if let Some(status) = message.status().filter(|status| status != "NetStream.Play.Reset") {
            return (client, status);
        }
    }
}

#[test]
fn a_stream_that_would_come_back_is_refused() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    for server in [&origin, &edge] {
        let node = server.admin("/api/v1/versions").json()["server"].as_str().unwrap().to_owned();
        for shielded in ["", ";shielded=1"] {
            let mark = format!("v=1;node=other;path={node},other{shielded}");
            assert_eq!(pull(server, &mark).1, "NetStream.Play.StreamNotFound.Loop");
            let request = format!("GET /{STREAM}.flv HTTP/1.1\r\nHost: x\r\nRillcast-Mark: {mark}\r\n\r\n");
            assert_eq!(http::exchange(server.http, request.as_bytes(), false).unwrap().head.status, 508);
        }
    }
}

#[test]
fn an_edge_fetches_what_another_one_pulls_through_it_and_says_at_once_that_a_stream_is_absent() {
    const MARK: &str = "v=1;node=other;path=other;shielded=1";
    let (origin, edge) = Server::origin_and_edge("", "play.play_wait = 0\n");
    assert_eq!(pull(&edge, MARK).1, "NetStream.Play.StreamNotFound");
    let _feed = Publisher::start(&origin, STREAM).feed();
    assert_eq!(pull(&edge, "v=1;node=other;path=other").1, "NetStream.Play.StreamNotFound");
    let (_client, answer) = pull(&edge, MARK);
    assert_eq!(answer, "NetStream.Play.Start");
    assert_eq!(pulls(&origin), 1.0);
    let request = format!("GET /{STREAM}.flv HTTP/1.1\r\nHost: x\r\nRillcast-Mark: {MARK}\r\n\r\n");
    assert_eq!(http::exchange(edge.http, request.as_bytes(), false).unwrap().head.status, 200);
}

#[test]
fn an_edge_that_cannot_reach_its_origin_says_so_to_who_pulls_through_it() {
    let edge = Server::edge(&[free_address()], "play.play_wait = 0\n");
    assert_eq!(pull(&edge, "v=1;node=other;path=other;shielded=1").1, "NetStream.Play.Failed");
}
