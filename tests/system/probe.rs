//! `rillcast probe`: whether media flows, with an exit code for scripts.

use super::harness::authority::Authority;
use super::harness::process::Process;
use super::harness::publisher::Publisher;
use super::harness::server::{Server, free_address};

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
    for url in ["https://edge/live/x.flv", "http://edge/live/x.m3u8", "rtmp://edge"] {
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
