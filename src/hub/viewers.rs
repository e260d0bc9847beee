//! Viewers: players that come again and again instead of staying.
//!
//! Owns who watches a stream by requests (HLS): one entry for each, until it has been silent for too long. To metrics, limits
//! and API a viewer is a player. A viewer holds no place in a ring and wants no pull; the sessions that serve it say which
//! requests are whose.

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

/// How many of them are shown one by one. Beyond that they are only counted, because showing takes memory.
const MAX_SHOWN: usize = 1 << 16;

/// What a viewer is recognised by: a digest of what it says of itself, different for different viewers.
pub type ViewerId = u64;

/// What is kept of one viewer for others to see, from its first request until it is gone.
pub trait Attendance: Send + Sync {
    /// Adds bytes that it was sent.
    fn note_sent(&self, bytes: u64);
    /// Whether it is one of those that are shown.
    fn is_shown(&self) -> bool;
    /// Whether it is to be served no longer.
    fn is_dismissed(&self) -> bool;
}

/// What is known of a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing, or it has been silent for too long.
    Unknown,
    /// It watches.
    Watching,
    /// It is to be served no longer.
    Dismissed,
}

/// Everybody who watches by requests.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    streams: DashMap<StreamKey, Audience>,
    count: AtomicUsize,
    /// Those of them that are shown.
    shown: AtomicUsize,
}

/// One viewer of one stream.
struct Viewer {
    /// Until when it is counted if it stays silent.
    silent_at: Instant,
    /// For how long that is from a request on, at most.
    patience: Duration,
    attendance: Option<Box<dyn Attendance>>,
    /// It stays out until it has been silent for long enough to be forgotten.
    is_dismissed: bool,
}

impl fmt::Debug for Viewer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Viewer").field("silent_at", &self.silent_at).finish_non_exhaustive()
    }
}

impl Viewer {
    /// Notes that it asks for more, and may be silent for `patience` then.
    fn note(&mut self, patience: Duration) {
        self.silent_at = self.silent_at.max(now() + patience);
        self.patience = self.patience.max(patience);
    }

    fn presence(&mut self) -> Presence {
        let is_dismissed = self.is_dismissed || self.attendance.as_ref().is_some_and(|kept| kept.is_dismissed());
        if !is_dismissed {
            return Presence::Watching;
        }
        self.note(self.patience);
        Presence::Dismissed
    }

    /// Takes leave of it if it is to be served no longer. Returns its attendance, which is to be dropped under no lock.
    fn dismiss_if_told(&mut self) -> Option<Box<dyn Attendance>> {
        let attendance = self.attendance.take_if(|attendance| attendance.is_dismissed());
        self.is_dismissed |= attendance.is_some();
        attendance
    }
}

/// The viewers of one stream.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) id: Identity,
    viewers: HashMap<ViewerId, Viewer>,
    pub(super) sent_bytes: u64,
    rates: Rates,
}

impl Audience {
    fn new() -> Self {
        Self { id: Identity::random(), viewers: HashMap::new(), sent_bytes: 0, rates: Rates::default() }
    }

    fn sample(&self, now: Instant) -> Sample {
        Sample { at: now, received_bytes: 0, sent_bytes: self.sent_bytes }
    }

    /// Who is counted.
    pub(super) fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Kilobits a second sent.
    pub(super) fn kilobits(&self, now: Instant) -> u64 {
        self.rates.kilobits(self.sample(now)).1
    }

    /// Takes those out that have been silent for too long; tells how many. The attendances of these, and of those that are to
    /// go, are added to `left`, to be dropped under no lock.
    fn forget_silent(&mut self, now: Instant, left: &mut Vec<Box<dyn Attendance>>) -> usize {
        let before = self.viewers.len();
        self.viewers.retain(|_, viewer| {
            let stays = viewer.silent_at > now;
            left.extend(viewer.dismiss_if_told());
            if !stays {
                left.extend(viewer.attendance.take());
            }
            stays
        });
        if self.rates.is_due(now) {
            let sample = self.sample(now);
            self.rates.add(sample);
        }
        before - self.viewers.len()
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
    /// is not known yet is let in like a player, or not; `attend` makes what is kept of it, and is told whether others may
    /// see it.
    pub fn note_viewer(
        &self,
        key: &StreamKey,
        viewer: ViewerId,
        patience: Duration,
        attend: impl FnOnce(bool) -> Option<Box<dyn Attendance>>,
    ) -> Result<(), End> {
        let viewers = &self.shared.viewers;
        if let Some(mut audience) = viewers.streams.get_mut(key)
            && let Some(known) = audience.viewers.get_mut(&viewer)
        {
            known.note(patience);
            let (left, is_dismissed) = (known.dismiss_if_told(), known.is_dismissed);
            drop(audience);
            viewers.hide(left.iter());
            return if is_dismissed { Err(End::Dismissed) } else { Ok(()) };
        }
        if self.shared.is_ending() {
            return Err(End::Shutdown);
        }
        if viewers.count.load(Ordering::Relaxed) >= MAX_VIEWERS {
            return Ok(());
        }
        self.shared.make_room()?;
        let mut audience = viewers.streams.entry(key.clone()).or_insert_with(Audience::new);
        if let Some(known) = audience.viewers.get_mut(&viewer) {
            // Another request of the same viewer was faster.
            known.note(patience);
            self.shared.capacity.leave();
            return Ok(());
        }
        let is_shown = viewers.shown.load(Ordering::Relaxed) < MAX_SHOWN;
        viewers.shown.fetch_add(usize::from(is_shown), Ordering::Relaxed);
        let attendance = attend(is_shown);
        let silent_at = now() + patience;
        audience.viewers.insert(viewer, Viewer { silent_at, patience, attendance, is_dismissed: false });
        viewers.count.fetch_add(1, Ordering::Relaxed);
        self.shared.metrics.players(Protocol::Hls).inc();
        tracing::debug!(stream = %key, "a viewer came");
        Ok(())
    }

    /// What is known of a viewer of `key` that asks for something. The silence of one that is dismissed begins anew.
    pub fn presence(&self, key: &StreamKey, viewer: ViewerId) -> Presence {
        let Some(mut audience) = self.shared.viewers.streams.get_mut(key) else { return Presence::Unknown };
        audience.viewers.get_mut(&viewer).map_or(Presence::Unknown, Viewer::presence)
    }

    /// Takes leave of all viewers. To be called when nobody is let in any more.
    pub fn forget_all_viewers(&self) {
        let (mut gone, mut left) = (0, Vec::new());
        self.shared.viewers.streams.retain(|_, audience| {
            gone += audience.len();
            left.extend(audience.viewers.drain().filter_map(|(_, viewer)| viewer.attendance));
            false
        });
        self.shared.viewers.hide(left.iter());
        self.shared.viewers.leave(&self.shared, gone);
    }

    /// Notes what was sent to one of a stream's viewers.
    pub fn note_sent_to_viewer(&self, key: &StreamKey, viewer: ViewerId, bytes: u64) {
        if let Some(mut audience) = self.shared.viewers.streams.get_mut(key) {
            audience.sent_bytes = audience.sent_bytes.saturating_add(bytes);
            if let Some(attendance) = audience.viewers.get(&viewer).and_then(|viewer| viewer.attendance.as_ref()) {
                attendance.note_sent(bytes);
            }
        }
    }

    /// Counts those viewers no longer that have been silent for too long. To be called about once a second.
    pub fn forget_silent_viewers(&self) {
        let now = now();
        let (mut gone, mut left) = (0, Vec::new());
        self.shared.viewers.streams.retain(|_, audience| {
            gone += audience.forget_silent(now, &mut left);
            audience.len() > 0
        });
        self.shared.viewers.hide(left.iter());
        self.shared.viewers.leave(&self.shared, gone);
    }
}

impl Viewers {
    /// Gives back the places of those that were shown.
    fn hide<'a>(&self, left: impl Iterator<Item = &'a Box<dyn Attendance>>) {
        let shown = left.filter(|attendance| attendance.is_shown()).count();
        self.shown.fetch_sub(shown, Ordering::Relaxed);
    }

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
