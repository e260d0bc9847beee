//! The clip that ships with the program: test picture and tone, H.264 and AAC, a few seconds that loop.

use crate::media::Tag;
use crate::media::class::{Class, classify};
use crate::media::flv::{FlvError, FlvReader};

/// FLV, made with ffmpeg from its own test sources (see assets/README.md).
const FLV: &[u8] = include_bytes!("../../assets/demo.flv");

/// The clip, ready to be sent over and over.
#[derive(Debug)]
pub(super) struct Clip {
    headers: Vec<Tag>,
    frames: Vec<Tag>,
    /// Milliseconds from the first frame of one round to the first frame of the next.
    duration: u32,
}

impl Clip {
    /// Reads the clip.
    pub(super) fn load() -> Result<Self, FlvError> {
        let mut reader = FlvReader::default();
        reader.feed(FLV);
        let (mut headers, mut frames) = (Vec::new(), Vec::new());
        while let Some(tag) = reader.next_tag()? {
            match classify(&tag).0 {
                Class::Header(_) | Class::Metadata | Class::Data => headers.push(tag),
                // The file's end is not the stream's.
                _ if tag.payload.starts_with(AVC_END_OF_SEQUENCE) => {}
                Class::Keyframe | Class::Frame => frames.push(tag),
            }
        }
        let last = frames.iter().map(|tag| tag.timestamp).max().unwrap_or(0);
        // The last video frame lasts as long as the others.
        Ok(Self { headers, frames, duration: last + FRAME_MS })
    }

    /// Metadata and sequence headers: once at the beginning.
    pub(super) fn headers(&self) -> impl Iterator<Item = &Tag> {
        self.headers.iter()
    }

    /// Frames without end, each with the milliseconds since the beginning at which it is due; timestamps are the same
    /// modulo 2^32.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, Tag)> {
        (0_u64..).flat_map(move |round| {
            self.frames.iter().map(move |tag| {
                let due = round * u64::from(self.duration) + u64::from(tag.timestamp);
                (due, Tag { timestamp: due as u32, ..tag.clone() })
            })
        })
    }
}

/// Milliseconds between two video frames of the clip.
const FRAME_MS: u32 = 40;

/// The start of the tag that ends an AVC sequence (FLV specification E.4.3.1).
const AVC_END_OF_SEQUENCE: &[u8] = &[0x17, 2];

#[cfg(test)]
mod tests {
    use crate::media::Kind;

    use super::*;

    #[test]
    fn the_clip_has_headers_and_begins_with_a_keyframe() {
        let clip = Clip::load().unwrap();
        assert_eq!(clip.headers.iter().filter(|tag| tag.kind == Kind::Data).count(), 1);
        assert_eq!(clip.headers.iter().filter(|tag| tag.kind == Kind::Video).count(), 1);
        assert_eq!(clip.headers.iter().filter(|tag| tag.kind == Kind::Audio).count(), 1);
        let first_video = clip.frames.iter().find(|tag| tag.kind == Kind::Video).unwrap();
        assert_eq!(classify(first_video).0, Class::Keyframe);
    }

    #[test]
    fn no_track_ever_goes_back() {
        let clip = Clip::load().unwrap();
        for kind in [Kind::Audio, Kind::Video] {
            let frames = clip.frames().take(clip.frames.len() * 3);
            let times: Vec<u64> = frames.filter(|(_, tag)| tag.kind == kind).map(|(due, _)| due).collect();
            assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
