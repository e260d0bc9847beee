//! What is left where the system allows few open files.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use super::harness::http;
use super::harness::process::Process;
use super::harness::publisher::Publisher;
use super::harness::server::Server;

const STREAM: &str = "live/few_files";

#[test]
fn idle_connections_do_not_take_the_files_that_health_checks_and_pulls_need() {
    let origin = Server::origin("");
    let _feed = Publisher::start(&origin, STREAM).feed();
    let edge = Server::edge_with_files(256, &[origin.rtmp]);
    let player = http::connect(edge.http);
    assert_eq!(ask(&player, "/nothing"), 404);
    // Each has been of use, and may then be idle for long.
    let _idle: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = http::connect(edge.http);
            stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").ok();
            stream
        })
        .collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(edge.admin(path).head.status, 200, "{path}");
    }
    assert!(edge.open_files() < 256);
    assert!(edge.metrics().sum("rillcast_open_connections") <= 128.0);
    let warned = |line: &serde_json::Value| {
        line["level"] == "WARN"
            && line["fields"]["message"] == "limits.max_connections is beyond what files may be open"
            && line["fields"]["room"] == 128
    };
    assert!(edge.log().iter().any(warned));
    // A pull is a file, too, for a player that was there before them.
    assert_eq!(ask(&player, &format!("/{STREAM}.flv")), 200);
    assert_eq!(edge.metrics().sum("rillcast_upstream_pulls"), 1.0);
}

/// Asks on a connection that goes on, and gives the status.
#[track_caller]
fn ask(mut stream: &TcpStream, path: &str) -> u16 {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut source = BufReader::new(stream);
    let head = http::Head::read(&mut source).unwrap();
    if head.status != 200 {
        http::Body::new(&mut source, &head).read_to_end(&mut Vec::new()).unwrap();
    }
    head.status
}

#[test]
fn check_tells_that_more_connections_are_allowed_than_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("origin.toml");
    std::fs::write(&file, "[limits]\nmax_connections = 5000\n").unwrap();
    let prefix = super::harness::server::with_files(256);
    let mut process =
        Process::rillcast_under(&prefix, &["check", "--role", "origin", "-c", &file.display().to_string()]);
    assert_eq!(process.wait_for_exit(), Some(0));
    let said = process.stdout.all().join("\n");
    assert!(said.contains("limits.max_connections: 5000 is beyond"), "{said}");
    assert!(said.contains("room for 128 connections"), "{said}");
}
