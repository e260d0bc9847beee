//! A publisher that an origin has taken: its way from the ring to that origin, and to the next one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::hub::{Forwarded, PullState, PullStatus, ShardId, Tap, TapStart, Tapped};
use crate::metrics::ReconnectReason;
use crate::pull::PullContext;
use crate::pull::health::LONGEST_REST_WHILE_WAITED_FOR;
use crate::pull::rhythm::Rhythm;
use crate::pull::upstreams::Candidate;
use crate::rtmp::Status;
use crate::seldom::warn_seldom;

use super::connection::{ForwardConnection, Word};
use super::open::{Haste, Opened, open};
use super::publication::Publication;
use super::{Running, SUCCESSION};

/// For how long a publisher that goes on elsewhere may be refused: what an origin still holds of it is gone by then.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How long the last packets of a publisher that has left may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a publisher on its way to another origin waits for that one when the former is gone.
const ARRIVAL: Duration = Duration::from_millis(500);

/// A publisher that an origin has taken.
pub(super) struct Forward<'a> {
    pub(super) context: &'a PullContext,
    pub(super) publication: Publication,
    pub(super) shard: ShardId,
    pub(super) forwarded: Forwarded,
    pub(super) running: Running,
    /// Cancelled when the publisher has left.
    pub(super) left: CancellationToken,
    /// To be cancelled when the publisher has lost its name.
    pub(super) revoked: CancellationToken,
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
    /// It still has the publisher: it is asked last too, because other nodes may be behind its address, and never itself.
    Held { candidate: &'a Candidate, node: Option<&'a str> },
}

impl Former<'_> {
    fn avoided(&self) -> Option<&str> {
        match self {
            Self::Lost(_) => None,
            Self::Held { node, .. } => *node,
        }
    }
}

/// Another publisher has the name.
struct Outdone;

/// A connection on which an origin has taken the publisher.
type Opening = Box<ForwardConnection>;

/// A search for another origin while one still has the publisher.
type Search<'a> = Pin<Box<dyn Future<Output = Result<Opening, Outdone>> + Send + 'a>>;

impl Forward<'_> {
    /// Passes on all that is published, and gives both ends their words.
    pub(super) async fn run(&self, first: Opening) {
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
        let upstream = connection.candidate().address;
        tracing::info!(%upstream, "forwarding");
        let publication = &self.publication;
        self.context.hooks.forward(&publication.key, publication.session.as_str(), &upstream.to_string());
        self.report(PullState::Live, Some(connection.candidate()), 0);
        self.forwarded.tap(self.shard, start)
    }

    fn note_loss(&self, former: &Candidate, reason: ReconnectReason) {
        let upstream = former.address;
        warn_seldom!(key = (upstream, reason.label()), %upstream, reason = reason.label(), "lost the origin");
        self.context.metrics.upstream_reconnects(reason).inc();
        if reason == ReconnectReason::Silent {
            // It may still take connections and say nothing.
            self.context.upstreams.note_failure(former, LONGEST_REST_WHILE_WAITED_FOR);
        }
    }

    /// Moves blocks from the ring to the origin, one at a time: the ring is the only queue.
    async fn relay(&self, connection: &mut ForwardConnection, tap: &mut Tap) -> Pause {
        let origin = connection.candidate().clone();
        let node = connection.node().map(str::to_owned);
        let mut leaving = pin!(self.leaving(FAREWELL));
        let mut moving: Option<Search<'_>> = None;
        loop {
            while let Some(word) = connection.next_word() {
                match word {
                    Word::AskedToMove if moving.is_none() => {
                        tracing::info!(upstream = %origin.address, "the origin asks to be left");
                        let former = Former::Held { candidate: &origin, node: node.as_deref() };
                        moving = Some(Box::pin(self.find(former)));
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
            let skipped = tap.take_skipped().packets;
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
                // Its turn comes as if nothing had been, once the others do not answer either.
                Former::Lost(_) if attempt > 0 => {}
                Former::Lost(candidate) | Former::Held { candidate, .. } => {
                    homes.sort_by_key(|home| home.address == candidate.address);
                }
            }
            if let Former::Lost(_) = former {
                self.report(PullState::Connecting, homes.first(), attempt);
            }
            match open(self.context, &self.publication, homes, Haste::Moving, former.avoided()).await {
                Opened::Accepted(connection) => return Ok(connection),
                // As long as one origin has the publisher, others may say what they like.
                Opened::Refused { .. } if matches!(former, Former::Held { .. }) => {}
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
