//! Secrets in files of their own: `<key>_file` beside every key that takes a secret.
//!
//! Owns finding and reading these files, and finding the others that are part of the configuration, for every section alike: a key whose shape is a secret needs nothing but a
//! sibling called `<key>_file`. The configuration calls it once, between merging its sources and reading them; from
//! then on the secret is found at its key, with the file as its source.

use std::io;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};

use super::files::{Files, Reading};
use super::form::{Form, Shape};
use super::layer::Layer;
use super::mistake::Mistake;
use super::secret::{Secret, SecretFile};
use super::sections::SCHEMAS;

/// The longest secret that a file may hold, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Puts what each `<key>_file` holds at its `<key>`; a file that is no use, and one beside a key that is set, is a
/// mistake.
pub(super) fn resolve(tree: &mut Layer, reading: &mut Reading, mistakes: &mut Vec<Mistake>) {
    for schema in SCHEMAS {
        for key in schema.keys.iter().filter(|key| key.shape == Shape::Secret) {
            let file_key = format!("{}_file", key.name);
            let (found, secret) = (tree.get(schema.name, &file_key), tree.get(schema.name, key.name));
            if let Some(value) =
                find(found, secret, key.name, &format!("{}.{file_key}", schema.name), reading, mistakes)
            {
                tree.set(schema.name, key.name, value);
            }
            for entry in &mut tree.apps {
                let (found, secret) = (entry.get(schema.name, &file_key), entry.get(schema.name, key.name));
                let path = format!("{}.{}.{file_key}", entry.path, schema.name);
                if let Some(value) = find(found, secret, key.name, &path, reading, mistakes) {
                    entry.set(schema.name, key.name, value);
                }
            }
        }
    }
}

/// The files that are named by keys which read them where the configuration is read: public keys.
pub(super) fn read_elsewhere(tree: &Layer) -> Vec<PathBuf> {
    let mut named = Vec::new();
    for schema in SCHEMAS {
        for key in schema.keys.iter().filter(|key| key.names_files) {
            let places = tree.apps.iter().map(|entry| entry.get(schema.name, key.name));
            named.extend(places.chain([tree.get(schema.name, key.name)]).flatten().cloned());
        }
    }
    let texts = named.into_iter().flat_map(|value| match value.kind {
        ValueKind::Array(items) => items,
        _ => vec![value],
    });
    texts.filter_map(|value| value.into_string().ok().map(PathBuf::from)).collect()
}

/// Takes out of `layers` the secrets, and the files that hold them, that `overlay` has in either way: it is to win, and both
/// together would be a mistake.
pub(super) fn give_way(layers: &mut [Layer], overlay: &Layer) {
    for schema in SCHEMAS {
        for key in schema.keys.iter().filter(|key| key.shape == Shape::Secret) {
            let names = [key.name, &format!("{}_file", key.name)];
            if names.iter().any(|name| overlay.get(schema.name, name).is_some()) {
                for layer in &mut *layers {
                    names.iter().for_each(|name| layer.remove(schema.name, name));
                }
            }
        }
    }
}

/// What the file holds that is named at `path`, for the key `name` beside it, which has to have no value of its own.
fn find(
    file: Option<&Value>,
    secret: Option<&Value>,
    name: &str,
    path: &str,
    reading: &mut Reading,
    mistakes: &mut Vec<Mistake>,
) -> Option<Value> {
    let file = file?;
    if secret.is_some() {
        let message = format!("{name} is set, too; only one of the two can be");
        mistakes.push(Mistake::at(file, path, message));
        return None;
    }
    // What is no path at all is reported where the section is read.
    let file_path = SecretFile::read(file, path, &mut Vec::new())?;
    match read(&file_path, reading) {
        Ok(text) => Some(Value::new(Some(&file_path.display().to_string()), ValueKind::String(text))),
        Err(error) => {
            mistakes.push(Mistake::at(file, path, format!("{}: {error}", shown(&file_path))));
            None
        }
    }
}

/// The name of a file in a message about it. What is neither absolute nor there may be a secret that was put at the wrong key.
pub(super) fn shown(path: &Path) -> String {
    if path.is_absolute() || path.exists() {
        return path.display().to_string();
    }
    "the file that is named (not shown here: it may be a secret itself)".to_owned()
}

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It holds nothing.
    #[error("is empty")]
    Empty,
    /// It is no secret.
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is no text.
    #[error("is not text in UTF-8")]
    NoText,
}

/// The secret that a file holds, as any `<key>_file` does.
///
/// # Errors
///
/// The file cannot be read, or holds no text.
pub fn read_secret(path: &Path) -> Result<Secret, FileError> {
    read(path, &mut Files::default().reading()).map(|text| Secret::new(&text))
}

/// What a file holds, without the line end that editors and `echo` leave behind.
fn read(path: &Path, reading: &mut Reading) -> Result<String, FileError> {
    let bytes = reading.read(path)?;
    if bytes.len() > MAX_BYTES {
        return Err(FileError::TooLong);
    }
    let mut text = String::from_utf8(bytes).map_err(|_| FileError::NoText)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err(FileError::Empty) } else { Ok(text) }
}
