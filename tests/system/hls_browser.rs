//! A web page with hls.js in Chromium plays from an edge, and goes on when the publisher restarts and when its origin dies.

use super::harness::browser::Browser;
use super::harness::ffmpeg::{self, Tracks};
use super::harness::nginx::HlsNginx;
use super::harness::origins::Origins;
use super::harness::server::Server;
use super::harness::{PATIENCE, tools, wait_at_most};

const STREAM: &str = "live/hls-browser";

#[test]
fn a_page_plays_hls_and_goes_on_after_a_restart_of_the_publisher_and_after_the_death_of_the_origin() {
    let mut origins = Origins::start("[hls]\nfragment = \"1s\"\n");
    let edge = origins.edge("");
    let first = ffmpeg::publish(Tracks::Both, &origins.each[0].rtmp_url(STREAM));
    let browser = Browser::start();
    // Who presses play before there is a stream would see an error, as with any file that is not there.
    wait_at_most(PATIENCE, "the stream is there", || edge.hls(STREAM).head.status == 200);
    browser.play_hls(&format!("http://{}/{STREAM}.m3u8", edge.http));
    plays_on(&browser, "at first");
    assert_eq!(browser.look().width, 320, "the publisher's pictures");

    drop(first);
    let second = ffmpeg::publish(Tracks::Both, &origins.each[0].rtmp_url(STREAM));
    plays_on(&browser, "after a restart of the publisher");

    origins.each[0].kill();
    drop(second);
    let _third = ffmpeg::publish(Tracks::Both, &origins.each[1].rtmp_url(STREAM));
    wait_at_most(2 * PATIENCE, "the other origin has segments", || has_segments(&origins.each[1]));
    plays_on(&browser, "after the death of the origin");
    browser.take_screenshot(&tools::results().join("browser-hls.png"));
    assert_eq!(edge.metrics().labelled("rillcast_players", "protocol", "hls"), 1.0);
    assert_eq!(edge.metrics().sum("rillcast_upstream_pulls"), 0.0, "no live pull is opened");
}

/// Whether a server's playlist names segments.
fn has_segments(server: &Server) -> bool {
    server.hls(STREAM).text().contains(".ts")
}

/// Plays beyond what it can have in store, with new pictures for as long.
#[track_caller]
fn plays_on(browser: &Browser, when: &str) {
    let (before, in_store) = (browser.look(), browser.seconds_in_store());
    let enough = in_store + 5.0;
    wait_at_most(2 * PATIENCE, &format!("pictures go on {when}, from {before:?} with {in_store} s in store"), || {
        let now = browser.look();
        assert_eq!(now.errors, Vec::<String>::new(), "{when}");
        now.time > before.time + enough && now.pictures as f64 > before.pictures as f64 + 20.0 * enough
    });
}

#[test]
fn a_page_plays_what_an_origin_and_nginx_beside_it_serve() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("hls");
    let origin = Server::origin(&format!("[hls]\nfragment = \"1s\"\npath = \"{}\"\n", path.display()));
    let nginx = HlsNginx::start(&path);
    let _publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    wait_at_most(PATIENCE, "the stream is on the disk", || path.join(format!("{STREAM}.m3u8")).exists());
    for (name, server) in [("the origin", origin.http), ("nginx", nginx.http)] {
        let browser = Browser::start();
        browser.play_hls(&format!("http://{server}/{STREAM}.m3u8"));
        plays_on(&browser, &format!("from {name}"));
        browser.take_screenshot(&tools::results().join(format!("browser-hls-{}.png", name.replace(' ', "-"))));
    }
}
