//! The admin port: health, metrics, and SRS's shapes of the API.

use std::io::{Read, Write};

use super::harness::http;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/admin";

/// What exists at zero from the start, at both roles.
const SERIES: [&str; 14] = [
    "rillcast_streams",
    "rillcast_publishers",
    "rillcast_players",
    "rillcast_connections_total",
    "rillcast_disconnects_total",
    "rillcast_upstream_pulls",
    "rillcast_upstream_connects_total",
    "rillcast_upstream_reconnects_total",
    "rillcast_stream_conflicts_total",
    "rillcast_ingress_bytes_total",
    "rillcast_egress_bytes_total",
    "rillcast_dropped_packets_total",
    "rillcast_ring_bytes",
    "rillcast_first_frame_seconds_count",
];

#[test]
fn health_endpoints_answer_as_soon_as_the_server_listens() {
    let (origin, edge) = Server::origin_and_edge("", "");
    for server in [&origin, &edge] {
        for path in ["/livez", "/readyz", "/startupz"] {
            assert_eq!(server.admin(path).head.status, 200, "{path}");
        }
    }
}

#[test]
fn an_edge_is_ready_whether_its_origin_is_there_or_not() {
    let edge = Server::edge(&[super::harness::server::free_address()], "");
    assert_eq!(edge.admin("/readyz").head.status, 200);
}

#[test]
fn every_series_exists_from_the_start_at_zero() {
    let (origin, edge) = Server::origin_and_edge("", "");
    for server in [&origin, &edge] {
        let metrics = server.metrics();
        for name in SERIES {
            assert!(metrics.has(name), "{name} is missing");
            assert_eq!(metrics.sum(name), 0.0, "{name}");
        }
        assert!(metrics.has("rillcast_build_info"));
    }
}

#[test]
fn metrics_come_in_the_prometheus_text_format_with_help_and_type() {
    let origin = Server::origin("");
    let response = origin.admin("/metrics");
    let content_type = response.head.header("content-type").unwrap_or_default().to_owned();
    assert!(content_type.starts_with("application/openmetrics-text") || content_type.starts_with("text/plain"));
    let text = response.text();
    assert!(text.contains("# TYPE rillcast_players gauge"), "{text}");
    assert!(text.contains("# HELP rillcast_players "), "{text}");
    assert!(text.trim_end().ends_with("# EOF") || content_type.starts_with("text/plain"));
}

#[test]
fn metrics_count_what_flows() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    let (origin, edge) = (origin.metrics(), edge.metrics());
    assert_eq!(origin.sum("rillcast_streams"), 1.0);
    assert_eq!(origin.sum("rillcast_publishers"), 1.0);
    assert_eq!(edge.sum("rillcast_publishers"), 0.0, "a pull is no publisher");
    assert_eq!(edge.sum("rillcast_players"), 2.0);
    assert_eq!(edge.labelled("rillcast_players", "protocol", "rtmp"), 1.0);
    assert_eq!(edge.sum("rillcast_first_frame_seconds_count"), 2.0);
    assert!(origin.sum("rillcast_ingress_bytes_total") > 0.0);
    assert!(origin.sum("rillcast_egress_bytes_total") > 0.0);
    assert!(edge.sum("rillcast_egress_bytes_total") > edge.sum("rillcast_ingress_bytes_total") / 2.0);
    assert!(edge.sum("rillcast_ring_bytes") > 0.0);
    assert!(edge.sum("rillcast_connections_total") >= 2.0);
}

#[test]
fn versions_come_in_srs_s_shape() {
    let origin = Server::origin("");
    let body = origin.admin("/api/v1/versions").json();
    assert_eq!(body["code"], 0);
    assert!(!body["server"].is_null(), "{body}");
    assert_eq!(body["data"]["version"], env!("CARGO_PKG_VERSION"), "{body}");
}

#[test]
fn streams_show_codecs_bitrate_and_clients_in_srs_s_shape() {
    let origin = Server::origin("");
    let body = origin.admin("/api/v1/streams").json();
    assert_eq!((&body["code"], &body["streams"]), (&0.into(), &serde_json::json!([])));

    let feed = Publisher::start_with(&origin, STREAM, Content { frame_size: 5_000, ..Content::default() }).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &origin, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    let entry = origin.stream(STREAM).expect("the stream is listed");
    assert_eq!((entry["name"].as_str(), entry["app"].as_str()), (Some("admin"), Some("live")));
    assert_eq!(entry["publish"]["active"], true);
    assert_eq!(entry["video"]["codec"], "H264", "{entry}");
    assert_eq!(entry["audio"]["codec"], "AAC", "{entry}");
    // SRS counts the publisher too.
    assert_eq!(entry["clients"].as_u64(), Some(3), "a publisher and two players: {entry}");
    assert!(entry["upstream"].is_null(), "an origin has no upstream: {entry}");
    wait_until("there is a bitrate", || {
        let entry = origin.stream(STREAM).expect("the stream is listed");
        entry["kbps"]["recv_30s"].as_f64().is_some_and(|rate| rate > 0.0)
            && entry["kbps"]["send_30s"].as_f64().is_some_and(|rate| rate > 0.0)
    });
}

#[test]
fn an_edge_shows_where_it_pulls_a_stream_from() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_media();
    let entry = edge.stream(STREAM).expect("the stream is listed");
    assert_eq!(entry["upstream"]["address"].as_str(), Some(origin.rtmp.to_string().as_str()), "{entry}");
    assert!(entry["upstream"]["state"].is_string(), "{entry}");
    assert_eq!(entry["upstream"]["retries"].as_u64(), Some(0), "{entry}");
}

#[test]
fn an_edge_tries_the_next_address_when_the_first_does_not_answer() {
    let origin = Server::origin("");
    let edge = Server::edge(&[super::harness::server::free_address(), origin.rtmp], "");
    let _feed = Publisher::start(&origin, STREAM).feed();
    for number in 0..4 {
        // Whichever address a stream prefers, it arrives.
        let stream = format!("live/other-{number}");
        let _other = Publisher::start(&origin, &stream).feed();
        Player::join(Protocol::HttpFlv, &edge, &stream).wait_for_media();
    }
}

#[test]
fn what_the_admin_port_does_not_know_is_not_found_and_it_serves_no_media() {
    let origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    for path in ["/", "/api/v1/nothing", "/live/admin.flv", "/metrics/x"] {
        assert_eq!(origin.admin(path).head.status, 404, "{path}");
    }
    assert_eq!(http::get(origin.http, "/metrics").head.status, 404);
}

#[test]
fn health_checks_that_connect_and_close_are_not_logged() {
    let origin = Server::origin("");
    for address in [origin.rtmp, origin.http].into_iter().cycle().take(40) {
        drop(http::connect(address));
    }
    wait_until("all of them are counted", || origin.metrics().sum("rillcast_disconnects_total") >= 40.0);
    let closed = origin.log().into_iter().filter(|line| line["fields"]["message"] == "connection closed").count();
    assert_eq!(closed, 0);
}

#[test]
fn connections_beyond_the_limit_of_an_address_are_refused_and_counted() {
    let origin = Server::origin("[limits]\nmax_connections_per_address = 3\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &origin, STREAM));
    players.iter().for_each(Player::expect_media);
    let refused = Player::join(Protocol::HttpFlv, &origin, STREAM);
    refused.wait_for_end();
    assert!(refused.answer().is_err());
    assert_eq!(origin.metrics().labelled("rillcast_connections_total", "result", "refused"), 1.0);
    players[0].leave();
    wait_until("its place is free", || {
        let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
        player.answer().is_ok()
    });
    players[1].wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn half_a_request_on_the_admin_port_is_not_waited_for_without_end() {
    let origin = Server::origin("");
    let mut stream = http::connect(origin.admin);
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").unwrap();
    // Ends when the server closes the connection: a timeout of the test's own would be an error.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    assert_eq!(origin.admin("/livez").head.status, 200);
}
