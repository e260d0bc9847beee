//! The origins of a cluster: which of them a name is at home at, and who holds it.
//!
//! Owns the ranking that all servers share ([`rank`]), and at an origin with `cluster.peers` the links to the others, over
//! which names are leased and looked up. The hub asks it before a client may publish, the serving sessions ask it where a
//! stream is and hand it what peers ask; the pull takes only the ranking. What is decided is decided in [`directory`], a
//! state machine; here are the tasks and sockets around it. It never touches media and never talks to clients.

pub mod directory;
pub mod lease;
pub mod message;
pub mod place;
pub mod rank;
pub mod session;

mod link;
mod members;
mod state;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::auth::{ClusterKey, Mark};
use crate::config::{Live, OnConflict};
use crate::hub::{OnPublish, Permit, PublishError, PublishRequest};
use crate::media::stream_key::StreamKey;
use crate::metrics::Metrics;
use crate::net::dns::Names;

use directory::{Directory, HoldId};
use lease::{Claim, Lease, NodeId};
use place::Place;
use session::Session;
use state::State;

/// How often the directory is told the time.
const TICK: Duration = Duration::from_millis(50);

/// What an origin is told about itself and its cluster.
#[derive(Debug)]
pub struct ClusterSettings {
    /// The configuration in force.
    pub config: Live,
    /// This node's id.
    pub node: String,
    /// What marks are signed with.
    pub key: Option<ClusterKey>,
    /// Where this node listens for RTMP.
    pub rtmp: SocketAddr,
    /// Where it listens for HTTP.
    pub http: Option<SocketAddr>,
}

/// The cluster as one origin sees it. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ClusterSettings,
    node: NodeId,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Told when the set is to be resolved at once.
    doubt: Notify,
}

impl Cluster {
    /// The cluster that `settings` name, as it is before anything is known of it. [`run`](Self::run) finds out.
    pub fn new(settings: ClusterSettings, metrics: Arc<Metrics>) -> Self {
        let node: NodeId = settings.node.as_str().into();
        let directory = Directory::new(node.clone(), Instant::now());
        let state = Mutex::new(State::new(directory, own_place(&settings, None)));
        Self { shared: Arc::new(Shared { settings, node, metrics, state, doubt: Notify::new() }) }
    }

    /// Keeps in touch with the others, whom `names` resolves, until `stop` is cancelled.
    pub async fn run(self, names: Names, stop: CancellationToken) {
        let tick = async {
            let mut ticks = interval(TICK);
            loop {
                ticks.tick().await;
                self.shared.with(|state, now| state.directory.tick(now));
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = members::keep(Arc::clone(&self.shared), names) => {}
            () = tick => {}
        }
    }

    /// Where another origin holds `key`, as far as anybody knows. Takes about two seconds at most.
    pub async fn find(&self, key: &StreamKey) -> Option<Place> {
        let (found, place) = oneshot::channel();
        self.shared.with(|state, now| {
            let search = state.directory.locate(key, now);
            state.searches.insert(search, found);
        });
        place.await.ok().flatten()
    }

    /// Whether a stream that [`find`](Self::find) does not find is nowhere: every other origin of the set can be asked.
    pub fn speaks_for_all(&self) -> bool {
        self.shared.state.lock().directory.speaks_for_all()
    }

    /// Takes in a peer that has proved to be `node`.
    pub fn join(&self, node: &str) -> Session {
        Session::begin(Arc::clone(&self.shared), node.into())
    }
}

impl OnPublish for Cluster {
    fn admit(&self, key: &StreamKey, request: &PublishRequest) -> BoxFuture<'static, Result<Permit, PublishError>> {
        let (shared, key, request) = (Arc::clone(&self.shared), key.clone(), request.clone());
        Box::pin(async move {
            let revoked = CancellationToken::new();
            let (verdict, decided) = oneshot::channel();
            let claim = shared.claim(key, request);
            let id = shared.with(|state, now| {
                let id = state.hold(claim, now);
                state.publishers.insert(id, state::Publisher { verdict: Some(verdict), revoked: revoked.clone() });
                id
            });
            // Dropped with this future, or with the permit.
            let hold = HoldGuard { shared, id };
            match decided.await {
                Ok(true) => Ok(Permit::new(revoked, Box::new(hold))),
                Ok(false) | Err(_) => Err(PublishError::Conflict),
            }
        })
    }
}

/// Gives a name back when it is dropped.
struct HoldGuard {
    shared: Arc<Shared>,
    id: HoldId,
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.shared.with(|state, now| {
            state.publishers.remove(&self.id);
            state.directory.release(self.id, now);
        });
    }
}

impl Shared {
    /// Changes the state, and does what follows from it.
    fn with<R>(&self, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state, Instant::now());
        state.act(&self.metrics);
        result
    }

    /// What a connection that is made right now says of us.
    fn mark(&self) -> String {
        Mark::of_pull(&self.settings.node).to_text(self.settings.key.as_ref(), SystemTime::now())
    }

    fn claim(&self, key: StreamKey, request: PublishRequest) -> Claim {
        let replaces = self.settings.config.current().publish_for(key.app()).on_conflict == OnConflict::Replace;
        let accepted = UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let lease = Lease {
            key,
            node: self.node.clone(),
            place: self.state.lock().place.clone(),
            session: request.session,
            accepted,
            replaces,
        };
        Claim { lease, takes_over: request.takes_over, is_held: false }
    }
}

/// Where others reach this node: as configured, or as found by links and resolver, or as it listens.
fn own_place(settings: &ClusterSettings, found: Option<SocketAddr>) -> Place {
    let listens = (!settings.rtmp.ip().is_unspecified()).then_some(settings.rtmp);
    let rtmp = match &settings.config.current().node.address {
        Some(address) => address.to_string(),
        None => found.or(listens).unwrap_or(settings.rtmp).to_string(),
    };
    let host = rtmp.rsplit_once(':').map_or(rtmp.as_str(), |(host, _)| host);
    let http = settings.http.map(|http| format!("{host}:{}", http.port()));
    Place { rtmp, http }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(formatter)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("node", &self.node).finish_non_exhaustive()
    }
}
