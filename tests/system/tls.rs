//! TLS at the listeners, seen by real clients: openssl, curl, ffmpeg, HAProxy.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::harness::authority::Authority;
use super::harness::ffmpeg::{self, Tracks};
use super::harness::haproxy::{HaProxy, Way};
use super::harness::hook_server::HookServer;
use super::harness::metrics::new_disconnects;
use super::harness::openssl;
use super::harness::paced::Pace;
use super::harness::player::{Player, Protocol};
use super::harness::process::Process;
use super::harness::publisher::{Content, Publisher};
use super::harness::rtmp::RtmpClient;
use super::harness::server::Server;
use super::harness::{http, wait_at_most, wait_until};

const STREAM: &str = "live/secret";
/// More than a busy machine takes between two pictures, and less than who waits for a server that does something else.
const STARVED: Duration = Duration::from_secs(2);
const EVERY_PROTOCOL: [Protocol; 3] = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv];

/// Listeners of TLS on every port, and these certificates. It names the tables of three sections, so it comes first.
fn config(certificates: &[&Path]) -> String {
    let certificates: Vec<String> = certificates.iter().map(|path| format!("\"{}\"", path.display())).collect();
    let listen = "tls_listen = \"127.0.0.1:0\"";
    format!(
        "[rtmp]\n{listen}\n[http]\n{listen}\n[admin]\n{listen}\n[tls]\ncertificates = [{}]\n",
        certificates.join(", ")
    )
}

/// An origin for localhost, and who has signed for it.
struct Secure {
    origin: Server,
    authority: Authority,
    directory: std::path::PathBuf,
}

impl Secure {
    #[track_caller]
    fn start() -> Self {
        Self::start_with("")
    }

    #[track_caller]
    fn start_with(more: &str) -> Self {
        let authority = Authority::new();
        let directory = authority.certificate(&["localhost"]);
        let origin = Server::origin(&format!("{}{more}", config(&[&directory])));
        Self { origin, authority, directory }
    }

    /// HAProxy as the TLS of clients that have none: where it takes RTMP, and where HTTP.
    #[track_caller]
    fn tunnel(&self) -> (HaProxy, impl Fn(Protocol) -> SocketAddr + use<>) {
        let servers = [self.origin.listens_for("rtmps"), self.origin.listens_for("https")];
        let ca_file = self.authority.file();
        let tunnel = HaProxy::before(&servers, Way::Tls { ca_file: &ca_file, name: "localhost" });
        let addresses = tunnel.addresses.clone();
        (tunnel, move |protocol| addresses[usize::from(protocol != Protocol::Rtmp)])
    }

    /// The certificate that a client gets, in PEM.
    fn presented(&self) -> Option<String> {
        let server = self.origin.listens_for("https");
        let presented = openssl::connect(server, Some("localhost"), &self.authority.file(), &[]);
        presented.certificate().filter(|_| presented.is_verified()).map(str::to_owned)
    }
}

#[test]
fn ffmpeg_publishes_and_plays_over_tls() {
    let Secure { origin, authority, .. } = Secure::start();
    let rtmps = format!("rtmps://localhost:{}/{STREAM}", origin.listens_for("rtmps").port());
    let _publisher = ffmpeg::publish(Tracks::Both, &rtmps);
    wait_until("the stream is live", || {
        origin.stream(STREAM).is_some_and(|stream| stream["publish"]["active"] == true)
    });
    assert_eq!(ffmpeg::probe_codecs(&rtmps), Tracks::Both.codecs());
    let flv = format!("https://localhost:{}/{STREAM}.flv", origin.listens_for("https").port());
    assert_eq!(ffmpeg::probe_codecs(&flv), Tracks::Both.codecs());
    drop(authority);
}

#[test]
fn every_protocol_is_carried_over_tls_byte_for_byte() {
    let secure = Secure::start();
    let (_tunnel, address) = secure.tunnel();
    let feed = Publisher::start_at(address(Protocol::Rtmp), STREAM).feed();
    let players = EVERY_PROTOCOL.map(|protocol| Player::join_at(protocol, address(protocol), STREAM));
    for player in &players {
        player.wait_for_frame(feed.session, 100);
        player.assert_no_frame_missing();
    }
}

#[test]
fn the_certificate_is_chosen_by_name_and_is_the_first_for_who_names_none() {
    let authority = Authority::new();
    let [first, second] = [["a.example"], ["*.b.example"]].map(|names| authority.certificate(&names));
    let origin = Server::origin(&config(&[&first, &second]));
    let server = origin.listens_for("rtmps");
    let presented = |name| openssl::connect(server, name, &authority.file(), &[]);
    for name in ["a.example", "live.b.example", "LIVE.B.EXAMPLE"] {
        assert!(presented(Some(name)).is_verified(), "{name}");
    }
    let [default, unknown, named] = [None, Some("c.example"), Some("a.example")].map(presented);
    assert!(!unknown.is_verified());
    assert!(named.certificate().is_some());
    assert_eq!(default.certificate(), named.certificate());
    assert_eq!(unknown.certificate(), named.certificate());
}

#[test]
fn clients_of_tls_1_2_and_1_3_are_served_and_older_ones_are_not() {
    let Secure { origin, authority, .. } = Secure::start();
    let verified = |option| {
        let server = origin.listens_for("rtmps");
        openssl::connect(server, Some("localhost"), &authority.file(), &[option]).is_verified()
    };
    assert!(verified("-tls1_2") && verified("-tls1_3"));
    let old = openssl::connect(
        origin.listens_for("rtmps"),
        None,
        &authority.file(),
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    );
    assert_eq!(old.certificate(), None);
}

#[test]
fn http_1_and_2_are_agreed_upon_and_curl_finds_flv_and_playlists() {
    let secure = Secure::start();
    let server = secure.origin.listens_for("https");
    let alpn = |offered: &str| {
        let presented = openssl::connect(server, Some("localhost"), &secure.authority.file(), &["-alpn", offered]);
        presented.alpn().map(str::to_owned)
    };
    assert_eq!(alpn("h2,http/1.1").as_deref(), Some("h2"));
    assert_eq!(alpn("http/1.1").as_deref(), Some("http/1.1"));

    let _feed = Publisher::start(&secure.origin, STREAM).feed();
    let playlist = curl(&secure, &format!("/{STREAM}.m3u8"), &[]);
    assert_eq!(playlist, "200 2");
    // A stream without end is for HTTP/1.1: curl is told so, and comes again.
    let flv = curl(&secure, &format!("/{STREAM}.flv"), &["--max-time", "3"]);
    assert_eq!(flv, "200 1.1");
    assert_eq!(curl(&secure, &format!("/{STREAM}.m3u8"), &["--http1.1"]), "200 1.1");
}

/// What curl is answered: the status, and the version of HTTP. It believes the authority, and checks the name.
#[track_caller]
fn curl(secure: &Secure, path: &str, options: &[&str]) -> String {
    curl_at(secure.origin.listens_for("https"), &secure.authority.file(), path, options)
}

/// The same of whoever is at an address.
#[track_caller]
fn curl_at(server: SocketAddr, ca_file: &Path, path: &str, options: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code} %{http_version}\n", "--cacert"]).arg(ca_file);
    command.args(["--resolve", &format!("localhost:{}:{}", server.port(), server.ip())]).args(options);
    command.arg(format!("https://localhost:{}{path}", server.port()));
    let mut process = Process::spawn("curl", &mut command);
    process.wait_for_exit();
    process.stdout.all().pop().unwrap_or_else(|| panic!("{:#?}", process.stderr.all()))
}

#[test]
fn hooks_are_told_the_url_that_a_viewer_came_by_over_either_version_of_http() {
    let hooks = HookServer::consenting();
    let secure = Secure::start_with(&hooks.config());
    let expected = format!("https://localhost:{}/live", secure.origin.listens_for("https").port());
    for (heard, version) in ["--http1.1", "--http2"].into_iter().enumerate() {
        // Each is a viewer of its own.
        curl(&secure, "/live/secret.m3u8", &[version, "--user-agent", version]);
        assert_eq!(hooks.wait_for("on_play", heard + 1)[heard]["tcUrl"], *expected, "{version}");
    }
}

#[test]
fn the_admin_port_answers_over_tls() {
    let Secure { origin, authority, .. } = Secure::start();
    let port = origin.listens_for("admin-tls").port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(authority.file());
    command.arg(format!("https://localhost:{port}/livez"));
    assert_eq!(ffmpeg::run(command), "ok");
}

#[test]
fn certificates_are_replaced_under_players_who_notice_nothing() {
    let secure = Secure::start();
    let (_tunnel, address) = secure.tunnel();
    let feed = Publisher::start_at(address(Protocol::Rtmp), STREAM).feed();
    let players = EVERY_PROTOCOL.map(|protocol| Player::join_at(protocol, address(protocol), STREAM));
    players.iter().for_each(Player::expect_media);
    let expiry = secure.origin.metrics().sum("rillcast_tls_certificate_expiry_timestamp_seconds");
    assert!(expiry > 0.0);

    for _ in 0..2 {
        let before = secure.presented().expect("a good certificate");
        secure.authority.write(&["localhost"], &secure.directory);
        wait_until("the new certificate is presented", || secure.presented().is_some_and(|now| now != before));
    }
    assert!(secure.origin.metrics().labelled("rillcast_tls_certificate_reloads_total", "result", "loaded") >= 2.0);
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
    }
}

#[test]
fn a_secret_that_kubernetes_replaces_is_taken_at_once() {
    let authority = Authority::new();
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    for version in ["..1", "..2"] {
        fs::create_dir(at(version)).unwrap();
        authority.write(&["localhost"], &at(version));
    }
    symlink("..1", at("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), at(name)).unwrap();
    }
    let secure =
        Secure { origin: Server::origin(&config(&[mount.path()])), authority, directory: mount.path().to_owned() };
    let before = secure.presented().expect("a good certificate");

    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    wait_until("the new certificate is presented", || secure.presented().is_some_and(|now| now != before));
    assert_eq!(secure.origin.metrics().labelled("rillcast_tls_certificate_reloads_total", "result", "failed"), 0.0);
}

#[test]
fn a_certificate_that_is_of_no_use_changes_nothing_but_log_and_metric() {
    let secure = Secure::start();
    let before = secure.presented().expect("a good certificate");
    let failed = || secure.origin.metrics().labelled("rillcast_tls_certificate_reloads_total", "result", "failed");
    let good = fs::read_to_string(secure.directory.join("tls.key")).unwrap();
    for (round, bad) in [(1.0, ""), (2.0, "not a key")] {
        fs::write(secure.directory.join("tls.key"), bad).unwrap();
        wait_until("the bad key is counted", || failed() == round);
        assert_eq!(secure.presented().as_ref(), Some(&before));
    }
    let log = secure.origin.log();
    let said = |line: &&serde_json::Value| {
        line["level"] == "ERROR"
            && line["fields"]["error"].as_str().is_some_and(|error| error.contains("tls.key: holds no private key"))
    };
    assert_eq!(log.iter().filter(said).count(), 2);
    fs::write(secure.directory.join("tls.key"), good).unwrap();
    secure.authority.write(&["localhost"], &secure.directory);
    wait_until("the next good one is presented", || secure.presented().is_some_and(|now| now != before));
}

#[test]
fn a_certificate_that_is_of_no_use_keeps_no_other_from_being_renewed() {
    let authority = Authority::new();
    let [good, bad] = ["localhost", "other.example"].map(|name| authority.certificate(&[name]));
    let secure = Secure { origin: Server::origin(&config(&[&good, &bad])), authority, directory: good.clone() };
    let others = || {
        let server = secure.origin.listens_for("https");
        openssl::connect(server, Some("other.example"), &secure.authority.file(), &[]).certificate().map(str::to_owned)
    };
    let before = (secure.presented(), others());
    assert!(before.0.is_some() && before.1.is_some());
    fs::write(bad.join("tls.key"), "not a key").unwrap();
    let failed = || secure.origin.metrics().labelled("rillcast_tls_certificate_reloads_total", "result", "failed");
    wait_until("the bad key is counted", || failed() == 1.0);
    secure.authority.write(&["localhost"], &good);
    wait_until("the good one is renewed", || secure.presented().is_some_and(|now| Some(now) != before.0));
    assert_eq!(others(), before.1, "what it has held before stays in use");
    secure.authority.write(&["other.example"], &bad);
    wait_until("and the other one once it is good", || others().is_some_and(|now| Some(now) != before.1));
    assert_eq!(failed(), 1.0, "it is said once");
}

#[test]
fn a_player_that_stops_reading_over_tls_is_ended_and_costs_nobody_anything() {
    const HEAVY: Content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };
    let secure = Secure::start_with("[play]\nqueue_length = \"2s\"\nhard_lag = \"4s\"\n");
    let (_tunnel, address) = secure.tunnel();
    let feed = Publisher::attempt(address(Protocol::Rtmp), STREAM, HEAVY).unwrap().feed();
    let healthy = EVERY_PROTOCOL.map(|protocol| Player::join_at(protocol, address(protocol), STREAM));
    healthy.iter().for_each(Player::expect_media);
    for protocol in EVERY_PROTOCOL {
        let pace = Pace::unlimited();
        let stopped = Player::join_paced_at(protocol, address(protocol), STREAM, pace.clone());
        stopped.wait_for_media();
        let (before, memory) = (secure.origin.metrics(), secure.origin.resident_memory());
        pace.limit(0);
        wait_at_most(Duration::from_secs(90), "the player that does not read is ended", || {
            let grown = secure.origin.resident_memory().saturating_sub(memory);
            assert!(grown < 64 << 20, "{} MiB for a stopped player", grown >> 20);
            new_disconnects(&before, &secure.origin.metrics()).get("slow_player") == Some(&1.0)
        });
        pace.release();
    }
    for player in &healthy {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
    }
}

#[test]
fn a_certificate_that_is_of_no_use_at_the_start_is_a_mistake_that_names_key_and_file() {
    let authority = Authority::new();
    let directory = authority.certificate(&["localhost"]);
    fs::write(directory.join("tls.key"), "not a key").unwrap();
    let file = directory.join("bad.toml");
    fs::write(&file, config(&[&directory])).unwrap();
    let file = file.display().to_string();
    for arguments in [&["origin", "-c", &file][..], &["check", "--role", "origin", "-c", &file]] {
        let mut process = Process::rillcast(arguments);
        assert_eq!(process.wait_for_exit(), Some(78));
        let said = process.stderr.all().join("\n");
        let expected =
            format!("{file}: tls.certificates[0]: {}: holds no private key", directory.join("tls.key").display());
        assert!(said.contains(&expected), "{said}");
    }
    fs::write(&file, "[http]\ntls_listen = \"127.0.0.1:0\"\n").unwrap();
    let mut process = Process::rillcast(&["origin", "-c", &file]);
    assert_eq!(process.wait_for_exit(), Some(78));
    assert!(process.stderr.all().join("\n").contains("http.tls_listen: TLS needs a certificate"));
}

#[test]
fn garbage_and_half_open_handshakes_leave_players_alone() {
    const FLOOD: usize = 600;
    let secure = Secure::start();
    let (_tunnel, address) = secure.tunnel();
    let feed = Publisher::start_at(address(Protocol::Rtmp), STREAM).feed();
    let players = EVERY_PROTOCOL.map(|protocol| Player::join_at(protocol, address(protocol), STREAM));
    players.iter().for_each(Player::expect_media);
    let (before, began) = (secure.origin.metrics(), Instant::now());
    let servers = ["rtmps", "https"].map(|protocol| secure.origin.listens_for(protocol));

    // Not TLS at all, and the beginning of a handshake that goes on with nonsense.
    for server in servers {
        assert!(RtmpClient::open(server).is_err());
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", &[0xff; 20_000]] {
            let mut stream = http::connect(server);
            let _ = stream.write_all(bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    wait_until("garbage is counted", || {
        new_disconnects(&before, &secure.origin.metrics()).get("tls_failed") == Some(&8.0)
    });
    // Handshakes that have begun and do not go on.
    let half_open: Vec<TcpStream> = (0..FLOOD)
        .map(|index| {
            let mut stream = TcpStream::connect(servers[index % 2]).unwrap();
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
            stream
        })
        .collect();
    wait_until("half-open handshakes are ended", || {
        new_disconnects(&before, &secure.origin.metrics()).get("handshake_timeout") == Some(&(FLOOD as f64))
    });
    drop(half_open);
    for player in &players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
        assert_eq!(player.ending(), None);
        let gap = player.longest_gap_since(began);
        assert!(gap < STARVED, "no picture for {gap:?}");
    }
    assert!(secure.presented().is_some());
    assert!(secure.origin.resident_memory() < 500 << 20);
}

#[test]
fn a_client_that_reaches_the_server_through_a_proxy_speaks_tls_behind_the_header() {
    let authority = Authority::new();
    let directory = authority.certificate(&["localhost"]);
    let trusting = "[net]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let origin = Server::origin(&format!("{}{trusting}", config(&[&directory])));
    let proxy = HaProxy::before(&[origin.listens_for("rtmps"), origin.listens_for("https")], Way::ProxyV2);
    assert!(openssl::connect(proxy.addresses[0], Some("localhost"), &authority.file(), &[]).is_verified());
    let named = || origin.log().iter().filter(|line| line["fields"]["message"] == "the proxy names its client").count();
    wait_until("the client is named", || named() > 0);
    let (before, https) = (named(), proxy.addresses[1]);
    for version in ["--http1.1", "--http2"] {
        assert!(curl_at(https, &authority.file(), "/nothing", &[version]).starts_with("404 "), "{version}");
    }
    wait_until("so are those over HTTPS", || named() >= before + 2);
    // Who stops in the middle of it all is not waited for.
    let mut stream = TcpStream::connect(origin.listens_for("rtmps")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n\x16").unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}
