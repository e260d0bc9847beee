//! Durations as they are written in a configuration: `"350ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`, and a bare `0`.
//!
//! Owns their text in both directions. The sections use it for every key that is a time; it reads no clock.

use std::time::Duration;

use ::config::{Value, ValueKind};

use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;

/// The longest duration there is (a year): far from where adding it to a clock could overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(8760 * 3600);

/// The units, the largest first, each with its milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why a text is not a duration; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a whole number followed by a unit.
    #[error("a duration such as \"350ms\", \"10s\", \"5m\", \"1h\" or \"7d\"")]
    Malformed,
    /// Beyond [`MAX_DURATION`].
    #[error("a duration of at most \"365d\"")]
    TooLong,
}

/// Reads a whole number with its unit (`ms`, `s`, `m`, `h`, `d`); only zero needs none.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if text == "0" => 1,
        None => return Err(DurationError::Malformed),
    };
    if number.is_empty() {
        return Err(DurationError::Malformed);
    }
    // Only digits are left, so what does not parse is too large.
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let duration = milliseconds.map(Duration::from_millis).ok_or(DurationError::TooLong)?;
    if duration > MAX_DURATION { Err(DurationError::TooLong) } else { Ok(duration) }
}

/// Writes a duration in the largest unit that holds it exactly; what is below a millisecond is dropped.
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (unit, factor) =
        UNITS.into_iter().find(|(_, factor)| milliseconds.is_multiple_of(u128::from(*factor))).unwrap_or(("ms", 1));
    match milliseconds {
        0 => "0s".to_owned(),
        _ => format!("{}{unit}", milliseconds / u128::from(factor)),
    }
}

/// A duration of at least `MIN` milliseconds.
pub(super) struct Span<const MIN: u64 = 0>;

impl<const MIN: u64> Form<Duration> for Span<MIN> {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
        let parsed = match &value.kind {
            ValueKind::String(text) => parse_duration(text),
            ValueKind::I64(0) => Ok(Duration::ZERO),
            _ => Err(DurationError::Malformed),
        };
        let mistake = match parsed {
            Ok(duration) if duration >= Duration::from_millis(MIN) => return Some(duration),
            Ok(_) => {
                let expected = format!("a duration of at least \"{}\"", format_duration(Duration::from_millis(MIN)));
                Mistake::unexpected(value, key, &expected)
            }
            Err(error) => Mistake::unexpected(value, key, &error),
        };
        mistakes.push(mistake);
        None
    }

    fn write(value: &Duration) -> String {
        quoted(&format_duration(*value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_is_understood() {
        assert_eq!(parse_duration("350ms"), Ok(Duration::from_millis(350)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_number_with_a_unit_is_refused() {
        for text in ["", "s", "10", "00", "-1s", "+1s", "1.5s", "1 s", "1S", "1D", "1w", "1m30s", "1s ", "١s", "fast"]
        {
            assert_eq!(parse_duration(text), Err(DurationError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_year_is_the_longest() {
        assert_eq!(parse_duration("8760h"), Ok(MAX_DURATION));
        assert_eq!(parse_duration("365d"), Ok(MAX_DURATION));
        for text in ["8761h", "366d", "18446744073709551615h", "99999999999999999999ms"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn a_duration_below_its_minimum_is_a_mistake() {
        let mut mistakes = Vec::new();
        assert_eq!(Span::<1>::read(&Value::from("0s"), "key", &mut mistakes), None);
        assert_eq!(mistakes[0].message, r#"expected a duration of at least "1ms", found "0s""#);
        assert_eq!(Span::<1>::read(&Value::from("1ms"), "key", &mut mistakes), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_bare_number_other_than_zero_is_a_mistake() {
        let mut mistakes = Vec::new();
        assert_eq!(Span::<0>::read(&Value::from(0_i64), "key", &mut mistakes), Some(Duration::ZERO));
        assert_eq!(Span::<0>::read(&Value::from(10_i64), "key", &mut mistakes), None);
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back_the_same(milliseconds in 0..=8_760_u64 * 3_600_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_duration(&text);
        }
    }
}
