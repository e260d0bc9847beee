//! Viewers: players that come again and again instead of staying.
//!
//! Owns who watches a stream by requests (HLS): one entry for each, until it has been silent for too long. To metrics, limits
//! and API a viewer is a player. A viewer holds no place in a ring and wants no pull; the sessions that serve it say which
//! requests are whose.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use crate::media::stream_key::StreamKey;
use crate::metrics::Protocol;

use super::identity::Identity;
use super::rates::{Rates, Sample};
use super::view::StreamView;
use super::{End, Hub, Shared, now};

/// How many viewers are told apart. Beyond that they are served, and not counted: a name costs who invents it nothing.
const MAX_VIEWERS: usize = 1 << 18;

/// What a viewer is recognised by: a digest of what it says of itself, different for different viewers.
pub type ViewerId = u64;

/// Everybody who watches by requests.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    streams: DashMap<StreamKey, Audience>,
    count: AtomicUsize,
}

/// The viewers of one stream.
#[derive(Debug)]
pub(super) struct Audience {
    id: Identity,
    /// Until when each is counted if it stays silent.
    known: HashMap<ViewerId, Viewer>,
    pub(super) sent_bytes: u64,
    rates: Rates,
}

/// One viewer.
struct Viewer {
    silent_at: Instant,
    /// Dropped with it.
    _held: Held,
}

/// What is dropped when a viewer has gone.
pub type Held = Option<Box<dyn Any + Send + Sync>>;

impl fmt::Debug for Viewer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Viewer").field("silent_at", &self.silent_at).finish_non_exhaustive()
    }
}

impl Audience {
    fn new() -> Self {
        Self { id: Identity::random(), known: HashMap::new(), sent_bytes: 0, rates: Rates::default() }
    }

    fn sample(&self, now: Instant) -> Sample {
        Sample { at: now, received_bytes: 0, sent_bytes: self.sent_bytes }
    }

    /// Who is counted.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Kilobits a second sent.
    pub(super) fn kilobits(&self, now: Instant) -> u64 {
        self.rates.kilobits(self.sample(now)).1
    }

    /// Takes those out that have been silent for too long; tells how many.
    fn forget_silent(&mut self, now: Instant) -> usize {
        let before = self.known.len();
        self.known.retain(|_, viewer| viewer.silent_at > now);
        if self.rates.is_due(now) {
            let sample = self.sample(now);
            self.rates.add(sample);
        }
        before - self.known.len()
    }
}

impl Viewers {
    /// What `look` finds in the audience of a stream, if it has one.
    pub(super) fn of<T>(&self, key: &StreamKey, look: impl FnOnce(&Audience) -> T) -> Option<T> {
        self.streams.get(key).map(|audience| look(&audience))
    }

    /// What the API shows of streams that have viewers.
    pub(super) fn views(&self, now: Instant) -> Vec<StreamView> {
        self.streams.iter().map(|entry| StreamView::of_audience(entry.key(), &entry.id, &entry, now)).collect()
    }
}

impl Hub {
    /// Notes that a viewer of `key` asks for more; it counts as a player until it has been silent for `patience`. One that
    /// is not known yet is let in like a player, or not; `held` is dropped when it has gone, or at once if it was known.
    pub fn note_viewer(&self, key: &StreamKey, viewer: ViewerId, patience: Duration, held: Held) -> Result<(), End> {
        let viewers = &self.shared.viewers;
        let silent_at = now() + patience;
        if let Some(mut audience) = viewers.streams.get_mut(key)
            && let Some(known) = audience.known.get_mut(&viewer)
        {
            known.silent_at = silent_at.max(known.silent_at);
            return Ok(());
        }
        if self.shared.is_ending() {
            return Err(End::Shutdown);
        }
        if viewers.count.load(Ordering::Relaxed) >= MAX_VIEWERS {
            return Ok(());
        }
        self.shared.make_room()?;
        let mut audience = viewers.streams.entry(key.clone()).or_insert_with(Audience::new);
        if audience.known.insert(viewer, Viewer { silent_at, _held: held }).is_some() {
            // Another request of the same viewer was faster.
            self.shared.capacity.leave();
            return Ok(());
        }
        viewers.count.fetch_add(1, Ordering::Relaxed);
        self.shared.metrics.players(Protocol::Hls).inc();
        tracing::debug!(stream = %key, "a viewer came");
        Ok(())
    }

    /// Whether a viewer of `key` is known, and has not been silent for too long.
    pub fn is_viewer(&self, key: &StreamKey, viewer: ViewerId) -> bool {
        self.shared.viewers.of(key, |audience| audience.known.contains_key(&viewer)).unwrap_or_default()
    }

    /// Notes what was sent to a stream's viewers.
    pub fn note_sent_to_viewers(&self, key: &StreamKey, bytes: u64) {
        if let Some(mut audience) = self.shared.viewers.streams.get_mut(key) {
            audience.sent_bytes = audience.sent_bytes.saturating_add(bytes);
        }
    }

    /// Counts those viewers no longer that have been silent for too long. To be called about once a second.
    pub fn forget_silent_viewers(&self) {
        let now = now();
        let mut gone = 0;
        self.shared.viewers.streams.retain(|_, audience| {
            gone += audience.forget_silent(now);
            audience.len() > 0
        });
        self.shared.viewers.leave(&self.shared, gone);
    }
}

impl Hub {
    /// Takes leave of all viewers.
    pub(super) fn forget_all_viewers(&self) {
        let mut gone = 0;
        self.shared.viewers.streams.retain(|_, audience| {
            gone += audience.len();
            false
        });
        self.shared.viewers.leave(&self.shared, gone);
    }
}

impl Viewers {
    fn leave(&self, shared: &Arc<Shared>, gone: usize) {
        self.count.fetch_sub(gone, Ordering::Relaxed);
        let players = shared.metrics.players(Protocol::Hls);
        for _ in 0..gone {
            players.dec();
            shared.capacity.leave();
        }
    }
}

#[cfg(test)]
mod tests;
