use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;

use crate::media::Kind;
use crate::media::class::classify;
use crate::media::flv::FlvReader;
use crate::media::{Tag, class};

use super::*;

fn card() -> Card {
    Card {
        id: "0a1b2c".to_owned(),
        app: "live".to_owned(),
        stream: "duration\u{e9}".to_owned(),
        session: "s".to_owned(),
        begin_ms: 7,
    }
}

fn packet(kind: Kind, timestamp: u64, body: &[u8]) -> Packet {
    let payload = Bytes::copy_from_slice(body);
    let (class, _) = classify(&Tag { kind, timestamp: timestamp as u32, payload: payload.clone() });
    Packet { kind, class, timestamp, payload }
}

/// AAC-LC, 44.1 kHz, stereo.
fn audio_header() -> Packet {
    packet(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10])
}

fn audio(timestamp: u64, bytes: usize) -> Packet {
    packet(Kind::Audio, timestamp, &[&[0xaf, 1][..], &vec![0x21; bytes]].concat())
}

/// A recording of sound: its bytes, and what closing patches.
fn recording(format: DvrFormat, frames: &[(u64, usize)]) -> (Vec<u8>, Vec<Patch>) {
    let mut tracks = Tracks::default();
    tracks.take(&audio_header()).unwrap();
    let mut out = BytesMut::new();
    let origin = frames.first().map_or(0, |(timestamp, _)| *timestamp);
    let headers = std::iter::once(audio_header());
    let mut container = Container::begin(format, &tracks, headers, &card(), origin, &mut out).unwrap();
    for (timestamp, bytes) in frames {
        assert!(container.append(&audio(*timestamp, *bytes), &mut out));
    }
    let closed = container.close(&mut out);
    (out.to_vec(), closed.patches)
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn patched(mut bytes: Vec<u8>, patches: &[Patch]) -> Vec<u8> {
    for patch in patches {
        let at = patch.offset as usize;
        bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

const FORMATS: [DvrFormat; 2] = [DvrFormat::Flv, DvrFormat::Fmp4];
const FRAMES: [(u64, usize); 4] = [(5_000, 100), (5_023, 100), (7_500, 200), (9_000, 50)];

#[test]
fn the_head_tells_whose_recording_it_is_and_how_long_once_it_is_closed() {
    for format in FORMATS {
        let (bytes, patches) = recording(format, &FRAMES);
        let open = read_head(format, &file_of(&bytes)).unwrap().unwrap();
        assert_eq!(open, Head { card: card(), duration_ms: 0 }, "{format}");
        let closed = read_head(format, &file_of(&patched(bytes, &patches))).unwrap().unwrap();
        assert!((4_000..=5_500).contains(&closed.duration_ms), "{format}: {closed:?}");
    }
}

#[test]
fn a_recording_whose_writer_was_killed_is_whole_as_far_as_it_is_there() {
    for format in FORMATS {
        let (bytes, patches) = recording(format, &FRAMES);
        let whole = find_whole(format, &file_of(&bytes)).unwrap();
        // The index behind the last fragment is not needed.
        let end = bytes.windows(4).rposition(|name| name == b"mfra").map_or(bytes.len(), |at| at - 4);
        assert_eq!((whole.bytes, whole.has_media), (end as u64, true), "{format}");
        let closed = read_head(format, &file_of(&patched(bytes.clone(), &patches))).unwrap();
        let recovered = read_head(format, &file_of(&patched(bytes, &whole.patches))).unwrap();
        let difference = recovered.unwrap().duration_ms.abs_diff(closed.unwrap().duration_ms);
        assert!(difference < 100, "{format}: {difference} ms");
    }
}

#[test]
fn garbage_behind_what_is_whole_is_not() {
    for format in FORMATS {
        let (bytes, _) = recording(format, &FRAMES);
        for garbage in [&[0; 4_096][..], &[0xff; 100], b"FLV", b"\0\0\0\x08moof", b"\0\0\0\x08mdat"] {
            let whole = find_whole(format, &file_of(&[&bytes[..], garbage].concat())).unwrap();
            let end = find_whole(format, &file_of(&bytes)).unwrap().bytes;
            assert_eq!(whole.bytes, end, "{format}, {garbage:?}");
        }
    }
}

#[test]
fn a_file_that_is_no_recording_of_ours_is_none() {
    for format in FORMATS {
        for bytes in [&b""[..], b"FLV", b"hello", &crate::media::flv::header(true, true), &[0; 1_000]] {
            assert_eq!(read_head(format, &file_of(bytes)).unwrap(), None);
            assert_eq!(find_whole(format, &file_of(bytes)).unwrap(), Whole::default());
        }
    }
}

#[test]
fn a_fragment_is_closed_before_frames_of_any_size_fill_the_memory() {
    let mut tracks = Tracks::default();
    tracks.take(&audio_header()).unwrap();
    let mut out = BytesMut::new();
    let headers = std::iter::empty();
    let mut container = Container::begin(DvrFormat::Fmp4, &tracks, headers, &card(), 0, &mut out).unwrap();
    // A stream whose time stands still.
    for _ in 0..30 {
        container.append(&audio(0, 1 << 20), &mut out);
    }
    assert!(out.len() > 20 << 20, "{}", out.len());
}

proptest! {
    #[test]
    fn wherever_a_recording_breaks_off_what_is_whole_before_it_is_found(
        frames in proptest::collection::vec((0..3_000_u64, 1..400_usize), 1..12),
        cut in 0.0..1.0_f64,
        is_flv: bool,
    ) {
        let mut now = 1_000;
        let frames: Vec<(u64, usize)> = frames.iter().map(|(step, bytes)| { now += step; (now, *bytes) }).collect();
        let format = if is_flv { DvrFormat::Flv } else { DvrFormat::Fmp4 };
        let (bytes, _) = recording(format, &frames);
        let cut = (bytes.len() as f64 * cut) as usize;
        let left = &bytes[..cut];
        let whole = find_whole(format, &file_of(left)).unwrap();
        prop_assert!(whole.bytes <= cut as u64);
        let kept = &bytes[..whole.bytes as usize];
        // What is cut off is less than a tag or a fragment: nothing more is found in a longer rest.
        prop_assert_eq!(find_whole(format, &file_of(kept)).unwrap(), whole.clone());
        if !kept.is_empty() && is_flv {
            let mut reader = FlvReader::default();
            reader.feed(&patched(kept.to_vec(), &whole.patches));
            let mut media = 0;
            while let Some(tag) = reader.next_tag().unwrap() {
                media += usize::from(matches!(classify(&tag).0, class::Class::Frame));
            }
            prop_assert!(reader.is_at_border());
            prop_assert_eq!(media > 0, whole.has_media);
        }
    }

    #[test]
    fn no_bytes_harm_the_search(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..1_000_usize) {
        for format in FORMATS {
            let (good, _) = recording(format, &FRAMES);
            let mut broken = good[..at.min(good.len())].to_vec();
            broken.extend(&bytes);
            let whole = find_whole(format, &file_of(&broken)).unwrap();
            prop_assert!(whole.bytes <= broken.len() as u64);
            let _ = read_head(format, &file_of(&broken)).unwrap();
        }
    }
}
