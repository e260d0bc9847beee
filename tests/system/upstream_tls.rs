//! Edges whose origins have to prove who they are: pulls, forwards and HLS over TLS.

use std::net::SocketAddr;
use std::path::Path;

use super::harness::authority::Authority;
use super::harness::haproxy::{HaProxy, Way};
use super::harness::player::{Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::Publisher;
use super::harness::redirecting::{Moment, Redirecting};
use super::harness::server::{Server, free_address};
use super::harness::wait_until;

const STREAM: &str = "live/over_tls";
const KEY: &str = "[cluster]\nkey = \"correct horse battery staple\"\n";

/// Listeners of TLS for RTMP and HTTP with a certificate.
fn listening(certificate: &Path, rtmps: SocketAddr, https: SocketAddr) -> String {
    format!(
        "[rtmp]\ntls_listen = \"{rtmps}\"\n[http]\ntls_listen = \"{https}\"\n[tls]\ncertificates = \"{}\"\n",
        certificate.display()
    )
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An origin that speaks TLS as `localhost`, and an edge that pulls from it over nothing else.
struct Pair {
    origin: Server,
    edge: Server,
    authority: Authority,
}

impl Pair {
    #[track_caller]
    fn start(protocol: &str, edge_config: &str) -> Self {
        let authority = Authority::new();
        let config = listening(&authority.certificate(&["localhost"]), any_port(), any_port());
        let origin = Server::origin(&format!("{config}{KEY}"));
        let edge = Self::edge_of(&origin, &authority, &format!("protocol = \"{protocol}\"\n{edge_config}{KEY}"));
        Self { origin, edge, authority }
    }

    /// An edge that finds the origin at its ports of TLS.
    #[track_caller]
    fn edge_of(origin: &Server, authority: &Authority, config: &str) -> Server {
        let [rtmps, https] = ["rtmps", "https"].map(|protocol| origin.listens_for(protocol).port());
        let tls = format!(
            "[upstream]\norigins = [\"localhost:{rtmps}\"]\nhttp_port = {https}\ntls = true\nca_file = \"{}\"\n",
            authority.file().display()
        );
        Server::edge(&[], &format!("{tls}{config}"))
    }

    #[track_caller]
    fn plays_everywhere(&self) {
        let feed = Publisher::start(&self.origin, STREAM).feed();
        let players = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv]
            .map(|protocol| Player::join(protocol, &self.edge, STREAM));
        for player in &players {
            player.wait_for_frame(feed.session, 100);
            player.assert_no_frame_missing();
        }
    }
}

#[test]
fn a_stream_is_pulled_over_rtmps() {
    Pair::start("rtmp", "").plays_everywhere();
}

#[test]
fn a_stream_is_pulled_as_flv_over_https() {
    Pair::start("http-flv", "").plays_everywhere();
}

#[test]
fn playlists_and_segments_are_fetched_over_https() {
    let Pair { origin, edge, .. } = Pair::start("rtmp", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    wait_until("the edge has a playlist", || edge.hls(STREAM).text().contains(".ts"));
    assert!(edge.metrics().labelled("rillcast_ingress_bytes_total", "protocol", "hls") > 0.0);
}

#[test]
fn a_publisher_is_forwarded_over_rtmps() {
    let Pair { origin, edge, .. } = Pair::start("rtmp", "[publish]\nenabled = true\n");
    let feed = Publisher::start_at(edge.rtmp, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_frame(feed.session, 100);
    player.assert_no_frame_missing();
}

#[test]
fn who_cannot_prove_to_be_the_origin_is_not_pulled_from_nor_forwarded_to() {
    let Pair { origin, authority, .. } = Pair::start("rtmp", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let publishing = "[publish]\nenabled = true\n";
    let other_name = Pair::edge_of(&origin, &authority, &format!("server_name = \"origin.example\"\n{publishing}"));
    let other_authority = Pair::edge_of(&origin, &Authority::new(), publishing);
    for (edge, flaw) in [(other_name, "certificate not valid for name"), (other_authority, "BadSignature")] {
        let player = Player::join(Protocol::Rtmp, &edge, STREAM);
        assert_eq!(player.answer(), Err("NetStream.Play.StreamNotFound".to_owned()));
        assert!(Publisher::attempt(edge.rtmp, "live/mine", Default::default()).is_err());
        let said = |line: &serde_json::Value| {
            let error = line["fields"]["error"].as_str().unwrap_or_default();
            error.contains("does not prove over TLS who it is") && error.contains(flaw)
        };
        assert!(edge.log().iter().any(said), "{:#?}", edge.log());
        assert!(edge.metrics().labelled("rillcast_upstream_connects_total", "result", "failed") > 0.0);
    }
}

#[test]
fn an_origin_that_speaks_no_tls_is_not_pulled_from_in_plain_text() {
    let authority = Authority::new();
    let origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let tls = format!(
        "[upstream]\norigins = [\"{}\"]\ntls = true\nca_file = \"{}\"\n",
        origin.rtmp,
        authority.file().display()
    );
    let edge = Server::edge(&[], &tls);
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    assert_eq!(player.answer(), Err("NetStream.Play.StreamNotFound".to_owned()));
}

#[test]
fn a_redirect_between_origins_leads_to_the_other_ones_port_of_tls() {
    let authority = Authority::new();
    let certificate = authority.certificate(&["origins.example"]);
    let ports: Vec<u16> = (0..4).map(|_| free_address().port()).collect();
    let at = |host: u8, port: usize| SocketAddr::from(([127, 0, 0, host], ports[port]));
    let peers = format!("peers = [\"{}\", \"{}\"]\n", at(2, 0), at(3, 0));
    let origins = [2, 3].map(|host| {
        let config = listening(&certificate, at(host, 2), at(host, 3));
        Server::origin_at([at(host, 0), at(host, 1), any_port()], &format!("{config}{KEY}{peers}"))
    });
    wait_until("the origins know each other", || {
        origins.iter().all(|origin| origin.metrics().sum("rillcast_peers") == 1.0)
    });
    for (index, protocol) in ["rtmp", "http-flv"].into_iter().enumerate() {
        for (holder, other) in [(0, 1), (1, 0)] {
            let stream = format!("live/{protocol}_{holder}");
            let feed = Publisher::start(&origins[holder], &stream).feed();
            // The edge knows the other one alone, so whatever it gets it is sent to.
            let host = [2, 3][other];
            let tls = format!(
                "[upstream]\norigins = [\"{}\"]\nrtmps_port = {}\nhttp_port = {}\nprotocol = \"{protocol}\"\ntls = true\n\
                 ca_file = \"{}\"\nserver_name = \"origins.example\"\n{KEY}",
                at(host, 0),
                ports[2],
                ports[3],
                authority.file().display()
            );
            let edge = Server::edge(&[], &tls);
            let player = Player::join(Protocol::Rtmp, &edge, &stream);
            player.wait_for_frame(feed.session, 50);
            let expected = at([2, 3][holder], 2 + index);
            assert_eq!(edge.upstream(&stream), Some(expected), "{stream}");
            wait_until("the edge has a playlist", || edge.hls(&stream).text().contains(".ts"));
        }
    }
}

#[test]
fn a_redirect_from_tls_to_plain_text_is_not_followed() {
    let authority = Authority::new();
    let certificate = authority.certificate(&["localhost"]);
    let pem = certificate.join("both.pem");
    let both = ["tls.crt", "tls.key"].map(|name| std::fs::read_to_string(certificate.join(name)).unwrap());
    std::fs::write(&pem, both.concat()).unwrap();
    // It has the stream, and nobody may be sent to it.
    let plain = Server::origin("");
    let _feed = Publisher::start(&plain, STREAM).feed();
    let redirecting = Redirecting::at(Moment::Play);
    redirecting.lead_to(&plain.rtmp_url(STREAM));
    let front = HaProxy::before(&[redirecting.address], Way::EndsTls(&pem));
    let config = format!(
        "[upstream]\norigins = [\"localhost:{}\"]\ntls = true\nca_file = \"{}\"\n[play]\nplay_wait = \"2s\"\n",
        front.addresses[0].port(),
        authority.file().display()
    );
    let edge = Server::edge(&[], &config);
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    assert!(player.answer().is_err());
    // One to see whether HAProxy listened has come, too.
    assert!(redirecting.clients() > 1, "nobody was redirected");
    assert_eq!(plain.metrics().labelled("rillcast_connections_total", "protocol", "rtmp"), 1.0, "the publisher alone");
}

#[test]
fn an_upstream_that_closes_ends_nothing_while_it_comes_back_over_tls() {
    let authority = Authority::new();
    let config = listening(&authority.certificate(&["localhost"]), free_address(), free_address());
    let mut origin = Server::origin_on_fixed_ports(&format!("{config}{KEY}"));
    let edge = Pair::edge_of(&origin, &authority, KEY);
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_frame(feed.session, 50);
    origin.kill();
    origin.restart();
    drop(feed);
    let feed = Publisher::start_when_free(&origin, STREAM).feed();
    player.wait_for_frame(feed.session, 50);
    assert_eq!(player.ending(), None);
}

#[test]
fn authorities_that_cannot_be_read_are_a_mistake_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let [config, ca] = ["edge.toml", "ca.pem"].map(|name| directory.path().join(name));
    let upstream = "[upstream]\norigins = \"localhost\"\n";
    for (content, tls, expected) in [
        (None, "true", "ca.pem: cannot be read"),
        (Some("nothing"), "true", "ca.pem: holds no certificate in PEM"),
        (None, "false", "upstream.ca_file: does nothing without TLS"),
    ] {
        if let Some(content) = content {
            std::fs::write(&ca, content).unwrap();
        }
        std::fs::write(&config, format!("{upstream}tls = {tls}\nca_file = \"{}\"\n", ca.display())).unwrap();
        let mut process = Process::rillcast(&["edge", "-c", &config.display().to_string()]);
        assert_eq!(process.wait_for_exit(), Some(78));
        assert!(process.stderr.all().join("\n").contains(expected), "{:?}", process.stderr.all());
        let _ = std::fs::remove_file(&ca);
    }
}
