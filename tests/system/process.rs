//! The command line: configuration mistakes, ports in use, usage.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use super::harness::process::{Process, RILLCAST};
use super::harness::server::free_address;

const CONFIGURATION: Option<i32> = Some(78);

struct Run {
    code: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

#[track_caller]
fn run(arguments: &[&str]) -> Run {
    let mut process = Process::rillcast(arguments);
    let code = process.wait_for_exit();
    Run { code, stdout: process.stdout.all(), stderr: process.stderr.all() }
}

/// Runs a role with one configuration file.
#[track_caller]
fn run_with(role: &str, config: &str) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.toml");
    fs::write(&file, config).unwrap();
    run(&[role, "-c", file.to_str().unwrap()])
}

#[test]
fn every_configuration_mistake_gets_its_line_with_key_and_expectation() {
    let run = run_with(
        "origin",
        "[rtmp]\nlisten = \"127.0.0.1:0\"\nchunk_sise = 1\n\
         [play]\nmw_latency = \"fast\"\ngop_cache = \"perhaps\"\n\
         [publish]\non_conflict = \"fight\"\n[nonsense]\nx = 1\n",
    );
    assert_eq!(run.code, CONFIGURATION);
    for key in ["rtmp.chunk_sise", "play.mw_latency", "play.gop_cache", "publish.on_conflict", "nonsense"] {
        let lines: Vec<&String> = run.stderr.iter().filter(|line| line.contains(key)).collect();
        assert_eq!(lines.len(), 1, "{key}: {:#?}", run.stderr);
        assert!(lines[0].contains("test.toml"), "{} names no file", lines[0]);
    }
    assert!(!run.stderr.iter().any(|line| line.contains("listening")), "something was bound: {:#?}", run.stderr);
}

#[test]
fn a_bad_value_says_what_was_expected() {
    let run = run_with("origin", "[play]\nplay_wait = \"soon\"\n");
    assert_eq!(run.code, CONFIGURATION);
    let line = run.stderr.iter().find(|line| line.contains("play.play_wait")).expect("the key is named");
    assert!(line.contains("duration") && line.contains("\"soon\""), "{line}");
}

#[test]
fn broken_toml_names_the_file_and_the_line() {
    let run = run_with("origin", "[rtmp]\nlisten = \n");
    assert_eq!(run.code, CONFIGURATION);
    assert!(run.stderr.iter().any(|line| line.contains("test.toml")), "{:#?}", run.stderr);
    assert!(run.stderr.iter().any(|line| line.contains('2')), "{:#?}", run.stderr);
}

#[test]
fn a_missing_configuration_file_is_named() {
    let run = run(&["origin", "-c", "/nonexistent/rillcast.toml"]);
    assert_eq!(run.code, CONFIGURATION);
    assert!(run.stderr.iter().any(|line| line.contains("/nonexistent/rillcast.toml")), "{:#?}", run.stderr);
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let mut command = Command::new(RILLCAST);
    command.arg("origin").env("RILLCAST_PLAY__GOP_CACHE", "perhaps");
    let mut process = Process::spawn("rillcast with a bad environment", &mut command);
    assert_eq!(process.wait_for_exit(), CONFIGURATION);
    let lines = process.stderr.all();
    assert!(lines.iter().any(|line| line.contains("RILLCAST_PLAY__GOP_CACHE")), "{lines:#?}");
}

#[test]
fn an_edge_without_origins_says_which_key_is_missing() {
    let run = run_with("edge", "");
    assert_eq!(run.code, CONFIGURATION);
    assert!(run.stderr.iter().any(|line| line.contains("upstream.origins")), "{:#?}", run.stderr);
}

#[test]
fn a_port_in_use_is_a_runtime_error_that_names_the_address() {
    for section in ["rtmp", "http", "admin"] {
        let taken = TcpListener::bind(free_address()).unwrap();
        let address = taken.local_addr().unwrap();
        let listen = |name: &str| {
            let listen = if name == section { address.to_string() } else { "127.0.0.1:0".to_owned() };
            format!("[{name}]\nlisten = \"{listen}\"\n")
        };
        let run = run_with("origin", &["rtmp", "http", "admin"].map(listen).concat());
        assert_eq!(run.code, Some(1), "{section}");
        let message = run.stderr.join("\n");
        assert!(message.contains(&address.to_string()), "{section}: {message}");
        assert!(message.to_lowercase().contains("in use"), "{section}: {message}");
        assert!(!message.contains("panicked"), "{section}: {message}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["no-such-command"][..], &["origin", "--no-such-option"], &[]] {
        let run = run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stderr.iter().any(|line| line.contains("Usage")), "{arguments:?}: {:#?}", run.stderr);
    }
}

#[test]
fn help_names_the_commands() {
    let run = run(&["--help"]);
    assert_eq!(run.code, Some(0));
    for command in ["origin", "edge", "demo", "publish", "probe", "check"] {
        assert!(run.stdout.iter().any(|line| line.trim_start().starts_with(command)), "{command}: {:#?}", run.stdout);
    }
}

#[test]
fn version_is_the_package_s() {
    let run = run(&["--version"]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.join("").contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn check_accepts_what_a_server_would_and_names_what_it_read() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("10-a.toml", "[play]\nplay_wait = \"3s\"\n"), ("20-b.toml", ""), ("notes.txt", "?")] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let run = run(&["check", "--role", "origin", "-c", directory.path().to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{:#?}", run.stderr);
    let read: Vec<&String> = run.stdout.iter().filter(|line| line.starts_with("read ")).collect();
    assert_eq!(read.len(), 2, "{:#?}", run.stdout);
    assert!(read[0].ends_with("10-a.toml") && read[1].ends_with("20-b.toml"), "{read:#?}");
}

#[test]
fn check_says_what_is_set_where_and_what_is_open_to_whom() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    fs::write(&file, "[upstream]\norigins = \"origin\"\n\n[play]\nplay_wait = \"3s\"\n").unwrap();
    let run = run(&["check", "--role", "edge", "-c", file.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{:#?}", run.stderr);
    let says = |words: &[&str]| run.stdout.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(says(&["edge.toml:5 ", "play.play_wait = \"3s\""]), "{:#?}", run.stdout);
    assert!(says(&[":1935 RTMP", "publish: nobody"]), "{:#?}", run.stdout);
    assert!(says(&[":1985 HTTP", "change something by the API: clients on this host"]), "{:#?}", run.stdout);
    assert!(says(&["this is a valid configuration of an edge"]), "{:#?}", run.stdout);
}

#[test]
fn check_refuses_what_a_server_would_with_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.toml");
    fs::write(&file, "[play]\nplay_wait = \"soon\"\n[nonsense]\nx = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for role in ["origin", "edge"] {
        let (checked, served) = (run(&["check", "--role", role, "-c", file]), run(&[role, "-c", file]));
        assert_eq!((checked.code, served.code), (CONFIGURATION, CONFIGURATION));
        assert!(!checked.stderr.is_empty());
        assert_eq!(checked.stderr, served.stderr);
    }
}

#[test]
fn check_finds_that_the_system_knows_no_authorities() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.toml");
    fs::write(&file, "upstream.origins = \"origin\"\nupstream.tls = true\n").unwrap();
    let mut command = Command::new(RILLCAST);
    command.args(["check", "--role", "edge", "-c"]).arg(&file);
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), CONFIGURATION);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("upstream.tls: this system has no certificates of authorities"), "{said}");
}

#[test]
fn check_knows_that_an_edge_needs_origins() {
    assert_eq!(run(&["check", "--role", "edge"]).code, CONFIGURATION);
    assert_eq!(run(&["check", "--role", "origin"]).code, Some(0));
}
