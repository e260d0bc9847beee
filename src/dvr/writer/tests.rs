use crate::dvr::bench::{Bench, audio_header, frame, frames_in, key, keyframe, packet, sound, video_header};
use crate::dvr::library::Filter;
use crate::metrics::RecordingError;

use super::*;

/// 2020-01-01.
const MOMENT: u64 = 1_577_836_800_000;

fn writer(bench: &Bench) -> Writer {
    let settings = Arc::new(bench.config.current().dvr_for("live"));
    Writer::new(bench.library.clone(), key(), Identity::random(), settings)
}

fn batch(packets: impl IntoIterator<Item = Packet>) -> Batch {
    let packets: Vec<Packet> = packets.into_iter().collect();
    let bytes = packets.iter().map(|packet| packet.payload.len()).sum();
    Batch { packets, bytes, settled: true, since_ms: MOMENT }
}

/// The timestamps of the frames of all complete recordings, the oldest first.
fn recorded(bench: &Bench) -> Vec<Vec<(u8, u32)>> {
    let page = bench.library.list(&Filter::default(), 0, 1_000);
    let mut paths: Vec<_> = page
        .recordings
        .iter()
        .map(|recording| {
            assert!(recording.is_complete);
            recording.path.clone()
        })
        .collect();
    // By their numbers: they all began in the same moment.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    paths.iter().map(|path| frames_in(path)).collect()
}

const KEY: u8 = 0x17;
const INTER: u8 = 0x27;
const AAC: u8 = 0xaf;

#[test]
fn a_session_is_one_recording_from_its_first_keyframe_on_with_the_moment_of_sound_before_it() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), audio_header(), sound(4_000), frame(4_950), sound(4_960), keyframe(5_000)]));
    writer.write(batch([frame(5_040), sound(5_041), keyframe(60_000)]));
    writer.finish();
    let expected = vec![(AAC, 0), (KEY, 40), (INTER, 80), (AAC, 81), (KEY, 55_040)];
    assert_eq!(recorded(&bench), [expected]);
    assert_eq!(bench.files(), ["live/x.1577836800000.flv"]);
    assert_eq!(bench.metrics.dvr.recordings.get(), 0);
}

#[test]
fn segments_are_cut_at_the_first_keyframe_after_their_duration() {
    let bench = Bench::new("plan = \"segment\"\nduration = \"2s\"");
    let mut writer = writer(&bench);
    let packets = (0..60).map(|tick| if tick % 10 == 0 { keyframe(tick * 150) } else { frame(tick * 150) });
    writer.write(batch([video_header()].into_iter().chain(packets)));
    writer.finish();
    let each = recorded(&bench);
    assert_eq!(each.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 20]);
    assert!(each.iter().all(|frames| frames[0] == (KEY, 0)));
}

#[test]
fn sound_alone_is_cut_anywhere() {
    let bench = Bench::new("plan = \"segment\"\nduration = \"1s\"");
    let mut writer = writer(&bench);
    writer.write(batch([audio_header()].into_iter().chain((0..30).map(|tick| sound(tick * 100)))));
    writer.finish();
    assert_eq!(recorded(&bench).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn without_keyframes_a_recording_begins_and_ends_all_the_same() {
    let bench = Bench::new("plan = \"segment\"\nduration = \"5s\"");
    let mut writer = writer(&bench);
    writer.write(batch([video_header()].into_iter().chain((0..200).map(|tick| frame(tick * 1_000)))));
    writer.finish();
    let each = recorded(&bench);
    assert_eq!(each.iter().map(Vec::len).collect::<Vec<_>>(), [65, 65, 60], "the first ten seconds are waited");
    assert!(each.iter().all(|frames| frames[0].1 == 0));
}

#[test]
fn keyframes_are_not_waited_for_where_that_is_not_wanted() {
    let bench = Bench::new("wait_keyframe = false\nplan = \"segment\"\nduration = \"1s\"");
    let mut writer = writer(&bench);
    writer.write(batch([video_header()].into_iter().chain((0..4).map(|tick| frame(tick * 500)))));
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(INTER, 0), (INTER, 500)], vec![(INTER, 0), (INTER, 500)]]);
}

#[test]
fn a_session_without_a_frame_leaves_nothing_behind() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), audio_header()]));
    writer.finish();
    drop(writer);
    assert_eq!(bench.files(), Vec::<String>::new());
    assert_eq!(bench.library.list(&Filter::default(), 0, 10).total, 0);
}

#[test]
fn a_track_that_comes_a_little_later_belongs_to_the_same_recording() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    writer.write(Batch { settled: false, ..batch([video_header(), keyframe(0), frame(40)]) });
    writer.write(batch([audio_header(), sound(50), frame(80)]));
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(KEY, 0), (INTER, 40), (AAC, 50), (INTER, 80)]]);
}

#[test]
fn a_track_that_comes_much_later_begins_another_recording() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), keyframe(0), frame(5_000)]));
    writer.write(batch([audio_header(), keyframe(6_000), sound(6_001)]));
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(KEY, 0), (INTER, 5_000)], vec![(KEY, 0), (AAC, 1)]]);
}

#[test]
fn headers_that_say_the_same_again_change_nothing() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    for second in 0..3 {
        writer.write(batch([video_header(), audio_header(), keyframe(second * 1_000), sound(second * 1_000)]));
    }
    writer.finish();
    assert_eq!(recorded(&bench).len(), 1);
}

#[test]
fn what_is_longer_than_players_can_count_is_cut() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    let longest = i32::MAX as u64;
    writer.write(batch([video_header(), keyframe(0), keyframe(longest - 1), keyframe(longest), frame(longest + 40)]));
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(KEY, 0), (KEY, i32::MAX as u32 - 1)], vec![(KEY, 0), (INTER, 40)]]);
}

#[test]
fn a_disk_below_its_floor_takes_nothing_and_everything_is_counted_once() {
    let bench = Bench::new("min_free = \"1000000GiB\"");
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), keyframe(0), frame(40)]));
    writer.write(batch([keyframe(80)]));
    writer.finish();
    assert_eq!(bench.files(), Vec::<String>::new());
    assert_eq!(bench.metrics.dvr.errors(RecordingError::Full).get(), 1, "the pause is not over");
    assert_eq!(bench.metrics.dvr.dropped_bytes.get(), 3 * 6);
    assert_eq!(bench.metrics.dvr.recordings.get(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_and_not_the_end() {
    let bench = Bench::new("");
    std::fs::write(bench.root(), "a file is in the way").unwrap();
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), keyframe(0)]));
    let errors: u64 = [RecordingError::Failed, RecordingError::Full]
        .map(|reason| bench.metrics.dvr.errors(reason).get())
        .iter()
        .sum();
    assert_eq!(errors, 1);
    // As if the pause were over.
    std::fs::remove_file(bench.root()).unwrap();
    if let Some(Stopped::Until { moment, .. }) = &mut writer.stopped {
        *moment = Instant::now();
    }
    writer.write(batch([frame(40), keyframe(80), frame(120)]));
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(KEY, 0), (INTER, 40)]]);
}

#[test]
fn a_stream_that_the_format_cannot_hold_is_counted_until_its_tracks_are_others() {
    let bench = Bench::new("format = \"fmp4\"");
    let mut writer = writer(&bench);
    // Speex, in a format that knows nothing of it.
    writer.write(batch([packet(Kind::Audio, 0, &[0xb2, 1, 2]), packet(Kind::Audio, 20, &[0xb2, 1, 2])]));
    assert_eq!(bench.metrics.dvr.errors(RecordingError::Codec).get(), 1);
    assert_eq!(bench.metrics.dvr.dropped_bytes.get(), 6);
    writer.write(batch([audio_header(), sound(40), sound(60)]));
    writer.finish();
    assert_eq!(bench.library.list(&Filter::default(), 0, 10).total, 1);
}

#[test]
fn a_writer_that_is_dropped_completes_its_recording() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    writer.write(batch([video_header(), keyframe(0)]));
    drop(writer);
    assert_eq!(recorded(&bench), [vec![(KEY, 0)]]);
}

#[test]
fn headers_without_end_take_no_more_memory_than_a_bound() {
    let bench = Bench::new("");
    let mut writer = writer(&bench);
    let huge = [&[0x17, 0][..], &vec![1; MAX_HEADER_BYTES]].concat();
    writer.write(batch([packet(Kind::Video, 0, &huge), video_header(), keyframe(0)]));
    for track in 1..=255 {
        // Configurations of other tracks of a multitrack stream.
        let body = [&[0x96, 0x00][..], b"avc1", &[track], &[0; 100_000]].concat();
        writer.write(batch([packet(Kind::Video, 0, &body)]));
    }
    let kept: usize = writer.headers.values().map(|header| header.payload.len()).sum();
    assert!(kept <= MAX_HEADER_BYTES && !writer.headers.is_empty(), "{kept}");
    writer.finish();
    assert_eq!(recorded(&bench), [vec![(KEY, 0)]]);
}
