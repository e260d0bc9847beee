use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn cutter() -> Cutter {
    Cutter::new(Lengths { fragment: 2_000, first: 10_000, target_s: 3, wait_keyframe: true })
}

fn frame(track: Track, timestamp: u64, is_keyframe: bool) -> Frame {
    Frame { track, timestamp, composition: 0, is_keyframe, data: Bytes::new() }
}

fn video(timestamp: u64, keyframe_every: u64) -> Frame {
    frame(Track::Video, timestamp, timestamp.is_multiple_of(keyframe_every))
}

/// The lengths of the segments, and whether they ended by force, of video at 25 pictures a second.
fn cuts(cutter: &mut Cutter, times: impl Iterator<Item = u64>, keyframe_every: u64) -> Vec<(u64, bool)> {
    let mut cuts = Vec::new();
    for time in times {
        if let Step::Cut { duration_ms, is_forced } = cutter.step(&video(time, keyframe_every), true, 0) {
            cutter.fix_target(duration_ms);
            cuts.push((duration_ms, is_forced));
        }
    }
    cuts
}

fn pictures(seconds: u64) -> impl Iterator<Item = u64> {
    (0..seconds * 25).map(|picture| picture * 40)
}

#[test]
fn segments_end_at_the_first_keyframe_from_their_length_on() {
    assert_eq!(cuts(&mut cutter(), pictures(7), 1_000), [(2_000, false); 3]);
    assert_eq!(cuts(&mut cutter(), pictures(10), 3_000), [(3_000, false); 3]);
}

#[test]
fn a_keyframe_that_is_a_millisecond_early_is_taken() {
    let mut cutter = cutter();
    assert_eq!(cutter.step(&frame(Track::Video, 0, true), true, 0), Step::Begin);
    let cut = Step::Cut { duration_ms: 1_999, is_forced: false };
    assert_eq!(cutter.step(&frame(Track::Video, 1_999, true), true, 0), cut);
}

#[test]
fn the_first_segment_fixes_the_target_duration() {
    let mut cutter = cutter();
    cuts(&mut cutter, pictures(10), 5_000);
    assert_eq!(cutter.target_s(), Some(5));
}

#[test]
fn groups_of_a_minute_are_cut_where_the_target_duration_ends() {
    let mut cutter = cutter();
    let found = cuts(&mut cutter, pictures(60), 60_000);
    assert_eq!(cutter.target_s(), Some(10));
    assert!(found.len() >= 5 && found.iter().all(|(length, forced)| *forced && *length <= 10_400), "{found:?}");
}

#[test]
fn later_groups_that_are_longer_than_the_target_duration_are_cut() {
    let mut cutter = cutter();
    cuts(&mut cutter, pictures(6), 2_000);
    let found = cuts(&mut cutter, pictures(30).map(|time| time + 6_000), 30_000);
    assert_eq!(cutter.target_s(), Some(3));
    assert!(found.iter().all(|(length, _)| *length <= 3_400), "{found:?}");
}

#[test]
fn without_video_segments_end_with_their_length() {
    let mut cutter = cutter();
    let mut lengths = Vec::new();
    for time in (0..300).map(|piece| piece * 23) {
        if let Step::Cut { duration_ms, is_forced } = cutter.step(&frame(Track::Audio, time, true), false, 0) {
            lengths.push((duration_ms, is_forced));
        }
    }
    assert_eq!(lengths, [(1_955, false); 3]);
}

#[test]
fn sound_before_the_first_keyframe_begins_nothing() {
    let mut cutter = cutter();
    assert_eq!(cutter.step(&frame(Track::Audio, 0, true), true, 0), Step::Skip);
    assert_eq!(cutter.step(&frame(Track::Video, 10, false), true, 0), Step::Skip);
    assert_eq!(cutter.step(&frame(Track::Video, 20, true), true, 0), Step::Begin);
}

#[test]
fn a_stream_that_never_has_a_keyframe_is_cut_anyway() {
    let mut cutter = cutter();
    let steps: Vec<Step> = pictures(40).map(|time| cutter.step(&frame(Track::Video, time, false), true, 0)).collect();
    let cuts = steps.iter().filter(|step| matches!(step, Step::Cut { is_forced: true, .. })).count();
    assert!(steps.contains(&Step::Begin) && cuts >= 2, "{cuts} cuts");
}

#[test]
fn where_there_is_nothing_for_long_the_segment_has_ended_before() {
    let mut cutter = cutter();
    cuts(&mut cutter, pictures(5), 2_000);
    assert_eq!(cutter.step(&video(14_000, 2_000), true, 0), Step::Break { duration_ms: 1_000 });
    assert_eq!(cutter.step(&video(14_000, 2_000), true, 0), Step::Begin);
}

#[test]
fn slides_that_come_every_second_fit_into_the_target_duration() {
    let mut cutter = cutter();
    let found = cuts(&mut cutter, (0..60).map(|slide| slide * 1_000), 30_000);
    assert!(found.iter().all(|(length, _)| target_duration(*length) <= 10), "{found:?}");
}

#[test]
fn a_segment_that_is_large_enough_is_cut() {
    let mut cutter = cutter();
    assert_eq!(cutter.step(&video(0, 2_000), true, 0), Step::Begin);
    assert_eq!(cutter.step(&video(40, 2_000), true, MAXIMUM_BYTES - 1), Step::Add);
    let cut = Step::Cut { duration_ms: 80, is_forced: true };
    assert_eq!(cutter.step(&video(80, 2_000), true, MAXIMUM_BYTES), cut);
}

proptest! {
    #[test]
    fn no_segment_is_longer_than_players_were_told(
        frames in proptest::collection::vec((0_u64..12_000, any::<bool>(), 0_u8..20), 1..300),
    ) {
        let mut cutter = cutter();
        let mut time = 0;
        for (gap, is_video, keyframe) in frames {
            // Mostly frames as they come, sometimes none for long.
            time += if gap < 11_000 { gap / 200 } else { gap };
            let track = if is_video { Track::Video } else { Track::Audio };
            let frame = frame(track, time, !is_video || keyframe == 0);
            let mut step = cutter.step(&frame, true, 0);
            if let Step::Break { duration_ms } = step {
                prop_assert!(target_duration(duration_ms) <= cutter.fix_target(duration_ms));
                step = cutter.step(&frame, true, 0);
                prop_assert!(matches!(step, Step::Begin | Step::Skip));
            }
            if let Step::Cut { duration_ms, .. } = step {
                prop_assert!(duration_ms > 0);
                prop_assert!(target_duration(duration_ms) <= cutter.fix_target(duration_ms));
            }
        }
    }
}
