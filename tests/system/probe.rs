//! `rillcast probe`: whether media flows, with an exit code for scripts.

use rustix::process::Signal;

use super::harness::authority::Authority;
use super::harness::http;
use super::harness::process::Process;
use super::harness::proxy::Proxy;
use super::harness::publisher::Publisher;
use super::harness::server::{Server, free_address};
use super::harness::wait_until;

struct Probed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[track_caller]
fn probe(arguments: &[&str]) -> Probed {
    let mut process = Process::rillcast(&[&["probe"], arguments].concat());
    let code = process.wait_for_exit();
    Probed { code, stdout: process.stdout.all().join("\n"), stderr: process.stderr.all().join("\n") }
}

#[test]
fn a_stream_that_flows_through_an_edge_is_exit_code_0_over_both_protocols() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _publisher = Process::rillcast(&["publish", "--demo", &origin.rtmp_url("live/probed")]);
    for url in [edge.rtmp_url("live/probed"), edge.flv_url("live/probed")] {
        let probed = probe(&["--seconds", "2", "--wait", "20", &url]);
        assert_eq!(probed.code, Some(0), "{url}: {}", probed.stderr);
        assert!(probed.stdout.contains("video packets"), "{url}: {}", probed.stdout);
    }
}

#[test]
fn an_absent_stream_is_exit_code_1_with_the_server_s_reason() {
    let origin = Server::origin("[play]\nplay_wait = \"100ms\"\n");
    for (url, reason) in
        [(origin.rtmp_url("live/none"), "NetStream.Play.StreamNotFound"), (origin.flv_url("live/none"), "404")]
    {
        let probed = probe(&[&url]);
        assert_eq!(probed.code, Some(1), "{url}: {}", probed.stdout);
        assert!(probed.stderr.contains(reason) && probed.stderr.contains(&url), "{}", probed.stderr);
    }
}

#[test]
fn a_server_that_is_not_there_is_exit_code_1_with_its_address() {
    let address = free_address();
    for url in [format!("rtmp://{address}/live/x"), format!("http://{address}/live/x.flv")] {
        let probed = probe(&[&url]);
        assert_eq!(probed.code, Some(1), "{url}");
        assert!(probed.stderr.contains("cannot connect to"), "{}", probed.stderr);
    }
}

#[test]
fn a_publisher_that_stops_sending_is_told_from_one_that_flows() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"1m\"\nfirstpkt_timeout = \"1m\"\n");
    let mut publisher = Publisher::start(&origin, "live/frozen");
    publisher.push(200);
    let probed = probe(&["--seconds", "30", &origin.rtmp_url("live/frozen")]);
    assert_eq!(probed.code, Some(1), "{}", probed.stdout);
    assert!(probed.stderr.contains("media stopped"), "{}", probed.stderr);
}

#[test]
fn what_cannot_be_probed_is_wrong_usage() {
    for url in ["ws://edge/live/x.flv", "http://edge/live/x.m3u8", "rtmp://edge"] {
        assert_eq!(probe(&[url]).code, Some(2), "{url}");
    }
}

#[test]
fn over_tls_a_stream_is_published_and_probed_by_who_knows_the_authority() {
    let authority = Authority::new();
    let directory = authority.certificate(&["localhost"]);
    let listen = "tls_listen = \"127.0.0.1:0\"\n";
    let origin =
        Server::origin(&format!("[rtmp]\n{listen}[http]\n{listen}[tls]\ncertificates = [{:?}]\n", directory.display()));
    let port = |protocol: &str| origin.listens_for(protocol).port();
    let ca_file = authority.file().display().to_string();
    let rtmps = format!("rtmps://localhost:{}/live/probed", port("rtmps"));
    let https = format!("https://localhost:{}/live/probed.flv", port("https"));
    let _publisher = Process::rillcast(&["publish", "--demo", "--ca-file", &ca_file, &rtmps]);
    for url in [&rtmps, &https] {
        let probed = probe(&["--seconds", "1", "--wait", "20", "--ca-file", &ca_file, url]);
        assert_eq!(probed.code, Some(0), "{url}: {}", probed.stderr);
    }
    let another = Authority::new().file().display().to_string();
    for url in [rtmps.replace("localhost", "127.0.0.1"), https.replace("localhost", "127.0.0.1")] {
        let probed = probe(&["--ca-file", &ca_file, &url]);
        assert_eq!(probed.code, Some(1), "{url} is another name than the certificate's");
        assert!(probed.stderr.contains("certificate"), "{}", probed.stderr);
    }
    assert!(probe(&["--ca-file", &another, &rtmps]).stderr.contains("cannot be read"), "its directory has gone");
}

/// Waits until a process has written so many lines that begin with a text.
#[track_caller]
fn wait_for_lines(process: &Process, start: &str, count: usize) {
    wait_until(&format!("{count} lines begin with {start:?}"), || {
        process.stdout.all().iter().filter(|line| line.starts_with(start)).count() >= count
    });
}

/// Disconnects all clients of a kind, such as `rtmp-play`.
#[track_caller]
fn kick(server: &Server, kind: &str) {
    let clients = server.admin("/api/v1/clients/").json();
    for client in clients["clients"].as_array().unwrap().iter().filter(|client| client["type"] == kind) {
        let path = format!("/api/v1/clients/{}", client["id"].as_str().unwrap());
        assert_eq!(http::request(server.admin, "DELETE", &path).head.status, 200);
    }
}

#[test]
fn a_player_that_reconnects_plays_again_and_counts_how_often_it_was_sent_away() {
    let origin = Server::origin("");
    let _publisher = Process::rillcast(&["publish", "--demo", &origin.rtmp_url("live/left")]);
    for (url, kind) in [(origin.rtmp_url("live/left"), "rtmp-play"), (origin.flv_url("live/left"), "flv-play")] {
        let arguments = ["probe", "--reconnect", "60", "--wait", "60", "--seconds", "3600", &url];
        let mut player = Process::rillcast(&arguments);
        wait_for_lines(&player, "playing after", 1);
        for count in 1..=2 {
            kick(&origin, kind);
            wait_for_lines(&player, "lost: the server ended the stream, after", count);
            wait_for_lines(&player, "playing again after", count);
        }
        player.signal(Signal::TERM);
        assert_eq!(player.wait_for_exit(), Some(0), "{:?}", player.stderr.all());
        let said = player.stdout.all().pop().unwrap();
        assert!(said.contains("s of media, lost 2 times, at most"), "{said}");
    }
}

#[test]
fn a_player_that_reconnects_ends_when_its_time_is_up() {
    let origin = Server::origin("");
    let _publisher = Process::rillcast(&["publish", "--demo", &origin.rtmp_url("live/left")]);
    let probed = probe(&["--reconnect", "60", "--wait", "60", "--seconds", "1", &origin.flv_url("live/left")]);
    assert_eq!(probed.code, Some(0), "{}", probed.stderr);
    assert!(probed.stdout.contains("lost 0 times, at most 0 ms without media"), "{}", probed.stdout);
}

#[test]
fn a_player_without_media_for_too_long_is_exit_code_1_with_the_last_reason() {
    let mut origin = Server::origin("[play]\nplay_wait = \"100ms\"\n");
    let mut publisher = Process::rillcast(&["publish", "--demo", &origin.rtmp_url("live/over")]);
    let mut player = Process::rillcast(&["probe", "--reconnect", "2", "--wait", "60", &origin.flv_url("live/over")]);
    wait_for_lines(&player, "playing after", 1);
    origin.kill();
    assert_eq!(player.wait_for_exit(), Some(1));
    wait_for_lines(&player, "lost: ", 1);
    let said = player.stderr.all().join("\n");
    assert!(said.contains("not playing again within 2 s: cannot connect to"), "{said}");
    assert_eq!(publisher.wait_for_exit(), Some(1), "one that does not reconnect");
}

#[test]
fn a_player_that_hears_nothing_more_plays_again_over_another_connection() {
    let origin = Server::origin("");
    let _publisher = Process::rillcast(&["publish", "--demo", &origin.rtmp_url("live/mute")]);
    let proxy = Proxy::to(origin.http);
    let url = format!("http://{}/live/mute.flv", proxy.address);
    let player = Process::rillcast(&["probe", "--reconnect", "60", "--wait", "60", "--seconds", "3600", &url]);
    wait_for_lines(&player, "playing after", 1);
    proxy.swallow();
    wait_for_lines(&player, "lost: media stopped: nothing came for 5 s", 1);
    proxy.heal();
    wait_for_lines(&player, "playing again after", 1);
}
