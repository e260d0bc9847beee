//! Hooks: who is asked about clients, and told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::hook_server::{HookServer, Say, YES};
use super::harness::http;
use super::harness::jwt;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::{Server, free_address};
use super::harness::{let_pass, wait_until};

const STREAM: &str = "live/hooked";
const EVERY_PROTOCOL: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];
const NO: Say = Say::This(200, r#"{"code":1}"#);

fn text<'v>(event: &'v Value, field: &str) -> &'v str {
    event[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {event}"))
}

fn fields(event: &Value) -> Vec<&str> {
    event.as_object().unwrap().keys().map(String::as_str).collect()
}

/// How often each client began and ended something.
fn balance(hooks: &HookServer, begin: &str, end: &str) -> BTreeMap<String, (usize, usize)> {
    let mut balance: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for event in hooks.heard() {
        let entry = balance.entry(text(&event, "client_id").to_owned()).or_default();
        if event["action"] == begin {
            entry.0 += 1;
        } else if event["action"] == end {
            entry.1 += 1;
        }
    }
    balance.into_iter().filter(|(_, counts)| *counts != (0, 0)).collect()
}

#[track_caller]
fn wait_for_balance(hooks: &HookServer, begin: &str, end: &str, clients: usize) {
    wait_until(&format!("{clients} clients have begun ({begin}) and ended ({end})"), || {
        let balance = balance(hooks, begin, end);
        balance.len() == clients && balance.values().all(|(begun, ended)| begun == ended)
    });
}

#[track_caller]
fn refusal(server: &Server, stream: &str) -> String {
    let attempt = Publisher::attempt(server.rtmp, stream, Content::default());
    attempt.err().unwrap_or_else(|| panic!("{stream} was accepted"))
}

#[test]
fn events_have_the_fields_of_srs() {
    let hooks = HookServer::consenting();
    let origin = Server::origin(&hooks.config());
    let publisher = Publisher::start(&origin, &format!("{STREAM}?token=a&b=c"));
    let feed = publisher.feed();
    let player = Player::join(Protocol::Rtmp, &origin, &format!("{STREAM}?d=e"));
    player.wait_for_media();
    player.leave();
    let stopped = hooks.wait_for("on_stop", 1).remove(0);
    feed.stop().close();
    let unpublished = hooks.wait_for("on_unpublish", 1).remove(0);
    let closed = hooks.wait_for("on_close", 2);
    let published = hooks.heard_of("on_publish").remove(0);
    let played = hooks.heard_of("on_play").remove(0);
    let connected = hooks.heard_of("on_connect").remove(0);

    let common = ["server_id", "service_id", "action", "client_id", "ip", "vhost", "app", "tcUrl"];
    for event in hooks.heard() {
        assert!(common.iter().all(|field| event[field].is_string()), "{event}");
        assert_eq!(
            (text(&event, "ip"), text(&event, "vhost"), text(&event, "app")),
            ("127.0.0.1", "__defaultVhost__", "live")
        );
        assert!(text(&event, "tcUrl").starts_with("rtmp://"), "{event}");
    }
    for event in [&published, &unpublished, &played, &stopped] {
        assert_eq!((text(event, "stream"), text(event, "stream_url")), ("hooked", "/live/hooked"));
    }
    assert_eq!((text(&published, "param"), text(&unpublished, "param")), ("?token=a&b=c", "?token=a&b=c"));
    assert_eq!((text(&played, "param"), text(&stopped, "param")), ("?d=e", "?d=e"));
    assert_eq!(text(&played, "stream_id"), text(&stopped, "stream_id"));
    assert_eq!(text(&played, "stream_id"), text(&unpublished, "stream_id"), "it is known by then");
    assert!(fields(&played).contains(&"pageUrl") && fields(&connected).contains(&"pageUrl"));
    assert!(!fields(&connected).contains(&"stream"));
    assert_eq!(text(&published, "client_id"), text(&unpublished, "client_id"));
    assert_ne!(text(&published, "client_id"), text(&played, "client_id"));
    let of_publisher = closed.iter().find(|event| event["client_id"] == published["client_id"]).unwrap();
    assert!(of_publisher["recv_bytes"].as_u64() > Some(1_000) && of_publisher["send_bytes"].as_u64() > Some(3_000));
    let of_player = closed.iter().find(|event| event["client_id"] == played["client_id"]).unwrap();
    assert!(of_player["send_bytes"].as_u64() > Some(3_000));
    let processes: BTreeSet<String> = hooks.heard().iter().map(|event| text(event, "service_id").to_owned()).collect();
    assert_eq!(processes.len(), 1);
}

#[test]
fn the_end_of_a_client_comes_behind_what_it_did() {
    let hooks = HookServer::consenting();
    let origin = Server::origin(&hooks.config());
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    publisher.close();
    hooks.wait_for("on_close", 1);
    assert_eq!(hooks.actions(), ["on_connect", "on_publish", "on_unpublish", "on_close"]);
}

#[test]
fn a_client_that_a_hook_refuses_is_told_so_and_has_no_end() {
    let hooks = HookServer::start(|event| match event["stream"].as_str() {
        Some("bad") => NO,
        _ if event["app"] == "worse" => NO,
        _ => YES,
    });
    let origin = Server::origin(&format!("{}[play]\nplay_wait = \"100ms\"\n", hooks.config()));
    assert_eq!(refusal(&origin, "live/bad"), "NetStream.Publish.Denied");
    for (protocol, expected) in EVERY_PROTOCOL.into_iter().zip(["NetStream.Play.Failed", "403", "403"]) {
        assert_eq!(Player::join(protocol, &origin, "live/bad").answer(), Err(expected.to_owned()));
    }
    assert_eq!(http::get(origin.http, "/live/bad.m3u8").head.status, 403);
    // Refused at the connect already.
    assert!(Player::join(Protocol::Rtmp, &origin, "worse/x").answer().is_err());
    let refused = origin.metrics().labelled("rillcast_auth_refusals_total", "reason", "hook");
    assert_eq!(refused, 6.0);
    let feed = Publisher::start(&origin, STREAM).feed();
    Player::join(Protocol::Rtmp, &origin, STREAM).wait_for_frame(feed.session, feed.last_number());
    drop(feed);
    let unpublished = hooks.wait_for("on_unpublish", 1);
    assert_eq!((unpublished.len(), text(&unpublished[0], "stream")), (1, "hooked"));
    assert!(hooks.heard_of("on_stop").iter().all(|event| event["stream"] == "hooked"));
}

#[test]
fn a_publisher_that_the_name_is_refused_to_has_an_end_all_the_same() {
    let hooks = HookServer::consenting();
    let origin = Server::origin(&hooks.config());
    let feed = Publisher::start(&origin, STREAM).feed();
    assert_eq!(refusal(&origin, STREAM), "NetStream.Publish.BadName");
    wait_until("the second has ended", || {
        let counts: Vec<_> = balance(&hooks, "on_publish", "on_unpublish").into_values().collect();
        counts.len() == 2 && counts.contains(&(1, 1)) && counts.contains(&(1, 0))
    });
    assert!(!feed.is_closed());
}

#[test]
fn every_play_is_paired_with_its_end_over_every_protocol() {
    let hooks = HookServer::consenting();
    let config = format!("{}[hls]\nfragment = \"500ms\"\nwindow = \"2s\"\n", hooks.config());
    let origin = Server::origin(&config);
    let feed = Publisher::start(&origin, STREAM).feed();
    let players = EVERY_PROTOCOL.map(|protocol| {
        let player = Player::join(protocol, &origin, STREAM);
        player.wait_for_frame(feed.session, feed.last_number());
        player
    });
    wait_until("a viewer is there", || origin.hls(STREAM).head.status == 200);
    assert_eq!(origin.hls(STREAM).head.status, 200);
    hooks.wait_for("on_play", 4);
    drop(players);
    wait_for_balance(&hooks, "on_play", "on_stop", 4);
    assert_eq!(hooks.heard_of("on_play").len(), 4, "a viewer is asked about once");
}

#[test]
fn ends_are_told_when_the_process_stops_and_when_it_drains() {
    let hooks = HookServer::consenting();
    for signal in [Signal::INT, Signal::TERM] {
        let before = hooks.heard().len();
        let mut origin = Server::origin(&hooks.config());
        let feed = Publisher::start(&origin, STREAM).feed();
        let players = EVERY_PROTOCOL.map(|protocol| {
            let player = Player::join(protocol, &origin, STREAM);
            player.wait_for_frame(feed.session, feed.last_number());
            player
        });
        wait_until("a viewer is there", || origin.hls(STREAM).head.status == 200);
        origin.signal(signal);
        assert_eq!(origin.wait_for_exit(), Some(0));
        drop(players);
        let heard = hooks.heard().split_off(before);
        let count = |action: &str| heard.iter().filter(|event| event["action"] == action).count();
        assert_eq!((count("on_publish"), count("on_unpublish")), (1, 1), "{signal:?}");
        assert_eq!((count("on_play"), count("on_stop")), (4, 4), "{signal:?}");
        assert_eq!((count("on_connect"), count("on_close")), (2, 2), "{signal:?}");
    }
}

#[test]
fn a_silent_hook_does_not_keep_the_process_from_ending() {
    let hooks = HookServer::start(|event| if event["action"] == "on_unpublish" { Say::Nothing } else { YES });
    let mut origin = Server::origin(&format!("{}timeout = \"10m\"\n", hooks.config()));
    let feed = Publisher::start(&origin, STREAM).feed();
    // It is asked about a player, too, when the process is told to end.
    let waiting = Player::join(Protocol::Rtmp, &origin, STREAM);
    hooks.wait_for("on_play", 1);
    origin.signal(Signal::INT);
    assert_eq!(origin.wait_for_exit(), Some(0));
    drop((feed, waiting));
}

#[test]
fn who_cannot_be_asked_keeps_clients_out_or_does_not() {
    let nobody = free_address();
    let config = |fail: &str| {
        format!(
            "[hooks]\non_publish = \"http://{nobody}/\"\non_play = \"http://{nobody}/\"\nretries = 0\nfail = \"{fail}\"\n"
        )
    };
    let closed = Server::origin(&config("closed"));
    assert_eq!(refusal(&closed, STREAM), "NetStream.Publish.Denied");
    assert_eq!(Player::join(Protocol::HttpFlv, &closed, STREAM).answer(), Err("503".to_owned()));
    assert_eq!(closed.metrics().labelled("rillcast_auth_refusals_total", "reason", "hook_failed"), 2.0);
    assert_eq!(closed.metrics().labelled("rillcast_hooks_total", "result", "failed"), 2.0);
    let open = Server::origin(&config("open"));
    let feed = Publisher::start(&open, STREAM).feed();
    Player::join(Protocol::HttpFlv, &open, STREAM).wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn a_hook_that_fails_is_tried_again_and_one_that_is_silent_is_not_waited_for_longer_than_configured() {
    let tries = AtomicUsize::new(0);
    let hooks = HookServer::start(move |event| match event["action"].as_str() {
        Some("on_publish") if tries.fetch_add(1, Ordering::Relaxed) < 2 => Say::This(503, "later"),
        Some("on_play") => Say::Nothing,
        _ => YES,
    });
    let origin = Server::origin(&format!("{}timeout = \"300ms\"\n", hooks.config()));
    let feed = Publisher::start(&origin, STREAM).feed();
    assert_eq!(hooks.heard_of("on_publish").len(), 3);
    assert_eq!(Player::join(Protocol::Rtmp, &origin, STREAM).answer(), Err("NetStream.Play.Failed".to_owned()));
    assert!(!feed.is_closed());
    // It has heard of the play, though nobody heard its answer.
    wait_until("the end is told", || hooks.heard_of("on_stop").len() == 1);
}

#[test]
fn players_go_on_while_hooks_are_silent() {
    let hooks = HookServer::start(|event| if event["param"] == "?slow" { Say::Nothing } else { YES });
    let origin = Server::origin(&format!("{}timeout = \"10m\"\n", hooks.config()));
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_frame(feed.session, feed.last_number());
    let waiting: Vec<Player> =
        (0..20).map(|_| Player::join(Protocol::HttpFlv, &origin, &format!("{STREAM}?slow"))).collect();
    wait_until("they are asked about", || hooks.heard_of("on_play").len() >= 10);
    let next = Player::join(Protocol::WsFlv, &origin, STREAM);
    next.wait_for_frame(feed.session, feed.last_number());
    player.wait_for_frame(feed.session, feed.last_number() + 10);
    player.assert_no_frame_missing();
    drop(waiting);
}

#[test]
fn of_several_urls_each_is_asked_and_each_is_told() {
    let (first, second) =
        (HookServer::consenting(), HookServer::start(|event| if event["stream"] == "bad" { NO } else { YES }));
    let urls = format!("[{:?}, {:?}]", first.url(), second.url());
    let origin = Server::origin(&format!("[hooks]\non_publish = {urls}\non_unpublish = {urls}\n"));
    assert_eq!(refusal(&origin, "live/bad"), "NetStream.Publish.Denied");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(1);
    publisher.close();
    // The first has consented to what the second refused.
    for (hooks, ended) in [(&first, ["bad", "hooked"].as_slice()), (&second, &["hooked"])] {
        let heard = hooks.wait_for("on_unpublish", ended.len());
        assert_eq!(heard.iter().map(|event| text(event, "stream")).collect::<Vec<_>>(), ended);
        assert_eq!(hooks.heard_of("on_publish").len(), 2);
    }
}

#[test]
fn who_has_heard_of_a_beginning_hears_of_its_end_though_the_configuration_has_changed() {
    let (first, second) = (HookServer::consenting(), HookServer::consenting());
    let config =
        |end: &HookServer| format!("[hooks]\non_publish = {:?}\non_unpublish = {:?}\n", first.url(), end.url());
    let origin = Server::origin(&config(&first));
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(1);
    origin.write_config(&config(&second));
    origin.signal(Signal::HUP);
    wait_until("the configuration is in force", || {
        origin.setting("hooks.on_unpublish").to_string().contains(&second.url())
    });
    publisher.close();
    first.wait_for("on_unpublish", 1);
    assert!(second.heard().is_empty());
}

#[test]
fn hooks_over_tls_are_believed_if_an_authority_vouches_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=hooks \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let mut arguments: Vec<&str> = make.split_whitespace().collect();
    arguments.extend(["-out", certificate.to_str().unwrap(), "-keyout", key.to_str().unwrap()]);
    jwt::openssl(&arguments, b"");
    let hooks = HookServer::consenting_over_tls(&certificate, &key);
    let config = format!("[hooks]\non_publish = {:?}\nretries = 0\n", hooks.url());
    let trusting = Server::origin(&format!("{config}ca_file = {certificate:?}\n"));
    let _publisher = Publisher::start(&trusting, STREAM);
    assert_eq!(hooks.heard_of("on_publish").len(), 1);
    let doubting = Server::origin(&config);
    assert_eq!(refusal(&doubting, STREAM), "NetStream.Publish.Denied");
    assert_eq!(hooks.heard_of("on_publish").len(), 1);
}

#[test]
fn hooks_may_differ_from_app_to_app() {
    let hooks = HookServer::start(|_| NO);
    let config = format!("[[apps]]\nmatch = \"asked\"\nhooks.on_publish = {:?}\n", hooks.url());
    let origin = Server::origin(&config);
    assert_eq!(refusal(&origin, "asked/x"), "NetStream.Publish.Denied");
    let _publisher = Publisher::start(&origin, "free/x");
    assert_eq!(hooks.heard().len(), 1);
}

#[test]
fn a_callback_decides_by_itself_and_is_told_of_no_end() {
    let callback = HookServer::start(|event| if event["param"] == "?token=good" { YES } else { NO });
    let origin = Server::origin(&format!("[auth]\npublish_callback = {0:?}\nplay_callback = {0:?}\n", callback.url()));
    assert_eq!(refusal(&origin, STREAM), "NetStream.Publish.Denied");
    let feed = Publisher::start(&origin, &format!("{STREAM}?token=good")).feed();
    for protocol in EVERY_PROTOCOL {
        assert!(Player::join(protocol, &origin, STREAM).answer().is_err());
        Player::join(protocol, &origin, &format!("{STREAM}?token=good"))
            .wait_for_frame(feed.session, feed.last_number());
    }
    assert!(callback.actions().iter().all(|action| action == "on_publish" || action == "on_play"));
}

#[test]
fn a_known_answer_is_not_waited_for_and_is_told_all_the_same() {
    let allowed = Arc::new(AtomicBool::new(true));
    let deciding = allowed.clone();
    let hooks = HookServer::start(move |event| {
        let says_yes = event["action"] != "on_play" || deciding.load(Ordering::Relaxed);
        if says_yes { YES } else { NO }
    });
    let origin = Server::origin(&format!("{}cache = \"10m\"\n", hooks.config()));
    let feed = Publisher::start(&origin, STREAM).feed();
    let join = || Player::join(Protocol::HttpFlv, &origin, STREAM);
    join().wait_for_frame(feed.session, feed.last_number());
    allowed.store(false, Ordering::Relaxed);
    join().wait_for_frame(feed.session, feed.last_number());
    hooks.wait_for("on_play", 2);
    // What it said when it was told counts now.
    wait_until("the hook has changed its mind", || join().answer() == Err("403".to_owned()));
    wait_for_balance(&hooks, "on_play", "on_stop", hooks.heard_of("on_play").len());
}

#[test]
fn clients_of_an_edge_are_asked_about_at_the_edge_and_nowhere_else() {
    const CLUSTER: &str = "[cluster]\nkey = \"a key of the whole cluster\"\n";
    let (at_origin, at_edge) = (HookServer::consenting(), HookServer::consenting());
    let origin = Server::origin(&format!("{CLUSTER}{}", at_origin.config()));
    let edge = Server::edge(
        &[origin.rtmp],
        &format!("{CLUSTER}[publish]\nenabled = true\n{}[upstream]\nlinger = 0\n", at_edge.config()),
    );
    let through = Publisher::start(&edge, "live/forwarded?token=a").feed();
    let forwarded = at_edge.wait_for("on_forward", 1).remove(0);
    assert_eq!(
        (text(&forwarded, "upstream"), text(&forwarded, "stream")),
        (origin.rtmp.to_string().as_str(), "forwarded")
    );
    assert_eq!(forwarded["client_id"], at_edge.heard_of("on_publish")[0]["client_id"]);
    assert_eq!(text(&forwarded, "param"), "?token=a");

    let feed = Publisher::start(&origin, STREAM).feed();
    let players = EVERY_PROTOCOL.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(|player| player.wait_for_frame(feed.session, feed.last_number()));
    let pulled = at_edge.wait_for("on_pull", 1).remove(0);
    assert_eq!((text(&pulled, "upstream"), text(&pulled, "stream")), (origin.rtmp.to_string().as_str(), "hooked"));
    drop(players);
    let ended = at_edge.wait_for("on_pull_end", 1).remove(0);
    assert_eq!(ended["client_id"], pulled["client_id"]);
    wait_for_balance(&at_edge, "on_play", "on_stop", 3);
    assert!(at_origin.heard_of("on_play").is_empty());
    assert_eq!(at_origin.heard_of("on_publish").len(), 1, "only its own publisher");
    assert_eq!(at_edge.heard_of("on_pull").len(), 1);
    drop(through);
}

#[test]
fn segments_and_recordings_are_told_of_with_their_files_and_their_publisher() {
    let hooks = HookServer::consenting();
    let directory = tempfile::tempdir().unwrap();
    let (hls, dvr) = (directory.path().join("hls"), directory.path().join("dvr/[app]/[stream]"));
    let origin = Server::origin(&format!(
        "{}[hls]\nfragment = \"1s\"\nwindow = \"3s\"\npath = {hls:?}\n[dvr]\nenabled = true\npath = {dvr:?}\n",
        hooks.config()
    ));
    let publisher = ffmpeg::publish(Tracks::Both, &format!("{}?token=a", origin.rtmp_url(STREAM)));
    let segment = hooks.wait_for("on_hls", 2).remove(1);
    let published = hooks.heard_of("on_publish").remove(0);
    assert_eq!((&segment["client_id"], &segment["param"]), (&published["client_id"], &published["param"]));
    let file = text(&segment, "file");
    assert!(file.starts_with(hls.to_str().unwrap()) && Path::new(file).is_file(), "{segment}");
    assert!(Path::new(text(&segment, "m3u8")).is_file(), "{segment}");
    assert_eq!(http::get(origin.http, &format!("/{}", text(&segment, "url"))).head.status, 200);
    assert_eq!(text(&segment, "m3u8_url"), "live/hooked.m3u8");
    assert!(segment["duration"].as_f64().unwrap() > 0.5 && segment["seq_no"].is_u64() && segment["cwd"].is_string());
    drop(publisher);
    let recording = hooks.wait_for("on_dvr", 1).remove(0);
    assert!(Path::new(text(&recording, "file")).is_file(), "{recording}");
    assert_eq!(recording["client_id"], published["client_id"]);
}

#[test]
fn segments_in_memory_are_told_of_without_files() {
    let hooks = HookServer::consenting();
    let origin =
        Server::origin(&format!("[hooks]\non_hls = {:?}\n[hls]\nfragment = \"1s\"\non_demand = false\n", hooks.url()));
    let _feed = Publisher::start(&origin, STREAM).feed();
    let segment = hooks.wait_for("on_hls", 1).remove(0);
    assert_eq!((text(&segment, "file"), text(&segment, "m3u8")), ("", ""));
    assert_eq!(http::get(origin.http, &format!("/{}", text(&segment, "url"))).head.status, 200);
}

#[test]
fn a_client_that_leaves_while_it_is_asked_about_has_an_end_behind_its_beginning() {
    let hooks = HookServer::start(|event| {
        if event["action"] == "on_play" {
            let_pass(Duration::from_millis(500));
        }
        YES
    });
    let origin = Server::origin(&hooks.config());
    for protocol in EVERY_PROTOCOL {
        let player = Player::join(protocol, &origin, STREAM);
        let_pass(Duration::from_millis(100));
        player.leave();
    }
    hooks.wait_for("on_stop", 3);
    for (client, counts) in balance(&hooks, "on_play", "on_stop") {
        assert_eq!(counts, (1, 1), "{client}");
    }
    let actions = hooks.actions();
    let first_stop = actions.iter().position(|action| action == "on_stop").unwrap();
    assert!(actions.iter().position(|action| action == "on_play").unwrap() < first_stop);
}
