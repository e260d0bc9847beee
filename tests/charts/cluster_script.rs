//! tests/k8s/run, whole, against a cluster of files: that it passes where all is well, and fails where something is not.
//!
//! The programs in `fakes` play kubectl, helm and curl; values and charts go through real Helm.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use super::helm::{root, tool};

const SCRIPT: &str = include_str!("../k8s/run");
/// What stands first on PATH.
const PROGRAMS: &str = "tests/charts/fakes";

/// Runs where all is well, which several tests look at: with one image, and with another for the canary.
static WELL: LazyLock<Run> = LazyLock::new(|| Run::new("", &[]));
static WELL_WITH_ANOTHER_VERSION: LazyLock<Run> = LazyLock::new(|| {
    Run::new("", &[("CANARY_TAG", "0.2.0"), ("STORAGE_CLASS", "fast"), ("NAMESPACE", "elsewhere"), ("PLAYERS", "5")])
});

/// Runs the script with options on a cluster in a directory, in which something goes wrong; nothing does with an empty text.
fn run(cluster: &Path, fault: &str, options: &[(&str, &str)]) -> Output {
    let path = format!("{}:{}", root().join(PROGRAMS).display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(root().join("tests/k8s/run"));
    command.env("PATH", path).env("FAKE", cluster).env("FAULT", fault).env("HELM", tool("helm"));
    for (variable, directory) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, cluster.join(directory));
    }
    command.env("PLAYERS", "3").envs(options.iter().copied()).output().unwrap()
}

/// A run of the script on a cluster of its own.
struct Run {
    code: Option<i32>,
    /// Those of its output.
    lines: Vec<String>,
    /// Every call of a program in the place of another.
    calls: String,
}

impl Run {
    fn new(fault: &str, options: &[(&str, &str)]) -> Self {
        let cluster = tempfile::tempdir().unwrap();
        let output = run(cluster.path(), fault, options);
        let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        let calls = fs::read_to_string(cluster.path().join("calls")).unwrap();
        assert!(!cluster.path().join("namespace").exists(), "the namespace was not deleted");
        Self { code: output.status.code(), lines, calls }
    }

    /// The names of the scenarios that were reported so.
    fn scenarios(&self, result: &str) -> Vec<&str> {
        let reported = self.lines.iter().filter_map(|line| line.strip_prefix(result));
        reported.map(|rest| scenarios().into_iter().find(|name| rest.trim_start().starts_with(name)).unwrap()).collect()
    }

    /// What is said of a scenario.
    fn line(&self, scenario: &str) -> &str {
        let is_of_it = |line: &&String| {
            let rest = line.strip_prefix("ok").or_else(|| line.strip_prefix("FAIL"));
            rest.is_some_and(|rest| rest.trim_start().starts_with(scenario))
        };
        self.lines.iter().find(is_of_it).unwrap_or_else(|| panic!("nothing is said of {scenario}: {:#?}", self.lines))
    }
}

/// The names of all scenarios, as the script has them.
fn scenarios() -> Vec<&'static str> {
    let rest = SCRIPT.lines().filter_map(|line| line.strip_prefix("scenario \""));
    rest.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Asserts that with a fault a scenario fails with a reason, after those before it.
#[track_caller]
fn assert_fails(fault: &str, options: &[(&str, &str)], scenario: &str, reason: &str) {
    let run = Run::new(fault, options);
    let shown = run.lines.join("\n");
    assert_eq!(run.code, Some(1), "{fault}: {shown}");
    assert_eq!(run.scenarios("FAIL"), [scenario], "{fault}: {shown}");
    let before: Vec<_> = scenarios().into_iter().take_while(|name| *name != scenario).collect();
    assert_eq!(run.scenarios("ok"), before, "{fault}: {shown}");
    assert!(run.line(scenario).contains(reason), "{fault}: {shown}");
}

#[test]
fn every_scenario_is_ok_where_all_is_well() {
    for run in [&WELL, &WELL_WITH_ANOTHER_VERSION] {
        assert_eq!(run.code, Some(0), "{:#?}", run.lines);
        assert_eq!(run.scenarios("ok"), scenarios(), "{:#?}", run.lines);
    }
    assert_eq!(scenarios().len(), 12);
}

#[test]
fn it_is_said_how_often_players_were_disconnected_and_for_how_long() {
    let roll = WELL.line("roll edges under load");
    assert!(roll.contains("3 players disconnected 3 times, longest gap 300 ms"), "{roll}");
    let origins = WELL.line("roll origins");
    assert!(origins.contains("the publisher began again 1 times"), "{origins}");
    let all = WELL.line("uninstall leaves nothing");
    assert!(all.contains("3 players were disconnected"), "{all}");
}

#[test]
fn options_reach_the_cluster() {
    let calls = &WELL_WITH_ANOTHER_VERSION.calls;
    assert!(calls.contains("canary.tag=0.2.0"), "{calls}");
    assert!(calls.contains("create namespace elsewhere") && !calls.contains("rillcast-test"), "{calls}");
    let players = WELL_WITH_ANOTHER_VERSION.line("publish and play");
    assert!(players.contains("5 players"), "{players}");
}

#[test]
fn a_pod_that_does_not_become_ready_fails_the_roll() {
    assert_fails("a pod does not become ready", &[], "roll edges under load", "timed out waiting for the condition");
}

#[test]
fn a_newcomer_who_is_refused_fails_the_scenario() {
    assert_fails("a newcomer is refused", &[], "scale out and in", "2 of those who came were refused or cut off");
}

#[test]
fn a_player_who_does_not_come_back_in_time_fails_the_scenario() {
    let options = [("GAP_SECONDS", "1")];
    assert_fails("a player gives up", &options, "scale out and in", "not all 3 players play, and 1 have given up");
}

#[test]
fn a_version_that_cannot_start_and_yet_is_rolled_out_fails_the_scenario() {
    assert_fails("a bad version is rolled out", &[], "a bad version, rolled back", "a tag that does not exist");
}

#[test]
fn a_configuration_that_disconnects_anybody_fails_the_scenario() {
    let fault = "a configuration disconnects a player";
    assert_fails(fault, &[], "another configuration", "players were disconnected, 1 times");
}

#[test]
fn a_configuration_that_replaces_pods_fails_the_scenario() {
    assert_fails("a configuration replaces pods", &[], "another configuration", "pods were replaced");
}

#[test]
fn a_key_that_an_upgrade_makes_again_fails_the_scenario() {
    assert_fails("an upgrade makes another key", &[], "key and logins outlive an upgrade", "contents have changed");
}

#[test]
fn what_an_uninstallation_leaves_fails_the_scenario() {
    let options = [("SETTLE_SECONDS", "10")];
    assert_fails("something is left", &options, "uninstall leaves nothing", "something is left");
}

#[test]
fn a_scenario_that_takes_too_long_is_ended() {
    let options = [("STEP_SECONDS", "2")];
    assert_fails("nothing comes of an installation", &options, "install", "not done after 2 s");
}

#[test]
fn a_namespace_that_exists_is_left_alone() {
    let cluster = tempfile::tempdir().unwrap();
    let namespace = cluster.path().join("namespace");
    fs::write(&namespace, "").unwrap();
    let output = run(cluster.path(), "", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("exists: choose another NAMESPACE"));
    assert!(namespace.exists());
}
