//! Bit rates as they are written in a configuration: `"500kbit"`, `"800Mbit"`, `"10Gbit"`, each a second.
//!
//! Owns their text in both directions. Units are decimal, as links are sold and as encoders and SRS count; a bare number is
//! refused, since some would take it for bits and others for kilobits.

use ::config::{Value, ValueKind};

use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;

/// The units, the largest first, each with its bits a second.
const UNITS: [(&str, u64); 3] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000)];

/// Why a text is not a bit rate; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not a whole number above zero, followed by a unit.
    #[error("bits a second such as \"500kbit\", \"800Mbit\" or \"10Gbit\"")]
    Malformed,
    /// More than can be counted.
    #[error("at most \"18446744073Gbit\"")]
    TooLarge,
}

/// Reads a whole number of `kbit`, `Mbit` or `Gbit`, above zero, as bits a second.
pub fn parse_rate(text: &str) -> Result<u64, RateError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or(RateError::Malformed)?;
    if number.is_empty() {
        return Err(RateError::Malformed);
    }
    // Only digits are left, so what does not parse is too large.
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(0) => Err(RateError::Malformed),
        Some(bits) => Ok(bits),
        None => Err(RateError::TooLarge),
    }
}

/// Writes a rate in the largest unit that holds it exactly; what is below a kilobit is dropped.
pub fn format_rate(bits: u64) -> String {
    let (unit, factor) = UNITS.into_iter().find(|(_, factor)| bits.is_multiple_of(*factor)).unwrap_or(("kbit", 1_000));
    format!("{}{unit}", bits / factor)
}

/// Bits a second.
pub(super) struct Rate;

impl Form<u64> for Rate {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<u64> {
        let parsed = match &value.kind {
            ValueKind::String(text) => parse_rate(text),
            _ => Err(RateError::Malformed),
        };
        parsed.map_err(|error| mistakes.push(Mistake::unexpected(value, key, &error))).ok()
    }

    fn write(value: &u64) -> String {
        quoted(&format_rate(*value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_units_are_understood() {
        assert_eq!(parse_rate("500kbit"), Ok(500_000));
        assert_eq!(parse_rate("800Mbit"), Ok(800_000_000));
        assert_eq!(parse_rate("10Gbit"), Ok(10_000_000_000));
    }

    #[test]
    fn what_is_no_number_with_a_unit_is_refused() {
        for text in ["", "0", "0kbit", "1000", "Gbit", "-1Gbit", "1.5Gbit", "1 Gbit", "10G", "10Gbps", "10gbit", "10Mb"]
        {
            assert_eq!(parse_rate(text), Err(RateError::Malformed), "{text:?}");
        }
        assert_eq!(parse_rate("18446744074Gbit"), Err(RateError::TooLarge));
    }

    #[test]
    fn a_bare_number_is_a_mistake_that_shows_the_units() {
        let mut mistakes = Vec::new();
        assert_eq!(Rate::read(&Value::from(1_000_i64), "key", &mut mistakes), None);
        assert!(mistakes[0].message.starts_with("expected bits a second such as \"500kbit\""), "{mistakes:?}");
    }

    proptest! {
        #[test]
        fn a_written_rate_reads_back_the_same(kilobits in 1..=u64::MAX / 1_000) {
            prop_assert_eq!(parse_rate(&format_rate(kilobits * 1_000)), Ok(kilobits * 1_000));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_rate(&text);
        }
    }
}
