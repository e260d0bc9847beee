//! Dates and times of day in UTC, from a clock that somebody else reads.
//!
//! Owns the calendar that playlists and the names of recordings need.

use std::fmt;

/// A moment in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc {
    /// The year of the Gregorian calendar.
    pub year: u64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59: Unix time has no leap seconds.
    pub second: u8,
    /// 0 to 999.
    pub millisecond: u16,
}

impl Utc {
    /// The moment so many milliseconds after 1970 began.
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        const DAY_MS: u64 = 86_400_000;
        let in_day = unix_ms % DAY_MS;
        let (year, month, day) = date(unix_ms / DAY_MS);
        Self {
            year,
            month,
            day,
            hour: (in_day / 3_600_000) as u8,
            minute: (in_day / 60_000 % 60) as u8,
            second: (in_day / 1_000 % 60) as u8,
            millisecond: (in_day % 1_000) as u16,
        }
    }
}

/// ISO 8601 with milliseconds, as `EXT-X-PROGRAM-DATE-TIME` wants it.
impl fmt::Display for Utc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// The date of a day counted from 1970 on. Years are counted from March here, so that leap days are their last.
const fn date(day: u64) -> (u64, u8, u8) {
    const DAYS_TO_1970: u64 = 719_468;
    const ERA_DAYS: u64 = 146_097;
    let day = day + DAYS_TO_1970;
    let (era, of_era) = (day / ERA_DAYS, day % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 { (year, month as u8 + 3, day as u8) } else { (year + 1, month as u8 - 9, day as u8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_iso_8601() {
        let text = |unix_ms| Utc::from_unix_ms(unix_ms).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(text(1_795_278_309_042), "2026-11-21T16:25:09.042Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn the_last_moment_of_the_clock_does_no_harm() {
        assert!(Utc::from_unix_ms(u64::MAX).year > 500_000_000);
    }
}
