//! Byte ranges, as far as a download needs them (RFC 9110, section 14).

use std::ops::Range;

/// What is asked for of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    All,
    /// These bytes of it.
    Part(Range<u64>),
    /// Nothing that is in it.
    Nothing,
}

/// Reads the value of `Range` against a file of so many bytes. What is not understood, and several ranges at once, are as if it was
/// not there; the RFC leaves that to servers.
pub(super) fn wanted(range: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first, last) {
        ("", last) => match number(last) {
            None => Wanted::All,
            Some(0) => Wanted::Nothing,
            Some(count) if length > 0 => Wanted::Part(length.saturating_sub(count)..length),
            Some(_) => Wanted::Nothing,
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), last) {
                (Some(first), Some(last)) if first <= last => match first < length {
                    true => Wanted::Part(first..last.saturating_add(1).min(length)),
                    false => Wanted::Nothing,
                },
                _ => Wanted::All,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_of_the_file() {
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=2-1000", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-1000", 0..10),
            ("bytes=0-18446744073709551615", 0..10),
        ] {
            assert_eq!(wanted(Some(range), 10), Wanted::Part(part), "{range}");
        }
    }

    #[test]
    fn a_range_behind_the_file_cannot_be_had() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(wanted(Some(range), 10), Wanted::Nothing, "{range}");
        }
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for range in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "bytes=+1-2", "lines=1-2", "bytes=a-b"]
        {
            assert_eq!(wanted(Some(range), 10), Wanted::All, "{range}");
        }
        assert_eq!(wanted(None, 10), Wanted::All);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_lies_within_the_file(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", length: u64) {
            if let Wanted::Part(part) = wanted(Some(&range), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
