//! What is wrong with a configuration, all of it at once.
//!
//! Owns the wording of a configuration error: one line per mistake, with its source, its key and what was expected. Every
//! reader below `config` adds to one list of mistakes; the command line prints it. It never stops at the first.

use std::fmt;

use ::config::{Value, ValueKind};

/// The longest piece of a wrong value that is repeated in a message, in characters.
const SHOWN_CHARS: usize = 80;

/// One thing that has to be put right before the process can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file or the environment variable it stands in; `None` where something is missing everywhere.
    pub source: Option<String>,
    /// The path of the key, such as `play.mw_latency`; `None` where a file as a whole is unusable.
    pub key: Option<String>,
    /// What was expected, and what was found instead.
    pub message: String,
}

/// A configuration that cannot be used; shown as one line per mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Lines(mistakes))]
pub struct ConfigError {
    /// Every mistake that was found, in the order of the sources and sections; never empty.
    pub mistakes: Vec<Mistake>,
}

impl Mistake {
    /// A mistake in a source as a whole.
    pub(super) fn in_source(source: &str, message: String) -> Self {
        Self { source: Some(source.to_owned()), key: None, message }
    }

    /// A mistake at `key`, in the source that `value` came from.
    pub(super) fn at(value: &Value, key: &str, message: String) -> Self {
        Self { source: value.origin().map(str::to_owned), key: Some(key.to_owned()), message }
    }

    /// `value` is not what `expected` says; the message repeats what it is.
    pub(super) fn unexpected(value: &Value, key: &str, expected: &dyn fmt::Display) -> Self {
        Self::at(value, key, format!("expected {expected}, found {}", describe(value)))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.source, &self.key].into_iter().flatten() {
            write!(formatter, "{part}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

struct Lines<'a>(&'a [Mistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{mistake}")?;
        }
        Ok(())
    }
}

fn describe(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if text.chars().count() > SHOWN_CHARS => {
            let start: String = text.chars().take(SHOWN_CHARS).collect();
            format!("{start:?}...")
        }
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        // With its point, so that 1e5 is not shown as the whole number it is not.
        ValueKind::Float(number) => format!("{number:?}"),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: impl Into<ValueKind>) -> Value {
        Value::new(Some(&"a.toml".to_owned()), kind)
    }

    #[test]
    fn a_mistake_is_one_line_of_source_key_and_message() {
        let mistake = Mistake::unexpected(&value("fast\nfaster"), "play.linger", &"a duration");
        assert_eq!(mistake.to_string(), r#"a.toml: play.linger: expected a duration, found "fast\nfaster""#);
    }

    #[test]
    fn an_error_shows_every_mistake_on_its_own_line() {
        let mistakes = vec![
            Mistake::in_source("a.toml", "cannot be read".to_owned()),
            Mistake { source: None, key: Some("upstream.origins".to_owned()), message: "missing".to_owned() },
        ];
        assert_eq!(ConfigError { mistakes }.to_string(), "a.toml: cannot be read\nupstream.origins: missing");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let mistake = Mistake::unexpected(&value("é".repeat(5000).as_str()), "k", &"x");
        assert_eq!(mistake.message, format!("expected x, found \"{}\"...", "é".repeat(SHOWN_CHARS)));
    }

    #[test]
    fn a_number_with_a_point_is_shown_with_it() {
        assert_eq!(Mistake::unexpected(&value(1e5), "k", &"x").message, "expected x, found 100000.0");
    }
}
