//! The first part of `docs/operations.md`, as a reader would type it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::server::free_address;
use super::harness::tools;

/// The ports that the text names. A machine that runs tests has others to spare.
const PORTS: [u16; 10] = [1935, 8080, 1985, 2935, 1443, 9080, 8443, 2985, 3935, 8085];

/// All that is indented, up to the second part.
fn commands() -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let (walk_through, _) = text.split_once("\n## Draining").expect("a second part");
    let lines = walk_through.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The same with each port replaced where it stands behind a colon or a space.
fn moved(commands: &str) -> String {
    let mut moved = commands.to_owned();
    // By way of what is no number, so that no port of ours is taken for one of the text.
    for (index, port) in PORTS.iter().enumerate() {
        for before in [":", " "] {
            moved = moved.replace(&format!("{before}{port}"), &format!("{before}<{index}>"));
        }
    }
    for index in 0..PORTS.len() {
        moved = moved.replace(&format!("<{index}>"), &free_address().port().to_string());
    }
    moved
}

#[test]
fn every_command_of_the_walk_through_does_what_the_text_says() {
    let directory = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    symlink(root.join("conf"), directory.path().join("conf")).unwrap();
    let programs = [Path::new(env!("CARGO_BIN_EXE_rillcast")), &tools::promtool()]
        .map(|program| program.parent().unwrap().display().to_string());
    let path = format!("{}:{}", programs.join(":"), std::env::var("PATH").unwrap());
    // Whoever is still there goes with the script, whichever line ends it.
    let script = format!("trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\nset -eux\n{}", moved(&commands()));
    fs::write(directory.path().join("script"), script).unwrap();
    let output = Command::new("timeout")
        .args(["300", "bash", "script"])
        .current_dir(directory.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        log("edge.log"),
        log("ffmpeg.log")
    );
}
