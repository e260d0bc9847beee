//! Connecting to an upstream, over TLS where it is to be pulled from so.
//!
//! Owns one attempt at one address. How long it may take, and what is spoken then, is the callers' part.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::net::socket;
use crate::net::stream::Stream;
use crate::net::tls::ClientTls;

use super::PullContext;
use super::connection::OpenError;
use super::upstreams::Candidate;

/// An address, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    /// With TLS: what it is spoken with, and whom the upstream has to prove to be.
    pub(super) tls: Option<(ClientTls, ServerName<'static>)>,
}

impl PullContext {
    /// How an upstream is reached. Where it has to prove who it is and nobody could prove anything, not at all.
    pub(super) fn way_to(&self, candidate: &Candidate) -> Result<Way, OpenError> {
        let with = |name: &ServerName<'static>| {
            let tls = self.trust.current(self.config().upstream.ca_file.as_deref());
            tls.map(|tls| (tls, name.clone())).map_err(|error| OpenError::Tls(io::Error::other(error)))
        };
        Ok(Way { address: candidate.address, tls: candidate.tls.as_ref().map(with).transpose()? })
    }
}

/// Connects, and shakes hands if the way is over TLS.
pub(super) async fn dial(way: &Way) -> Result<Stream, OpenError> {
    let socket = TcpStream::connect(way.address).await.map_err(OpenError::Connect)?;
    socket::prepare(&socket)?;
    match &way.tls {
        None => Ok(Stream::Plain(socket)),
        Some((tls, name)) => tls.connect(socket, name.clone()).await.map_err(OpenError::Tls),
    }
}
