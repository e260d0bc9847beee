//! Forwards: how an edge passes on what is published to it.
//!
//! Owns one task for each publisher, from the question whether an origin takes it until it has left. The hub asks through
//! [`OnPublish`] before it gives a name away. From then on a forward is just another reader of the ring, so a slow origin
//! holds nothing but a cursor. When its origin goes, the publisher goes on at the next one under the same session, and
//! notices nothing. It never talks to the publisher, and never publishes to two origins but to move from one to the other.

mod connection;
mod open;
mod publication;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::hub::{
    Forwarded, OnPublish, Permit, PublishError, PublishRequest, PullState, PullStatus, ShardId, Tap, TapStart, Tapped,
    WeakHub,
};
use crate::media::stream_key::StreamKey;
use crate::metrics::ReconnectReason;
use crate::rtmp::Status;

use super::PullContext;
use super::health::LONGEST_REST_WHILE_WAITED_FOR;
use super::rhythm::Rhythm;
use super::upstreams::Candidate;

use connection::{ForwardConnection, Word};
use open::{Haste, Opened, open};
use publication::Publication;

/// For how long a publisher that goes on elsewhere may be refused: what an origin still holds of it is gone by then.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How long the last packets of a publisher that has left may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a publisher on its way to another origin waits for that one when the former is gone.
const ARRIVAL: Duration = Duration::from_millis(500);
/// How long a publisher waits for the one that it replaces to be gone.
const SUCCESSION: Duration = Duration::from_secs(2);

/// Runs a task on a shard that it is told.
pub type SpawnOnShard = Box<dyn Fn(Box<dyn FnOnce(ShardId) -> BoxFuture<'static, ()> + Send>) + Send + Sync>;

/// Asks an origin about every publisher, and passes on those that it takes.
pub struct Forwarder {
    shared: Arc<Shared>,
    spawn: SpawnOnShard,
}

struct Shared {
    context: Arc<PullContext>,
    hub: WeakHub,
    /// The forwards there are.
    running: DashMap<StreamKey, Running>,
}

/// How to end a forward.
#[derive(Debug, Clone, Default)]
struct Running {
    superseded: CancellationToken,
    gone: CancellationToken,
}

impl Forwarder {
    /// Forwards as `context` says the publishers of `hub`, in tasks run by `spawn`.
    pub fn new(context: Arc<PullContext>, hub: WeakHub, spawn: SpawnOnShard) -> Self {
        Self { shared: Arc::new(Shared { context, hub, running: DashMap::new() }), spawn }
    }
}

impl OnPublish for Forwarder {
    fn admit(&self, key: &StreamKey, request: &PublishRequest) -> BoxFuture<'static, Result<Permit, PublishError>> {
        let (answer, answered) = oneshot::channel();
        let publication = Publication::of(key, request);
        let shared = Arc::clone(&self.shared);
        let span = tracing::info_span!(parent: None, "forward", stream = %key, session = %publication.session);
        (self.spawn)(Box::new(move |shard| Box::pin(serve(shared, publication, shard, answer).instrument(span))));
        // A task that ended without an answer was stopped.
        Box::pin(async move { answered.await.unwrap_or(Err(PublishError::Unreachable)) })
    }
}

/// Gets one publisher admitted and passes it on.
async fn serve(
    shared: Arc<Shared>,
    publication: Publication,
    shard: ShardId,
    mut answer: oneshot::Sender<Result<Permit, PublishError>>,
) {
    let begun = tokio::select! {
        begun = shared.begin(&publication) => begun,
        () = answer.closed() => return,
        () = shared.context.stop.cancelled() => return,
    };
    let connection = match begun {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(%error, "the publisher is refused");
            // Who has left meanwhile need not be told.
            let _ = answer.send(Err(error));
            return;
        }
    };
    let Some(hub) = shared.hub.upgrade() else { return };
    let forwarded = hub.forward(&publication.key, &publication.session);
    drop(hub);
    let running = Running::default();
    shared.running.insert(publication.key.clone(), running.clone());
    let (revoked, left) = (CancellationToken::new(), CancellationToken::new());
    let held: DropGuard = left.clone().drop_guard();
    // A permit that nobody takes any more is dropped, and the forward ends by that.
    let _ = answer.send(Ok(Permit::new(revoked.clone(), Box::new(held))));
    let forward = Forward { context: &shared.context, publication, shard, forwarded, running, left, revoked };
    forward.run(connection).await;
    shared.running.remove_if(&forward.publication.key, |_, running| running.gone.is_cancelled());
}

impl Shared {
    /// Asks the origins, for as long as a publisher can be made to wait.
    async fn begin(&self, publication: &Publication) -> Result<Box<ForwardConnection>, PublishError> {
        self.supersede(&publication.key).await;
        let deadline = Instant::now() + self.context.settings.connect_timeout;
        let mut rhythm = Rhythm::default();
        loop {
            let homes = self.context.upstreams.homes(&publication.key).await;
            match open(&self.context, publication, homes, Haste::Beginning).await {
                Opened::Accepted(connection) => {
                    // Another publisher may have been admitted here meanwhile; the origin has decided for this one.
                    self.supersede(&publication.key).await;
                    return Ok(connection);
                }
                Opened::Refused { code, description } => return Err(refused(code, description)),
                Opened::Unreachable => {}
            }
            let pause = rhythm.next_pause();
            if Instant::now() + pause >= deadline {
                return Err(PublishError::Unreachable);
            }
            sleep(pause).await;
        }
    }

    /// Ends the forward of a publisher that another one replaces, and waits until both its ends are free.
    async fn supersede(&self, key: &StreamKey) {
        let running = self.running.get(key).map(|running| running.clone());
        if let Some(running) = running {
            running.superseded.cancel();
            // One that does not come to its end in time has lost the name all the same.
            let _ = timeout(SUCCESSION, running.gone.cancelled()).await;
        }
    }
}

fn refused(code: String, description: String) -> PublishError {
    let code = if code.is_empty() { Status::PublishDenied.code().to_owned() } else { code };
    let description = if description.is_empty() { "the origin refuses the publisher".to_owned() } else { description };
    PublishError::Refused { code, description }
}

/// A publisher that an origin has taken.
struct Forward<'a> {
    context: &'a PullContext,
    publication: Publication,
    shard: ShardId,
    forwarded: Forwarded,
    running: Running,
    /// Cancelled when the publisher has left.
    left: CancellationToken,
    /// To be cancelled when the publisher has lost its name.
    revoked: CancellationToken,
}

/// Why passing on pauses or ends.
enum Pause {
    /// There is nothing more to be passed on.
    Over,
    /// Another publisher has the name.
    Outdone,
    /// Another origin has taken the publisher.
    Moved(Opening),
    /// The origin is lost.
    Lost(ReconnectReason),
}

/// What is done about the origin that was there before.
#[derive(Debug, Clone, Copy)]
enum Former<'a> {
    /// It is lost: it is asked last.
    Lost(&'a Candidate),
    /// It still has the publisher: it is not asked.
    Held(&'a Candidate),
}

/// Another publisher has the name.
struct Outdone;

/// A connection on which an origin has taken the publisher.
type Opening = Box<ForwardConnection>;

/// A search for another origin while one still has the publisher.
type Search<'a> = Pin<Box<dyn Future<Output = Result<Opening, Outdone>> + Send + 'a>>;

impl Forward<'_> {
    async fn run(&self, first: Opening) {
        match self.pass_on(first).await {
            Ok(Some(connection)) => connection.close().await,
            Ok(None) => {}
            Err(Outdone) => self.revoked.cancel(),
        }
        if self.running.superseded.is_cancelled() {
            self.revoked.cancel();
        }
        let _ = timeout(SUCCESSION, self.left.cancelled()).await;
        self.running.gone.cancel();
    }

    /// Passes the stream on, from one origin to the next, until there is nothing more. Returns the last connection, if
    /// there is one then.
    async fn pass_on(&self, mut connection: Opening) -> Result<Option<Opening>, Outdone> {
        // The first origin gets all there is.
        let mut tap = self.begin(&connection, TapStart::Session);
        loop {
            let lost = match self.relay(&mut connection, &mut tap).await {
                Pause::Over => return Ok(Some(connection)),
                Pause::Outdone => return Err(Outdone),
                Pause::Moved(next) => {
                    self.context.metrics.upstream_reconnects(ReconnectReason::Moved).inc();
                    // The next one is given its media first.
                    tokio::spawn(std::mem::replace(&mut connection, next).close());
                    tap = self.begin(&connection, TapStart::Keyframe);
                    continue;
                }
                Pause::Lost(reason) => reason,
            };
            let former = connection.candidate().clone();
            drop(connection);
            self.note_loss(&former, lost);
            connection = tokio::select! {
                found = self.find(Former::Lost(&former)) => found?,
                () = self.leaving(Duration::ZERO) => return Ok(None),
            };
            tap = self.begin(&connection, TapStart::Keyframe);
        }
    }

    /// Begins at an origin, with the headers.
    fn begin(&self, connection: &ForwardConnection, start: TapStart) -> Tap {
        tracing::info!(upstream = %connection.candidate().address, "forwarding");
        self.report(PullState::Live, Some(connection.candidate()), 0);
        self.forwarded.tap(self.shard, start)
    }

    fn note_loss(&self, former: &Candidate, reason: ReconnectReason) {
        tracing::warn!(upstream = %former.address, reason = reason.label(), "lost the origin");
        self.context.metrics.upstream_reconnects(reason).inc();
        if reason == ReconnectReason::Silent {
            // It may still take connections and say nothing.
            self.context.upstreams.note_failure(former, LONGEST_REST_WHILE_WAITED_FOR);
        }
    }

    /// Moves blocks from the ring to the origin, one at a time: the ring is the only queue.
    async fn relay(&self, connection: &mut ForwardConnection, tap: &mut Tap) -> Pause {
        let origin = connection.candidate().clone();
        let mut leaving = pin!(self.leaving(FAREWELL));
        let mut moving: Option<Search<'_>> = None;
        loop {
            while let Some(word) = connection.next_word() {
                match word {
                    Word::AskedToMove if moving.is_none() => {
                        tracing::info!(upstream = %origin.address, "the origin asks to be left");
                        moving = Some(Box::pin(self.find(Former::Held(&origin))));
                    }
                    Word::AskedToMove => {}
                    // On the way to another origin, that one's having the name is what ends it here.
                    Word::Ended { code } if moving.is_none() && says_no(&code) => return Pause::Outdone,
                    Word::Ended { .. } => return arrived(moving, ReconnectReason::Ended).await,
                }
            }
            let takes_more = connection.is_idle();
            tokio::select! {
                biased;
                () = leaving.as_mut() => return Pause::Over,
                found = maybe(&mut moving) => return match found {
                    Ok(next) => Pause::Moved(next),
                    Err(Outdone) => Pause::Outdone,
                },
                attended = connection.attend() => if let Err(failure) = attended {
                    return arrived(moving, failure.while_joined()).await;
                },
                tapped = poll_fn(|context| tap.poll_next(context)), if takes_more => match tapped {
                    Ok(Tapped::Headers(packets)) => connection.write(&packets),
                    Ok(Tapped::Block(block)) => connection.write(block.packets()),
                    Err(_) => return Pause::Over,
                },
            }
            let skipped = tap.take_skipped();
            if skipped > 0 {
                tracing::warn!(upstream = %origin.address, skipped, "the origin takes the stream too slowly");
            }
        }
    }

    /// Looks for an origin that takes the publisher over, for as long as it takes.
    async fn find(&self, former: Former<'_>) -> Result<Opening, Outdone> {
        let mut rhythm = Rhythm::default();
        let mut refused_since: Option<Instant> = None;
        for attempt in 0_u32.. {
            let mut homes = self.context.upstreams.homes(&self.publication.key).await;
            match former {
                Former::Lost(former) if attempt == 0 => homes.sort_by_key(|home| home.address == former.address),
                Former::Lost(_) => {}
                Former::Held(former) => homes.retain(|home| home.address != former.address),
            }
            if let Former::Lost(_) = former {
                self.report(PullState::Connecting, homes.first(), attempt);
            }
            match open(self.context, &self.publication, homes, Haste::Moving).await {
                Opened::Accepted(connection) => return Ok(connection),
                Opened::Refused { code, .. } => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= REFUSED_FOR {
                        tracing::warn!(code, "the publisher has lost its name");
                        return Err(Outdone);
                    }
                }
                Opened::Unreachable => refused_since = None,
            }
            if let Former::Lost(former) = former {
                self.report(PullState::Waiting, Some(former), attempt);
            }
            sleep(rhythm.next_pause()).await;
        }
        Err(Outdone)
    }

    /// Completes when the forward has to end: `farewell` after its publisher has left, at once when it has lost its name.
    async fn leaving(&self, farewell: Duration) {
        tokio::select! {
            () = self.running.superseded.cancelled() => {}
            () = self.context.stop.cancelled() => {}
            () = async {
                self.left.cancelled().await;
                sleep(farewell).await;
            } => {}
        }
    }

    fn report(&self, state: PullState, candidate: Option<&Candidate>, retries: u32) {
        let address = candidate.map(|candidate| candidate.address.to_string());
        self.forwarded.report(PullStatus { address, shielded: false, state, retries });
    }
}

/// Whether an origin that ends a publisher with this code does not want it back: another one has the name.
fn says_no(code: &str) -> bool {
    code == Status::PublishBadName.code() || code == Status::PublishDenied.code()
}

/// Where a publisher is whose origin is lost for `reason`: at the next one, if it has nearly found it.
async fn arrived(moving: Option<Search<'_>>, reason: ReconnectReason) -> Pause {
    let Some(moving) = moving else { return Pause::Lost(reason) };
    match timeout(ARRIVAL, moving).await {
        Ok(Ok(next)) => Pause::Moved(next),
        Ok(Err(Outdone)) => Pause::Outdone,
        Err(_) => Pause::Lost(reason),
    }
}

/// The output of a future, if there is one to wait for.
async fn maybe<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
