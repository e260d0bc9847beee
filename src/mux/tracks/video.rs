//! A video track: its codec, its record, its size.

use std::fmt;

use bytes::Bytes;

use crate::media::codec::Codec;

use super::{av1, avc, hevc, names, vp9};

/// A video codec that can be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
    /// VP9.
    Vp9,
}

impl VideoCodec {
    /// The codec behind a name of FLV or enhanced RTMP, if it can be carried.
    pub const fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Video(7) => Some(Self::Avc),
            Codec::Video(12) => Some(Self::Hevc),
            Codec::Video(13) => Some(Self::Av1),
            Codec::FourCc(code) => match &code {
                b"avc1" => Some(Self::Avc),
                b"hvc1" => Some(Self::Hevc),
                b"av01" => Some(Self::Av1),
                b"vp09" => Some(Self::Vp9),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
        })
    }
}

/// A video track's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    /// The codec.
    pub codec: VideoCodec,
    /// The decoder configuration record, as MP4 has it in `avcC`, `hvcC`, `av1C` and (without its version and flags) `vpcC`.
    pub configuration: Bytes,
    /// Pixels; 0 while unknown.
    pub width: u32,
    /// Pixels; 0 while unknown.
    pub height: u32,
}

impl VideoTrack {
    /// Reads a record, and from it the size as far as it tells.
    ///
    /// # Errors
    ///
    /// What is wrong with the record.
    pub fn new(codec: VideoCodec, record: Bytes) -> Result<Self, &'static str> {
        let (configuration, size) = match codec {
            VideoCodec::Avc => {
                let size = avc::size_in_record(&record)?;
                (record, Some(size))
            }
            VideoCodec::Hevc => {
                let size = hevc::size_in_record(&record)?;
                (record, Some(size))
            }
            VideoCodec::Av1 => {
                let size = av1::size_in_record(&record)?;
                (record, size)
            }
            VideoCodec::Vp9 => (vp9::bare_record(record)?, None),
        };
        let (width, height) = size.unwrap_or((0, 0));
        Ok(Self { codec, configuration, width, height })
    }

    /// `CODECS` of this track (RFC 6381).
    pub fn codec_string(&self) -> String {
        names::video(self)
    }

    /// How many bytes the length before each NAL unit has; 4 where there are none.
    pub fn nal_length_bytes(&self) -> usize {
        let byte = match self.codec {
            VideoCodec::Avc => self.configuration.get(4),
            VideoCodec::Hevc => self.configuration.get(21),
            VideoCodec::Av1 | VideoCodec::Vp9 => None,
        };
        byte.map_or(4, |byte| usize::from(byte & 0b11) + 1)
    }

    /// Takes the size from a keyframe where the record does not have it; returns whether it has changed.
    pub(super) fn take_size_of(&mut self, keyframe: &[u8]) -> bool {
        let size = match self.codec {
            VideoCodec::Vp9 => vp9::size_in_keyframe(keyframe),
            VideoCodec::Av1 if self.width == 0 => av1::size_in_units(keyframe),
            _ => None,
        };
        let Some(size) = size else { return false };
        let before = (self.width, self.height);
        (self.width, self.height) = size;
        before != size
    }

    /// The same record came again: what keyframes told of the size still holds.
    pub(super) fn keep_size_of(&mut self, before: &Self) {
        if self.width == 0 {
            (self.width, self.height) = (before.width, before.height);
        }
    }
}
