//! From configured origins to endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::OriginAddress;
use crate::metrics::{LookupResult, Metrics};

use super::resolver::{ResolveError, Resolver};

/// One address of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// `host:port`, as the origin is called.
    pub name: String,
    /// What ranks it among others.
    pub rank_key: String,
}

/// Resolves origins.
#[derive(Debug)]
pub struct Names {
    resolver: Resolver,
    metrics: Arc<Metrics>,
}

impl Names {
    /// Asks `nameservers`, or those of the system if there are none.
    pub fn new(nameservers: &[SocketAddr], metrics: Arc<Metrics>) -> Result<Self, String> {
        let resolver = Resolver::new(nameservers).map_err(|error| error.to_string())?;
        Ok(Self { resolver, metrics })
    }

    /// Every endpoint of `origin`, at least one.
    pub async fn resolve(&self, origin: &OriginAddress) -> Result<Arc<[Endpoint]>, ResolveError> {
        let resolved = self.resolver.resolve(origin).await;
        if !matches!(origin, OriginAddress::Address(_)) {
            let result = match &resolved {
                Ok(_) => LookupResult::Found,
                Err(ResolveError::NotFound { .. }) => LookupResult::NotFound,
                Err(ResolveError::Failed { .. }) => LookupResult::Failed,
            };
            self.metrics.dns_lookups(result).inc();
        }
        let endpoint =
            |address: SocketAddr| Endpoint { address, name: origin.to_string(), rank_key: address.to_string() };
        Ok(resolved?.into_iter().map(endpoint).collect())
    }

    /// Has the next call ask again.
    pub fn doubt(&self, _origin: &OriginAddress) {}
}
