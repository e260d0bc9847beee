//! From an origin to its endpoints by asking, each time anew.
//!
//! Knows which questions an origin takes: candidates of the search list, A before AAAA, SRV and its targets. Keeps nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::Endpoint;
use super::kept::{FAILURE_TTL, Failure};
use super::local::Local;
use super::servers::{QueryError, Servers};
use super::settings::Settings;
use crate::config::OriginAddress;

/// How long all questions about one origin may take together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many targets of SRV records are asked for at a time.
const TARGETS_AT_A_TIME: usize = 16;
/// How long the targets may take together; those that are not known by then are left out.
const TARGETS_PATIENCE: Duration = Duration::from_secs(4);

/// What was found: at least one endpoint, and how long it holds.
pub(super) type Answer = (Vec<Endpoint>, Duration);

/// The addresses of one name, and how long they hold.
type Addresses = Result<(Vec<IpAddr>, Duration), QueryError>;

/// Asks DNS about origins.
pub(super) struct Questions {
    servers: Servers,
    settings: Settings,
    local: Arc<Local>,
}

impl Questions {
    pub(super) fn new(settings: Settings, local: Arc<Local>) -> Result<Self, Box<NetError>> {
        Ok(Self { servers: Servers::new(&settings.servers, settings.edns)?, settings, local })
    }

    /// The endpoints of `origin`, sorted, each address once.
    pub(super) async fn ask(self: Arc<Self>, origin: OriginAddress) -> Result<Answer, Failure> {
        let found = timeout(PATIENCE, self.search(&origin)).await;
        let (mut endpoints, ttl) = found.unwrap_or_else(|_| Err(Failure::Failed("it takes too long".into())))?;
        // In the same order on every node, whatever order the server chose; of two targets with one address the same one.
        endpoints.sort_by(|one, other| (one.address, &one.rank_key).cmp(&(other.address, &other.rank_key)));
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        Ok((endpoints, ttl))
    }

    /// Tries what the name may mean, until one of it has addresses.
    async fn search(self: &Arc<Self>, origin: &OriginAddress) -> Result<Answer, Failure> {
        let host = match origin {
            OriginAddress::Address(address) => return Ok((vec![Endpoint::of_address(*address)], Duration::MAX)),
            OriginAddress::Name { host, .. } | OriginAddress::Service(host) => host,
        };
        let candidates = self.settings.candidates(host).map_err(failed)?;
        let mut failure = Failure::NotFound;
        for name in &candidates {
            let found = match origin {
                OriginAddress::Name { host, port } => self.host(name, host, *port).await,
                _ => self.service(name).await,
            };
            match found {
                Ok(answer) => return Ok(answer),
                Err(QueryError::NoName | QueryError::NoRecords) => {}
                // As the C library does: a domain that only yields errors does not end the search, but the name then
                // does not count as absent.
                Err(error @ QueryError::Refused(_)) => failure = failed(error),
                Err(error @ QueryError::Silent(_)) => return Err(failed(error)),
            }
        }
        Err(failure)
    }

    async fn host(&self, name: &Name, host: &str, port: u16) -> Result<Answer, QueryError> {
        let (addresses, ttl) = self.addresses(name).await?;
        Ok((Endpoint::of_name(host, port, &addresses), ttl))
    }

    /// The addresses of a name, of one family: IPv6 only if it is certain that there is no IPv4.
    async fn addresses(&self, name: &Name) -> Addresses {
        let found = match self.servers.query(name, RecordType::A).await {
            Err(QueryError::NoRecords) => self.servers.query(name, RecordType::AAAA).await?,
            answer => answer?,
        };
        let mut addresses: Vec<IpAddr> = found.records.iter().filter_map(RData::ip_addr).collect();
        addresses.sort();
        addresses.dedup();
        Ok((addresses, found.ttl))
    }

    /// The addresses of every target of the SRV records (RFC 2782). Priorities and weights are not looked at: which
    /// origin a stream is taken from is decided by rank, and every one of them counts.
    async fn service(self: &Arc<Self>, name: &Name) -> Result<Answer, QueryError> {
        let found = self.servers.query(name, RecordType::SRV).await?;
        let mut ttl = found.ttl;
        let mut endpoints = Vec::new();
        let mut to_ask = Vec::new();
        for record in found.records {
            let RData::SRV(service) = record else { continue };
            // The root as target says that there is no such service.
            if service.target.is_root() || service.port == 0 {
                continue;
            }
            match additional_addresses(&found.additional, &service.target) {
                Some((addresses, its_ttl)) => {
                    ttl = ttl.min(its_ttl);
                    endpoints.extend(of_target(&service, &addresses));
                }
                None => to_ask.push(service),
            }
        }
        let mut error = QueryError::NoRecords;
        for (service, found) in self.targets(to_ask).await {
            match found {
                Ok((addresses, its_ttl)) => {
                    ttl = ttl.min(its_ttl);
                    endpoints.extend(of_target(&service, &addresses));
                }
                Err(its_error) => {
                    tracing::debug!(target = %service.target, error = %its_error, "a target has no address");
                    // The set is not whole; it is soon asked for again.
                    ttl = ttl.min(FAILURE_TTL);
                    if !matches!(its_error, QueryError::NoName | QueryError::NoRecords) {
                        error = its_error;
                    }
                }
            }
        }
        if endpoints.is_empty() { Err(error) } else { Ok((endpoints, ttl)) }
    }

    /// The addresses of targets, asked for side by side.
    async fn targets(self: &Arc<Self>, services: Vec<SRV>) -> Vec<(SRV, Addresses)> {
        let deadline = Instant::now() + TARGETS_PATIENCE;
        let places = Arc::new(Semaphore::new(TARGETS_AT_A_TIME));
        let mut asking = JoinSet::new();
        for service in services {
            let (this, places) = (Arc::clone(self), Arc::clone(&places));
            asking.spawn(async move {
                let found = timeout_at(deadline, async {
                    let _place = places.acquire().await;
                    this.target(&service.target).await
                });
                let found = found.await.unwrap_or_else(|_| Err(QueryError::Silent("it takes too long".to_owned())));
                (service, found)
            });
        }
        asking.join_all().await
    }

    async fn target(&self, target: &Name) -> Addresses {
        match self.local.addresses(&target.to_ascii()) {
            Some(addresses) => Ok((addresses, Duration::MAX)),
            None => self.addresses(target).await,
        }
    }
}

fn of_target(service: &SRV, addresses: &[IpAddr]) -> Vec<Endpoint> {
    let target = service.target.to_ascii();
    addresses.iter().map(|ip| Endpoint::of_target(&target, service.port, *ip)).collect()
}

/// The addresses of a target that came along with the SRV records, of one family.
fn additional_addresses(additional: &[Record], target: &Name) -> Option<(Vec<IpAddr>, Duration)> {
    let addresses_of = |family| {
        let records = additional.iter().filter(|record| record.record_type() == family && record.name == *target);
        let (addresses, ttls): (Vec<IpAddr>, Vec<u32>) =
            records.filter_map(|record| Some((record.data.ip_addr()?, record.ttl))).unzip();
        Some((addresses, Duration::from_secs(ttls.into_iter().min()?.into())))
    };
    addresses_of(RecordType::A).or_else(|| addresses_of(RecordType::AAAA))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string().into())
}
