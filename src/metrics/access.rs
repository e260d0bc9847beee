//! What is counted of clients that may not do what they ask for.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{Labelled, label_values};

label_values! {
    /// What a client asked for.
    AccessAction {
        /// To connect.
        Connect = "connect",
        /// To publish.
        Publish = "publish",
        /// To play.
        Play = "play",
    }
}

label_values! {
    /// Why it was refused.
    AccessRefusal {
        /// Its address is not allowed.
        Address = "address",
        /// Its page is not allowed.
        Referer = "referer",
        /// It showed no signed URL and no token.
        Missing = "missing",
        /// What it showed cannot be read.
        Malformed = "malformed",
        /// What it showed was not made with a key of ours, or changed since.
        Wrong = "wrong",
        /// What it showed has expired.
        Expired = "expired",
        /// What it showed is not valid yet.
        Early = "early",
        /// What it showed is for another action.
        OtherAction = "other_action",
        /// What it showed is for another stream.
        OtherStream = "other_stream",
        /// What it showed is for another address.
        OtherAddress = "other_address",
        /// A callback or a hook refused it.
        Hook = "hook",
        /// A callback or a hook could not be asked.
        HookFailed = "hook_failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionAndReason {
    action: AccessAction,
    reason: AccessRefusal,
}

/// Refusals by action and reason.
#[derive(Debug, Default)]
pub struct AccessMetrics {
    refusals: Family<ActionAndReason, Counter>,
}

impl AccessMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("auth_refusals", "Clients that may not do what they asked for", self.refusals.clone());
        for &action in AccessAction::ALL {
            AccessRefusal::ALL.iter().for_each(|&reason| drop(self.refusals(action, reason)));
        }
    }

    /// Clients that asked for `action` and were refused for `reason`.
    pub fn refusals(&self, action: AccessAction, reason: AccessRefusal) -> Counter {
        self.refusals.get_or_create_owned(&ActionAndReason { action, reason })
    }
}
