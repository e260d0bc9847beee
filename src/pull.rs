//! Pulls: how an edge gets what its players want and nobody publishes to it.
//!
//! Owns one task for each wanted stream, from the first player's asking until `upstream.linger` after the last one left.
//! The hub calls it through [`OnDemand`] and guarantees that there is one task for a stream; a pull is to the hub just
//! another publisher. It never talks to players and knows no serving protocol.

mod connection;
mod rhythm;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::config::{self, OriginAddress};
use crate::hub::{Demand, OnDemand, PublishRequest, Publisher, PullState, PullStatus, Source};
use crate::metrics::{ConnectResult, LookupResult, Metrics, ReconnectReason};
use crate::net::resolver::{ResolveError, Resolver};

use connection::{Connection, OpenError, Upstream};
use rhythm::Rhythm;

/// A pull that had media for less than this is not tried again at once: an upstream that flaps is asked in rhythm.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// Runs a task where media is handled.
pub type Spawn = Box<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// What every pull shares.
#[derive(Debug)]
pub struct PullContext {
    /// Where to pull from, and how patiently.
    pub settings: config::Upstream,
    /// Resolves the origins' names.
    pub resolver: Resolver,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// This node's id.
    pub node: String,
    /// The outgoing chunk size in bytes.
    pub chunk_size: u32,
    /// Cancelled when pulls are to end.
    pub stop: CancellationToken,
}

/// Starts a pull for every stream that the hub wants.
pub struct Puller {
    context: Arc<PullContext>,
    spawn: Spawn,
}

impl Puller {
    /// Pulls with `context`, in tasks run by `spawn`.
    pub fn new(context: PullContext, spawn: Spawn) -> Self {
        Self { context: Arc::new(context), spawn }
    }
}

impl OnDemand for Puller {
    fn serve(&self, demand: Demand) {
        let context = Arc::clone(&self.context);
        let span = tracing::info_span!("pull", stream = %demand.key());
        let pull = async move {
            let stop = context.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = Pull::new(&context, demand).run() => {}
            }
        };
        (self.spawn)(Box::pin(pull.instrument(span)));
    }
}

/// The pull of one stream.
struct Pull<'a> {
    context: &'a PullContext,
    demand: Demand,
    /// The address in use, or the last one tried.
    address: Option<SocketAddr>,
    /// Attempts since there was media.
    retries: u32,
    /// How many addresses have failed: where to begin among them.
    failures: usize,
}

/// What came of asking every address once.
enum Round {
    /// None of them has the stream.
    Absent,
    /// One had it, for this long.
    Lost(Duration),
    /// No player wants it any more, and the hub knows that it is no longer pulled.
    Finished,
}

impl<'a> Pull<'a> {
    fn new(context: &'a PullContext, demand: Demand) -> Self {
        Self { context, demand, address: None, retries: 0, failures: 0 }
    }

    async fn run(mut self) {
        let mut rhythm = Rhythm::default();
        loop {
            let pause = match self.ask_every_address().await {
                Round::Finished => return,
                Round::Lost(lived) if lived >= STABLE_AFTER => {
                    rhythm = Rhythm::default();
                    Duration::ZERO
                }
                Round::Lost(_) | Round::Absent => rhythm.next_pause(),
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

    async fn ask_every_address(&mut self) -> Round {
        let addresses = self.resolve().await;
        let begin = self.failures;
        for turn in 0..addresses.len() {
            let (origin, address) = &addresses[(begin + turn) % addresses.len()];
            self.address = Some(*address);
            self.report(PullState::Connecting);
            let upstream = Upstream { origin, address: *address, key: self.demand.key() };
            let opened = tokio::select! {
                opened = Connection::open(self.context, &upstream) => opened,
                () = self.demand.unwanted() => break,
            };
            match opened {
                Ok(connection) => {
                    self.context.metrics.upstream_connects(ConnectResult::Connected).inc();
                    return self.relay(connection).await;
                }
                Err(error) => self.note_failure(&error),
            }
        }
        match self.demand.try_finish(None) {
            Ok(()) => Round::Finished,
            Err(_) => Round::Absent,
        }
    }

    /// Every address of every origin, each once.
    async fn resolve(&self) -> Vec<(OriginAddress, SocketAddr)> {
        let mut found: Vec<(OriginAddress, SocketAddr)> = Vec::new();
        for origin in &self.context.settings.origins {
            let result = match self.context.resolver.resolve(origin).await {
                Ok(addresses) => {
                    for address in addresses {
                        if found.iter().all(|(_, known)| *known != address) {
                            found.push((origin.clone(), address));
                        }
                    }
                    LookupResult::Found
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot resolve an origin");
                    self.context.metrics.upstream_connects(ConnectResult::Unresolved).inc();
                    match error {
                        ResolveError::NotFound { .. } => LookupResult::NotFound,
                        ResolveError::Failed { .. } => LookupResult::Failed,
                    }
                }
            };
            // A literal address is no lookup.
            if !matches!(origin, OriginAddress::Address(_)) {
                self.context.metrics.dns_lookups(result).inc();
            }
        }
        found
    }

    fn note_failure(&mut self, error: &OpenError) {
        self.context.metrics.upstream_connects(error.result()).inc();
        if error.result() == ConnectResult::NotFound {
            tracing::debug!(upstream = ?self.address, "the upstream does not have the stream");
        } else {
            tracing::warn!(upstream = ?self.address, %error, "cannot pull from this upstream");
            self.failures = self.failures.wrapping_add(1);
        }
    }

    /// Moves tags from an upstream that has the stream to the hub, until one side has had enough.
    async fn relay(&mut self, mut connection: Connection) -> Round {
        let request = PublishRequest {
            source: Source::Pull,
            session: connection.session().clone(),
            resume_timeout: self.context.settings.resume_timeout,
        };
        let mut publisher = match self.demand.publish(request) {
            Ok(publisher) => publisher,
            Err(error) => {
                tracing::warn!(%error, "cannot take the stream in");
                return Round::Absent;
            }
        };
        let began = Instant::now();
        self.retries = 0;
        self.report(PullState::Live);
        tracing::info!(upstream = ?self.address, session = %connection.session(), "pulling");
        let lost = loop {
            match self.relay_until_idle(&mut connection, &mut publisher).await {
                Ok(()) => match self.demand.try_finish(Some(publisher)) {
                    Ok(()) => {
                        tracing::info!("no player is left");
                        connection.close().await;
                        return Round::Finished;
                    }
                    // A player came at the last moment.
                    Err(still_wanted) => match still_wanted.publisher {
                        Some(same) => publisher = same,
                        None => return Round::Absent,
                    },
                },
                Err(lost) => {
                    // What came with the news of the end belongs to the stream. Another publisher may be there already.
                    let _ = publisher.push(connection.take_tags());
                    break lost;
                }
            }
        };
        tracing::warn!(upstream = ?self.address, reason = lost.label(), "lost the upstream");
        self.context.metrics.upstream_reconnects(lost).inc();
        Round::Lost(began.elapsed())
    }

    /// Completes well when no player has been there for `upstream.linger`.
    async fn relay_until_idle(
        &self,
        connection: &mut Connection,
        publisher: &mut Publisher,
    ) -> Result<(), ReconnectReason> {
        let mut idle_since: Option<Instant> = (!self.demand.is_wanted()).then(Instant::now);
        loop {
            publisher.push(connection.take_tags()).map_err(|_| ReconnectReason::Closed)?;
            let linger_ends = idle_since.map(|since| since + self.context.settings.linger);
            tokio::select! {
                biased;
                read = connection.read(self.context.settings.read_timeout) => read?,
                () = publisher.seal_when_due() => {}
                () = self.demand.changed() => {
                    idle_since = (!self.demand.is_wanted()).then(|| idle_since.unwrap_or_else(Instant::now));
                }
                () = until(linger_ends) => return Ok(()),
            }
        }
    }

    fn report(&self, state: PullState) {
        let address = self.address.map(|address| address.to_string());
        self.demand.report(PullStatus { address, state, retries: self.retries });
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
