//! What hooks may cost: memory while somebody is asked, places that silence takes, and the time that ends are told in.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use rml_rtmp::rml_amf0::Amf0Value;
use rustix::process::Signal;

use super::harness::hook_server::{HookServer, Say, YES};
use super::harness::http;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::rtmp::{Message, RtmpClient, message_type, text};
use super::harness::server::Server;
use super::harness::{let_pass, wait_until};

/// What a client may send too early, and a few reads beyond that.
const MEMORY_BOUND: u64 = 64 << 20;

/// Sends media without end as `app/x`, before anything is answered, until the server closes.
fn flood(origin: &Server, app: &str) {
    let client = RtmpClient::open(origin.rtmp).unwrap();
    client.sink.set_chunk_size(60_000).unwrap();
    let properties = [("app".to_owned(), text(app))].into();
    let (null, object) = (Amf0Value::Null, Amf0Value::Object(properties));
    client.sink.send(&Message::command(0, "connect", 1.0, &[object])).unwrap();
    client.sink.send(&Message::command(0, "createStream", 2.0, std::slice::from_ref(&null))).unwrap();
    client.sink.send(&Message::command(1, "publish", 0.0, &[null, text("x"), text("live")])).unwrap();
    let payload = Bytes::from(vec![0x27; 50_000]);
    let media = Message { type_id: message_type::VIDEO, stream_id: 1, timestamp: 0, payload };
    let before = origin.resident_memory();
    let mut sent = 0_u64;
    while sent < 4 * MEMORY_BOUND && client.sink.send(&media).is_ok() {
        sent += 50_000;
    }
    let grown = origin.resident_memory().saturating_sub(before);
    assert!(grown < MEMORY_BOUND, "{app}: {grown} bytes more after {sent} bytes");
}

#[test]
fn media_that_comes_before_an_answer_fills_no_memory() {
    let hooks = HookServer::start(|event| match event["action"].as_str() {
        Some("on_connect") if event["app"] == "connects" => Say::Nothing,
        Some("on_publish") => Say::Nothing,
        _ => YES,
    });
    let origin = Server::origin(&format!("{}timeout = \"10m\"\n", hooks.config()));
    flood(&origin, "connects");
    wait_until("who floods is closed upon", || {
        origin.metrics().labelled("rillcast_disconnects_total", "reason", "protocol_violation") == 1.0
    });
    flood(&origin, "publishes");
}

/// How many questions to one server are under way at a time.
const PLACES: usize = 96;

/// A hook server that says nothing about players with the parameter `slow`, and tells what it hears.
fn slow_about_players() -> HookServer {
    HookServer::start(|event| match event["action"].as_str() {
        Some("on_play") if event["param"] == "?slow" => Say::Nothing,
        _ => YES,
    })
}

fn crowd(server: &Server, stream: &str, count: usize) -> Vec<Player> {
    (0..count).map(|_| Player::join(Protocol::HttpFlv, server, stream)).collect()
}

#[test]
fn a_silent_hook_of_one_app_keeps_neither_another_app_nor_a_publisher_waiting() {
    let (slow, other) = (slow_about_players(), HookServer::consenting());
    let origin = Server::origin(&format!(
        "[hooks]\ntimeout = \"10m\"\non_publish = {0:?}\non_play = {0:?}\n\
         [[apps]]\nmatch = \"slow\"\nhooks.on_publish = {1:?}\nhooks.on_play = {1:?}\n",
        other.url(),
        slow.url()
    ));
    let waiting = crowd(&origin, "slow/x?slow", PLACES + 40);
    wait_until("every place is taken", || slow.heard_of("on_play").len() == PLACES);
    let feed = Publisher::start(&origin, "live/x").feed();
    Player::join(Protocol::HttpFlv, &origin, "live/x").wait_for_frame(feed.session, feed.last_number());
    let _publisher = Publisher::start(&origin, "slow/y");
    assert_eq!(slow.heard_of("on_publish").len(), 1);
    drop(waiting);
}

#[test]
fn who_leaves_while_it_is_asked_about_gives_its_place_back() {
    let hooks = slow_about_players();
    let origin = Server::origin(&format!("[hooks]\ntimeout = \"10m\"\non_play = {:?}\n", hooks.url()));
    let feed = Publisher::start(&origin, "live/x").feed();
    for round in 1..=2 {
        let waiting = crowd(&origin, "live/x?slow", PLACES);
        wait_until("every place is taken", || hooks.heard_of("on_play").len() >= round * PLACES);
        waiting.iter().for_each(Player::leave);
        Player::join(Protocol::HttpFlv, &origin, "live/x").wait_for_frame(feed.session, feed.last_number());
    }
}

#[test]
fn events_that_one_server_does_not_take_hold_up_no_other_s() {
    let silent = HookServer::start(|_| Say::Nothing);
    let other = HookServer::consenting();
    let origin = Server::origin(&format!(
        "[hooks]\ntimeout = \"10m\"\non_play = {0:?}\non_stop = {0:?}\n\
         [[apps]]\nmatch = \"silent\"\nhooks.on_stop = {1:?}\n",
        other.url(),
        silent.url()
    ));
    let of_silent = crowd(&origin, "silent/x", 100);
    other.wait_for("on_play", 100);
    of_silent.iter().for_each(Player::leave);
    wait_until("as many are being told as may be", || silent.heard_of("on_stop").len() == 32);
    let of_other = crowd(&origin, "live/x", 3);
    other.wait_for("on_play", 103);
    of_other.iter().for_each(Player::leave);
    other.wait_for("on_stop", 3);
    let waiting = || origin.metrics().sum("rillcast_hooks_waiting");
    wait_until("the others wait", || waiting() == 68.0);
}

#[test]
fn of_who_could_not_be_asked_about_no_end_is_told() {
    let hooks = slow_about_players();
    let urls = format!("on_play = {0:?}\non_stop = {0:?}\n", hooks.url());
    let origin = Server::origin(&format!("[hooks]\ntimeout = \"1s\"\nretries = 0\n{urls}"));
    let players = crowd(&origin, "live/x?slow", PLACES + 60);
    for player in &players {
        assert_eq!(player.answer(), Err("503".to_owned()));
    }
    let clients = |action: &str| -> BTreeSet<String> {
        hooks.heard_of(action).iter().map(|event| event["client_id"].to_string()).collect()
    };
    wait_until("each that was asked about has an end", || clients("on_stop").is_superset(&clients("on_play")));
    assert_eq!(clients("on_stop"), clients("on_play"));
    assert!(clients("on_play").len() >= PLACES);
}

#[test]
fn the_ends_of_many_viewers_are_told_in_what_is_left_of_the_drain() {
    const VIEWERS: usize = 1_600;
    let hooks = HookServer::start(|_| {
        let_pass(Duration::from_millis(100));
        YES
    });
    let mut origin = Server::origin(&format!(
        "[hls]\nfragment = \"4s\"\n[hooks]\non_stop = {:?}\n\
         [drain]\npropagation_delay = 0\nsoft_timeout = 0\nwindow = 0\nhard_timeout = \"60s\"\n",
        hooks.url()
    ));
    let feed = Publisher::start(&origin, "live/x").feed();
    wait_until("there is a playlist", || origin.hls("live/x").head.status == 200);
    for number in 0..VIEWERS {
        let agent = format!("viewer {number}");
        let answer = http::send(origin.http, "GET", "/live/x.m3u8", &[("User-Agent", &agent)], "");
        assert_eq!(answer.head.status, 200);
    }
    feed.stop().close();
    origin.signal(Signal::TERM);
    assert_eq!(origin.wait_for_exit(), Some(0));
    assert!(hooks.heard_of("on_stop").len() >= VIEWERS, "{} were told of", hooks.heard_of("on_stop").len());
}
