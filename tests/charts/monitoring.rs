//! Alerts and the dashboard ask for metrics that the program has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use rillcast::metrics::Metrics;

use super::cases::{merged, minimal};
use super::helm::{Chart, Rendering, render, root};
use super::pods::pod_labels;

fn watched(chart: Chart) -> Rendering {
    let values = json!({"metrics": {"prometheusRule": {"enabled": true}, "dashboard": {"enabled": true}}});
    render("watched", chart, &merged(minimal(chart), &values))
}

fn dashboard(rendering: &Rendering) -> Value {
    let map = rendering.object("ConfigMap", &format!("live-{}-dashboard", rendering.chart.name()));
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let (name, text) = map["data"].as_object().unwrap().iter().next().unwrap();
    assert!(name.ends_with(".json"));
    serde_json::from_str(text.as_str().unwrap()).expect("a dashboard is JSON")
}

/// Every expression, with what it is for.
fn expressions(rendering: &Rendering) -> Vec<(String, String)> {
    let rules = rendering.of_kind("PrometheusRule")[0]["spec"]["groups"][0]["rules"].as_array().unwrap().iter();
    let mut all: Vec<_> =
        rules.map(|rule| (rule["alert"].to_string(), rule["expr"].as_str().unwrap().to_owned())).collect();
    for panel in dashboard(rendering)["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            all.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    all
}

fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("rillcast_")).collect()
}

#[test]
fn every_metric_that_is_asked_for_exists_from_the_start() {
    let exposed = Metrics::new().encode().unwrap();
    let exposed: BTreeSet<&str> = exposed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| names_in(line).into_iter().next())
        .collect();
    for chart in Chart::ALL {
        for (what, expression) in expressions(&watched(chart)) {
            let names = names_in(&expression);
            assert!(!names.is_empty(), "{what}: {expression}");
            for name in names {
                assert!(exposed.contains(name), "{what} asks for {name}");
            }
        }
    }
}

#[test]
fn every_label_value_that_is_asked_for_is_one_that_the_metric_has() {
    let exposed = Metrics::new().encode().unwrap();
    for chart in Chart::ALL {
        for (what, expression) in expressions(&watched(chart)) {
            for label in ["result", "reason", "limit", "protocol"] {
                for (at, _) in expression.match_indices(&format!("{label}=\"")) {
                    let value = expression[at..].split('"').nth(1).unwrap();
                    assert!(exposed.contains(&format!("{label}=\"{value}\"")), "{what}: {label}={value}");
                }
                for (at, _) in expression.match_indices(&format!("{label}!=\"")) {
                    let value = expression[at..].split('"').nth(1).unwrap();
                    assert!(exposed.contains(&format!("{label}=\"{value}\"")), "{what}: {label}!={value}");
                }
            }
        }
    }
}

#[test]
fn every_expression_is_about_this_installation_s_pods() {
    for chart in Chart::ALL {
        let series = format!(
            "{{namespace=\"media\", app_kubernetes_io_instance=\"live\", app_kubernetes_io_component=\"{}\"",
            chart.name()
        );
        for (what, expression) in expressions(&watched(chart)) {
            let metrics = expression.matches("rillcast_").count();
            assert_eq!(expression.matches(&series).count(), metrics, "{what}: {expression}");
            assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{what}: {expression}");
        }
    }
}

/// Prometheus' names of labels.
fn as_prometheus_writes_it(label: &str) -> String {
    label.replace(|character: char| !character.is_ascii_alphanumeric(), "_")
}

#[test]
fn monitors_add_the_labels_by_which_series_are_told_apart() {
    for chart in Chart::ALL {
        for (monitor, kind) in [("podMonitor", "PodMonitor"), ("serviceMonitor", "ServiceMonitor")] {
            let metrics = json!({"metrics": {monitor: {"enabled": true}}});
            let rendering = render("monitor", chart, &merged(minimal(chart), &metrics));
            let labels = rendering.of_kind(kind)[0]["spec"]["podTargetLabels"].as_array().unwrap().clone();
            let labels: Vec<&str> = labels.iter().map(|label| label.as_str().unwrap()).collect();
            let pod = pod_labels(rendering.stable());
            assert!(labels.iter().all(|label| pod.contains_key(*label)), "{labels:?}");
            let labels: Vec<String> = labels.into_iter().map(as_prometheus_writes_it).collect();
            assert_eq!(labels, ["app_kubernetes_io_instance", "app_kubernetes_io_component", "track"]);
        }
    }
}

/// The canary's players are not those of the pods that KEDA scales.
#[test]
fn keda_counts_the_players_of_the_pods_that_it_scales() {
    let values = json!({"keda": {"enabled": true}, "canary": {"tag": "0.2.0"}});
    let rendering = render("KEDA", Chart::Edge, &merged(minimal(Chart::Edge), &values));
    let query = rendering.of_kind("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["query"].clone();
    let expected = "sum(rillcast_players{namespace=\"media\", app_kubernetes_io_instance=\"live\", \
                    app_kubernetes_io_component=\"edge\", track=\"stable\"})";
    assert_eq!(query, expected);
}

#[test]
fn every_alert_says_what_is_wrong_and_how_much_it_matters() {
    for chart in Chart::ALL {
        let rendering = watched(chart);
        for rule in rendering.of_kind("PrometheusRule")[0]["spec"]["groups"][0]["rules"].as_array().unwrap() {
            assert!(rule["labels"]["severity"].is_string(), "{rule}");
            assert!(rule["annotations"]["summary"].as_str().is_some_and(|text| text.len() > 10), "{rule}");
        }
    }
}

/// What `conf/` has for who does not install by charts: alerts by name, and panels by title, with all their expressions.
fn in_conf() -> BTreeMap<String, String> {
    let read = |name: &str| std::fs::read_to_string(root().join("conf").join(name)).unwrap();
    let rules: Value = serde_saphyr::from_str(&read("prometheus-rules.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboard.json")).unwrap();
    let mut found = BTreeMap::new();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        found.insert(rule["alert"].to_string(), rule["expr"].to_string());
    }
    for panel in dashboard["panels"].as_array().unwrap() {
        found.insert(panel["title"].to_string(), panel["targets"].to_string());
    }
    found
}

#[test]
fn who_installs_without_charts_has_the_same_alerts_and_panels() {
    let in_conf = in_conf();
    for chart in Chart::ALL {
        for (what, expression) in expressions(&watched(chart)) {
            let there = in_conf.get(&what).unwrap_or_else(|| panic!("{what} is not in conf"));
            for name in names_in(&expression) {
                assert!(there.contains(name), "{what} asks for {name} in the chart only");
            }
        }
    }
    let in_charts: BTreeSet<String> =
        Chart::ALL.into_iter().flat_map(|chart| expressions(&watched(chart))).map(|(what, _)| what).collect();
    let missing: Vec<&String> = in_conf.keys().filter(|what| !in_charts.contains(*what)).collect();
    assert!(missing.is_empty(), "no chart has {missing:?}");
}
