//! What an Ingress tells its controller.

use serde_json::{Value, json};

use super::cases::{merged, minimal};
use super::helm::{Chart, render};

fn annotations(chart: Chart, controller: &str, more: Value) -> Value {
    let hosts = json!([{"host": "flv.example.com", "port": "http"}]);
    let ingress = merged(json!({"enabled": true, "controller": controller, "hosts": hosts}), &more);
    let rendering = render(controller, chart, &merged(minimal(chart), &json!({ "ingress": ingress })));
    rendering.of_kind("Ingress")[0]["metadata"]["annotations"].clone()
}

#[test]
fn a_stream_may_be_silent_for_as_long_as_is_set_and_is_passed_on_as_it_comes() {
    for chart in Chart::ALL {
        for (seconds, written) in [(json!(7200), "7200"), (json!(1_000_000), "1000000")] {
            let nginx = annotations(chart, "nginx", json!({ "timeoutSeconds": seconds }));
            for timeout in ["proxy-read-timeout", "proxy-send-timeout"] {
                assert_eq!(nginx[format!("nginx.ingress.kubernetes.io/{timeout}")], written);
            }
            assert_eq!(nginx["nginx.ingress.kubernetes.io/proxy-buffering"], "off");
            let haproxy = annotations(chart, "haproxy", json!({ "timeoutSeconds": seconds }));
            // Its timeout for WebSockets is read from the controller's ConfigMap only.
            assert_eq!(haproxy, json!({"haproxy.org/timeout-server": format!("{written}s")}));
        }
    }
}

#[test]
fn annotations_of_one_s_own_win() {
    let own = json!({"annotations": {"haproxy.org/timeout-server": "5m", "example.com/a": "b"}});
    let expected = json!({"haproxy.org/timeout-server": "5m", "example.com/a": "b"});
    assert_eq!(annotations(Chart::Edge, "haproxy", own), expected);
}
