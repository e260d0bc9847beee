//! As much of an API server as Helm asks when templates look things up: which kinds there are, and the objects that are given.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use super::helm::{NAMESPACE, RELEASE};

/// The kinds that the charts' defaults are made of, by group and version.
const KINDS: [(&str, &[(&str, &str)]); 5] = [
    (
        "v1",
        &[
            ("secrets", "Secret"),
            ("configmaps", "ConfigMap"),
            ("services", "Service"),
            ("serviceaccounts", "ServiceAccount"),
            ("pods", "Pod"),
        ],
    ),
    ("apps/v1", &[("deployments", "Deployment"), ("statefulsets", "StatefulSet")]),
    ("policy/v1", &[("poddisruptionbudgets", "PodDisruptionBudget")]),
    ("networking.k8s.io/v1", &[("networkpolicies", "NetworkPolicy")]),
    ("autoscaling/v2", &[("horizontalpodautoscalers", "HorizontalPodAutoscaler")]),
];

/// A running one; it knows nothing but these objects. Its thread ends with the process.
pub(super) struct ApiServer {
    address: SocketAddr,
}

impl ApiServer {
    /// One with these objects, all of them of the release that tests install: Helm takes no others over.
    pub(super) fn with(mut objects: Vec<Value>) -> Self {
        for object in &mut objects {
            let metadata = &mut object["metadata"];
            metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
            metadata["annotations"]["meta.helm.sh/release-name"] = json!(RELEASE);
            metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(NAMESPACE);
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let objects = Arc::new(objects);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let objects = Arc::clone(&objects);
                thread::spawn(move || answer(stream, &objects));
            }
        });
        Self { address }
    }

    /// Has Helm ask it, as an installation or an upgrade would.
    pub(super) fn is_asked_by(&self, helm: &mut Command) {
        helm.args(["--dry-run=server", "--disable-openapi-validation"]);
        helm.args(["--kube-apiserver", &format!("http://{}", self.address)]);
    }
}

/// Answers requests until Helm closes the connection.
fn answer(mut stream: TcpStream, objects: &[Value]) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        while lines.next().is_some_and(|header| !header.is_empty()) {}
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let (status, body) = found(path, objects).map_or_else(
            || ("404 Not Found", json!({"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404})),
            |body| ("200 OK", body),
        );
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        if write!(stream, "{head}\r\n\r\n{body}").is_err() {
            return;
        }
    }
}

/// What there is at a path.
fn found(path: &str, objects: &[Value]) -> Option<Value> {
    match path {
        "/version" => return Some(json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})),
        "/api" => return Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => return Some(groups()),
        _ => {}
    }
    for (version, kinds) in KINDS {
        let root = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let Some(rest) = path.strip_prefix(&root) else { continue };
        if rest.is_empty() {
            let kinds = kinds.iter().map(|(plural, kind)| {
                json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]})
            });
            let kinds: Vec<Value> = kinds.collect();
            return Some(json!({"kind": "APIResourceList", "groupVersion": version, "resources": kinds}));
        }
        let (plural, name) = rest.strip_prefix(&format!("/namespaces/{NAMESPACE}/"))?.split_once('/')?;
        let (_, kind) = kinds.iter().find(|(each, _)| *each == plural)?;
        return objects.iter().find(|object| object["kind"] == *kind && object["metadata"]["name"] == name).cloned();
    }
    None
}

fn groups() -> Value {
    let groups = KINDS.iter().filter_map(|(version, _)| {
        let (group, number) = version.split_once('/')?;
        let version = json!({"groupVersion": version, "version": number});
        Some(json!({"name": group, "versions": [version], "preferredVersion": version}))
    });
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<Value>>()})
}
