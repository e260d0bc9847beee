//! Which part of a file is asked for (RFC 9110, section 14).

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

use crate::hls::Object;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// All of it; also where several parts are asked for, or nothing that can be read.
    Whole,
    /// From one byte to another, both included.
    Part { first: usize, last: usize },
    /// Nothing that the file has.
    Unsatisfiable,
}

/// The part of `object` that a request wants.
pub(super) fn wanted(headers: &HeaderMap, object: &Object) -> Range {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else { return Range::Whole };
    // A part of another version would not fit to what the client has. Dates are not given out, so none can be right.
    let is_same = headers.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == object.etag.as_bytes());
    if is_same { parse(range, object.bytes.len()) } else { Range::Whole }
}

fn parse(range: &str, length: usize) -> Range {
    let Some(part) = range.trim().strip_prefix("bytes=") else { return Range::Whole };
    let Some((first, last)) = part.trim().split_once('-') else { return Range::Whole };
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => between(first, usize::MAX, length),
        (Some(first), Some(last)) if first <= last => between(first, last, length),
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Range::Unsatisfiable,
            suffix => between(length.saturating_sub(suffix), usize::MAX, length),
        },
        _ => Range::Whole,
    }
}

/// Digits only; more than there can be is as much as there can be.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

fn between(first: usize, last: usize, length: usize) -> Range {
    match length.checked_sub(1) {
        Some(end) if first <= end => Range::Part { first, last: last.min(end) },
        _ => Range::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_read_in_every_form() {
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=2-5", 2, 5),
            ("bytes=2-", 2, 9),
            ("bytes=-3", 7, 9),
            ("bytes=-100", 0, 9),
            ("bytes=5-100", 5, 9),
            ("bytes=5-99999999999999999999999", 5, 9),
        ] {
            assert_eq!(parse(range, 10), Range::Part { first, last }, "{range}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_told_so() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(parse(range, 10), Range::Unsatisfiable, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Range::Unsatisfiable);
    }

    #[test]
    fn several_parts_and_what_makes_no_sense_get_the_whole() {
        for range in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=+1-2"]
        {
            assert_eq!(parse(range, 10), Range::Whole, "{range}");
        }
    }
}
