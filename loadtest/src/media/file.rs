//! A FLV file as a script, looped and stamped.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rillcast::media::class::{Class, classify};
use rillcast::media::codec::Codec;
use rillcast::media::flv::FlvReader;
use rillcast::media::{Kind, Tag};

use super::script::{Body, Cadence, Script, TrackScript};
use super::{aac, h264};

const MAX_FILE_BYTES: u64 = 1 << 30;
/// The start of the tag that ends an AVC sequence (FLV E.4.3.1): the file's end is not the stream's.
const AVC_END_OF_SEQUENCE: &[u8] = &[0x17, 2];

/// Reads a file. Only H.264 and AAC have a place for stamps; others are published as they are.
pub(crate) fn script(path: &Path) -> anyhow::Result<Script> {
    let context = || format!("cannot use {}", path.display());
    let size = std::fs::metadata(path).with_context(context)?.len();
    ensure!(size <= MAX_FILE_BYTES, "{} has more than 1 GiB", path.display());
    let mut reader = FlvReader::default();
    reader.feed(&std::fs::read(path).with_context(context)?);
    let mut tags = Vec::new();
    while let Some(tag) = reader.next_tag().with_context(context)? {
        tags.push(tag);
    }
    from_tags(tags).with_context(context)
}

fn from_tags(tags: Vec<Tag>) -> anyhow::Result<Script> {
    let (mut headers, mut frames) = (Vec::new(), Vec::new());
    for tag in tags {
        match classify(&tag).0 {
            Class::Header(_) | Class::Metadata => headers.push(Tag { timestamp: 0, ..tag }),
            Class::Keyframe | Class::Frame if !tag.payload.starts_with(AVC_END_OF_SEQUENCE) => frames.push(tag),
            Class::Keyframe | Class::Frame | Class::Data => {}
        }
    }
    let times = || frames.iter().map(|tag| tag.timestamp);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { bail!("there is no media in it") };
    // The last picture lasts as long as an average one.
    let pictures = frames.iter().filter(|tag| tag.kind == Kind::Video).count().max(2) as u64;
    let length = u64::from(last - first);
    let period = (length + length / (pictures - 1)).max(1);
    let tracks =
        [Kind::Video, Kind::Audio].into_iter().filter_map(|kind| track(kind, &frames, first, period)).collect();
    Ok(Script { headers, tracks })
}

fn track(kind: Kind, frames: &[Tag], first: u32, period: u64) -> Option<TrackScript> {
    let frames: Vec<&Tag> = frames.iter().filter(|tag| tag.kind == kind).collect();
    let mut offsets: Vec<u64> = frames.iter().map(|tag| u64::from(tag.timestamp - first)).collect();
    offsets.sort_unstable();
    let bodies = frames.iter().map(|tag| body(tag)).collect();
    (!frames.is_empty()).then_some(TrackScript { kind, bodies, cadence: Cadence::Recorded { offsets, period } })
}

fn body(tag: &Tag) -> Body {
    let (bytes, stamp_at) = match classify(tag).1 {
        Some(Codec::AVC) => (h264::with_stamp_space(&tag.payload), Some(h264::STAMP_AT)),
        Some(Codec::AAC) => {
            let (bytes, stamp_at) = aac::with_stamp_space(&tag.payload);
            (bytes, Some(stamp_at))
        }
        _ => (tag.payload.to_vec(), None),
    };
    Body { bytes, stamp_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::stamp::Stamp;

    #[test]
    fn the_demo_clip_loops_with_stamps() {
        let script = script(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo.flv"))).unwrap();
        assert_eq!(script.tracks.len(), 2);
        let mut position = script.begin();
        let mut last = 0;
        for _ in 0..2_000 {
            let tag = script.take(&mut position, 3).unwrap();
            assert!(Stamp::find(&tag.payload).is_some());
            assert!(tag.timestamp >= last);
            last = tag.timestamp;
        }
    }

    #[test]
    fn what_holds_no_media_is_refused() {
        assert!(from_tags(Vec::new()).is_err());
        assert!(super::script(Path::new("/does/not/exist.flv")).is_err());
    }
}
