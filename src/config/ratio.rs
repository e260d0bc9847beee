//! Ratios as they are written in a configuration: `1.5`, `3`, and `"1.5"` in the environment.
//!
//! Owns their text in both directions.

use std::fmt;
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::form::{Form, Shape};
use super::mistake::Mistake;

/// How many times something: from 1 to 100, to the thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    thousandths: u32,
}

const EXPECTED: &str = "a number from 1 to 100, such as 1.5";

impl Ratio {
    /// As many times as that, in thousandths.
    pub(super) const fn from_thousandths(thousandths: u32) -> Self {
        Self { thousandths }
    }

    /// That many times `duration`.
    pub fn of(self, duration: Duration) -> Duration {
        duration.saturating_mul(self.thousandths) / 1_000
    }

    fn from_number(number: f64) -> Option<Self> {
        let thousandths = (number * 1_000.0).round();
        (1_000.0..=100_000.0).contains(&thousandths).then_some(Self { thousandths: thousandths as u32 })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", f64::from(self.thousandths) / 1_000.0)
    }
}

/// A ratio.
pub(super) struct Times;

impl Form<Ratio> for Times {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Ratio> {
        let number = match &value.kind {
            ValueKind::Float(number) => Some(*number),
            ValueKind::I64(number) => Some(*number as f64),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        };
        let ratio = number.and_then(Ratio::from_number);
        if ratio.is_none() {
            mistakes.push(Mistake::unexpected(value, key, &EXPECTED));
        }
        ratio
    }

    fn write(value: &Ratio) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: impl Into<ValueKind>) -> Option<String> {
        Times::read(&Value::new(None, kind), "key", &mut Vec::new()).map(|ratio| Times::write(&ratio))
    }

    #[test]
    fn a_ratio_is_a_number_of_at_least_one() {
        assert_eq!(read(1.5).as_deref(), Some("1.5"));
        assert_eq!(read(3_i64).as_deref(), Some("3"));
        assert_eq!(read("2.125").as_deref(), Some("2.125"));
        for wrong in [0.9, 100.1, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read("fast"), None);
        assert_eq!(read(true), None);
    }

    #[test]
    fn a_ratio_multiplies_durations() {
        assert_eq!(Ratio::from_thousandths(1_500).of(Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(Ratio::from_thousandths(100_000).of(Duration::MAX), Duration::MAX / 1_000);
    }
}
