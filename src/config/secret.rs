//! Secrets: keys and passwords, which no log, message or listing of settings may show.
//!
//! Owns the type that hides them, and the forms of the two keys that each has: `<key>` with the secret itself and
//! `<key>_file` with the path of a file that holds it. Reading such files is the part of `secret_file`.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};

use super::form::{Form, Seal, Shape, quoted};
use super::mistake::Mistake;

/// What is shown in the place of every secret.
const MASK: &str = "***";

/// A text that is never shown: neither `Debug` nor `Display` tell anything of it, not even its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides `text`.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself, for computing with it.
    pub const fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({MASK})")
    }
}

/// A secret of at least so many bytes. No message repeats it.
pub(super) struct Hidden<const MIN_BYTES: usize>;

impl<const MIN_BYTES: usize> Form<Secret> for Hidden<MIN_BYTES> {
    const SHAPE: Shape = Shape::Secret;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Secret> {
        let found = match &value.kind {
            ValueKind::String(text) if text.len() >= MIN_BYTES => return Some(Secret::new(text)),
            ValueKind::String(text) => format!("{} of them", text.len()),
            _ => "something else".to_owned(),
        };
        let message = format!("expected a string of at least {MIN_BYTES} bytes, found {found}");
        mistakes.push(Mistake::at(value, key, message));
        None
    }

    fn write(secret: &Secret) -> String {
        quoted(secret)
    }

    fn sealed(secret: &Secret, seal: &Seal<'_>) -> String {
        quoted(&seal(secret))
    }
}

/// The path of a file that holds a secret.
pub(super) struct SecretFile;

impl Form<PathBuf> for SecretFile {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<PathBuf> {
        if let ValueKind::String(path) = &value.kind
            && !path.is_empty()
        {
            return Some(PathBuf::from(path));
        }
        mistakes.push(Mistake::unexpected(value, key, &"the path of a file"));
        None
    }

    fn write(path: &PathBuf) -> String {
        quoted(&Path::display(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "correct horse battery staple";

    fn read(kind: impl Into<ValueKind>) -> Result<Secret, String> {
        let mut mistakes = Vec::new();
        Hidden::<16>::read(&Value::new(None, kind), "key", &mut mistakes).ok_or_else(|| mistakes[0].to_string())
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new(TEXT);
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** Secret(***) Secret(***)");
        assert_eq!(Hidden::<16>::write(&secret), "\"***\"");
        assert_eq!(secret.reveal(), TEXT);
    }

    #[test]
    fn a_secret_has_a_least_length() {
        assert_eq!(read("0123456789abcdef"), Ok(Secret::new("0123456789abcdef")));
        assert_eq!(
            read("0123456789abcde"),
            Err("key: expected a string of at least 16 bytes, found 15 of them".to_owned())
        );
    }

    #[test]
    fn no_message_repeats_what_was_meant_to_be_a_secret() {
        for kind in [ValueKind::I64(1_234_567), ValueKind::from(vec!["1234567"]), ValueKind::from("1234567")] {
            let message = read(kind).unwrap_err();
            assert!(!message.contains("1234567"), "{message}");
        }
    }
}
