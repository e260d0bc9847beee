//! Who may publish and play: addresses, pages, signed URLs, JSON Web Tokens, and tokens in xiu's form.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rillcast::auth::Action;
use rillcast::auth::signed_url::{Permission, sign};
use rillcast::config::Secret;
use rillcast::media::stream_key::StreamKey;
use rml_rtmp::rml_amf0::Amf0Value;

use super::harness::client::{Client, Purpose};
use super::harness::ffmpeg::{self, Tracks};
use super::harness::http;
use super::harness::jwt;
use super::harness::player::{Ending, Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::{Content, Publisher};
use super::harness::rtmp::{Message, RtmpClient, RtmpSink, chunks};
use super::harness::server::Server;
use super::harness::{PATIENCE, wait_for, wait_until};

const STREAM: &str = "live/secret";
const PUBLISH_KEY: &str = "0123456789abcdef-publish";
const PLAY_KEY: &str = "0123456789abcdef-play";
const KEYS: &str = "[auth]\npublish_key = \"0123456789abcdef-publish\"\nplay_key = \"0123456789abcdef-play\"\n";
const EVERY_PROTOCOL: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];

/// The second that is so many seconds from now.
fn second_in(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

/// `stream` with the parameters that allow `action` for an hour.
fn signed(stream: &str, action: Action) -> String {
    signed_until(stream, action, second_in(3_600))
}

fn signed_until(stream: &str, action: Action, expires: u64) -> String {
    let key = if action == Action::Publish { PUBLISH_KEY } else { PLAY_KEY };
    let permission = Permission { action, key: &StreamKey::from_path(stream).unwrap(), expires, client: None };
    format!("{stream}?{}", sign(&Secret::new(key), &permission))
}

/// `stream` signed for playing from `client` only.
fn signed_for(stream: &str, client: &str) -> String {
    let client = Some(client.parse().unwrap());
    let key = &StreamKey::from_path(stream).unwrap();
    let permission = Permission { action: Action::Play, key, expires: second_in(3_600), client };
    format!("{stream}?{}", sign(&Secret::new(PLAY_KEY), &permission))
}

#[track_caller]
fn refusal(server: SocketAddr, stream: &str) -> String {
    let attempt = Publisher::attempt(server, stream, Content::default());
    attempt.err().unwrap_or_else(|| panic!("{stream} was accepted"))
}

/// How often somebody was refused for `reason`.
fn refusals(server: &Server, reason: &str) -> f64 {
    server.metrics().labelled("rillcast_auth_refusals_total", "reason", reason)
}

/// What a player is told that may not play, and why.
const fn forbidden(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Rtmp => "NetStream.Play.Failed",
        Protocol::HttpFlv | Protocol::WsFlv => "403",
    }
}

#[test]
fn a_publisher_needs_a_url_that_is_signed_for_it() {
    let origin = Server::origin(KEYS);
    for (stream, reason) in [
        (STREAM.to_owned(), "missing"),
        (signed(STREAM, Action::Play), "wrong"),
        (signed("live/other", Action::Publish).replace("live/other", STREAM), "wrong"),
        (signed_until(STREAM, Action::Publish, second_in(0)), "expired"),
        (signed(STREAM, Action::Publish).replace("expires=1", "expires=2"), "wrong"),
        (format!("{STREAM}?sign=abc&expires=1"), "malformed"),
    ] {
        assert_eq!(refusal(origin.rtmp, &stream), "NetStream.Publish.Denied", "{stream}");
        assert!(refusals(&origin, reason) >= 1.0, "{stream} is refused as {reason}");
    }
    let mut publisher = Publisher::start(&origin, &signed(STREAM, Action::Publish));
    publisher.push(5);
}

#[test]
fn a_player_needs_a_url_that_is_signed_for_it_over_every_protocol() {
    let origin = Server::origin(KEYS);
    let feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    for protocol in EVERY_PROTOCOL {
        for (stream, reason) in [
            (STREAM.to_owned(), "missing"),
            (signed(STREAM, Action::Publish), "wrong"),
            (signed("live/other", Action::Play).replace("live/other", STREAM), "wrong"),
            (signed_until(STREAM, Action::Play, second_in(0)), "expired"),
            (signed_for(STREAM, "192.0.2.1"), "other_address"),
        ] {
            let before = refusals(&origin, reason);
            let answer = Player::join(protocol, &origin, &stream).answer();
            let missing = reason == "missing" && protocol != Protocol::Rtmp;
            let expected = if missing { "401" } else { forbidden(protocol) };
            assert_eq!(answer, Err(expected.to_owned()), "{protocol:?} {reason}");
            assert_eq!(refusals(&origin, reason), before + 1.0, "{protocol:?} {reason}");
        }
        for stream in [signed(STREAM, Action::Play), signed_for(STREAM, "127.0.0.0/8")] {
            Player::join(protocol, &origin, &stream).wait_for_frame(feed.session, feed.last_number());
        }
    }
    assert!(origin.metrics().labelled("rillcast_disconnects_total", "reason", "access_denied") >= 15.0);
}

#[test]
fn an_edge_refuses_before_it_pulls_and_its_own_pull_needs_no_url() {
    const CLUSTER: &str = "[cluster]\nkey = \"a key of the whole cluster\"\n";
    let origin = Server::origin(&format!("{KEYS}{CLUSTER}"));
    let edge = Server::edge(&[origin.rtmp], &format!("{KEYS}{CLUSTER}[publish]\nenabled = true\n"));
    let feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    for protocol in EVERY_PROTOCOL {
        assert!(Player::join(protocol, &edge, STREAM).answer().is_err());
    }
    for file in ["secret.m3u", "secret.m3u8", "secret/1.ts", "secret/1.m4s"] {
        assert_eq!(http::get(edge.http, &format!("/live/{file}")).head.status, 401, "{file}");
    }
    assert_eq!(edge.metrics().sum("rillcast_hls_relayed_total"), 0.0);
    assert_eq!(refusal(edge.rtmp, "live/through"), "NetStream.Publish.Denied");
    assert_eq!(edge.metrics().sum("rillcast_upstream_connects_total"), 0.0);
    for protocol in EVERY_PROTOCOL {
        let player = Player::join(protocol, &edge, &signed(STREAM, Action::Play));
        player.wait_for_frame(feed.session, feed.last_number());
    }
    let through = Publisher::start(&edge, &signed("live/through", Action::Publish)).feed();
    let player = Player::join(Protocol::Rtmp, &origin, &signed("live/through", Action::Play));
    player.wait_for_frame(through.session, through.last_number());
}

#[test]
fn who_only_says_that_it_is_a_server_needs_a_url_like_anybody() {
    let origin = Server::origin(&format!("{KEYS}[cluster]\nkey = \"a key of the whole cluster\"\n"));
    let _feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    let refused = |purpose| Client::attempt(origin.rtmp, STREAM, purpose).err();
    assert_eq!(refused(Purpose::Pull).as_deref(), Some("NetStream.Play.Failed"));
    assert_eq!(refused(Purpose::PublishMarked).as_deref(), Some("NetStream.Publish.Denied"));
}

#[test]
fn a_session_ends_with_its_url_where_that_is_configured() {
    let origin = Server::origin(&format!("{KEYS}end_at_expiry = true\n"));
    let publisher = Publisher::start(&origin, &signed(STREAM, Action::Publish));
    let feed = publisher.feed();
    let expires = second_in(10);
    let players = EVERY_PROTOCOL.map(|protocol| {
        let player = Player::join(protocol, &origin, &signed_until(STREAM, Action::Play, expires));
        player.wait_for_frame(feed.session, feed.last_number());
        player
    });
    let short = Publisher::start(&origin, &signed_until("live/short", Action::Publish, second_in(8))).feed();
    for player in &players {
        assert_eq!(player.wait_for_end(), Ending::Proper);
    }
    assert!(SystemTime::now() >= UNIX_EPOCH + Duration::from_secs(expires));
    wait_until("the publisher is closed", || short.is_closed());
    wait_until("each of them is counted", || {
        origin.metrics().labelled("rillcast_disconnects_total", "reason", "access_expired") == 4.0
    });
    assert!(!feed.is_closed());
}

/// Sends the same until the server closes, or too long, with more in the socket than the server has read at any time.
fn send_without_end(sink: &RtmpSink, message: &[u8]) {
    let messages = message.repeat((1 << 20) / message.len());
    let start = Instant::now();
    while start.elapsed() < PATIENCE && sink.send_raw(&messages).is_ok() {}
}

#[test]
fn a_player_that_never_stops_talking_is_ended_by_its_url_s_expiry() {
    let origin = Server::origin(&format!("{KEYS}end_at_expiry = true\n"));
    let _feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    let (app, name) = signed_until(STREAM, Action::Play, second_in(3))
        .split_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.connect(&app, &[]).unwrap();
    client.play(&name).unwrap();
    let sink = client.sink.clone();
    let talking = thread::spawn(move || {
        // Nobody answers it.
        let chatter = Message::command(1, "bufferTime", 0.0, &[Amf0Value::Null, Amf0Value::Null]);
        send_without_end(&sink, &chunks(3, &chatter, 128).concat());
    });
    thread::spawn(move || while let Ok(Some(_)) = client.receive() {});
    wait_until("it is counted", || {
        origin.metrics().labelled("rillcast_disconnects_total", "reason", "access_expired") == 1.0
    });
    talking.join().unwrap();
}

#[test]
fn a_session_outlives_its_url_where_nothing_else_is_configured() {
    let origin = Server::origin(&format!("{KEYS}[hls]\nfragment = \"1s\"\n"));
    let feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    let stream = signed_until(STREAM, Action::Play, second_in(12));
    let players = EVERY_PROTOCOL.map(|protocol| Player::join(protocol, &origin, &stream));
    let playlist = format!("/{}", stream.replacen('?', ".m3u8?", 1));
    wait_until("the playlist is there", || http::get(origin.http, &playlist).head.status == 200);
    wait_until("the URL has expired", || {
        assert_eq!(http::get(origin.http, &playlist).head.status, 200, "who watches goes on");
        Player::join(Protocol::HttpFlv, &origin, &stream).answer().is_err()
    });
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number() + 5);
    }
    assert_eq!(http::get(origin.http, &playlist).head.status, 200);
    let another = format!("GET {playlist} HTTP/1.1\r\nHost: a\r\nUser-Agent: another\r\nConnection: close\r\n\r\n");
    assert_eq!(http::exchange(origin.http, another.as_bytes(), true).unwrap().head.status, 403);
}

#[test]
fn playlists_carry_the_url_s_signature_to_their_segments() {
    let origin = Server::origin(&format!("{KEYS}[hls]\nfragment = \"1s\"\n"));
    let _feed = Publisher::start(&origin, &signed(STREAM, Action::Publish)).feed();
    assert_eq!(origin.hls(STREAM).head.status, 401);
    let query = signed(STREAM, Action::Play).split_once('?').unwrap().1.to_owned();
    let playlist = wait_for("there are segments", || {
        let answer = http::get(origin.http, &format!("/{STREAM}.m3u8?{query}"));
        (answer.head.status == 200 && answer.text().contains(".ts")).then_some(answer)
    });
    assert!(playlist.head.header("cache-control").unwrap().starts_with("private"));
    let segment = playlist.text().lines().find(|line| line.contains(".ts")).unwrap().to_owned();
    assert!(segment.ends_with(&format!("?{query}")), "{segment}");
    let found = http::get(origin.http, &format!("/live/{segment}"));
    assert_eq!((found.head.status, found.head.header("cache-control").unwrap().starts_with("private")), (200, true));
    let unsigned = segment.split('?').next().unwrap();
    assert_eq!(http::get(origin.http, &format!("/live/{unsigned}")).head.status, 401);
    let master = http::get(origin.http, &format!("/{STREAM}.m3u?{query}")).text();
    assert!(master.lines().any(|line| line.ends_with(&format!(".m3u8?{query}"))), "{master}");
}

#[test]
fn ffmpeg_publishes_and_plays_with_urls_that_the_program_signed() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("auth.toml");
    std::fs::write(&config, KEYS).unwrap();
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, format!("{PLAY_KEY}\n")).unwrap();
    let origin = Server::origin(KEYS);
    let sign = |arguments: &[&str]| {
        let mut process = Process::rillcast(&[&["sign"], arguments].concat());
        assert_eq!(process.wait_for_exit(), Some(0), "{:?}", process.stderr.all());
        process.stdout.all().join("")
    };
    let publish = sign(&["--action", "publish", "-c", config.to_str().unwrap(), &origin.rtmp_url(STREAM)]);
    let _publisher = ffmpeg::publish(Tracks::Both, &publish);
    for url in [origin.rtmp_url(STREAM), origin.flv_url(STREAM), origin.flv_url(STREAM).replace(".flv", ".m3u8")] {
        let url = sign(&["--client", "127.0.0.1", "--key-file", key_file.to_str().unwrap(), &url]);
        wait_until("the stream is there", || {
            !url.contains(".m3u8")
                || http::get(origin.http, &format!("/{}", url.splitn(4, '/').last().unwrap())).head.status == 200
        });
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs(), "{url}");
    }
}

#[test]
fn nothing_that_clients_show_is_logged() {
    let origin = Server::origin(KEYS);
    let publish = signed(STREAM, Action::Publish);
    let query = publish.split_once('?').unwrap().1;
    let _publisher = Publisher::start(&origin, &publish).feed();
    // Encoders may put the parameters behind the app, too.
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.connect(&format!("live?{query}"), &[]).unwrap();
    client.publish("secret").unwrap();
    let status = wait_for("it is answered", || client.receive().unwrap().unwrap().status());
    assert_eq!(status, "NetStream.Publish.BadName");
    let play = signed(STREAM, Action::Play);
    for protocol in EVERY_PROTOCOL {
        Player::join(protocol, &origin, &play).expect_media();
        assert!(
            Player::join(protocol, &origin, &format!("{play}&sign=twice").replacen("sign=", "sign=0", 1))
                .answer()
                .is_err()
        );
    }
    let signatures = [query, play.split_once('?').unwrap().1].map(|query| query.split_once("sign=").unwrap().1);
    let log = origin.log();
    assert!(!log.is_empty());
    for line in log {
        let line = line.to_string();
        assert!(!signatures.iter().any(|signature| line.contains(&signature[..16])), "{line}");
    }
}

#[test]
fn signing_without_a_key_says_what_is_missing() {
    let mut process = Process::rillcast(&["sign", "rtmp://a/live/x"]);
    assert_eq!(process.wait_for_exit(), Some(1));
    assert!(process.stderr.all().join("").contains("auth.play_key is not set"), "{:?}", process.stderr.all());
}

#[test]
fn tokens_in_xiu_s_form_are_taken_from_who_comes_from_there() {
    let origin = Server::origin("[auth]\npublish_md5_key = \"key_of_xiu\"\nplay_md5_key = \"key_of_xiu\"\n");
    // printf key_of_xiutest | md5sum
    let stream = "live/test?token=458ecb8aff2682119bf6a01997cd95fc";
    assert_eq!(refusal(origin.rtmp, "live/other?token=458ecb8aff2682119bf6a01997cd95fc"), "NetStream.Publish.Denied");
    let _publisher = ffmpeg::publish(Tracks::Video, &origin.rtmp_url(stream));
    Player::join(Protocol::Rtmp, &origin, stream).expect_media();
    Player::join(Protocol::HttpFlv, &origin, stream).expect_media();
    assert_eq!(Player::join(Protocol::HttpFlv, &origin, "live/test").answer(), Err("401".to_owned()));
}

#[test]
fn json_web_tokens_stand_in_the_query_or_in_a_header() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (arguments, name) in [
        (["genrsa", "2048"].as_slice(), "rsa.pem"),
        (&["ecparam", "-name", "prime256v1", "-genkey", "-noout"], "ec.pem"),
    ] {
        std::fs::write(path(name), jwt::openssl(arguments, b"")).unwrap();
        let public = jwt::openssl(&["pkey", "-in", &path(name), "-pubout"], b"");
        std::fs::write(path(&format!("{name}.pub")), public).unwrap();
    }
    let origin = Server::origin(&format!(
        "[auth]\nplay_jwt_key = \"{PLAY_KEY}\"\nplay_jwt_public_keys = [{:?}, {:?}]\n",
        path("rsa.pem.pub"),
        path("ec.pem.pub")
    ));
    let feed = Publisher::start(&origin, STREAM).feed();
    let claims = format!(r#"{{"exp":{},"action":"play","stream":"live/*"}}"#, second_in(3_600));
    for token in
        [jwt::hs256(&claims, PLAY_KEY), jwt::rs256(&claims, &path("rsa.pem")), jwt::es256(&claims, &path("ec.pem"))]
    {
        for protocol in EVERY_PROTOCOL {
            let player = Player::join(protocol, &origin, &format!("{STREAM}?token={token}"));
            player.wait_for_frame(feed.session, feed.last_number());
            let other = Player::join(protocol, &origin, &format!("other/x?token={token}"));
            assert_eq!(other.answer(), Err(forbidden(protocol).to_owned()));
        }
        for scheme in ["Bearer", "bearer"] {
            let head = format!(
                "HEAD /{STREAM}.flv HTTP/1.1\r\nHost: a\r\nAuthorization: {scheme} {token}\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(http::exchange(origin.http, head.as_bytes(), false).unwrap().head.status, 200, "{scheme}");
        }
    }
    assert!(refusals(&origin, "other_stream") >= 9.0);
    let expired = format!(r#"{{"exp":{},"action":"play","stream":"live/*"}}"#, second_in(0));
    let player = Player::join(Protocol::Rtmp, &origin, &format!("{STREAM}?token={}", jwt::hs256(&expired, PLAY_KEY)));
    assert!(player.answer().is_err());
    assert_eq!(refusals(&origin, "expired"), 1.0);
}

#[test]
fn addresses_and_pages_may_be_kept_out_app_by_app() {
    let origin = Server::origin(
        "[auth]\nplay_deny = [\"127.0.0.0/8\"]\n\
         [[apps]]\nmatch = \"pages\"\nauth.play_deny = []\nauth.play_referers = [\"*.player.example\"]\n\
         [[apps]]\nmatch = \"locked\"\nauth.publish_allow = [\"192.0.2.0/24\"]\n\
         [[apps]]\nmatch = \"open\"\nauth.play = false\n",
    );
    assert_eq!(refusal(origin.rtmp, "locked/x"), "NetStream.Publish.Denied");
    let _feeds = ["live/x", "pages/x", "open/x"].map(|stream| Publisher::start(&origin, stream).feed());
    for protocol in EVERY_PROTOCOL {
        assert_eq!(Player::join(protocol, &origin, "live/x").answer(), Err(forbidden(protocol).to_owned()));
        assert_eq!(Player::join(protocol, &origin, "pages/x").answer(), Err(forbidden(protocol).to_owned()));
        Player::join(protocol, &origin, "open/x").expect_media();
    }
    let from = |field: &str| {
        let head = format!("HEAD /pages/x.flv HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n");
        http::exchange(origin.http, head.as_bytes(), false).unwrap().head.status
    };
    assert_eq!(from("Referer: https://www.player.example/watch"), 200);
    assert_eq!(from("Origin: https://www.player.example"), 200);
    assert_eq!(from("Referer: https://player.example.evil.example/"), 403);
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.connect("pages", &[("pageUrl", "https://www.player.example/watch")]).unwrap();
    client.play("x").unwrap();
    let status = wait_for("the play is answered", || {
        client.receive().unwrap().unwrap().status().filter(|status| status != "NetStream.Play.Reset")
    });
    assert_eq!(status, "NetStream.Play.Start");
}
