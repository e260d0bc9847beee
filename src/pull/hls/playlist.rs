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
        let segments = text.lines().filter(|line| line.starts_with("#EXTINF:")).count() as u64;
        Some(Self {
            target: value("#EXT-X-TARGETDURATION:").map(|seconds| Duration::from_secs(seconds).min(LONGEST_TARGET)),
            end: value("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0).saturating_add(segments),
        })
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
        assert_eq!(Summary::of(text), Some(Summary { target: Some(Duration::from_secs(4)), end: 9 }));
    }

    #[test]
    fn a_playlist_of_playlists_has_no_target() {
        assert_eq!(
            Summary::of("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n"),
            Some(Summary { target: None, end: 0 })
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
        let text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:99999999\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:1,\na\n", u64::MAX);
        assert_eq!(Summary::of(&text), Some(Summary { target: Some(LONGEST_TARGET), end: u64::MAX }));
    }
}
