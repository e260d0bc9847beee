//! An edge finds its origins by name, while they come and go and while DNS is in trouble.

use std::time::Instant;

use super::harness::dns::{DnsServer, RecordType, Reply};
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::{Server, free_address};
use super::harness::wait_until;

const STREAM: &str = "live/named";
const HOST: &str = "origin.test.";
const SERVICE: &str = "_rtmp._tcp.origin.test.";
/// Longer than a test takes: who wants to know earlier has to ask.
const DAY: u32 = 86_400;

#[test]
fn an_edge_finds_its_origin_by_name() {
    let dns = DnsServer::start();
    let origin = Server::origin("");
    dns.set_addresses(HOST, DAY, &["127.0.0.1"]);
    let edge = edge(&dns, &format!("{HOST}:{}", origin.rtmp.port()));
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
    }
    assert_eq!(lookups(&edge, "found"), 1.0);
    assert_eq!(dns.questions(HOST, RecordType::A), 1);
    assert_eq!(dns.questions_in_all(), 1);
}

#[test]
fn an_edge_follows_its_origin_to_another_port_of_the_same_service() {
    let dns = DnsServer::start();
    let mut origin = Server::origin("");
    dns.set_addresses("pod-0.origin.test", DAY, &["127.0.0.1"]);
    dns.set_services(SERVICE, DAY, &[("pod-0.origin.test", origin.rtmp.port())]);
    let edge = edge(&dns, SERVICE);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
    }

    let other = Server::origin("");
    origin.kill();
    drop(feed);
    dns.set_services(SERVICE, DAY, &[("pod-0.origin.test", other.rtmp.port())]);
    let feed = Publisher::start(&other, STREAM).feed();
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_monotonic();
    }
}

#[test]
fn an_edge_follows_its_origin_to_another_address() {
    let dns = DnsServer::start();
    let mut origin = Server::origin_on_fixed_ports("");
    dns.set_addresses(HOST, DAY, &["127.0.0.1"]);
    let edge = edge(&dns, &format!("{HOST}:{}", origin.rtmp.port()));
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
    }

    // All of 127.0.0.0/8 is this host.
    let moved = Server::origin(&format!("[rtmp]\nlisten = \"127.0.0.2:{}\"\n", origin.rtmp.port()));
    origin.kill();
    drop(feed);
    dns.set_addresses(HOST, DAY, &["127.0.0.2"]);
    let feed = Publisher::start(&moved, STREAM).feed();
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_monotonic();
    }
    let upstream = edge.stream(STREAM).map(|stream| stream["upstream"]["address"].clone());
    assert_eq!(upstream, Some(moved.rtmp.to_string().into()));
}

#[test]
fn an_edge_finds_a_restarted_origin_although_dns_fails() {
    for broken in [Reply::Failure, Reply::Silence] {
        let dns = DnsServer::start();
        let mut origin = Server::origin_on_fixed_ports("");
        dns.set_addresses(HOST, 0, &["127.0.0.1"]);
        let edge = edge(&dns, &format!("{HOST}:{}", origin.rtmp.port()));
        let feed = Publisher::start(&origin, STREAM).feed();
        let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
        player.wait_for_frame(feed.session, feed.last_number());

        dns.set(HOST, RecordType::A, broken);
        origin.kill();
        drop(feed);
        wait_until("the edge has asked in vain", || lookups(&edge, "failed") >= 1.0);
        origin.restart();
        let feed = Publisher::start(&origin, STREAM).feed();
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_monotonic();
    }
}

fn edge(dns: &DnsServer, origin: &str) -> Server {
    let server = dns.address();
    Server::edge(&[], &format!("[upstream]\norigins = [\"{origin}\"]\n[dns]\nnameservers = [\"{server}\"]\n"))
}

fn lookups(edge: &Server, result: &str) -> f64 {
    edge.metrics().labelled("rillcast_dns_lookups_total", "result", result)
}

#[test]
fn a_hundred_waiting_streams_make_no_hundred_lookups_a_second() {
    const STREAMS: usize = 100;
    let dns = DnsServer::start();
    dns.set_addresses(HOST, 0, &["127.0.0.1"]);
    // Nobody listens there: every attempt fails, and has the name asked for again.
    let port = free_address().port();
    let edge = edge(&dns, &format!("{HOST}:{port}"));
    let begin = Instant::now();
    let _players: Vec<Player> =
        (0..STREAMS).map(|number| Player::join(Protocol::HttpFlv, &edge, &format!("live/{number}"))).collect();
    wait_until("each stream was asked for a few times", || {
        edge.metrics().sum("rillcast_upstream_connects_total") >= (4 * STREAMS) as f64
    });
    let (asked, passed) = (dns.questions_in_all(), begin.elapsed());
    assert!(asked as f64 <= 2.0 + 4.0 * passed.as_secs_f64(), "{asked} questions in {passed:?}");
}
