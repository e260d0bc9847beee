//! The rendered TOML: the real program reads it.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::cases::{self, merged, minimal};
use super::helm::{Chart, Rendering, render};

/// Runs `rillcast check` on what a pod would read; the files of Secrets are there, as they would be.
#[track_caller]
fn check(rendering: &Rendering) {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets");
    let certified = rcgen::generate_simple_self_signed(["media.example.com".to_owned()]).unwrap();
    let public = certified.signing_key.public_key_pem();
    for (file, content) in [
        ("rillcast/cluster-key", "0123456789abcdef0123456789abcdef"),
        ("rillcast-admin/edit_auth", "admin:0123456789abcdef"),
        ("rillcast-admin/view_auth", "viewer:0123456789abcdef"),
        ("rillcast-tls/tls.crt", &certified.cert.pem()),
        ("rillcast-auth/publish_key", "0123456789abcdef0123456789abcdef"),
        ("rillcast-auth/play_key", "0123456789abcdef0123456789abcdef"),
        ("rillcast-auth/play_jwt_key", "0123456789abcdef0123456789abcdef"),
        ("rillcast-auth/public/studio.pem", &public),
        ("rillcast-auth/public/shop.pem", &public),
        ("rillcast-hooks/ca.crt", &certified.cert.pem()),
        ("rillcast-upstream/ca.crt", &certified.cert.pem()),
        ("rillcast-tls/tls.key", &certified.signing_key.serialize_pem()),
    ] {
        let file = secrets.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let toml = rendering.toml().replace("/run/secrets", secrets.to_str().unwrap());
    fs::write(directory.path().join("10-chart.toml"), &toml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rillcast"));
    command.args(["check", "--role", rendering.chart.name(), "-c"]).arg(directory.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}\n{toml}", rendering.name, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_program_accepts_the_configuration_of_every_rendering() {
    for rendering in cases::all() {
        check(rendering);
    }
}

#[test]
fn every_kind_of_value_becomes_the_toml_that_it_is() {
    let config = json!({
        "play": {"gop_cache": true, "gop_max_packets": 2_000_000, "play_wait": null, "mw_latency": "1<2&\"3\"\\\n"},
        "http": {"cors_origins": ["https://a.example", "https://b.example"]},
        "later": {"ratio": 1.5, "nested": {"a key": [1, 2], "b": {}}},
        "apps": [{"match": "a*", "play": {"play_wait": 0}}, {"match": "b"}],
    });
    let rendering = render("TOML", Chart::Origin, &json!({"config": config}));
    let toml = rendering.toml();
    for expected in [
        "[play]\ngop_cache = true\ngop_max_packets = 2000000\nmw_latency = \"1\\u003c2\\u0026\\\"3\\\"\\\\\\n\"\n",
        "cors_origins = [\"https://a.example\", \"https://b.example\"]\n",
        "[later]\nnested = { \"a key\" = [1, 2], b = {  } }\nratio = 1.5\n",
        "[[apps]]\nmatch = \"a*\"\nplay = { play_wait = 0 }\n",
        "[[apps]]\nmatch = \"b\"\n",
    ] {
        assert!(toml.contains(expected), "{expected}\nis not in\n{toml}");
    }
    assert!(!toml.contains("play_wait = null"));
}

#[test]
fn what_config_sets_wins_over_the_chart() {
    for chart in Chart::ALL {
        let values = merged(minimal(chart), &json!({"config": {"log": {"format": "text"}}}));
        let rendering = render("log", chart, &values);
        assert!(rendering.toml().contains("format = \"text\"") && !rendering.toml().contains("json"));
        check(&rendering);
    }
}

#[test]
fn fragments_come_behind_the_chart_s_configuration_in_their_order() {
    let values = json!({"extraConfig": [{"configMap": "more"}, {"secret": "hooks"}]});
    let rendering = render("fragments", Chart::Origin, &values);
    let arguments = super::pods::program(rendering.stable())["args"].clone();
    let expected =
        json!(["origin", "-c", "/etc/rillcast/conf.d", "-c", "/etc/rillcast/extra-0", "-c", "/etc/rillcast/extra-1"]);
    assert_eq!(arguments, expected);
}

#[test]
fn nginx_accepts_its_configuration() {
    let values = json!({"replicas": 1, "nginx": {"enabled": true}, "storage": {"type": "emptyDir"}});
    let rendering = render("nginx", Chart::Origin, &values);
    let map = rendering.object("ConfigMap", "live-origin-nginx");
    let directory = tempfile::tempdir().unwrap();
    let text =
        map["data"]["nginx.conf"].as_str().unwrap().replace("/tmp/", &format!("{}/", directory.path().display()));
    let file = directory.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let output = Command::new("/usr/sbin/nginx").arg("-t").arg("-c").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
