//! The time line of a stream: one for all its publishers, monotonic for each of its tracks.
//!
//! Owns the mapping from a sender's 32-bit milliseconds to the stream's own 64-bit ones, over wraps, jumps, new publish
//! sessions and pulls that resume a session from another origin. The hub's publisher side calls it for every tag.

use super::Kind;

/// Inside one session, a timestamp this far ahead of the highest one starts the time line anew.
const JUMP_AHEAD_MS: i64 = 10_000;
/// Inside one session, a timestamp this far behind the last one of its track starts the time line anew.
const JUMP_BACK_MS: i64 = 1_000;
/// For how long after a jump tags that belong before it are still mapped as before it.
const STRAGGLER_MS: u64 = 2_000;
/// How far back a resumed session may repeat itself: more than any ring holds. What lies further back is a jump.
const OVERLAP_MS: i64 = 60_000;

/// How the next sender relates to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuation {
    /// The same publish session from another connection: what was already sent is dropped.
    SameSession,
    /// Another publish session: it is placed behind what was sent.
    NewSession,
}

/// Maps a sender's timestamps onto the stream's time line.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The highest timestamp given out, and the wall clock in milliseconds when the last tag came.
    end: Option<End>,
    /// The session in force; none before the first tag of a session.
    session: Option<Session>,
    /// The last timestamp given out for audio, video and data.
    last: [Option<u64>; 3],
    /// Whether a frame has jumped since somebody asked.
    jumped: bool,
}

#[derive(Debug, Clone, Copy)]
struct End {
    highest: u64,
    wall_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    /// The sender's time, unwrapped, plus this is the stream's time.
    offset: i64,
    /// The highest unwrapped time of the sender over audio and video: what new ones are unwrapped against.
    highest: i64,
    /// The last unwrapped time of each track.
    last: [Option<i64>; 3],
    /// Set while a resumed session repeats what was sent: tags up to the last of their track are dropped.
    overlap: [Option<i64>; 3],
    /// The offset before the latest jump, for tags that were under way, and the wall clock of the jump.
    before_jump: Option<(i64, u64)>,
}

impl Timeline {
    /// Tells that a new sender takes over. To be called before its first tag.
    pub fn begin(&mut self, continuation: Continuation) {
        match (continuation, &mut self.session) {
            (Continuation::SameSession, Some(session)) => session.overlap = session.last,
            (Continuation::SameSession, None) => {}
            (Continuation::NewSession, session) => *session = None,
        }
    }

    /// The highest timestamp given out.
    pub fn highest(&self) -> Option<u64> {
        self.end.map(|end| end.highest)
    }

    /// Places an audio or video frame of the sender on the time line, or says by `None` that it was sent before.
    ///
    /// `wall_ms` is a clock in milliseconds that never goes back; only its differences matter.
    pub fn place(&mut self, kind: Kind, timestamp: u32, wall_ms: u64) -> Option<u64> {
        let end = self.end;
        let session = self.session.get_or_insert_with(|| Session::starting_at(timestamp, end, wall_ms));
        let track = track_index(kind);
        let raw = unwrap_near(timestamp, session.highest);
        if session.repeats(track, raw) {
            return None;
        }
        let mut offset = session.offset;
        if session.jumps(track, raw) {
            offset = session.jump(timestamp, raw, end, wall_ms);
            self.jumped |= offset == session.offset;
        }
        if offset == session.offset {
            let raw = unwrap_near(timestamp, session.highest);
            session.highest = session.highest.max(raw);
            session.last[track] = Some(raw);
        }
        Some(self.give_out(track, raw, offset, wall_ms))
    }

    /// Whether the sender's time has jumped since the last call: what follows is to players like a new session.
    pub fn take_jump(&mut self) -> bool {
        std::mem::take(&mut self.jumped)
    }

    /// Places script data or a header: where it says if that is near the media around it, else beside the newest media; at 0 before there is any.
    ///
    /// Encoders stamp these with whatever they like (often 0), so they never move the time line.
    pub fn place_aside(&mut self, kind: Kind, timestamp: u32) -> u64 {
        let Some(end) = self.end else { return 0 };
        let wanted = self.session.map(|session| unwrap_near(timestamp, session.highest).saturating_add(session.offset));
        let time = match wanted.map(u64::try_from) {
            Some(Ok(time)) if fits(time, end) => time,
            _ => end.highest,
        };
        let time = time.max(self.last[track_index(kind)].unwrap_or(0));
        if kind == Kind::Data {
            self.last[track_index(kind)] = Some(time);
        }
        time
    }

    /// Keeps every track monotonic: what would go back stands still.
    fn give_out(&mut self, track: usize, raw: i64, offset: i64, wall_ms: u64) -> u64 {
        let time = u64::try_from(raw.saturating_add(offset)).unwrap_or(0).max(self.last[track].unwrap_or(0));
        self.last[track] = Some(time);
        let highest = self.end.map_or(time, |end| end.highest.max(time));
        self.end = Some(End { highest, wall_ms });
        time
    }
}

impl Session {
    fn starting_at(timestamp: u32, end: Option<End>, wall_ms: u64) -> Self {
        let raw = i64::from(timestamp);
        Self {
            offset: offset_behind(raw, end, wall_ms),
            highest: raw,
            last: [None; 3],
            overlap: [None; 3],
            before_jump: None,
        }
    }

    /// Whether a resumed session sends again what its track has already had. The first new frame ends the overlap.
    fn repeats(&mut self, track: usize, raw: i64) -> bool {
        let repeats = self.overlap[track].is_some_and(|sent| raw <= sent && raw > sent - OVERLAP_MS);
        if !repeats {
            self.overlap[track] = None;
        }
        repeats
    }

    fn jumps(&self, track: usize, raw: i64) -> bool {
        let earliest = match self.last[track] {
            Some(last) => last - JUMP_BACK_MS,
            // The track's first frame: tracks may start apart, or one may have been silent before a jump.
            None => self.highest - JUMP_AHEAD_MS,
        };
        raw > self.highest + JUMP_AHEAD_MS || raw < earliest
    }

    /// Starts anew at a frame that jumped, and returns its offset; the old one for a frame from before an earlier jump.
    fn jump(&mut self, timestamp: u32, raw: i64, end: Option<End>, wall_ms: u64) -> i64 {
        if let (Some((offset, at)), Some(end)) = (self.before_jump, end) {
            let under_way = wall_ms.saturating_sub(at) < STRAGGLER_MS;
            if under_way && u64::try_from(raw.saturating_add(offset)).is_ok_and(|time| fits(time, end)) {
                return offset;
            }
        }
        self.before_jump = Some((self.offset, wall_ms));
        self.highest = i64::from(timestamp);
        self.offset = offset_behind(self.highest, end, wall_ms);
        self.last = [None; 3];
        self.overlap = [None; 3];
        self.offset
    }
}

/// The offset that puts `raw` as far behind the end of the time line as wall time has passed since; 0 on an empty one.
fn offset_behind(raw: i64, end: Option<End>, wall_ms: u64) -> i64 {
    end.map_or(0, |end| {
        let next = end.highest.saturating_add(wall_ms.saturating_sub(end.wall_ms));
        i64::try_from(next).unwrap_or(i64::MAX).saturating_sub(raw)
    })
}

/// Whether `time` lies where a tag beside the newest one may lie.
const fn fits(time: u64, end: End) -> bool {
    time.abs_diff(end.highest) <= JUMP_AHEAD_MS as u64
}

/// The unwrapped time nearest to `reference` whose lower 32 bits are `timestamp`.
fn unwrap_near(timestamp: u32, reference: i64) -> i64 {
    let distance = timestamp.wrapping_sub(reference as u32) as i32;
    reference.saturating_add(i64::from(distance))
}

const fn track_index(kind: Kind) -> usize {
    match kind {
        Kind::Audio => 0,
        Kind::Video => 1,
        Kind::Data => 2,
    }
}

#[cfg(test)]
mod tests;
