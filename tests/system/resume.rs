//! Players stay while publishers and origins come and go.

use std::time::Instant;

use super::harness::numbered::video_header;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::publisher::{Feed, Publisher};
use super::harness::rtmp::RtmpClient;
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/resume";

#[test]
fn players_of_the_edge_stay_when_the_origin_is_killed_and_another_publisher_comes() {
    let mut origin = Server::origin_on_fixed_ports("");
    let edge = Server::edge(&[origin.rtmp], "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);

    origin.kill();
    wait_until("the publisher has lost its origin", || feed.is_closed());
    origin.restart();
    let returned = Instant::now();
    let feed = Publisher::start(&origin, STREAM).feed();
    wait_for_all(&players, &feed);
    println!("pictures were back {:?} after the publisher", returned.elapsed());

    went_on(&players, &feed);
    assert!(edge.metrics().sum("rillcast_upstream_reconnects_total") >= 1.0);
}

#[test]
fn players_of_the_edge_wait_while_the_origin_is_away_for_longer() {
    let mut origin = Server::origin_on_fixed_ports("");
    let edge = Server::edge(&[origin.rtmp], "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    wait_for_all(&players, &feed);

    origin.kill();
    drop(feed);
    wait_until("the edge has tried again a few times", || {
        edge.stream(STREAM).and_then(|stream| stream["upstream"]["retries"].as_u64()).is_some_and(|count| count >= 3)
    });
    assert_eq!(edge.metrics().sum("rillcast_upstream_pulls"), 1.0, "a pull in retry is a pull");
    origin.restart();
    let feed = Publisher::start(&origin, STREAM).feed();
    wait_for_all(&players, &feed);
    went_on(&players, &feed);
}

#[test]
fn players_at_origin_and_edge_stay_when_the_publisher_reconnects() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players: Vec<Player> = [&origin, &edge]
        .into_iter()
        .flat_map(|server| Protocol::ALL.map(|protocol| Player::join(protocol, server, STREAM)))
        .collect();
    wait_for_all(&players, &feed);

    feed.stop().close();
    wait_until("the origin has no publisher", || origin.metrics().sum("rillcast_publishers") == 0.0);
    let returned = Instant::now();
    let feed = Publisher::start(&origin, STREAM).feed();
    wait_for_all(&players, &feed);
    println!("pictures were back everywhere {:?} after the publisher", returned.elapsed());
    went_on(&players, &feed);
}

#[test]
fn a_publisher_that_returns_with_other_timestamps_does_not_turn_time_back() {
    let (origin, edge) = Server::origin_and_edge("[publish]\nnormal_timeout = \"10m\"\n", "");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(100);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for player in &players {
        player.wait_for_frame(publisher.session, publisher.last_number());
    }
    publisher.close();
    // The new one begins at 0, four seconds before where the old one ended.
    let mut publisher = Publisher::start_when_free(&origin, STREAM);
    publisher.push(30);
    for player in &players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_monotonic();
        player.assert_no_frame_missing();
    }
}

#[test]
fn players_are_ended_when_the_publisher_does_not_return() {
    let (origin, edge) =
        Server::origin_and_edge("[publish]\nresume_timeout = \"1s\"\n", "[upstream]\nresume_timeout = \"1s\"\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players: Vec<Player> = [&origin, &edge]
        .into_iter()
        .flat_map(|server| Protocol::ALL.map(|protocol| Player::join(protocol, server, STREAM)))
        .collect();
    wait_for_all(&players, &feed);
    feed.stop().close();
    for player in &players {
        assert_eq!(player.wait_for_end(), Ending::Proper);
    }
    wait_until("the streams are gone", || origin.streams().is_empty() && edge.streams().is_empty());
}

#[test]
fn an_edge_s_pull_ends_with_the_publisher_while_other_players_of_the_origin_stay() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_frame(feed.session, feed.last_number());
    let mut edge = RtmpClient::open(origin.rtmp).unwrap();
    edge.connect("live", &[("rillcast", "v=1;node=a-test;path=a-test;session=1")]).unwrap();
    edge.play("resume").unwrap();
    wait_for_status(&mut edge, &["NetStream.Play.Start"]);
    feed.stop().close();
    wait_for_status(&mut edge, &["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]);
    assert_eq!(player.ending(), None);
    let feed = Publisher::start_when_free(&origin, STREAM).feed();
    player.wait_for_frame(feed.session, feed.last_number());
}

#[track_caller]
fn wait_for_status(client: &mut RtmpClient, wanted: &[&str]) {
    loop {
        let message = client.receive().unwrap().unwrap_or_else(|| panic!("the end came before {wanted:?}"));
        if message.status().is_some_and(|status| wanted.contains(&status.as_str())) {
            return;
        }
    }
}

#[track_caller]
fn wait_for_all(players: &[Player], feed: &Feed) {
    for player in players {
        player.wait_for_frame(feed.session, feed.last_number());
    }
}

/// The players never left, and got the second session with its headers and from a keyframe on.
#[track_caller]
fn went_on(players: &[Player], feed: &Feed) {
    for player in players {
        assert_eq!(player.ending(), None);
        player.assert_monotonic();
        player.assert_no_frame_missing();
        let frames = player.frames();
        let first = frames.iter().find(|frame| frame.session == feed.session).expect("the new session has come");
        assert!(first.key, "the new session starts with {first:?}");
        let header = video_header(feed.session);
        assert!(
            player.see(|recording| recording.tags.iter().any(|tag| tag.payload == header)),
            "headers are sent again"
        );
    }
}
