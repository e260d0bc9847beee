//! Helm's own checks and Kubernetes' schemas.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use super::cases::{self, FILES, minimal};
use super::helm::{Chart, Helm, command, render_with, tool};

/// The oldest and the newest Kubernetes that the charts are for.
const KUBERNETES: [&str; 2] = ["1.28", "1.37"];
/// Kinds that operators bring, whose schemas are not Kubernetes'.
const CUSTOM: [&str; 6] = ["ServiceMonitor", "PodMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "TCPRoute"];

#[test]
fn lint_finds_nothing_with_any_file_of_values() {
    for helm in [Helm::Three, Helm::Four] {
        for chart in Chart::ALL {
            for file in FILES {
                let mut minimal_values = tempfile::NamedTempFile::new().unwrap();
                minimal_values.write_all(minimal(chart).to_string().as_bytes()).unwrap();
                let mut lint = command(helm);
                lint.args(["lint", "--strict"]).arg(chart.path());
                lint.arg("--values").arg(chart.path().join(file)).arg("--values").arg(minimal_values.path());
                let output = lint.output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success() && !said.contains("[WARN"), "{helm:?} {file}: {said}");
            }
        }
    }
}

#[test]
fn every_object_is_one_that_kubernetes_knows_field_by_field() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("objects.yaml");
    let objects = cases::all().iter().flat_map(|rendering| &rendering.objects);
    let ours = objects.filter(|object| !CUSTOM.contains(&object["kind"].as_str().unwrap()));
    // JSON is YAML. What many renderings have alike is looked at once.
    let texts: BTreeSet<String> = ours.map(ToString::to_string).collect();
    assert!(texts.len() > 100, "only {} objects", texts.len());
    std::fs::write(&file, texts.into_iter().collect::<Vec<_>>().join("\n---\n")).unwrap();
    for version in KUBERNETES {
        let mut validate = Command::new(tool("kubernetes-validate"));
        let output = validate.args(["--strict", "--quiet", "-k", version]).arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success() && said.trim().is_empty(), "{version}: {said}");
    }
}

#[test]
fn objects_of_operators_name_the_version_that_they_have() {
    for rendering in cases::all() {
        for object in &rendering.objects {
            let expected = match object["kind"].as_str().unwrap() {
                "ServiceMonitor" | "PodMonitor" | "PrometheusRule" => "monitoring.coreos.com/v1",
                "ScaledObject" => "keda.sh/v1alpha1",
                "HTTPRoute" => "gateway.networking.k8s.io/v1",
                "TCPRoute" => "gateway.networking.k8s.io/v1alpha2",
                _ => continue,
            };
            assert_eq!(object["apiVersion"], expected, "{}", rendering.name);
        }
    }
}

#[test]
fn no_two_objects_of_a_rendering_have_the_same_kind_and_name() {
    for rendering in cases::all() {
        let mut names: Vec<String> = rendering
            .objects
            .iter()
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{}", rendering.name);
    }
}

#[test]
fn helm_3_renders_what_helm_4_renders() {
    let without_key = |rendering: &super::helm::Rendering| {
        let objects = rendering.objects.iter().filter(|object| object["kind"] != "Secret");
        let mut objects: Vec<String> = objects.map(ToString::to_string).collect();
        objects.sort();
        objects
    };
    for rendering in cases::all() {
        let file = rendering.file.as_deref();
        let three = render_with(Helm::Three, &rendering.name, rendering.chart, file, &rendering.values);
        assert_eq!(without_key(rendering), without_key(&three), "{}", rendering.name);
    }
}
