//! What a live stream is made of: tags, packets, codec records, names and the time line.
//!
//! Owns the media vocabulary of the whole crate. Every layer above calls it; it calls nobody, does no input or output,
//! reads no clock and knows no runtime: time comes in as an argument.

pub mod class;
pub mod codec;
pub mod flv;
pub mod metadata;
pub mod packet;
pub mod stream_key;
pub mod timeline;

use bytes::Bytes;

/// Which track of a stream a tag belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Audio data (RTMP message type and FLV tag type 8).
    Audio,
    /// Video data (RTMP message type and FLV tag type 9).
    Video,
    /// Script data in AMF0, such as `onMetaData` (RTMP message type and FLV tag type 18).
    Data,
}

impl Kind {
    /// The type byte that RTMP messages and FLV tags share (FLV specification 10.1, E.4.1).
    pub const fn type_id(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Data => 18,
        }
    }

    /// The kind behind a type byte, if it is one of the three.
    pub const fn from_type_id(type_id: u8) -> Option<Self> {
        match type_id {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Data),
            _ => None,
        }
    }
}

/// One unit of media as it stands on a wire: the body of an FLV tag, or of an RTMP audio, video or data message.
///
/// A data tag's payload starts with its AMF0 name (`onMetaData`); RTMP's `@setDataFrame` wrapper is already gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The track.
    pub kind: Kind,
    /// Milliseconds on the sender's clock, wrapping at 2^32.
    pub timestamp: u32,
    /// The body, from the codec byte (audio, video) or the AMF0 name (data) on.
    pub payload: Bytes,
}
