//! What is looked up in a rendering: objects of a kind, pod templates, selectors, ports.

use serde_json::{Map, Value};

use super::helm::{Chart, Rendering};

impl Rendering {
    /// The objects of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The object of a kind and a name.
    #[track_caller]
    pub(super) fn object(&self, kind: &str, name: &str) -> &Value {
        let found = self.of_kind(kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{}: no {kind} {name}", self.name))
    }

    /// What makes pods.
    pub(super) fn workloads(&self) -> Vec<&Value> {
        ["Deployment", "DaemonSet", "StatefulSet"].into_iter().flat_map(|kind| self.of_kind(kind)).collect()
    }

    /// The workload that is no canary.
    #[track_caller]
    pub(super) fn stable(&self) -> &Value {
        let mut stable =
            self.workloads().into_iter().filter(|workload| workload["metadata"]["labels"]["track"] == "stable");
        let only = stable.next().expect("there is a stable workload");
        assert!(stable.next().is_none(), "{}: more than one stable workload", self.name);
        only
    }

    /// The Services that clients use: neither headless ones nor those for monitors.
    pub(super) fn client_services(&self) -> Vec<&Value> {
        self.of_kind("Service").into_iter().filter(|service| service["spec"]["clusterIP"] != "None").collect()
    }

    /// The TOML of the configuration.
    #[track_caller]
    pub(super) fn toml(&self) -> &str {
        let maps = self.of_kind("ConfigMap");
        let toml = maps.iter().find_map(|map| map["data"]["10-chart.toml"].as_str());
        toml.unwrap_or_else(|| panic!("{}: no configuration", self.name))
    }
}

/// The program's container of a workload.
#[track_caller]
pub(super) fn program(workload: &Value) -> &Value {
    container(&workload["spec"]["template"]["spec"], "rillcast").expect("the program's container")
}

/// A container of a pod, by name.
pub(super) fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    pod["containers"].as_array()?.iter().find(|container| container["name"] == name)
}

/// The labels of a workload's pods.
#[track_caller]
pub(super) fn pod_labels(workload: &Value) -> &Map<String, Value> {
    workload["spec"]["template"]["metadata"]["labels"].as_object().expect("pods have labels")
}

/// Whether all labels that a selector wants are there, and it wants any.
pub(super) fn selects(selector: &Value, labels: &Map<String, Value>) -> bool {
    let Some(wanted) = selector.as_object().filter(|wanted| !wanted.is_empty()) else { return false };
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The number of a container port, by its name.
pub(super) fn named_port(workload: &Value, name: &str) -> Option<u64> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array()?;
    let ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
    ports.filter(|port| port["name"] == name).find_map(|port| port["containerPort"].as_u64())
}

/// The names of a chart's objects with the release that tests install.
pub(super) fn fullname(chart: Chart) -> String {
    format!("{}-{}", super::helm::RELEASE, chart.name())
}
