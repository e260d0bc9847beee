//! Other people's servers: as upstream of our edge, and as downstream of our origin.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::harness::ffmpeg::{self, Tracks};
use super::harness::let_pass;
use super::harness::nginx::Nginx;
use super::harness::node_media_server::NodeMediaServer;
use super::harness::numbered::video_header;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::redirecting::{Moment, Redirecting};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/foreign";
const PATIENT: &str = "[play]\nplay_wait = \"1m\"\n";

/// A foreign server that takes publishers.
trait Foreign {
    fn rtmp(&self) -> SocketAddr;
}

impl Foreign for Nginx {
    fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }
}

impl Foreign for NodeMediaServer {
    fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }
}

#[test]
fn what_is_published_to_nginx_plays_from_the_edge() {
    plays_from_the_edge(&Nginx::start(""));
}

#[test]
fn what_is_published_to_node_media_server_plays_from_the_edge() {
    plays_from_the_edge(&NodeMediaServer::start());
}

#[track_caller]
fn plays_from_the_edge(foreign: &impl Foreign) {
    let edge = Server::edge(&[foreign.rtmp()], PATIENT);
    let _publisher = ffmpeg::publish(Tracks::Both, &format!("rtmp://{}/{STREAM}", foreign.rtmp()));
    for url in [edge.flv_url(STREAM), edge.rtmp_url(STREAM)] {
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
    }
}

#[test]
fn players_may_ask_before_nginx_s_publisher_comes_and_stay_when_it_leaves_and_returns() {
    players_stay(&Nginx::start(""));
}

#[test]
fn players_may_ask_before_node_media_server_s_publisher_comes_and_stay_when_it_leaves_and_returns() {
    players_stay(&NodeMediaServer::start());
}

#[track_caller]
fn players_stay(foreign: &impl Foreign) {
    let edge = Server::edge(&[foreign.rtmp()], &format!("{PATIENT}[upstream]\nread_timeout = \"2s\"\n"));
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_until("the edge has asked for the stream", || edge.metrics().sum("rillcast_upstream_pulls") == 1.0);
    for _ in 0..2 {
        let feed = Publisher::start_at(foreign.rtmp(), STREAM).feed();
        for player in &players {
            player.wait_for_frame(feed.session, feed.last_number() + 50);
            let header = video_header(feed.session);
            assert!(player.see(|seen| seen.tags.iter().any(|tag| tag.payload == header)), "its headers have come");
        }
        feed.stop().close();
    }
    for player in &players {
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
        player.assert_only_gaps_before_keyframes();
    }
}

#[test]
fn a_publisher_of_nginx_s_that_falls_silent_is_noticed_within_read_timeout() {
    silence_is_noticed(&Nginx::start(""));
}

#[test]
fn a_publisher_of_node_media_server_s_that_falls_silent_is_noticed_within_read_timeout() {
    silence_is_noticed(&NodeMediaServer::start());
}

#[track_caller]
fn silence_is_noticed(foreign: &impl Foreign) {
    const READ_TIMEOUT: Duration = Duration::from_secs(2);
    let edge = Server::edge(&[foreign.rtmp()], &format!("{PATIENT}[upstream]\nread_timeout = \"2s\"\n"));
    let feed = Publisher::start_at(foreign.rtmp(), STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    player.wait_for_frame(feed.session, feed.last_number() + 20);
    let publisher = feed.stop();
    player.wait_for_frame(publisher.session, publisher.last_number());
    let silent_since = Instant::now();
    wait_until("the silence is noticed", || {
        edge.metrics().labelled("rillcast_upstream_reconnects_total", "reason", "silent") >= 1.0
    });
    let noticed = silent_since.elapsed();
    println!("silence was noticed after {noticed:?}");
    assert!(noticed > READ_TIMEOUT / 2, "it was given up after {noticed:?}");
    let feed = publisher.feed();
    player.wait_for_frame(feed.session, feed.last_number() + 60);
    assert_eq!(player.ending(), None);
    player.assert_monotonic();
}

#[test]
fn nginx_pulls_from_our_origin() {
    let origin = Server::origin("");
    let _publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    let nginx = Nginx::start(&format!("application relayed {{ live on; pull rtmp://{}/live; }}", origin.rtmp));
    let url = format!("rtmp://{}/relayed/foreign", nginx.rtmp);
    assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs());
}

#[test]
fn nginx_pushes_to_our_origin_and_our_edge_plays_it() {
    let (origin, edge) = Server::origin_and_edge("", PATIENT);
    let nginx = Nginx::start(&format!("application relayed {{ live on; push rtmp://{}/live; }}", origin.rtmp));
    let _publisher = ffmpeg::publish(Tracks::Both, &format!("rtmp://{}/relayed/foreign", nginx.rtmp));
    assert_eq!(ffmpeg::probe_codecs(&edge.flv_url(STREAM)), Tracks::Both.codecs());
}

#[test]
fn ffmpeg_relays_from_one_of_our_origins_to_another() {
    let [from, to] = [Server::origin(""), Server::origin(PATIENT)];
    let _publisher = ffmpeg::publish(Tracks::Both, &from.rtmp_url(STREAM));
    wait_until("the stream is there", || from.stream(STREAM).is_some_and(|it| it["publish"]["active"] == true));
    let _relay = ffmpeg::relay(&from.rtmp_url(STREAM), &to.rtmp_url(STREAM));
    assert_eq!(ffmpeg::probe_codecs(&to.flv_url(STREAM)), Tracks::Both.codecs());
}

#[test]
fn a_redirect_in_the_answer_to_connect_is_followed() {
    redirects_are_followed(&[Moment::Connect]);
}

#[test]
fn a_redirect_after_play_is_followed() {
    redirects_are_followed(&[Moment::Play]);
}

#[test]
fn a_chain_of_three_redirects_is_followed() {
    redirects_are_followed(&[Moment::Connect, Moment::Play, Moment::Connect]);
}

#[track_caller]
fn redirects_are_followed(moments: &[Moment]) {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let chain = chain_to(&origin.rtmp_url(STREAM), moments);
    let edge = Server::edge(&[chain[0].address], PATIENT);
    for protocol in Protocol::ALL {
        assert_eq!(Player::join(protocol, &edge, STREAM).wait_for_media().session, feed.session);
    }
    assert!(chain.iter().all(|server| server.clients() == 1), "each is asked once");
}

/// Servers each of which leads to the next, the last one to `location`.
fn chain_to(location: &str, moments: &[Moment]) -> Vec<Redirecting> {
    let chain: Vec<Redirecting> = moments.iter().map(|moment| Redirecting::at(*moment)).collect();
    for (server, next) in chain.iter().zip(chain.iter().skip(1)) {
        server.lead_to(&format!("rtmp://{}/{STREAM}", next.address));
    }
    chain.last().expect("there is one").lead_to(location);
    chain
}

#[test]
fn a_chain_of_four_redirects_is_not_followed_to_its_end() {
    let origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let chain = chain_to(&origin.rtmp_url(STREAM), &[Moment::Connect; 4]);
    leads_nowhere(&chain[0]);
    assert!(chain[3].clients() > 0);
    let connections = origin.metrics().sum("rillcast_players");
    assert_eq!(connections, 0.0, "the origin at its end was never asked");
}

#[test]
fn a_redirect_to_itself_is_given_up() {
    let server = Redirecting::at(Moment::Play);
    server.lead_to(&format!("rtmp://{}/{STREAM}", server.address));
    let begin = Instant::now();
    leads_nowhere(&server);
    // Four connections an attempt; attempts at once, after 0.25 s, 0.5 s, then each second.
    let allowed = 4.0 * (4.0 + begin.elapsed().as_secs_f64());
    assert!((server.clients() as f64) <= allowed, "{} connections", server.clients());
}

#[test]
fn a_redirect_to_what_is_no_rtmp_url_is_a_failure() {
    let server = Redirecting::at(Moment::Connect);
    server.lead_to("gopher://127.0.0.1/live/foreign");
    leads_nowhere(&server);
}

/// Players are told that there is no stream, as they are when there is none.
#[track_caller]
fn leads_nowhere(server: &Redirecting) {
    let edge = Server::edge(&[server.address], "[play]\nplay_wait = \"1s\"\n");
    let player = Player::join(Protocol::HttpFlv, &edge, STREAM);
    assert_eq!(player.answer(), Err("404".to_owned()));
    assert!(edge.metrics().labelled("rillcast_upstream_connects_total", "result", "failed") >= 1.0);
    let_pass(Duration::from_millis(100));
}
