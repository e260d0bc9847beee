//! The configuration loaded again: whatever the occasion, the old one or the new one is in force, and nobody is dropped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::harness::http::Response;
use super::harness::metrics::new_disconnects;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/kept";
pub(super) const SUCCESSFUL: &str = "rillcast_config_last_reload_successful";
const SUCCESS_TIME: &str = "rillcast_config_last_reload_success_timestamp_seconds";

#[track_caller]
pub(super) fn put(server: &Server, toml: &str) -> Response {
    server.ask_admin("PUT", "/api/v1/config", &[("Content-Type", "application/toml")], toml)
}

#[track_caller]
pub(super) fn put_valid(server: &Server, toml: &str) -> Value {
    let answer = put(server, toml);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

#[track_caller]
pub(super) fn reload(server: &Server) -> Response {
    server.ask_admin("POST", "/api/v1/reload", &[], "")
}

#[track_caller]
pub(super) fn wait_for_setting(server: &Server, key: &str, value: &Value) {
    wait_until(&format!("{key} is {value}"), || server.setting(key) == *value);
}

#[test]
fn five_hundred_players_stay_through_a_hundred_reloads_valid_and_not() {
    const PLAYERS: usize = 500;
    const RELOADS: u32 = 100;
    let (origin, edge) = Server::origin_and_edge("", "[limits]\nmax_players = 1000\n");
    let feed = Publisher::start(&origin, STREAM).feed();
    let first = Player::join(Protocol::Rtmp, &edge, STREAM);
    first.expect_media();
    let others = (1..PLAYERS).map(|index| Player::join(Protocol::ALL[index % 2], &edge, STREAM));
    let players: Vec<Player> = [first].into_iter().chain(others).collect();
    players.iter().for_each(Player::expect_media);
    // Whatever is made once is made before it is counted.
    assert_eq!(reload(&edge).head.status, 200);
    put_valid(&edge, "limits.max_players = 999\n");
    let (before, files) = (edge.metrics(), edge.open_files());

    for number in 0..RELOADS {
        if number % 2 == 0 {
            let config = format!(
                "[limits]\nmax_players = {}\n[play]\nqueue_length = \"{}s\"\n[upstream]\nlinger = \"{}s\"\n\
                 [[apps]]\nmatch = \"live*\"\nplay.mw_latency = \"{}ms\"\n[log]\nlevel = \"info,rillcast=debug,h{number}=info\"\n",
                2_000 + number,
                10 + number % 5,
                5 + number,
                number
            );
            edge.write_config(&config);
            let answer = if number % 4 == 0 { reload(&edge) } else { put(&edge, &config) };
            assert_eq!(answer.head.status, 200, "{}", answer.text());
        } else {
            let invalid = ["[play]\nplay_wait = \"soon\"\n", "[limits\n", "[nonsense]\n"][number as usize / 2 % 3];
            let is_file = number % 4 == 1;
            if is_file {
                edge.write_config(invalid);
            }
            let answer = if is_file { reload(&edge) } else { put(&edge, invalid) };
            assert_eq!(answer.head.status, 400, "{}", answer.text());
            assert_eq!(edge.metrics().sum(SUCCESSFUL), if is_file { 0.0 } else { 1.0 });
        }
    }

    let last = feed.last_number();
    for player in &players {
        player.wait_for_frame(feed.session, last);
        player.assert_no_frame_missing();
        assert_eq!(player.ending(), None);
    }
    let after = edge.metrics();
    let lost = new_disconnects(&before, &after);
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(after.sum("rillcast_players"), PLAYERS as f64);
    assert_eq!(after.sum("rillcast_upstream_connects_total"), 1.0, "the pull stayed, too");
    wait_until("no file stays open", || edge.open_files() <= files + 2);
}

#[test]
fn reloads_leave_no_memory_behind() {
    const ROUNDS: u32 = 40;
    const MOST: u64 = 16 << 20;
    // So large that one that is kept each time shows.
    let entries: String =
        (0..400).map(|app| format!("[[apps]]\nmatch = \"app{app}\"\nplay.play_wait = \"1s\"\n")).collect();
    let server = Server::origin("");
    let turn = |rounds: u32| {
        for round in 0..rounds {
            put_valid(&server, &format!("limits.max_players = {}\n{entries}", 1 + round % 2));
            assert_eq!(reload(&server).head.status, 200);
            assert_eq!(put(&server, &format!("limits.max_players = -1\n{entries}")).head.status, 400);
        }
    };
    turn(ROUNDS / 4);
    let before = server.resident_memory();
    turn(ROUNDS);
    let grown = server.resident_memory().saturating_sub(before);
    assert!(grown < MOST, "{ROUNDS} rounds took {grown} bytes");
}

#[test]
fn a_changed_file_is_noticed_by_itself() {
    let server = Server::origin("[limits]\nmax_players = 5\n");
    assert_eq!(server.setting("limits.max_players"), 5);
    let hash = server.config()["hash"].clone();
    server.write_config("[limits]\nmax_players = 6\n");
    wait_for_setting(&server, "limits.max_players", &json!(6));
    assert_ne!(server.config()["hash"], hash);
    server.write_config("[limits]\nmax_players = 5\n");
    wait_for_setting(&server, "limits.max_players", &json!(5));
    assert_eq!(server.config()["hash"], hash, "the same configuration has the same hash");
}

#[test]
fn an_invalid_file_changes_nothing_and_says_why_everywhere() {
    let server = Server::origin("[limits]\nmax_players = 5\n");
    let metrics = server.metrics();
    assert_eq!(metrics.sum(SUCCESSFUL), 1.0, "the start was one");
    let since = metrics.sum(SUCCESS_TIME);
    assert!(since > 0.0);
    server.write_config("[limits]\nmax_players = \"many\"\n[play]\nplay_wait = \"9s\"\n");
    wait_until("it is noticed", || server.metrics().sum(SUCCESSFUL) == 0.0);
    let config = server.config();
    assert_eq!(config["last_reload"]["successful"], false);
    let mistakes = config["last_reload"]["mistakes"].as_array().unwrap().clone();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!(mistakes[0]["key"], "limits.max_players");
    assert!(mistakes[0]["source"].as_str().unwrap().ends_with("test.toml"), "{mistakes:?}");
    assert_eq!(config["settings"]["limits"]["max_players"]["value"], 5);
    assert_eq!(config["settings"]["play"]["play_wait"]["value"], "5s", "nor is a part of it in force");
    assert!(server.log_lines().iter().any(|line| line.contains("ERROR") && line.contains("limits.max_players")));
    let answer = reload(&server);
    assert_eq!(answer.head.status, 400);
    assert_eq!(answer.json()["mistakes"][0]["key"], "limits.max_players");
    assert!(answer.json()["error"].as_str().unwrap().contains("\"many\""), "{}", answer.text());

    server.write_config("[limits]\nmax_players = 7\n");
    wait_for_setting(&server, "limits.max_players", &json!(7));
    let metrics = server.metrics();
    assert_eq!(metrics.sum(SUCCESSFUL), 1.0);
    assert!(metrics.sum(SUCCESS_TIME) > since);
}

/// A directory as Kubernetes mounts a ConfigMap.
struct ConfigMap {
    directory: TempDir,
    version: u32,
}

impl ConfigMap {
    fn new(text: &str) -> Self {
        let mut map = Self { directory: tempfile::tempdir().unwrap(), version: 0 };
        symlink("..data/rillcast.toml", map.path().join("rillcast.toml")).unwrap();
        map.swap(text);
        map
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Puts another version in place as the kubelet does: a new directory, and a link renamed over the old one.
    fn swap(&mut self, text: &str) {
        let old = self.path().join(format!("..v{}", self.version));
        self.version += 1;
        let name = format!("..v{}", self.version);
        fs::create_dir(self.path().join(&name)).unwrap();
        fs::write(self.path().join(&name).join("rillcast.toml"), text).unwrap();
        symlink(&name, self.path().join("..data_tmp")).unwrap();
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data")).unwrap();
        if old.exists() {
            fs::remove_dir_all(old).unwrap();
        }
    }
}

#[test]
fn a_config_map_is_followed_through_every_swap() {
    for as_file in [false, true] {
        let mut map = ConfigMap::new("[limits]\nmax_players = 1\n");
        let path = if as_file { map.path().join("rillcast.toml") } else { map.path().to_owned() };
        let server = Server::origin_reading(&path, &[], "");
        let _feed = Publisher::start(&server, STREAM).feed();
        let player = Player::join(Protocol::HttpFlv, &server, STREAM);
        player.expect_media();
        for number in 2..6 {
            map.swap(&format!("[limits]\nmax_players = {number}\n"));
            wait_for_setting(&server, "limits.max_players", &json!(number));
            map.swap("[limits]\nmax_players = -1\n");
            wait_until("the mistake is noticed", || server.metrics().sum(SUCCESSFUL) == 0.0);
            assert_eq!(server.setting("limits.max_players"), number);
        }
        assert_eq!(player.ending(), None);
    }
}

#[test]
fn a_file_that_comes_into_a_directory_counts_and_one_that_goes_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin_reading(directory.path(), &[], "");
    assert_eq!(server.setting("limits.max_players"), 0);
    fs::write(directory.path().join("50-limits.toml"), "limits.max_players = 3\n").unwrap();
    wait_for_setting(&server, "limits.max_players", &json!(3));
    fs::remove_file(directory.path().join("50-limits.toml")).unwrap();
    wait_for_setting(&server, "limits.max_players", &json!(0));
}

#[test]
fn a_change_that_the_kernel_does_not_tell_of_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (version, players) in [("one", 1), ("two", 2)] {
        fs::create_dir_all(path(&format!("far/{version}"))).unwrap();
        fs::write(path(&format!("far/{version}/a.toml")), format!("limits.max_players = {players}\n")).unwrap();
    }
    symlink("one", path("far/link")).unwrap();
    fs::create_dir(path("near")).unwrap();
    symlink(path("far/link/a.toml"), path("near/a.toml")).unwrap();
    let server = Server::origin_reading(&path("near"), &[], "");
    assert_eq!(server.setting("limits.max_players"), 1);
    // Neither where the file is named nor where it lies does anything change.
    symlink("two", path("far/next")).unwrap();
    fs::rename(path("far/next"), path("far/link")).unwrap();
    wait_for_setting(&server, "limits.max_players", &json!(2));
}

#[test]
fn changes_from_everywhere_at_once_are_made_one_after_the_other() {
    let server = Server::origin("");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..10 {
                    let text = format!("limits.max_players = {}\n", number * 100 + round);
                    match number % 4 {
                        0 => server.write_config(&text),
                        1 => assert_eq!(reload(server).head.status, 200),
                        2 => drop(put_valid(server, &text)),
                        _ => assert_eq!(server.ask_admin("DELETE", "/api/v1/config", &[], "").head.status, 200),
                    }
                    server.config();
                }
            });
        }
    });
    assert_eq!(server.ask_admin("DELETE", "/api/v1/config", &[], "").head.status, 200);
    server.write_config("limits.max_players = 5\n");
    wait_for_setting(&server, "limits.max_players", &json!(5));
}

#[test]
fn sighup_loads_again_and_ends_nothing() {
    let mut server = Server::origin("");
    for _ in 0..3 {
        server.signal(Signal::HUP);
    }
    let heard = |line: &Value| line["fields"]["cause"] == "SIGHUP";
    wait_until("the signal is heard", || server.log().iter().any(heard));
    assert!(server.is_running());
    server.write_config("[play]\nplay_wait = \"soon\"\n");
    server.signal(Signal::HUP);
    wait_until("it is invalid", || server.metrics().sum(SUCCESSFUL) == 0.0);
    assert!(server.is_running());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
}

#[test]
fn a_put_wins_over_everything_until_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin_reading(
        directory.path(),
        &["RILLCAST_LIMITS__MAX_PLAYERS=4"],
        "[limits]\nmax_players = 3\nmax_connections_per_address = 300\n",
    );
    let source = |key: &str| server.config()["settings"]["limits"][key]["source"].as_str().unwrap().to_owned();
    assert_eq!(
        (server.setting("limits.max_players"), source("max_players").as_str()),
        (json!(4), "RILLCAST_LIMITS__MAX_PLAYERS")
    );
    assert!(source("max_connections_per_address").contains("test.toml:"));
    assert_eq!(source("max_connections"), "default");
    let hash = server.config()["hash"].clone();

    let data = put_valid(&server, "[limits]\nmax_players = 5\n[[apps]]\nmatch = \"live*\"\nplay.gop_cache = false\n");
    assert_eq!(data["changed"], json!(["limits.max_players", "apps"]));
    let config = server.config();
    assert_eq!((config["overlaid"].clone(), config["hash"].clone()), (json!(true), data["hash"].clone()));
    assert_eq!(
        config["apps"],
        json!([{"match": "live*", "source": "PUT /api/v1/config", "settings": {"play": {"gop_cache": false}}}])
    );
    assert_eq!(
        (server.setting("limits.max_players"), source("max_players").as_str()),
        (json!(5), "PUT /api/v1/config")
    );
    // It stays when files change, and gives way to the next one as a whole.
    server.write_config("[limits]\nmax_players = 8\nmax_connections_per_address = 400\n");
    wait_for_setting(&server, "limits.max_connections_per_address", &json!(400));
    assert_eq!(server.setting("limits.max_players"), 5);
    put_valid(&server, "[play]\nplay_wait = \"1s\"\n");
    assert_eq!((server.setting("limits.max_players"), server.setting("play.play_wait")), (json!(4), json!("1s")));

    server.write_config("[limits]\nmax_players = 3\nmax_connections_per_address = 300\n");
    let answer = server.ask_admin("DELETE", "/api/v1/config", &[], "");
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let config = server.config();
    assert_eq!((config["overlaid"].clone(), config["hash"].clone()), (json!(false), hash));
    assert_eq!(server.ask_admin("DELETE", "/api/v1/config", &[], "").head.status, 200, "there need not be one");
}

#[test]
fn a_put_may_be_json() {
    let server = Server::origin("");
    let text = r#"{"limits": {"max_players": 9}, "play": {"gop_max_bytes": "1MiB"}}"#;
    let json_type = [("Content-Type", "application/json; charset=utf-8")];
    let answer = server.ask_admin("PUT", "/api/v1/config", &json_type, text);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    assert_eq!((server.setting("limits.max_players"), server.setting("play.gop_max_bytes")), (json!(9), json!("1MiB")));
}

#[test]
fn a_put_that_cannot_be_used_changes_nothing_and_names_the_key() {
    let server = Server::origin("");
    put_valid(&server, "limits.max_players = 9\n");
    let hash = server.config()["hash"].clone();
    for (text, key) in [
        ("rtmp.listen = \":1\"\n", json!("rtmp.listen")),
        ("dns.nameservers = [\"192.0.2.53\"]\n", json!("dns.nameservers")),
        ("limits.max_players = \"x\"\n", json!("limits.max_players")),
        ("limits.max_playerz = 3\n", json!("limits.max_playerz")),
        ("[nonsense]\n", json!("nonsense")),
        ("play.hard_lag = \"1s\"\n", json!("play.hard_lag")),
        ("[limits\n", Value::Null),
    ] {
        let answer = put(&server, text);
        assert_eq!((answer.head.status, answer.json()["code"].as_u64()), (400, Some(400)), "{text}");
        assert_eq!(answer.json()["mistakes"][0]["key"], key, "{}", answer.text());
        assert!(answer.json()["mistakes"][0]["source"].as_str().is_some_and(|source| source.starts_with("PUT")));
    }
    for content_type in
        [&[][..], &[("Content-Type", "text/plain")], &[("Content-Type", "application/x-www-form-urlencoded")]]
    {
        assert_eq!(server.ask_admin("PUT", "/api/v1/config", content_type, "").head.status, 415);
    }
    let huge = format!("# {}\n", "x".repeat(2 << 20));
    assert_eq!(put(&server, &huge).head.status, 413);
    assert_eq!((server.setting("limits.max_players"), server.config()["hash"].clone()), (json!(9), hash));
    assert_eq!(server.metrics().sum(SUCCESSFUL), 1.0, "that tells of the files");
    assert_eq!(server.config()["last_reload"]["successful"], true);
    // What is so already takes no restart.
    put_valid(&server, "dns.nameservers = []\nlimits.max_players = 8\n");
}

#[test]
fn what_needs_a_restart_is_named_and_stays_until_then() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::origin_reading(directory.path(), &[], "");
    let listen = server.setting("rtmp.listen");
    let hash = server.config()["hash"].clone();
    let file = directory.path().join("later.toml");
    fs::write(&file, "[log]\nformat = \"text\"\n[rtmp]\nlisten = \":1\"\nchunk_size = 4096\n").unwrap();
    wait_for_setting(&server, "rtmp.chunk_size", &json!(4096));
    let data = reload(&server).json()["data"].clone();
    assert_eq!(data["pending_restart"], json!(["log.format", "rtmp.listen"]));
    let config = server.config();
    assert_eq!(config["settings"]["rtmp"]["listen"]["value"], listen, "what is in force is shown");
    let place = |line: u32| format!("{}:{line}", file.display());
    assert_eq!(
        config["pending_restart"],
        json!([
            {"key": "log.format", "value": "text", "source": place(2)},
            {"key": "rtmp.listen", "value": [":1"], "source": place(4)},
        ])
    );
    let _feed = Publisher::start(&server, STREAM).feed();
    Player::join(Protocol::Rtmp, &server, STREAM).expect_media();
    fs::remove_file(&file).unwrap();
    assert_eq!(reload(&server).head.status, 200);
    let config = server.config();
    assert_eq!((config["pending_restart"].clone(), config["hash"].clone()), (json!([]), hash));
}

#[test]
fn no_secret_is_ever_shown_whatever_is_done_with_it() {
    const SECRETS: [&str; 4] = ["S3CR3T-cluster-key-0", "S3CR3T-cluster-key-1", "S3CR3T-edit", "S3CR3T-view"];
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("key"), SECRETS[0]).unwrap();
    let file = directory.path().join("key").display().to_string();
    let server = Server::origin_reading(
        directory.path(),
        &[&format!("RILLCAST_ADMIN__VIEW_AUTH=viewer:{}", SECRETS[3])],
        &format!(
            "[log]\nlevel = \"trace\"\n[cluster]\nkey_file = {file:?}\n[admin]\nedit_auth = \"admin:{}\"\n",
            SECRETS[2]
        ),
    );
    let bearer = format!("Bearer {}", SECRETS[2]);
    let mut answers = Vec::new();
    let mut ask = |method: &str, path: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/toml")];
        let answer = server.ask_admin(method, path, &headers, body);
        answers.push(answer.text());
        answer.head.status
    };
    assert_eq!(ask("GET", "/api/v1/config", ""), 200);
    assert_eq!(ask("PUT", "/api/v1/config", &format!("admin.view_auth = \"other:{}\"\n", SECRETS[1])), 200);
    assert_eq!(ask("GET", "/api/v1/config", ""), 200);
    for invalid in [
        "cluster.key = \"S3CR3T-\"",
        "cluster.key = \"S3CR3T-cluster-key-1\"\ncluster.key_file = \"/nonexistent\"",
        "cluster = \"S3CR3T-cluster-key-1\"",
        "cluster.kye = \"S3CR3T-cluster-key-1\"",
        "admin.edit_auth = \"S3CR3T-edit\"",
        "admin.edit_auth = [\"admin:S3CR3T-edit\"]",
        "admin = \"admin:S3CR3T-edit\"",
        "admin.edit_auth = \"admin:S3CR3T-edit",
        "admin.edit_auth_file = \"admin:S3CR3T-edit\"",
        "cluster.key_file = \"S3CR3T-cluster-key-1\"",
        "cluster.key_file = \"S3CR3T/cluster+key/1\"",
        "hooks.on_publish = \"http://ops:S3CR3T@control.example/x\"",
        "hooks.on_play = \"control.example/x?key=S3CR3T\"",
        "auth.play_callback = \"https://a.example/x?key=S3CR3T#f\"",
        "cluster.peers = [\"rtmp://u:S3CR3T@a.example/app\"]",
        "auth.play_jwt_public_keys = \"S3CR3T-cluster-key-1\"",
    ] {
        assert_eq!(ask("PUT", "/api/v1/config", &format!("{invalid}\n")), 400, "{invalid}");
    }
    assert_eq!(ask("PUT", "/api/v1/config", "hooks.on_play = \"http://127.0.0.1:1/x?key=S3CR3T\"\n"), 200);
    assert_eq!(ask("GET", "/api/v1/config", ""), 200);
    assert_eq!(ask("POST", "/api/v1/reload", ""), 200);
    assert_eq!(ask("DELETE", "/api/v1/config", ""), 200);
    server.ask_admin("GET", "/api/v1/config", &[("Authorization", "Bearer S3CR3T-guess")], "");
    fs::write(&file, "S3CR3T-").unwrap();
    wait_until("the short key is noticed", || server.metrics().sum(SUCCESSFUL) == 0.0);
    assert_eq!(ask("GET", "/api/v1/config", ""), 200);
    for text in answers.iter().chain(&server.log_lines()) {
        assert!(!text.contains("S3CR3T"), "{text}");
    }
}
