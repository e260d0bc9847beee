//! The NetworkPolicy opens what is needed, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cases::{self, merged, minimal};
use super::helm::{Chart, NAMESPACE, RELEASE, Rendering, render};
use super::pods::selects;

/// One rule: to or from whom (`None`: everybody), and the ports.
type Rule = (Option<Value>, Vec<String>);

#[track_caller]
fn rules(rendering: &Rendering, direction: &str) -> Vec<Rule> {
    let policies = rendering.of_kind("NetworkPolicy");
    assert_eq!(policies.len(), 1, "{}", rendering.name);
    let spec = &policies[0]["spec"];
    // Without both types an empty list would allow everything.
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    let peers = if direction == "ingress" { "from" } else { "to" };
    let rules = spec[direction].as_array().unwrap().iter();
    rules
        .map(|rule| {
            let ports = rule["ports"].as_array().expect("every rule names its ports").iter();
            (rule.get(peers).cloned(), ports.map(|port| port["port"].to_string().replace('"', "")).collect())
        })
        .collect()
}

#[track_caller]
fn with(chart: Chart, values: Value) -> Rendering {
    render("policy", chart, &merged(minimal(chart), &values))
}

fn rule(peers: Value, ports: &[&str]) -> Rule {
    let peers = if peers.is_null() { None } else { Some(peers) };
    (peers, ports.iter().map(|port| (*port).to_owned()).collect())
}

fn dns() -> Rule {
    rule(Value::Null, &["53", "53"])
}

fn origin_pods(namespace: &str) -> Value {
    json!([{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {
            "app.kubernetes.io/name": "rillcast",
            "app.kubernetes.io/component": "origin",
            "app.kubernetes.io/instance": RELEASE,
        }},
    }])
}

#[test]
fn everybody_may_play_at_an_edge_and_nobody_reaches_its_admin_port() {
    let edge = cases::defaults(Chart::Edge);
    assert_eq!(rules(edge, "ingress"), [rule(Value::Null, &["rtmp", "http"])]);
}

#[test]
fn with_tls_its_ports_are_open_too() {
    for chart in [Chart::Edge, Chart::Origin] {
        let rendering = with(chart, json!({"tls": {"secret": "media-tls"}}));
        assert_eq!(rules(&rendering, "ingress")[0].1, ["rtmp", "http", "rtmps", "https"]);
    }
}

#[test]
fn an_edge_reaches_its_origin_s_media_ports_and_dns_only() {
    let edge = cases::defaults(Chart::Edge);
    assert_eq!(rules(edge, "egress"), [dns(), rule(origin_pods(NAMESPACE), &["1935", "8080"])]);
    let without_hls = with(Chart::Edge, json!({"config": {"hls": {"enabled": false}}}));
    assert_eq!(rules(&without_hls, "egress"), [dns(), rule(origin_pods(NAMESPACE), &["1935"])]);
}

#[test]
fn the_rules_of_an_edge_follow_its_upstream() {
    let http = with(Chart::Edge, json!({"config": {"upstream": {"protocol": "http-flv", "http_port": 18080}}}));
    assert_eq!(rules(&http, "egress"), [dns(), rule(origin_pods(NAMESPACE), &["1935", "18080"])]);

    let elsewhere = with(
        Chart::Edge,
        json!({"origin": {"namespace": "origins", "rtmpPort": 2935, "httpPort": 2080}, "cluster": {"existingSecret": "copied"}}),
    );
    assert_eq!(rules(&elsewhere, "egress"), [dns(), rule(origin_pods("origins"), &["2935", "2080"])]);

    let foreign = with(
        Chart::Edge,
        json!({"origin": {"release": ""}, "upstream": {"origins": ["a.example:1936", "b.example", "[2001:db8::1]:1936"]}}),
    );
    assert_eq!(rules(&foreign, "egress"), [dns(), rule(Value::Null, &["1936", "1935", "8080"])]);

    let backups = with(Chart::Edge, json!({"config": {"upstream": {"backup_origins": ["backup.example:2935"]}}}));
    assert_eq!(rules(&backups, "egress"), [dns(), rule(Value::Null, &["1935", "2935", "8080"])]);
}

#[test]
fn over_tls_an_edge_reaches_the_ports_of_tls() {
    for values in [
        json!({"origin": {"tls": {"enabled": true}}}),
        json!({"config": {"upstream": {"tls": true, "rtmps_port": 1443, "http_port": 8443}}}),
    ] {
        let edge = with(Chart::Edge, values);
        assert_eq!(rules(&edge, "egress"), [dns(), rule(origin_pods(NAMESPACE), &["1443", "8443"])]);
    }
    let foreign =
        json!({"origin": {"release": "", "tls": {"enabled": true}}, "upstream": {"origins": ["a.example:443"]}});
    assert_eq!(rules(&with(Chart::Edge, foreign), "egress"), [dns(), rule(Value::Null, &["443", "8443"])]);
}

#[test]
fn pods_of_a_release_name_the_ports_of_tls_in_dns() {
    let origin = with(Chart::Origin, json!({"tls": {"secret": "media-tls"}, "ports": {"rtmps": 2443}}));
    let ports = origin.object("Service", "live-origin-headless")["spec"]["ports"].as_array().unwrap().clone();
    let ports: Vec<_> =
        ports.iter().map(|port| (port["name"].as_str().unwrap(), port["port"].as_u64().unwrap())).collect();
    assert_eq!(ports, [("rtmp", 1935), ("http", 8080), ("rtmps", 2443), ("https", 8443)]);
}

#[test]
fn hooks_and_callbacks_are_reached_on_the_ports_of_their_urls() {
    let config = json!({
        "hooks": {"on_publish": "http://control.media:8085/x", "on_play": ["https://a.example/y", "http://[2001:db8::1]/z"]},
        "auth": {"play_callback": "https://b.example:9443"},
        "apps": [{"match": "a/*", "hooks": {"on_stop": "http://control.media:8085"}, "auth": {"publish_callback": "http://c:81/"}}],
        "http": {"cors_origins": ["https://player.example:1234"]},
    });
    for chart in Chart::ALL {
        let egress = rules(&with(chart, json!({ "config": config })), "egress");
        assert_eq!(egress.last().unwrap(), &rule(Value::Null, &["80", "81", "443", "8085", "9443"]));
        assert_eq!(egress.len(), rules(cases::defaults(chart), "egress").len() + 1);
    }
}

#[test]
fn everybody_reaches_the_ports_of_an_origin_that_a_way_in_leads_to() {
    let hosts = json!([{"host": "flv.example.com", "port": "http"}]);
    let ours =
        json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "rillcast"}}}]);
    let gateway = json!({"enabled": true, "hosts": hosts, "parentRefs": [{"name": "public"}]});
    for (values, open) in [
        (json!({"ingress": {"enabled": true, "hosts": hosts}}), vec!["http"]),
        (json!({"gateway": gateway}), vec!["http"]),
        (json!({"gateway": {"enabled": true, "parentRefs": [{"name": "a"}], "rtmp": {"enabled": true}}}), vec!["rtmp"]),
        (json!({"tls": {"secret": "a"}, "ingress": {"enabled": true, "hosts": hosts}}), vec!["http"]),
    ] {
        let ingress = rules(&with(Chart::Origin, values.clone()), "ingress");
        assert_eq!(ingress[0].0.as_ref(), Some(&ours));
        assert_eq!(ingress[1], rule(Value::Null, &open), "{values}");
        assert_eq!(ingress.len(), 2);

        // Whoever names clients names the controller, too.
        let studio = json!({"networkPolicy": {"clientsFrom": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}});
        assert_eq!(rules(&with(Chart::Origin, merged(values, &studio)), "ingress").len(), 1);
    }
    let ports_of_nodes = with(Chart::Origin, json!({"hostPorts": {"enabled": true}}));
    assert_eq!(rules(&ports_of_nodes, "ingress"), [rule(Value::Null, &["rtmp", "http"])]);
}

/// A policy knows pods on the host's network by the addresses of their nodes; ports have no names there.
#[test]
fn nodes_are_let_in_and_reached_where_pods_use_the_host_s_network() {
    let nodes = json!({"ipBlock": {"cidr": "192.0.2.0/24"}});
    let values = json!({"networkPolicy": {"nodes": ["192.0.2.0/24"]}, "ports": {"rtmp": 2935}});
    let origin = with(Chart::Origin, values.clone());
    assert!(rules(&origin, "ingress")[0].0.as_ref().unwrap().as_array().unwrap().contains(&nodes));
    assert_eq!(rules(&origin, "egress").last().unwrap(), &rule(json!([nodes]), &["2935"]));

    let shielded =
        merged(values, &json!({"shield": {"enabled": true}, "networkPolicy": {"clientsFrom": [{"podSelector": {}}]}}));
    let edge = with(Chart::Edge, shielded);
    assert!(rules(&edge, "ingress")[0].0.as_ref().unwrap().as_array().unwrap().contains(&nodes));
    let egress = rules(&edge, "egress");
    assert!(egress.contains(&rule(json!([nodes]), &["1935", "8080"])), "{egress:?}");
    assert!(egress.contains(&rule(json!([nodes]), &["2935"])), "{egress:?}");
}

#[test]
fn behind_a_shield_edges_reach_each_other() {
    let edge = with(Chart::Edge, json!({"shield": {"enabled": true}}));
    let egress = rules(&edge, "egress");
    let (peers, ports) = egress.last().unwrap();
    assert_eq!(*ports, ["rtmp"]);
    let selector = &peers.as_ref().unwrap()[0]["podSelector"]["matchLabels"];
    assert!(selects(selector, super::pods::pod_labels(edge.stable())));
}

#[test]
fn only_rillcast_s_pods_reach_an_origin_until_others_are_let_in() {
    let ours = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "rillcast"}}});
    let studio = json!({"ipBlock": {"cidr": "203.0.113.0/24"}});
    let origin = cases::defaults(Chart::Origin);
    assert_eq!(rules(origin, "ingress"), [rule(json!([ours]), &["rtmp", "http"])]);

    let public = with(Chart::Origin, json!({"service": {"type": "LoadBalancer"}}));
    assert_eq!(rules(&public, "ingress"), [rule(Value::Null, &["rtmp", "http"])]);

    for kind in ["ClusterIP", "LoadBalancer"] {
        let values = json!({"service": {"type": kind}, "networkPolicy": {"clientsFrom": [studio]}});
        assert_eq!(rules(&with(Chart::Origin, values), "ingress"), [rule(json!([ours, studio]), &["rtmp", "http"])]);
    }
}

#[test]
fn edges_and_tests_are_among_those_whom_an_origin_lets_in() {
    let origin = cases::defaults(Chart::Origin);
    let (peers, _) = rules(origin, "ingress").remove(0);
    let selector = peers.unwrap()[0]["podSelector"]["matchLabels"].clone();
    for rendering in cases::all() {
        let workloads = rendering.workloads().into_iter().map(super::pods::pod_labels);
        let tests = rendering.of_kind("Pod").into_iter().map(|pod| pod["metadata"]["labels"].as_object().unwrap());
        for labels in workloads.chain(tests) {
            assert!(selects(&selector, labels), "{}", rendering.name);
        }
    }
}

#[test]
fn origins_reach_each_other_over_rtmp() {
    let origin = cases::defaults(Chart::Origin);
    let egress = rules(origin, "egress");
    assert_eq!(egress.len(), 2);
    assert_eq!(egress[0], dns());
    assert_eq!(egress[1].1, ["rtmp"]);
    let selector = &egress[1].0.as_ref().unwrap()[0]["podSelector"]["matchLabels"];
    assert!(selects(selector, super::pods::pod_labels(origin.stable())));
}

#[test]
fn prometheus_reaches_the_admin_port_while_there_is_a_monitor() {
    for chart in Chart::ALL {
        for monitor in ["serviceMonitor", "podMonitor"] {
            let values = json!({"metrics": {"prometheusNamespace": "observability", monitor: {"enabled": true}}});
            let namespace =
                json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]);
            let ingress = rules(&with(chart, values), "ingress");
            assert_eq!(ingress.last().unwrap(), &rule(namespace, &["admin"]));
        }
    }
}

#[test]
fn every_port_that_a_service_or_a_monitor_leads_to_is_open_to_somebody() {
    for rendering in cases::all().iter().filter(|rendering| !rendering.of_kind("NetworkPolicy").is_empty()) {
        let open: BTreeSet<String> = rules(rendering, "ingress").into_iter().flat_map(|(_, ports)| ports).collect();
        for service in rendering.of_kind("Service") {
            for port in service["spec"]["ports"].as_array().unwrap() {
                let target = port["targetPort"].as_str().unwrap();
                assert!(open.contains(target), "{}: {target}", rendering.name);
            }
        }
    }
}
