//! Where the media begins in the body of an audio or video tag, and what it is.
//!
//! Owns the whole tag header, legacy FLV and enhanced RTMP alike; `media::class` reads only as much of it as a server needs
//! that passes media through. Of a multitrack body track 0 is read, and nothing else.

use crate::media::Kind;
use crate::media::class::{packet_type, skip_mod_ex};
use crate::media::codec::Codec;

/// What a tag's body holds of track 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body<'a> {
    pub(super) codec: Codec,
    pub(super) part: Part,
    /// Whether it is flagged as a keyframe; never for audio.
    pub(super) is_keyframe: bool,
    /// Milliseconds from decoding to presentation.
    pub(super) composition: i32,
    /// The record, or the frame as its codec defines it.
    pub(super) data: &'a [u8],
}

/// What the data of a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A decoder configuration record.
    Configuration,
    /// A frame.
    Frame,
}

/// A tag's body ends within its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated;

/// Reads a body; `None` if there is no record and no frame of track 0 in it: the end of a sequence, a command, colour information.
pub(super) fn read(kind: Kind, body: &[u8]) -> Result<Option<Body<'_>>, Truncated> {
    let Some((&first, rest)) = body.split_first() else { return Ok(None) };
    match kind {
        Kind::Video if first & 0x80 != 0 => enhanced(kind, first >> 4 & 0b111, first & 0x0f, rest),
        Kind::Video => legacy_video(first, rest),
        Kind::Audio if first >> 4 == 9 => enhanced(kind, 0, first & 0x0f, rest),
        Kind::Audio => legacy_audio(first, rest),
        Kind::Data => Ok(None),
    }
}

const KEYFRAME: u8 = 1;
const COMMAND_FRAME: u8 = 5;

/// FLV specification E.4.3.1.
fn legacy_video(first: u8, rest: &[u8]) -> Result<Option<Body<'_>>, Truncated> {
    let (frame_type, number) = (first >> 4, first & 0x0f);
    let body = |part, composition, data| Body {
        codec: Codec::Video(number),
        part,
        is_keyframe: part == Part::Frame && frame_type == KEYFRAME,
        composition,
        data,
    };
    // Only AVC, and after its manner HEVC and AV1, have a packet type and a composition time.
    if !matches!(number, 7 | 12 | 13) {
        return Ok((frame_type != COMMAND_FRAME).then(|| body(Part::Frame, 0, rest)));
    }
    let (&packet, rest) = rest.split_first().ok_or(Truncated)?;
    let (composition, data) = composition(rest)?;
    Ok(match packet {
        0 => Some(body(Part::Configuration, 0, data)),
        1 if frame_type != COMMAND_FRAME => Some(body(Part::Frame, composition, data)),
        _ => None,
    })
}

/// FLV specification E.4.2.1.
fn legacy_audio(first: u8, rest: &[u8]) -> Result<Option<Body<'_>>, Truncated> {
    let codec = Codec::Audio(first >> 4);
    let body = |part, data| Body { codec, part, is_keyframe: false, composition: 0, data };
    if codec != Codec::AAC {
        return Ok(Some(body(Part::Frame, rest)));
    }
    let (&packet, data) = rest.split_first().ok_or(Truncated)?;
    Ok(Some(body(if packet == 0 { Part::Configuration } else { Part::Frame }, data)))
}

/// The layouts of a multitrack body (enhanced RTMP v2, `AvMultitrackType`).
mod layout {
    pub(super) const ONE_TRACK: u8 = 0;
    pub(super) const MANY_TRACKS_MANY_CODECS: u8 = 2;
}

/// Enhanced RTMP v2, "ExVideoTagHeader" and "ExAudioTagHeader", behind the first byte.
fn enhanced(kind: Kind, frame_type: u8, mut packet: u8, mut rest: &[u8]) -> Result<Option<Body<'_>>, Truncated> {
    use packet_type::*;
    while packet == MOD_EX {
        (rest, packet) = skip_mod_ex(rest).ok_or(Truncated)?;
    }
    if kind == Kind::Video && frame_type == COMMAND_FRAME {
        return Ok(None);
    }
    let multitrack = if kind == Kind::Video { VIDEO_MULTITRACK } else { AUDIO_MULTITRACK };
    let (code, data) = if packet == multitrack {
        let (&head, behind) = rest.split_first().ok_or(Truncated)?;
        packet = head & 0x0f;
        match first_track(head >> 4, behind)? {
            Some(track) => track,
            None => return Ok(None),
        }
    } else {
        rest.split_first_chunk::<4>().ok_or(Truncated)?
    };
    let body = |part, composition, data| Body {
        codec: Codec::FourCc(*code),
        part,
        is_keyframe: part == Part::Frame && kind == Kind::Video && frame_type == KEYFRAME,
        composition,
        data,
    };
    Ok(match packet {
        SEQUENCE_START => Some(body(Part::Configuration, 0, data)),
        CODED_FRAMES if kind == Kind::Video && matches!(code, b"avc1" | b"hvc1" | b"vvc1") => {
            let (composition, data) = composition(data)?;
            Some(body(Part::Frame, composition, data))
        }
        CODED_FRAMES => Some(body(Part::Frame, 0, data)),
        CODED_FRAMES_X if kind == Kind::Video => Some(body(Part::Frame, 0, data)),
        _ => None,
    })
}

/// A track's FourCC, and what follows it.
type NamedTrack<'a> = (&'a [u8; 4], &'a [u8]);

/// Finds track 0 in a multitrack body.
fn first_track(track_layout: u8, mut rest: &[u8]) -> Result<Option<NamedTrack<'_>>, Truncated> {
    let mut shared = None;
    if track_layout != layout::MANY_TRACKS_MANY_CODECS {
        let (code, behind) = rest.split_first_chunk::<4>().ok_or(Truncated)?;
        (shared, rest) = (Some(code), behind);
    }
    while !rest.is_empty() {
        let code = match shared {
            Some(code) => code,
            None => {
                let (code, behind) = rest.split_first_chunk::<4>().ok_or(Truncated)?;
                rest = behind;
                code
            }
        };
        let (&track, behind) = rest.split_first().ok_or(Truncated)?;
        if track_layout == layout::ONE_TRACK {
            return Ok((track == 0).then_some((code, behind)));
        }
        let (&[size_2, size_1, size_0], behind) = behind.split_first_chunk::<3>().ok_or(Truncated)?;
        let size = u32::from_be_bytes([0, size_2, size_1, size_0]) as usize;
        let (data, behind) = behind.split_at_checked(size).ok_or(Truncated)?;
        if track == 0 {
            return Ok(Some((code, data)));
        }
        rest = behind;
    }
    Ok(None)
}

/// A signed number of 24 bits, and what follows it.
fn composition(bytes: &[u8]) -> Result<(i32, &[u8]), Truncated> {
    let (&[high, middle, low], rest) = bytes.split_first_chunk::<3>().ok_or(Truncated)?;
    Ok((i32::from_be_bytes([high, middle, low, 0]) >> 8, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, body: &[u8]) -> Body<'_> {
        read(kind, body).unwrap().unwrap()
    }

    #[test]
    fn a_legacy_composition_time_may_be_negative() {
        let body = frame(Kind::Video, &[0x27, 1, 0xff, 0xff, 0xd8, 9, 9]);
        assert_eq!((body.composition, body.data, body.is_keyframe), (-40, &[9, 9][..], false));
    }

    #[test]
    fn only_some_enhanced_codecs_have_a_composition_time() {
        assert_eq!(frame(Kind::Video, b"\x91hvc1\0\0\x28ab").composition, 40);
        assert_eq!(frame(Kind::Video, b"\x91av01ab").data, b"ab");
        assert_eq!(frame(Kind::Video, b"\x93hvc1ab").data, b"ab");
    }

    #[test]
    fn ends_and_commands_and_colours_are_nothing() {
        for body in [&[0x17, 2, 0, 0, 0][..], &[0x57, 1, 0, 0, 0], b"\x92hvc1", b"\xd1\x00", b"\x94hvc1\x02", b""] {
            assert_eq!(read(Kind::Video, body), Ok(None), "{body:?}");
        }
        assert_eq!(read(Kind::Audio, b"\x94Opus\x01\x02"), Ok(None));
    }

    #[test]
    fn track_0_is_found_wherever_it_stands_in_a_multitrack_body() {
        assert_eq!(frame(Kind::Video, b"\x96\x01avc1\x00\0\0\0ab").data, b"ab");
        assert_eq!(read(Kind::Video, b"\x96\x01avc1\x01\0\0\0ab"), Ok(None));
        let many = b"\x96\x11hvc1\x01\0\0\x05\0\0\0xx\x00\0\0\x05\0\0\x01ab";
        assert_eq!((frame(Kind::Video, many).data, frame(Kind::Video, many).composition), (&b"ab"[..], 1));
        let codecs = b"\x95\x21Opus\x01\0\0\x01xfLaC\x00\0\0\x02ab";
        assert_eq!(
            (frame(Kind::Audio, codecs).data, frame(Kind::Audio, codecs).codec),
            (&b"ab"[..], Codec::FourCc(*b"fLaC"))
        );
    }

    #[test]
    fn a_track_that_announces_more_than_there_is_is_truncated() {
        assert_eq!(read(Kind::Audio, b"\x95\x11Opus\x00\xff\xff\xffab"), Err(Truncated));
        assert_eq!(read(Kind::Video, &[0x17, 1, 0]), Err(Truncated));
        assert_eq!(read(Kind::Audio, &[0xaf]), Err(Truncated));
    }

    #[test]
    fn mod_ex_prefixes_are_skipped() {
        assert_eq!(frame(Kind::Video, b"\x97\x02\0\0\0\x01avc1\0\0\0ab").data, b"ab");
    }
}
