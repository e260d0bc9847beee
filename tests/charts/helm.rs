//! Runs Helm and reads what it renders.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::api_server::ApiServer;

/// The namespace and the name of every installation that is rendered.
pub(super) const NAMESPACE: &str = "media";
pub(super) const RELEASE: &str = "live";

/// Which Helm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helm {
    Three,
    Four,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chart {
    Origin,
    Edge,
}

impl Chart {
    pub(super) const ALL: [Self; 2] = [Self::Origin, Self::Edge];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Edge => "edge",
        }
    }

    pub(super) fn path(self) -> PathBuf {
        root().join("charts").join(self.name())
    }
}

/// One rendering: all objects, and which values led to them.
pub(super) struct Rendering {
    pub(super) name: String,
    pub(super) chart: Chart,
    pub(super) values: Value,
    /// The file of values below them.
    pub(super) file: Option<String>,
    pub(super) text: String,
    pub(super) objects: Vec<Value>,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `make tools` installs.
#[track_caller]
pub(super) fn tool(name: &str) -> PathBuf {
    let path = root().join("target/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

/// Renders a chart with values and fails the test if Helm does.
#[track_caller]
pub(super) fn render(name: &str, chart: Chart, values: &Value) -> Rendering {
    render_with(Helm::Four, name, chart, None, values)
}

/// The same with one of Helm's versions and, below the values, a file of the chart.
#[track_caller]
pub(super) fn render_with(helm: Helm, name: &str, chart: Chart, file: Option<&str>, values: &Value) -> Rendering {
    rendering(name, chart, file, values, template(helm, chart, file, values))
}

/// The same in a cluster, whose objects templates can look up.
#[track_caller]
pub(super) fn render_in(server: &ApiServer, helm: Helm, name: &str, chart: Chart, values: &Value) -> Rendering {
    let given = written(values);
    let mut command = command(helm);
    command.args(["template", RELEASE]).arg(chart.path()).args(["--namespace", NAMESPACE]);
    command.arg("--values").arg(given.path());
    server.is_asked_by(&mut command);
    rendering(name, chart, None, values, command.output().unwrap())
}

#[track_caller]
fn rendering(name: &str, chart: Chart, file: Option<&str>, values: &Value, output: Output) -> Rendering {
    assert!(output.status.success(), "{name} of {}: {}", chart.name(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = objects_in(&text);
    let (name, file) = (format!("{} {name}", chart.name()), file.map(str::to_owned));
    Rendering { name, chart, values: values.clone(), file, text, objects }
}

/// Values in a file.
pub(super) fn written(values: &Value) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(values.to_string().as_bytes()).unwrap();
    file
}

/// What Helm says about values that it refuses.
#[track_caller]
pub(super) fn refusal(chart: Chart, values: &Value) -> String {
    let output = template(Helm::Four, chart, None, values);
    assert!(!output.status.success(), "{values} was taken");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs `helm template`.
pub(super) fn template(helm: Helm, chart: Chart, file: Option<&str>, values: &Value) -> Output {
    let given = written(values);
    let mut command = command(helm);
    command.args(["template", RELEASE]).arg(chart.path()).args(["--namespace", NAMESPACE]);
    if let Some(file) = file {
        command.arg("--values").arg(chart.path().join(file));
    }
    command.arg("--values").arg(given.path()).output().unwrap()
}

/// Helm, with a home of its own.
pub(super) fn command(helm: Helm) -> Command {
    let name = match helm {
        Helm::Three => "helm3",
        Helm::Four => "helm",
    };
    let mut command = Command::new(tool(name));
    let home = root().join("target/helm");
    command.env("HELM_CACHE_HOME", home.join("cache")).env("HELM_CONFIG_HOME", home.join("config"));
    command.env("HELM_DATA_HOME", home.join("data"));
    command
}

/// The YAML documents of a text that are objects.
pub(super) fn objects_in(text: &str) -> Vec<Value> {
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    documents
        .filter(|document| document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')))
        .map(|document| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}:\n{document}")))
        .collect()
}
