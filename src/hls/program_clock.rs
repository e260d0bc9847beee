//! What time of day it was when a frame was taken.
//!
//! Owns the relation between a stream's time line and the wall clock, for `EXT-X-PROGRAM-DATE-TIME`. Frames come late by
//! whatever delays them, never early: the frame that came with the least delay tells most. Dates follow the stream's own
//! time, and are led back to the wall clock slowly, since an encoder's clock drifts. They jump only where the stream does, and
//! never back: a player finds its place by them.

/// The most by which a segment's date is led back to the wall clock, in milliseconds.
const STEP_MS: i64 = 20;

/// Dates the segments of one stream. All times are in milliseconds; those of the wall clock since 1970.
#[derive(Debug, Default)]
pub(super) struct ProgramClock {
    /// The wall clock minus the stream's time, by the earliest frame since the last date.
    earliest: Option<i64>,
    /// The same of the last date.
    offset: i64,
    /// The end of the last segment: on the time line, and its date.
    last: Option<(u64, u64)>,
}

impl ProgramClock {
    /// Takes note of a frame at `timestamp` that came at `wall`.
    pub(super) fn observe(&mut self, timestamp: u64, wall: u64) {
        let offset = wall as i64 - timestamp as i64;
        self.earliest = Some(self.earliest.map_or(offset, |earliest| earliest.min(offset)));
    }

    /// The date of the segment that begins at `begin` and has `duration`; `is_continuous` if it goes on where the last one ended.
    pub(super) fn date(&mut self, begin: u64, duration: u64, is_continuous: bool) -> u64 {
        self.offset = self.earliest.take().unwrap_or(self.offset);
        let measured = begin as i64 + self.offset;
        let date = match self.last {
            Some((end, end_date)) => {
                if is_continuous {
                    let expected = end_date as i64 + (begin as i64 - end as i64).max(0);
                    expected + (measured - expected).clamp(-STEP_MS, STEP_MS)
                } else {
                    // It cannot have been before the end of what came before.
                    measured.max(end_date as i64)
                }
            }
            None => measured,
        };
        let date = u64::try_from(date).unwrap_or(0);
        self.last = Some((begin + duration, date + duration));
        date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_795_278_309_042;

    #[test]
    fn the_frame_with_the_least_delay_tells_the_date() {
        let mut clock = ProgramClock::default();
        // What the ring held comes at once: only its last frame is new.
        for timestamp in [0, 1_000, 2_000, 3_000] {
            clock.observe(timestamp, WALL);
        }
        assert_eq!(clock.date(0, 2_000, false), WALL - 3_000);
        assert_eq!(clock.date(2_000, 2_000, true), WALL - 1_000);
    }

    #[test]
    fn dates_go_on_with_the_stream_and_not_with_the_delays() {
        let mut clock = ProgramClock::default();
        clock.observe(0, WALL);
        assert_eq!(clock.date(0, 2_000, false), WALL);
        clock.observe(2_000, WALL + 2_010);
        clock.observe(3_000, WALL + 3_500);
        assert_eq!(clock.date(2_000, 2_000, true), WALL + 2_010);
    }

    #[test]
    fn drift_is_led_back_in_small_steps() {
        let mut clock = ProgramClock::default();
        clock.observe(0, WALL);
        clock.date(0, 2_000, false);
        let mut date = 0;
        for segment in 1..=10 {
            clock.observe(segment * 2_000, WALL + segment * 2_000 + 100);
            date = clock.date(segment * 2_000, 2_000, true);
            if segment == 1 {
                assert_eq!(date, WALL + 2_020);
            }
        }
        assert_eq!(date, WALL + 20_100);
    }

    #[test]
    fn a_clock_that_was_set_ahead_is_followed_where_the_stream_breaks() {
        let mut clock = ProgramClock::default();
        clock.observe(0, WALL);
        clock.date(0, 2_000, false);
        clock.observe(2_000, WALL + 3_600_000);
        assert_eq!(clock.date(2_000, 2_000, true), WALL + 2_020);
        assert_eq!(clock.date(4_000, 2_000, false), WALL + 3_602_000);
    }

    #[test]
    fn media_that_comes_faster_than_time_passes_does_not_set_dates_back() {
        let mut clock = ProgramClock::default();
        let dates = (0..10).map(|segment| {
            clock.observe(segment * 10_000, WALL);
            clock.date(segment * 10_000, 10_000, segment % 2 == 1)
        });
        let dates: Vec<u64> = dates.collect();
        assert!(dates.windows(2).all(|pair| pair[1] + 20 >= pair[0] + 10_000), "{dates:?}");
    }

    #[test]
    fn a_new_session_is_not_dated_before_the_end_of_the_last() {
        let mut clock = ProgramClock::default();
        clock.observe(0, WALL);
        clock.date(0, 2_000, false);
        clock.observe(2_000, WALL + 1_500);
        assert_eq!(clock.date(2_000, 2_000, false), WALL + 2_000);
    }
}
