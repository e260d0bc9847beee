//! The publisher's side of a stream: a name, held as long as the handle lives.

use std::time::Instant;

use parking_lot::MutexGuard;
use tokio_util::sync::CancellationToken;

use crate::media::Tag;
use crate::media::stream_key::StreamKey;

use super::demand::demand;
use super::identity::Identity;
use super::now;
use super::state::{PublishError, PublishRequest, State, Superseded};
use super::stream::{Pace, StreamHandle};

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
        let is_pull = request.source.is_pull();
        let mut state = stream.state();
        let was_live = state.live.is_some();
        let begun = state.begin_publish(request, now());
        drop(state);
        if begun.is_ok() && !is_pull {
            // Whoever fetches the stream need not any more.
            stream.demand_changed.notify_one();
        }
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
        let pace = stream.pace();
        let mut sealed = false;
        let mut state = stream.state();
        for tag in tags {
            sealed |= state.push(self.number, tag, now)?;
        }
        // With a window of zero whatever came at once goes at once.
        if state.seal_deadline(pace.seal_after).is_some_and(|deadline| deadline <= now) {
            state.seal(now);
            sealed = true;
        }
        self.seal_deadline = state.seal_deadline(pace.seal_after);
        stream.publish_end(&state);
        if sealed && state.rates.is_due(now) {
            let sample = stream.sample(&state, now);
            state.rates.add(sample);
        }
        drop(state);
        if sealed {
            self.wake(pace, now);
        }
        Ok(())
    }

    fn wake(&mut self, pace: Pace, now: Instant) {
        self.handle.stream.wakers.wake_in_turn(pace.turns_within);
        self.turns_end = (!pace.turns_within.is_zero()).then(|| now + pace.turns_within);
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
        self.wake(self.handle.stream.pace(), now);
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
            // Players who stay may find it elsewhere.
            demand(&self.handle);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let ended = self.handle.stream.state().end_publish(self.number, now());
        self.note_end(ended);
    }
}
