//! Transport streams, read back by the `mpeg2ts` crate.

use std::collections::HashMap;

use mpeg2ts::es::StreamType;
use mpeg2ts::pes::{PesPacket, PesPacketReader, ReadPesPacket};
use mpeg2ts::ts::payload::Pmt;
use mpeg2ts::ts::{ReadTsPacket, TsPacket, TsPacketReader, TsPayload};
use proptest::prelude::*;

use crate::mux::tracks::{AudioTrack, VideoCodec, VideoTrack};

use super::*;

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// A record with units behind lengths of so many bytes.
fn avc(length_bytes: u8) -> VideoTrack {
    let mut record = b"\x01\x64\x00\x0d\xfc\xe1\x00\x03\x67sp\x01\x00\x03\x68pp".to_vec();
    record[4] |= length_bytes - 1;
    VideoTrack { codec: VideoCodec::Avc, configuration: record.into(), width: 320, height: 180 }
}

fn sound(codec: AudioCodec) -> AudioTrack {
    let configuration = if codec == AudioCodec::Aac { Bytes::from_static(b"\x11\x90") } else { Bytes::new() };
    AudioTrack { codec, configuration, sample_rate: 48_000, channels: 2 }
}

fn both() -> Tracks {
    Tracks { video: Some(avc(4)), audio: Some(sound(AudioCodec::Aac)), ..Tracks::default() }
}

fn only_audio(codec: AudioCodec) -> Tracks {
    Tracks { audio: Some(sound(codec)), ..Tracks::default() }
}

fn picture(timestamp: u64, is_keyframe: bool, data: &[u8]) -> Frame {
    let data = Bytes::copy_from_slice(data);
    Frame { track: Track::Video, timestamp, composition: 0, is_keyframe, data }
}

fn piece_of_sound(timestamp: u64, bytes: usize) -> Frame {
    Frame { track: Track::Audio, timestamp, composition: 0, is_keyframe: true, data: vec![7; bytes].into() }
}

/// One segment with these frames.
fn segment(muxer: &mut Muxer, frames: &[Frame]) -> BytesMut {
    let mut out = BytesMut::new();
    muxer.begin_segment(&mut out);
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    muxer.end_segment(&mut out);
    out
}

fn packets(stream: &[u8]) -> Vec<TsPacket> {
    assert_eq!(stream.len() % PACKET_BYTES, 0);
    let mut reader = TsPacketReader::new(stream);
    std::iter::from_fn(|| reader.read_ts_packet().unwrap()).collect()
}

fn units(stream: &[u8]) -> Vec<PesPacket<Vec<u8>>> {
    let mut reader = PesPacketReader::new(TsPacketReader::new(stream));
    std::iter::from_fn(|| reader.read_pes_packet().unwrap()).collect()
}

fn map(stream: &[u8]) -> Pmt {
    let find = |packet: TsPacket| match packet.payload {
        Some(TsPayload::Pmt(map)) => Some(map),
        _ => None,
    };
    packets(stream).into_iter().find_map(find).unwrap()
}

/// Checks that every PID counts by one over all these segments.
fn counts_on(segments: &[BytesMut]) -> bool {
    let mut counters = HashMap::new();
    segments.iter().flat_map(|segment| packets(segment)).all(|packet| {
        let (pid, counter) = (packet.header.pid, packet.header.continuity_counter.as_u8());
        let step = u8::from(packet.payload.is_some());
        counters.insert(pid, counter).is_none_or(|before| (before + step) & 0x0f == counter)
    })
}

#[test]
fn a_segment_begins_with_its_tables() {
    let stream = segment(&mut Muxer::new(&both()).unwrap(), &[picture(0, true, b"\0\0\0\x02\x65a")]);
    let kinds = packets(&stream);
    assert!(matches!(kinds[0].payload, Some(TsPayload::Pat(_))));
    assert!(matches!(kinds[1].payload, Some(TsPayload::Pmt(_))));
    let map = map(&stream);
    assert_eq!(map.pcr_pid.unwrap().as_u16(), VIDEO);
    let streams: Vec<_> = map.es_info.iter().map(|info| (info.elementary_pid.as_u16(), info.stream_type)).collect();
    assert_eq!(streams, [(VIDEO, StreamType::H264), (AUDIO, StreamType::AdtsAac)]);
}

#[test]
fn sound_alone_carries_the_clock() {
    for (codec, stream_type) in [
        (AudioCodec::Aac, StreamType::AdtsAac),
        (AudioCodec::Mp3, StreamType::Mpeg1Audio),
        (AudioCodec::Ac3, StreamType::DolbyDigitalUpToSixChannelAudio),
    ] {
        let stream = segment(&mut Muxer::new(&only_audio(codec)).unwrap(), &[piece_of_sound(5, 100)]);
        let map = map(&stream);
        assert_eq!((map.pcr_pid.unwrap().as_u16(), map.es_info[0].stream_type), (AUDIO, stream_type));
        let field = packets(&stream)[2].adaptation_field.clone().unwrap();
        assert_eq!((field.pcr.unwrap().as_u64(), field.random_access_indicator), (5 * 90 * 300, true));
    }
}

#[test]
fn a_keyframe_gets_a_delimiter_and_parameter_sets_and_is_a_place_to_begin() {
    for length_bytes in 1..=4 {
        let tracks = Tracks { video: Some(avc(length_bytes)), ..Tracks::default() };
        let prefix = [&[0, 0, 0][..usize::from(length_bytes) - 1], &[2]].concat();
        let data = [&prefix[..], b"\x65a", &prefix, b"\x65b"].concat();
        let stream = segment(&mut Muxer::new(&tracks).unwrap(), &[picture(0, true, &data)]);
        let expected = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67sp\0\0\0\x01\x68pp\0\0\0\x01\x65a\0\0\0\x01\x65b";
        assert_eq!(units(&stream)[0].data, expected);
        assert!(packets(&stream)[2].adaptation_field.as_ref().unwrap().random_access_indicator);
    }
}

#[test]
fn other_pictures_get_a_delimiter_only_and_lose_their_own() {
    let data = b"\0\0\0\x02\x09\x10\0\0\0\x02\x41a";
    let stream = segment(&mut Muxer::new(&both()).unwrap(), &[picture(0, false, data)]);
    assert_eq!(units(&stream)[0].data, b"\0\0\0\x01\x09\xf0\0\0\0\x01\x41a");
    assert!(!packets(&stream)[2].adaptation_field.as_ref().unwrap().random_access_indicator);
}

#[test]
fn parameter_sets_in_the_keyframe_win_over_those_of_the_record() {
    let data = b"\0\0\0\x02\x67n\0\0\0\x02\x68n\0\0\0\x02\x65a";
    let stream = segment(&mut Muxer::new(&both()).unwrap(), &[picture(0, true, data)]);
    assert_eq!(units(&stream)[0].data, b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67n\0\0\0\x01\x68n\0\0\0\x01\x65a");
}

#[test]
fn presentation_and_decoding_differ_by_the_composition_time() {
    let frame = Frame { composition: 80, ..picture(1_000, true, b"\0\0\0\x02\x65a") };
    let stream = segment(&mut Muxer::new(&both()).unwrap(), &[frame]);
    let header = &units(&stream)[0].header;
    assert_eq!(header.pts.unwrap().as_u64(), 1_080 * 90 + LEAD);
    assert_eq!(header.dts.unwrap().as_u64(), 1_000 * 90 + LEAD);
    assert_eq!(packets(&stream)[2].adaptation_field.as_ref().unwrap().pcr.unwrap().as_u64(), 1_000 * 90 * 300);
}

#[test]
fn times_go_on_from_zero_behind_33_bits() {
    let mut muxer = Muxer::new(&both()).unwrap();
    let before_wrap = ((1 << 33) - LEAD) / 90;
    let frames = [before_wrap, before_wrap + 40].map(|time| picture(time, true, b"\0\0\0\x02\x65a"));
    let stream = segment(&mut muxer, &frames);
    let times: Vec<u64> = units(&stream).iter().map(|unit| unit.header.pts.unwrap().as_u64()).collect();
    assert_eq!(times[1] + (1 << 33) - times[0], 40 * 90);
}

#[test]
fn sound_is_gathered_into_units_and_each_frame_has_its_header() {
    let frames: Vec<Frame> = (0..20).map(|number| piece_of_sound(number * 64 / 3, 200)).collect();
    let units = units(&segment(&mut Muxer::new(&only_audio(AudioCodec::Aac)).unwrap(), &frames));
    assert!(units.len() <= 5, "{} units", units.len());
    let sound: Vec<u8> = units.into_iter().flat_map(|unit| unit.data).collect();
    assert_eq!(sound.len(), 20 * (7 + 200));
    for frame in sound.chunks(207) {
        // AAC-LC, 48 kHz, two channels, 207 bytes.
        assert_eq!(frame[..7], [0xff, 0xf1, 0x4c, 0x80, 0x19, 0xff, 0xfc]);
    }
}

#[test]
fn sound_after_a_gap_has_a_time_of_its_own() {
    let frames = [0, 21, 43, 500, 521].map(|time| piece_of_sound(time, 50));
    let units = units(&segment(&mut Muxer::new(&only_audio(AudioCodec::Aac)).unwrap(), &frames));
    let times: Vec<u64> = units.iter().map(|unit| (unit.header.pts.unwrap().as_u64() - LEAD) / 90).collect();
    assert_eq!(times, [0, 500]);
}

#[test]
fn the_clock_does_not_wait_for_pictures() {
    let mut frames = vec![picture(0, true, b"\0\0\0\x02\x65a")];
    frames.extend((0..100).map(|number| piece_of_sound(number * 64 / 3, 100)));
    let stream = segment(&mut Muxer::new(&both()).unwrap(), &frames);
    let clocks: Vec<u64> = packets(&stream)
        .iter()
        .filter(|packet| packet.header.pid.as_u16() == VIDEO)
        .filter_map(|packet| Some(packet.adaptation_field.as_ref()?.pcr?.as_u64() / 300 / 90))
        .collect();
    assert!(clocks.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] < 250), "{clocks:?}");
    assert!(clocks.last().unwrap() > &1_900);
    assert!(counts_on(&[stream]));
}

#[test]
fn the_map_has_a_new_version_when_its_streams_change_and_only_then() {
    let mut muxer = Muxer::new(&both()).unwrap();
    let versions: Vec<u8> = [both(), both(), only_audio(AudioCodec::Mp3), only_audio(AudioCodec::Mp3), both()]
        .iter()
        .map(|tracks| {
            muxer.set_tracks(tracks).unwrap();
            map(&segment(&mut muxer, &[piece_of_sound(0, 10)])).version_number.as_u8()
        })
        .collect();
    assert_eq!(versions, [0, 0, 1, 1, 2]);
}

#[test]
fn tracks_that_do_not_fit_are_refused_and_the_old_ones_stay() {
    let mut muxer = Muxer::new(&both()).unwrap();
    let unfit = only_audio(AudioCodec::Opus);
    assert_eq!(muxer.set_tracks(&unfit), Err(Unfit::Audio(AudioCodec::Opus)));
    assert_eq!(map(&segment(&mut muxer, &[])).es_info.len(), 2);
    assert!(Muxer::new(&unfit).is_err());
    assert_eq!(Muxer::new(&Tracks::default()).err(), Some(Unfit::NoTracks));
}

#[test]
fn nothing_is_written_of_a_broken_or_oversized_frame() {
    let mut muxer = Muxer::new(&both()).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(muxer.write(&picture(0, true, b"\0\0\0\x09\x65a"), &mut out), Err(FrameError::Unit));
    assert_eq!(muxer.write(&piece_of_sound(0, 8_185), &mut out), Err(FrameError::TooLarge(8_185)));
    muxer.end_segment(&mut out);
    assert_eq!(out.len(), 0);
    muxer.write(&piece_of_sound(0, 8_184), &mut out).unwrap();
    muxer.end_segment(&mut out);
    assert!(out.len() > 8_184);
}

/// Any frame, its units whole or not.
fn any_frame() -> impl Strategy<Value = Frame> {
    let data = proptest::collection::vec(any::<u8>(), 0..600);
    let data = (data, any::<bool>()).prop_map(|(data, whole)| {
        let length = if whole { (data.len() as u32).to_be_bytes().to_vec() } else { Vec::new() };
        [length, data].concat()
    });
    (any::<bool>(), any::<u64>(), any::<i32>(), any::<bool>(), data).prop_map(
        |(video, timestamp, composition, is_keyframe, data)| Frame {
            track: if video { Track::Video } else { Track::Audio },
            timestamp,
            composition: if video { composition } else { 0 },
            is_keyframe,
            data: data.into(),
        },
    )
}

proptest! {
    #[test]
    fn whatever_comes_packets_are_whole_and_counters_go_on(
        segments in proptest::collection::vec(proptest::collection::vec(any_frame(), 0..12), 1..5),
        length_bytes in 1..=4_u8,
    ) {
        let tracks = Tracks { video: Some(avc(length_bytes)), ..both() };
        let mut muxer = Muxer::new(&tracks).unwrap();
        let mut written = Vec::new();
        for frames in segments {
            let mut out = BytesMut::new();
            muxer.begin_segment(&mut out);
            for frame in frames {
                let before = out.len();
                if muxer.write(&frame, &mut out).is_err() {
                    prop_assert_eq!(out.len(), before);
                }
            }
            muxer.end_segment(&mut out);
            prop_assert!(out.chunks(PACKET_BYTES).all(|packet| packet.len() == PACKET_BYTES && packet[0] == 0x47));
            written.push(out);
        }
        prop_assert!(counts_on(&written));
        let sound = written.iter().flat_map(|segment| units(segment)).filter(|unit| unit.header.stream_id.is_audio());
        prop_assert!(sound.into_iter().all(|unit| unit.data.starts_with(&[0xff, 0xf1])));
    }
}
