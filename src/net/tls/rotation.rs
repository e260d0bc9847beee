//! Certificates that change while the process runs.
//!
//! Owns the looking. Files are read every few seconds, however they are replaced: written over, renamed, or a symbolic link
//! turned elsewhere, as Kubernetes does with a Secret. What is no use changes nothing but the log and a metric.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::server::ServerTls;
use crate::config::{CertificateError, CertificatePair, Live, LoadedCertificate};
use crate::metrics::{Metrics, TlsReload};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long before its end a certificate is warned about, and how often.
const WARN_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Presents what the files hold that the configuration in force names, until `stop`.
pub async fn keep_fresh(tls: ServerTls, config: Live, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut watch = Watch { tls, config, metrics, refused: None, warned: None };
    watch.show();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => watch.look().await,
        }
    }
}

struct Watch {
    tls: ServerTls,
    config: Live,
    metrics: Arc<Metrics>,
    /// What was found last that could not be used: its digests, and whether that has been said.
    refused: Option<(Digests, bool)>,
    warned: Option<tokio::time::Instant>,
}

/// The content of each pair's files, as far as they can be read.
type Digests = Vec<Option<[u8; 32]>>;

/// What is found in the files that differs from what is in use.
enum Found {
    Same,
    Other(Vec<LoadedCertificate>),
    Bad(Digests, CertificateError),
}

impl Watch {
    async fn look(&mut self) {
        let pairs = self.config.current().tls.certificates.clone();
        let current = self.tls.current();
        // Files may lie on a file system that makes one wait.
        let found = tokio::task::spawn_blocking(move || find(&pairs, &current)).await;
        match found {
            Ok(Found::Same) => self.refused = None,
            Ok(Found::Other(certificates)) => self.take(certificates),
            Ok(Found::Bad(digests, error)) => self.refuse(digests, &error),
            // The runtime is ending.
            Err(_) => {}
        }
        self.warn_of_expiry();
    }

    fn take(&mut self, certificates: Vec<LoadedCertificate>) {
        self.refused = None;
        self.warned = None;
        for certificate in &certificates {
            tracing::info!(names = ?certificate.names, not_after = certificate.not_after, "certificate loaded");
        }
        self.tls.replace(certificates);
        self.metrics.tls.reloads(TlsReload::Loaded).inc();
        self.show();
    }

    /// Of files that are not replaced in one go, half is new for a moment: what is bad is only believed at the second look.
    fn refuse(&mut self, digests: Digests, error: &CertificateError) {
        let said = match &self.refused {
            Some((before, said)) if *before == digests => *said,
            _ => {
                self.refused = Some((digests, false));
                return;
            }
        };
        if !said {
            tracing::error!(%error, "the new certificates cannot be used; those in use stay");
            self.metrics.tls.reloads(TlsReload::Failed).inc();
        }
        self.refused = Some((digests, true));
    }

    /// Shows when the first of the certificates in use expires.
    fn show(&self) {
        if let Some(earliest) = self.tls.current().iter().map(|certificate| certificate.not_after).min() {
            self.metrics.tls.certificate_expiry.set(earliest);
        }
    }

    fn warn_of_expiry(&mut self) {
        if self.warned.is_some_and(|warned| warned.elapsed() < WARN_EVERY) {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for certificate in self.tls.current().iter() {
            let names = &certificate.names;
            if certificate.not_before > now.as_secs() as i64 {
                tracing::warn!(?names, not_before = certificate.not_before, "a certificate does not hold yet");
            } else if certificate.not_after <= (now + WARN_BEFORE).as_secs() as i64 {
                tracing::warn!(
                    ?names,
                    not_after = certificate.not_after,
                    "a certificate has expired or soon will have"
                );
            } else {
                continue;
            }
            self.warned = Some(tokio::time::Instant::now());
        }
    }
}

fn find(pairs: &[CertificatePair], current: &[LoadedCertificate]) -> Found {
    let digests: Digests = pairs.iter().map(|pair| pair.digest().ok()).collect();
    let in_use: Digests = current.iter().map(|certificate| Some(certificate.digest)).collect();
    // Listeners need one: what a configuration without any asks for is to go on.
    if digests == in_use || pairs.is_empty() {
        return Found::Same;
    }
    match pairs.iter().map(CertificatePair::load).collect() {
        Ok(certificates) => Found::Other(certificates),
        Err(error) => Found::Bad(digests, error),
    }
}
