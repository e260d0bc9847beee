//! The upstreams of this node: who they are, in which order a stream asks them, and who rests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use rustls::pki_types::ServerName;
use tokio::sync::Semaphore;

use crate::cluster::rank::rank;
use crate::config::{Live, OriginAddress, UpstreamProtocol};
use crate::media::stream_key::StreamKey;
use crate::metrics::{ConnectResult, Metrics};
use crate::net::dns::{Endpoint, Names};
use crate::seldom::warn_seldom;

use super::health::Health;

/// Who is asked: one of the two lists of origins, or other edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// `upstream.origins`.
    Primary,
    /// `upstream.backup_origins`.
    Backup,
    /// The edges of this one's own tier, `upstream.shield`. They speak RTMP, whatever the origins do.
    Shield,
}

/// One address that may have a stream.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Where to connect.
    pub(super) address: SocketAddr,
    /// `host:port` as configured or found: what the upstream is called towards itself.
    pub(super) name: String,
    /// What is spoken with it.
    pub(super) protocol: UpstreamProtocol,
    /// Whom it has to prove to be, where that is spoken over TLS.
    pub(super) tls: Option<ServerName<'static>>,
    rank_key: String,
    origin: OriginAddress,
}

/// Where a redirect leads, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) protocol: UpstreamProtocol,
    /// Whether over TLS.
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Candidate {
    /// How a URL of RTMP there begins.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rtmps" } else { "rtmp" }
    }
}

/// What all pulls know together of their upstreams.
#[derive(Debug)]
pub(super) struct Upstreams {
    config: Live,
    names: Names,
    health: Health,
    /// With the number of connects that they let through.
    gates: DashMap<SocketAddr, (usize, Arc<Semaphore>)>,
    metrics: Arc<Metrics>,
}

impl Upstreams {
    pub(super) fn new(config: Live, names: Names, metrics: Arc<Metrics>) -> Self {
        Self { config, names, health: Health::default(), gates: DashMap::new(), metrics }
    }

    pub(super) fn has_backups(&self) -> bool {
        !self.config.current().upstream.backup_origins.is_empty()
    }

    /// The addresses of a tier in the order in which `key` asks them, without those that rest.
    ///
    /// A single origin never rests here: there is nobody to ask instead, and the pull's own rhythm spares it.
    pub(super) async fn candidates(&self, key: &StreamKey, tier: Tier) -> Vec<Candidate> {
        let mut candidates = self.ranked(key, tier, self.config.current().upstream.protocol).await;
        if candidates.len() > 1 || tier == Tier::Shield {
            let now = Instant::now();
            candidates.retain(|candidate| !self.health.rests(candidate.address, now));
        }
        candidates
    }

    /// The primaries in the order in which `key` is published to them, over RTMP; those that rest come last.
    ///
    /// Backups are not among them: while a primary answers, no edge looks for a stream at a backup.
    pub(super) async fn homes(&self, key: &StreamKey) -> Vec<Candidate> {
        let mut candidates = self.ranked(key, Tier::Primary, UpstreamProtocol::Rtmp).await;
        let now = Instant::now();
        candidates.sort_by_key(|candidate| self.health.rests(candidate.address, now));
        candidates
    }

    /// Every address of a tier in the order in which `key` asks them over `protocol`, those that rest included.
    pub(super) async fn ranked(&self, key: &StreamKey, tier: Tier, protocol: UpstreamProtocol) -> Vec<Candidate> {
        let mut candidates = self.resolve(tier, protocol).await;
        rank(key.as_str(), &mut candidates, |candidate| &candidate.rank_key);
        candidates
    }

    /// Whether an address has failed lately, and is better left alone.
    pub(super) fn rests(&self, candidate: &Candidate, now: Instant) -> bool {
        self.health.rests(candidate.address, now)
    }

    /// Every address of every origin of a tier, each once.
    async fn resolve(&self, tier: Tier, protocol: UpstreamProtocol) -> Vec<Candidate> {
        let config = self.config.current();
        let settings = &config.upstream;
        let origins = match tier {
            Tier::Primary => settings.origins.as_slice(),
            Tier::Backup => settings.backup_origins.as_slice(),
            Tier::Shield => settings.shield.as_slice(),
        };
        let protocol = match tier {
            Tier::Primary | Tier::Backup => protocol,
            Tier::Shield => UpstreamProtocol::Rtmp,
        };
        let mut candidates: Vec<Candidate> = Vec::new();
        for origin in origins {
            match self.names.resolve(origin).await {
                Ok(endpoints) => {
                    for endpoint in endpoints.iter() {
                        let (address, name) = self.place_of(endpoint, tier, protocol);
                        if candidates.iter().all(|known| known.address != address) {
                            candidates.push(Candidate {
                                address,
                                name,
                                protocol,
                                tls: self.proof_of(tier, endpoint),
                                rank_key: endpoint.rank_key.clone(),
                                origin: origin.clone(),
                            });
                        }
                    }
                }
                // A tier without another edge that is ready: its streams come straight from the origins.
                Err(error) if tier == Tier::Shield => tracing::debug!(%error, "cannot resolve the edges of this tier"),
                Err(error) => {
                    warn_seldom!(key = error.to_string(), %error, "cannot resolve an origin");
                    self.metrics.upstream_connects(ConnectResult::Unresolved).inc();
                }
            }
        }
        candidates
    }

    /// Where to connect, and as what: the ports that resolve with names are those of RTMP.
    fn place_of(&self, endpoint: &Endpoint, tier: Tier, protocol: UpstreamProtocol) -> (SocketAddr, String) {
        let settings = &self.config.current().upstream;
        let port = match protocol {
            UpstreamProtocol::Rtmp => settings.rtmps_port.filter(|_| tier != Tier::Shield),
            UpstreamProtocol::HttpFlv => Some(settings.http_port),
        };
        let Some(port) = port else { return (endpoint.address, endpoint.name.clone()) };
        (SocketAddr::new(endpoint.address.ip(), port), format!("{}:{port}", host_of(&endpoint.name)))
    }

    /// Whom an upstream has to prove to be, if it has to: what it is configured as, not where that has led to.
    fn proof_of(&self, tier: Tier, endpoint: &Endpoint) -> Option<ServerName<'static>> {
        let settings = &self.config.current().upstream;
        if !settings.tls || tier == Tier::Shield {
            return None;
        }
        let configured = settings.server_name.clone();
        let name = configured.unwrap_or_else(|| host_of(&endpoint.name).trim_matches(['[', ']']).to_owned());
        // Whatever has no name a certificate could have is an address.
        Some(ServerName::try_from(name).unwrap_or_else(|_| endpoint.address.ip().into()))
    }

    /// Where `from` redirects to. The name is not one of ours, and ranks nowhere. What begins over TLS stays so, and has to be
    /// whom it was before: one certificate is for all origins that send to each other.
    pub(super) async fn redirected_to(&self, place: &Place, from: &Candidate) -> Option<Candidate> {
        let Place { protocol, is_tls, host, port } = place;
        if *is_tls != from.tls.is_some() {
            tracing::warn!(upstream = %from.address, "it redirects from TLS to plain text, or the other way");
            return None;
        }
        let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let origin: OriginAddress = text.parse().ok()?;
        let endpoints = self.names.resolve(&origin).await.ok()?;
        let address = endpoints.first()?.address;
        let tls = from.tls.clone();
        Some(Candidate { address, name: text.clone(), protocol: *protocol, tls, rank_key: text, origin })
    }

    /// Notes that an address did not answer as an upstream does: it rests, and its name is asked for again.
    pub(super) fn note_failure(&self, candidate: &Candidate, longest_rest: Duration) {
        self.health.note_failure(candidate.address, longest_rest, Instant::now());
        self.names.doubt(&candidate.origin);
    }

    /// Notes that an address has answered, be it that it does not have the stream.
    pub(super) fn note_answer(&self, candidate: &Candidate) {
        self.health.note_success(candidate.address);
    }

    /// Lets at most `upstream.max_connects` connect to one address at a time, so that a restarted origin is not stormed.
    pub(super) fn gate(&self, address: SocketAddr) -> Arc<Semaphore> {
        // Addresses that nobody connects to any more are forgotten when new ones come.
        if !self.gates.contains_key(&address) {
            self.gates.retain(|_, (_, gate)| Arc::strong_count(gate) > 1);
        }
        let most = self.config.current().upstream.max_connects;
        let new = || (most, Arc::new(Semaphore::new(most)));
        let mut gate = self.gates.entry(address).or_insert_with(new);
        if gate.0 != most {
            // Who waits before the old one, or has passed it, goes on as it was.
            *gate = new();
        }
        Arc::clone(&gate.1)
    }
}

/// The host of `host:port`.
fn host_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host)
}
