//! Where one segment ends and the next begins.
//!
//! Owns the rules, and nothing of the media: it is shown each frame and says what becomes of it. No segment becomes longer than
//! the target duration that players were told, whatever the stream does; where it has no keyframe in time, it is cut
//! without.

use std::time::Duration;

use crate::mux::frame::{Frame, Track};
use crate::mux::playlist::target_duration;

/// The most that a segment may hold, in bytes.
const MAXIMUM_BYTES: usize = 48 << 20;
/// By how much a segment may be shorter than it should be, for a keyframe that is a little early.
const EARLY_MS: u64 = 50;
/// By how much a segment may be longer than its target duration and still be rounded to it.
const ROUNDED_MS: u64 = 400;

/// The lengths of segments, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    /// From which a segment ends at the next keyframe.
    pub(super) fragment: u64,
    /// At most, as long as there is no target duration.
    pub(super) first: u64,
    /// The least target duration, in seconds.
    pub(super) target_s: u64,
    /// Whether video is cut at keyframes only.
    pub(super) wait_keyframe: bool,
}

impl Lengths {
    /// Lengths from the settings of the same names.
    pub(super) fn new(fragment: Duration, longest: Duration, target: Duration, wait_keyframe: bool) -> Self {
        let first = longest.as_millis() as u64;
        let target_s = target.as_millis().div_ceil(1_000) as u64;
        Self { fragment: fragment.as_millis() as u64, first, target_s, wait_keyframe }
    }
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// No segment can begin with it, and none is open.
    Skip,
    /// It begins a segment; none is open.
    Begin,
    /// It goes into the open segment.
    Add,
    /// The open segment is so many milliseconds long; the frame begins the next one. `is_forced` if that is no keyframe though it
    /// should be one.
    Cut { duration_ms: u64, is_forced: bool },
    /// The open segment is so long, and then there is nothing for a while. The frame is to be shown again.
    Break { duration_ms: u64 },
}

/// Tells where to cut.
#[derive(Debug)]
pub(super) struct Cutter {
    lengths: Lengths,
    /// The target duration in seconds, once it is fixed.
    target_s: Option<u64>,
    open: Option<Open>,
    /// Since when, on the stream's time line, a keyframe is waited for.
    waits_since: Option<u64>,
}

/// The segment that is open, by the stream's time line in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Open {
    begin: u64,
    /// The latest frame.
    last: u64,
    /// How far it was behind the one before it.
    gap: u64,
}

impl Open {
    fn duration(self) -> u64 {
        (self.last + self.gap - self.begin).max(1)
    }
}

impl Cutter {
    pub(super) const fn new(lengths: Lengths) -> Self {
        Self { lengths, target_s: None, open: None, waits_since: None }
    }

    #[cfg(test)]
    const fn target_s(&self) -> Option<u64> {
        self.target_s
    }

    /// Fixes the target duration, once the first segment's length is known, if it is not fixed already.
    pub(super) fn fix_target(&mut self, duration_ms: u64) -> u64 {
        *self.target_s.get_or_insert_with(|| target_duration(duration_ms).max(self.lengths.target_s))
    }

    /// A playlist begins anew, with a target duration of its own.
    pub(super) const fn forget_target(&mut self) {
        self.target_s = None;
    }

    /// Says what becomes of `frame`, of a stream with or without video, whose open segment has so many bytes.
    pub(super) fn step(&mut self, frame: &Frame, has_video: bool, bytes: usize) -> Step {
        let time = frame.timestamp;
        let Some(mut open) = self.open else { return self.begin(frame, has_video) };
        let limit = self.limit();
        let length = time.saturating_sub(open.begin);
        if length > limit {
            // What came before would have ended the segment; so there was nothing.
            return Step::Break { duration_ms: self.close().unwrap_or(1) };
        }
        let gap = time.saturating_sub(open.last);
        let is_place = match frame.track {
            Track::Video => frame.is_keyframe || !self.lengths.wait_keyframe,
            Track::Audio => !has_video,
        };
        let is_due = length + EARLY_MS.min(self.lengths.fragment / 10) >= self.lengths.fragment;
        // The next frame will be about as far off as this one, and then it is too late.
        let is_forced = !(is_place && is_due) && (length + gap.max(open.gap) > limit || bytes >= MAXIMUM_BYTES);
        if length > 0 && (is_place && is_due || is_forced) {
            self.open = Some(Open { begin: time, last: time, gap: gap.max(1) });
            return Step::Cut { duration_ms: length, is_forced };
        }
        if gap > 0 {
            open.gap = gap;
        }
        open.last = open.last.max(time);
        self.open = Some(open);
        Step::Add
    }

    /// Ends the open segment where its last frame ends, and says how many milliseconds it has, if there is one.
    pub(super) fn close(&mut self) -> Option<u64> {
        self.waits_since = None;
        let open = self.open.take()?;
        Some(open.duration().min(self.limit()))
    }

    /// The length in milliseconds that no segment exceeds.
    fn limit(&self) -> u64 {
        self.target_s.map_or(self.lengths.first, |target| target * 1_000 + ROUNDED_MS)
    }

    fn begin(&mut self, frame: &Frame, has_video: bool) -> Step {
        let time = frame.timestamp;
        let waited = time.saturating_sub(*self.waits_since.get_or_insert(time));
        let may_begin = match frame.track {
            Track::Video => frame.is_keyframe,
            Track::Audio => !has_video,
        };
        if !may_begin && waited < self.lengths.first {
            return Step::Skip;
        }
        self.open = Some(Open { begin: time, last: time, gap: 1 });
        Step::Begin
    }
}

#[cfg(test)]
mod tests;
