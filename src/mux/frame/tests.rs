//! Frames out of packets.

use proptest::prelude::*;

use crate::media::Tag;
use crate::media::class::classify;
use crate::mux::tracks::{AudioTrack, VideoTrack};

use super::*;

fn packet(kind: Kind, payload: &[u8]) -> Packet {
    let tag = Tag { kind, timestamp: 0, payload: Bytes::copy_from_slice(payload) };
    Packet { kind, class: classify(&tag).0, timestamp: 1 << 33, payload: tag.payload }
}

fn tracks(video: VideoCodec, audio: AudioCodec) -> Tracks {
    Tracks {
        video: Some(VideoTrack { codec: video, configuration: Bytes::new(), width: 0, height: 0 }),
        audio: Some(AudioTrack { codec: audio, configuration: Bytes::new(), sample_rate: 48_000, channels: 2 }),
        ..Tracks::default()
    }
}

fn read(kind: Kind, payload: &[u8]) -> Result<Option<Frame>, FrameError> {
    Frame::from_packet(&packet(kind, payload), &tracks(VideoCodec::Avc, AudioCodec::Aac))
}

#[test]
fn a_picture_keeps_its_time_and_loses_its_wrapping() {
    let frame = read(Kind::Video, b"\x17\x01\x00\x00\x50\0\0\0\x01a").unwrap().unwrap();
    assert_eq!((frame.track, frame.timestamp, frame.composition), (Track::Video, 1 << 33, 80));
    assert_eq!((frame.is_keyframe, &frame.data[..]), (true, &b"\0\0\0\x01a"[..]));
    assert_eq!(frame.presentation(), (1 << 33) + 80);
    assert!(!read(Kind::Video, b"\x27\x01\0\0\0a").unwrap().unwrap().is_keyframe);
}

#[test]
fn sound_can_always_be_begun_with() {
    let frame = read(Kind::Audio, b"\xaf\x01ab").unwrap().unwrap();
    assert_eq!((frame.track, frame.is_keyframe, &frame.data[..]), (Track::Audio, true, &b"ab"[..]));
}

#[test]
fn headers_ends_commands_and_empty_frames_are_none() {
    for payload in
        [&b"\x17\0\0\0\0\x01"[..], b"\x17\x02\0\0\0", b"\x57\x01\0\0\0a", b"\x17\x01\0\0\0", b"\x92avc1", b""]
    {
        assert_eq!(read(Kind::Video, payload), Ok(None), "{payload:?}");
    }
    assert_eq!(read(Kind::Audio, b"\xaf\x00\x12\x10"), Ok(None));
    assert_eq!(read(Kind::Data, b"\x02\x00\x0aonMetaData"), Ok(None));
}

#[test]
fn frames_of_another_codec_or_another_track_are_none() {
    assert_eq!(read(Kind::Video, b"\x93hvc1a"), Ok(None));
    assert_eq!(read(Kind::Audio, b"\x2fa"), Ok(None));
    assert_eq!(read(Kind::Video, b"\x96\x01avc1\x01\0\0\0a"), Ok(None));
    assert_eq!(Frame::from_packet(&packet(Kind::Audio, b"\xaf\x01a"), &Tracks::default()), Ok(None));
}

#[test]
fn a_body_that_ends_within_its_header_is_an_error() {
    assert_eq!(read(Kind::Video, b"\x17\x01\0"), Err(FrameError::Truncated));
}

#[test]
fn the_temporal_delimiter_of_av1_is_left_out() {
    let tracks = tracks(VideoCodec::Av1, AudioCodec::Opus);
    let frame = Frame::from_packet(&packet(Kind::Video, b"\x91av01\x12\0\x32\x01a"), &tracks).unwrap().unwrap();
    assert_eq!(&frame.data[..], b"\x32\x01a");
}

proptest! {
    #[test]
    fn no_bytes_can_harm_it(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        let tracks = tracks(VideoCodec::Hevc, AudioCodec::Opus);
        for kind in [Kind::Audio, Kind::Video, Kind::Data] {
            if let Ok(Some(frame)) = Frame::from_packet(&packet(kind, &payload), &tracks) {
                frame.presentation();
            }
        }
    }
}
