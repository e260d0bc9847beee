//! Asks DNS servers one question about one absolute name.
//!
//! The messages, their transport and the turn to TCP after a truncated answer are hickory's. Nothing is kept here but which
//! server answered last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::timeout;

/// How long one server may take to answer. Lost datagrams are sent again within.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a server that says nothing is asked.
const TRIES: usize = 2;
/// The longest chain of aliases that is followed.
const MAX_ALIASES: usize = 8;

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// There is no such name (NXDOMAIN), of whatever type.
    #[error("there is no such name")]
    NoName,
    /// The name has no records of this type (NODATA).
    #[error("the name has no such records")]
    NoRecords,
    /// Servers answered, with nothing but an error.
    #[error("the DNS server answers: {0}")]
    Refused(ResponseCode),
    /// No server answered.
    #[error("no DNS server answers: {0}")]
    Silent(String),
}

/// The records that were asked for, at least one.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) records: Vec<RData>,
    /// What the server added unasked.
    pub(super) additional: Vec<Record>,
    /// The least of the records' and the aliases' times to live.
    pub(super) ttl: Duration,
}

/// The servers to ask, in their order.
pub(super) struct Servers {
    /// Each server by itself: which one to ask next, and after what, is decided here.
    pools: Vec<NameServerPool<TokioRuntimeProvider>>,
    options: DnsRequestOptions,
    /// The server that answered last. One that is dead shall not cost its timeout each time.
    preferred: AtomicUsize,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr], edns: bool) -> Result<Self, Box<NetError>> {
        let pools = addresses.iter().map(|address| pool(*address)).collect::<Result<_, _>>()?;
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns;
        Ok(Self { pools, options, preferred: AtomicUsize::new(0) })
    }

    /// Asks for records of a type, through aliases.
    pub(super) async fn query(&self, name: &Name, kind: RecordType) -> Result<Records, QueryError> {
        let mut owner = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..MAX_ALIASES {
            let response = self.exchange(&Query::query(owner.clone(), kind)).await?;
            let end = follow_aliases(&response, &owner, &mut ttl);
            let found = response.answers.iter().filter(|record| record.name == end && record.record_type() == kind);
            let records: Vec<RData> = found
                .map(|record| {
                    ttl = ttl.min(record.ttl);
                    record.data.clone()
                })
                .collect();
            if !records.is_empty() {
                let additional = response.into_message().additionals;
                return Ok(Records { records, additional, ttl: Duration::from_secs(ttl.into()) });
            }
            if response.response_code == ResponseCode::NXDomain {
                return Err(QueryError::NoName);
            }
            // Who recurses has followed the aliases to their end; who does not leaves that to us.
            if end == owner || response.recursion_available {
                return Err(QueryError::NoRecords);
            }
            owner = end;
        }
        Err(QueryError::NoRecords)
    }

    /// Asks server after server until one says yes or no, and those that say nothing again.
    async fn exchange(&self, query: &Query) -> Result<DnsResponse, QueryError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut to_ask: Vec<_> = self.pools.iter().enumerate().cycle().skip(first).take(self.pools.len()).collect();
        let mut refused = None;
        let mut silent = None;
        for _ in 0..TRIES {
            let mut ask_again = Vec::new();
            for (index, pool) in to_ask {
                match ask(pool, query, self.options).await {
                    Err(QueryError::Refused(code)) => refused = Some(QueryError::Refused(code)),
                    Err(QueryError::Silent(reason)) => {
                        silent = Some(QueryError::Silent(reason));
                        ask_again.push((index, pool));
                    }
                    answer => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
            to_ask = ask_again;
        }
        Err(refused.or(silent).unwrap_or_else(|| QueryError::Silent("there is none".to_owned())))
    }
}

async fn ask(
    pool: &NameServerPool<TokioRuntimeProvider>,
    query: &Query,
    options: DnsRequestOptions,
) -> Result<DnsResponse, QueryError> {
    let answer = timeout(TRY_TIMEOUT, pool.lookup(query.clone(), options).first_answer()).await;
    match answer.unwrap_or(Err(NetError::Timeout)) {
        Ok(response) => Ok(response),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Err(match none.response_code {
            ResponseCode::NXDomain => QueryError::NoName,
            ResponseCode::NoError => QueryError::NoRecords,
            code => QueryError::Refused(code),
        }),
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Err(QueryError::Refused(code)),
        Err(error) => Err(QueryError::Silent(error.to_string())),
    }
}

/// The name at the end of the chain of aliases (CNAME) in an answer.
fn follow_aliases(response: &DnsResponse, start: &Name, ttl: &mut u32) -> Name {
    let mut name = start;
    // A chain has at most as many links as there are records; so a loop ends as well.
    for _ in &response.answers {
        let link = response.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, link_ttl)) = link else { break };
        *ttl = link_ttl.min(*ttl);
        name = target;
    }
    name.clone()
}

fn pool(address: SocketAddr) -> Result<NameServerPool<TokioRuntimeProvider>, Box<NetError>> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
    let mut options = ResolverOpts::default();
    options.timeout = TRY_TIMEOUT;
    let context = PoolContext::new(options, TlsConfig::new()?);
    Ok(NameServerPool::from_config([server], Arc::new(context), TokioRuntimeProvider::default()))
}
