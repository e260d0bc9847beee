use m3u8_rs::{MediaPlaylist as Parsed, parse_media_playlist_res};
use proptest::prelude::*;

use super::*;

impl Listed for Entry {
    fn entry(&self) -> &Entry {
        self
    }
}

const FIRST: u64 = 800_000_000;

fn entry(number: u64, duration_ms: u64) -> Entry {
    Entry {
        number: FIRST + number,
        duration_ms,
        date_ms: 1_795_278_309_042,
        is_discontinuous: false,
        discontinuities: FIRST,
        is_independent: true,
        initialisation: None,
        bytes: 1,
    }
}

fn parsed(window: &Window<Entry>) -> Parsed {
    let text = window.playlist(3, false, |entry| (format!("x/{}.ts", entry.number), None)).unwrap();
    parse_media_playlist_res(text.as_bytes()).unwrap()
}

#[test]
fn a_playlist_is_as_long_as_it_should_be_and_no_longer() {
    let now = Instant::now();
    let mut window = Window::new();
    for number in 0..20 {
        window.push(entry(number, 2_000), Duration::from_secs(12), 3, now);
    }
    let playlist = parsed(&window);
    assert_eq!((playlist.media_sequence, playlist.segments.len()), (FIRST + 14, 6));
}

#[test]
fn a_playlist_keeps_three_target_durations() {
    let now = Instant::now();
    let mut window = Window::new();
    for number in 0..20 {
        window.push(entry(number, 2_000), Duration::ZERO, 3, now);
    }
    assert_eq!(parsed(&window).segments.len(), 5);
}

#[test]
fn a_segment_stays_as_long_as_a_player_may_come_for_it() {
    let begin = Instant::now();
    let mut window = Window::new();
    let at = |number: u64| begin + Duration::from_secs(2 * number);
    for number in 0..=6 {
        window.push(entry(number, 2_000), Duration::from_secs(12), 3, at(number));
    }
    // It left a playlist of 14 s.
    assert_eq!(window.take_expired(at(6) + Duration::from_millis(15_999)), []);
    assert_eq!(window.take_expired(at(6) + Duration::from_secs(16)), [entry(0, 2_000)]);
}

#[test]
fn discontinuities_that_have_left_the_playlist_are_counted() {
    let now = Instant::now();
    let mut window = Window::new();
    for number in 0..10 {
        let is_discontinuous = number == 3 || number == 6;
        let discontinuities = FIRST + u64::from(number >= 3) + u64::from(number >= 6);
        window.push(Entry { is_discontinuous, discontinuities, ..entry(number, 2_000) }, Duration::ZERO, 2, now);
        let playlist = parsed(&window);
        let first = playlist.media_sequence - FIRST;
        let left = u64::from(first > 3) + u64::from(first > 6);
        assert_eq!(playlist.discontinuity_sequence, FIRST + left, "from {first} on");
    }
}

#[test]
fn a_playlist_that_begins_anew_still_has_the_segments_of_the_old_one() {
    let now = Instant::now();
    let mut window = Window::new();
    window.push(entry(0, 2_000), Duration::from_secs(12), 3, now);
    window.retire_all(now);
    assert_eq!(window.playlist(3, false, |_| (String::new(), None)), None);
    assert_eq!(window.newest_first().count(), 1);
}

proptest! {
    #[test]
    fn a_playlist_only_ever_moves_on(durations in proptest::collection::vec(100_u64..3_400, 1..60)) {
        let now = Instant::now();
        let mut window = Window::new();
        let mut before: Option<Parsed> = None;
        for (number, duration) in (0..).zip(durations) {
            window.push(entry(number, duration), Duration::from_secs(10), 3, now);
            let playlist = parsed(&window);
            prop_assert_eq!(playlist.media_sequence + playlist.segments.len() as u64, FIRST + number + 1);
            if let Some(before) = before {
                prop_assert!(playlist.media_sequence >= before.media_sequence);
            }
            let whole: f32 = playlist.segments.iter().map(|segment| segment.duration).sum();
            prop_assert!(playlist.media_sequence == FIRST || whole >= 9.9);
            before = Some(playlist);
        }
    }
}
