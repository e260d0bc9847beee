//! Fragmented MP4, read back by the `mp4-atom` crate.

use std::io::Cursor;

use bytes::Bytes;
use mp4_atom::{Any, Codec, Decode, Moof, Moov, TrunEntry};
use proptest::prelude::*;

use crate::mux::frame::Frame;
use crate::mux::tracks::{AudioCodec, AudioTrack, Tracks, Unfit, VideoCodec, VideoTrack};

use super::*;

const AVC_RECORD: &[u8] = b"\x01\x64\x00\x0d\xff\xe1\x00\x19\
    \x67\x64\x00\x0d\xac\xd9\x41\x41\x9f\x9f\x01\x6c\x80\x00\x00\x03\x00\x80\x00\x00\x1e\x07\x8a\x14\xcb\
    \x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\x01\0\0";

fn video(codec: VideoCodec, record: &'static [u8]) -> Option<VideoTrack> {
    Some(VideoTrack { codec, configuration: Bytes::from_static(record), width: 320, height: 180 })
}

fn audio(codec: AudioCodec, record: &'static [u8]) -> Option<AudioTrack> {
    Some(AudioTrack { codec, configuration: Bytes::from_static(record), sample_rate: 48_000, channels: 2 })
}

fn both() -> Tracks {
    let (video, audio) = (video(VideoCodec::Avc, AVC_RECORD), audio(AudioCodec::Aac, b"\x11\x90"));
    Tracks { video, audio, ..Tracks::default() }
}

fn boxes(bytes: &[u8]) -> Vec<Any> {
    let mut rest = Cursor::new(bytes);
    let read = || (rest.position() < bytes.len() as u64).then(|| Any::decode(&mut rest).unwrap());
    std::iter::from_fn(read).collect()
}

fn movie(tracks: &Tracks) -> Moov {
    match boxes(&initialisation(tracks).unwrap()).pop() {
        Some(Any::Moov(movie)) => movie,
        other => panic!("{other:?}"),
    }
}

fn only_codec(tracks: &Tracks) -> Codec {
    movie(tracks).trak[0].mdia.minf.stbl.stsd.codecs[0].clone()
}

fn frame(track: Track, timestamp: u64, data: &'static [u8]) -> Frame {
    Frame { track, timestamp, composition: 0, is_keyframe: track == Track::Audio, data: Bytes::from_static(data) }
}

fn fragment(bytes: &[u8]) -> (Moof, Vec<u8>) {
    match &boxes(bytes)[..] {
        [Any::Moof(moof), Any::Mdat(mdat)] | [Any::Styp(_), Any::Moof(moof), Any::Mdat(mdat)] => {
            (moof.clone(), mdat.data.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn samples(moof: &Moof, run: usize) -> Vec<TrunEntry> {
    moof.traf[run].trun[0].samples.iter().collect()
}

#[test]
fn an_initialisation_tells_both_tracks() {
    let movie = movie(&both());
    assert_eq!(movie.trak.len(), 2);
    assert!(movie.trak.iter().all(|track| track.mdia.mdhd.timescale == TIMESCALE));
    assert_eq!((movie.trak[0].tkhd.width.integer(), movie.trak[0].tkhd.height.integer()), (320, 180));
    let extends = movie.mvex.unwrap().trex;
    assert_eq!(extends.iter().map(|trex| trex.track_id).collect::<Vec<_>>(), [1, 2]);
    let Codec::Avc1(avc) = &movie.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!() };
    assert_eq!((avc.visual.width, avc.visual.height, avc.avcc.sequence_parameter_sets[0].len()), (320, 180, 25));
    let Codec::Mp4a(aac) = &movie.trak[1].mdia.minf.stbl.stsd.codecs[0] else { panic!() };
    assert_eq!((aac.audio.channel_count, aac.audio.sample_rate.integer()), (2, 48_000));
    let decoder = &aac.esds.es_desc.dec_config;
    assert_eq!(
        (decoder.object_type_indication, &decoder.dec_specific.as_ref().unwrap().raw[..]),
        (0x40, &b"\x11\x90"[..])
    );
}

#[test]
fn only_a_single_track_is_called_cmaf() {
    let brands = |tracks: &Tracks| match boxes(&initialisation(tracks).unwrap()).remove(0) {
        Any::Ftyp(ftyp) => ftyp.compatible_brands.iter().any(|brand| *brand == mp4_atom::FourCC::new(b"cmfc")),
        other => panic!("{other:?}"),
    };
    assert!(!brands(&both()));
    assert!(brands(&Tracks { video: None, ..both() }));
}

#[test]
fn every_audio_codec_has_its_entry() {
    let of = |codec, record| only_codec(&Tracks { audio: audio(codec, record), ..Tracks::default() });
    let Codec::Opus(opus) = of(AudioCodec::Opus, OPUS_HEAD) else { panic!() };
    assert_eq!((opus.dops.pre_skip, opus.dops.input_sample_rate, opus.dops.output_gain), (312, 48_000, 1));
    let info: &[u8] = &[
        0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x02, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0,
    ];
    assert!(matches!(of(AudioCodec::Flac, info), Codec::Flac(_)));
    let Codec::Ac3(ac3) = of(AudioCodec::Ac3, b"\x10\x3d\xc0") else { panic!() };
    assert_eq!((ac3.dac3.acmod, ac3.dac3.lfeon), (7, true));
    assert!(matches!(of(AudioCodec::Eac3, b"\x06\x00\x20\x0f\x00"), Codec::Eac3(_)));
    let Codec::Mp4a(mp3) = of(AudioCodec::Mp3, b"") else { panic!() };
    assert_eq!(mp3.esds.es_desc.dec_config.object_type_indication, 0x6b);
}

#[test]
fn every_video_codec_has_its_entry() {
    let of = |codec, record| only_codec(&Tracks { video: video(codec, record), ..Tracks::default() });
    let av1 = b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40";
    assert!(matches!(of(VideoCodec::Av1, av1), Codec::Av01(_)));
    let Codec::Vp09(vp9) = of(VideoCodec::Vp9, b"\0\x0b\x82\x02\x02\x02\0\0") else { panic!() };
    assert_eq!((vp9.vpcc.level, vp9.vpcc.bit_depth), (11, 8));
    let hevc = b"\x01\x01\x60\0\0\0\x90\0\0\0\0\0\x3c\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f\0";
    assert!(matches!(of(VideoCodec::Hevc, hevc), Codec::Hvc1(_)));
}

#[test]
fn there_is_no_initialisation_of_nothing() {
    assert_eq!(initialisation(&Tracks::default()), Err(Unfit::NoTracks));
}

#[test]
fn a_fragment_holds_both_tracks_with_their_times_and_flags() {
    let mut fragmenter = Fragmenter::new(&both(), 0);
    let keyframe = Frame { is_keyframe: true, composition: 80, ..frame(Track::Video, 1_000, b"key") };
    let picture = Frame { composition: -40, ..frame(Track::Video, 1_040, b"other") };
    for one in [frame(Track::Audio, 990, b"so"), keyframe, frame(Track::Audio, 1_011, b"und"), picture] {
        fragmenter.push(one).unwrap();
    }
    let next = frame(Track::Video, 1_100, b"");
    let (moof, data) = fragment(&fragmenter.cut(Some(&next), false));
    assert_eq!((moof.mfhd.sequence_number, &data[..]), (1, &b"keyothersound"[..]));
    let begins: Vec<u64> = moof.traf.iter().map(|run| run.tfdt.as_ref().unwrap().base_media_decode_time).collect();
    assert_eq!(begins, [90_000, 89_100]);
    let entry = |ms: u32, size, flags, cts: i64| TrunEntry {
        duration: Some(ms * 90),
        size: Some(size),
        flags: Some(flags),
        cts: Some(cts * 90),
    };
    assert_eq!(samples(&moof, 0), [entry(40, 3, 0x0200_0000, 80), entry(60, 5, 0x0101_0000, -40)]);
    let sound = |size| TrunEntry { duration: Some(21 * 90), size: Some(size), flags: None, cts: None };
    assert_eq!(samples(&moof, 1), [sound(2), sound(3)]);
}

#[test]
fn the_data_of_each_track_is_where_its_offset_says() {
    for is_segment in [false, true] {
        let mut fragmenter = Fragmenter::new(&both(), 0);
        fragmenter.push(frame(Track::Video, 0, b"picture")).unwrap();
        fragmenter.push(frame(Track::Audio, 0, b"sound")).unwrap();
        let bytes = fragmenter.cut(None, is_segment);
        let moof_at = bytes.windows(4).position(|window| window == b"moof").unwrap() - 4;
        let (moof, _) = fragment(&bytes);
        let at = |run: usize| moof_at + moof.traf[run].trun[0].data_offset.unwrap() as usize;
        assert_eq!((&bytes[at(0)..at(1)], &bytes[at(1)..]), (&b"picture"[..], &b"sound"[..]));
    }
}

#[test]
fn a_last_sample_lasts_as_its_track_did_when_nothing_tells() {
    let mut fragmenter = Fragmenter::new(&both(), 0);
    fragmenter.push(frame(Track::Audio, 0, b"a")).unwrap();
    let (moof, _) = fragment(&fragmenter.cut(None, false));
    // 1,024 samples of 48 kHz.
    assert_eq!(samples(&moof, 0)[0].duration, Some(1_920));
    for time in [21, 51, 81] {
        fragmenter.push(frame(Track::Audio, time, b"a")).unwrap();
    }
    let (moof, _) = fragment(&fragmenter.cut(None, false));
    assert_eq!((moof.mfhd.sequence_number, samples(&moof, 0)[2].duration), (2, Some(2_700)));
}

#[test]
fn a_recording_counts_from_its_origin() {
    let mut fragmenter = Fragmenter::new(&both(), 5_000_000_000);
    fragmenter.push(frame(Track::Video, 5_000_000_040, b"a")).unwrap();
    let (moof, _) = fragment(&fragmenter.cut(None, false));
    assert_eq!(moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time, 40 * 90);
}

#[test]
fn frames_of_tracks_that_were_not_announced_are_left_out() {
    let mut fragmenter = Fragmenter::new(&Tracks { audio: None, ..both() }, 0);
    fragmenter.push(frame(Track::Audio, 0, b"sound")).unwrap();
    assert!(fragmenter.is_empty() && fragmenter.bytes() == 0);
    assert_eq!(fragmenter.cut(None, true), Bytes::new());
}

proptest! {
    #[test]
    fn whatever_comes_fragments_can_be_read(
        frames in proptest::collection::vec(
            (any::<bool>(), any::<u64>(), any::<i32>(), any::<bool>(), 0..300_usize), 1..40),
        origin in any::<u64>(),
    ) {
        let mut fragmenter = Fragmenter::new(&both(), origin);
        let mut bytes = 0;
        for (is_video, timestamp, composition, is_keyframe, size) in frames {
            let track = if is_video { Track::Video } else { Track::Audio };
            bytes += size;
            fragmenter.push(Frame { track, timestamp, composition, is_keyframe, data: vec![1; size].into() }).unwrap();
        }
        prop_assert_eq!(fragmenter.bytes(), bytes);
        let (moof, data) = fragment(&fragmenter.cut(None, true));
        prop_assert_eq!(data.len(), bytes);
        let sizes = moof.traf.iter().flat_map(|run| run.trun[0].samples.iter()).map(|sample| sample.size.unwrap());
        prop_assert_eq!(sizes.sum::<u32>() as usize, bytes);
        prop_assert!(fragmenter.is_empty());
    }
}
