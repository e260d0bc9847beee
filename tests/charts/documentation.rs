//! What is written down about values is so.

use std::process::Command;

use serde_json::{Value, json};

use super::cases::{merged, minimal};
use super::helm::{Chart, render, root, template, tool, written};

fn generate(arguments: &[&str]) -> std::process::Output {
    Command::new(tool("python")).arg(root().join("charts/generate.py")).args(arguments).output().unwrap()
}

#[test]
fn schemas_and_readmes_are_made_of_the_values_of_today() {
    let output = generate(&["--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What values may need to be switched on; one that changes nothing on any of these grounds does nothing.
fn grounds(chart: Chart) -> Vec<Value> {
    let monitors = json!({
        "podMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}, "dashboard": {"enabled": true},
    });
    let hosts = json!([{"host": "flv.example.com", "port": "http"}]);
    let everything = json!({
        "hostPorts": {"enabled": true},
        "canary": {"tag": "0.2.0"},
        "service": {"type": "LoadBalancer", "split": true},
        "ingress": {"enabled": true, "hosts": hosts},
        "gateway": {"enabled": true, "hosts": hosts, "parentRefs": [{"name": "public"}], "rtmp": {"enabled": true}},
        "metrics": monitors,
        "tls": {"secret": "media-tls"},
        "auth": {"existingSecret": "mine", "keys": {"publish_key": "mine"}},
        "hooks": {"ca": {"secret": "hooks-ca"}},
        "networkPolicy": {"clientsFrom": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]},
    });
    let a_monitor_of_a_service =
        json!({"metrics": {"serviceMonitor": {"enabled": true}}, "hooks": {"ca": {"configMap": "x"}}});
    let node_ports = json!({"tls": {"secret": "media-tls"}, "service": {"type": "NodePort"}});
    let more = match chart {
        Chart::Origin => vec![
            json!({
                "nginx": {"enabled": true}, "storage": {"type": "pvc", "size": "10Gi"}, "service": {"type": "NodePort"},
                "replicas": 1,
            }),
            json!({"storage": {"type": "hostPath", "hostPath": "/srv"}}),
        ],
        Chart::Edge => vec![
            json!({"cluster": {"existingSecret": "copied"}, "origin": {"tls": {"enabled": true, "caSecret": "ca"}}}),
            json!({"autoscaling": {"enabled": true}}),
            json!({"keda": {"enabled": true}}),
            json!({"origin": {"release": ""}, "upstream": {"origins": ["origin.example:1935"]}}),
        ],
    };
    let switched = [everything, a_monitor_of_a_service, node_ports];
    let mut grounds = vec![minimal(chart)];
    grounds.extend(switched.iter().map(|ground| merged(minimal(chart), ground)));
    grounds.extend(more.iter().map(|ground| merged(minimal(chart), ground)));
    grounds
}

/// Another value than the default: the one given as an example, else one of the same type.
fn another(default: &Value, example: &Value) -> Value {
    match default {
        _ if !example.is_null() => example.clone(),
        Value::Bool(is) => json!(!is),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) if !text.is_empty() => json!(format!("{text}x")),
        Value::Object(map) if !map.is_empty() => {
            let (key, value) = map.iter().next().unwrap();
            let other = match value {
                Value::Object(_) => json!({"changed": "1"}),
                value => another(value, &Value::Null),
            };
            json!({ key.as_str(): other })
        }
        _ => panic!("{default} needs an @example"),
    }
}

#[test]
fn every_value_of_the_origin_chart_changes_what_is_rendered() {
    assert_eq!(idle_values(Chart::Origin), Vec::<String>::new());
}

#[test]
fn every_value_of_the_edge_chart_changes_what_is_rendered() {
    assert_eq!(idle_values(Chart::Edge), Vec::<String>::new());
}

/// The values that change nothing, on whatever ground; to be refused by name is a change, too.
fn idle_values(chart: Chart) -> Vec<String> {
    let examples: Value =
        serde_json::from_slice(&generate(&["--examples", chart.name()]).stdout).expect("examples are JSON");
    let defaults = std::fs::read_to_string(chart.path().join("values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&defaults).unwrap();
    let grounds: Vec<(Value, String)> = grounds(chart)
        .into_iter()
        .map(|values| {
            let text = without_key(&render("ground", chart, &values).text);
            (values, text)
        })
        .collect();
    let is_idle = |path: &str, example: &Value| {
        let default = path.split('.').fold(&defaults, |level, name| &level[name]);
        // A ground may have switched on what is off by default.
        let others =
            if default.is_boolean() { vec![json!(true), json!(false)] } else { vec![another(default, example)] };
        !grounds.iter().any(|(ground, text)| {
            others.iter().any(|other| {
                let set = path.rsplit('.').fold(other.clone(), |value, name| json!({ name: value }));
                let output = template(super::helm::Helm::Four, chart, None, &merged(ground.clone(), &set));
                if output.status.success() {
                    without_key(&String::from_utf8_lossy(&output.stdout)) != *text
                } else {
                    String::from_utf8_lossy(&output.stderr).contains(&format!("{path} "))
                }
            })
        })
    };
    let examples = examples.as_object().unwrap().iter();
    examples.filter(|(path, example)| is_idle(path, example)).map(|(path, _)| path.clone()).collect()
}

/// What is generated is another one each time.
fn without_key(text: &str) -> String {
    let is_generated =
        |value: &str| value.len() >= 40 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'=');
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if is_generated(value) => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_helm_says_after_an_installation_names_the_objects_that_there_are() {
    for (chart, values, expected) in [
        (Chart::Origin, json!({}), "service/live-origin 1935:1935"),
        (Chart::Origin, json!({"service": {"split": true}}), "service/live-origin-rtmp 1935:1935"),
        (Chart::Edge, json!({}), "http://$HOST:8080/live/x.flv"),
        (Chart::Edge, json!({"service": {"split": true}}), "live-edge-http"),
        (Chart::Edge, json!({"service": {"type": "ClusterIP"}}), "port-forward -n media service/live-edge 8080:8080"),
        (
            Chart::Origin,
            json!({"service": {"type": "NodePort", "rtmp": {"nodePort": 30935}}}),
            "rtmp://ADDRESS-OF-A-NODE:30935/live/x",
        ),
        (
            Chart::Origin,
            json!({"service": {"type": "NodePort"}}),
            "jsonpath='{.spec.ports[?(@.name==\"rtmp\")].nodePort}')/live/x",
        ),
        (Chart::Origin, hosts("ingress"), "http://flv.example.com/live/x.flv   through the Ingress"),
        (Chart::Origin, hosts("gateway"), "http://flv.example.com/live/x.flv   through the Gateway"),
        (Chart::Edge, json!({"tls": {"secret": "media-tls"}}), "rtmps://$HOST:1443/live/x"),
        (Chart::Edge, json!({"tls": {"secret": "media-tls"}}), "https://$HOST:443/live/x.flv"),
        (Chart::Edge, json!({"service": {"http": {"enabled": false}}}), "service/live-edge 1935:1935"),
        (
            Chart::Edge,
            json!({"kind": "DaemonSet", "hostPorts": {"enabled": true, "http": 80}}),
            "http://ADDRESS-OF-A-POD'S-NODE:80/live/x.flv",
        ),
        (
            Chart::Origin,
            json!({"ports": {"http": 9080}, "clusterDomain": "c.example", "cluster": {"existingSecret": "a", "existingSecretKey": "b"}}),
            "--set origin.release=live --set origin.httpPort=9080 --set clusterDomain=c.example --set cluster.existingSecret=a --set cluster.existingSecretKey=b\n",
        ),
        (Chart::Origin, json!({"service": {"type": "LoadBalancer"}}), "Whoever reaches these ports may publish"),
        (Chart::Edge, json!({"hostNetwork": true}), "whoever reaches a node reaches"),
        (Chart::Edge, json!({"origin": {"tls": {"enabled": true}}}), "origin.tls.caSecret is empty"),
    ] {
        let notes = notes(chart, &values);
        assert!(notes.contains(expected), "{expected} is not in: {notes}");
    }
}

#[test]
fn what_helm_says_after_an_installation_names_nothing_that_there_is_not() {
    for (chart, values, unexpected) in [
        (Chart::Edge, json!({"service": {"http": {"enabled": false}}}), ".flv"),
        (Chart::Edge, json!({"service": {"enabled": false}}), "port-forward -n media service"),
        (Chart::Origin, json!({"service": {"type": "NodePort"}}), "loadBalancer"),
        (Chart::Origin, json!({"auth": {"existingSecret": "keys", "keys": {"publish_key": "a"}}}), "Whoever reaches"),
        (Chart::Origin, json!({"config": {"hooks": {"on_publish": "http://a.example/"}}}), "Whoever reaches"),
    ] {
        let notes = notes(chart, &values);
        assert!(notes.contains("helm test") && !notes.contains(unexpected), "{unexpected} is in: {notes}");
    }
}

/// One host in front of the port http.
fn hosts(kind: &str) -> Value {
    let host = json!({"enabled": true, "hosts": [{"host": "flv.example.com", "port": "http"}]});
    merged(json!({"gateway": {"parentRefs": [{"name": "public"}]}}), &json!({ kind: host }))
}

/// What Helm says after an installation.
#[track_caller]
fn notes(chart: Chart, values: &Value) -> String {
    let given = written(&merged(minimal(chart), values));
    let mut install = super::helm::command(super::helm::Helm::Four);
    install.args(["install", "live"]).arg(chart.path()).args(["--namespace", "media", "--dry-run=client"]);
    let output = install.arg("--values").arg(given.path()).output().unwrap();
    assert!(output.status.success(), "{values}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    said.split("NOTES:").nth(1).unwrap_or_default().to_owned()
}

/// The former chart's values would come along, and lack what is new in this one.
#[test]
fn upgrades_are_written_so_that_a_newer_chart_can_be_upgraded_to() {
    let text = std::fs::read_to_string(root().join("charts/README.md")).unwrap();
    let upgrades: Vec<&str> = text.lines().filter(|line| line.starts_with("    helm upgrade")).collect();
    assert!(upgrades.len() > 5);
    for upgrade in upgrades {
        assert!(upgrade.contains(" --reset-then-reuse-values "), "{upgrade}");
    }
}

#[test]
fn chart_and_program_have_the_same_version() {
    for chart in ["origin", "edge", "rillcast-lib"] {
        let text = std::fs::read_to_string(root().join("charts").join(chart).join("Chart.yaml")).unwrap();
        let chart: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    }
}
