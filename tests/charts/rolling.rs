//! How pods take each other's places: on ports of their nodes, with directories of their nodes, as canaries.

use serde_json::{Value, json};

use super::cases::{self, merged, minimal};
use super::helm::{Chart, Rendering, refusal, render};
use super::pods::{container, program, selects};

fn edge(values: Value) -> Rendering {
    render("rolling", Chart::Edge, &merged(minimal(Chart::Edge), &values))
}

fn origin(values: Value) -> Rendering {
    render("rolling", Chart::Origin, &values)
}

#[test]
fn a_pod_that_holds_ports_of_its_node_goes_before_the_next_one_comes() {
    let seen = cases::all().iter().filter(|rendering| rendering.chart == Chart::Edge).filter(|rendering| {
        let values = &rendering.values;
        let holds_ports = values["hostNetwork"] == true || values["hostPorts"]["enabled"] == true;
        let spec = &rendering.stable()["spec"];
        let strategy = if spec["strategy"].is_object() { &spec["strategy"] } else { &spec["updateStrategy"] };
        let expected = if holds_ports { json!([0, 1]) } else { json!([1, 0]) };
        let rolling = &strategy["rollingUpdate"];
        assert_eq!(json!([rolling["maxSurge"], rolling["maxUnavailable"]]), expected, "{}", rendering.name);
        holds_ports
    });
    assert!(seen.count() >= 5);
}

#[test]
fn more_pods_may_be_away_at_a_time_where_that_is_set() {
    let rolling = json!({"maxUnavailable": "25%", "maxSurge": 3});
    let edge = edge(json!({"hostNetwork": true, "rollingUpdate": rolling}));
    let strategy = &edge.stable()["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(*strategy, json!({"maxSurge": 0, "maxUnavailable": "25%"}));
}

#[test]
fn ports_of_the_node_lead_to_tls_too() {
    for chart in Chart::ALL {
        let values = json!({"hostPorts": {"enabled": true, "https": 443}, "tls": {"secret": "media-tls"}});
        let rendering = render("TLS", chart, &merged(minimal(chart), &values));
        let ports = program(rendering.stable())["ports"].as_array().unwrap().clone();
        let of = |name: &str| ports.iter().find(|port| port["name"] == name).unwrap()["hostPort"].clone();
        assert_eq!([of("rtmp"), of("http"), of("rtmps"), of("https")], [1935, 8080, 1443, 443].map(Value::from));
        assert_eq!(of("admin"), Value::Null);
    }
}

/// There both numbers have to be the same: Kubernetes refuses others.
#[test]
fn on_the_host_s_network_no_port_leads_to_another_one() {
    for chart in Chart::ALL {
        let values = json!({"hostNetwork": true, "hostPorts": {"enabled": true, "http": 80}});
        let rendering = render("network", chart, &merged(minimal(chart), &values));
        let ports = program(rendering.stable())["ports"].as_array().unwrap().clone();
        assert!(ports.iter().all(|port| port.get("hostPort").is_none()), "{ports:?}");
    }
}

/// What such a budget allows is reckoned by the scale subresource, which a DaemonSet has none of.
#[test]
fn a_daemon_set_has_no_budget() {
    for rendering in cases::all() {
        let is_daemon_set = rendering.stable()["kind"] == "DaemonSet";
        let is_wanted = rendering.values["podDisruptionBudget"]["enabled"] != false
            && !rendering.name.ends_with("values-single.yaml");
        let budgets = rendering.of_kind("PodDisruptionBudget").len();
        assert_eq!(budgets, usize::from(is_wanted && !is_daemon_set), "{}", rendering.name);
    }
}

#[test]
fn origins_that_write_to_a_directory_of_the_node_keep_off_each_other_s_nodes() {
    let storage = json!({"type": "hostPath", "hostPath": "/srv"});
    let spread = |values: Value| {
        let rendering = origin(values);
        let pod = rendering.stable()["spec"]["template"].clone();
        (pod["spec"]["affinity"].clone(), pod["metadata"]["labels"].as_object().unwrap().clone())
    };
    let (affinity, labels) = spread(json!({"storage": storage, "affinity": {"nodeAffinity": {"a": 1}}}));
    let term = &affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(term["topologyKey"], "kubernetes.io/hostname");
    assert!(selects(&term["labelSelector"]["matchLabels"], &labels));
    assert_eq!(affinity["nodeAffinity"], json!({"a": 1}));

    let mine = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}});
    assert_eq!(spread(json!({"storage": storage, "affinity": mine})).0, mine);
    assert_eq!(spread(json!({})).0, Value::Null);
}

#[test]
fn nginx_is_for_a_single_pod_and_goes_on_until_nobody_is_sent_there() {
    let nginx = json!({"nginx": {"enabled": true, "workers": 3}, "storage": {"type": "emptyDir"}});
    for more in [json!({"replicas": 2}), json!({"replicas": 1, "canary": {"tag": "2"}})] {
        let said = refusal(Chart::Origin, &merged(nginx.clone(), &more));
        assert!(said.contains("nginx.enabled") && said.contains("replicas=1"), "{said}");
    }
    for (delay, expected) in [(json!(null), json!("10")), (json!("30s"), json!("30")), (json!(0), Value::Null)] {
        let drain = if delay.is_null() { json!({}) } else { json!({"drain": {"propagation_delay": delay}}) };
        let rendering = origin(merged(nginx.clone(), &json!({"replicas": 1, "config": drain})));
        let pod = &rendering.stable()["spec"]["template"]["spec"];
        let command = &container(pod, "nginx").unwrap()["lifecycle"]["preStop"]["exec"]["command"];
        assert_eq!(command[1], expected);
        assert!(rendering.text.contains("worker_processes 3;"));
    }
}

#[test]
fn what_is_promoted_is_the_canary_and_then_the_image() {
    let image = |values: Value| program(edge(values).stable())["image"].clone();
    let promoted = json!({"canary": {"tag": "0.2.0", "promote": "0.2.0"}});
    assert_eq!(image(promoted.clone()), "localhost/rillcast:0.2.0");
    // The clean-up replaces nothing.
    assert_eq!(image(json!({"image": {"tag": "0.2.0"}})), "localhost/rillcast:0.2.0");
    let halfway = json!({"image": {"tag": "0.2.0"}, "canary": {"promote": "0.2.0"}});
    assert_eq!(image(halfway), "localhost/rillcast:0.2.0");

    for forgotten in [
        json!({"canary": {"tag": "0.3.0"}}),
        json!({"canary": {"tag": ""}}),
        json!({"image": {"tag": "0.4.0"}}),
        json!({"canary": {"tag": "0.3.0"}, "image": {"tag": "0.2.0"}}),
    ] {
        let said = refusal(Chart::Edge, &merged(minimal(Chart::Edge), &merged(promoted.clone(), &forgotten)));
        assert!(said.contains("canary.promote") && said.contains("image.tag=0.2.0"), "{forgotten}: {said}");
    }
}

#[test]
fn a_canary_waits_to_be_promoted() {
    let canary = edge(json!({"canary": {"tag": "0.3.0"}, "image": {"tag": "0.2.0"}}));
    assert_eq!(canary.workloads().len(), 2);
    assert_eq!(program(canary.stable())["image"], "localhost/rillcast:0.2.0");
}
