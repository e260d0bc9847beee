//! From a configured origin to the addresses behind it, by DNS.
//!
//! Owns the resolver. A pull asks it before every attempt; the answers' time to live decides how often a server is really
//! asked, and never for longer than ten seconds: pods come and go faster than most records say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};

use crate::config::OriginAddress;

/// The longest that an answer is kept.
const MAX_TTL: Duration = Duration::from_secs(10);
/// The longest that the absence of a name is kept.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(1);
/// How long one question to one server may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// DNS says that there is no such name, or no address for it.
    #[error("{name} has no address")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// No server gave an answer.
    #[error("cannot resolve {name}: {source}")]
    Failed {
        /// The name asked for.
        name: String,
        /// What the resolver says.
        source: Box<NetError>,
    },
}

/// Resolves origins. Clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
}

impl Resolver {
    /// Asks `nameservers`, or those of the system (resolv.conf, with its search list) if there are none.
    pub fn new(nameservers: &[SocketAddr]) -> Result<Self, Box<NetError>> {
        let mut builder = if nameservers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = nameservers.iter().map(|address| name_server(*address)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Hickory::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.positive_max_ttl = Some(MAX_TTL);
        options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
        options.timeout = TIMEOUT;
        options.try_tcp_on_error = true;
        Ok(Self { hickory: builder.build()? })
    }

    /// Every address of `origin`, at least one.
    pub async fn resolve(&self, origin: &OriginAddress) -> Result<Vec<SocketAddr>, ResolveError> {
        match origin {
            OriginAddress::Address(address) => Ok(vec![*address]),
            OriginAddress::Name { host, port } => {
                let addresses = self.addresses(host).await?;
                Ok(addresses.into_iter().map(|address| (address, *port).into()).collect())
            }
            OriginAddress::Service(name) => self.service(name).await,
        }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = self.hickory.lookup_ip(host).await.map_err(|error| refine(host, error))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(ResolveError::NotFound { name: host.to_owned() });
        }
        Ok(addresses)
    }

    /// The addresses of every target of an SRV record (RFC 2782); a target without one does not spoil the others.
    async fn service(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = self.hickory.lookup(name, RecordType::SRV).await.map_err(|error| refine(name, error))?;
        let mut sockets = Vec::new();
        let mut failure = ResolveError::NotFound { name: name.to_owned() };
        for record in found.answers() {
            let RData::SRV(service) = &record.data else { continue };
            match self.addresses(&service.target.to_utf8()).await {
                Ok(addresses) => sockets.extend(addresses.into_iter().map(|ip| SocketAddr::from((ip, service.port)))),
                Err(error) => failure = error,
            }
        }
        if sockets.is_empty() { Err(failure) } else { Ok(sockets) }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

fn refine(name: &str, error: NetError) -> ResolveError {
    let name = name.to_owned();
    if error.is_nx_domain() || error.is_no_records_found() {
        ResolveError::NotFound { name }
    } else {
        ResolveError::Failed { name, source: Box::new(error) }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}
