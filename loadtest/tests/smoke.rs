//! Each subcommand against a real server for a moment: that it works, not how fast it is.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_rillcast-loadtest");
const PATIENCE: Duration = Duration::from_secs(30);

/// The server, which cargo has built beside this package's program.
fn rillcast() -> PathBuf {
    let path = Path::new(LOADTEST).with_file_name("rillcast");
    if !path.exists() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--bin", "rillcast", "--manifest-path"]).arg(manifest);
        assert!(build.status().expect("cargo runs").success());
    }
    path
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running origin.
struct Origin {
    process: Process,
    rtmp: SocketAddr,
    http: SocketAddr,
}

/// Starts an origin on ports that the system chooses, and reads them from its log.
fn origin() -> Origin {
    let child = Command::new(rillcast())
        .arg("origin")
        .env("RILLCAST_RTMP__LISTEN", "127.0.0.1:0")
        .env("RILLCAST_HTTP__LISTEN", "127.0.0.1:0")
        .env("RILLCAST_ADMIN__LISTEN", "127.0.0.1:0")
        .env("RILLCAST_LOG__FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut process = Process(child);
    let log = process.0.stderr.take().expect("its log is piped");
    let mut lines = BufReader::new(log).lines().map(|line| line.expect("its log is text"));
    let mut addresses = HashMap::new();
    while addresses.len() < 3 {
        let line: Value = serde_json::from_str(&lines.next().expect("the server listens")).expect("JSON");
        let fields = &line["fields"];
        if fields["message"] == "listening" {
            let text = |name: &str| fields[name].as_str().expect("a text").to_owned();
            addresses.insert(text("protocol"), text("address").parse().expect("an address"));
        }
    }
    // Whoever does not read the rest would stop the server once the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    Origin { process, rtmp: addresses["rtmp"], http: addresses["http"] }
}

fn publish(origin: &Origin, more: &[&str]) -> Process {
    let url = format!("rtmp://{}/live/x", origin.rtmp);
    let publisher = Command::new(LOADTEST).args(["publish", &url, "--duration", "30s"]).args(more).spawn();
    Process(publisher.expect("the publisher starts"))
}

fn run(arguments: &[&str]) -> Output {
    Command::new(LOADTEST).args(arguments).stdin(Stdio::null()).output().expect("it starts")
}

#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn only_run(path: &Path) -> Value {
    let report: Value = serde_json::from_slice(&std::fs::read(path).expect("a report")).expect("JSON");
    report["cases"][0]["runs"][0].clone()
}

const QUICK: [&str; 6] = ["--settle", "200ms", "--duration", "1s", "--sample", "4"];

#[test]
fn players_of_both_protocols_get_what_was_published_and_measure_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = origin();
    let _publisher = publish(&origin, &["--streams", "2", "--bitrate", "500k"]);
    let (json, html) = (directory.path().join("report.json"), directory.path().join("report.html"));
    let pid = origin.process.0.id().to_string();
    for url in [format!("rtmp://{}/live/x", origin.rtmp), format!("http://{}/live/x.flv", origin.http)] {
        let files = ["--json", json.to_str().expect("UTF-8"), "--html", html.to_str().expect("UTF-8")];
        let load = ["play", &url, "--players", "20", "--streams", "2", "--stalled", "2", "--pid", &pid];
        succeed(&[&load[..], &QUICK, &files].concat());
        let run = only_run(&json);
        assert_eq!((&run["connected"], &run["failed"], &run["dropped"]), (&20.into(), &0.into(), &0.into()));
        assert_eq!(run["missing_messages"], 0);
        assert!(run["sampled_messages"].as_u64() > Some(0));
        assert!(run["cpu_ms"].as_f64() > Some(0.0));
        assert!(run["delay"]["p50"].as_f64() > Some(0.0));
        assert!(run["delivered_share"].as_f64() > Some(0.5));
        assert!(std::fs::read_to_string(&html).expect("a page").contains("<svg"));
    }
}

#[test]
fn viewers_of_hls_get_segments_and_count_what_they_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = origin();
    let _publisher = publish(&origin, &["--bitrate", "500k"]);
    let url = format!("http://{}/live/x.m3u8", origin.http);
    let json = directory.path().join("report.json");
    let load = ["play", &url, "--hls", "--players", "20", "--connections", "4", "--duration", "4s"];
    let arguments = [&load[..], &["--json", json.to_str().expect("UTF-8")]].concat();
    // Who comes before there is a first segment is told so, and comes again.
    let deadline = Instant::now() + PATIENCE;
    while !run(&arguments).status.success() {
        assert!(Instant::now() < deadline, "{}", succeed(&arguments));
    }
    let watched: Value = serde_json::from_slice(&std::fs::read(&json).expect("a report")).expect("JSON");
    assert_eq!((&watched["started"], &watched["failed_requests"]), (&20.into(), &0.into()));
    assert!(watched["segment_requests"].as_u64() > Some(0) && watched["delay"]["p50"].as_f64() > Some(0.0));
    let output = run(&["play", &url]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--hls"));
}

#[test]
fn a_file_is_looped_and_its_players_are_dropped_with_the_server() {
    let mut origin = origin();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo.flv");
    let mut publisher = publish(&origin, &["--file", clip]);
    let url = format!("rtmp://{}/live/x", origin.rtmp);
    succeed(&[&["play", &url, "--players", "2"], &QUICK[..]].concat());

    let player = Command::new(LOADTEST)
        .args(["play", &url, "--players", "5", "--duration", "30s"])
        .stderr(Stdio::piped())
        .spawn();
    let player = player.expect("players start");
    // Players that have come are seen by the server as established connections.
    let deadline = Instant::now() + PATIENCE;
    let port = format!(":{:04X}", origin.rtmp.port());
    let established = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc");
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.by_ref().filter(|row| row.len() > 3 && row[1].ends_with(&port) && row[3] == "01").count()
    };
    while established() < 6 {
        assert!(Instant::now() < deadline, "the players do not come");
        std::thread::yield_now();
    }
    origin.process.0.kill().expect("the server can be killed");
    let output = player.wait_with_output().expect("players end");
    assert!(!output.status.success());
    assert!(!publisher.0.wait().expect("the publisher ends").success());
}

#[test]
fn the_floor_needs_no_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let load = ["floor", "--window", "50", "--players", "10", "--rounds", "1", "--json", json.to_str().expect("UTF-8")];
    succeed(&[&load[..], &QUICK].concat());
    let run = only_run(&json);
    assert_eq!((&run["connected"], &run["missing_messages"]), (&10.into(), &0.into()));
}

#[test]
fn servers_are_compared_and_a_missing_one_is_told() {
    let rillcast = rillcast();
    let rillcast = rillcast.to_str().expect("UTF-8");
    let cases = "floor-350,edge-350,origin-auto/flv,node-media-server";
    let load = ["compare", "--cases", cases, "--players", "10", "--rounds", "1", "--rillcast", rillcast];
    let text = succeed(&[&load[..], &["--node-modules", "/does/not/exist"], &QUICK].concat());
    for expected in ["edge-350 RTMP", "origin-auto HTTP-FLV", "× floor-350", "make compare installs it"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[test]
fn servers_on_one_core_are_swept_over_streams_and_stalled_players() {
    let directory = tempfile::tempdir().expect("a directory");
    let (json, html) = (directory.path().join("report.json"), directory.path().join("report.html"));
    let rillcast = rillcast();
    let server = ["--rillcast", rillcast.to_str().expect("UTF-8"), "--one-core"];
    let files = ["--json", json.to_str().expect("UTF-8"), "--html", html.to_str().expect("UTF-8")];
    let load = ["compare", "--cases", "edge-auto", "--players", "10", "--streams", "1,3", "--stalled", "0,2"];
    let text = succeed(&[&load[..], &["--rounds", "1", "--bitrate", "500k"], &server, &files, &QUICK].concat());
    for expected in ["1 to 3 streams of 0.50 Mbit/s, one core each", "3 streams, 2 stalled: messages missing"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("a report")).expect("JSON");
    let cases = report["cases"].as_array().expect("cases");
    let load = |case: &Value| (case["streams"].as_u64(), case["stalled"].as_u64());
    let loads: Vec<_> = cases.iter().map(load).collect();
    assert_eq!(loads, [(1, 0), (1, 2), (3, 0), (3, 2)].map(|(streams, stalled)| (Some(streams), Some(stalled))));
    for run in cases.iter().map(|case| &case["runs"][0]) {
        assert_eq!((&run["connected"], &run["failed"], &run["missing_messages"]), (&10.into(), &0.into(), &0.into()));
    }
    let page = std::fs::read_to_string(&html).expect("a page");
    assert!(page.contains("CPU against streams") && page.contains("2 stalled"));
}

#[test]
fn more_players_than_there_are_cannot_be_stalled() {
    let output = run(&["compare", "--cases", "edge-0", "--players", "10", "--stalled", "11"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not 11 players to stall"));
}

#[test]
fn a_plan_follows_from_figures() {
    let text = succeed(&["plan", "--cpu-ms-per-gigabit", "30", "--kilobytes-per-player", "6"]);
    assert!(text.contains("10,000,000"), "{text}");
    assert!(!run(&["plan"]).status.success());
}

#[test]
fn other_hosts_are_not_loaded_unasked() {
    for arguments in [["play", "rtmp://192.0.2.1/live/x"], ["publish", "rtmp://192.0.2.1/live/x"]] {
        let output = run(&arguments);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-remote"));
    }
}
