//! What `conf/` holds for Prometheus and Grafana asks for nothing that the servers do not tell.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::harness::server::Server;
use super::harness::tools;

/// What a label must be one of, wherever an expression compares it.
const LABELS: [&str; 6] = ["protocol", "result", "reason", "limit", "file", "le"];
/// Labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

fn rules() -> Vec<Value> {
    let text = std::fs::read_to_string(conf("prometheus-rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(conf("grafana-dashboard.json")).unwrap()).unwrap()
}

/// Every expression of both, with what it is for.
fn expressions() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = rules().iter().map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        all.extend(targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"]))));
    }
    all
}

/// The names of metrics in an expression.
fn metrics_in(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("rillcast_")).collect()
}

/// What an expression demands of labels: name and value, and several where it is a pattern of alternatives.
fn demands_in(expression: &str) -> Vec<(String, String)> {
    let mut demands = Vec::new();
    for selector in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        for demand in selector.split(',').map(str::trim) {
            let (name, value) = demand.split_at(demand.find(['=', '!']).expect("a demand compares"));
            let value = value.trim_start_matches(['=', '!', '~']).trim_matches('"');
            demands.extend(value.split('|').map(|value| (name.to_owned(), value.to_owned())));
        }
    }
    demands
}

#[test]
fn every_metric_and_label_value_that_is_asked_for_is_told_by_origin_and_edge() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let told = [origin, edge].map(|server| server.admin("/metrics").text());
    for (what, expression) in expressions() {
        assert!(!metrics_in(&expression).is_empty(), "{what}: {expression}");
        for text in &told {
            let series = |name: &str| {
                text.lines().any(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")))
            };
            for metric in metrics_in(&expression) {
                assert!(series(metric), "{what} asks for {metric}");
            }
            for (label, value) in demands_in(&expression) {
                if OF_PROMETHEUS.contains(&label.as_str()) {
                    assert_eq!(value, format!("${label}"), "{what}");
                } else {
                    assert!(LABELS.contains(&label.as_str()), "{what}: {label}");
                    assert!(text.contains(&format!("{label}=\"{value}\"")), "{what}: {label}={value}");
                }
            }
        }
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_how_much_it_matters() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len(), "two alerts have the same name");
    for rule in &rules {
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        assert!(rule["annotations"]["summary"].as_str().is_some_and(|text| text.len() > 10), "{rule}");
    }
}

#[test]
fn panels_have_places_of_their_own_and_say_what_they_show() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let places: BTreeSet<String> = panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!((places.len(), ids.len()), (panels.len(), panels.len()));
    for panel in panels {
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}

#[test]
fn prometheus_itself_takes_the_rules() {
    check(&conf("prometheus-rules.yaml"));
    // The expressions of the dashboard, as rules.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dashboard.yaml");
    let mut text = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (index, (_, expression)) in expressions().into_iter().enumerate() {
        text += &format!(
            "      - record: \"panel:{index}\"\n        expr: {}\n",
            serde_json::to_string(&expression).unwrap()
        );
    }
    std::fs::write(&path, text).unwrap();
    check(&path);
}

#[track_caller]
fn check(rules: &Path) {
    let output = Command::new(tools::promtool()).args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
