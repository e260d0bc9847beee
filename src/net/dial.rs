//! Connecting to one host: for the commands of the program that are clients themselves.
//!
//! Owns one attempt, by name or by address, with the same names as everything else ([`Names`]): a binary without the C
//! library's resolver resolves as well. The demo's publisher and the probe call it. It never tries twice; pulls and
//! forwards choose among origins and have ways of their own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dns::{Names, ResolveError, SetUpError};
use super::socket;
use super::stream::Stream;
use super::tls::{ClientTls, ClientTlsError};
use crate::config::{OriginAddress, OriginAddressError};
use crate::metrics::Metrics;

/// How the host is spoken with.
#[derive(Debug, Clone, Copy)]
pub enum Transport<'a> {
    /// Over TCP as it is.
    Plain,
    /// Over TLS. It has to prove its name by an authority in this file, or else by one that the system knows.
    Tls(Option<&'a Path>),
}

impl<'a> Transport<'a> {
    /// TLS where it `is_tls`.
    pub const fn of(is_tls: bool, ca_file: Option<&'a Path>) -> Self {
        if is_tls { Self::Tls(ca_file) } else { Self::Plain }
    }
}

/// How long one address may take, its handshake of TLS included.
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
    /// Nobody could prove over TLS who it is.
    #[error(transparent)]
    Trust(#[from] ClientTlsError),
    /// None of the addresses accepts; the last one's reason.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// The address and its port.
        address: String,
        /// What went wrong there.
        error: io::Error,
    },
}

/// Connects to a port of `host`, a name or an address without brackets, at the first of its addresses that accepts.
///
/// # Errors
///
/// Says which step failed. Each address may take 3 s.
pub async fn dial(host: &str, port: u16, transport: Transport<'_>) -> Result<Stream, DialError> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let origin: OriginAddress = authority.parse().map_err(|error| DialError::Host { host: host.to_owned(), error })?;
    let tls = match transport {
        Transport::Plain => None,
        Transport::Tls(ca_file) => Some((ClientTls::new(ca_file)?, server_name(host)?)),
    };
    let names = Names::new(&[], Arc::new(Metrics::new()))?;
    let mut failure = None;
    for endpoint in names.resolve(&origin).await?.iter() {
        match timeout(CONNECT_TIMEOUT, connect(endpoint.address, tls.as_ref())).await.unwrap_or_else(|_| silence()) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some((endpoint.address.to_string(), error)),
        }
    }
    // There is always one address at least, or resolving fails.
    let (address, error) = failure.unwrap_or((authority, io::ErrorKind::AddrNotAvailable.into()));
    Err(DialError::Connect { address, error })
}

async fn connect(address: SocketAddr, tls: Option<&(ClientTls, ServerName<'static>)>) -> io::Result<Stream> {
    let socket = TcpStream::connect(address).await?;
    socket::prepare(&socket)?;
    match tls {
        None => Ok(Stream::Plain(socket)),
        Some((tls, name)) => tls.connect(socket, name.clone()).await,
    }
}

fn silence() -> io::Result<Stream> {
    Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))
}

/// Whom a host has to prove to be.
fn server_name(host: &str) -> Result<ServerName<'static>, DialError> {
    let wrong = |error: rustls::pki_types::InvalidDnsNameError| DialError::Connect {
        address: host.to_owned(),
        error: io::Error::new(io::ErrorKind::InvalidInput, error),
    };
    ServerName::try_from(host.to_owned()).map_err(wrong)
}
