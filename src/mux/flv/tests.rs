//! FLV files, read back.

use crate::media::Tag;
use crate::media::class::classify;
use crate::media::flv::FlvReader;
use crate::mux::tracks::{AudioTrack, VideoTrack};

use super::*;

fn packet(kind: Kind, timestamp: u64, payload: &'static [u8]) -> Packet {
    let tag = Tag { kind, timestamp: 0, payload: Bytes::from_static(payload) };
    Packet { kind, class: classify(&tag).0, timestamp, payload: tag.payload }
}

fn tracks() -> Tracks {
    let video = VideoTrack { codec: VideoCodec::Avc, configuration: Bytes::new(), width: 640, height: 360 };
    let audio = AudioTrack { codec: AudioCodec::Opus, configuration: Bytes::new(), sample_rate: 48_000, channels: 2 };
    Tracks { video: Some(video), audio: Some(audio), ..Tracks::default() }
}

fn read(bytes: &[u8]) -> Vec<Tag> {
    let mut reader = FlvReader::default();
    reader.feed(bytes);
    let tags = std::iter::from_fn(|| reader.next_tag().unwrap()).collect();
    assert!(reader.is_at_border());
    tags
}

/// The number behind a name in `onMetaData`.
fn property(body: &[u8], name: &[u8]) -> Option<f64> {
    let at = body.windows(name.len()).position(|window| window == name)? + name.len();
    match body[at..].split_first()? {
        (0, value) => Some(f64::from_be_bytes(*value.first_chunk()?)),
        _ => None,
    }
}

/// A file of three packets, closed.
fn closed() -> BytesMut {
    let mut bytes = BytesMut::new();
    let mut file = FlvFile::begin(&tracks(), 5_000_000_000, &mut bytes);
    file.append(&packet(Kind::Video, 5_000_000_000, b"\x17\x01\0\0\0a"), &mut bytes);
    file.append(&packet(Kind::Data, 5_000_000_010, b"\x02\x00\x0aonMetaData"), &mut bytes);
    file.append(&packet(Kind::Audio, 5_000_002_500, b"\x91Opusa"), &mut bytes);
    assert_eq!((file.bytes(), file.duration_ms()), (bytes.len() as u64, 2_500));
    let patch = file.close();
    let at = patch.offset as usize;
    bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    bytes
}

#[test]
fn a_closed_file_tells_its_duration_and_size_first() {
    let bytes = closed();
    let tags = read(&bytes);
    assert_eq!((bytes[4], tags.len(), tags[0].kind), (5, 3, Kind::Data));
    let number = |name: &[u8]| property(&tags[0].payload, name);
    assert_eq!(number(b"\x08duration"), Some(2.5));
    assert_eq!(number(b"\x08filesize"), Some(bytes.len() as f64));
    assert_eq!((number(b"width"), number(b"videocodecid")), (Some(640.0), Some(7.0)));
    assert_eq!(number(b"audiocodecid"), Some(f64::from(u32::from_be_bytes(*b"Opus"))));
}

#[test]
fn packets_count_from_the_origin_and_metadata_of_the_stream_is_left_out() {
    let tags = read(&closed());
    assert_eq!(
        tags[1..].iter().map(|tag| (tag.kind, tag.timestamp)).collect::<Vec<_>>(),
        [(Kind::Video, 0), (Kind::Audio, 2_500)]
    );
}

#[test]
fn a_file_that_was_never_closed_is_whole() {
    let mut bytes = BytesMut::new();
    let mut file = FlvFile::begin(&tracks(), 0, &mut bytes);
    file.append(&packet(Kind::Audio, 7, b"\x91Opusa"), &mut bytes);
    assert_eq!(read(&bytes).len(), 2);
}

#[test]
fn what_lies_before_the_origin_is_at_0() {
    let mut bytes = BytesMut::new();
    let mut file = FlvFile::begin(&tracks(), 1_000, &mut bytes);
    file.append(&packet(Kind::Audio, 990, b"\x91Opusa"), &mut bytes);
    assert_eq!(read(&bytes)[1].timestamp, 0);
}
