//! Which segments a playlist names, and how long those are kept that it names no more.
//!
//! Owns the rules of RFC 8216 about removing segments (6.2.2): a playlist keeps three target durations, and a segment
//! stays as long as somebody may still come for it. Used for what is in memory and for what is on disk alike; the
//! clock comes in as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::mux::playlist::{MediaPlaylist, Segment as Line};

use super::segment::Entry;

/// Something that stands in a playlist.
pub(super) trait Listed {
    fn entry(&self) -> &Entry;
}

/// The segments of a stream, oldest first.
#[derive(Debug)]
pub(super) struct Window<T> {
    listed: VecDeque<T>,
    /// No longer in the playlist, and until when they are kept.
    retired: VecDeque<(Instant, T)>,
}

impl<T: Listed> Window<T> {
    pub(super) const fn new() -> Self {
        Self { listed: VecDeque::new(), retired: VecDeque::new() }
    }

    /// Adds the next segment, and retires those beyond `length`, but leaves three target durations.
    pub(super) fn push(&mut self, segment: T, length: Duration, target_s: u64, now: Instant) {
        self.listed.push_back(segment);
        let least = length.max(Duration::from_secs(target_s * 3));
        let mut whole = self.duration();
        while let Some(oldest) = self.listed.front() {
            let without = whole.saturating_sub(duration(oldest));
            if without < least || self.listed.len() <= 1 {
                break;
            }
            self.retire_oldest(whole, now);
            whole = without;
        }
    }

    /// Retires all segments: the playlist begins anew.
    pub(super) fn retire_all(&mut self, now: Instant) {
        let whole = self.duration();
        while !self.listed.is_empty() {
            self.retire_oldest(whole, now);
        }
    }

    /// Retires all but the newest `count`.
    pub(super) fn shorten(&mut self, count: usize, now: Instant) {
        let whole = self.duration();
        while self.listed.len() > count {
            self.retire_oldest(whole, now);
        }
    }

    /// Kept for its own duration and that of the longest playlist that has named it (RFC 8216, 6.2.2).
    fn retire_oldest(&mut self, playlist: Duration, now: Instant) {
        if let Some(segment) = self.listed.pop_front() {
            self.retired.push_back((now + duration(&segment) + playlist, segment));
        }
    }

    /// Lets go of what has been kept for long enough.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while self.retired.front().is_some_and(|(until, _)| *until <= now) {
            expired.extend(self.retired.pop_front().map(|(_, segment)| segment));
        }
        expired
    }

    /// Lets go of everything that is in no playlist.
    pub(super) fn forget_retired(&mut self) {
        self.retired.clear();
    }

    /// Takes everything out.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        let retired = self.retired.drain(..).map(|(_, segment)| segment);
        retired.chain(self.listed.drain(..)).collect()
    }

    /// Whether the playlist lasts for a target duration. Players that come from another playlist go to one target duration before
    /// its end, and wait for ever where that is before its beginning.
    pub(super) fn lasts(&self, target_s: u64) -> bool {
        self.duration() >= Duration::from_secs(target_s)
    }

    /// The segments that the playlist names.
    pub(super) const fn listed(&self) -> &VecDeque<T> {
        &self.listed
    }

    /// All segments, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &T> {
        let retired = self.retired.iter().map(|(_, segment)| segment);
        self.listed.iter().rev().chain(retired.rev())
    }

    /// The text of the playlist, if there is anything in it; `uris` gives the names of a segment and of its initialisation.
    pub(super) fn playlist(
        &self,
        target_duration: u64,
        ended: bool,
        uris: impl Fn(&T) -> (String, Option<String>),
    ) -> Option<String> {
        let first = self.listed.front()?.entry();
        let names: Vec<_> = self.listed.iter().map(uris).collect();
        let segments = self.listed.iter().zip(&names).map(|(segment, (uri, initialisation))| {
            let entry = segment.entry();
            Line {
                uri,
                duration_ms: entry.duration_ms,
                discontinuity: entry.is_discontinuous,
                program_date_time: Some(entry.date_ms),
                initialisation: initialisation.as_deref(),
            }
        });
        let playlist = MediaPlaylist {
            target_duration,
            media_sequence: first.number,
            // The first one's own still stands before it.
            discontinuity_sequence: first.discontinuities - u64::from(first.is_discontinuous),
            independent_segments: self.listed.iter().all(|segment| segment.entry().is_independent),
            segments,
            ended,
            prefix: "",
        };
        Some(playlist.text())
    }

    fn duration(&self) -> Duration {
        self.listed.iter().map(duration).sum()
    }
}

fn duration(segment: &impl Listed) -> Duration {
    Duration::from_millis(segment.entry().duration_ms)
}

#[cfg(test)]
mod tests;
