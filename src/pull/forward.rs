//! Forwards: how an edge passes on what is published to it.
//!
//! Owns one task for each publisher, from the question whether an origin takes it until it has left. The hub asks through
//! [`OnPublish`] before it gives a name away. From then on a forward is just another reader of the ring, so a slow origin
//! holds nothing but a cursor. When its origin goes, the publisher goes on at the next one under the same session, and
//! notices nothing. It never talks to the publisher, and never publishes to two origins but to move from one to the other.

mod connection;
mod open;
mod publication;
mod relay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::hub::{OnPublish, Permit, PublishError, PublishRequest, ShardId, WeakHub};
use crate::media::stream_key::StreamKey;
use crate::rtmp::Status;
use crate::seldom::warn_seldom;

use super::PullContext;
use super::rhythm::Rhythm;

use connection::ForwardConnection;
use open::{Haste, Opened, open};
use publication::Publication;
use relay::Forward;

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
        let span = tracing::error_span!(parent: None, "forward", stream = %key, session = %publication.session);
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
            warn_seldom!(key = error.to_string(), %error, "the publisher is refused");
            // Who has left meanwhile need not be told.
            let _ = answer.send(Err(error));
            return;
        }
    };
    let Some(hub) = shared.hub.upgrade() else { return };
    let forwarded = hub.forward(&publication.key, &publication.session);
    drop(hub);
    let running = Running::default();
    if let Some(previous) = shared.running.insert(publication.key.clone(), running.clone()) {
        previous.superseded.cancel();
    }
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
        let deadline = Instant::now() + self.context.config().upstream.connect_timeout;
        let mut rhythm = Rhythm::default();
        loop {
            let homes = self.context.upstreams.homes(&publication.key).await;
            match open(&self.context, publication, homes, Haste::Beginning, None).await {
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
