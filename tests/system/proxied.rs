//! Clients behind proxies: the PROXY protocol from HAProxy, X-Forwarded-For, and what nobody trusted says.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::harness::haproxy::{HaProxy, Way};
use super::harness::metrics::new_disconnects;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::rtmp::RtmpClient;
use super::harness::server::Server;
use super::harness::{http, wait_until};

const STREAM: &str = "live/proxied";
const TRUSTING: &str = "[net]\ntrusted_proxies = [\"127.0.0.1\"]\n";

#[test]
fn haproxy_names_its_clients_by_either_version_of_the_protocol() {
    for way in [Way::ProxyV1, Way::ProxyV2] {
        let origin = Server::origin(TRUSTING);
        let proxy = HaProxy::before(&[origin.rtmp, origin.http], way);
        let feed = Publisher::start_at(proxy.addresses[0], STREAM).feed();
        let players = Protocol::ALL.map(|protocol| {
            let address = proxy.addresses[usize::from(protocol != Protocol::Rtmp)];
            Player::join_at(protocol, address, STREAM)
        });
        for player in &players {
            player.wait_for_frame(feed.session, 50);
            player.assert_no_frame_missing();
        }
        // HAProxy's clients come from the same host: what tells them from HAProxy is their port.
        let named =
            origin.log().iter().filter(|line| line["fields"]["message"] == "the proxy names its client").count();
        assert!(named >= 3, "{way:?}: {named}");
    }
}

#[test]
fn a_named_client_is_logged_and_counted_by_its_own_address() {
    let origin = Server::origin(&format!("{TRUSTING}[limits]\nmax_connections_per_address = 1\n"));
    let first = connect_as(origin.rtmp, "192.0.2.7");
    let _first = RtmpClient::handshake_on(first).unwrap();
    let _other = RtmpClient::handshake_on(connect_as(origin.rtmp, "192.0.2.8")).unwrap();
    let second = connect_as(origin.rtmp, "192.0.2.7");
    assert!(RtmpClient::handshake_on(second).is_err(), "a second connection of one address is served");
    // The proxy itself, as any health check of its, is not limited.
    let probes: Vec<_> = (0..3).map(|_| RtmpClient::open(origin.rtmp).unwrap()).collect();
    drop(_first);
    wait_until("the connection is logged with the client's address", || {
        origin.log().iter().any(|line| line["span"]["peer"].as_str().is_some_and(|peer| peer.starts_with("192.0.2.7:")))
    });
    wait_until("the place is free again", || RtmpClient::handshake_on(connect_as(origin.rtmp, "192.0.2.7")).is_ok());
    drop(probes);
}

#[test]
fn from_who_is_not_trusted_a_header_is_a_bad_handshake() {
    let origin = Server::origin("[net]\ntrusted_proxies = [\"10.0.0.0/8\"]\n");
    let before = origin.metrics();
    assert!(RtmpClient::handshake_on(connect_as(origin.rtmp, "192.0.2.7")).is_err());
    wait_until("it is counted", || new_disconnects(&before, &origin.metrics()).contains_key("handshake_invalid"));
    let head = format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", header("192.0.2.7"));
    assert_eq!(http::exchange(origin.http, head.as_bytes(), true).unwrap().head.status, 400);
}

#[test]
fn headers_that_are_none_end_their_connection_and_no_other() {
    let origin = Server::origin(TRUSTING);
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.expect_media();
    let endless = format!("PROXY {}", "x".repeat(4_096));
    let too_long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; 4_096]].concat();
    for bytes in [endless.as_bytes(), b"PROXY TCP4 a b c d\r\n", &too_long] {
        let before = origin.metrics();
        let mut stream = TcpStream::connect(origin.rtmp).unwrap();
        stream.write_all(bytes).unwrap();
        wait_until("the header is refused", || {
            new_disconnects(&before, &origin.metrics()).contains_key("proxy_header_invalid")
        });
    }
    let before = origin.metrics();
    let mut half = TcpStream::connect(origin.http).unwrap();
    half.write_all(b"PROXY TCP4 192.0").unwrap();
    wait_until("half a header is not waited for", || {
        new_disconnects(&before, &origin.metrics()).contains_key("handshake_timeout")
    });
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
}

#[test]
fn a_probe_of_a_trusted_proxy_that_says_nothing_is_no_connection_to_speak_of() {
    let origin = Server::origin(TRUSTING);
    let before = origin.metrics();
    drop(TcpStream::connect(origin.rtmp).unwrap());
    wait_until("it is counted", || new_disconnects(&before, &origin.metrics()).contains_key("probe"));
}

#[test]
fn requests_are_counted_by_the_address_that_a_trusted_proxy_forwards() {
    let limits = "[limits]\nmax_connections_per_address = 1\n";
    let origin = Server::origin(&format!("{TRUSTING}{limits}"));
    let _feed = Publisher::start(&origin, STREAM).feed();
    let proxy = HaProxy::before(&[origin.http], Way::Http);
    // HAProxy adds 127.0.0.1, which is trusted: what stands before it is the client.
    let ask = |client: &str, path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
        let mut stream = http::connect(proxy.addresses[0]);
        stream.write_all(head.as_bytes()).unwrap();
        let status = http::Head::read(&mut std::io::BufReader::new(&stream)).unwrap().status;
        (status, stream)
    };
    let flv = format!("/{STREAM}.flv");
    let (status, playing) = ask("192.0.2.7", &flv);
    assert_eq!(status, 200);
    assert_eq!(ask("192.0.2.7", &flv).0, 503);
    assert_eq!(ask("192.0.2.8", &flv).0, 200);
    drop(playing);
    wait_until("the place is free again", || ask("192.0.2.7", &flv).0 == 200);
    // What is answered takes no place any more, though the proxy keeps its connections.
    (0..5).for_each(|_| assert_eq!(ask("192.0.2.9", "/live/absent.ts").0, 404));
}

#[test]
fn what_clients_write_into_x_forwarded_for_themselves_is_passed_over() {
    let origin = Server::origin("[limits]\nmax_connections_per_address = 1\n");
    let _feed = Publisher::start_at(origin.rtmp, STREAM);
    // The publisher has the only place of this address, whatever the request says.
    let head = format!("GET /{STREAM}.flv HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    assert!(http::exchange(origin.http, head.as_bytes(), true).is_err());
}

fn header(client: &str) -> String {
    format!("PROXY TCP4 {client} 198.51.100.1 56324 1935\r\n")
}

/// A connection that a trusted proxy makes for a client.
#[track_caller]
fn connect_as(server: SocketAddr, client: &str) -> TcpStream {
    let mut stream = http::connect(server);
    stream.write_all(header(client).as_bytes()).unwrap();
    stream
}

#[test]
fn bytes_that_a_client_puts_before_what_a_proxy_forwards_do_not_hide_it() {
    let limits = "[limits]\nmax_connections_per_address = 1\n";
    let origin = Server::origin(&format!("{TRUSTING}{limits}"));
    let _feed = Publisher::start(&origin, STREAM).feed();
    let ask = |forwarded: &[u8]| {
        let head = format!("GET /{STREAM}.flv HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ");
        let mut stream = http::connect(origin.http);
        stream.write_all(&[head.as_bytes(), forwarded, b"\r\n\r\n"].concat()).unwrap();
        let status = http::Head::read(&mut std::io::BufReader::new(&stream)).unwrap().status;
        (status, stream)
    };
    let (status, _playing) = ask(b"192.0.2.7");
    assert_eq!(status, 200);
    assert_eq!(ask(b"\xff, 192.0.2.7").0, 503);
    assert_eq!(ask(b"\xff, 192.0.2.8").0, 200);
}
