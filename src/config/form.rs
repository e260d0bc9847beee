//! How a key's value is written: the bridge between a value as found in a source and a typed field.
//!
//! Owns the forms that belong to no value type of their own (switch, whole number, choice, list, optional); durations, sizes
//! and addresses bring theirs. The sections name a form for each key. A form never decides defaults and never panics:
//! what it cannot read becomes a mistake.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use ::config::{Value, ValueKind};

use super::mistake::Mistake;
use super::secret::Secret;

/// What kind of value a key takes: tells the environment, which knows only text, what to make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// A string, or what can also be written as one: durations, sizes, addresses.
    Text,
    /// A list of strings; separated by commas in the environment.
    List,
    /// A string that is never shown. The key `<key>_file` beside it names a file that holds it instead.
    Secret,
}

/// Reads and writes the values of one key.
pub(super) trait Form<T> {
    const SHAPE: Shape;
    /// Whether the text, or each in the list, is the path of a file whose content is part of the configuration.
    const NAMES_FILES: bool = false;

    /// The typed value; `None` after adding what is wrong to `mistakes`.
    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<T>;

    /// The value as it is written in a TOML file; empty if there is none.
    fn write(value: &T) -> String;

    /// The same, but a secret in it as what `seal` makes of it.
    fn sealed(value: &T, _seal: &Seal<'_>) -> String {
        Self::write(value)
    }
}

/// What stands for a secret where it must not be shown.
pub(super) type Seal<'a> = dyn Fn(&Secret) -> String + 'a;

/// A value with a textual form of its own. The error's text completes "expected ..., found ...".
pub(super) trait Word: FromStr<Err: fmt::Display> + fmt::Display {
    /// Completes "expected ..." where the value is not even a string.
    const EXPECTED: &'static str;

    /// Whether a message may repeat a text that is none: not if a secret may stand in it.
    fn may_be_shown(_text: &str) -> bool {
        true
    }

    /// The whole of it, if it shows itself without a part that may be secret.
    fn secret(&self) -> Option<Secret> {
        None
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Form<bool> for Switch {
    const SHAPE: Shape = Shape::Switch;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        if let ValueKind::Boolean(switch) = value.kind {
            return Some(switch);
        }
        mistakes.push(Mistake::unexpected(value, key, &"true or false"));
        None
    }

    fn write(value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number within its bounds, both included.
pub(super) struct Whole<const MIN: u64, const MAX: u64>;

impl<T: TryFrom<u64> + fmt::Display, const MIN: u64, const MAX: u64> Form<T> for Whole<MIN, MAX> {
    const SHAPE: Shape = Shape::Number;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let number = match value.kind {
            ValueKind::I64(number) => u64::try_from(number).ok(),
            _ => None,
        };
        let within = number.filter(|number| (MIN..=MAX).contains(number));
        let typed = within.and_then(|number| T::try_from(number).ok());
        if typed.is_none() {
            let expected = if MAX == u64::MAX {
                format!("a whole number of at least {MIN}")
            } else {
                format!("a whole number from {MIN} to {MAX}")
            };
            mistakes.push(Mistake::unexpected(value, key, &expected));
        }
        typed
    }

    fn write(value: &T) -> String {
        value.to_string()
    }
}

/// A string that a type of ours reads.
pub(super) struct Written<T>(PhantomData<T>);

impl<T: Word> Form<T> for Written<T> {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let text = match &value.kind {
            ValueKind::String(text) => text.clone(),
            // A port (`listen = 1935`) and a bare 0 may stand without quotes.
            ValueKind::I64(number) => number.to_string(),
            _ => {
                mistakes.push(Mistake::unexpected(value, key, &T::EXPECTED));
                return None;
            }
        };
        let mistake = |error| match T::may_be_shown(&text) {
            true => Mistake::unexpected(value, key, &error),
            false => Mistake::at(
                value,
                key,
                format!("expected {error}, found another text (not shown: it may hold a secret)"),
            ),
        };
        text.parse().map_err(|error| mistakes.push(mistake(error))).ok()
    }

    fn write(value: &T) -> String {
        quoted(value)
    }

    fn sealed(value: &T, seal: &Seal<'_>) -> String {
        value.secret().map_or_else(|| quoted(value), |secret| quoted(&seal(&secret)))
    }
}

/// A key that has no value until it is set.
pub(super) struct Optional<F>(PhantomData<F>);

impl<T, F: Form<T>> Form<Option<T>> for Optional<F> {
    const SHAPE: Shape = F::SHAPE;
    const NAMES_FILES: bool = F::NAMES_FILES;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Option<T>> {
        F::read(value, key, mistakes).map(Some)
    }

    fn write(value: &Option<T>) -> String {
        value.as_ref().map(F::write).unwrap_or_default()
    }

    fn sealed(value: &Option<T>, seal: &Seal<'_>) -> String {
        value.as_ref().map(|value| F::sealed(value, seal)).unwrap_or_default()
    }
}

/// A list of at least `MIN` values; a single one may stand without brackets.
pub(super) struct List<F, const MIN: usize = 0>(PhantomData<F>);

impl<T, F: Form<T>, const MIN: usize> Form<Vec<T>> for List<F, MIN> {
    const SHAPE: Shape = Shape::List;
    const NAMES_FILES: bool = F::NAMES_FILES;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Vec<T>> {
        let ValueKind::Array(items) = &value.kind else {
            return F::read(value, key, mistakes).map(|item| vec![item]);
        };
        if items.len() < MIN {
            mistakes.push(Mistake::at(value, key, "expected at least one entry, found an empty list".to_owned()));
            return None;
        }
        let read: Vec<_> =
            items.iter().enumerate().map(|(index, item)| F::read(item, &format!("{key}[{index}]"), mistakes)).collect();
        read.into_iter().collect()
    }

    fn write(value: &Vec<T>) -> String {
        let items: Vec<String> = value.iter().map(F::write).collect();
        format!("[{}]", items.join(", "))
    }

    fn sealed(value: &Vec<T>, seal: &Seal<'_>) -> String {
        let items: Vec<String> = value.iter().map(|item| F::sealed(item, seal)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A value between quotation marks, as TOML writes a string.
pub(super) fn quoted(value: &impl fmt::Display) -> String {
    format!("{:?}", value.to_string())
}

/// Declares an enum of which a key takes exactly one variant, each written as one word.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(<Self as $crate::config::form::Word>::EXPECTED),
                }
            }
        }

        impl $crate::config::form::Word for $name {
            const EXPECTED: &'static str = $expected;
        }
    };
}
pub(in crate::config) use choice;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares for the public interface")]
mod tests {
    use super::*;

    fn read<T, F: Form<T>>(kind: impl Into<ValueKind>) -> Result<T, String> {
        let mut mistakes = Vec::new();
        F::read(&Value::new(None, kind), "key", &mut mistakes)
            .ok_or_else(|| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    choice! {
        /// For the tests.
        Colour, r#""red" or "green""# {
            /// Red.
            Red = "red",
            /// Green.
            Green = "green",
        }
    }

    #[test]
    fn a_switch_takes_only_booleans() {
        assert_eq!(read::<bool, Switch>(false), Ok(false));
        assert_eq!(read::<bool, Switch>("true"), Err(r#"key: expected true or false, found "true""#.to_owned()));
    }

    #[test]
    fn a_whole_number_stays_within_its_bounds() {
        type Bounded = Whole<128, 65_536>;
        assert_eq!(read::<u32, Bounded>(128_i64), Ok(128));
        assert_eq!(read::<u32, Bounded>(65_536_i64), Ok(65_536));
        for wrong in [-1_i64, 127, 65_537, i64::MIN, i64::MAX] {
            assert_eq!(
                read::<u32, Bounded>(wrong),
                Err(format!("key: expected a whole number from 128 to 65536, found {wrong}"))
            );
        }
        assert!(read::<u32, Bounded>(200.0).is_err());
    }

    #[test]
    fn a_number_too_large_for_its_field_is_refused() {
        assert!(read::<u8, Whole<0, { u64::MAX }>>(256_i64).is_err());
    }

    #[test]
    fn a_choice_takes_its_words_and_no_other() {
        assert_eq!(read::<Colour, Written<Colour>>("green"), Ok(Colour::Green));
        assert_eq!(
            read::<Colour, Written<Colour>>("Green"),
            Err(r#"key: expected "red" or "green", found "Green""#.to_owned())
        );
        assert_eq!(Written::write(&Colour::Red), r#""red""#);
    }

    /// Never one.
    #[derive(Debug, PartialEq)]
    struct Covert;

    impl fmt::Display for Covert {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("***")
        }
    }

    impl FromStr for Covert {
        type Err = &'static str;

        fn from_str(_: &str) -> Result<Self, Self::Err> {
            Err(Self::EXPECTED)
        }
    }

    impl Word for Covert {
        const EXPECTED: &'static str = "something";

        fn may_be_shown(text: &str) -> bool {
            text != "covert"
        }

        fn secret(&self) -> Option<Secret> {
            Some(Secret::new("covert"))
        }
    }

    #[test]
    fn a_text_that_may_hold_a_secret_is_not_repeated_but_sealed() {
        assert_eq!(
            read::<Covert, Written<Covert>>("covert"),
            Err("key: expected something, found another text (not shown: it may hold a secret)".to_owned())
        );
        assert_eq!(
            read::<Covert, Written<Covert>>("plain"),
            Err("key: expected something, found \"plain\"".to_owned())
        );
        assert_eq!(Written::sealed(&Covert, &|secret| secret.reveal().to_uppercase()), "\"COVERT\"");
        assert_eq!(Written::write(&Covert), "\"***\"");
    }

    #[test]
    fn a_list_takes_one_value_without_brackets() {
        assert_eq!(read::<Vec<Colour>, List<Written<Colour>>>("red"), Ok(vec![Colour::Red]));
        assert_eq!(read::<Vec<Colour>, List<Written<Colour>>>(Vec::<Value>::new()), Ok(vec![]));
    }

    #[test]
    fn every_wrong_entry_of_a_list_is_named_by_its_index() {
        let found = read::<Vec<Colour>, List<Written<Colour>>>(vec!["blue", "red", "pink"]).unwrap_err();
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("key[0]: ") && lines[1].starts_with("key[2]: "), "{lines:?}");
    }

    #[test]
    fn a_list_that_needs_an_entry_refuses_none() {
        assert!(read::<Vec<Colour>, List<Written<Colour>, 1>>(Vec::<Value>::new()).is_err());
    }
}
