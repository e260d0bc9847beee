//! Values that cannot be meant are refused, with the name of the value.

use serde_json::{Value, json};

use super::cases::{merged, minimal};
use super::helm::{Chart, refusal};

#[track_caller]
fn assert_refused(chart: Chart, values: Value, name: &str) {
    let said = refusal(chart, &merged(minimal(chart), &values));
    assert!(said.contains(name), "{name} is not in: {said}");
}

#[test]
fn values_that_there_are_not_are_refused() {
    for chart in Chart::ALL {
        assert_refused(chart, json!({"replicaCount": 3}), "replicaCount");
        assert_refused(chart, json!({"service": {"rtmp": {"prot": 1935}}}), "prot");
        assert_refused(chart, json!({"image": {"digest": "latest"}}), "digest");
        assert_refused(chart, json!({"ports": {"rtmp": 0}}), "rtmp");
        assert_refused(chart, json!({"replicas": "two"}), "replicas");
        assert_refused(chart, json!({"extraConfig": [{"configmap": "x"}]}), "extraConfig");
    }
}

#[test]
fn an_edge_without_an_origin_is_told_how_to_name_one() {
    let said = refusal(Chart::Edge, &json!({}));
    assert!(said.contains("origin.release") && said.contains("upstream.origins"), "{said}");
}

#[test]
fn two_ways_to_say_the_same_are_refused() {
    assert_refused(Chart::Edge, json!({"upstream": {"origins": ["a:1935"]}}), "only one of the two");
    assert_refused(
        Chart::Edge,
        json!({"autoscaling": {"enabled": true}, "keda": {"enabled": true}}),
        "only one of the two",
    );
    assert_refused(Chart::Edge, json!({"config": {"upstream": {"origins": ["a:1935"]}}}), "config.upstream.origins");
    for chart in Chart::ALL {
        assert_refused(chart, json!({"config": {"rtmp": {"listen": ":1"}}}), "config.rtmp.listen");
        assert_refused(chart, json!({"config": {"admin": {"listen": ":1"}}}), "config.admin.listen");
        assert_refused(chart, json!({"config": {"http": {"tls_listen": ":1"}}}), "config.http.tls_listen");
    }
}

#[test]
fn a_daemon_set_cannot_be_scaled() {
    for scaler in ["autoscaling", "keda"] {
        assert_refused(Chart::Edge, json!({"kind": "DaemonSet", scaler: {"enabled": true}}), "DaemonSet");
    }
    let values = json!({"kind": "DaemonSet", "hostPorts": {"enabled": true}, "canary": {"tag": "2"}});
    assert_refused(Chart::Edge, values, "canary.tag");
}

#[test]
fn secrets_in_the_config_map_are_refused() {
    for chart in Chart::ALL {
        for (section, key) in [
            ("cluster", "key"),
            ("admin", "edit_auth"),
            ("auth", "token_secret"),
            ("hooks", "password"),
            ("x", "api_key"),
        ] {
            assert_refused(chart, json!({"config": {section: {key: "a"}}}), &format!("config.{section}.{key}"));
        }
    }
}

#[test]
fn whoever_renders_without_a_cluster_is_told_how_to_make_a_secret() {
    assert_refused(Chart::Origin, json!({"cluster": {"generate": false}}), "cluster.existingSecret");
    for chart in [Chart::Origin, Chart::Edge] {
        assert_refused(chart, json!({"admin": {"generate": false}}), "admin.existingSecret");
    }
    assert_refused(Chart::Edge, json!({"origin": {"namespace": "origins"}}), "cluster.existingSecret");
}

#[test]
fn durations_that_are_none_are_refused() {
    for duration in ["soon", "1.5m", "90", "-1s"] {
        let values = json!({"config": {"drain": {"hard_timeout": duration}}});
        assert_refused(Chart::Edge, values, "is no duration");
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    let hosts = json!([{"host": "a.example", "port": "http"}]);
    for chart in Chart::ALL {
        let ingress = json!({"enabled": true, "hosts": hosts});
        assert_refused(chart, json!({"ingress": ingress, "service": {"enabled": false}}), "service.enabled");
        assert_refused(
            chart,
            json!({"ingress": ingress, "service": {"http": {"enabled": false}}}),
            "service.http.enabled",
        );
        assert_refused(chart, json!({"ingress": {"enabled": true}}), "ingress.hosts");
        assert_refused(chart, json!({"gateway": {"enabled": true, "hosts": hosts}}), "gateway.parentRefs");
    }
    assert_refused(Chart::Origin, json!({"nginx": {"enabled": true}}), "storage.type");
    assert_refused(Chart::Origin, json!({"storage": {"type": "pvc"}}), "storage.size");
    assert_refused(Chart::Origin, json!({"storage": {"type": "hostPath"}}), "storage.hostPath");
    let hls = json!({"ingress": {"enabled": true, "hosts": [{"host": "a.example", "port": "hls"}]}});
    assert_refused(Chart::Origin, hls, "nginx.enabled");
}
