//! Pulls and forwards: how an edge gets what its players want, and passes on what is published to it.
//!
//! Owns the upstreams that both go to (`forward` is a module of its own), and for pulls one task for each wanted stream, from the first player's asking until `upstream.linger` after the last one left.
//! The hub calls it through [`OnDemand`] and guarantees that there is one task for a stream; a pull is to the hub just
//! another publisher. It never talks to players and knows no serving protocol.

mod connection;
mod dial;
mod forward;
mod health;
mod hls;
mod http_flv;
mod queue;
mod race;
mod rhythm;
mod route;
mod rtmp;
mod shield;
mod target;
mod trust;
mod upstreams;
mod wire;

pub use forward::{Forwarder, SpawnOnShard};
pub use hls::HlsRelay;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::auth::{ClusterKey, Mark};
use crate::config::{Config, Live};
use crate::hooks::{Attendance, Caller, Hooks, Subject};
use crate::hub::{Demand, OnDemand, PublishError, PublishRequest, Publisher, PullState, Source};
use crate::metrics::{Metrics, Protocol, ReconnectReason};
use crate::net::dns::Names;
use crate::net::tls::ClientTlsError;
use crate::seldom::warn_seldom;
use crate::sessions::{About, ClientId, Count, Kind, Session, Sessions};

use health::LONGEST_REST_WHILE_WAITED_FOR;
use rhythm::Rhythm;
use route::{Found, HOLD, Search, until};
use shield::Tiermates;
use target::Target;
use trust::Trust;
use upstreams::{Tier, Upstreams};

/// A pull that had media for less than this is not tried again at once: an upstream that flaps is asked in rhythm.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// Why a pull that nobody wants any more leaves its upstream, in the log.
const NOT_WANTED: &str = "not_wanted";
/// Why it does when it has found a better one.
const BETTER_UPSTREAM: &str = "better_upstream";

/// Runs a task where media is handled.
pub type Spawn = Box<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// What every pull and every forward shares.
#[derive(Debug)]
pub struct PullContext {
    config: Live,
    upstreams: Upstreams,
    tiermates: Tiermates,
    metrics: Arc<Metrics>,
    node: String,
    key: Option<ClusterKey>,
    sessions: Sessions,
    /// Told of pulls and forwards.
    hooks: Hooks,
    stop: CancellationToken,
    trust: Trust,
}

/// Starts a pull for every stream that the hub wants.
pub struct Puller {
    context: Arc<PullContext>,
    spawn: Spawn,
}

impl PullContext {
    /// Pulls as `config` says from what `names` resolves, in the name of `node` and signed with `key` if there is one, until
    /// `stop` is cancelled.
    pub fn new(
        config: Live,
        names: Names,
        metrics: Arc<Metrics>,
        node: String,
        key: Option<ClusterKey>,
        stop: CancellationToken,
    ) -> Self {
        let upstreams = Upstreams::new(config.clone(), names, Arc::clone(&metrics));
        let (tiermates, trust, sessions) = (Tiermates::default(), Trust::default(), Sessions::default());
        let hooks = Hooks::none();
        Self { config, upstreams, tiermates, metrics, node, key, sessions, hooks, stop, trust }
    }

    /// The same, with pulls and forwards told to `hooks`.
    pub fn telling(self, hooks: Hooks) -> Self {
        Self { hooks, ..self }
    }

    /// Enters its pulls among these sessions.
    pub fn entering(self, sessions: Sessions) -> Self {
        Self { sessions, ..self }
    }

    /// How to pull now. To be asked for each time that something begins, so that a reload reaches it.
    fn config(&self) -> Arc<Config> {
        self.config.current()
    }

    /// Reads the authorities by which upstreams prove who they are, if they have to.
    ///
    /// # Errors
    ///
    /// Where nobody could prove anything: better no start than no stream.
    pub fn load_authorities(&self) -> Result<(), ClientTlsError> {
        let settings = &self.config().upstream;
        if settings.tls { self.trust.current(settings.ca_file.as_deref()).map(drop) } else { Ok(()) }
    }

    /// What a connection that is made right now says of us.
    fn sign(&self, mark: &Mark) -> String {
        mark.to_text(self.key.as_ref(), SystemTime::now())
    }
}

impl Puller {
    /// Pulls with `context`, in tasks run by `spawn`.
    pub fn new(context: Arc<PullContext>, spawn: Spawn) -> Self {
        Self { context, spawn }
    }
}

impl OnDemand for Puller {
    fn serve(&self, demand: Demand) {
        let context = Arc::clone(&self.context);
        let id = context.sessions.next_id();
        let span = tracing::error_span!(parent: None, "pull", stream = demand.key().as_str(), %id);
        let pull = async move {
            let stop = context.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = Pull::new(&context, demand, id).run() => {}
            }
        };
        (self.spawn)(Box::pin(pull.instrument(span)));
    }
}

/// The pull of one stream.
struct Pull<'a> {
    context: &'a PullContext,
    /// The same for all upstreams, one after the other.
    id: ClientId,
    demand: Demand,
    target: Target,
    /// The address in use, or the first one tried, and what it belongs to.
    upstream: Option<(SocketAddr, Tier)>,
    /// Attempts since there was media.
    retries: u32,
    /// Until when no other edge is asked for it.
    held_until: Option<Instant>,
    /// Tells the end, once the beginning was told.
    attendance: Option<Attendance>,
}

/// A stream on its way from an upstream to the hub.
struct Relay {
    found: Found,
    publisher: Publisher,
    session: Session,
    count: Count,
}

impl Relay {
    /// Leaves the upstream, which is no longer needed for that reason.
    async fn close(self, reason: &'static str) {
        let Self { found, publisher, session, .. } = self;
        drop(publisher);
        session.end(reason);
        found.connection.close().await;
    }
}

/// Why relaying pauses.
enum Pause {
    /// No player has been there for `upstream.linger`, or a client publishes the stream here.
    Idle,
    /// The stream is to be had in a better way.
    Better(Box<Found>),
    /// The upstream is lost.
    Lost(ReconnectReason),
}

impl<'a> Pull<'a> {
    fn new(context: &'a PullContext, demand: Demand, id: ClientId) -> Self {
        let target = Target::of(demand.key());
        Self { context, id, demand, target, upstream: None, retries: 0, held_until: None, attendance: None }
    }

    async fn run(mut self) {
        let mut rhythm = Rhythm::default();
        loop {
            let mut upstream = self.upstream;
            let found = tokio::select! {
                found = self.search().find(&mut upstream) => Some(found),
                () = self.demand.unwanted() => None,
            };
            self.upstream = upstream;
            let lived = match found {
                Some(Ok(found)) => match self.relay(found).await {
                    Some(lived) => lived,
                    None => return,
                },
                Some(Err(missing)) => {
                    self.demand.missed(missing);
                    Duration::ZERO
                }
                None => Duration::ZERO,
            };
            let pause = if lived >= STABLE_AFTER {
                rhythm = Rhythm::default();
                Duration::ZERO
            } else {
                rhythm.next_pause()
            };
            self.report(PullState::Waiting);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.demand.unwanted() => {
                    if self.demand.try_finish(None).is_ok() {
                        return;
                    }
                }
            }
            self.retries = self.retries.saturating_add(1);
        }
    }

    /// Moves tags from an upstream to the hub. Returns for how long, or `None` if the hub no longer wants any.
    async fn relay(&mut self, found: Found) -> Option<Duration> {
        let began = Instant::now();
        let Some(mut relay) = self.begin(found) else { return Some(Duration::ZERO) };
        let lost = loop {
            match self.relay_until_pause(&mut relay).await {
                Pause::Idle => match self.demand.try_finish(Some(relay.publisher)) {
                    Ok(()) => {
                        tracing::info!("not wanted any more");
                        relay.session.end(NOT_WANTED);
                        relay.found.connection.close().await;
                        return None;
                    }
                    // A player came at the last moment.
                    Err(still_wanted) => relay.publisher = still_wanted.publisher?,
                },
                Pause::Better(found) => {
                    // The publisher in force yields to the next one, which begins with a keyframe.
                    let Some(next) = self.begin(*found) else { continue };
                    if relay.found.tier == Tier::Shield && next.found.tier != Tier::Shield {
                        self.held_until = Some(Instant::now() + HOLD);
                    }
                    std::mem::replace(&mut relay, next).close(BETTER_UPSTREAM).await;
                }
                Pause::Lost(reason) => break reason,
            }
        };
        let upstream = relay.found.connection.address();
        warn_seldom!(key = (upstream, lost.label()), %upstream, reason = lost.label(), "lost the upstream");
        self.context.metrics.upstream_reconnects(lost).inc();
        relay.session.end(lost.label());
        if lost == ReconnectReason::Silent {
            // It may still take connections and say nothing: others are asked first.
            self.context.upstreams.note_failure(&relay.found.candidate, LONGEST_REST_WHILE_WAITED_FOR);
        }
        Some(began.elapsed())
    }

    /// Makes an upstream the stream's publisher.
    fn begin(&mut self, found: Found) -> Option<Relay> {
        let request = PublishRequest {
            source: if found.tier == Tier::Shield { Source::ShieldedPull } else { Source::Pull },
            session: found.connection.session().clone(),
            takes_over: false,
            resume_timeout: self.context.config().upstream.resume_timeout,
        };
        match self.demand.publish(request) {
            Ok(publisher) => {
                self.retries = 0;
                self.upstream = Some((found.connection.address(), found.tier));
                self.report(PullState::Live);
                let shielded = found.tier == Tier::Shield;
                self.tell(found.connection.address());
                tracing::info!(upstream = %found.connection.address(), shielded, session = %publisher.session(), "pulling");
                let session = self.enter(&found);
                Some(Relay { found, publisher, count: session.count(), session })
            }
            // They came at the last moment. It is looked for at the origins now.
            Err(PublishError::Shields) => None,
            Err(error) => {
                warn_seldom!(key = error.to_string(), %error, "cannot take the stream in");
                None
            }
        }
    }

    /// Tells hooks that the stream comes, the first time that it does.
    fn tell(&mut self, upstream: SocketAddr) {
        if self.attendance.is_some() {
            return;
        }
        let key = self.demand.key().clone();
        let (app, url) = (key.app().to_owned(), format!("rtmp://{upstream}/{}", key.app()));
        let caller = Arc::new(Caller::new(self.id.to_string(), upstream.ip(), app, url, None));
        let subject = Subject { key, query: String::new(), stream_id: None };
        self.attendance = Some(self.context.hooks.pull(&caller, subject, upstream.to_string()));
    }

    /// Enters the pull from this upstream among the sessions.
    fn enter(&self, found: &Found) -> Session {
        let sessions = &self.context.sessions;
        let protocol = match found.connection {
            connection::Connection::Rtmp(_) => Protocol::Rtmp,
            connection::Connection::HttpFlv(_) => Protocol::HttpFlv,
        };
        let about = About { is_server: true, ..About::peer(found.connection.address()) };
        let session = sessions.enter(self.id, Kind::Pull(protocol), self.demand.key(), about);
        session.has_name();
        session
    }

    async fn relay_until_pause(&self, relay: &mut Relay) -> Pause {
        let Relay { found, publisher, count, .. } = relay;
        let mut better = pin!(self.search().better(found.tier, found.candidate.address));
        let mut idle_since: Option<Instant> = (!self.demand.is_wanted()).then(Instant::now);
        loop {
            let tags = found.connection.take_tags();
            count.received(tags.iter().map(|tag| tag.payload.len() as u64).sum());
            if publisher.push(tags).is_err() {
                // A client publishes the stream here, and is nearer than any upstream.
                return Pause::Idle;
            }
            found.connection.let_input_wait(publisher.input_may_wait());
            let linger_ends = idle_since.map(|since| since + self.context.config().upstream.linger);
            // An upstream that keeps the socket readable must not keep the timers from being looked at.
            if linger_ends.is_some_and(|end| end <= Instant::now()) {
                return Pause::Idle;
            }
            let read = tokio::select! {
                biased;
                () = count.kicked() => return Pause::Lost(ReconnectReason::Kicked),
                read = found.connection.read() => read,
                () = publisher.due() => found.connection.read_waiting(),
                () = self.demand.changed() => {
                    idle_since = (!self.demand.is_wanted()).then(|| idle_since.unwrap_or_else(Instant::now));
                    Ok(())
                }
                () = until(linger_ends) => return Pause::Idle,
                found = &mut better => return Pause::Better(Box::new(found)),
            };
            if let Err(lost) = read {
                // What came before the end is as good as ever.
                let _ = publisher.push(found.connection.take_tags());
                return Pause::Lost(lost);
            }
        }
    }

    fn report(&self, state: PullState) {
        self.search().report(state, self.upstream);
    }

    fn search(&self) -> Search<'_> {
        Search {
            context: self.context,
            demand: &self.demand,
            target: &self.target,
            retries: self.retries,
            held_until: self.held_until,
        }
    }
}
