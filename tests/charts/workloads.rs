//! Workloads: probes, the time to end, what may never change, canaries.

use serde_json::{Value, json};

use super::cases::{self, merged, minimal};
use super::helm::{Chart, RELEASE, render};
use super::pods::{fullname, named_port, pod_labels, program, selects};

#[test]
fn probes_ask_the_admin_port_and_no_client_s_service_has_it() {
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            let program = program(workload);
            for (probe, path) in
                [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
            {
                assert_eq!(program[probe]["httpGet"], json!({"path": path, "port": "admin"}), "{}", rendering.name);
            }
            let admin = named_port(workload, "admin").expect("there is an admin port");
            let section = rendering.toml().split("[admin]\n").nth(1).and_then(|rest| rest.split("\n\n").next());
            let section = section.expect("the admin port is configured");
            assert!(section.lines().any(|line| line == format!("listen = \":{admin}\"")), "{}", rendering.name);
            for service in rendering.client_services() {
                for port in service["spec"]["ports"].as_array().unwrap() {
                    assert_ne!(port["targetPort"], "admin", "{}", rendering.name);
                    assert_ne!(port["targetPort"].as_u64(), Some(admin), "{}", rendering.name);
                }
            }
        }
    }
}

#[test]
fn a_pod_may_take_hard_timeout_and_five_seconds_to_end() {
    for (drain, seconds) in [
        (json!(null), 95),
        (json!({"window": "30s"}), 95),
        (json!({"hard_timeout": "6m"}), 365),
        (json!({"hard_timeout": "1h", "window": "50m"}), 3_605),
        (json!({"hard_timeout": "1d"}), 86_405),
        (json!({"hard_timeout": "90500ms"}), 96),
        (json!({"propagation_delay": 0, "soft_timeout": 0, "window": 0, "hard_timeout": 0}), 5),
    ] {
        for chart in Chart::ALL {
            let values = merged(minimal(chart), &json!({"config": {"drain": drain}}));
            let rendering = render("drain", chart, &values);
            let pod = &rendering.stable()["spec"]["template"]["spec"];
            assert_eq!(pod["terminationGracePeriodSeconds"], seconds, "{drain}");
        }
    }
}

/// A deployment that gives up while old pods still drain would report a failure that is none.
#[test]
fn a_deployment_waits_longer_than_its_pods_take_to_end() {
    for rendering in cases::all() {
        for deployment in rendering.of_kind("Deployment") {
            let grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(deployment["spec"]["progressDeadlineSeconds"].as_u64().unwrap() > grace, "{}", rendering.name);
        }
    }
}

#[test]
fn an_edge_is_replaced_only_when_the_next_one_is_ready() {
    let spec = &cases::defaults(Chart::Edge).stable()["spec"];
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    assert!(spec["replicas"].as_u64().unwrap() > 1);
}

/// These fields cannot be changed in a cluster: a chart that renders them otherwise cannot be upgraded to. So they are
/// written down here once more.
#[test]
fn fields_that_cannot_be_changed_are_the_same_in_every_rendering_and_every_version() {
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            let expected = json!({"matchLabels": {
                "app.kubernetes.io/name": "rillcast",
                "app.kubernetes.io/instance": RELEASE,
                "app.kubernetes.io/component": rendering.chart.name(),
                "track": workload["metadata"]["labels"]["track"],
            }});
            assert_eq!(workload["spec"]["selector"], expected, "{}", rendering.name);
            if workload["kind"] == "StatefulSet" {
                let name = rendering.values["fullnameOverride"].as_str().map_or(fullname(Chart::Origin), str::to_owned);
                assert_eq!(workload["spec"]["serviceName"], format!("{name}-headless"), "{}", rendering.name);
                for claim in workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                    assert_eq!(claim["metadata"], json!({"name": "media"}), "{}", rendering.name);
                }
            }
        }
        for service in rendering.of_kind("Service") {
            let name = service["metadata"]["name"].as_str().unwrap();
            let is_headless = service["spec"]["clusterIP"] == "None";
            assert_eq!(is_headless, name.ends_with("-headless") || name.ends_with("-metrics"), "{}", rendering.name);
        }
    }
}

#[test]
fn another_version_changes_labels_and_the_image_and_nothing_that_cannot_be_changed() {
    for chart in Chart::ALL {
        let (old, new) = (
            cases::defaults(chart),
            render("upgraded", chart, &merged(minimal(chart), &json!({"image": {"tag": "9.9.9"}}))),
        );
        let without_image = |workload: &Value| {
            let mut workload = workload.clone();
            workload["spec"]["template"]["spec"]["containers"][0]["image"] = Value::Null;
            workload
        };
        assert_ne!(old.stable(), new.stable());
        assert_eq!(without_image(old.stable()), without_image(new.stable()));
    }
}

#[test]
fn a_canary_is_a_second_workload_with_its_own_image_behind_the_same_services() {
    for chart in Chart::ALL {
        let values = merged(minimal(chart), &json!({"canary": {"tag": "0.2.0", "replicas": 3}}));
        let rendering = render("canary", chart, &values);
        let canary =
            rendering.object(rendering.stable()["kind"].as_str().unwrap(), &format!("{}-canary", fullname(chart)));
        assert_eq!(canary["spec"]["replicas"], 3);
        assert_eq!(program(canary)["image"], "localhost/rillcast:0.2.0");
        assert_ne!(program(rendering.stable())["image"], program(canary)["image"]);
        for service in rendering.of_kind("Service") {
            assert!(selects(&service["spec"]["selector"], pod_labels(canary)));
        }
    }
}

#[test]
fn one_value_gives_the_canary_s_image_to_all_and_ends_it() {
    for chart in Chart::ALL {
        let values = merged(minimal(chart), &json!({"canary": {"tag": "0.2.0", "promote": "0.2.0"}}));
        let rendering = render("promoted", chart, &values);
        assert_eq!(rendering.workloads().len(), 1);
        assert_eq!(program(rendering.stable())["image"], "localhost/rillcast:0.2.0");
        assert_eq!(rendering.stable()["metadata"]["name"], fullname(chart));
    }
}

#[test]
fn a_changed_configuration_replaces_pods_and_a_changed_chart_version_does_not() {
    for chart in Chart::ALL {
        let checksum = |config: Value, restart: bool| {
            let values = json!({"config": config, "restartOnConfigChange": restart});
            let rendering = render("checksum", chart, &merged(minimal(chart), &values));
            rendering.stable()["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
        };
        let other = json!({"play": {"gop_cache": false}});
        assert_ne!(checksum(json!({}), true), checksum(other.clone(), true));
        assert_eq!(checksum(other, false), Value::Null);
        // The checksum is of the data, and that names no version.
        assert!(!cases::defaults(chart).toml().contains(env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn directories_are_mounted_and_no_single_files() {
    for rendering in cases::all() {
        for workload in rendering.workloads() {
            for mount in program(workload)["volumeMounts"].as_array().unwrap() {
                assert!(mount.get("subPath").is_none(), "{}: a file would not follow its ConfigMap", rendering.name);
            }
        }
    }
}

#[test]
fn the_test_pod_ends_by_itself_and_uses_commands_that_there_are() {
    for rendering in cases::all() {
        for pod in rendering.of_kind("Pod") {
            assert_eq!(pod["spec"]["restartPolicy"], "Never");
            assert!(pod["spec"]["activeDeadlineSeconds"].is_u64());
            for container in pod["spec"]["containers"].as_array().unwrap() {
                let arguments: Vec<&str> =
                    container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
                let (url, options) = arguments.split_last().unwrap();
                // Nothing listens there: a wrong command line is told by its own exit code.
                let url = url.replace(url.split('/').nth(2).unwrap(), "127.0.0.1:1");
                let options = options.iter().map(|option| if *option == "45" { "0" } else { option });
                let run = std::process::Command::new(env!("CARGO_BIN_EXE_rillcast")).args(options).arg(url).output();
                let run = run.unwrap();
                assert_eq!(run.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
            }
        }
    }
}
