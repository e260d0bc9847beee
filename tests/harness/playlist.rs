//! A player's view of a media playlist: what RFC 8216 promises from one reload to the next.

use m3u8_rs::{MediaPlaylist, MediaSegment};

/// A playlist as it was read.
#[derive(Debug, Clone)]
pub struct Playlist {
    /// Its parts.
    pub parsed: MediaPlaylist,
    /// Its text.
    pub text: String,
}

/// A segment with what its place in the playlist says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its number.
    pub number: u64,
    /// The number of discontinuities up to it.
    pub discontinuities: u64,
    /// What stands there.
    pub segment: MediaSegment,
}

impl Playlist {
    /// Reads a playlist and checks it by itself.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes())
            .unwrap_or_else(|error| panic!("not a media playlist: {error:?}\n{text}"));
        let playlist = Self { parsed, text: text.to_owned() };
        playlist.check_alone();
        playlist
    }

    /// Its segments.
    pub fn placed(&self) -> Vec<Placed> {
        let mut discontinuities = self.parsed.discontinuity_sequence;
        let segments = self.parsed.segments.iter().zip(self.parsed.media_sequence..);
        let placed = segments.map(|(segment, number)| {
            discontinuities += u64::from(segment.discontinuity);
            Placed { number, discontinuities, segment: segment.clone() }
        });
        placed.collect()
    }

    /// The number behind the last segment.
    pub fn end(&self) -> u64 {
        self.parsed.media_sequence + self.parsed.segments.len() as u64
    }

    /// Checks what must hold whatever there was before.
    #[track_caller]
    fn check_alone(&self) {
        let Self { parsed, text } = self;
        assert!(!parsed.segments.is_empty(), "no segments:\n{text}");
        let mut expected: Option<i64> = None;
        for segment in &parsed.segments {
            assert!(segment.duration.round() as u64 <= parsed.target_duration, "longer than the target:\n{text}");
            let date = segment.program_date_time.as_ref().map(|date| date.timestamp_millis());
            let date = date.unwrap_or_else(|| panic!("a segment has no date:\n{text}"));
            if let Some(end) = expected {
                let lag = date - end;
                assert!(lag >= -100, "dates overlap by {lag} ms:\n{text}");
                assert!(segment.discontinuity || lag <= 100, "a hole of {lag} ms in the dates:\n{text}");
            }
            expected = Some(date + (segment.duration * 1_000.0).round() as i64);
        }
    }

    /// Checks what must hold of a playlist that was read later than `self`.
    #[track_caller]
    pub fn check_next(&self, next: &Self) {
        let texts = format!("\n{}\n{}", self.text, next.text);
        assert_eq!(self.parsed.target_duration, next.parsed.target_duration, "the target duration changes:{texts}");
        assert!(next.parsed.media_sequence >= self.parsed.media_sequence, "numbers go back:{texts}");
        assert!(next.end() >= self.end(), "segments are taken back:{texts}");
        let before = self.placed();
        for placed in next.placed().iter().filter(|placed| placed.number < self.end()) {
            let former = before.iter().find(|former| former.number == placed.number).expect("it was there");
            assert_eq!(placed.discontinuities, former.discontinuities, "{texts}");
            assert_eq!(placed.segment, former.segment, "a segment changes:{texts}");
        }
        if next.parsed.media_sequence > self.parsed.media_sequence {
            let whole: f32 = next.parsed.segments.iter().map(|segment| segment.duration).sum();
            assert!(whole >= 3.0 * next.parsed.target_duration as f32, "too much is removed:{texts}");
        }
    }
}
