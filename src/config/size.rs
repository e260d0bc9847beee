//! Sizes of memory as they are written in a configuration: `"64KiB"`, `"16MiB"`, `"1GiB"`, and bare bytes.
//!
//! Owns their text in both directions. The sections use it for every key that is a number of bytes.

use ::config::{Value, ValueKind};

use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;

/// The units, the largest first, each with its bytes.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Why a text is not a size; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a whole number, alone or followed by a unit.
    #[error("a size such as \"64KiB\", \"16MiB\", \"1GiB\" or a number of bytes")]
    Malformed,
    /// More bytes than this machine can address.
    #[error("a size that this machine can address")]
    TooLarge,
}

/// Reads a whole number of bytes, or of `KiB`, `MiB` or `GiB`.
pub fn parse_size(text: &str) -> Result<usize, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(SizeError::Malformed),
    };
    if number.is_empty() {
        return Err(SizeError::Malformed);
    }
    // Only digits are left, so what does not parse is too large.
    number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)).ok_or(SizeError::TooLarge)
}

/// Writes a size in the largest unit that holds it exactly, without a unit if none does.
pub fn format_size(bytes: usize) -> String {
    match UNITS.into_iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A size of at least `MIN` bytes.
pub(super) struct Size<const MIN: usize>;

impl<const MIN: usize> Form<usize> for Size<MIN> {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<usize> {
        let parsed = match &value.kind {
            ValueKind::String(text) => parse_size(text),
            ValueKind::I64(bytes) => usize::try_from(*bytes).map_err(|_| SizeError::Malformed),
            _ => Err(SizeError::Malformed),
        };
        let mistake = match parsed {
            Ok(bytes) if bytes >= MIN => return Some(bytes),
            Ok(_) => Mistake::unexpected(value, key, &format!("a size of at least \"{}\"", format_size(MIN))),
            Err(error) => Mistake::unexpected(value, key, &error),
        };
        mistakes.push(mistake);
        None
    }

    fn write(value: &usize) -> String {
        quoted(&format_size(*value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn binary_units_and_bare_bytes_are_understood() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("16MiB"), Ok(16_777_216));
        assert_eq!(parse_size("1GiB"), Ok(1_073_741_824));
        assert_eq!(parse_size("1000"), Ok(1000));
    }

    #[test]
    fn what_is_no_number_with_a_binary_unit_is_refused() {
        for text in ["", "MiB", "-1", "1.5MiB", "16MB", "16 MiB", "16mib", "16M", "lots"] {
            assert_eq!(parse_size(text), Err(SizeError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_size_beyond_the_address_space_is_refused() {
        for text in ["18446744073709551616", "18446744073709551615GiB"] {
            assert_eq!(parse_size(text), Err(SizeError::TooLarge), "{text:?}");
        }
    }

    #[test]
    fn a_size_below_its_minimum_is_a_mistake() {
        let mut mistakes = Vec::new();
        assert_eq!(Size::<1_048_576>::read(&Value::from("1KiB"), "key", &mut mistakes), None);
        assert_eq!(Size::<1_048_576>::read(&Value::from(-1_i64), "key", &mut mistakes), None);
        assert_eq!(mistakes[0].message, r#"expected a size of at least "1MiB", found "1KiB""#);
        assert_eq!(Size::<1_048_576>::read(&Value::from(1_048_576_i64), "key", &mut mistakes), Some(1_048_576));
    }

    proptest! {
        #[test]
        fn a_written_size_reads_back_the_same(bytes: usize) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_size(&text);
        }
    }
}
