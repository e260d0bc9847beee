//! Codecs as MIME types and playlists name them (RFC 6381 and the codecs' own bindings).

use crate::media::codec::AacConfig;

use super::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};

/// The name of a video track's codec. `configuration` was checked when the track was made; what is missing counts as 0.
pub(super) fn video(track: &VideoTrack) -> String {
    let byte = |at: usize| track.configuration.get(at).copied().unwrap_or(0);
    match track.codec {
        VideoCodec::Avc => format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3)),
        VideoCodec::Hevc => hevc(&std::array::from_fn(byte)),
        VideoCodec::Av1 => av1(byte(1), byte(2)),
        // Profile, level, and the bit depth in the upper half of the third byte.
        VideoCodec::Vp9 => format!("vp09.{:02}.{:02}.{:02}", byte(0), byte(1), byte(2) >> 4),
    }
}

/// ISO/IEC 14496-15, E.3: profile, compatibility with its bits reversed, tier and level, constraints without trailing zeros.
fn hevc(record: &[u8; 13]) -> String {
    let space = ["", "A", "B", "C"][usize::from(record[1] >> 6)];
    let tier = if record[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([record[2], record[3], record[4], record[5]]).reverse_bits();
    let constraints = &record[6..12];
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..used].iter().map(|byte| format!(".{byte:X}")).collect();
    format!("hvc1.{space}{}.{compatibility:X}.{tier}{}{constraints}", record[1] & 0x1f, record[12])
}

/// AV1 codec ISO media file format binding, section 5.
fn av1(profile_and_level: u8, flags: u8) -> String {
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", profile_and_level >> 5, profile_and_level & 0x1f)
}

/// The name of an audio track's codec.
pub(super) fn audio(track: &AudioTrack) -> String {
    match track.codec {
        AudioCodec::Aac => {
            let object_type = AacConfig::parse(&track.configuration).map_or(2, |config| config.object_type);
            format!("mp4a.40.{object_type}")
        }
        AudioCodec::Mp3 => "mp4a.40.34".to_owned(),
        AudioCodec::Opus => "opus".to_owned(),
        AudioCodec::Flac => "flac".to_owned(),
        AudioCodec::Ac3 => "ac-3".to_owned(),
        AudioCodec::Eac3 => "ec-3".to_owned(),
    }
}
