//! One picture, or one piece of sound, without its FLV wrapping.
//!
//! Owns what muxers take. Packagers and recorders make frames of the hub's packets; what is no frame of the two known tracks
//! becomes nothing here.

use bytes::{Buf, Bytes};

use crate::media::Kind;
use crate::media::packet::Packet;

use super::body::{self, Part, Truncated};
use super::tracks::{AudioCodec, Tracks, VideoCodec};

/// The track of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// A frame: what a decoder takes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its track.
    pub track: Track,
    /// When to decode it: milliseconds on the stream's time line.
    pub timestamp: u64,
    /// Milliseconds from decoding to presentation; 0 for audio.
    pub composition: i32,
    /// Whether decoding can begin here: a keyframe, or any audio.
    pub is_keyframe: bool,
    /// The frame in the form that its codec has in MP4: NAL units with lengths, open bitstream units, a raw AAC block.
    pub data: Bytes,
}

/// A packet that should hold a frame is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The body ends within its header.
    #[error("a tag ends within its header")]
    Truncated,
    /// A NAL unit announces more bytes than the frame has.
    #[error("a NAL unit announces more bytes than its frame has")]
    Unit,
    /// The frame is larger than the container can say.
    #[error("a frame of {0} bytes is too large")]
    TooLarge(usize),
}

impl Frame {
    /// The frame in `packet`, if it holds one of `tracks`.
    ///
    /// Headers, metadata, the ends of sequences, commands, other tracks of a multitrack stream, and frames in another codec
    /// than that of their track are none.
    pub fn from_packet(packet: &Packet, tracks: &Tracks) -> Result<Option<Self>, FrameError> {
        let body = match body::read(packet.kind, &packet.payload) {
            Ok(Some(body)) if body.part == Part::Frame && !body.data.is_empty() => body,
            Ok(_) => return Ok(None),
            Err(Truncated) => return Err(FrameError::Truncated),
        };
        let data = packet.payload.slice_ref(body.data);
        let frame = |track, is_keyframe, data| Self {
            track,
            timestamp: packet.timestamp,
            composition: body.composition,
            is_keyframe,
            data,
        };
        Ok(match packet.kind {
            Kind::Video => tracks
                .video
                .as_ref()
                .filter(|track| VideoCodec::of(body.codec) == Some(track.codec))
                .map(|track| frame(Track::Video, body.is_keyframe, stripped(track.codec, data))),
            Kind::Audio => tracks
                .audio
                .as_ref()
                .filter(|track| AudioCodec::of(body.codec) == Some(track.codec))
                .map(|_| frame(Track::Audio, true, data)),
            Kind::Data => None,
        })
    }

    /// When to present it: milliseconds on the stream's time line.
    pub fn presentation(&self) -> u64 {
        self.timestamp.saturating_add_signed(self.composition.into())
    }
}

/// Without the temporal delimiter, which MP4 leaves out of AV1's samples.
fn stripped(codec: VideoCodec, mut data: Bytes) -> Bytes {
    const TEMPORAL_DELIMITER: &[u8] = &[0x12, 0];
    if codec == VideoCodec::Av1 && data.starts_with(TEMPORAL_DELIMITER) && data.len() > TEMPORAL_DELIMITER.len() {
        data.advance(TEMPORAL_DELIMITER.len());
    }
    data
}

#[cfg(test)]
mod tests;
