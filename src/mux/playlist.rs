//! Playlists of HLS (RFC 8216).
//!
//! Owns their text. A packager says which segments there are and with which numbers; nothing here counts or rounds by itself but
//! where a helper says so.

use std::borrow::Cow;
use std::fmt::Write;

use super::utc::Utc;

/// A media playlist: the segments of one stream.
#[derive(Debug, Clone)]
pub struct MediaPlaylist<'a, S> {
    /// Seconds: no segment is longer when rounded ([`target_duration`]), and it never changes in the life of a playlist.
    pub target_duration: u64,
    /// The number of the first segment.
    pub media_sequence: u64,
    /// How many discontinuities lie before the first segment.
    pub discontinuity_sequence: u64,
    /// Whether each segment can be decoded by itself.
    pub independent_segments: bool,
    /// The segments, oldest first.
    pub segments: S,
    /// Whether no segment will follow.
    pub ended: bool,
    /// Where the names in it are relative to, if not to itself: put before each URI.
    pub prefix: &'a str,
}

/// A segment in a media playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it is.
    pub uri: &'a str,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Whether times, tracks or parameters differ from the segment before.
    pub discontinuity: bool,
    /// When its first frame was, in milliseconds since 1970.
    pub program_date_time: Option<u64>,
    /// Where the initialisation of its fragments is; none for MPEG-TS.
    pub initialisation: Option<&'a str>,
}

/// What `EXT-X-VERSION` says without and with `EXT-X-MAP` (RFC 8216, 7).
const PLAIN_VERSION: u32 = 3;
const MAP_VERSION: u32 = 6;

/// The target duration in seconds that a segment of so many milliseconds needs: rounded to the nearest (RFC 8216, 4.3.3.1), and at least 1.
pub const fn target_duration(longest_ms: u64) -> u64 {
    let rounded = longest_ms.saturating_add(500) / 1_000;
    if rounded == 0 { 1 } else { rounded }
}

impl<'a, S> MediaPlaylist<'_, S>
where
    S: Iterator<Item = Segment<'a>> + Clone,
{
    /// The playlist's text.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(1_024);
        let has_map = self.segments.clone().any(|segment| segment.initialisation.is_some());
        line(&mut out, format_args!("#EXTM3U"));
        line(&mut out, format_args!("#EXT-X-VERSION:{}", if has_map { MAP_VERSION } else { PLAIN_VERSION }));
        line(&mut out, format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration));
        line(&mut out, format_args!("#EXT-X-MEDIA-SEQUENCE:{}", self.media_sequence));
        line(&mut out, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence));
        if self.independent_segments {
            line(&mut out, format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        }
        let mut initialisation = None;
        for segment in self.segments.clone() {
            if segment.discontinuity {
                line(&mut out, format_args!("#EXT-X-DISCONTINUITY"));
            }
            if let Some(map) = segment.initialisation
                && initialisation != Some(map)
            {
                line(&mut out, format_args!("#EXT-X-MAP:URI=\"{}{}\"", safe(self.prefix), safe(map)));
            }
            initialisation = segment.initialisation;
            if let Some(unix_ms) = segment.program_date_time {
                line(&mut out, format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", Utc::from_unix_ms(unix_ms)));
            }
            let (seconds, milliseconds) = (segment.duration_ms / 1_000, segment.duration_ms % 1_000);
            line(&mut out, format_args!("#EXTINF:{seconds}.{milliseconds:03},"));
            line(&mut out, format_args!("{}{}", safe(self.prefix), safe(segment.uri)));
        }
        if self.ended {
            line(&mut out, format_args!("#EXT-X-ENDLIST"));
        }
        out
    }
}

/// A variant in a master playlist: a media playlist, and what a player should know before it asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant<'a> {
    /// Where its media playlist is.
    pub uri: &'a str,
    /// The highest bit rate of its segments, in bits a second.
    pub bandwidth: u64,
    /// The mean bit rate, in bits a second.
    pub average_bandwidth: Option<u64>,
    /// The codecs, as [`super::tracks::Tracks::codecs`] names them.
    pub codecs: Cow<'a, str>,
    /// Width and height in pixels, if there is video whose size is known.
    pub resolution: Option<(u32, u32)>,
}

/// The text of a master playlist.
pub fn master(variants: &[Variant<'_>]) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("#EXTM3U"));
    line(&mut out, format_args!("#EXT-X-VERSION:{PLAIN_VERSION}"));
    for variant in variants {
        let mut attributes = format!("BANDWIDTH={}", variant.bandwidth.max(1));
        if let Some(average) = variant.average_bandwidth {
            let _ = write!(attributes, ",AVERAGE-BANDWIDTH={average}");
        }
        if !variant.codecs.is_empty() {
            let _ = write!(attributes, ",CODECS=\"{}\"", safe(&variant.codecs));
        }
        if let Some((width, height)) = variant.resolution.filter(|(width, height)| *width > 0 && *height > 0) {
            let _ = write!(attributes, ",RESOLUTION={width}x{height}");
        }
        line(&mut out, format_args!("#EXT-X-STREAM-INF:{attributes}"));
        line(&mut out, format_args!("{}", safe(variant.uri)));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// A name that cannot leave its line or its quotes: what could is percent-encoded.
fn safe(text: &str) -> Cow<'_, str> {
    let is_harmful = |byte: u8| byte.is_ascii_control() || matches!(byte, b'"' | b' ');
    if !text.bytes().any(is_harmful) {
        return text.into();
    }
    let encoded = text.chars().fold(String::with_capacity(text.len() + 8), |mut out, character| {
        match u8::try_from(character) {
            Ok(byte) if is_harmful(byte) => {
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(character),
        }
        out
    });
    encoded.into()
}

#[cfg(test)]
mod tests;
