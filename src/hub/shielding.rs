//! A stream that other edges pull through this one: its shield.
//!
//! Owns the rule that keeps pulls through each other from going round in a circle: whom others pull through does not pull
//! through others. So a shielded pull is let in only while the stream comes from an origin, or from a publisher here; and as
//! long as one is there, no pull through a shield becomes the stream's publisher. Both are decided under the stream's lock.

use std::time::{Duration, Instant};

use super::reader::End;
use super::state::Source;

/// How long a shielded pull waits for what the origins say. Less than the puller waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// What came of asking every origin for a stream in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// One has said that nobody publishes it.
    Absent,
    /// None could be asked.
    Unreachable,
}

/// The shielded pulls of one stream.
#[derive(Debug, Default)]
pub(super) struct Shielding {
    /// How many there are.
    readers: usize,
    /// How often all origins were asked in vain, and what came of it the last time.
    in_vain: u64,
    last: Option<Missing>,
}

/// A shielded pull that has not been let in: how often the origins had been asked in vain when it came, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    in_vain: u64,
    since: Instant,
}

impl Shielding {
    /// Counts one that has come. Returns whether it is the first.
    pub(super) fn enter(&mut self, now: Instant) -> (Waiting, bool) {
        self.readers += 1;
        (Waiting { in_vain: self.in_vain, since: now }, self.readers == 1)
    }

    /// Counts one that has gone. Returns whether it was the last.
    pub(super) fn leave(&mut self) -> bool {
        self.readers -= 1;
        self.readers == 0
    }

    /// Whether any is there.
    pub(super) const fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Notes that the origins were asked in vain.
    pub(super) fn note(&mut self, missing: Missing) {
        self.in_vain += 1;
        self.last = Some(missing);
    }

    /// Whether packets of `source` may become the stream's.
    pub(super) fn admits(&self, source: &Source) -> bool {
        !(self.has_readers() && *source == Source::ShieldedPull)
    }

    /// Why a shielded pull that still waits at `now` is refused, if it is.
    pub(super) fn refuses(&self, waiting: Waiting, now: Instant) -> Option<End> {
        match self.last.filter(|_| self.in_vain > waiting.in_vain) {
            Some(Missing::Absent) => Some(End::NotFound),
            Some(Missing::Unreachable) => Some(End::Unreachable),
            None => (now >= waiting.deadline()).then_some(End::Unreachable),
        }
    }
}

impl Waiting {
    /// When it is refused at the latest.
    pub(super) fn deadline(self) -> Instant {
        self.since + PATIENCE
    }
}

#[cfg(test)]
mod tests;
