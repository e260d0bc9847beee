//! Files, read back by the `mp4-atom` crate.

use std::io::Cursor;

use bytes::Bytes;
use mp4_atom::{Any, Decode};

use crate::mux::tracks::{AudioCodec, AudioTrack};

use super::*;

/// A box of a recorder's.
const BESIDE: &[u8] = b"\0\0\0\x0cfreecard";

fn tracks() -> Tracks {
    let configuration = Bytes::from_static(b"\x11\x90");
    let audio = AudioTrack { codec: AudioCodec::Aac, configuration, sample_rate: 48_000, channels: 2 };
    Tracks { audio: Some(audio), ..Tracks::default() }
}

fn sound(timestamp: u64) -> Frame {
    Frame { track: Track::Audio, timestamp, composition: 0, is_keyframe: true, data: Bytes::from_static(b"sound") }
}

/// A file of so many fragments, one a second, closed.
fn closed(fragments: u64) -> BytesMut {
    let mut out = BytesMut::new();
    let mut file = Mp4File::begin(&tracks(), 5_000, BESIDE, &mut out).unwrap();
    for number in 0..fragments {
        file.push(sound(5_000 + number * 1_000)).unwrap();
        file.flush(None, &mut out);
        assert_eq!((file.bytes(), file.waiting_bytes()), (out.len() as u64, 0));
    }
    let patch = file.close(&mut out);
    let at = patch.offset as usize;
    out[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    out
}

/// The boxes of a file with the offset of each.
fn boxes(bytes: &[u8]) -> Vec<(u64, Any)> {
    let mut rest = Cursor::new(bytes);
    let read = || {
        let at = rest.position();
        (at < bytes.len() as u64).then(|| (at, Any::decode(&mut rest).unwrap()))
    };
    std::iter::from_fn(read).collect()
}

#[test]
fn a_closed_file_tells_its_duration() {
    let bytes = closed(4);
    let movie = boxes(&bytes).into_iter().find_map(|(_, one)| match one {
        Any::Moov(movie) => Some(movie),
        _ => None,
    });
    assert_eq!(movie.unwrap().mvex.unwrap().mehd.unwrap().fragment_duration, 3_021);
}

#[test]
fn an_index_at_the_end_leads_to_every_fragment() {
    let bytes = closed(3);
    let boxes = boxes(&bytes);
    let fragments: Vec<u64> =
        boxes.iter().filter(|(_, one)| matches!(one, Any::Moof(_))).map(|(offset, _)| *offset).collect();
    let Some((at, Any::Mfra(index))) = boxes.last() else { panic!() };
    let entries: Vec<(u64, u64)> = index.tfra[0].entries.iter().map(|entry| (entry.time, entry.moof_offset)).collect();
    assert_eq!(entries, [0, 90_000, 180_000].into_iter().zip(fragments).collect::<Vec<_>>());
    let size = u32::from_be_bytes(*bytes.last_chunk().unwrap());
    assert_eq!(u64::from(size), bytes.len() as u64 - at);
}

#[test]
fn a_file_that_was_never_closed_is_whole() {
    let mut out = BytesMut::new();
    let mut file = Mp4File::begin(&tracks(), 0, &[], &mut out).unwrap();
    file.push(sound(0)).unwrap();
    file.flush(None, &mut out);
    file.push(sound(21)).unwrap();
    drop(file);
    let kinds: Vec<_> = boxes(&out).into_iter().map(|(_, one)| one).collect();
    assert!(matches!(&kinds[..], [Any::Ftyp(_), Any::Moov(_), Any::Moof(_), Any::Mdat(_)]), "{kinds:?}");
}

#[test]
fn an_index_stays_small_however_long_the_file_becomes() {
    let mut index = Index::default();
    let places = 5 * MAXIMUM_ENTRIES as u64;
    (0..places).for_each(|time| index.add(Entry { time, is_keyframe: true, offset: time }));
    assert!(index.entries.len() <= MAXIMUM_ENTRIES);
    let times: Vec<u64> = index.entries.iter().map(|entry| entry.time).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 8), "evenly thinned out");
    assert!(*times.last().unwrap() >= places - 8);
}

#[test]
fn a_fragment_that_begins_without_a_keyframe_is_not_in_the_index() {
    let mut out = BytesMut::new();
    let mut file = Mp4File::begin(&tracks(), 0, &[], &mut out).unwrap();
    file.push(Frame { is_keyframe: false, ..sound(0) }).unwrap();
    file.flush(None, &mut out);
    assert_eq!(file.index.entries, []);
}
