//! Which bytes of a file are asked for (RFC 9110, section 14).
//!
//! Owns the reading of `Range` and `If-Range`. Both HTTP servers ask it, for segments and for recordings; it sends nothing.

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

/// What is asked for of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it; also where several parts are asked for, or nothing that can be read: the RFC leaves that to servers.
    Whole,
    /// These bytes of it, at least one.
    Part(Range<u64>),
    /// Nothing that the file has.
    Unsatisfiable,
}

impl ByteRange {
    /// What a request wants of a file of `length` bytes whose version `etag` names, quotation marks included.
    pub fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Self {
        let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else { return Self::Whole };
        // A part of another version would not fit to what the client has. Dates are not given out, so none can be right.
        let is_same = headers.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
        if is_same { Self::parse(range, length) } else { Self::Whole }
    }

    /// The value of `Content-Range` for this part of a file of `length` bytes; none for the whole.
    pub fn content_range(&self, length: u64) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Part(part) => Some(format!("bytes {}-{}/{length}", part.start, part.end - 1)),
            Self::Unsatisfiable => Some(format!("bytes */{length}")),
        }
    }

    fn parse(range: &str, length: u64) -> Self {
        let Some(part) = range.trim().strip_prefix("bytes=") else { return Self::Whole };
        let Some((first, last)) = part.trim().split_once('-') else { return Self::Whole };
        match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() => Self::between(first, u64::MAX, length),
            (Some(first), Some(last)) if first <= last => Self::between(first, last, length),
            (None, Some(suffix)) if first.is_empty() => match suffix {
                0 => Self::Unsatisfiable,
                suffix => Self::between(length.saturating_sub(suffix), u64::MAX, length),
            },
            _ => Self::Whole,
        }
    }

    fn between(first: u64, last: u64, length: u64) -> Self {
        if first < length { Self::Part(first..last.saturating_add(1).min(length)) } else { Self::Unsatisfiable }
    }
}

/// Digits only; more than there can be is as much as there can be.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_part_is_read_in_every_form_and_cut_at_the_end_of_the_file() {
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=2-1000", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-1000", 0..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=-99999999999999999999999", 0..10),
        ] {
            assert_eq!(ByteRange::parse(range, 10), ByteRange::Part(part), "{range}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_told_so() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(ByteRange::parse(range, 10), ByteRange::Unsatisfiable, "{range}");
        }
        for range in ["bytes=0-", "bytes=-1"] {
            assert_eq!(ByteRange::parse(range, 0), ByteRange::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn several_parts_and_what_makes_no_sense_get_the_whole() {
        for range in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=+1-2"]
        {
            assert_eq!(ByteRange::parse(range, 10), ByteRange::Whole, "{range}");
        }
        assert_eq!(ByteRange::wanted(&HeaderMap::new(), "\"a\"", 10), ByteRange::Whole);
    }

    #[test]
    fn a_part_of_another_version_is_not_given() {
        let mut headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=2-5"))]);
        assert_eq!(ByteRange::wanted(&headers, "\"a\"", 10), ByteRange::Part(2..6));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"a\""));
        assert_eq!(ByteRange::wanted(&headers, "\"a\"", 10), ByteRange::Part(2..6));
        assert_eq!(ByteRange::wanted(&headers, "\"b\"", 10), ByteRange::Whole);
        headers.insert(IF_RANGE, HeaderValue::from_static("Sat, 21 Nov 2026 12:00:00 GMT"));
        assert_eq!(ByteRange::wanted(&headers, "\"a\"", 10), ByteRange::Whole);
    }

    #[test]
    fn an_answer_says_which_part_it_holds() {
        assert_eq!(ByteRange::Part(2..6).content_range(10).as_deref(), Some("bytes 2-5/10"));
        assert_eq!(ByteRange::Unsatisfiable.content_range(10).as_deref(), Some("bytes */10"));
        assert_eq!(ByteRange::Whole.content_range(10), None);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_lies_within_the_file(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", length: u64) {
            if let ByteRange::Part(part) = ByteRange::parse(&range, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
