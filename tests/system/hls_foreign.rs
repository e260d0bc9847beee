//! HLS at an edge whose origin is nginx with its RTMP module.

use std::collections::HashMap;
use std::thread;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::http::{self, Response};
use super::harness::nginx_hls::NginxHls;
use super::harness::server::Server;
use super::harness::{wait_for, wait_until};

const PLAYLIST: &str = "/live/hls.m3u8";

fn edge(origin: &NginxHls) -> Server {
    Server::edge(&[origin.rtmp], &format!("[upstream]\nhttp_port = {}\n", origin.http.port()))
}

/// The playlist at the edge, once it has some segments.
#[track_caller]
fn playlist(edge: &Server) -> Response {
    wait_for("the edge has a playlist", || {
        let response = http::get(edge.http, PLAYLIST);
        let segments = response.text().matches("#EXTINF").count();
        (response.head.status == 200 && segments >= 3).then_some(response)
    })
}

fn segments(playlist: &Response) -> Vec<String> {
    let text = playlist.text();
    text.lines().filter(|line| line.ends_with(".ts")).map(|line| format!("/live/{line}")).collect()
}

#[test]
fn what_a_foreign_origin_segments_plays_at_an_edge() {
    let origin = NginxHls::start();
    let _publisher = ffmpeg::publish(Tracks::Both, &format!("rtmp://{}/live/hls", origin.rtmp));
    let edge = edge(&origin);
    playlist(&edge);
    assert_eq!(ffmpeg::probe_codecs(&format!("http://{}{PLAYLIST}", edge.http)), Tracks::Both.codecs());
    assert_eq!(edge.metrics().sum("rillcast_upstream_pulls"), 0.0, "no live pull is opened");
}

#[test]
fn a_hundred_viewers_of_an_edge_make_one_request_a_segment_of_its_origin() {
    let origin = NginxHls::start();
    let _publisher = ffmpeg::publish(Tracks::Both, &format!("rtmp://{}/live/hls", origin.rtmp));
    let edge = edge(&origin);
    let wanted = segments(&playlist(&edge));
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for segment in &wanted {
                    let response = http::get(edge.http, segment);
                    assert_eq!((response.head.status, response.body[0]), (200, 0x47), "{segment}");
                }
            });
        }
    });
    let mut asked: HashMap<String, usize> = HashMap::new();
    for path in origin.asked().into_iter().filter(|path| path.ends_with(".ts")) {
        *asked.entry(path).or_default() += 1;
    }
    assert!(asked.len() >= wanted.len() && asked.values().all(|count| *count == 1), "{asked:?}");
}

#[test]
fn names_that_no_playlist_names_reach_no_foreign_origin() {
    let origin = NginxHls::start();
    let _publisher = ffmpeg::publish(Tracks::Both, &format!("rtmp://{}/live/hls", origin.rtmp));
    let edge = edge(&origin);
    playlist(&edge);
    for path in [
        "/live/hls/1.ts",
        "/live/hls/18446744073709551615.ts",
        "/live/hls-0.ts",
        "/live/hls/../hls-0.ts",
        "/live/hls/%2e%2e/1.ts",
        "/live/..%2f..%2fetc/passwd.m3u8",
    ] {
        let status = http::get(edge.http, path).head.status;
        assert!((400..=404).contains(&status), "{path}: {status}");
    }
    wait_until("the log is written", || !origin.asked().is_empty());
    let own = |path: &String| path.starts_with("/live/hls.m3u8") || path.starts_with("/live/hls-");
    assert!(origin.asked().iter().all(own), "{:?}", origin.asked());
}
