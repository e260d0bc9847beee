//! Tracks from the packets that real encoders send.

use bytes::Bytes;
use proptest::prelude::*;

use crate::media::Tag;
use crate::media::class::classify;

use super::*;

/// What x264 writes for 320x180 at the High profile.
const AVC_RECORD: &[u8] = b"\x01\x64\x00\x0d\xff\xe1\x00\x19\
    \x67\x64\x00\x0d\xac\xd9\x41\x41\x9f\x9f\x01\x6c\x80\x00\x00\x03\x00\x80\x00\x00\x1e\x07\x8a\x14\xcb\
    \x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// What aomenc writes for 320x180.
const AV1_RECORD: &[u8] = b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40";
/// The head of a VP9 keyframe of 320x180.
const VP9_KEYFRAME: &[u8] = b"\x82\x49\x83\x42\x00\x13\xf0\x0b\x36\x06\x38";

fn packet(kind: Kind, payload: &[u8]) -> Packet {
    let tag = Tag { kind, timestamp: 0, payload: Bytes::copy_from_slice(payload) };
    Packet { kind, class: classify(&tag).0, timestamp: 0, payload: tag.payload }
}

fn video(head: &[u8], rest: &[u8]) -> Packet {
    packet(Kind::Video, &[head, rest].concat())
}

fn audio(head: &[u8], rest: &[u8]) -> Packet {
    packet(Kind::Audio, &[head, rest].concat())
}

/// The tracks after these packets, none of which is an error.
fn after(packets: &[Packet]) -> Tracks {
    let mut tracks = Tracks::default();
    for packet in packets {
        tracks.take(packet).unwrap();
    }
    tracks
}

#[test]
fn an_avc_header_tells_codec_and_size_in_its_legacy_and_its_enhanced_form() {
    for head in [&b"\x17\0\0\0\0"[..], b"\x90avc1", b"\x96\x00avc1\x00"] {
        let tracks = after(&[video(head, AVC_RECORD)]);
        let track = tracks.video.as_ref().unwrap();
        assert_eq!((track.width, track.height, track.nal_length_bytes()), (320, 180, 4));
        assert_eq!(tracks.codecs(), "avc1.64000d");
        assert_eq!(tracks.fits_mpegts(), Ok(()));
    }
}

#[test]
fn an_av1_header_tells_codec_and_size() {
    let tracks = after(&[video(b"\x90av01", b""), video(b"\x90av01", AV1_RECORD)]);
    assert_eq!(tracks.codecs(), "av01.0.00M.08");
    let track = tracks.video.as_ref().unwrap();
    assert_eq!((track.width, track.height), (320, 180));
    assert_eq!(tracks.fits_mpegts(), Err(Unfit::Video(VideoCodec::Av1)));
}

#[test]
fn an_av1_keyframe_tells_the_size_that_its_record_does_not() {
    let mut tracks = after(&[video(b"\x90av01", &AV1_RECORD[..4])]);
    let keyframe = [b"\x12\x00", &AV1_RECORD[4..], b"\x32\x01\x00"].concat();
    assert_eq!(tracks.take(&video(b"\x91av01", &keyframe)), Ok(true));
    let track = tracks.video.unwrap();
    assert_eq!((track.width, track.height), (320, 180));
}

#[test]
fn vp9_tells_its_size_in_keyframes_and_the_same_record_again_does_not_lose_it() {
    const RECORD: &[u8] = b"\x01\0\0\0\0\x0b\x82\x02\x02\x02\0\0";
    let mut tracks = after(&[video(b"\x90vp09", RECORD)]);
    assert_eq!(tracks.codecs(), "vp09.00.11.08");
    assert_eq!(tracks.take(&video(b"\x91vp09", VP9_KEYFRAME)), Ok(true));
    assert_eq!(tracks.take(&video(b"\x91vp09", VP9_KEYFRAME)), Ok(false));
    assert_eq!(tracks.take(&video(b"\x90vp09", RECORD)), Ok(false));
    let track = tracks.video.unwrap();
    assert_eq!((track.width, track.height, track.configuration.len()), (320, 180, 8));
}

#[test]
fn an_hevc_record_gives_its_full_codec_name() {
    let mut record = vec![1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3c];
    record.resize(22, 0);
    let track = VideoTrack { codec: VideoCodec::Hevc, configuration: record.into(), width: 0, height: 0 };
    assert_eq!(track.codec_string(), "hvc1.1.6.L60.90");
}

#[test]
fn every_audio_codec_tells_rate_and_channels() {
    let opus_head = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    let stream_info = b"\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\x02\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let ac3 = b"\x0b\x77\x48\x0d\x0c\x40\x2f\x84\x2b\xc1";
    let eac3 = b"\x0b\x77\x00\xbf\x32\x87\xc0\x00\x21\x06";
    for (head, rest, codecs, rate, channels) in [
        (&b"\xaf\0"[..], &b"\x12\x10"[..], "mp4a.40.2", 44_100, 2),
        (b"\x90mp4a", b"\x11\x88", "mp4a.40.2", 48_000, 1),
        (b"\x2e", b"\xff\xfb\x54\xc4", "mp4a.40.34", 48_000, 1),
        (b"\x91.mp3", b"\xff\xf3\x54\x04", "mp4a.40.34", 24_000, 2),
        (b"\x90Opus", opus_head, "opus", 48_000, 2),
        (b"\x90fLaC", stream_info, "flac", 48_000, 2),
        (b"\x91ac-3", ac3, "ac-3", 48_000, 1),
        (b"\x91ec-3", eac3, "ec-3", 48_000, 1),
    ] {
        let tracks = after(&[audio(head, rest)]);
        let track = tracks.audio.as_ref().unwrap();
        assert_eq!((tracks.codecs().as_str(), track.sample_rate, track.channels), (codecs, rate, channels));
    }
}

#[test]
fn flac_headers_are_understood_in_all_their_forms() {
    let info = [&[0; 10][..], &[0x0b, 0xb8, 0x02, 0xf0], &[0; 20]].concat();
    let block = [b"\x80\0\0\x22", &info[..]].concat();
    let stream = [b"fLaC", &block[..]].concat();
    let tracks = [info.as_slice(), &block, &stream].map(|header| after(&[audio(b"\x90fLaC", header)]));
    assert_eq!(tracks[0].audio.as_ref().unwrap().configuration, info);
    assert!(tracks[1..].iter().all(|other| *other == tracks[0]));
}

#[test]
fn the_same_header_again_changes_nothing_and_another_one_does() {
    let mut tracks = after(&[video(b"\x17\0\0\0\0", AVC_RECORD), audio(b"\xaf\0", b"\x12\x10")]);
    assert_eq!(tracks.take(&video(b"\x17\0\0\0\0", AVC_RECORD)), Ok(false));
    assert_eq!(tracks.take(&audio(b"\xaf\0", b"\x12\x10")), Ok(false));
    assert_eq!(tracks.take(&audio(b"\xaf\0", b"\x11\x90")), Ok(true));
    assert_eq!(tracks.take(&video(b"\x90av01", AV1_RECORD)), Ok(true));
    assert_eq!(tracks.codecs(), "av01.0.00M.08,mp4a.40.2");
}

#[test]
fn other_tracks_of_a_multitrack_stream_are_left_alone() {
    let mut tracks = after(&[video(b"\x96\x00avc1\x00", AVC_RECORD)]);
    assert_eq!(tracks.take(&video(b"\x96\x00av01\x01", AV1_RECORD)), Ok(false));
    assert_eq!(tracks.codecs(), "avc1.64000d");
}

#[test]
fn a_codec_that_nothing_can_carry_is_an_error_once() {
    let mut tracks = Tracks::default();
    let speex = audio(b"\xb2", b"abc");
    assert_eq!(tracks.take(&speex), Err(TrackError::Unsupported(Codec::Audio(11))));
    assert_eq!(tracks.take(&speex), Ok(false));
    assert_eq!(tracks.refused_audio, Some(Codec::Audio(11)));
    assert_eq!(tracks.fits_mpegts(), Err(Unfit::NoTracks));
    assert_eq!(tracks.take(&audio(b"\xaf\0", b"\x12\x10")), Ok(true));
    assert_eq!(tracks.refused_audio, None);
}

#[test]
fn a_broken_record_takes_the_track_away_and_says_why() {
    let mut tracks = after(&[video(b"\x17\0\0\0\0", AVC_RECORD)]);
    let broken = video(b"\x17\0\0\0\0", &AVC_RECORD[..20]);
    let error = tracks.take(&broken).unwrap_err();
    assert_eq!(error.to_string(), "the H264 track cannot be used: its AVCDecoderConfigurationRecord is broken");
    assert_eq!(tracks.video, None);
}

#[test]
fn aac_that_adts_cannot_say_does_not_fit_into_mpegts() {
    let reason = |config: &[u8]| after(&[audio(b"\xaf\0", config)]).fits_mpegts();
    // AAC-LC and HE-AAC fit; object type 39 (ELD), a rate that is in no table, and a layout told in the stream do not.
    assert_eq!(reason(b"\x12\x10"), Ok(()));
    assert_eq!(reason(b"\x2b\x92\x08\x00"), Ok(()));
    assert!(matches!(reason(b"\xf8\xe6\x20\x00"), Err(Unfit::Aac(_))));
    assert!(matches!(reason(b"\x17\x80\x1f\x41\x08"), Err(Unfit::Aac(_))));
    assert!(matches!(reason(b"\x12\x00"), Err(Unfit::Aac(_))));
}

proptest! {
    #[test]
    fn no_bytes_can_harm_it(
        audio in any::<bool>(),
        head in 0..16_usize,
        payload in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        const HEADS: [&[u8]; 16] = [
            b"", b"\x17\0\0\0\0", b"\x1c\0\0\0\0", b"\x1d\0\0\0\0", b"\x90hvc1", b"\x90av01", b"\x90vp09", b"\x91vp09",
            b"\xaf\0", b"\x2f", b"\x90Opus", b"\x90fLaC", b"\x91ac-3", b"\x91ec-3", b"\x91.mp3", b"\x96\x11hvc1",
        ];
        let kind = if audio { Kind::Audio } else { Kind::Video };
        let mut tracks = Tracks::default();
        let _ = tracks.take(&packet(kind, &[HEADS[head], &payload].concat()));
        let _ = tracks.take(&packet(kind, &payload));
        tracks.codecs();
        let _ = tracks.fits_mpegts();
        if let Ok(initialisation) = crate::mux::fmp4::initialisation(&tracks) {
            prop_assert!(initialisation.len() < 4_096);
        }
    }

    #[test]
    fn a_record_damaged_anywhere_does_no_harm(at in 0..AVC_RECORD.len(), byte in any::<u8>()) {
        let mut record = AVC_RECORD.to_vec();
        record[at] = byte;
        let _ = Tracks::default().take(&video(b"\x17\0\0\0\0", &record));
    }
}
