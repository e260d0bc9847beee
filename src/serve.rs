//! Served connections: clients that publish and play.
//!
//! Owns the sessions of every protocol, each in a module of its own that knows nothing of the others. The server hands
//! them accepted sockets; they bring clients and hub together and know nothing of where a stream comes from.

pub mod flv;
pub mod hls;
pub mod http;
pub mod marks;
pub mod play;
pub mod publish;
pub mod rtmp;

mod access;
mod allowance;
mod departure;
mod heartbeat;
mod link;
mod orders;
mod outbound;
mod peer;
mod ws;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::{Acknowledgement, Mark, Standing};
use crate::cluster::Cluster;
use crate::cluster::place::{Place, TlsPorts};
use crate::config::{Live, Role};
use crate::drain::{Drain, Guest};
use crate::hls::Library;
use crate::hooks::Hooks;
use crate::hub::{End, Hub, PlayRequest, Reader, ShardId};
use crate::media::stream_key::StreamKey;
use crate::metrics::{ConnectionResult, Metrics, Protocol, Reason};
use crate::net::admission::Admitted;
use crate::net::handshakes::Handshake;
use crate::sessions::Sessions;

use marks::Marks;

/// What every served connection shares.
pub struct ServeContext {
    /// The streams.
    pub hub: Hub,
    /// The configuration in force.
    pub config: Live,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// This node's id.
    pub node: String,
    /// Who among the clients is a server.
    pub marks: Marks,
    /// The other origins, if it is one that has any.
    pub cluster: Option<Cluster>,
    /// Where other servers that come over TLS are sent to.
    pub tls_ports: TlsPorts,
    /// Playlists and segments, if there is HLS.
    pub hls: Option<Arc<dyn Library>>,
    /// Who is connected.
    pub sessions: Sessions,
    /// Who is asked about clients, and told of them.
    pub hooks: Hooks,
    /// The order to drain, if there is one.
    pub drain: Drain,
    /// Cancelled when connections are to end.
    pub stop: CancellationToken,
}

impl fmt::Debug for ServeContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServeContext").field("node", &self.node).finish_non_exhaustive()
    }
}

/// One accepted connection, before it has said anything.
#[derive(Debug)]
pub struct Accepted {
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The shard that serves it.
    pub shard: ShardId,
    /// Its place among the connections.
    pub admitted: Admitted,
    /// Its beginning, until it has said what it wants.
    pub handshake: Handshake,
    /// Its place among those that a drain waits for.
    pub guest: Guest,
    /// Cancelled when the listener that it came through is closed: from then on it is not to be used again once it is
    /// idle.
    pub closing: CancellationToken,
}

/// How long a peer has for a handshake, or for the head of a request.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer has to say what it wants, each time that it may.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// When players for whom there is no room should ask again, at the earliest, in seconds.
const RETRY_AFTER_AT_LEAST: u16 = 5;
/// Over how many seconds, from then on, they are spread.
const RETRY_SPREAD: u16 = 10;
/// How long a write of control messages may take.
const CONTROL_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

impl ServeContext {
    /// What a peer with this standing is told about us.
    fn acknowledgement(&self, standing: &Standing) -> String {
        // Only who has proved to be a server is told where streams are; anybody else has to ask everybody.
        let is_told = matches!(standing, Standing::Verified(_));
        let has_peers = is_told && self.cluster.as_ref().is_some_and(Cluster::speaks_for_all);
        let is_shield = self.config.current().role == Role::Edge;
        Acknowledgement { has_peers, is_shield, ..Acknowledgement::of(&self.node) }.to_text()
    }

    /// Where another origin has `key`, if the peer's standing allows to tell it.
    async fn elsewhere(&self, key: &StreamKey, standing: Option<&Standing>) -> Option<Place> {
        match (&self.cluster, standing) {
            (Some(cluster), Some(Standing::Verified(_))) => cluster.find(key).await,
            _ => None,
        }
    }

    /// Whether there is room for a connection, now that it has said whether it is a server. Counts those beyond the limit, of
    /// which only servers may stay.
    fn has_room(&self, accepted: &Accepted, protocol: Protocol, standing: Option<&Standing>) -> bool {
        if !accepted.admitted.is_surplus() {
            return true;
        }
        let result = if standing.is_some() { ConnectionResult::Accepted } else { ConnectionResult::Refused };
        self.metrics.connections(protocol, result).inc();
        standing.is_some()
    }

    /// Whether what is asked for with `mark` would come back here.
    fn is_passed_by(&self, mark: Option<&Mark>) -> bool {
        mark.is_some_and(|mark| mark.has_passed(&self.node))
    }

    /// Lets a player in, or a server that has sent `mark`. A pull of what is absent waits for a publisher that is on its way
    /// here: another origin would be asked in vain.
    async fn subscribe(&self, key: &StreamKey, request: PlayRequest, mark: Option<&Mark>) -> Result<Reader, End> {
        let subscribe = || match mark {
            Some(mark) if mark.is_shielded => self.hub.subscribe_shielded(key, request),
            _ => self.hub.subscribe(key, request),
        };
        match subscribe() {
            Err(End::NotFound) if request.is_pull && self.hub.wait_for_expected(key).await => subscribe(),
            answer => answer,
        }
    }

    /// Counts and logs the end of a connection. `has_told` says that a session of its has ended with it, for which the log
    /// has a line.
    pub fn connection_ended(&self, protocol: Protocol, reason: Reason, has_told: bool) {
        self.metrics.disconnects(reason).inc();
        // Health checks come every second and say nothing.
        if reason == Reason::Probe {
            tracing::trace!(protocol = protocol.label(), reason = reason.label(), "connection closed");
        } else if has_told {
            tracing::debug!(protocol = protocol.label(), reason = reason.label(), "connection closed");
        } else {
            tracing::info!(protocol = protocol.label(), reason = reason.label(), "connection closed");
        }
    }
}

/// When a player should ask again, in seconds: not all at the same time, though they were refused together.
fn retry_after(peer: SocketAddr) -> u16 {
    RETRY_AFTER_AT_LEAST + peer.port() % RETRY_SPREAD
}

/// The reason that a reader's end gives its connection.
const fn reason_of(end: End) -> Reason {
    match end {
        End::NotFound => Reason::StreamNotFound,
        End::Ended => Reason::StreamEnded,
        End::TracksChanged => Reason::TracksChanged,
        End::Unreachable => Reason::UpstreamLost,
        End::TooManyPlayers => Reason::TooManyPlayers,
        End::TooMuchEgress => Reason::TooMuchEgress,
        End::Dismissed => Reason::Kicked,
        End::Drained => Reason::Drained,
        End::Shutdown => Reason::Shutdown,
    }
}
