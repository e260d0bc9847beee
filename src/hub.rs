//! Streams: who publishes them, who plays them, and the ring of blocks between the two.
//!
//! Owns the life of every stream of the process. Publishers (clients and pulls alike) push tags into it, readers take
//! wire bytes out of it; it knows no protocol session and no socket. There is no event bus and no player has a queue: a
//! player is a cursor into its stream's ring.

mod arrivals;
mod block;
mod budget;
mod capacity;
mod demand;
mod dispatcher;
mod egress;
mod following;
mod forwarded;
mod headers;
mod identity;
mod misses;
mod permit;
mod publisher;
mod rates;
mod reader;
mod release;
mod rests;
mod ring;
mod settings;
mod shielding;
mod state;
mod steering;
mod stream;
mod tap;
mod view;
mod viewers;
mod wake;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::time::timeout;

use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, Shortage};

pub use block::{Block, WireForm};
pub use budget::Budget;
pub use capacity::Limits;
pub use demand::{Demand, OnDemand, PullState, PullStatus, StillWanted};
pub use dispatcher::{Dispatcher, Dispatchers, ShardId};
pub use following::{Following, OnSession};
pub use forwarded::Forwarded;
pub use headers::{Headers, Tracks};
pub use identity::Identity;
pub use permit::{OnPublish, Permit};
pub use publisher::Publisher;
pub use reader::{End, PlayRequest, Reader, TapStart};
pub use release::Release;
pub use rests::Rests;
pub use ring::RingLimits;
pub use settings::{OnConflict, StreamSettings};
pub use shielding::Missing;
pub use state::{PublishError, PublishRequest, Source, Superseded};
pub use tap::{Skipped, Tap, Tapped};
pub use view::{LiveView, StreamView};
pub use viewers::{Attendance, Presence, ViewerId};

use arrivals::Arrivals;
use capacity::{Capacity, Full};
use misses::Misses;
use release::Releases;
use stream::{Stream, StreamHandle};
use viewers::Viewers;

/// How long a pull waits for a publisher that is on its way.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(2);

/// Tells what applies to a stream by its name.
pub type SettingsSource = Box<dyn Fn(&StreamKey) -> StreamSettings + Send + Sync>;

/// All streams of the process. Clones share them.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// A hub that may be gone. Whoever the hub hands its questions to holds this, or neither would ever go.
#[derive(Clone)]
pub struct WeakHub {
    shared: Weak<Shared>,
}

/// A publisher on its way to a name.
pub struct Expected {
    shared: Arc<Shared>,
    key: StreamKey,
}

pub(crate) struct Shared {
    streams: DashMap<StreamKey, Arc<Stream>>,
    settings: SettingsSource,
    budget: Arc<Budget>,
    misses: Misses,
    arrivals: Arrivals,
    capacity: Capacity,
    releases: Releases,
    viewers: Viewers,
    metrics: Arc<Metrics>,
    dispatchers: Dispatchers,
    on_demand: OnceLock<Arc<dyn OnDemand>>,
    on_publish: OnceLock<Arc<dyn OnPublish>>,
    on_session: OnceLock<Vec<Arc<dyn OnSession>>>,
    ending: AtomicBool,
}

impl Hub {
    /// A hub without streams, whose rings together hold at most about `ring_bytes`.
    pub fn new(settings: SettingsSource, ring_bytes: u64, metrics: Arc<Metrics>, dispatchers: Dispatchers) -> Self {
        let shared = Shared {
            streams: DashMap::new(),
            settings,
            budget: Arc::new(Budget::new(ring_bytes, metrics.ring_bytes.clone())),
            misses: Misses::default(),
            arrivals: Arrivals::default(),
            capacity: Capacity::default(),
            releases: Releases::new(),
            viewers: Viewers::default(),
            metrics,
            dispatchers,
            on_demand: OnceLock::new(),
            on_publish: OnceLock::new(),
            on_session: OnceLock::new(),
            ending: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has streams that nobody publishes here fetched by `on_demand`. Only the first call counts.
    pub fn fetch_from(&self, on_demand: Arc<dyn OnDemand>) {
        // Set once, while the server is put together.
        let _ = self.shared.on_demand.set(on_demand);
    }

    /// Has clients that publish ask `on_publish` first. Only the first call counts.
    pub fn ask_before_publishing(&self, on_publish: Arc<dyn OnPublish>) {
        // Set once, while the server is put together.
        let _ = self.shared.on_publish.set(on_publish);
    }

    /// Has `followers` told of every session that a client publishes. Only the first call counts.
    pub fn tell_of_sessions(&self, followers: Vec<Arc<dyn OnSession>>) {
        // Set once, while the server is put together.
        let _ = self.shared.on_session.set(followers);
    }

    /// The right of a client to publish `key`, to be got before [`publish`](Self::publish) and held as long as it lasts.
    /// Whom this process would refuse by itself, nobody else is asked about.
    pub async fn admit(&self, key: &StreamKey, request: &PublishRequest) -> Result<Permit, PublishError> {
        self.may_publish(key, request)?;
        match self.shared.on_publish.get() {
            Some(on_publish) => on_publish.admit(key, request).await,
            None => Ok(Permit::free()),
        }
    }

    /// Says that a publisher is on its way to `key`, until it is dropped: to be held from before [`admit`](Self::admit) until
    /// after [`publish`](Self::publish).
    pub fn expect(&self, key: &StreamKey) -> Expected {
        self.shared.arrivals.begin(key);
        Expected { shared: Arc::clone(&self.shared), key: key.clone() }
    }

    /// Waits for a publisher that is on its way to `key`, but not for long. False, at once, if there is none.
    pub async fn wait_for_expected(&self, key: &StreamKey) -> bool {
        let Some(over) = self.shared.arrivals.over(key) else { return false };
        timeout(ARRIVAL_PATIENCE, over.cancelled()).await.is_ok()
    }

    fn may_publish(&self, key: &StreamKey, request: &PublishRequest) -> Result<(), PublishError> {
        let stream = self.shared.streams.get(key).map(|stream| Arc::clone(&stream));
        let Some(stream) = stream else { return Ok(()) };
        let answer = stream.state().may_publish(request, now());
        if answer == Err(PublishError::Conflict) {
            self.shared.metrics.stream_conflicts.inc();
        }
        answer
    }

    /// Gives the name to a publisher, or says why not.
    pub fn publish(&self, key: &StreamKey, request: PublishRequest) -> Result<Publisher, PublishError> {
        Publisher::begin(StreamHandle::open(&self.shared, key), request)
    }

    /// Lets a player in. What is absent is waited for by the reader; what was missed a moment ago is not.
    pub fn subscribe(&self, key: &StreamKey, request: PlayRequest) -> Result<Reader, End> {
        if self.shared.is_ending() {
            return Err(End::Shutdown);
        }
        let handle = StreamHandle::open(&self.shared, key);
        let is_live = handle.stream.state().live.is_some();
        if !is_live && (request.is_pull || self.shared.misses.contains(key, now())) {
            return Err(End::NotFound);
        }
        if !request.is_pull {
            self.shared.make_room()?;
        }
        let reader = Reader::new(handle.clone(), request);
        demand::demand(&handle);
        Ok(reader)
    }

    /// Lets in no more players than the limits allow, from now on.
    pub fn limit(&self, limits: Limits) {
        self.shared.capacity.limit(limits);
    }

    /// Has all rings together hold so many bytes at most, from now on.
    pub fn limit_rings(&self, bytes: u64) {
        self.shared.budget.limit(bytes);
    }

    /// Measures what is sent to players. To be called several times a second.
    pub fn measure_egress(&self) {
        self.shared.capacity.measure(self.shared.metrics.total_egress_bytes(), now());
    }

    /// The share of the limits on players and egress that is in use, 1 being all of it.
    pub fn used_capacity(&self) -> f64 {
        self.shared.capacity.used()
    }

    /// Lets players go, or no longer, though their streams go on.
    pub fn release(&self, release: Option<Release>) {
        self.shared.releases.set(release);
        self.wake_everyone();
    }

    /// Whether `session` publishes `key` here.
    pub fn is_published_by(&self, key: &StreamKey, session: &Identity) -> bool {
        // The map's lock is given back before the stream's is taken.
        let stream = self.shared.streams.get(key).map(|stream| Arc::clone(&stream));
        stream.is_some_and(|stream| stream.state().live.as_ref().is_some_and(|live| live.session == *session))
    }

    /// Whether `key` has a publisher here.
    pub fn is_live(&self, key: &StreamKey) -> bool {
        // The map's lock is given back before the stream's is taken.
        let stream = self.shared.streams.get(key).map(|stream| Arc::clone(&stream));
        stream.is_some_and(|stream| stream.state().live.is_some())
    }

    /// The id that the stream has in the API, if it is here.
    pub fn stream_id(&self, key: &StreamKey) -> Option<Identity> {
        self.shared.streams.get(key).map(|stream| stream.id.clone())
    }

    /// Lets another edge's pull in that this one is to shield the origins from. Where streams are fetched, what is absent is
    /// fetched from an origin and waited for, but only until the origins have answered; elsewhere it is a pull like any.
    pub fn subscribe_shielded(&self, key: &StreamKey, request: PlayRequest) -> Result<Reader, End> {
        if self.shared.on_demand.get().is_none() {
            return self.subscribe(key, PlayRequest { is_pull: true, ..request });
        }
        if self.shared.is_ending() {
            return Err(End::Shutdown);
        }
        let handle = StreamHandle::open(&self.shared, key);
        let reader = Reader::shielded(handle.clone(), PlayRequest { is_pull: true, ..request });
        demand::demand(&handle);
        Ok(reader)
    }

    /// The place of a forward in a stream that a client publishes here, or is about to, as `session`.
    pub fn forward(&self, key: &StreamKey, session: &Identity) -> Forwarded {
        Forwarded::new(StreamHandle::open(&self.shared, key), session.clone())
    }

    /// A way back to the hub for what the hub itself holds.
    pub fn downgrade(&self) -> WeakHub {
        WeakHub { shared: Arc::downgrade(&self.shared) }
    }

    /// Ends every reader, at its next block border, and lets no more in.
    pub fn shut_down(&self) {
        self.shared.ending.store(true, Ordering::Release);
        self.wake_everyone();
    }

    fn wake_everyone(&self) {
        for stream in &self.shared.streams {
            stream.wakers.wake_everyone();
        }
    }
}

/// The clock of the hub: tokio's, so that tests can turn it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Shared {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Takes a place for a player, which its reader gives back.
    fn make_room(&self) -> Result<(), End> {
        self.capacity.enter().map_err(|full| {
            let (shortage, end) = match full {
                Full::Players => (Shortage::Players, End::TooManyPlayers),
                Full::Egress => (Shortage::Egress, End::TooMuchEgress),
            };
            self.metrics.refused_players(shortage).inc();
            end
        })
    }
}

impl WeakHub {
    /// The hub, if it is still there.
    pub fn upgrade(&self) -> Option<Hub> {
        self.shared.upgrade().map(|shared| Hub { shared })
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.shared.arrivals.end(&self.key);
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Expected").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WeakHub")
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").field("streams", &self.shared.streams.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
