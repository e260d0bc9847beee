//! Synthetic H.264 and AAC whose every frame carries its publisher's session and a running number, so that a player's
//! recording shows exactly what is missing.

use bytes::Bytes;
use rillcast::media::{Kind, Tag};

/// H.264 in the video tag's low nibble; the high nibble is the frame type (FLV specification E.4.3.1).
const AVC_KEYFRAME: u8 = 0x17;
const AVC_INTER_FRAME: u8 = 0x27;
/// AAC, 44 kHz, 16 bit, stereo (FLV specification E.4.2.1).
const AAC: u8 = 0xaf;
const SEQUENCE_HEADER: u8 = 0;
const RAW: u8 = 1;

const VIDEO_PREFIX: usize = 10;
const AUDIO_PREFIX: usize = 2;

/// One numbered frame as a player got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which publisher sent it.
    pub session: u32,
    /// Its place among all frames of that publisher, over both tracks.
    pub number: u32,
    /// Its track.
    pub kind: Kind,
    /// Whether it is a video keyframe.
    pub key: bool,
    /// The timestamp it arrived with.
    pub timestamp: u32,
}

impl Frame {
    /// The numbered frame in a tag; `None` for headers and metadata.
    pub fn of(tag: &Tag) -> Option<Self> {
        let (prefix, key) = match (tag.kind, tag.payload.first()?, tag.payload.get(1)?) {
            (Kind::Video, &AVC_KEYFRAME, &RAW) => (VIDEO_PREFIX, true),
            (Kind::Video, &AVC_INTER_FRAME, &RAW) => (VIDEO_PREFIX, false),
            (Kind::Audio, &AAC, &RAW) => (AUDIO_PREFIX, false),
            _ => return None,
        };
        let word = |at: usize| Some(u32::from_be_bytes(tag.payload.get(at..at + 4)?.try_into().ok()?));
        let (session, number) = (word(prefix)?, word(prefix + 4)?);
        Some(Self { session, number, kind: tag.kind, key, timestamp: tag.timestamp })
    }
}

/// A video frame's message body of `size` bytes or a little more: one NAL unit that holds the numbers.
pub fn video_frame(session: u32, number: u32, key: bool, size: usize) -> Bytes {
    let nal_size = size.max(16) as u32;
    let mut body = vec![if key { AVC_KEYFRAME } else { AVC_INTER_FRAME }, RAW, 0, 0, 0];
    body.extend(nal_size.to_be_bytes());
    body.push(if key { 0x65 } else { 0x41 });
    append_numbers(&mut body, session, number, 9 + nal_size as usize);
    body.into()
}

/// An audio frame's message body of `size` bytes or a little more.
pub fn audio_frame(session: u32, number: u32, size: usize) -> Bytes {
    let mut body = vec![AAC, RAW];
    append_numbers(&mut body, session, number, size);
    body.into()
}

fn append_numbers(body: &mut Vec<u8>, session: u32, number: u32, size: usize) {
    body.extend(session.to_be_bytes());
    body.extend(number.to_be_bytes());
    body.resize(size.max(body.len()), 0x55);
}

/// The video sequence header: an AVCDecoderConfigurationRecord of 320x192, in which the session follows what the SPS says.
pub fn video_header(session: u32) -> Bytes {
    let mut body = vec![AVC_KEYFRAME, SEQUENCE_HEADER, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 12];
    body.extend([0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x06, 0x64]);
    body.extend(session.to_be_bytes());
    body.extend([1, 0, 4, 0x68, 0xce, 0x3c, 0x80]);
    body.into()
}

/// The audio sequence header: AAC-LC, 44.1 kHz, stereo.
pub fn audio_header() -> Bytes {
    Bytes::from_static(&[AAC, SEQUENCE_HEADER, 0x12, 0x10])
}

/// Whether a tag is an audio or video sequence header.
pub fn is_sequence_header(tag: &Tag) -> bool {
    match tag.kind {
        Kind::Audio => tag.payload.first() == Some(&AAC) && tag.payload.get(1) == Some(&SEQUENCE_HEADER),
        Kind::Video => tag.payload.first() == Some(&AVC_KEYFRAME) && tag.payload.get(1) == Some(&SEQUENCE_HEADER),
        Kind::Data => false,
    }
}

/// The body of an `onMetaData` message, without RTMP's `@setDataFrame`.
pub fn metadata(session: u32) -> Bytes {
    const STRING: u8 = 2;
    const ECMA_ARRAY: u8 = 8;
    const END: [u8; 3] = [0, 0, 9];
    let properties = [("width", 320.0), ("height", 180.0), ("x-session", f64::from(session))];
    let name = |body: &mut Vec<u8>, name: &str| {
        body.extend((name.len() as u16).to_be_bytes());
        body.extend(name.as_bytes());
    };
    let mut body = vec![STRING];
    name(&mut body, "onMetaData");
    body.push(ECMA_ARRAY);
    body.extend((properties.len() as u32).to_be_bytes());
    for (key, value) in properties {
        name(&mut body, key);
        body.push(0);
        body.extend(value.to_be_bytes());
    }
    body.extend(END);
    body.into()
}
