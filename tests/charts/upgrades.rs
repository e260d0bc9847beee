//! What an upgrade finds in the cluster and keeps.

use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::cases::{merged, minimal};
use super::helm::{Chart, Helm, Rendering, render, render_in};
use super::pods::fullname;

const HELMS: [Helm; 2] = [Helm::Three, Helm::Four];

/// A rendering by both, in a cluster that has these objects.
fn upgraded(chart: Chart, values: &Value, objects: &[Value]) -> Vec<Rendering> {
    let server = ApiServer::with(objects.to_vec());
    HELMS.map(|helm| render_in(&server, helm, "upgraded", chart, &merged(minimal(chart), values))).into()
}

#[test]
fn secrets_that_are_there_are_kept() {
    for chart in Chart::ALL {
        let values =
            json!({"auth": {"generate": true, "keys": {"publish_key": "publish-key", "play_key": "play-key"}}});
        let installed = render("installed", chart, &merged(minimal(chart), &values));
        let secrets: Vec<Value> = installed.of_kind("Secret").into_iter().cloned().collect();
        assert_eq!(secrets.len(), if chart == Chart::Origin { 3 } else { 2 });
        for upgrade in upgraded(chart, &values, &secrets) {
            for secret in &secrets {
                let name = secret["metadata"]["name"].as_str().unwrap();
                assert_eq!(upgrade.object("Secret", name)["data"], secret["data"], "{}", upgrade.name);
            }
        }
    }
}

#[test]
fn a_key_that_is_named_later_is_made_beside_those_that_are_there() {
    let name = format!("{}-auth", fullname(Chart::Origin));
    let there = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"publish-key": "a2VwdA=="},
    });
    let values = json!({"auth": {"generate": true, "keys": {"publish_key": "publish-key", "play_key": "play-key"}}});
    for upgrade in upgraded(Chart::Origin, &values, &[there]) {
        let data = &upgrade.object("Secret", &name)["data"];
        assert_eq!(data["publish-key"], "a2VwdA==");
        assert!(data["play-key"].as_str().is_some_and(|key| key.len() >= 44), "{data}");
    }
}

/// A number that the manifest had before and has no more becomes 1.
#[test]
fn what_begins_to_be_scaled_keeps_the_pods_that_it_has() {
    let live = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": fullname(Chart::Edge)}, "spec": {"replicas": 7},
    });
    for upgrade in upgraded(Chart::Edge, &json!({"autoscaling": {"enabled": true}}), &[live]) {
        assert_eq!(upgrade.stable()["spec"]["replicas"], 7, "{}", upgrade.name);
    }
    // On and on: the manifest has had a number from then on.
    let scaled = json!({"autoscaling": {"enabled": true}, "replicas": 3});
    let live = |annotations: Value| {
        let name = fullname(Chart::Edge);
        json!({"kind": "Deployment", "metadata": {"name": name, "annotations": annotations}, "spec": {"replicas": 4}})
    };
    for upgrade in upgraded(Chart::Edge, &scaled, &[live(json!({"a": "b"}))]) {
        assert_eq!(upgrade.stable()["spec"]["replicas"], 4, "{}", upgrade.name);
    }
}

/// A number in the manifest would come back with every rollback.
#[test]
fn what_was_scaled_from_the_start_never_says_how_many_pods_there_are() {
    for installation in upgraded(Chart::Edge, &json!({"autoscaling": {"enabled": true}}), &[]) {
        assert_eq!(installation.stable()["spec"].get("replicas"), None, "{}", installation.name);
        let mut live = installation.stable().clone();
        live["spec"]["replicas"] = json!(7);
        for upgrade in upgraded(Chart::Edge, &json!({"autoscaling": {"enabled": true}}), &[live]) {
            assert_eq!(upgrade.stable()["spec"].get("replicas"), None, "{}", upgrade.name);
        }
    }
}
