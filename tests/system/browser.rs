//! A web page with mpegts.js in Chromium plays from the edge, and goes on after the origin was restarted.

use super::harness::browser::Browser;
use super::harness::ffmpeg::{self, Tracks};
use super::harness::server::Server;
use super::harness::{PATIENCE, tools, wait_at_most, wait_until};

const STREAM: &str = "live/browser";

#[test]
fn a_page_plays_flv_over_http_and_goes_on_after_a_restart_of_the_origin() {
    plays_through_a_restart("http", |edge| edge.flv_url(STREAM));
}

#[test]
fn a_page_plays_flv_over_websocket_and_goes_on_after_a_restart_of_the_origin() {
    plays_through_a_restart("websocket", |edge| format!("ws://{}/{STREAM}.flv", edge.http));
}

#[track_caller]
fn plays_through_a_restart(name: &str, url: impl Fn(&Server) -> String) {
    let mut origin = Server::origin_on_fixed_ports("");
    let edge = Server::edge(&[origin.rtmp], "[play]\nplay_wait = \"1m\"\n");
    let publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    let browser = Browser::start();
    browser.play(&url(&edge));
    plays_on_from(&browser, 0.0);
    assert_eq!(browser.look().width, 320, "the publisher's pictures");

    origin.kill();
    drop(publisher);
    wait_until("the edge has lost the origin", || edge.metrics().sum("rillcast_upstream_reconnects_total") >= 1.0);
    origin.restart();
    let _publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    wait_until("the stream is live again", || {
        edge.stream(STREAM).is_some_and(|stream| stream["upstream"]["state"] == "live")
    });
    let at = browser.look().time;
    plays_on_from(&browser, at);
    browser.take_screenshot(&tools::results().join(format!("browser-{name}.png")));
    assert_eq!(browser.look().errors, Vec::<String>::new());
}

/// Plays three seconds more than `time`, with new pictures for as long.
#[track_caller]
fn plays_on_from(browser: &Browser, time: f64) {
    let pictures = browser.look().pictures;
    wait_at_most(2 * PATIENCE, &format!("pictures go on from {time} s"), || {
        let now = browser.look();
        assert_eq!(now.errors, Vec::<String>::new());
        now.time > time + 3.0 && now.pictures > pictures + 90
    });
}
