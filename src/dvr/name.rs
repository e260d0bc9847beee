//! The names of recordings: made of a template, and told apart from the names of other files.
//!
//! Owns both directions. What a publisher chose ends up in these names, so nothing leaves here that could lead out of the
//! directory of recordings.

use std::fmt::Write as _;

use crate::config::{PathPart, TimeField};
use crate::media::stream_key::StreamKey;
use crate::mux::utc::Utc;

/// The longest part of a path that file systems take, in bytes, less what is put behind it: a number, the extension, and
/// the mark of a file that is being written.
const MAX_PART_BYTES: usize = 255 - 20;
/// The highest number behind a name of which there are several.
pub(super) const MAX_NUMBER: u32 = 99_999;

/// Why a stream cannot be recorded under its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    /// A part of the path would be empty, `.` or `..`.
    #[error("the path {0:?} could leave its directory")]
    Unsafe(String),
    /// A part of the path is too long for a file system.
    #[error("a part of the path {0:?} is longer than {MAX_PART_BYTES} bytes")]
    TooLong(String),
}

/// Fills in a template: a relative path without extension, safe to be joined to a directory.
pub(super) fn expand(parts: &[PathPart], key: &StreamKey, session: &str, begin_ms: u64) -> Result<String, NameError> {
    let time = Utc::from_unix_ms(begin_ms);
    let mut path = String::new();
    for part in parts {
        match part {
            PathPart::Literal(text) => path.push_str(text),
            PathPart::App => path.push_str(key.app()),
            PathPart::Stream => path.push_str(key.stream()),
            PathPart::Session => path.push_str(session),
            PathPart::Time(field) => push_time(&mut path, *field, time, begin_ms),
        }
    }
    for part in path.split('/') {
        if matches!(part, "" | "." | "..") || part.chars().any(char::is_control) {
            return Err(NameError::Unsafe(path));
        }
        if part.len() > MAX_PART_BYTES {
            return Err(NameError::TooLong(path));
        }
    }
    Ok(path)
}

fn push_time(path: &mut String, field: TimeField, time: Utc, unix_ms: u64) {
    let (number, digits) = match field {
        TimeField::Year => (time.year, 4),
        TimeField::Month => (time.month.into(), 2),
        TimeField::Day => (time.day.into(), 2),
        TimeField::Hour => (time.hour.into(), 2),
        TimeField::Minute => (time.minute.into(), 2),
        TimeField::Second => (time.second.into(), 2),
        TimeField::Millisecond => (time.millisecond.into(), 3),
        TimeField::Timestamp => (unix_ms, 1),
    };
    // Writing into a string cannot fail.
    let _ = write!(path, "{number:0digits$}");
}

/// Whether a relative path without extension could have been made of a template, perhaps with a number behind it.
///
/// Follows all ways through the template at once, so that no name makes it slow.
pub(super) fn matches(parts: &[PathPart], path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut reached = vec![false; bytes.len() + 1];
    reached[0] = true;
    for part in parts {
        reached = step(part, bytes, &reached);
    }
    (0..=bytes.len()).any(|at| reached[at] && is_number(&bytes[at..]))
}

/// Where one can be behind a part, from where one was before it.
fn step(part: &PathPart, bytes: &[u8], reached: &[bool]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    let mut run = |from: usize, fits: fn(&u8) -> bool| {
        let length = bytes[from..].iter().take_while(|byte| fits(byte)).count();
        next[from + 1..=from + length].fill(true);
    };
    let starts: Vec<usize> = (0..reached.len()).filter(|at| reached[*at]).collect();
    match part {
        PathPart::App => {
            if let Some(first) = starts.first() {
                run(*first, |_| true);
            }
        }
        PathPart::Stream | PathPart::Session => starts.iter().for_each(|from| run(*from, |byte| *byte != b'/')),
        PathPart::Time(TimeField::Timestamp) => starts.iter().for_each(|from| run(*from, u8::is_ascii_digit)),
        PathPart::Time(field) => {
            let digits = digits(*field);
            for from in starts {
                let found = bytes.get(from..from + digits);
                if found.is_some_and(|found| found.iter().all(u8::is_ascii_digit)) {
                    next[from + digits] = true;
                }
            }
        }
        PathPart::Literal(text) => {
            for from in starts {
                if bytes[from..].starts_with(text.as_bytes()) {
                    next[from + text.len()] = true;
                }
            }
        }
    }
    next
}

const fn digits(field: TimeField) -> usize {
    match field {
        TimeField::Year => 4,
        TimeField::Millisecond => 3,
        _ => 2,
    }
}

/// Whether nothing is left, or a number as [`numbered`] puts it.
fn is_number(rest: &[u8]) -> bool {
    match rest.split_first() {
        None => true,
        Some((b'-', digits)) => !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// The name with a number behind it; the first has none.
pub(super) fn numbered(path: &str, number: u32) -> String {
    if number <= 1 { path.to_owned() } else { format!("{path}-{number}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::RecordingPath;

    use super::*;

    /// 2026-11-21 16:25:09.042 UTC.
    const MOMENT: u64 = 1_795_278_309_042;

    fn template(text: &str) -> RecordingPath {
        text.parse().unwrap()
    }

    fn expanded(text: &str, name: &str, session: &str) -> Result<String, NameError> {
        expand(template(text).parts(), &StreamKey::from_path(name).unwrap(), session, MOMENT)
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        let text = "dvr/[app]/[2006]/[01]/[02]/[stream]-[15].[04].[05].[999]-[timestamp]-[session]";
        let path = expanded(text, "live/eu/x", "ab12").unwrap();
        assert_eq!(path, "live/eu/2026/11/21/x-16.25.09.042-1795278309042-ab12");
        assert!(matches(template(text).parts(), &path));
    }

    #[test]
    fn a_session_that_would_lead_out_is_refused() {
        // Names of streams are harmless already; what peers call their sessions is not.
        assert_eq!(expanded("dvr/[session]/[stream]", "live/x", ".."), Err(NameError::Unsafe("../x".to_owned())));
        assert_eq!(expanded("dvr/.[session]", "live/x", "."), Err(NameError::Unsafe("..".to_owned())));
    }

    #[test]
    fn a_name_that_no_file_system_takes_is_refused() {
        let name = format!("live/{}", "n".repeat(300));
        assert!(matches!(expanded("dvr/[stream]", &name, "s"), Err(NameError::TooLong(_))));
    }

    #[test]
    fn a_number_behind_a_name_is_known_again() {
        let parts = template("dvr/[stream].[2006]");
        for path in ["x.2026", "x.2026-2", "x.y.2026-99999"] {
            assert!(matches(parts.parts(), path), "{path}");
        }
        for path in ["x", "x.202", "x.2026-", "x.2026-a", "x.2026-100000", "x.2026.bak", "a/x.2026", ".2026", ""] {
            assert!(!matches(parts.parts(), path), "{path}");
        }
        assert_eq!((numbered("x", 1), numbered("x", 2)), ("x".to_owned(), "x-2".to_owned()));
    }

    #[test]
    fn a_long_name_against_a_template_of_wildcards_takes_no_time_to_speak_of() {
        let text = "dvr/[app][app][app][stream][stream][stream][app][app]z";
        assert!(!matches(template(text).parts(), &"a/".repeat(2_000)));
    }

    proptest! {
        #[test]
        fn what_was_made_of_a_template_matches_it_and_stays_inside(
            text in "dvr/(\\[app\\]|\\[stream\\]|\\[2006\\]|\\[01\\]|\\[999\\]|\\[timestamp\\]|[a-z.-]|[a-z]/[a-z]){1,6}",
            name in "[a-z0-9./-]{1,12}/[a-z0-9.-]{1,12}",
            moment in 0..5_000_000_000_000_u64,
            number in 1..100_u32,
        ) {
            let (Ok(template), Ok(key)) = (text.parse::<RecordingPath>(), StreamKey::from_path(&name)) else {
                return Ok(());
            };
            if let Ok(path) = expand(template.parts(), &key, "s", moment) {
                prop_assert!(matches(template.parts(), &numbered(&path, number)), "{} of {}", path, text);
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}
