//! The publisher's side of a stream: a name, held as long as the handle lives.

use std::time::Instant;

use parking_lot::MutexGuard;
use tokio_util::sync::CancellationToken;

use crate::media::Tag;
use crate::media::stream_key::StreamKey;

use super::demand::demand;
use super::following::Following;
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
    gathering: Gathering,
    /// The ring's end as readers were last told.
    told_end: u64,
    /// Set while there may be players whose turn for the last block has not come: when everybody has had it.
    turns_end: Option<Instant>,
}

/// The time in which packets gather that readers are told of together.
#[derive(Debug, Default)]
struct Gathering {
    since: Option<Instant>,
    /// As far as one could tell when the last packets came.
    ends_at: Option<Instant>,
    /// Whether what comes in may wait in the socket until then.
    input_may_wait: bool,
}

impl Publisher {
    pub(super) fn begin(handle: StreamHandle, request: PublishRequest) -> Result<Self, PublishError> {
        let session = request.session.clone();
        let (shared, stream) = (&handle.shared, &handle.stream);
        let is_pull = request.source.is_pull();
        let mut state = stream.state();
        let was_live = state.live.is_some();
        // Not a pull that gives way, and not the same publisher on a new connection.
        let competes = !is_pull
            && state.live.as_ref().is_some_and(|live| !live.source.is_pull() && live.session != request.session);
        let begun = state.begin_publish(request, now());
        let (told_end, session_number) = (state.ring.end(), state.session);
        drop(state);
        if begun.is_ok() && !is_pull {
            // Whoever fetches the stream need not any more.
            stream.demand_changed.notify_one();
        }
        if competes && !matches!(begun, Err(PublishError::RingBudget | PublishError::Shields)) {
            shared.metrics.stream_conflicts.inc();
        }
        let (number, replaced) = begun?;
        if !was_live {
            shared.metrics.streams.inc();
        }
        shared.misses.clear(&stream.key);
        stream.wakers.wake_everyone();
        if !is_pull {
            let followers = shared.on_session.get().into_iter().flatten();
            followers
                .for_each(|follower| follower.began(Following::new(handle.clone(), session.clone(), session_number)));
        }
        let gathering = Gathering::default();
        Ok(Self { handle, number, session, replaced, gathering, told_end, turns_end: None })
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

    /// Takes the tags that arrived together, if any did, and makes visible to readers what is due for them.
    pub fn push(&mut self, tags: impl IntoIterator<Item = Tag>) -> Result<(), Superseded> {
        let now = now();
        let stream = &self.handle.stream;
        let pace = stream.pace();
        let mut state = stream.state();
        if !state.is_published_by(self.number) {
            return Err(Superseded);
        }
        let mut is_full = false;
        for tag in tags {
            is_full |= state.push(self.number, tag, now)?;
        }
        let has_news = state.is_gathering() || state.ring.end() > self.told_end;
        let is_over = self.gathering.is_over(has_news, pace, now);
        if is_over {
            state.seal(now);
        }
        if is_over || is_full {
            self.gathering.begin_anew(state.is_gathering(), pace, now);
        }
        self.gathering.ends_at = self.gathering.since.map(|since| since + pace.seal_after);
        stream.publish_end(&state);
        let has_news = state.ring.end() > self.told_end;
        if (is_over || is_full) && has_news {
            if state.rates.is_due(now) {
                let sample = stream.sample(&state, now);
                state.rates.add(sample);
            }
            self.told_end = state.ring.end();
            drop(state);
            stream.wakers.wake_in_turn(pace.turns_within);
            self.turns_end = (!pace.turns_within.is_zero()).then(|| now + pace.turns_within);
        } else if self.turns_end.take_if(|end| *end <= now).is_some() {
            drop(state);
            // Nothing came behind the last block: who still waits for a turn with it has it now.
            stream.wakers.wake_everyone();
        }
        Ok(())
    }

    /// Completes when something is due for readers: then take in what has come since, and push it, if only nothing.
    ///
    /// Stays pending while nothing is. To be polled beside the source of the tags.
    pub async fn due(&self) {
        match self.gathering.ends_at.or(self.turns_end) {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Whether the source of the tags may let them wait until something is [`due`](Self::due).
    pub fn input_may_wait(&self) -> bool {
        self.gathering.input_may_wait
    }
}

impl Gathering {
    /// Whether it has come to its end.
    fn is_over(&mut self, has_news: bool, pace: Pace, now: Instant) -> bool {
        if has_news {
            self.since.get_or_insert(now);
        }
        self.since.is_some_and(|since| since + pace.seal_after <= now)
    }

    fn begin_anew(&mut self, has_packets: bool, pace: Pace, now: Instant) {
        self.input_may_wait = pace.lets_input_wait();
        // Who lets packets wait does not see the first one come.
        self.since = (has_packets || self.input_may_wait).then_some(now);
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
