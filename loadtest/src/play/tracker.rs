//! What the stamps that one player gets tell: which messages are missing, and how much it should have got.

use rillcast::media::{Kind, Tag};

use crate::media::stamp::Stamp;

/// One sampled player's account.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    audio: Option<u64>,
    video: Option<u64>,
    /// Messages that never came, while it was measured.
    pub(super) missing: u64,
    /// Messages with stamps, while it was measured.
    pub(super) messages: u64,
    /// The stamp of the first measured message, with what was published before that.
    first: Option<Stamp>,
    last: Option<Stamp>,
    /// Bytes of all message bodies, from the beginning.
    bodies: u64,
    /// Bytes off the socket, from about the first message on.
    wire: u64,
}

/// What a player should get, by the stamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    /// Bytes on the wire.
    pub(crate) bytes: f64,
    /// Seconds of stream that came in each second: below 1, players fall behind.
    pub(crate) pace: f64,
}

impl Tracker {
    /// Counts what the socket gave.
    pub(super) fn received(&mut self, bytes: usize) {
        // Handshake and commands are no overhead of media.
        self.wire = if self.bodies == 0 { 0 } else { self.wire } + bytes as u64;
    }

    /// Takes a tag into account; gives its stamp.
    pub(super) fn take(&mut self, tag: &Tag, measuring: bool) -> Option<Stamp> {
        self.bodies += tag.payload.len() as u64;
        let stamp = Stamp::find(&tag.payload)?;
        let last = match tag.kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
            Kind::Data => return None,
        };
        let before = last.replace(stamp.sequence);
        if measuring {
            self.messages += 1;
            // A publisher that begins again counts from 0 again.
            self.missing += before.map_or(0, |before| stamp.sequence.saturating_sub(before + 1));
            let before = stamp.published.saturating_sub(tag.payload.len() as u64);
            self.first.get_or_insert(Stamp { published: before, ..stamp });
            self.last = Some(stamp);
        }
        Some(stamp)
    }

    /// What it should have got in `seconds` of measuring.
    pub(super) fn expectation(&self, seconds: f64) -> Option<Expectation> {
        let (first, last) = (self.first?, self.last?);
        let published = last.published.checked_sub(first.published)? as f64;
        let elapsed = last.sent_at.checked_sub(first.sent_at).filter(|elapsed| *elapsed > 0)? as f64 * 1e-9;
        let overhead = self.wire as f64 / self.bodies.max(1) as f64;
        Some(Expectation { bytes: published * overhead, pace: elapsed / seconds.max(1e-9) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tag(kind: Kind, sequence: u64, sent_at: u64, published: u64) -> Tag {
        let payload = Bytes::copy_from_slice(&Stamp { sequence, sent_at, published }.to_bytes());
        Tag { kind, timestamp: 0, payload }
    }

    #[test]
    fn gaps_are_counted_on_each_track_and_only_while_measured() {
        let mut tracker = Tracker::default();
        tracker.take(&tag(Kind::Video, 0, 0, 0), false);
        tracker.take(&tag(Kind::Video, 5, 0, 0), false);
        assert_eq!(tracker.missing, 0);
        tracker.take(&tag(Kind::Video, 6, 0, 0), true);
        tracker.take(&tag(Kind::Audio, 9, 0, 0), true);
        tracker.take(&tag(Kind::Audio, 10, 0, 0), true);
        tracker.take(&tag(Kind::Video, 9, 0, 0), true);
        assert_eq!((tracker.missing, tracker.messages), (2, 4));
        tracker.take(&tag(Kind::Video, 0, 0, 0), true);
        assert_eq!(tracker.missing, 2);
    }

    #[test]
    fn the_expectation_is_what_the_publisher_sent_with_the_wires_overhead() {
        let mut tracker = Tracker::default();
        let size = crate::media::stamp::BYTES as u64;
        tracker.take(&tag(Kind::Video, 0, 1_000_000_000, 1_000 + size), true);
        tracker.take(&tag(Kind::Video, 1, 3_000_000_000, 5_000), true);
        tracker.received(3 * tracker.bodies as usize / 2);
        let expectation = tracker.expectation(2.0).unwrap();
        assert_eq!(expectation.bytes, 6_000.0);
        assert_eq!(expectation.pace, 1.0);
    }
}
