//! What is counted of the process's configuration, and of who comes to its admin port.

use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Labelled, One, label_values};

label_values! {
    /// Why a request to the admin port was refused.
    AdminRefusal {
        /// It came from another host, and nobody may change anything from there.
        Remote = "remote",
        /// It came without credentials, and needs some.
        NoCredentials = "no_credentials",
        /// It came with wrong credentials.
        WrongCredentials = "wrong_credentials",
        /// It came with credentials that allow less.
        ViewOnly = "view_only",
        /// Too many came with wrong credentials from there.
        TooManyFailures = "too_many_failures",
        /// A web page of another site had sent it.
        ForeignPage = "foreign_page",
    }
}

/// The metrics of configuration and operators.
#[derive(Debug)]
pub struct OperatingMetrics {
    /// 1 if the configuration could be loaded the last time that it was tried, else 0.
    last_reload_successful: Gauge,
    /// When it could, last.
    last_reload_success: Gauge<f64, AtomicU64>,
    refusals: Family<One<AdminRefusal>, Counter>,
}

impl Default for OperatingMetrics {
    /// A process starts with a configuration that it could load.
    fn default() -> Self {
        let metrics = Self {
            last_reload_successful: Gauge::default(),
            last_reload_success: Gauge::default(),
            refusals: Family::default(),
        };
        metrics.note_reload(true);
        metrics
    }
}

impl OperatingMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let successful = self.last_reload_successful.clone();
        registry.register("config_last_reload_successful", "Whether the configuration was valid last", successful);
        let (name, help) = ("config_last_reload_success_timestamp", "When the configuration was last loaded");
        registry.register_with_unit(name, help, Unit::Seconds, self.last_reload_success.clone());
        registry.register("admin_refusals", "Requests to the admin port refused", self.refusals.clone());
        AdminRefusal::ALL.iter().for_each(|&reason| drop(self.refusals(reason)));
    }

    /// Notes that the configuration was loaded, or that it could not be.
    pub fn note_reload(&self, is_successful: bool) {
        self.last_reload_successful.set(i64::from(is_successful));
        if is_successful {
            self.last_reload_success
                .set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64()));
        }
    }

    /// Requests to the admin port that were refused for `reason`.
    pub fn refusals(&self, reason: AdminRefusal) -> Counter {
        self.refusals.get_or_create_owned(&[("reason", reason)])
    }
}
