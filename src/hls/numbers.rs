//! The numbers of segments, which go on rising over restarts and from one origin to the next.
//!
//! Owns where a playlist begins to count. Packagers ask for a first number and tell how far they have come; nothing is
//! stored anywhere.
//!
//! A playlist must count its segments without gaps, but it may begin anywhere, and a player goes on with another playlist
//! under the same URL as long as its numbers are higher. So a playlist begins with the time: quarters of a second
//! since 2020. Segments are longer than that, so while a playlist lives the clock runs away from it, and whoever begins
//! the next one, be it this process started again or another origin, begins with a higher number than it has reached. Clocks of
//! two origins may differ by as much as the playlist has fallen behind: nearly the time that it has lived. Numbers stay below
//! 2^31, which some players need, until 2037.
//!
//! The numbers of discontinuities have to be small: hls.js (1.7) keeps an array as long as the number and walks through all of
//! it at each refresh, and with one of today's seconds a browser stands still for minutes. So they begin with the time in steps of
//! four seconds, and after a day and a half again at zero. What players need of them is that another playlist has another one,
//! because its media has other timestamps; two origins that begin with the stream in the same four seconds are none that a player
//! went from one to the other of. Which playlist is the later one, players tell by the numbers of the segments.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers a second: more than any stream has segments for long.
const RATE: u64 = 4;
/// 2020-01-01T00:00:00Z in milliseconds since 1970.
const EPOCH_MS: u64 = 1_577_836_800_000;

/// Numbers of discontinuities begin below this: walking through so many takes a browser a few milliseconds.
const DISCONTINUITIES: u64 = 1 << 15;
/// How long it takes until a playlist begins with another one, in milliseconds.
const DISCONTINUITY_STEP_MS: u64 = 4_000;

/// The highest number given in this process: should the clock be set back, numbers are not.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: AtomicU64,
}

impl Numbers {
    /// The first number of a playlist that begins now, in milliseconds since 1970.
    pub(super) fn begin(&self, unix_ms: u64) -> u64 {
        self.next.load(Ordering::Relaxed).max(at(unix_ms))
    }

    /// Takes note of a number that was given to a segment.
    pub(super) fn note(&self, number: u64) {
        self.next.fetch_max(number.saturating_add(1), Ordering::Relaxed);
    }
}

/// The number that a playlist begins with at a time.
const fn at(unix_ms: u64) -> u64 {
    unix_ms.saturating_sub(EPOCH_MS) / (1_000 / RATE)
}

/// How many discontinuities a playlist that begins now says it has behind it.
pub(super) const fn first_discontinuity(unix_ms: u64) -> u64 {
    (unix_ms / DISCONTINUITY_STEP_MS) % DISCONTINUITIES
}

/// Whether `number` may have been given before `unix_ms`: what is not, is no segment of ours.
pub(super) const fn is_plausible(number: u64, unix_ms: u64) -> bool {
    /// 2025-01-01, before which this numbering was not in use.
    const FIRST_MS: u64 = 1_735_689_600_000;
    /// A year, should the clock have been set back.
    const SLACK_MS: u64 = 365 * 86_400_000;
    number >= at(FIRST_MS) && number <= at(unix_ms.saturating_add(SLACK_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_795_278_309_042;

    #[test]
    fn numbers_fit_into_31_bits_until_2037() {
        const END_OF_2036_MS: u64 = 2_114_380_800_000;
        assert!(at(END_OF_2036_MS) < 1 << 31);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_set_numbers_back() {
        let numbers = Numbers::default();
        let first = numbers.begin(NOW_MS);
        numbers.note(first);
        assert_eq!(numbers.begin(NOW_MS - 3_600_000), first + 1);
    }

    #[test]
    fn another_process_begins_beyond_what_was_reached() {
        let first = Numbers::default().begin(NOW_MS);
        // A minute of segments of half a second, and one that ended early each second.
        let reached = first + 180 - 1;
        assert!(Numbers::default().begin(NOW_MS + 60_000) > reached);
    }

    #[test]
    fn numbers_of_discontinuities_rise_with_the_time_and_stay_small() {
        assert_eq!(first_discontinuity(NOW_MS + 8_000), first_discontinuity(NOW_MS) + 2);
        assert!(first_discontinuity(u64::MAX) < 1 << 15);
    }

    #[test]
    fn only_numbers_of_our_time_are_plausible() {
        assert!(is_plausible(at(NOW_MS), NOW_MS));
        for number in [0, 1, 10_000_000, u64::MAX] {
            assert!(!is_plausible(number, NOW_MS), "{number}");
        }
    }

    proptest! {
        #[test]
        fn no_clock_does_harm(unix_ms in any::<u64>(), number in any::<u64>()) {
            let numbers = Numbers::default();
            numbers.note(number);
            let first = numbers.begin(unix_ms);
            prop_assert!(first > number || number == u64::MAX);
            is_plausible(number, unix_ms);
        }
    }
}
