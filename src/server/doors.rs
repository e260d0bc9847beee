//! The listeners of publishers and players: opened, closed, and opened again on the same addresses.
//!
//! Owns the way of a connection from its listener to a shard. The server opens the doors when it starts; the drain closes
//! them, and opens them again when it is taken back.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ListenAddress;
use crate::metrics::{ConnectionResult, Protocol};
use crate::net::admission::{Admission, Admitted};
use crate::net::handshakes::{Handshake, Handshakes};
use crate::net::listener::{self, BindError};
use crate::net::stream::Stream;
use crate::net::tls::{Alpn, ServerTls};
use crate::serve::{Accepted, ServeContext, http, rtmp};

use super::Service;
use super::arrival::Arrival;
use super::shards::Shards;

/// All listeners but the admin port's.
pub(super) struct Doors {
    gate: Arc<Gate>,
    /// What was bound, with the ports that the system chose.
    places: Vec<(Service, ListenAddress)>,
    open: Option<Open>,
}

/// The listeners as long as they are open.
struct Open {
    closing: CancellationToken,
    listeners: TaskTracker,
}

impl Doors {
    /// Accepts on what has been bound as what.
    pub(super) fn new(gate: Gate, bound: Vec<(Service, ListenAddress, TcpListener)>) -> io::Result<Self> {
        let mut places = Vec::new();
        let mut listeners = Vec::new();
        for (service, configured, listener) in bound {
            places.push((service, place(configured, listener.local_addr()?)));
            listeners.push((service, listener));
        }
        let mut doors = Self { gate: Arc::new(gate), places, open: None };
        doors.accept(listeners);
        Ok(doors)
    }

    /// Listens again, on all addresses or on none.
    pub(super) fn open(&mut self) -> Result<(), BindError> {
        if self.open.is_none() {
            let bind = |(service, address): &(Service, ListenAddress)| Ok((*service, listener::bind(*address)?));
            let listeners = self.places.iter().map(bind).collect::<Result<_, BindError>>()?;
            self.accept(listeners);
        }
        Ok(())
    }

    /// Takes no more connections, other than those that wait already. Dropping the future loses nothing.
    pub(super) async fn close(&mut self) {
        if let Some(open) = &self.open {
            open.closing.cancel();
            open.listeners.close();
            open.listeners.wait().await;
        }
        self.open = None;
    }

    fn accept(&mut self, listeners: Vec<(Service, TcpListener)>) {
        let open = Open { closing: CancellationToken::new(), listeners: TaskTracker::new() };
        for (service, listener) in listeners {
            open.listeners.spawn(accept(Arc::clone(&self.gate), service, listener, open.closing.clone()));
        }
        self.open = Some(open);
    }
}

/// The address to bind again: what was configured, with the port that it got.
fn place(configured: ListenAddress, bound: SocketAddr) -> ListenAddress {
    match configured {
        ListenAddress::Any(_) => ListenAddress::Any(bound.port()),
        ListenAddress::Address(_) => ListenAddress::Address(bound),
    }
}

/// Hands what comes in to the shards, until the listener is to be closed.
async fn accept(gate: Arc<Gate>, service: Service, listener: TcpListener, closing: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => break,
            (socket, peer) = listener::accept(&listener) => {
                // Who has no place takes nobody else's turn.
                let Some(visitor) = gate.admit(service, peer) else { continue };
                let handshake = tokio::select! {
                    biased;
                    handshake = gate.handshakes.begin() => handshake,
                    // Nobody else is accepted meanwhile: the others wait in the system's queue.
                    () = closing.cancelled() => gate.handshakes.begin_at_once(),
                };
                gate.enter(service, socket, visitor, handshake, &closing);
            }
        }
    }
    for (socket, peer) in listener::accept_waiting(listener) {
        let Some(visitor) = gate.admit(service, peer) else { continue };
        gate.enter(service, socket, visitor, gate.handshakes.begin_at_once(), &closing);
    }
}

/// Between a listener and the shards.
pub(super) struct Gate {
    pub(super) context: Arc<ServeContext>,
    pub(super) admission: Arc<Admission>,
    pub(super) handshakes: Arc<Handshakes>,
    pub(super) shards: Arc<Shards>,
    /// What listeners of TLS speak it with, if there are any.
    pub(super) tls: Option<ServerTls>,
    pub(super) connections: TaskTracker,
}

/// The life of a connection.
type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who has come in at a listener, with a place among the connections.
struct Visitor {
    peer: SocketAddr,
    /// Whether the peer is a proxy that may say who its client is.
    is_proxy: bool,
    admitted: Admitted,
}

impl Gate {
    /// Lets a peer in, if there is a place for it.
    fn admit(&self, service: Service, peer: SocketAddr) -> Option<Visitor> {
        // IPv4 by its own name, also on a socket for both families.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let is_proxy = self.context.config.current().trusts_proxy(peer.ip());
        let count = |result| self.context.metrics.connections(service.protocol(), result).inc();
        // The clients of a proxy are counted when they are known.
        let admitted = if is_proxy { self.admission.admit_proxy() } else { self.admission.admit(peer.ip()) };
        let Some(admitted) = admitted else {
            count(ConnectionResult::Refused);
            tracing::debug!(%peer, "no room for another connection");
            return None;
        };
        if !admitted.is_surplus() && !is_proxy {
            count(ConnectionResult::Accepted);
        }
        Some(Visitor { peer, is_proxy, admitted })
    }

    fn enter(
        &self,
        service: Service,
        socket: TcpStream,
        visitor: Visitor,
        handshake: Handshake,
        closing: &CancellationToken,
    ) {
        let Visitor { peer, is_proxy, admitted } = visitor;
        let protocol = service.protocol();
        let alpn = if protocol == Protocol::Rtmp { Alpn::Any } else { Alpn::Http };
        let tls = self.tls.clone().filter(|_| service.is_tls()).map(|tls| (tls, alpn));
        let arrival = Arrival { protocol, is_proxy, tls };
        // The socket moves from the listener's runtime to a shard's.
        let Ok(socket) = socket.into_std() else { return };
        let context = Arc::clone(&self.context);
        let (guest, closing) = (context.drain.welcome(), closing.clone());
        self.shards.spawn(|shard| {
            let accepted = Accepted { peer, is_tls: service.is_tls(), shard, admitted, handshake, guest, closing };
            // Boxed one after the other: within one future each would take the room of the largest, every layer around it again,
            // and what it takes to arrive would not be given back while the connection is served.
            let arrived = Box::pin(async move {
                let socket = TcpStream::from_std(socket).ok()?;
                let (stream, accepted) = if arrival.is_plain() {
                    (Stream::Plain(socket), accepted)
                } else {
                    arrival.complete(&context, socket, accepted).await?
                };
                let served: Served = match protocol {
                    Protocol::Rtmp => Box::pin(rtmp::serve(context, stream, accepted)),
                    _ => Box::pin(http::serve(context, stream, accepted)),
                };
                Some(served)
            });
            self.connections.track_future(async move {
                if let Some(served) = arrived.await {
                    served.await;
                }
            })
        });
    }
}
