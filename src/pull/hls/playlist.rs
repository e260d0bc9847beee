//! What an edge reads in a playlist: as little as it needs.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// The longest target duration that is believed: what is kept for half of it is not kept for ever.
const LONGEST_TARGET: Duration = Duration::from_secs(60);

/// What every playlist begins with (RFC 8216, 4.3.1.1).
const BEGINS: &str = "#EXTM3U";

/// The parts of a playlist that matter to an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// The target duration; `None` for a playlist of playlists.
    pub(super) target: Option<Duration>,
    /// How long all its segments last.
    pub(super) duration: Duration,
    /// The number of the first segment.
    pub(super) begin: u64,
    /// The number behind that of the last segment. Higher is newer, where numbers follow the clock.
    pub(super) end: u64,
}

impl Summary {
    /// Reads a playlist; `None` if it is none.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}');
        if !text.starts_with(BEGINS) {
            return None;
        }
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse::<u64>().ok();
        let segments = || text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        let seconds = |segment: &str| segment.split(',').next()?.trim().parse::<f64>().ok();
        let duration = segments().filter_map(seconds).filter(|seconds| *seconds > 0.0).sum();
        let begin = value("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0);
        Some(Self {
            target: value("#EXT-X-TARGETDURATION:").map(|seconds| Duration::from_secs(seconds).min(LONGEST_TARGET)),
            duration: Duration::try_from_secs_f64(duration).unwrap_or(Duration::MAX),
            begin,
            end: begin.saturating_add(segments().count() as u64),
        })
    }

    /// Whether players of the playlist `former` can go on in this one. Where it does not join on, they go to one target duration
    /// before its end, and wait for ever where that is before its beginning.
    pub(super) fn can_follow(&self, former: &Self) -> bool {
        self.begin <= former.end || self.target.is_none_or(|target| self.duration >= target)
    }
}

/// An entity tag of bytes that came without one.
pub(super) fn etag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_and_end_are_read_from_a_media_playlist() {
        let text = "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXTINF:4,\r\na.ts\r\n#EXTINF:4,\r\nb.ts\r\n";
        let (target, duration) = (Some(Duration::from_secs(4)), Duration::from_secs(8));
        assert_eq!(Summary::of(text), Some(Summary { target, duration, begin: 7, end: 9 }));
    }

    #[test]
    fn a_playlist_of_playlists_has_no_target() {
        assert_eq!(
            Summary::of("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n"),
            Some(Summary { target: None, duration: Duration::ZERO, begin: 0, end: 0 })
        );
    }

    #[test]
    fn what_is_no_playlist_is_none() {
        for text in ["", "<html>", "EXTM3U", " #EXTM3U"] {
            assert_eq!(Summary::of(text), None, "{text}");
        }
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        for length in ["1e300", "-5", "inf", "nan", "", "1"] {
            let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:99999999\n#EXT-X-MEDIA-SEQUENCE:{}\n", u64::MAX);
            let summary = Summary::of(&format!("{head}#EXTINF:{length},\na\n")).unwrap();
            assert_eq!((summary.target, summary.begin, summary.end), (Some(LONGEST_TARGET), u64::MAX, u64::MAX));
        }
    }

    #[test]
    fn a_playlist_that_does_not_join_on_is_followed_once_it_lasts_a_target_duration() {
        let playlist = |begin: u64, segments: usize| {
            let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{begin}\n");
            Summary::of(&(head + &"#EXTINF:1.000,\na.ts\n".repeat(segments))).unwrap()
        };
        let former = playlist(10, 5);
        assert!(playlist(14, 1).can_follow(&former), "it goes on");
        assert!(playlist(15, 1).can_follow(&former), "the next segment");
        assert!(!playlist(16, 1).can_follow(&former), "a gap, and too short");
        assert!(playlist(16, 2).can_follow(&former));
        assert!(playlist(0, 1).can_follow(&former), "it has begun to count again");
    }
}
