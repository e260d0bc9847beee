//! What is counted of TLS.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Labelled, One, TlsReload};

/// The metrics of TLS.
#[derive(Debug, Default)]
pub struct TlsMetrics {
    /// When the first of the certificates in use expires, in seconds since 1970; 0 without any.
    pub certificate_expiry: Gauge,
    reloads: Family<One<TlsReload>, Counter>,
}

impl TlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "When the first certificate in use expires";
        let expiry = self.certificate_expiry.clone();
        registry.register_with_unit("tls_certificate_expiry_timestamp", help, Unit::Seconds, expiry);
        registry.register("tls_certificate_reloads", "Changes of certificate files", self.reloads.clone());
        TlsReload::ALL.iter().for_each(|&result| drop(self.reloads(result)));
    }

    /// Times that the files had changed, and what came of it.
    pub fn reloads(&self, result: TlsReload) -> Counter {
        self.reloads.get_or_create_owned(&[("result", result)])
    }
}
