//! Percentages as they are written in a configuration: `"90%"`.
//!
//! Owns their text in both directions.

use std::fmt;
use std::str::FromStr;

use super::form::Word;

/// A whole percentage from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentage(u8);

impl Percentage {
    /// The part of one that it is.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for Percentage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|digits| digits.parse().ok()).filter(|number| (1..=100).contains(number));
        number.map(Self).ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

impl Word for Percentage {
    const EXPECTED: &'static str = "a percentage from \"1%\" to \"100%\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_reads_and_writes_as_it_is_written() {
        for (text, fraction) in [("1%", 0.01), ("90%", 0.9), ("100%", 1.0)] {
            let percentage: Percentage = text.parse().unwrap();
            assert_eq!((percentage.to_string().as_str(), percentage.fraction()), (text, fraction));
        }
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "%", "0%", "101%", "90", "0.9", "-1%", "+1%", "9 %", "1000%"] {
            assert_eq!(text.parse::<Percentage>(), Err(Percentage::EXPECTED), "{text:?}");
        }
    }
}
