//! Whatever selects, selects something; what belongs together names each other.

use serde_json::Value;

use super::cases;
use super::helm::{Chart, render};
use super::pods::{fullname, named_port, pod_labels, program, selects};

#[test]
fn every_service_selects_the_pods_of_every_workload_and_never_the_test() {
    for rendering in cases::all() {
        let services = rendering.of_kind("Service");
        assert!(!services.is_empty(), "{}", rendering.name);
        for service in services {
            for workload in rendering.workloads() {
                assert!(selects(&service["spec"]["selector"], pod_labels(workload)), "{}: {service}", rendering.name);
            }
            for pod in rendering.of_kind("Pod") {
                let labels = pod["metadata"]["labels"].as_object().unwrap();
                assert!(!selects(&service["spec"]["selector"], labels), "{}: {service}", rendering.name);
            }
        }
    }
}

#[test]
fn every_service_reaches_a_port_that_each_of_its_pods_has_by_name() {
    for rendering in cases::all() {
        for service in rendering.of_kind("Service") {
            let ports = service["spec"]["ports"].as_array().unwrap();
            assert!(!ports.is_empty(), "{}: {service}", rendering.name);
            for port in ports {
                let target = port["targetPort"].as_str().expect("ports are named");
                assert_eq!(port["name"], target, "{}", rendering.name);
                for workload in rendering.workloads() {
                    let number = named_port(workload, target);
                    assert!(number.is_some(), "{}: no port {target}", rendering.name);
                    if service["spec"]["clusterIP"] == "None" {
                        // Of a headless Service names lead to pods, and nothing translates the port.
                        assert_eq!(port["port"].as_u64(), number, "{}: {target}", rendering.name);
                    }
                }
            }
        }
    }
}

#[test]
fn every_workload_selects_its_own_pods_and_no_other_workload_s() {
    for rendering in cases::all() {
        let workloads = rendering.workloads();
        for workload in &workloads {
            for other in &workloads {
                let selected = selects(&workload["spec"]["selector"]["matchLabels"], pod_labels(other));
                let is_own = workload["metadata"]["name"] == other["metadata"]["name"];
                assert_eq!(selected, is_own, "{}: {}", rendering.name, workload["metadata"]["name"]);
            }
        }
    }
}

#[test]
fn budgets_policies_spreads_and_monitors_select_the_pods_of_every_workload() {
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            let labels = pod_labels(workload);
            let mut selectors: Vec<&Value> = Vec::new();
            for budget in rendering.of_kind("PodDisruptionBudget") {
                selectors.push(&budget["spec"]["selector"]["matchLabels"]);
            }
            for policy in rendering.of_kind("NetworkPolicy") {
                selectors.push(&policy["spec"]["podSelector"]["matchLabels"]);
            }
            for monitor in rendering.of_kind("PodMonitor") {
                selectors.push(&monitor["spec"]["selector"]["matchLabels"]);
            }
            let spreads = workload["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array();
            for spread in spreads.into_iter().flatten() {
                selectors.push(&spread["labelSelector"]["matchLabels"]);
            }
            for selector in selectors {
                assert!(selects(selector, labels), "{}: {selector}", rendering.name);
            }
        }
    }
}

#[test]
fn a_service_monitor_selects_exactly_one_service_with_the_admin_port() {
    let mut seen = 0;
    for rendering in cases::all() {
        for monitor in rendering.of_kind("ServiceMonitor") {
            let selector = &monitor["spec"]["selector"]["matchLabels"];
            let services = rendering.of_kind("Service").into_iter();
            let selected: Vec<&Value> = services
                .filter(|service| selects(selector, service["metadata"]["labels"].as_object().unwrap()))
                .collect();
            assert_eq!(selected.len(), 1, "{}", rendering.name);
            assert_eq!(selected[0]["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn what_scales_names_a_deployment_that_leaves_its_number_open() {
    let mut seen = 0;
    for rendering in cases::all() {
        for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
            for scaler in rendering.of_kind(kind) {
                let target = &scaler["spec"]["scaleTargetRef"];
                let workload = rendering.object(target["kind"].as_str().unwrap(), target["name"].as_str().unwrap());
                assert_eq!(workload["apiVersion"], target["apiVersion"], "{}", rendering.name);
                assert_eq!(workload["kind"], "Deployment", "{}", rendering.name);
                assert!(workload["spec"].get("replicas").is_none(), "{}", rendering.name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 3);
}

#[test]
fn every_config_map_secret_and_account_that_pods_name_is_rendered_or_given() {
    let given = [
        "more",
        "hooks",
        "environment",
        "mine",
        "copied",
        "rillcast-cluster",
        "rillcast-admin",
        "logins",
        "media-tls",
        "keys",
        "hooks-ca",
        "authority",
        "media-ca",
    ];
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            let pod = &workload["spec"]["template"]["spec"];
            for volume in pod["volumes"].as_array().unwrap() {
                let (kind, name) = match (volume["configMap"]["name"].as_str(), volume["secret"]["secretName"].as_str())
                {
                    (Some(name), _) => ("ConfigMap", name),
                    (_, Some(name)) => ("Secret", name),
                    _ => continue,
                };
                let of_the_origin = rendering.chart == Chart::Edge
                    && ["cluster", "auth"].iter().any(|what| name == format!("{}-{what}", fullname(Chart::Origin)));
                if !given.contains(&name) && !of_the_origin {
                    rendering.object(kind, name);
                }
            }
            let account = pod["serviceAccountName"].as_str().unwrap();
            if rendering.values["serviceAccount"]["create"] != false {
                rendering.object("ServiceAccount", account);
            }
        }
    }
}

#[test]
fn every_mount_has_its_volume_and_every_volume_a_mount() {
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            let spec = &workload["spec"];
            let pod = &spec["template"]["spec"];
            let names = |list: &Value, of: fn(&Value) -> &Value| -> Vec<String> {
                let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
                items.iter().map(|item| of(item).as_str().unwrap().to_owned()).collect()
            };
            let mut volumes = names(&pod["volumes"], |volume| &volume["name"]);
            volumes.extend(names(&spec["volumeClaimTemplates"], |claim| &claim["metadata"]["name"]));
            let containers = pod["containers"].as_array().unwrap().iter();
            let mut mounts: Vec<String> =
                containers.flat_map(|container| names(&container["volumeMounts"], |mount| &mount["name"])).collect();
            volumes.sort();
            mounts.sort();
            mounts.dedup();
            assert_eq!(volumes, mounts, "{}", rendering.name);
        }
    }
}

#[test]
fn labels_of_one_s_own_take_the_place_of_the_chart_s_and_those_of_pods_that_of_all() {
    let values = serde_json::json!({
        "commonLabels": {"app.kubernetes.io/part-of": "platform", "team": "video"}, "podLabels": {"team": "edge"},
    });
    for chart in Chart::ALL {
        let rendering = render("labels", chart, &super::cases::merged(super::cases::minimal(chart), &values));
        for object in rendering.objects.iter().filter(|object| object["kind"] != "Pod") {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "platform", "{object}");
            assert_eq!(labels["team"], "video", "{object}");
        }
        let pods = pod_labels(rendering.stable());
        assert_eq!((&pods["app.kubernetes.io/part-of"], &pods["team"]), (&"platform".into(), &"edge".into()));
        // No key stands there twice.
        assert_eq!(rendering.text.matches("app.kubernetes.io/part-of: rillcast").count(), 1, "only the test's");
    }
}

#[test]
fn an_edge_finds_the_origin_s_service_and_secret_by_its_release() {
    let long = "a-name-that-is-longer-than-what-is-left-of-it";
    for origin_values in [
        serde_json::json!({}),
        serde_json::json!({"fullnameOverride": "my-media"}),
        serde_json::json!({"fullnameOverride": long}),
    ] {
        let origin = render("origin", Chart::Origin, &origin_values);
        let fullname = origin_values["fullnameOverride"].as_str().unwrap_or_default();
        let edge_values = serde_json::json!({"origin": {"release": super::helm::RELEASE, "fullname": fullname}});
        let edge = render("edge", Chart::Edge, &edge_values);
        let value_of = |toml: &str, key: &str| {
            let line = toml.lines().find(|line| line.starts_with(key)).map(str::to_owned);
            line.and_then(|line| line.split_once(" = ").map(|(_, value)| value.to_owned())).expect("the key is set")
        };
        // In the same form, or origins and edges would not agree on the ranks.
        let peers = value_of(origin.toml(), "peers");
        assert_eq!(value_of(edge.toml(), "origins"), peers);
        let service = peers.trim_matches(['[', ']', '"']).split('.').nth(2).unwrap();
        assert_eq!(origin.object("Service", service)["spec"]["clusterIP"], "None");
        assert_eq!(origin.stable()["spec"]["serviceName"], service);

        let secret = origin.of_kind("Secret")[0];
        let volumes = edge.stable()["spec"]["template"]["spec"]["volumes"].clone();
        let mounted = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == "cluster-key").unwrap();
        assert_eq!(mounted["secret"]["secretName"], secret["metadata"]["name"]);
        let key = mounted["secret"]["items"][0]["key"].as_str().unwrap();
        assert!(secret["data"][key].as_str().is_some_and(|data| data.len() >= 44), "{secret}");
        let file = value_of(edge.toml(), "key_file");
        let mounts = program(edge.stable())["volumeMounts"].clone();
        let mount = mounts.as_array().unwrap().iter().find(|mount| mount["name"] == "cluster-key").unwrap();
        let path = mounted["secret"]["items"][0]["path"].as_str().unwrap();
        assert_eq!(file.trim_matches('"'), format!("{}/{path}", mount["mountPath"].as_str().unwrap()));
    }
}
