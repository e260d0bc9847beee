use bytes::Bytes;

use super::*;
use crate::hooks::Hooks;
use crate::media::class::classify;
use crate::media::{Kind, Tag};
use crate::mux::mpegts;

const WALL: u64 = 1_795_278_309_042;
const AVC_RECORD: &[u8] = b"\x17\0\0\0\0\x01\x64\x00\x0d\xff\xe1\x00\x19\
    \x67\x64\x00\x0d\xac\xd9\x41\x41\xfb\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x42\x99\x60\
    \x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0";
const AAC_CONFIG: &[u8] = b"\xaf\x00\x12\x10";
const OPUS_HEAD: &[u8] = b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

fn packet(kind: Kind, timestamp: u64, payload: &[u8]) -> Packet {
    let payload = Bytes::copy_from_slice(payload);
    let (class, _) = classify(&Tag { kind, timestamp: timestamp as u32, payload: payload.clone() });
    Packet { kind, class, timestamp, payload }
}

fn picture(timestamp: u64, is_keyframe: bool) -> Packet {
    let head: &[u8] =
        if is_keyframe { b"\x17\x01\0\0\0\0\0\0\x02\x65\x88" } else { b"\x27\x01\0\0\0\0\0\0\x02\x41\x9a" };
    packet(Kind::Video, timestamp, head)
}

fn sound(timestamp: u64) -> Packet {
    packet(Kind::Audio, timestamp, b"\xaf\x01\x21\x10\x04")
}

fn headers() -> Vec<Packet> {
    vec![packet(Kind::Video, 0, AVC_RECORD), packet(Kind::Audio, 0, AAC_CONFIG)]
}

/// Pictures each 40 ms, a keyframe each second, and as much sound.
fn media(from_ms: u64, to_ms: u64) -> Vec<Packet> {
    let times = (from_ms..to_ms).step_by(40);
    times.flat_map(|time| [picture(time, time.is_multiple_of(1_000)), sound(time)]).collect()
}

struct Bench {
    packer: Packer,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new(format: HlsFormat) -> Self {
        let metrics = Arc::new(Metrics::new());
        let memory = Memory::new(1 << 30, metrics.hls.memory_bytes.clone());
        let means = Means { memory, numbers: Arc::default(), metrics: Arc::clone(&metrics), hooks: Hooks::none() };
        let lengths = Lengths { fragment: 2_000, first: 10_000, target_s: 3, wait_keyframe: true };
        Self { packer: Packer::new(lengths, format, means), metrics }
    }

    /// Takes packets as if each came when it is due, and gives what is complete.
    fn take(&mut self, packets: &[Packet]) -> Vec<Entry> {
        for packet in packets {
            let now_ms = WALL + packet.timestamp;
            self.packer.take_packets(std::slice::from_ref(packet), true, now_ms);
        }
        self.finished()
    }

    fn finished(&mut self) -> Vec<Entry> {
        self.packer.take_finished().into_iter().map(|packed| packed.segment.entry).collect()
    }
}

fn lengths(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.duration_ms).collect()
}

#[test]
fn segments_are_numbered_without_gaps_and_dated() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let entries = bench.take(&media(0, 6_040));
    let first = entries[0];
    assert_eq!(first.date_ms, WALL);
    for (entry, nth) in entries.iter().zip(0..) {
        let expected = Entry {
            number: first.number + nth,
            duration_ms: 2_000,
            date_ms: WALL + nth * 2_000,
            is_discontinuous: false,
            discontinuities: first.discontinuities,
            is_independent: true,
            initialisation: None,
            bytes: entry.bytes,
        };
        assert_eq!(*entry, expected);
        assert!(entry.bytes > 0 && entry.bytes.is_multiple_of(mpegts::PACKET_BYTES));
    }
    assert_eq!(entries.len(), 3);
}

#[test]
fn what_comes_before_the_tracks_are_known_is_not_lost() {
    let mut bench = Bench::new(HlsFormat::Auto);
    let packets: Vec<Packet> = headers().into_iter().chain(media(0, 1_000)).collect();
    bench.packer.take_packets(&packets, false, WALL);
    assert!(bench.packer.tracks().is_empty());
    assert_eq!(lengths(&bench.take(&media(1_000, 2_040))), [2_000]);
}

#[test]
fn another_session_goes_on_behind_a_discontinuity() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let before = bench.take(&media(0, 3_000));
    bench.packer.begin_session();
    let rest = bench.finished();
    assert_eq!(lengths(&rest), [1_000]);
    bench.take(&headers());
    let after = bench.take(&media(8_000, 10_040));
    assert_eq!(after[0].number, before[0].number + 2);
    assert!(after[0].is_discontinuous);
    assert_eq!(after[0].discontinuities, before[0].discontinuities + 1);
    assert_eq!(after[0].date_ms, WALL + 8_000);
}

#[test]
fn a_session_that_returns_goes_on_with_its_tracks() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    bench.take(&media(0, 2_000));
    bench.packer.break_off();
    assert_eq!(lengths(&bench.finished()), [2_000]);
    let after = bench.take(&media(3_000, 5_040));
    assert_eq!((lengths(&after), after[0].is_discontinuous), (vec![2_000], true));
}

#[test]
fn another_playlist_begins_with_a_number_of_its_own() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let before = bench.take(&media(0, 4_040));
    bench.packer.begin_session();
    bench.packer.begin_playlist();
    bench.finished();
    bench.take(&headers());
    let packets = media(60_000, 62_040);
    packets
        .iter()
        .for_each(|packet| bench.packer.take_packets(std::slice::from_ref(packet), true, WALL + packet.timestamp));
    let after = bench.packer.take_finished();
    let entry = after[0].segment.entry;
    assert!(after[0].is_first && !entry.is_discontinuous);
    assert_eq!(entry.number, before[0].number + 240);
    assert_eq!(entry.discontinuities, before[0].discontinuities + 15);
}

#[test]
fn headers_that_come_again_tell_that_time_has_jumped() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    bench.take(&media(0, 3_000));
    let mut entries = bench.take(&headers());
    // Nothing can begin until the next keyframe.
    entries.extend(bench.take(&media(3_080, 6_040)));
    assert_eq!(lengths(&entries), [1_000, 2_000]);
    assert_eq!(entries.iter().map(|entry| entry.is_discontinuous).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn other_codecs_get_an_initialisation_of_their_own() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let first = bench.take(&media(0, 3_000))[0];
    // The sound becomes Opus, which MPEG-TS does not carry as players expect it.
    let rest = bench.take(&[packet(Kind::Audio, 3_000, OPUS_HEAD)])[0];
    let pictures: Vec<Packet> = media(3_000, 5_040).into_iter().filter(|packet| packet.kind == Kind::Video).collect();
    let fragments = bench.take(&pictures)[0];
    assert_eq!((rest.number, rest.initialisation), (first.number + 1, None));
    assert_eq!(fragments.initialisation, Some(fragments.number));
    assert!(fragments.is_discontinuous);
}

#[test]
fn tracks_that_only_fragments_carry_are_a_problem_where_mpegts_is_wanted() {
    let mut bench = Bench::new(HlsFormat::Mpegts);
    bench.take(&[packet(Kind::Audio, 0, OPUS_HEAD)]);
    let sound: Vec<Packet> = (0..100).map(|nth| packet(Kind::Audio, nth * 20, b"\x91Opus\xfc\xff\xfe")).collect();
    assert_eq!(bench.take(&sound), []);
    assert_eq!(bench.packer.problem(), Some("Opus audio does not fit into MPEG-TS"));
    bench.packer.begin_session();
    assert_eq!(bench.packer.problem(), None);
}

#[test]
fn a_codec_that_nothing_carries_is_a_problem() {
    let mut bench = Bench::new(HlsFormat::Auto);
    let pictures: Vec<Packet> = (0..100).map(|nth| packet(Kind::Video, nth * 40, b"\x12\0\0\0")).collect();
    let sound: Vec<Packet> = (0..100).map(|nth| sound(nth * 40)).collect();
    bench.take(&headers()[1..]);
    assert_eq!(bench.take(&pictures[..1]), []);
    assert_eq!(bench.take(&sound), []);
    assert_eq!(bench.packer.problem(), Some("H263 fits neither MPEG-TS nor fragmented MP4"));
}

#[test]
fn a_broken_header_is_a_problem_until_a_whole_one_comes() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&[packet(Kind::Video, 0, &AVC_RECORD[..20]), headers().remove(1)]);
    assert_eq!(bench.take(&media(0, 3_000)), []);
    assert!(bench.packer.problem().is_some_and(|problem| problem.starts_with("the H264 track cannot be used")));
    bench.take(&headers()[..1]);
    assert_eq!(lengths(&bench.take(&media(3_000, 5_040))), [2_000]);
    assert_eq!(bench.packer.problem(), None);
}

#[test]
fn groups_of_a_minute_do_not_fill_the_memory() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let pictures: Vec<Packet> = (0..1_500).map(|nth| picture(nth * 40, nth == 0)).collect();
    let entries = bench.take(&pictures);
    assert!(entries.len() >= 5, "{entries:?}");
    assert_eq!(bench.packer.forced_cuts(), entries.len() as u64);
    assert!(entries[0].is_independent && !entries[1].is_independent);
}

#[test]
fn broken_frames_are_left_out() {
    let mut bench = Bench::new(HlsFormat::Auto);
    bench.take(&headers());
    let mut packets = media(0, 2_040);
    packets.insert(10, packet(Kind::Video, 200, b"\x27\x01\0\0\0\xff\xff\xff\xff\x41"));
    packets.insert(20, packet(Kind::Video, 400, b"\x27\x01"));
    assert_eq!(lengths(&bench.take(&packets)), [2_000]);
    assert!(bench.metrics.hls.dropped_packets.get() >= 1);
}

#[test]
fn what_is_not_held_any_more_is_not_charged() {
    let mut bench = Bench::new(HlsFormat::Fmp4);
    bench.take(&headers());
    drop(bench.take(&media(0, 6_040)));
    assert!(bench.metrics.hls.memory_bytes.get() > 0);
    drop(bench.packer);
    assert_eq!(bench.metrics.hls.memory_bytes.get(), 0);
}
