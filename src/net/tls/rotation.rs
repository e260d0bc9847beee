//! Certificates that change while the process runs.
//!
//! Owns the looking. Files are read every few seconds, however they are replaced: written over, renamed, or a symbolic link
//! turned elsewhere, as Kubernetes does with a Secret. Each pair of files is for itself: one that is of no use changes nothing
//! but the log and a metric, and keeps no other from being renewed.

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
    let pairs = config.current().tls.certificates.clone();
    let in_use = pairs.into_iter().zip(tls.current().iter().cloned()).collect();
    let mut watch = Watch { tls, config, metrics, in_use, refused: Vec::new(), warned: None };
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
    /// What each pair of files has held that could be used.
    in_use: Vec<Held>,
    /// What was found last that could not be used.
    refused: Vec<Refused>,
    warned: Option<tokio::time::Instant>,
}

type Held = (CertificatePair, LoadedCertificate);

/// A pair of files that hold nothing of use.
struct Refused {
    pair: CertificatePair,
    /// Of their content, as far as it can be read.
    digest: Option<[u8; 32]>,
    error: CertificateError,
    /// Whether that has been said.
    is_said: bool,
}

/// What is found in the files.
struct Found {
    /// What is to be in use: of a pair that is of no use, what it has held before.
    held: Vec<Held>,
    refused: Vec<Refused>,
}

impl Watch {
    async fn look(&mut self) {
        let pairs = self.config.current().tls.certificates.clone();
        let in_use = self.in_use.clone();
        // Files may lie on a file system that makes one wait.
        let found = tokio::task::spawn_blocking(move || find(pairs, &in_use)).await;
        // Else the runtime is ending.
        if let Ok(Found { held, refused }) = found {
            self.refuse(refused);
            // Listeners need one: what a configuration without any asks for is to go on.
            if !held.is_empty() {
                self.take(held);
            }
        }
        self.warn_of_expiry();
    }

    fn take(&mut self, held: Vec<Held>) {
        if is_same(&held, &self.in_use) {
            self.in_use = held;
            return;
        }
        self.warned = None;
        let is_in_use = |digest| self.in_use.iter().any(|(_, certificate)| certificate.digest == digest);
        for (_, certificate) in held.iter().filter(|(_, certificate)| !is_in_use(certificate.digest)) {
            tracing::info!(names = ?certificate.names, not_after = certificate.not_after, "certificate loaded");
        }
        self.tls.replace(held.iter().map(|(_, certificate)| certificate.clone()).collect());
        self.in_use = held;
        self.metrics.tls.reloads(TlsReload::Loaded).inc();
        self.show();
    }

    /// Of files that are not replaced in one go, half is new for a moment: what is bad is only believed at the second look.
    fn refuse(&mut self, refused: Vec<Refused>) {
        let before = std::mem::replace(&mut self.refused, refused);
        for refused in &mut self.refused {
            let is_known = |before: &&Refused| before.pair == refused.pair && before.digest == refused.digest;
            let Some(before) = before.iter().find(is_known) else { continue };
            if !before.is_said {
                tracing::error!(error = %refused.error, "a new certificate cannot be used; what was in use stays");
                self.metrics.tls.reloads(TlsReload::Failed).inc();
            }
            refused.is_said = true;
        }
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

fn find(pairs: Vec<CertificatePair>, in_use: &[Held]) -> Found {
    let mut found = Found { held: Vec::new(), refused: Vec::new() };
    for pair in pairs {
        let before = in_use.iter().find(|(other, _)| *other == pair).map(|(_, certificate)| certificate);
        let digest = pair.digest().ok();
        if let Some(before) = before.filter(|before| Some(before.digest) == digest) {
            found.held.push((pair, before.clone()));
            continue;
        }
        match pair.load() {
            Ok(certificate) => found.held.push((pair, certificate)),
            Err(error) => {
                found.held.extend(before.map(|before| (pair.clone(), before.clone())));
                found.refused.push(Refused { pair, digest, error, is_said: false });
            }
        }
    }
    found
}

fn is_same(one: &[Held], other: &[Held]) -> bool {
    let digests = |held: &[Held]| held.iter().map(|(_, certificate)| certificate.digest).collect::<Vec<_>>();
    digests(one) == digests(other)
}
