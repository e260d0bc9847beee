//! Limits: who is refused at them, how, and who is not.

use super::harness::client::{Client, Purpose};
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/overload";

/// All three protocols of players.
const PROTOCOLS: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];
/// What they get where there is no room for them.
const REFUSALS: [&str; 3] = ["NetStream.Play.Failed", "503", "503"];

fn is_ready(server: &Server) -> bool {
    server.admin("/readyz").head.status == 200
}

/// The answers to one player of each protocol that does not stay.
fn refusals(server: &Server) -> [Option<String>; 3] {
    PROTOCOLS.map(|protocol| Player::join(protocol, server, STREAM).answer().err())
}

#[test]
fn beyond_the_limit_players_are_refused_with_a_reason_and_those_who_play_go_on() {
    let (origin, edge) = Server::origin_and_edge("", "[limits]\nmax_players = 3\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = PROTOCOLS.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    for round in 1..=2 {
        assert_eq!(refusals(&edge), REFUSALS.map(|refusal| Some(refusal.to_owned())));
        let refused = edge.metrics().labelled("rillcast_refused_players_total", "limit", "players");
        assert_eq!(refused, f64::from(3 * round));
    }
    let refused = Player::join(Protocol::HttpFlv, &edge, STREAM);
    refused.wait_for_end();
    let retry_after = refused.see(|recording| recording.head.as_ref()?.header("retry-after").map(str::to_owned));
    let retry_after: u16 = retry_after.expect("when to come again").parse().unwrap();
    assert!((5..15).contains(&retry_after));

    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    players.iter().for_each(Player::assert_no_frame_missing);
    players[0].leave();
    wait_until("its place is free", || Player::join(Protocol::HttpFlv, &edge, STREAM).answer().is_ok());
    assert!(is_ready(&edge), "a full server is ready unless it is told otherwise");
}

#[test]
fn pulls_by_other_servers_have_no_limit_and_take_no_place() {
    let origin = Server::origin("[limits]\nmax_players = 1\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let edges = [Server::edge(&[origin.rtmp], ""), Server::edge(&[origin.rtmp], "")];
    let players = edges.each_ref().map(|edge| Player::join(Protocol::Rtmp, edge, STREAM));
    players.iter().for_each(Player::expect_media);
    let own = Player::join(Protocol::HttpFlv, &origin, STREAM);
    own.expect_media();
    let late = Server::edge(&[origin.rtmp], "");
    Player::join(Protocol::WsFlv, &late, STREAM).wait_for_frame(feed.session, feed.last_number());
    assert_eq!(refusals(&origin), REFUSALS.map(|refusal| Some(refusal.to_owned())));
    assert_eq!(origin.metrics().sum("rillcast_downstream_pulls"), 3.0);
}

#[test]
fn at_the_egress_limit_players_are_refused_until_less_is_sent() {
    let origin = Server::origin("[limits]\nmax_egress = \"1Mbit\"\n");
    let content = Content { frame_size: 8_000, ..Content::default() };
    let feed = Publisher::start_with(&origin, STREAM, content).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.expect_media();
    wait_until("another player is refused", || {
        Player::join(Protocol::Rtmp, &origin, STREAM).answer().err().as_deref() == Some("NetStream.Play.Failed")
    });
    assert!(origin.metrics().labelled("rillcast_refused_players_total", "limit", "egress") >= 1.0);
    player.wait_for_frame(feed.session, feed.last_number());
    player.leave();
    wait_until("there is room again", || Player::join(Protocol::HttpFlv, &origin, STREAM).answer().is_ok());
}

#[test]
fn a_server_that_is_told_to_is_not_ready_while_a_limit_is_nearly_reached() {
    let limits = "[limits]\nmax_players = 4\nunready_at = \"50%\"\n";
    let (origin, edge) = Server::origin_and_edge("", limits);
    let _feed = Publisher::start(&origin, STREAM).feed();
    let first = Player::join(Protocol::Rtmp, &edge, STREAM);
    first.expect_media();
    assert!(is_ready(&edge));
    let second = Player::join(Protocol::HttpFlv, &edge, STREAM);
    second.expect_media();
    wait_until("the edge is full enough", || !is_ready(&edge));
    assert_eq!(edge.admin("/readyz").text(), "full\n");
    Player::join(Protocol::WsFlv, &edge, STREAM).expect_media();
    second.leave();
    wait_until("the edge is ready again", || is_ready(&edge));
}

#[test]
fn one_connection_too_many_is_told_so_and_other_servers_are_let_in() {
    let origin = Server::origin("[limits]\nmax_connections = 2\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.expect_media();
    let [rtmp, flv, ws] = refusals(&origin).map(Option::unwrap_or_default);
    assert!(rtmp.contains("NetConnection.Connect.Rejected"), "{rtmp}");
    assert_eq!([flv, ws], ["503", "503"]);
    let refused = Player::join(Protocol::HttpFlv, &origin, STREAM);
    refused.wait_for_end();
    refused
        .see(|recording| recording.head.as_ref()?.header("retry-after").map(str::to_owned))
        .expect("when to come again");
    assert_eq!(origin.metrics().labelled("rillcast_connections_total", "result", "refused"), 4.0);
    assert_eq!(origin.metrics().labelled("rillcast_disconnects_total", "reason", "too_many_connections"), 4.0);

    let edges = ["rtmp", "http-flv"].map(|protocol| {
        let config = format!("[upstream]\nprotocol = \"{protocol}\"\nhttp_port = {}\n", origin.http.port());
        Server::edge(&[origin.rtmp], &config)
    });
    for edge in &edges {
        Player::join(Protocol::HttpFlv, edge, STREAM).wait_for_frame(feed.session, feed.last_number());
    }
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
}

#[test]
fn connections_count_against_readiness_too() {
    let origin = Server::origin("[limits]\nmax_connections = 10\nunready_at = \"30%\"\n");
    let connections: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(origin.rtmp).unwrap()).collect();
    wait_until("the origin is full enough", || !is_ready(&origin));
    assert_eq!(origin.metrics().sum("rillcast_open_connections"), 3.0);
    drop(connections);
    wait_until("the origin is ready again", || is_ready(&origin));
}

#[test]
fn a_hundred_edges_that_come_at_once_are_all_answered_and_disturb_nobody() {
    const EDGES: usize = 100;
    // Together what `upstream.max_connects` lets all of them have under way.
    const ROUNDS: usize = 8;
    const AT_A_TIME: usize = 2;
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.expect_media();
    let address = origin.rtmp;
    let edges: Vec<_> = (0..EDGES)
        .map(|edge| {
            std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    let stream = format!("live/absent-{edge}-{round}");
                    let pulls = [(); AT_A_TIME].map(|()| Client::connect(address, &stream, Purpose::Pull).unwrap());
                    for mut pull in pulls {
                        assert_eq!(pull.await_start(), Err("NetStream.Play.StreamNotFound".to_owned()));
                    }
                }
            })
        })
        .collect();
    edges.into_iter().for_each(|edge| edge.join().unwrap());
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
    let connections = || origin.metrics().sum("rillcast_open_connections");
    wait_until("only publisher and player are left", || connections() == 2.0);
    assert!(origin.streams().len() == 1, "nothing is left of the absent streams");
}
