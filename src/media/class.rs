//! What a tag is to a server that never decodes: header, keyframe, frame or metadata.
//!
//! Owns the classification of audio, video and data bodies, legacy FLV and enhanced RTMP alike. The hub calls it once a
//! tag; it reads the first few bytes and nothing else, and takes whatever it does not know for an ordinary frame.

use super::codec::Codec;
use super::{Kind, Tag};

/// Where a header belongs: a later one in the same slot replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderSlot {
    /// The video track's headers sort before the audio track's.
    pub track: Track,
    /// What the header tells.
    pub purpose: Purpose,
    /// The track's id in a multitrack stream, 0 otherwise.
    pub track_id: u8,
}

impl HeaderSlot {
    /// Whether it is the configuration of the main video or audio track, without which that track cannot be decoded.
    pub fn is_main_sequence(self) -> bool {
        self.purpose == Purpose::Sequence && self.track_id == 0
    }
}

/// The tracks that have headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The decoder's configuration record.
    Sequence,
    /// Colour or channel layout (enhanced RTMP `Metadata`, `MultichannelConfig`).
    Supplement,
}

/// What a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A sequence header, needed by every player before anything else of its track.
    Header(HeaderSlot),
    /// A video frame at which decoding can begin.
    Keyframe,
    /// Any other audio or video.
    Frame,
    /// `onMetaData`.
    Metadata,
    /// Any other data message.
    Data,
}

/// Tells what `tag` is, and its codec if it is audio or video that names one. Of a multitrack stream only track 0 has a codec
/// and keyframes here: players that know one track play that one.
pub fn classify(tag: &Tag) -> (Class, Option<Codec>) {
    match tag.kind {
        Kind::Video => video(&tag.payload),
        Kind::Audio => audio(&tag.payload),
        Kind::Data if tag.payload.starts_with(ON_METADATA) => (Class::Metadata, None),
        Kind::Data => (Class::Data, None),
    }
}

/// The AMF0 string `onMetaData` (marker, length, text).
const ON_METADATA: &[u8] = b"\x02\x00\x0aonMetaData";

/// FLV specification E.4.3.1, and enhanced RTMP v2 "Extended VideoTagHeader" when the top bit is set.
fn video(body: &[u8]) -> (Class, Option<Codec>) {
    let Some(&first) = body.first() else { return (Class::Frame, None) };
    let frame_type = first >> 4 & 0b111;
    // Frame type 5 is a command or info frame: no picture, and nothing a player could start at.
    let frame = if frame_type == 1 { Class::Keyframe } else { Class::Frame };
    if first & 0x80 != 0 {
        return enhanced(Track::Video, first & 0x0f, &body[1..], frame);
    }
    let codec = Codec::Video(first & 0x0f);
    let class = match (first & 0x0f, body.get(1)) {
        (7 | 12 | 13, Some(0)) => header(Track::Video, Purpose::Sequence, 0),
        // The end of a sequence: often flagged as a keyframe, but there is no picture in it.
        (7 | 12 | 13, Some(2)) => Class::Frame,
        _ => frame,
    };
    (class, Some(codec))
}

/// FLV specification E.4.2.1, and enhanced RTMP v2 "Extended AudioTagHeader" for sound format 9.
fn audio(body: &[u8]) -> (Class, Option<Codec>) {
    let Some(&first) = body.first() else { return (Class::Frame, None) };
    match first >> 4 {
        9 => enhanced(Track::Audio, first & 0x0f, &body[1..], Class::Frame),
        10 if body.get(1) == Some(&0) => (header(Track::Audio, Purpose::Sequence, 0), Some(Codec::AAC)),
        format => (Class::Frame, Some(Codec::Audio(format))),
    }
}

/// The packet types that both extended tag headers number alike.
pub(crate) mod packet_type {
    pub(crate) const SEQUENCE_START: u8 = 0;
    pub(crate) const CODED_FRAMES: u8 = 1;
    pub(crate) const SEQUENCE_END: u8 = 2;
    pub(crate) const CODED_FRAMES_X: u8 = 3;
    pub(crate) const SUPPLEMENT: u8 = 4;
    pub(crate) const MPEG2TS_SEQUENCE_START: u8 = 5;
    pub(crate) const VIDEO_MULTITRACK: u8 = 6;
    pub(crate) const AUDIO_MULTITRACK: u8 = 5;
    pub(crate) const MOD_EX: u8 = 7;
}

/// Reads the extended header behind its first byte: `ModEx` prefixes, the multitrack byte, the FourCC, the track id.
fn enhanced(track: Track, mut packet: u8, mut rest: &[u8], frame: Class) -> (Class, Option<Codec>) {
    use packet_type::*;
    while packet == MOD_EX {
        let Some((behind, next)) = skip_mod_ex(rest) else { return (Class::Frame, None) };
        (rest, packet) = (behind, next);
    }
    let multitrack = packet
        == match track {
            Track::Video => VIDEO_MULTITRACK,
            Track::Audio => AUDIO_MULTITRACK,
        };
    let mut track_id = 0;
    if multitrack {
        let Some((&layout, behind)) = rest.split_first() else { return (Class::Frame, None) };
        packet = layout & 0x0f;
        rest = behind;
        track_id = rest.get(4).copied().unwrap_or(0);
    }
    let codec = rest.first_chunk::<4>().map(|code| Codec::FourCc(*code));
    let class = match packet {
        SEQUENCE_START => header(track, Purpose::Sequence, track_id),
        MPEG2TS_SEQUENCE_START if track == Track::Video => header(track, Purpose::Sequence, track_id),
        SUPPLEMENT => header(track, Purpose::Supplement, track_id),
        SEQUENCE_END => Class::Frame,
        _ if track_id != 0 => Class::Frame,
        _ => frame,
    };
    (class, codec.filter(|_| track_id == 0))
}

/// Skips one `ModEx` prefix (size minus one in one byte, or 255 and then in two; the data; type and next packet type).
pub(crate) fn skip_mod_ex(rest: &[u8]) -> Option<(&[u8], u8)> {
    let (&short, rest) = rest.split_first()?;
    let (size, rest) = match short {
        255 => {
            let (long, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)) + 1, rest)
        }
        short => (usize::from(short) + 1, rest),
    };
    let (&next, rest) = rest.get(size..)?.split_first()?;
    Some((rest, next & 0x0f))
}

const fn header(track: Track, purpose: Purpose, track_id: u8) -> Class {
    Class::Header(HeaderSlot { track, purpose, track_id })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn class_of(kind: Kind, payload: &[u8]) -> (Class, Option<Codec>) {
        classify(&Tag { kind, timestamp: 0, payload: Bytes::copy_from_slice(payload) })
    }

    fn slot(track: Track, purpose: Purpose, track_id: u8) -> Class {
        Class::Header(HeaderSlot { track, purpose, track_id })
    }

    #[test]
    fn legacy_avc_is_header_keyframe_frame_or_end() {
        let avc = Some(Codec::AVC);
        assert_eq!(class_of(Kind::Video, &[0x17, 0, 0, 0, 0, 1]), (slot(Track::Video, Purpose::Sequence, 0), avc));
        assert_eq!(class_of(Kind::Video, &[0x17, 1, 0, 0, 0]), (Class::Keyframe, avc));
        assert_eq!(class_of(Kind::Video, &[0x27, 1, 0, 0, 0]), (Class::Frame, avc));
        assert_eq!(class_of(Kind::Video, &[0x17, 2, 0, 0, 0]), (Class::Frame, avc));
        assert_eq!(class_of(Kind::Video, &[0x57, 0]).0, slot(Track::Video, Purpose::Sequence, 0));
    }

    #[test]
    fn aac_headers_are_told_from_frames_and_other_formats_have_none() {
        assert_eq!(class_of(Kind::Audio, &[0xaf, 0, 0x12, 0x10]).0, slot(Track::Audio, Purpose::Sequence, 0));
        assert_eq!(class_of(Kind::Audio, &[0xaf, 1, 0x21]), (Class::Frame, Some(Codec::AAC)));
        assert_eq!(class_of(Kind::Audio, &[0x2f, 0]), (Class::Frame, Some(Codec::Audio(2))));
    }

    #[test]
    fn enhanced_video_is_classified_by_packet_type_and_frame_type() {
        let hevc = Some(Codec::FourCc(*b"hvc1"));
        assert_eq!(class_of(Kind::Video, b"\x90hvc1\x01"), (slot(Track::Video, Purpose::Sequence, 0), hevc));
        assert_eq!(class_of(Kind::Video, b"\x91hvc1\0\0\0"), (Class::Keyframe, hevc));
        assert_eq!(class_of(Kind::Video, b"\x93hvc1"), (Class::Keyframe, hevc));
        assert_eq!(class_of(Kind::Video, b"\xa1hvc1\0\0\0"), (Class::Frame, hevc));
        assert_eq!(class_of(Kind::Video, b"\x92hvc1"), (Class::Frame, hevc));
        assert_eq!(class_of(Kind::Video, b"\xd4hvc1").0, slot(Track::Video, Purpose::Supplement, 0));
    }

    #[test]
    fn enhanced_audio_is_classified_by_packet_type() {
        let opus = Some(Codec::FourCc(*b"Opus"));
        assert_eq!(class_of(Kind::Audio, b"\x90OpusOpusHead"), (slot(Track::Audio, Purpose::Sequence, 0), opus));
        assert_eq!(class_of(Kind::Audio, b"\x91Opus\xfc"), (Class::Frame, opus));
        assert_eq!(class_of(Kind::Audio, b"\x94Opus\0\x02").0, slot(Track::Audio, Purpose::Supplement, 0));
    }

    #[test]
    fn multitrack_headers_have_a_slot_each() {
        let first = class_of(Kind::Video, b"\x96\x00avc1\x00\x01").0;
        let second = class_of(Kind::Video, b"\x96\x00avc1\x01\x01").0;
        assert_eq!(first, slot(Track::Video, Purpose::Sequence, 0));
        assert_eq!(second, slot(Track::Video, Purpose::Sequence, 1));
        assert_eq!(class_of(Kind::Video, b"\x96\x01avc1\x00").0, Class::Keyframe);
        assert_eq!(class_of(Kind::Video, b"\x96\x01avc1\x01"), (Class::Frame, None));
    }

    #[test]
    fn mod_ex_prefixes_are_skipped() {
        let nanoseconds = b"\x97\x02\0\0\0\x01avc1\0\0\0";
        assert_eq!(class_of(Kind::Video, nanoseconds), (Class::Keyframe, Some(Codec::FourCc(*b"avc1"))));
        let mut long = vec![0x97, 255, 1, 0];
        long.extend([0; 257]);
        long.extend(b"\x00hvc1");
        assert_eq!(class_of(Kind::Video, &long).0, slot(Track::Video, Purpose::Sequence, 0));
    }

    #[test]
    fn metadata_is_told_from_other_data() {
        assert_eq!(class_of(Kind::Data, b"\x02\x00\x0aonMetaData\x08").0, Class::Metadata);
        assert_eq!(class_of(Kind::Data, b"\x02\x00\x0aonCuePoint\x03").0, Class::Data);
    }

    proptest! {
        #[test]
        fn no_bytes_can_harm_it(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            for kind in [Kind::Audio, Kind::Video, Kind::Data] {
                class_of(kind, &payload);
            }
        }
    }
}
