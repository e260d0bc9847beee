//! The renderings that every rule is held against: the values files, and each switch that changes more than itself.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::helm::{Chart, Helm, RELEASE, Rendering, render, render_with};

/// The files of values that a chart brings.
pub(super) const FILES: [&str; 3] = ["values.yaml", "values-production.yaml", "values-single.yaml"];

/// All of them; Helm is run once for each.
pub(super) fn all() -> &'static [Rendering] {
    static ALL: OnceLock<Vec<Rendering>> = OnceLock::new();
    ALL.get_or_init(|| {
        let files = Chart::ALL
            .into_iter()
            .flat_map(|chart| FILES.map(|file| render_with(Helm::Four, file, chart, Some(file), &minimal(chart))));
        let switched = Chart::ALL.into_iter().flat_map(|chart| {
            switches(chart).into_iter().map(move |(name, values)| render(name, chart, &merged(minimal(chart), &values)))
        });
        files.chain(switched).collect()
    })
}

/// The rendering of the chart's defaults.
pub(super) fn defaults(chart: Chart) -> &'static Rendering {
    all().iter().find(|rendering| rendering.chart == chart).unwrap()
}

/// What has to be set.
pub(super) fn minimal(chart: Chart) -> Value {
    match chart {
        Chart::Origin => json!({}),
        Chart::Edge => json!({"origin": {"release": RELEASE}}),
    }
}

/// Values over others, map by map.
pub(super) fn merged(mut below: Value, above: &Value) -> Value {
    match (&mut below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                let under = below.remove(key).unwrap_or(Value::Null);
                below.insert(key.clone(), merged(under, value));
            }
        }
        (below, above) => *below = above.clone(),
    }
    below
}

fn switches(chart: Chart) -> Vec<(&'static str, Value)> {
    let mut cases = vec![
        ("with other ports", json!({"ports": {"rtmp": 11935, "http": 18080, "admin": 11985}})),
        ("on the host's network", json!({"hostNetwork": true})),
        ("with host ports", json!({"hostPorts": {"enabled": true}})),
        ("with a Service for each protocol", json!({"service": {"type": "LoadBalancer", "split": true}})),
        ("with node ports", json!({"service": {"type": "NodePort", "rtmp": {"nodePort": 30935}}})),
        ("without a Service", json!({"service": {"enabled": false}})),
        ("with RTMP only", json!({"service": {"http": {"enabled": false}}})),
        ("with a canary", json!({"canary": {"tag": "0.2.0", "replicas": 2}})),
        ("with a canary that was promoted", json!({"canary": {"tag": "0.2.0", "promote": "0.2.0"}})),
        ("with another name", json!({"fullnameOverride": "my-media", "commonLabels": {"team": "video"}})),
        ("watched by its pods", monitors("podMonitor")),
        ("watched by a Service", monitors("serviceMonitor")),
        ("without guards", json!({"networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false}})),
        ("with a Secret of one's own", json!({"cluster": {"existingSecret": "mine", "existingSecretKey": "secret"}})),
        (
            "with logins of one's own",
            json!({"admin": {"existingSecret": "logins", "editKey": "edit", "viewKey": "view"}}),
        ),
        ("with TLS in the pods", tls()),
        ("with TLS for the API", merged(tls(), &json!({"config": {"admin": {"tls_listen": ":1986"}}}))),
        (
            "with TLS and a Service for each protocol",
            merged(tls(), &json!({"service": {"type": "LoadBalancer", "split": true}})),
        ),
        ("behind a proxy", json!({"trustedProxies": ["10.0.0.0/8", "2001:db8::/32"]})),
        ("behind nginx", ingress("nginx")),
        ("behind traefik", ingress("traefik")),
        ("behind haproxy", ingress("haproxy")),
        ("behind another controller", ingress("other")),
        ("behind a gateway", gateway()),
        ("with more of everything", extras()),
        ("with keys that are made", with_keys(json!({"generate": true}))),
        (
            "with keys of one's own",
            merged(
                with_keys(
                    json!({"existingSecret": "keys", "publicKeys": {"publish": ["studio.pem"], "play": ["shop.pem", "studio.pem"]}}),
                ),
                &json!({"hooks": {"ca": {"secret": "hooks-ca"}}, "config": {"hooks": {"on_play": "https://audit.example/play"}}}),
            ),
        ),
        (
            "with keys and a test that needs none",
            merged(
                with_keys(json!({"generate": true})),
                &json!({"test": {"open": true, "app": "checks"}, "hooks": {"ca": {"configMap": "authority"}}}),
            ),
        ),
        ("among nodes", json!({"hostNetwork": true, "networkPolicy": {"nodes": ["192.0.2.0/24"]}})),
        (
            "with clients named",
            json!({"networkPolicy": {
                "clientsFrom": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
                "adminFrom": [{"podSelector": {"matchLabels": {"app": "dashboard"}}}],
            }}),
        ),
        (
            "configured",
            json!({"config": {
                "play": {"mw_latency": "100ms", "gop_max_packets": 2_000_000},
                "log": {"level": "info,rillcast::pull=debug", "format": "text"},
                "apps": [{"match": "a<b&\"c\"*", "play": {"play_wait": 0}}, {"match": "*", "play": {"gop_cache": false}}],
            }}),
        ),
    ];
    cases.extend(match chart {
        Chart::Origin => of_origins(),
        Chart::Edge => of_edges(),
    });
    cases
}

fn of_origins() -> Vec<(&'static str, Value)> {
    let with_nginx = |storage: Value| json!({"replicas": 1, "nginx": {"enabled": true}, "storage": storage});
    vec![
        ("for the public", json!({"service": {"type": "LoadBalancer"}})),
        ("with claims and nginx", with_nginx(json!({"type": "pvc", "size": "10Gi", "className": "fast"}))),
        ("with a scratch volume and nginx", with_nginx(json!({"type": "emptyDir", "size": "10Gi"}))),
        ("with a directory of the node", json!({"storage": {"type": "hostPath", "hostPath": "/srv/rillcast"}})),
        (
            "with nginx and a Service for each protocol",
            json!({
                "replicas": 1, "nginx": {"enabled": true}, "storage": {"type": "emptyDir"}, "service": {"split": true},
                "ingress": {"enabled": true, "hosts": [{"host": "hls.example.com", "port": "hls"}]},
            }),
        ),
        ("started all at once", json!({"podManagementPolicy": "Parallel"})),
    ]
}

fn of_edges() -> Vec<(&'static str, Value)> {
    vec![
        ("on each node", json!({"kind": "DaemonSet", "hostPorts": {"enabled": true}})),
        ("on each node behind a Service", json!({"kind": "DaemonSet"})),
        ("on each node and its network", json!({"kind": "DaemonSet", "hostNetwork": true})),
        ("with the keys of the origin", with_keys(json!({}))),
        (
            "over TLS",
            json!({"origin": {"tls": {"enabled": true, "caSecret": "media-ca", "serverName": "origins.example"}}}),
        ),
        ("scaled", json!({"autoscaling": {"enabled": true, "players": 2000, "egressBytes": "500M"}})),
        ("scaled with a canary", json!({"autoscaling": {"enabled": true}, "canary": {"tag": "0.2.0"}})),
        ("scaled by KEDA", json!({"keda": {"enabled": true}})),
        ("behind a shield", json!({"shield": {"enabled": true}})),
        ("taking publishers", json!({"config": {"publish": {"enabled": true}}})),
        ("over HTTP", json!({"config": {"upstream": {"protocol": "http-flv", "http_port": 18080}}})),
        ("with backups", json!({"config": {"upstream": {"backup_origins": ["backup.example:2935"]}}})),
        (
            "of foreign origins",
            json!({
                "origin": {"release": ""}, "upstream": {"origins": ["srs.example:1936", "_rtmp._tcp.nginx.example"]},
            }),
        ),
        (
            "of origins in another namespace",
            json!({
                "origin": {"namespace": "origins"}, "cluster": {"existingSecret": "copied"},
            }),
        ),
    ]
}

fn with_keys(auth: Value) -> Value {
    let keys = json!({"keys": {"publish_key": "publish-key", "play_key": "play-key", "play_jwt_key": "jwt"}});
    json!({"auth": merged(keys, &auth)})
}

fn tls() -> Value {
    json!({"tls": {"secret": "media-tls"}})
}

fn monitors(kind: &str) -> Value {
    json!({"metrics": {
        kind: {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true},
        "dashboard": {"enabled": true},
    }})
}

fn ingress(controller: &str) -> Value {
    json!({"ingress": {
        "enabled": true, "controller": controller, "className": controller, "tlsSecret": "media-tls",
        "hosts": [{"host": "flv.example.com", "port": "http"}],
    }})
}

fn gateway() -> Value {
    json!({"gateway": {
        "enabled": true, "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hosts": [{"host": "flv.example.com", "port": "http"}], "rtmp": {"enabled": true},
    }})
}

fn extras() -> Value {
    json!({
        "extraConfig": [{"configMap": "more"}, {"secret": "hooks"}],
        "extraEnv": [{"name": "RILLCAST_LOG__LEVEL", "value": "debug"}],
        "extraEnvFrom": [{"configMapRef": {"name": "environment"}}],
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "extraContainers": [{"name": "shipper", "image": "shipper:1"}],
        "extraInitContainers": [{"name": "wait", "image": "wait:1"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n",
        ],
        "nodeSelector": {"pool": "media"}, "priorityClassName": "high",
        "tolerations": [{"key": "media", "operator": "Exists", "effect": "NoSchedule"}],
        "podLabels": {"tier": "media"}, "podAnnotations": {"example.com/scrape": "yes"},
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "image": {"pullSecrets": [{"name": "registry"}]},
        "serviceAccount": {"create": false, "name": "media"},
    })
}
