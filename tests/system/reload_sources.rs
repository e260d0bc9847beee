//! Sources that are not what they should be when the configuration is loaded again: pipes, files that do not answer, mistakes
//! behind what is laid over them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::{CWD, Mode};
use rustix::process::Signal;
use serde_json::json;

use super::harness::authority::Authority;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::Server;
use super::harness::{openssl, tools, wait_until};
use super::reload::{SUCCESSFUL, put, put_valid, reload, wait_for_setting};

const STREAM: &str = "live/kept";

/// A named pipe out of which `text` comes once.
fn pipe(directory: &Path, text: &'static str) -> PathBuf {
    let path = directory.join("pipe");
    rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let written_to = path.clone();
    thread::spawn(move || fs::write(written_to, text));
    path
}

#[test]
fn a_configuration_from_a_pipe_stays_as_it_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let text = "limits.max_players = 7\nauth.play_key = \"0123456789abcdef\"\n";
    let mut server = Server::origin_reading(&pipe(directory.path(), text), &[], "");
    let _feed = Publisher::start(&server, STREAM).feed();
    let is_kept = |server: &Server| {
        assert_eq!((server.setting("limits.max_players"), server.setting("auth.play_key")), (json!(7), json!("***")));
        assert_eq!(Player::join(Protocol::HttpFlv, server, STREAM).answer(), Err("401".to_owned()));
    };
    assert_eq!(reload(&server).head.status, 200);
    is_kept(&server);
    // A file beside it may change.
    server.write_config("limits.max_connections_per_address = 300\n");
    wait_for_setting(&server, "limits.max_connections_per_address", &json!(300));
    is_kept(&server);
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_exit(), Some(0));
}

#[test]
fn a_pipe_that_is_named_later_is_a_mistake_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin("");
    let path = directory.path().join("pipe");
    // Nobody ever writes to it.
    rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    for key in ["cluster.key_file", "auth.play_jwt_public_keys", "hooks.ca_file"] {
        server.write_config(&format!("{key} = {path:?}\n"));
        let answer = reload(&server);
        assert_eq!(answer.head.status, 400, "{key}");
        assert!(answer.text().contains("not a regular file"), "{}", answer.text());
    }
    assert_eq!(server.config()["last_reload"]["successful"], false);
}

/// Whoever keeps others from opening a file, as a file system does that has stopped to answer.
struct Lease(Child);

impl Lease {
    const PROGRAM: &str = "
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_WRONLY)
while True:
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        break
    except BlockingIOError:
        time.sleep(0.01)
print('held', flush=True)
sys.stdin.read()
";

    fn take(path: &Path) -> Self {
        let mut holder = Command::new(tools::python())
            .args(["-c", Self::PROGRAM])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(holder)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_blocks_neither_the_api_nor_the_end_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    fs::write(&file, "limits.max_players = 1\n").unwrap();
    let mut server = Server::origin_reading(directory.path(), &[], "");
    let lease = Lease::take(&file);
    let answer = reload(&server);
    assert_eq!(answer.head.status, 400);
    assert!(answer.text().contains("could not be read within"), "{}", answer.text());
    let config = server.config();
    assert_eq!((config["last_reload"]["successful"].clone(), server.metrics().sum(SUCCESSFUL)), (json!(false), 0.0));
    assert_eq!(server.setting("limits.max_players"), 1);
    drop(lease);
    wait_until("it can be read again", || server.metrics().sum(SUCCESSFUL) == 1.0);
    let _lease = Lease::take(&file);
    assert_eq!(reload(&server).head.status, 400);
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_exit(), Some(0));
}

#[test]
fn a_put_hides_no_mistake_of_a_file() {
    let server = Server::origin("play.play_wait = \"1s\"\n");
    put_valid(&server, "play.play_wait = \"3s\"\n");
    server.write_config("play.play_wait = \"soon\"\n");
    wait_until("the mistake is noticed", || server.metrics().sum(SUCCESSFUL) == 0.0);
    for answer in [reload(&server), put(&server, "play.play_wait = \"4s\"\n")] {
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        assert_eq!(answer.json()["mistakes"][0]["key"], "play.play_wait");
    }
    assert_eq!(server.ask_admin("DELETE", "/api/v1/config", &[], "").head.status, 400);
    let config = server.config();
    assert_eq!(config["last_reload"]["mistakes"][0]["key"], "play.play_wait");
    assert_eq!((config["overlaid"].clone(), server.setting("play.play_wait")), (json!(true), json!("3s")));
    server.write_config("play.play_wait = \"2s\"\n");
    wait_until("it is valid", || server.metrics().sum(SUCCESSFUL) == 1.0);
    assert_eq!(server.setting("play.play_wait"), "3s");
}

#[test]
fn a_put_that_is_refused_keeps_no_change_of_a_file_from_being_noticed() {
    let server = Server::origin("");
    for players in 1..4 {
        server.write_config(&format!("limits.max_players = {players}\n"));
        assert_eq!(put(&server, "play.play_wait = \"soon\"\n").head.status, 400);
        wait_for_setting(&server, "limits.max_players", &json!(players));
    }
}

#[test]
fn what_would_be_pending_behind_a_put_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin_reading(directory.path(), &[], "dns.nameservers = []\n");
    put_valid(&server, "dns.nameservers = []\nlimits.max_players = 3\n");
    server.write_config("dns.nameservers = [\"192.0.2.53\"]\n");
    wait_until("it waits for a restart", || server.config()["pending_restart"][0]["key"] == "dns.nameservers");
    assert_eq!(server.setting("dns.nameservers"), json!([]));
}

#[test]
fn certificates_are_kept_fresh_as_long_as_a_listener_presents_them() {
    let authority = Authority::new();
    let directory = authority.certificate(&["localhost"]);
    let server =
        Server::origin(&format!("[tls]\ncertificates = [{directory:?}]\n[admin]\ntls_listen = \"127.0.0.1:0\"\n"));
    let address = server.listens_for("admin-tls");
    let presented = || {
        let presented = openssl::connect(address, Some("localhost"), &authority.file(), &[]);
        presented.certificate().filter(|_| presented.is_verified()).map(str::to_owned)
    };
    server.write_config("");
    let pending = || server.config()["pending_restart"].clone();
    let keys = || pending().as_array().unwrap().iter().map(|key| key["key"].clone()).collect::<Vec<_>>();
    wait_until("both wait for a restart", || keys() == ["admin.tls_listen", "tls.certificates"]);
    let before = presented().expect("a good certificate");
    authority.write(&["localhost"], &directory);
    wait_until("the new certificate is presented", || presented().is_some_and(|now| now != before));
}
