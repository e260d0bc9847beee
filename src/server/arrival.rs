//! What lies between a socket and its session: the header of a proxy, and the handshake of TLS.
//!
//! Owns finding out who a client is and being understood by nobody else. A connection that needs neither never comes here.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::metrics::{ConnectionResult, Protocol, Reason};
use crate::net::preamble::{self, PreambleError};
use crate::net::socket;
use crate::net::stream::Stream;
use crate::net::tls::{Alpn, ServerTls};
use crate::seldom::warn_seldom;
use crate::serve::{Accepted, HANDSHAKE_TIMEOUT, ServeContext};

/// What a connection has to go through.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) protocol: Protocol,
    /// Whether the peer is a proxy that may say who its client is.
    pub(super) is_proxy: bool,
    /// What the listener speaks TLS with, if it does.
    pub(super) tls: Option<(ServerTls, Alpn)>,
}

impl Arrival {
    /// Whether there is nothing to go through.
    pub(super) const fn is_plain(&self) -> bool {
        !self.is_proxy && self.tls.is_none()
    }

    /// Goes through it. `None` if the connection has ended by that, which is counted and logged.
    pub(super) async fn complete(
        self,
        context: &Arc<ServeContext>,
        socket: TcpStream,
        mut accepted: Accepted,
    ) -> Option<(Stream, Accepted)> {
        let reason = tokio::select! {
            biased;
            () = context.stop.cancelled() => Reason::Shutdown,
            arrived = self.arrive(context, socket, &mut accepted) => match arrived {
                Ok(stream) => return Some((stream, accepted)),
                Err(End::Refused) => return None,
                Err(End::Failed(reason)) => reason,
            },
        };
        let span = tracing::error_span!("arrival", peer = %accepted.peer);
        span.in_scope(|| context.connection_ended(self.protocol, reason, false));
        None
    }

    async fn arrive(
        &self,
        context: &ServeContext,
        mut socket: TcpStream,
        accepted: &mut Accepted,
    ) -> Result<Stream, End> {
        if socket::prepare(&socket).is_err() {
            // The peer is gone already.
            return Err(End::Failed(Reason::Probe));
        }
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        if self.is_proxy {
            self.name_client(context, &mut socket, accepted, deadline).await?;
        }
        let Some((tls, alpn)) = &self.tls else { return Ok(Stream::Plain(socket)) };
        // Health checks connect and go: that is no failure of TLS.
        let first = timeout_at(deadline, socket.peek(&mut [0])).await;
        if !matches!(first, Ok(Ok(1)) | Err(_)) {
            return Err(End::Failed(Reason::Probe));
        }
        match timeout_at(deadline, tls.accept(socket, *alpn)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::debug!(peer = %accepted.peer, %error, "no TLS");
                Err(End::Failed(Reason::TlsFailed))
            }
            Err(_) => Err(End::Failed(Reason::HandshakeTimeout)),
        }
    }

    /// Puts the client that the proxy names in its place. A proxy that names none, a health check or a server of ours
    /// that lives among the proxies, is taken as itself.
    async fn name_client(
        &self,
        context: &ServeContext,
        socket: &mut TcpStream,
        accepted: &mut Accepted,
        deadline: Instant,
    ) -> Result<(), End> {
        let named = match timeout_at(deadline, preamble::take(socket)).await {
            Ok(Ok(named)) => named,
            Ok(Err(PreambleError::Io(_))) => return Err(End::Failed(Reason::Probe)),
            Ok(Err(PreambleError::Header(error))) => {
                warn_seldom!(key = accepted.peer.ip(), proxy = %accepted.peer, %error, "a proxy sent a header that cannot be used");
                return Err(End::Failed(Reason::ProxyHeaderInvalid));
            }
            Err(_) => return Err(End::Failed(Reason::HandshakeTimeout)),
        };
        if let Some(client) = named {
            tracing::debug!(proxy = %accepted.peer, %client, "the proxy names its client");
            accepted.peer = (client.ip().to_canonical(), client.port()).into();
            if !accepted.admitted.count_for(accepted.peer.ip()) {
                context.metrics.connections(self.protocol, ConnectionResult::Refused).inc();
                tracing::debug!(peer = %accepted.peer, "no room for another connection of this address");
                return Err(End::Refused);
            }
        }
        if !accepted.admitted.is_surplus() {
            context.metrics.connections(self.protocol, ConnectionResult::Accepted).inc();
        }
        Ok(())
    }
}

/// How a connection ends before its session.
enum End {
    /// A limit kept it out.
    Refused,
    Failed(Reason),
}
