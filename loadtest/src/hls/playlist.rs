//! What a viewer reads in a media playlist (RFC 8216).

use std::time::Duration;

/// A playlist.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Playlist {
    pub(super) target: Duration,
    pub(super) segments: Vec<Segment>,
}

/// A segment of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// Its media sequence number.
    pub(super) sequence: u64,
    /// Relative to the playlist.
    pub(super) uri: String,
    pub(super) duration: Duration,
    /// When it ended, in milliseconds since 1970, if the playlist has dates.
    pub(super) ended_at: Option<i64>,
}

impl Playlist {
    /// Reads a playlist; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with("#EXTM3U") {
            return None;
        }
        let mut playlist = Self { target: Duration::from_secs(1), segments: Vec::new() };
        let (mut sequence, mut duration, mut date) = (0, Duration::ZERO, None);
        for line in text.lines().map(str::trim) {
            if let Some(seconds) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                playlist.target = Duration::from_secs(seconds.parse().ok()?);
            } else if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                sequence = number.parse().ok()?;
            } else if let Some(text) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                date = unix_milliseconds(text);
            } else if let Some(info) = line.strip_prefix("#EXTINF:") {
                let seconds = info.split(',').next()?.parse().ok()?;
                duration = Duration::try_from_secs_f64(seconds).ok()?;
            } else if !line.is_empty() && !line.starts_with('#') {
                date = date.map(|date| date + i64::try_from(duration.as_millis()).unwrap_or(0));
                playlist.segments.push(Segment { sequence, uri: line.to_owned(), duration, ended_at: date });
                sequence = sequence.saturating_add(1);
            }
        }
        Some(playlist)
    }
}

/// ISO 8601 as playlists have it: `2026-11-21T16:25:09.042Z`, or with an offset from UTC.
fn unix_milliseconds(text: &str) -> Option<i64> {
    let (day, time) = text.split_once('T')?;
    let mut day = day.splitn(3, '-').map(|part| part.parse::<i64>());
    let (year, month, day) = (day.next()?.ok()?, day.next()?.ok()?, day.next()?.ok()?);
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut clock = clock.splitn(3, ':');
    let (hours, minutes) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let seconds = clock.next()?.parse::<f64>().ok()?;
    let offset = match zone.strip_prefix('Z') {
        Some(_) => 0,
        None => {
            let digits: String = zone[1..].chars().filter(char::is_ascii_digit).collect();
            let minutes = digits.get(..2)?.parse::<i64>().ok()? * 60 + digits.get(2..4)?.parse::<i64>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let minutes = (days_since_1970(year, month, day) * 24 + hours) * 60 + minutes - offset;
    Some(minutes * 60_000 + (seconds * 1e3).round() as i64)
}

/// Of a day of the Gregorian calendar: years counted from March, in eras of 400.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_have_numbers_and_dates_that_go_on() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:7\n\
                    #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n#EXTINF:2.5,\nx/7.ts\n#EXTINF:1,\nx/8.ts\n";
        let playlist = Playlist::parse(text).unwrap();
        assert_eq!(playlist.target, Duration::from_secs(3));
        let seen: Vec<_> = playlist.segments.iter().map(|one| (one.sequence, &*one.uri, one.ended_at)).collect();
        assert_eq!(seen, [(7, "x/7.ts", Some(12_500)), (8, "x/8.ts", Some(13_500))]);
    }

    #[test]
    fn what_is_no_playlist_is_none() {
        assert_eq!(Playlist::parse("<html>"), None);
        assert_eq!(Playlist::parse("#EXTM3U\n#EXTINF:NaN,\nx\n"), None);
    }

    #[test]
    fn dates_are_read_in_every_zone() {
        // Computed by date(1).
        assert_eq!(unix_milliseconds("2026-11-21T16:25:09.042Z"), Some(1_795_278_309_042));
        assert_eq!(unix_milliseconds("2026-11-21T18:25:09.042+02:00"), Some(1_795_278_309_042));
        assert_eq!(unix_milliseconds("2026-11-21T11:25:09-0500"), Some(1_795_278_309_000));
        assert_eq!(unix_milliseconds("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        assert_eq!(unix_milliseconds("yesterday"), None);
    }
}
