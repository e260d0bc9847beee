//! Connecting to one host: for the commands of the program that are clients themselves.
//!
//! Owns one attempt, by name or by address, with the same names as everything else ([`Names`]): a binary without the C
//! library's resolver resolves as well. The demo's publisher and the probe call it. It never tries twice; pulls and
//! forwards choose among origins and have ways of their own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dns::{Names, ResolveError, SetUpError};
use super::socket;
use crate::config::{OriginAddress, OriginAddressError};
use crate::metrics::Metrics;

/// How long one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host is neither a name nor an address.
    #[error("{host} is no host: expected {error}")]
    Host {
        /// As it was given.
        host: String,
        /// What it should be.
        error: OriginAddressError,
    },
    /// Names cannot be resolved at all.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// This name cannot be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// None of the addresses accepts; the last one's reason.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// The address and its port.
        address: String,
        /// What went wrong there.
        error: io::Error,
    },
}

/// Connects to a TCP port of `host`, a name or an address without brackets, at the first of its addresses that accepts.
///
/// # Errors
///
/// Says which step failed. Each address may take 3 s.
pub async fn dial(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let origin: OriginAddress = authority.parse().map_err(|error| DialError::Host { host: host.to_owned(), error })?;
    let names = Names::new(&[], Arc::new(Metrics::new()))?;
    let mut failure = None;
    for endpoint in names.resolve(&origin).await?.iter() {
        match connect(endpoint.address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some((endpoint.address.to_string(), error)),
        }
    }
    // There is always one address at least, or resolving fails.
    let (address, error) = failure.unwrap_or((authority, io::ErrorKind::AddrNotAvailable.into()));
    Err(DialError::Connect { address, error })
}

async fn connect(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))??;
    socket::prepare(&stream)?;
    Ok(stream)
}
