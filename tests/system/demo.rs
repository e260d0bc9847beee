//! `rillcast demo` and `rillcast publish --demo`: real pictures and sound without any other tool.

use rustix::process::Signal;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::http;
use super::harness::process::Process;
use super::harness::server::Server;
use super::harness::wait_until;

/// The demo has fixed ports, so it has a single test.
#[test]
fn demo_prints_urls_that_play_and_stops_at_ctrl_c() {
    let mut demo = Process::rillcast(&["demo"]);
    wait_until("the demo says how to stop it", || {
        assert!(demo.exit().is_none(), "the demo has ended: {:#?}", demo.stderr.all());
        demo.stdout.find(|line| line.contains("Ctrl-C").then_some(())).is_some()
    });
    let to_play = urls_after("ffplay", &demo);
    for start in ["rtmp://127.0.0.1:1936/", "http://127.0.0.1:8081/"] {
        assert!(to_play.iter().any(|url| url.starts_with(start)), "no URL of {start} among {to_play:?}");
    }
    for url in to_play {
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
    }
    for url in urls_after("curl", &demo) {
        let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an HTTP URL");
        let response = http::get(address.parse().expect("a numeric address"), &format!("/{path}"));
        assert_eq!(response.head.status, 200, "{url}");
    }
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_for_exit(), Some(0));
}

#[test]
fn publish_demo_publishes_the_clip_anywhere_and_loops_it() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let url = origin.rtmp_url("live/clip");
    let mut publisher = Process::rillcast(&["publish", "--demo", &url]);
    wait_until("the clip is live", || {
        origin.stream("live/clip").is_some_and(|stream| stream["publish"]["active"] == true)
    });
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("clip.flv");
    ffmpeg::record(&edge.flv_url("live/clip"), 12, &recording);
    assert_eq!(ffmpeg::complaints(&recording), Vec::<String>::new());
    assert!(ffmpeg::picture_hashes(&recording).len() > 100);
    publisher.signal(Signal::INT);
    assert_eq!(publisher.wait_for_exit(), Some(0));
}

#[test]
fn a_publisher_that_reconnects_is_there_again_after_it_was_ended() {
    let origin = Server::origin("");
    let mut publisher = Process::rillcast(&["publish", "--demo", "--reconnect", "60", &origin.rtmp_url("live/again")]);
    let begun = |count| {
        let lines = publisher.stdout.all();
        lines.iter().filter(|line| line.starts_with("publishing to")).count() == count
    };
    wait_until("it publishes", || begun(1));
    let clients = origin.admin("/api/v1/clients/").json();
    let id = clients["clients"][0]["id"].as_str().expect("the publisher is a client");
    http::request(origin.admin, "DELETE", &format!("/api/v1/clients/{id}"));
    wait_until("it publishes again", || begun(2));
    assert!(publisher.stdout.find(|line| line.starts_with("lost: ").then_some(())).is_some());
    publisher.signal(Signal::INT);
    assert_eq!(publisher.wait_for_exit(), Some(0));
}

#[test]
fn a_publisher_that_cannot_begin_again_for_too_long_is_exit_code_1_with_the_reason() {
    let mut origin = Server::origin("");
    let mut publisher = Process::rillcast(&["publish", "--demo", "--reconnect", "1", &origin.rtmp_url("live/over")]);
    wait_until("it publishes", || {
        publisher.stdout.find(|line| line.starts_with("publishing to").then_some(())).is_some()
    });
    origin.kill();
    assert_eq!(publisher.wait_for_exit(), Some(1));
    let said = publisher.stderr.all().join("\n");
    assert!(said.contains("not publishing again within 1 s: cannot reach"), "{said}");
}

/// The URLs of the printed commands that begin with a program's name.
fn urls_after(program: &str, demo: &Process) -> Vec<String> {
    let lines = demo.stdout.all();
    let commands = lines.iter().filter_map(|line| line.trim().strip_prefix(program));
    commands.filter_map(|rest| rest.split_whitespace().last().map(str::to_owned)).collect()
}
