//! A stream as a script: headers, and for each track messages that repeat at a cadence.
//!
//! Owns when each message is due, and the stamping. Publishers and the floor play scripts; where time comes from and where
//! messages go is theirs.

use bytes::Bytes;
use rillcast::media::{Kind, Tag};

use super::stamp::{self, Stamp};

const NANOSECONDS: u128 = 1_000_000_000;

/// A message body with room for a stamp.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where the stamp goes, if the message has room for one.
    pub(crate) stamp_at: Option<usize>,
}

/// When the messages of a track are due.
#[derive(Debug, Clone)]
pub(crate) enum Cadence {
    /// `count` messages in `seconds`, evenly.
    Even {
        /// Messages.
        count: u64,
        /// Seconds.
        seconds: u64,
    },
    /// As recorded, over and over.
    Recorded {
        /// Milliseconds from the beginning of a round, in order.
        offsets: Vec<u64>,
        /// Milliseconds of a round.
        period: u64,
    },
}

impl Cadence {
    /// Nanoseconds from the beginning to message `number`.
    fn due(&self, number: u64) -> u64 {
        match self {
            Self::Even { count, seconds } => {
                let count = u128::from((*count).max(1));
                (u128::from(number) * u128::from(*seconds) * NANOSECONDS / count) as u64
            }
            Self::Recorded { offsets, period } => {
                let length = offsets.len().max(1) as u64;
                let offset = offsets.get((number % length) as usize).copied().unwrap_or(0);
                (number / length * period + offset) * 1_000_000
            }
        }
    }
}

/// One track: its messages repeat, its cadence goes on.
#[derive(Debug, Clone)]
pub(crate) struct TrackScript {
    /// Audio, video or data.
    pub(crate) kind: Kind,
    /// At least one.
    pub(crate) bodies: Vec<Body>,
    /// When they are due.
    pub(crate) cadence: Cadence,
}

/// A stream without end.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Metadata and sequence headers.
    pub(crate) headers: Vec<Tag>,
    /// The tracks; of messages due at the same time, the first track's goes first.
    pub(crate) tracks: Vec<TrackScript>,
}

/// How far a stream has come in its script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    next: Vec<u64>,
    published: u64,
}

impl Script {
    /// The beginning.
    pub(crate) fn begin(&self) -> Position {
        Position { next: vec![0; self.tracks.len()], published: 0 }
    }

    /// Bits of message bodies a second, over the long run.
    pub(crate) fn bits_per_second(&self) -> f64 {
        self.tracks.iter().map(TrackScript::bits_per_second).sum()
    }

    /// Nanoseconds from the beginning to the next message.
    pub(crate) fn next_due(&self, position: &Position) -> u64 {
        self.next(position).map_or(u64::MAX, |(_, due)| due)
    }

    /// Takes the next message, stamped with `now` (nanoseconds since 1970).
    pub(crate) fn take(&self, position: &mut Position, now: u64) -> Option<Tag> {
        let (index, due) = self.next(position)?;
        let track = self.tracks.get(index)?;
        let next = position.next.get_mut(index)?;
        let sequence = *next;
        *next += 1;
        let body = track.bodies.get((sequence % track.bodies.len().max(1) as u64) as usize)?;
        position.published += body.bytes.len() as u64;
        let mut bytes = body.bytes.clone();
        let place = body.stamp_at.and_then(|at| bytes.get_mut(at..at + stamp::BYTES));
        if let Some(place) = place {
            place.copy_from_slice(&Stamp { sequence, sent_at: now, published: position.published }.to_bytes());
        }
        let timestamp = (due / 1_000_000) as u32;
        Some(Tag { kind: track.kind, timestamp, payload: Bytes::from(bytes) })
    }

    fn next(&self, position: &Position) -> Option<(usize, u64)> {
        let due = |(track, number): (&TrackScript, &u64)| track.cadence.due(*number);
        self.tracks.iter().zip(&position.next).map(due).enumerate().min_by_key(|(_, due)| *due)
    }
}

impl TrackScript {
    fn bits_per_second(&self) -> f64 {
        let bits: usize = self.bodies.iter().map(|body| body.bytes.len() * 8).sum();
        let messages = self.bodies.len().max(1) as f64;
        let per_second = match &self.cadence {
            Cadence::Even { count, seconds } => *count as f64 / (*seconds).max(1) as f64,
            Cadence::Recorded { period, .. } => messages * 1000.0 / (*period).max(1) as f64,
        };
        bits as f64 / messages * per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(size: usize) -> Body {
        Body { bytes: vec![0; size], stamp_at: Some(0) }
    }

    fn script() -> Script {
        let video = Cadence::Even { count: 30, seconds: 1 };
        let audio = Cadence::Recorded { offsets: vec![0, 20], period: 50 };
        Script {
            headers: Vec::new(),
            tracks: vec![
                TrackScript { kind: Kind::Video, bodies: vec![body(100)], cadence: video },
                TrackScript { kind: Kind::Audio, bodies: vec![body(70), body(80)], cadence: audio },
            ],
        }
    }

    #[test]
    fn messages_come_in_the_order_in_which_they_are_due() {
        let script = script();
        let mut position = script.begin();
        let taken: Vec<_> =
            (0..7).map(|_| script.take(&mut position, 5).map(|tag| (tag.kind, tag.timestamp)).unwrap()).collect();
        let (video, audio) = (Kind::Video, Kind::Audio);
        let expected = [(video, 0), (audio, 0), (audio, 20), (video, 33), (audio, 50), (video, 66), (audio, 70)];
        assert_eq!(taken, expected);
    }

    #[test]
    fn an_even_cadence_never_drifts() {
        let cadence = Cadence::Even { count: 44_100, seconds: 1_024 };
        assert_eq!(cadence.due(44_100 * 1_000), 1_024_000_000_000_000);
    }

    #[test]
    fn stamps_count_each_track_and_all_bytes() {
        let script = script();
        let mut position = script.begin();
        let stamps: Vec<_> = (0..3)
            .map(|_| Stamp::find(&script.take(&mut position, 9).unwrap().payload).unwrap())
            .map(|stamp| (stamp.sequence, stamp.published))
            .collect();
        assert_eq!(stamps, [(0, 100), (0, 170), (1, 250)]);
    }
}
