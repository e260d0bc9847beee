use proptest::prelude::*;

use super::*;

const WRAP: u64 = 1 << 32;

/// A time line whose first session has sent audio and video every 20 ms from `first` on for `count` steps.
fn after(first: u32, count: u32) -> Timeline {
    let mut timeline = Timeline::default();
    timeline.begin(Continuation::NewSession);
    for step in 0..count {
        let timestamp = first.wrapping_add(step * 20);
        timeline.place(Kind::Video, timestamp, u64::from(step) * 20);
        timeline.place(Kind::Audio, timestamp, u64::from(step) * 20);
    }
    timeline
}

#[test]
fn the_first_session_keeps_its_own_timestamps() {
    let mut timeline = Timeline::default();
    timeline.begin(Continuation::NewSession);
    assert_eq!(timeline.place(Kind::Video, 5_000, 0), Some(5_000));
    assert_eq!(timeline.place(Kind::Audio, 4_990, 1), Some(4_990));
    assert_eq!(timeline.place(Kind::Video, 5_040, 40), Some(5_040));
}

#[test]
fn a_new_session_is_placed_behind_the_old_one_by_the_wall_time_between_them() {
    let mut timeline = after(0, 51);
    timeline.begin(Continuation::NewSession);
    assert_eq!(timeline.place(Kind::Video, 70_000, 1_000 + 3_000), Some(4_000));
    assert_eq!(timeline.place(Kind::Audio, 70_010, 4_010), Some(4_010));
}

#[test]
fn one_offset_serves_all_tracks_of_a_session() {
    let mut timeline = after(0, 51);
    timeline.begin(Continuation::NewSession);
    assert_eq!(timeline.place(Kind::Audio, 0, 2_000), Some(2_000));
    assert_eq!(timeline.place(Kind::Video, 80, 2_000), Some(2_080));
}

#[test]
fn a_resumed_session_drops_what_its_tracks_have_had() {
    let mut timeline = after(0, 51);
    timeline.begin(Continuation::SameSession);
    assert_eq!(timeline.place(Kind::Video, 0, 5_000), None);
    assert_eq!(timeline.place(Kind::Video, 1_000, 5_000), None);
    assert_eq!(timeline.place(Kind::Audio, 1_000, 5_000), None);
    assert_eq!(timeline.place(Kind::Video, 1_020, 5_000), Some(1_020));
    assert_eq!(timeline.place(Kind::Audio, 1_020, 5_000), Some(1_020));
}

#[test]
fn a_resumed_session_that_went_back_to_zero_long_ago_is_not_dropped() {
    let mut timeline = after(3_600_000, 51);
    timeline.begin(Continuation::SameSession);
    assert_eq!(timeline.place(Kind::Video, 0, 2_000), Some(3_602_000));
}

#[test]
fn timestamps_go_on_rising_over_the_wrap_at_2_to_the_32() {
    let mut timeline = after(u32::MAX - 19, 1);
    assert_eq!(timeline.place(Kind::Video, 20, 20), Some(WRAP + 20));
    assert_eq!(timeline.place(Kind::Audio, u32::MAX, 20), Some(WRAP - 1));
    assert_eq!(timeline.place(Kind::Audio, 40, 40), Some(WRAP + 40));
}

#[test]
fn a_jump_ahead_of_more_than_ten_seconds_is_closed_to_the_wall_time_that_passed() {
    let mut timeline = after(0, 51);
    assert_eq!(timeline.place(Kind::Video, 11_001, 1_040), Some(1_040));
    assert_eq!(timeline.place(Kind::Audio, 11_021, 1_060), Some(1_060));
}

#[test]
fn a_gap_of_up_to_ten_seconds_stays_a_gap() {
    let mut timeline = after(0, 51);
    assert_eq!(timeline.place(Kind::Video, 11_000, 1_040), Some(11_000));
}

#[test]
fn a_jump_back_of_more_than_a_second_goes_on_behind_what_was_sent() {
    let mut timeline = after(100_000, 51);
    assert_eq!(timeline.place(Kind::Video, 0, 1_040), Some(101_040));
    assert_eq!(timeline.place(Kind::Video, 40, 1_080), Some(101_080));
}

#[test]
fn a_small_step_back_stands_still_on_its_track() {
    let mut timeline = after(0, 51);
    assert_eq!(timeline.place(Kind::Video, 500, 1_010), Some(1_000));
    assert_eq!(timeline.place(Kind::Video, 1_040, 1_040), Some(1_040));
}

#[test]
fn a_jump_is_told_once_and_not_for_tags_that_were_under_way() {
    let mut timeline = after(100_000, 51);
    assert!(!timeline.take_jump());
    timeline.place(Kind::Video, 0, 1_020);
    assert!(timeline.take_jump());
    timeline.place(Kind::Audio, 101_010, 1_030);
    timeline.place(Kind::Audio, 20, 1_045);
    assert!(!timeline.take_jump());
}

#[test]
fn tags_under_way_at_a_jump_do_not_make_it_jump_again() {
    let mut timeline = after(100_000, 51);
    assert_eq!(timeline.place(Kind::Video, 0, 1_020), Some(101_020));
    assert_eq!(timeline.place(Kind::Audio, 101_010, 1_030), Some(101_010));
    assert_eq!(timeline.place(Kind::Video, 20, 1_040), Some(101_040));
    assert_eq!(timeline.place(Kind::Audio, 20, 1_045), Some(101_040));
}

#[test]
fn a_track_that_was_silent_for_long_joins_where_the_other_one_is() {
    let mut timeline = after(0, 2);
    for step in 2..2_000 {
        timeline.place(Kind::Audio, step * 20, u64::from(step) * 20);
    }
    assert_eq!(timeline.place(Kind::Video, 40_000, 40_000), Some(40_000));
}

#[test]
fn script_data_and_headers_never_move_the_time_line() {
    let mut timeline = Timeline::default();
    timeline.begin(Continuation::NewSession);
    assert_eq!(timeline.place_aside(Kind::Data, 0), 0);
    assert_eq!(timeline.place_aside(Kind::Video, 0), 0);
    assert_eq!(timeline.place(Kind::Video, 900_000, 0), Some(900_000));
    assert_eq!(timeline.place_aside(Kind::Data, 0), 900_000);
    assert_eq!(timeline.place_aside(Kind::Data, 900_500), 900_500);
    assert_eq!(timeline.place(Kind::Video, 900_040, 40), Some(900_040));
}

proptest! {
    #[test]
    fn every_track_is_monotonic_whatever_the_sender_does(
        tags in proptest::collection::vec((0..3_u8, any::<u32>(), 0..5_000_u64, 0..20_u8), 1..200)
    ) {
        let mut timeline = Timeline::default();
        timeline.begin(Continuation::NewSession);
        let (mut wall, mut last) = (0, [0; 3]);
        for (track, timestamp, elapsed, change) in tags {
            wall += elapsed;
            match change {
                0 => timeline.begin(Continuation::NewSession),
                1 => timeline.begin(Continuation::SameSession),
                _ => {}
            }
            let placed = match track {
                0 => timeline.place(Kind::Audio, timestamp, wall),
                1 => timeline.place(Kind::Video, timestamp, wall),
                _ => Some(timeline.place_aside(Kind::Data, timestamp)),
            };
            if let Some(time) = placed {
                prop_assert!(time >= last[track as usize]);
                last[track as usize] = time;
            }
        }
    }

    #[test]
    fn steady_streams_keep_their_distances_from_any_start(first in any::<u32>(), steps in 1..500_u32) {
        let timeline = after(first, steps);
        prop_assert_eq!(timeline.highest(), Some(u64::from(first) + u64::from(steps - 1) * 20));
    }
}
