//! The publisher's side of a stream: a name, held as long as the handle lives.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tokio_util::sync::CancellationToken;

use crate::media::Tag;
use crate::media::stream_key::StreamKey;

use super::identity::Identity;
use super::now;
use super::state::{PublishError, PublishRequest, State, Superseded};
use super::stream::StreamHandle;

/// A merge window from which on players have two turns in it, half of them each: below it, all are woken at once.
const WIDE_WINDOW: Duration = Duration::from_millis(80);

/// Feeds one stream. Dropping it frees the name, whatever the way out was.
#[derive(Debug)]
pub struct Publisher {
    handle: StreamHandle,
    number: u64,
    session: Identity,
    replaced: CancellationToken,
    seal_deadline: Option<Instant>,
    /// Set while there may be players whose turn for the last block has not come: when everybody has had it.
    turns_end: Option<Instant>,
}

impl Publisher {
    pub(super) fn begin(handle: StreamHandle, request: PublishRequest) -> Result<Self, PublishError> {
        let session = request.session.clone();
        let (shared, stream) = (&handle.shared, &handle.stream);
        let mut state = stream.state();
        let was_live = state.live.is_some();
        let begun = state.begin_publish(request, now());
        drop(state);
        if was_live && !matches!(begun, Err(PublishError::RingBudget | PublishError::Shields)) {
            shared.metrics.stream_conflicts.inc();
        }
        let (number, replaced) = begun?;
        if !was_live {
            shared.metrics.streams.inc();
        }
        shared.misses.clear(&stream.key);
        stream.wakers.wake_everyone();
        Ok(Self { handle, number, session, replaced, seal_deadline: None, turns_end: None })
    }

    /// The name.
    pub fn key(&self) -> &StreamKey {
        &self.handle.stream.key
    }

    /// The publish session.
    pub fn session(&self) -> &Identity {
        &self.session
    }

    /// Cancelled when another publisher takes the name over.
    pub fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }

    /// Takes the tags that arrived together.
    pub fn push(&mut self, tags: impl IntoIterator<Item = Tag>) -> Result<(), Superseded> {
        let now = now();
        let stream = &self.handle.stream;
        let merge_window = stream.merge_window();
        let mut sealed = false;
        let mut state = stream.state();
        for tag in tags {
            sealed |= state.push(self.number, tag, now)?;
        }
        // With a window of zero whatever came at once goes at once.
        let seal_after = seal_interval(merge_window);
        if state.seal_deadline(seal_after).is_some_and(|deadline| deadline <= now) {
            state.seal(now);
            sealed = true;
        }
        self.seal_deadline = state.seal_deadline(seal_after);
        stream.publish_end(&state);
        if sealed && state.rates.is_due(now) {
            let sample = stream.sample(&state, now);
            state.rates.add(sample);
        }
        drop(state);
        if sealed {
            self.wake(merge_window, now);
        }
        Ok(())
    }

    fn wake(&mut self, merge_window: Duration, now: Instant) {
        self.handle.stream.wakers.wake_in_turn(merge_window);
        self.turns_end = (!merge_window.is_zero()).then(|| now + merge_window);
    }

    /// Completes when something of what was pushed is due for readers, and makes it visible to them.
    ///
    /// Stays pending while nothing is. To be polled beside the source of the tags.
    pub async fn seal_when_due(&mut self) {
        match self.seal_deadline.or(self.turns_end) {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
        let now = now();
        if self.seal_deadline.take().is_none() {
            // Nothing came behind the last block: who still waits for a turn with it has it now.
            self.turns_end = None;
            self.handle.stream.wakers.wake_everyone();
            return;
        }
        let mut state = self.handle.stream.state();
        if state.live.as_ref().is_some_and(|live| live.number == self.number) {
            state.seal(now);
        }
        self.handle.stream.publish_end(&state);
        drop(state);
        self.wake(self.handle.stream.merge_window(), now);
    }
}

impl Publisher {
    /// Frees the name under the lock that `state` is.
    pub(super) fn end(self, mut state: MutexGuard<'_, State>) {
        let ended = state.end_publish(self.number, now());
        drop(state);
        self.note_end(ended);
        // Dropping it finds the name freed.
    }

    fn note_end(&self, ended: bool) {
        if ended {
            self.handle.shared.metrics.streams.dec();
            self.handle.stream.wakers.wake_everyone();
        }
    }
}

/// How long packets are gathered into one block so that players can have their turns within `merge_window`.
///
/// More than two blocks a window were tried: they cost more than the shorter bursts gain.
fn seal_interval(merge_window: Duration) -> Duration {
    if merge_window < WIDE_WINDOW { merge_window } else { merge_window / 2 }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let ended = self.handle.stream.state().end_publish(self.number, now());
        self.note_end(ended);
    }
}
