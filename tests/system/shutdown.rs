//! SIGTERM and SIGINT end everything in order.

use rustix::process::Signal;

use super::harness::paced::Pace;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/shutdown";

#[test]
fn sigterm_ends_players_of_the_edge_cleanly_with_exit_0() {
    ends_cleanly(Signal::TERM, Role::Edge);
}

#[test]
fn sigint_ends_players_of_the_edge_cleanly_with_exit_0() {
    ends_cleanly(Signal::INT, Role::Edge);
}

#[test]
fn sigterm_ends_players_of_the_origin_cleanly_with_exit_0() {
    ends_cleanly(Signal::TERM, Role::Origin);
}

#[test]
fn sigint_ends_players_of_the_origin_cleanly_with_exit_0() {
    ends_cleanly(Signal::INT, Role::Origin);
}

#[derive(PartialEq)]
enum Role {
    Origin,
    Edge,
}

#[track_caller]
fn ends_cleanly(signal: Signal, role: Role) {
    let (mut origin, mut edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let server = if role == Role::Origin { &mut origin } else { &mut edge };
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, server, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));

    server.signal(signal);
    assert_eq!(server.wait_for_exit(), Some(0));
    let [rtmp, flv] = &players;
    assert_eq!(flv.wait_for_end(), Ending::Proper, "the body has its terminating chunk");
    assert_eq!(rtmp.wait_for_end(), Ending::Proper);
    let statuses = rtmp.see(|recording| recording.statuses.clone());
    let said_goodbye = |status: &String| status == "NetStream.Play.UnpublishNotify" || status == "NetStream.Play.Stop";
    assert!(statuses.iter().any(said_goodbye), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "StreamEOF"), "{statuses:?}");
    players.iter().for_each(Player::assert_no_frame_missing);
    assert_eq!(feed.is_closed(), role == Role::Origin, "only an origin's end ends the publisher");
}

#[test]
fn a_server_with_nothing_to_do_ends_at_sigterm_with_exit_0() {
    let (mut origin, mut edge) = Server::origin_and_edge("", "");
    for server in [&mut edge, &mut origin] {
        server.signal(Signal::TERM);
        assert_eq!(server.wait_for_exit(), Some(0));
    }
}

#[test]
fn a_player_that_waits_for_an_absent_stream_does_not_hold_up_the_end() {
    let config = "[play]\nplay_wait = \"0s\"\n";
    let (_origin, mut edge) = Server::origin_and_edge(config, config);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, "live/nobody"));
    wait_until("the edge waits with them", || edge.metrics().sum("rillcast_upstream_pulls") == 1.0);
    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
    players.iter().for_each(|player| drop(player.wait_for_end()));
}

#[test]
fn a_player_that_does_not_read_does_not_hold_up_the_end() {
    let (origin, mut edge) = Server::origin_and_edge("", "");
    let content = Content { frame_size: 100_000, ..Content::default() };
    let feed = Publisher::start_with(&origin, STREAM, content).feed();
    let pace = Pace::unlimited();
    let stopped = Protocol::ALL.map(|protocol| Player::join_paced(protocol, &edge, STREAM, pace.clone()));
    stopped.iter().for_each(Player::expect_media);
    pace.limit(0);
    let witness = Player::join(Protocol::Rtmp, &edge, STREAM);
    witness.wait_for_frame(feed.session, feed.last_number() + 100);

    edge.signal(Signal::TERM);
    assert_eq!(edge.wait_for_exit(), Some(0));
}
