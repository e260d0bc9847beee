//! `rillcast demo` and `rillcast publish --demo`: real pictures and sound without any other tool.

use rustix::process::Signal;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::process::Process;
use super::harness::server::Server;
use super::harness::wait_until;

/// The demo has fixed ports, so it has a single test.
#[test]
fn demo_prints_urls_that_play_and_stops_at_ctrl_c() {
    let mut demo = Process::rillcast(&["demo"]);
    wait_until("the demo prints URLs of both servers", || {
        assert!(demo.exit().is_none(), "the demo has ended: {:#?}", demo.stderr.all());
        let urls = printed_urls(&demo);
        let prints = |start: &str| urls.iter().any(|url| url.starts_with(start));
        prints("rtmp://127.0.0.1:1936/") && prints("http://127.0.0.1:8081/")
    });
    // The other URLs are for publishing and for looking inside.
    let streams = printed_urls(&demo).into_iter().filter(|url| url.contains("/live/demo"));
    for url in streams {
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
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

/// The URLs in what the demo has printed so far; `localhost` and an unspecified host count as loopback.
fn printed_urls(demo: &Process) -> Vec<String> {
    let text = demo.stdout.all().join(" ");
    let words = text.split_whitespace().map(|word| word.trim_matches(['"', '\'', ',', '(', ')']));
    let urls = words.filter(|word| word.starts_with("rtmp://") || word.starts_with("http://"));
    urls.map(|url| url.replace("localhost", "127.0.0.1")).collect()
}
