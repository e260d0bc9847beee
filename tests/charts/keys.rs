//! Keys of `[auth]` and authorities: from a Secret to the file that the configuration names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cases::{merged, minimal};
use super::helm::{Chart, Rendering, refusal, render};
use super::pods::{fullname, program};

fn with(chart: Chart, values: Value) -> Rendering {
    render("keys", chart, &merged(minimal(chart), &values))
}

/// The Secret or ConfigMap of a volume, and where its files are in the program's container, by key.
fn mounted(rendering: &Rendering, volume: &str) -> (Value, BTreeMap<String, String>) {
    let workload = rendering.stable();
    let named = |list: &Value| {
        let found = list.as_array().unwrap().iter().find(|one| one["name"] == volume).cloned();
        found.unwrap_or_else(|| panic!("{}: no {volume}", rendering.name))
    };
    let mount = named(&program(workload)["volumeMounts"]);
    let volume = named(&workload["spec"]["template"]["spec"]["volumes"]);
    let source = if volume["secret"].is_object() { &volume["secret"] } else { &volume["configMap"] };
    let files = source["items"].as_array().unwrap().iter().map(|item| {
        let text = |name: &str| item[name].as_str().unwrap();
        (text("key").to_owned(), format!("{}/{}", mount["mountPath"].as_str().unwrap(), text("path")))
    });
    (source.clone(), files.collect())
}

#[test]
fn nothing_is_asked_for_until_keys_are_named() {
    for chart in Chart::ALL {
        let rendering = with(chart, json!({}));
        assert!(!rendering.text.contains("rillcast-auth") && !rendering.toml().contains("[auth]"));
    }
}

#[test]
fn each_key_that_is_named_becomes_the_file_of_its_setting() {
    let names = ["publish_key", "play_key", "publish_jwt_key", "play_jwt_key", "publish_md5_key", "play_md5_key"];
    for chart in Chart::ALL {
        for name in names {
            let rendering = with(chart, json!({"auth": {"existingSecret": "keys", "keys": {name: "its-key"}}}));
            let (secret, files) = mounted(&rendering, "auth");
            assert_eq!(secret["secretName"], "keys");
            assert_eq!(secret["defaultMode"], 0o440);
            let line = format!("{name}_file = \"{}\"", files["its-key"]);
            assert!(rendering.toml().contains(&line), "{line}\nis not in\n{}", rendering.toml());
            assert!(rendering.of_kind("Secret").iter().all(|secret| secret["metadata"]["name"] != "keys"));
        }
    }
}

#[test]
fn public_keys_are_files_of_the_same_secret() {
    let public = json!({"publish": ["studio.pem"], "play": ["shop.pem", "studio.pem"]});
    for chart in Chart::ALL {
        let rendering = with(chart, json!({"auth": {"existingSecret": "keys", "publicKeys": public}}));
        let (_, files) = mounted(&rendering, "auth");
        let expected = format!("play_jwt_public_keys = [\"{}\", \"{}\"]", files["shop.pem"], files["studio.pem"]);
        assert!(rendering.toml().contains(&expected), "{}", rendering.toml());
        assert!(rendering.toml().contains(&format!("publish_jwt_public_keys = [\"{}\"]", files["studio.pem"])));
    }
}

#[test]
fn edges_take_the_keys_that_their_origin_made() {
    let keys = json!({"publish_key": "publish-key", "play_key": "play-key"});
    let origin = with(Chart::Origin, json!({"auth": {"generate": true, "keys": keys}}));
    let secret = origin.object("Secret", &format!("{}-auth", fullname(Chart::Origin)));
    let edge = with(Chart::Edge, json!({"auth": {"keys": keys}}));
    let (source, files) = mounted(&edge, "auth");
    assert_eq!(source["secretName"], secret["metadata"]["name"]);
    for key in files.keys() {
        assert!(secret["data"][key].as_str().is_some_and(|data| data.len() >= 44), "{key}");
    }
    assert_ne!(secret["data"]["publish-key"], secret["data"]["play-key"]);
    assert!(edge.of_kind("Secret").iter().all(|one| one["metadata"]["name"] != secret["metadata"]["name"]));
}

#[test]
fn an_edge_may_have_keys_of_its_own() {
    let edge = with(Chart::Edge, json!({"auth": {"generate": true, "keys": {"play_key": "play-key"}}}));
    let (source, _) = mounted(&edge, "auth");
    let made = edge.object("Secret", &format!("{}-auth", fullname(Chart::Edge)));
    assert_eq!(source["secretName"], made["metadata"]["name"]);
}

#[test]
fn keys_that_are_nowhere_are_refused() {
    let keys = json!({"auth": {"keys": {"play_key": "play-key"}}});
    let elsewhere =
        json!({"origin": {"release": "live", "namespace": "origins"}, "cluster": {"existingSecret": "copied"}});
    let foreign = json!({"upstream": {"origins": ["srs.example"]}});
    for (chart, values, expected) in [
        (Chart::Origin, keys.clone(), "auth.existingSecret"),
        (Chart::Edge, merged(elsewhere, &keys), "auth.existingSecret"),
        (Chart::Edge, merged(foreign, &keys), "auth.existingSecret"),
        (Chart::Origin, json!({"auth": {"generate": true}}), "auth.keys"),
        (Chart::Origin, json!({"auth": {"generate": true, "publicKeys": {"play": ["a"]}}}), "auth.existingSecret"),
        (Chart::Origin, json!({"hooks": {"ca": {"secret": "a", "configMap": "b"}}}), "hooks.ca.secret"),
    ] {
        let said = refusal(chart, &values);
        assert!(said.contains(expected), "{values}: {said}");
    }
}

#[test]
fn authorities_of_hooks_and_of_origins_are_where_the_configuration_looks() {
    for chart in Chart::ALL {
        for source in ["secret", "configMap"] {
            let rendering = with(chart, json!({"hooks": {"ca": {source: "authority", "key": "mine.pem"}}}));
            let (_, files) = mounted(&rendering, "hooks-ca");
            assert!(rendering.toml().contains(&format!("ca_file = \"{}\"", files["mine.pem"])));
        }
    }
    let tls = json!({"enabled": true, "caSecret": "media-ca", "caKey": "mine.pem", "serverName": "origins.example"});
    let edge = with(Chart::Edge, json!({"origin": {"tls": tls}}));
    let (_, files) = mounted(&edge, "upstream-ca");
    for line in [
        format!("ca_file = \"{}\"\n", files["mine.pem"]),
        "http_port = 8443\n".to_owned(),
        "rtmps_port = 1443\n".to_owned(),
        "server_name = \"origins.example\"\n".to_owned(),
        "tls = true\n".to_owned(),
    ] {
        assert!(edge.toml().contains(&line), "{line} is not in {}", edge.toml());
    }
}

#[test]
fn the_app_of_the_test_is_open_if_that_is_wanted_whatever_else_is_said_of_apps() {
    for chart in Chart::ALL {
        let apps = json!([{"match": "*", "auth": {"publish": true}}]);
        let open = with(chart, json!({"test": {"open": true, "app": "checks"}, "config": {"apps": apps}}));
        let last = open.toml().rsplit("[[apps]]").next().unwrap().to_owned();
        assert!(last.contains("match = \"checks\"") && last.contains("publish = false"), "{last}");
        assert!(!with(chart, json!({})).toml().contains("[[apps]]"));
        // A pattern is held against the app, which is the path without its last part.
        let arguments = open.of_kind("Pod")[0]["spec"]["containers"][0]["args"].clone();
        let url = arguments.as_array().unwrap().last().unwrap().as_str().unwrap();
        assert_eq!(url.splitn(4, '/').nth(3).unwrap().rsplit_once('/').unwrap().0, "checks", "{url}");
    }
}
