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
        let monitors = json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}});
        assert_refused(chart, json!({ "metrics": monitors }), "only one of the two");
    }
    for chart in Chart::ALL {
        assert_refused(chart, json!({"config": {"rtmp": {"listen": ":1"}}}), "config.rtmp.listen");
        assert_refused(chart, json!({"config": {"admin": {"listen": ":1"}}}), "config.admin.listen");
        assert_refused(
            chart,
            json!({"config": {"http": {"tls_listen": ":1"}}}),
            "config.http.tls_listen: set tls.secret",
        );
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
        let apps = json!([{"match": "a"}, {"match": "*", "auth": {"publish_key": "0123456789abcdef"}}]);
        assert_refused(chart, json!({"config": {"apps": apps}}), "config.apps[1].auth.publish_key");
        assert_refused(chart, json!({"config": {"x": {"y": [{"password": "a"}]}}}), "config.x.y[0].password");
    }
}

#[test]
fn urls_that_hold_a_secret_are_refused_in_the_config_map() {
    for chart in Chart::ALL {
        for url in ["http://u:p@a.example/", "https://a.example/x?token=1", "http://a.example?token=1"] {
            for (config, name) in [
                (json!({"hooks": {"on_play": url}}), "config.hooks.on_play"),
                (json!({"hooks": {"on_play": ["http://a.example", url]}}), "config.hooks.on_play[1]"),
                (json!({"auth": {"play_callback": url}}), "config.auth.play_callback"),
                (json!({"apps": [{"match": "*", "hooks": {"on_stop": url}}]}), "config.apps[0].hooks.on_stop"),
            ] {
                assert_refused(chart, json!({ "config": config }), &format!("{name}: "));
            }
        }
    }
}

/// The chart sets files of its own for these: a secret beside them, in whatever fragment, ends the program.
#[test]
fn secrets_are_sent_to_the_value_that_takes_them() {
    for chart in Chart::ALL {
        assert_refused(chart, json!({"config": {"admin": {"edit_auth": "a:b"}}}), "admin.existingSecret");
        assert_refused(chart, json!({"config": {"cluster": {"key": "a"}}}), "cluster.existingSecret");
        assert_refused(chart, json!({"config": {"auth": {"play_jwt_key": "a"}}}), "auth.existingSecret");
        assert_refused(chart, json!({"config": {"hooks": {"on_play": "http://a/?b"}}}), "extraConfig");
    }
}

#[test]
fn labels_that_select_are_nobody_else_s_to_set() {
    for chart in Chart::ALL {
        for label in ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "track"] {
            for value in ["commonLabels", "podLabels"] {
                assert_refused(chart, json!({value: {label: "mine"}}), &format!("{value}: {label}"));
            }
        }
    }
}

#[test]
fn names_that_no_service_can_have_are_refused() {
    for chart in Chart::ALL {
        assert_refused(chart, json!({"fullnameOverride": "1media"}), "begin with a letter");
    }
}

#[test]
fn what_would_do_nothing_or_something_else_is_refused() {
    assert_refused(Chart::Edge, json!({"autoscaling": {"enabled": true, "cpuUtilization": 0}}), "something to look at");
    for chart in Chart::ALL {
        for split in [true, false] {
            let service = json!({"split": split, "rtmp": {"enabled": false}, "http": {"enabled": false}});
            assert_refused(chart, json!({ "service": service }), "service.enabled");
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
