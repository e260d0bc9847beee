//! What a pod may do, and where secrets are.

use serde_json::{Value, json};

use super::cases::{self, minimal};
use super::helm::{Chart, render};
use super::pods::{fullname, program};

/// The containers that the charts bring, in workloads and tests.
fn own_pods(rendering: &super::helm::Rendering) -> Vec<&Value> {
    let workloads = rendering.workloads().into_iter().map(|workload| &workload["spec"]["template"]["spec"]);
    workloads.chain(rendering.of_kind("Pod").into_iter().map(|pod| &pod["spec"])).collect()
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    for rendering in cases::all() {
        for pod in own_pods(rendering) {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{}", rendering.name);
            assert_ne!(pod["securityContext"]["runAsUser"], 0, "{}", rendering.name);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{}", rendering.name);
            assert_eq!(pod["automountServiceAccountToken"], false, "{}", rendering.name);
            for container in pod["containers"].as_array().unwrap() {
                if container["name"] == "shipper" {
                    continue;
                }
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{}", rendering.name);
                assert_eq!(context["readOnlyRootFilesystem"], true, "{}", rendering.name);
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{}", rendering.name);
                assert!(context.get("privileged").is_none(), "{}", rendering.name);
            }
        }
    }
}

#[test]
fn every_container_asks_for_what_it_needs_and_has_a_limit_of_memory() {
    for rendering in cases::all() {
        for pod in own_pods(rendering) {
            for container in pod["containers"].as_array().unwrap().iter().filter(|one| one["name"] != "shipper") {
                let resources = &container["resources"];
                for wanted in
                    [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]]
                {
                    assert!(wanted.is_string(), "{}: {resources}", rendering.name);
                }
            }
        }
    }
}

#[test]
fn only_a_directory_of_the_node_and_its_network_need_more_than_the_restricted_standard() {
    for rendering in cases::all() {
        let asks_for_more = rendering.values["storage"]["type"] == "hostPath"
            || rendering.values["hostNetwork"] == true
            || rendering.values["hostPorts"]["enabled"] == true;
        let has_more = ["hostPath:", "hostNetwork: true", "hostPort:"].iter().any(|word| rendering.text.contains(word));
        assert_eq!(has_more, asks_for_more, "{}", rendering.name);
    }
}

#[test]
fn the_cluster_s_key_is_in_the_secret_and_nowhere_else() {
    let mut seen = 0;
    for rendering in cases::all() {
        for secret in rendering.of_kind("Secret") {
            for data in secret["data"].as_object().unwrap().values() {
                assert_eq!(rendering.text.matches(data.as_str().unwrap()).count(), 1, "{}", rendering.name);
                seen += 1;
            }
        }
        for map in rendering.of_kind("ConfigMap") {
            assert!(!map.to_string().contains("\\nkey = "), "{}: {map}", rendering.name);
        }
        for workload in rendering.workloads() {
            assert!(!program(workload)["env"].to_string().contains("KEY"), "{}", rendering.name);
        }
    }
    assert!(seen > 0);
}

#[test]
fn every_installation_has_a_key_of_its_own() {
    let key = || {
        let rendering = render("key", Chart::Origin, &json!({}));
        rendering.object("Secret", "live-origin-cluster")["data"]["key"].clone()
    };
    assert_ne!(key(), key());
}

#[test]
fn every_installation_has_logins_of_its_own_and_the_program_is_told_where_they_are() {
    for chart in [Chart::Origin, Chart::Edge] {
        let logins = || {
            let rendering = render("logins", chart, &minimal(chart));
            let secret = rendering.object("Secret", &format!("{}-admin", fullname(chart)));
            (secret["data"]["edit_auth"].clone(), secret["data"]["view_auth"].clone())
        };
        let (edit, view) = logins();
        assert!(edit.is_string() && view.is_string() && edit != view);
        assert_ne!(logins(), (edit, view));
        let defaults = cases::defaults(chart);
        assert!(defaults.toml().contains("edit_auth_file = \"/run/secrets/rillcast-admin/edit_auth\""));
        let mounts = program(defaults.stable())["volumeMounts"].to_string();
        assert!(mounts.contains("/run/secrets/rillcast-admin"), "{mounts}");
    }
}

#[test]
fn a_secret_of_one_s_own_is_used_and_none_is_made() {
    let values = json!({
        "cluster": {"existingSecret": "mine", "existingSecretKey": "secret"},
        "admin": {"existingSecret": "logins", "editKey": "edit", "viewKey": "view"},
    });
    let rendering = render("existing", Chart::Origin, &values);
    assert!(rendering.of_kind("Secret").is_empty());
    assert!(rendering.text.contains("secretName: mine") && rendering.text.contains("key: secret"));
    assert!(rendering.text.contains("secretName: logins") && rendering.text.contains("key: edit, path: edit_auth"));
}

#[test]
fn no_role_and_no_binding_is_asked_for() {
    for rendering in cases::all() {
        for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
            assert!(rendering.of_kind(kind).is_empty(), "{}", rendering.name);
        }
    }
}
