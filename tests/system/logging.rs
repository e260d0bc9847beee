//! The log: for people and for machines, and not the same line again and again.

use serde_json::Value;

use super::harness::http;
use super::harness::player::{Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::{Content, Publisher};
use super::harness::server::{Server, free_address};
use super::harness::{wait_for, wait_until};

const STREAM: &str = "live/logged";

fn warnings(server: &Server, message: &str) -> Vec<Value> {
    let lines = server.log().into_iter();
    lines.filter(|line| line["level"] == "WARN" && line["fields"]["message"] == message).collect()
}

#[test]
fn an_upstream_that_is_not_there_is_warned_of_once_in_a_while_however_many_ask() {
    const MESSAGE: &str = "cannot pull from this upstream";
    let edge = Server::edge(&[free_address()], "[play]\nplay_wait = 0\n");
    let players: Vec<Player> =
        (0..5).map(|number| Player::join(Protocol::Rtmp, &edge, &format!("{STREAM}-{number}"))).collect();
    let failed = |edge: &Server| edge.metrics().labelled("rillcast_upstream_connects_total", "result", "failed");
    wait_until("every stream is tried for again and again", || failed(&edge) >= 15.0);
    let first = warnings(&edge, MESSAGE);
    assert!(first.len() <= 2, "{first:#?}");
    assert!(first[0]["fields"]["unlogged"].is_null(), "{first:#?}");
    let second = wait_for("the next one tells how many were left out", || warnings(&edge, MESSAGE).get(1).cloned());
    assert!(second["fields"]["unlogged"].as_u64() >= Some(10), "{second}");
    assert!((warnings(&edge, MESSAGE).len() as f64) < failed(&edge) / 5.0);
    drop(players);
}

#[test]
fn every_line_of_a_connection_has_its_id() {
    let origin = Server::origin("[play]\nplay_wait = \"100ms\"\n");
    Player::join(Protocol::Rtmp, &origin, STREAM).wait_for_end();
    let access = wait_for("its session has ended", || origin.log().into_iter().find(|line| line["target"] == "access"));
    let id = access["fields"]["id"].as_str().unwrap().to_owned();
    wait_until("its connection has, too", || {
        let of_it = |line: &&Value| line["span"]["id"] == id.as_str();
        origin.log().iter().filter(of_it).any(|line| line["fields"]["message"] == "connection closed")
    });
}

#[test]
fn a_log_for_people_has_no_colours_where_nobody_sees_them_and_no_words_of_strangers_as_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("text.toml");
    let listen = "listen = \"127.0.0.1:0\"\n";
    let text = format!("[log]\nformat = \"text\"\n[rtmp]\n{listen}[http]\n{listen}[admin]\n{listen}");
    std::fs::write(&file, text).unwrap();
    let mut origin = Process::rillcast(&["origin", "-c", file.to_str().unwrap()]);
    let address = wait_for("it listens", || {
        assert!(origin.exit().is_none(), "{:#?}", origin.stderr.all());
        origin.stderr.find(|line| {
            let listening = line.contains("listening") && line.contains("protocol=\"http\"");
            listening.then(|| line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()).flatten()
        })
    });
    assert_eq!(http::get(address, "/live/nobody.flv?token=secret").head.status, 404);
    assert_eq!(http::get(address, "/live/x%20reason=%22kicked%22%20.flv").head.status, 404);
    wait_until("the session's line is there", || origin.stderr.all().iter().any(|line| line.contains("session ended")));
    wait_until("the other's is, too", || origin.stderr.all().iter().any(|line| line.contains("\"live/x reason=")));
    for line in origin.stderr.all() {
        assert!(!line.contains(" reason=\"kicked\""), "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert!(!line.contains("secret"), "{line:?}");
    }
}

#[test]
fn a_line_has_its_connection_whatever_the_level() {
    let origin =
        Server::origin("[log]\nlevel = \"warn,rillcast::server=info\"\n[limits]\npublish_bitrate = \"1Mbit\"\n");
    let heavy = Publisher::start_with(&origin, STREAM, Content { frame_size: 50_000, ..Content::default() }).feed();
    wait_until("it is ended", || heavy.is_closed());
    const MESSAGE: &str = "the publisher sends more than limits.publish_bitrate allows";
    let warning = wait_for("the log says so", || warnings(&origin, MESSAGE).pop());
    assert!(warning["span"]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{warning}");
    assert_eq!(warning["span"]["id"].as_str().map(str::len), Some(24), "{warning}");
}
