//! What is counted of hooks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Labelled, label_values};

label_values! {
    /// What a hook is about: the key in `[hooks]`, and what its body says as `action`.
    Hook {
        /// A client connects over RTMP.
        Connect = "on_connect",
        /// It has gone.
        Close = "on_close",
        /// A client publishes.
        Publish = "on_publish",
        /// It does not any more.
        Unpublish = "on_unpublish",
        /// A client plays.
        Play = "on_play",
        /// It does not any more.
        Stop = "on_stop",
        /// There is another segment of HLS.
        Hls = "on_hls",
        /// A recording is complete.
        Dvr = "on_dvr",
        /// An edge pulls a stream.
        Pull = "on_pull",
        /// It does not any more.
        PullEnd = "on_pull_end",
        /// An edge passes a publisher on.
        Forward = "on_forward",
    }
}

label_values! {
    /// What became of one request.
    HookResult {
        /// It was answered with consent.
        Ok = "ok",
        /// It was answered with anything else.
        Refused = "refused",
        /// It was not answered, however often it was tried.
        Failed = "failed",
        /// It was given up before it was tried, because too many waited.
        Dropped = "dropped",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookAndResult {
    hook: Hook,
    result: HookResult,
}

/// Requests by hook and result.
#[derive(Debug)]
pub struct HooksMetrics {
    requests: Family<HookAndResult, Counter>,
    /// Events that wait to be told.
    pub waiting: Gauge,
    /// How long one attempt takes, in seconds.
    pub duration: Histogram,
}

impl Default for HooksMetrics {
    fn default() -> Self {
        let duration = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        Self { requests: Family::default(), waiting: Gauge::default(), duration }
    }
}

impl HooksMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("hooks", "Requests to hooks", self.requests.clone());
        registry.register("hooks_waiting", "Events that wait to be told", self.waiting.clone());
        let duration = self.duration.clone();
        registry.register_with_unit("hook_duration", "Time that one attempt takes", Unit::Seconds, duration);
        for &hook in Hook::ALL {
            HookResult::ALL.iter().for_each(|&result| drop(self.requests(hook, result)));
        }
    }

    /// Requests for `hook` that ended in `result`.
    pub fn requests(&self, hook: Hook, result: HookResult) -> Counter {
        self.requests.get_or_create_owned(&HookAndResult { hook, result })
    }
}
