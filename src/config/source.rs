//! Configuration files and directories of them.
//!
//! Owns finding, reading and parsing the files. The configuration calls it; which value is right for a key is none of its
//! business.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ::config::{FileFormat, Format, Map, Value, ValueKind};

use super::apps::AppEntry;
use super::files::Reading;
use super::layer::Layer;
use super::mistake::Mistake;
use super::provenance::Lines;
use super::section::{hint, shown_key};
use super::sections::SCHEMAS;

/// The files that `paths` stand for: a file for itself, a directory for its `*.toml` by name, hidden ones left out (such
/// as the `..data` of a mounted ConfigMap, to which its visible links lead).
pub(super) fn files(paths: &[PathBuf], mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        match directory_files(path) {
            Ok(Some(mut found)) => {
                found.sort();
                files.append(&mut found);
            }
            Ok(None) => files.push(path.clone()),
            Err(error) => mistakes.push(unreadable(path, &error)),
        }
    }
    files
}

fn directory_files(path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            files.push(path.join(name));
        }
    }
    Ok(Some(files))
}

/// Reads and parses one file; `None` after adding why that is impossible.
pub(super) fn read(path: &Path, reading: &mut Reading, mistakes: &mut Vec<Mistake>) -> Option<Layer> {
    let text = reading.read(path).and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_text()));
    match text {
        Ok(text) => parse(&path.display().to_string(), &text, mistakes),
        Err(error) => {
            mistakes.push(unreadable(path, &error));
            None
        }
    }
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not text in UTF-8")
}

fn unreadable(path: &Path, error: &io::Error) -> Mistake {
    Mistake::in_source(&path.display().to_string(), format!("cannot be read: {error}"))
}

/// Parses TOML, shown as `name` in mistakes; `None` after adding why that is impossible.
pub(super) fn parse(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<Layer> {
    let root = match Format::parse(&FileFormat::Toml, Some(&name.to_owned()), text) {
        Ok(root) => root,
        Err(error) => {
            mistakes.push(syntax_mistake(name, &error.to_string()));
            return None;
        }
    };
    Some(Layer { lines: Lines::of(name, text), ..layer(root, mistakes) })
}

/// Parses JSON in the shape that TOML has: an object of sections. Shown as `name` in mistakes.
pub(super) fn parse_json(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<Layer> {
    let root = match serde_json::from_str(text) {
        Ok(root) => json_value(name, root),
        Err(error) => {
            mistakes.push(Mistake::in_source(name, error.to_string()));
            return None;
        }
    };
    match root.kind {
        ValueKind::Table(root) => Some(layer(root, mistakes)),
        _ => {
            mistakes.push(Mistake::in_source(name, "expected an object of sections".to_owned()));
            None
        }
    }
}

fn json_value(name: &str, value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => ValueKind::Nil,
        serde_json::Value::Bool(switch) => ValueKind::Boolean(switch),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => ValueKind::I64(whole),
            None => ValueKind::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => ValueKind::String(text),
        serde_json::Value::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| json_value(name, item)).collect())
        }
        serde_json::Value::Object(members) => {
            ValueKind::Table(members.into_iter().map(|(key, value)| (key, json_value(name, value))).collect())
        }
    };
    Value::new(Some(&name.to_owned()), kind)
}

/// Takes the sections apart.
fn layer(root: Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Layer {
    // In an order of its own, so that the same mistakes always read the same.
    let mut root: Vec<_> = root.into_iter().collect();
    root.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut layer = Layer::default();
    for (key, value) in root {
        if key == "apps" {
            layer.apps = AppEntry::split(value, mistakes);
        } else if SCHEMAS.iter().any(|schema| schema.name == key) {
            let value = without_tables(&key, value, mistakes);
            layer.sections.insert(key, value);
        } else {
            // Never merged: there, a quoted key such as "a.b" would be taken for a path.
            let known = SCHEMAS.iter().map(|schema| schema.name).chain(["apps"]);
            let message = format!("unknown section {}", hint(&key, known));
            mistakes.push(Mistake::at(&value, &shown_key(&key), message));
        }
    }
    layer
}

/// Drops the tables within a section, of which there are none: merging would forget in which file one stands.
fn without_tables(section: &str, mut value: Value, mistakes: &mut Vec<Mistake>) -> Value {
    if let ValueKind::Table(table) = &mut value.kind {
        let (tables, values): (Map<_, _>, Map<_, _>) =
            std::mem::take(table).into_iter().partition(|(_, value)| matches!(value.kind, ValueKind::Table(_)));
        *table = values;
        let mut tables: Vec<_> = tables.into_iter().collect();
        tables.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (key, value) in tables {
            let path = format!("{section}.{}", shown_key(&key));
            mistakes.push(Mistake::at(&value, &path, format!("there are no tables within [{section}]")));
        }
    }
    value
}

/// Makes one line of the parser's drawing: a head with line and column, the line with a marker, what is wrong with it.
fn syntax_mistake(name: &str, drawing: &str) -> Mistake {
    let head = drawing.lines().next().unwrap_or_default();
    let what = drawing.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    match head.strip_prefix("TOML parse error at ") {
        Some(place) => Mistake::in_source(name, format!("{place}: {what}")),
        None => Mistake::in_source(name, what.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_syntax_error_without_a_place_keeps_its_words() {
        assert_eq!(syntax_mistake("a.toml", "number too large").to_string(), "a.toml: number too large");
    }

    proptest! {
        #[test]
        fn no_file_panics_and_every_mistake_is_one_line(
            lines in prop::collection::vec("\\[{0,2}[a-z.\"\\\\]{0,9}\\]{0,2}( = [\\[\\]{}0-9a-z\"'., =-]{0,12})?|.*", 0..6),
        ) {
            let mut mistakes = Vec::new();
            let layer = parse("a.toml", &lines.join("\n"), &mut mistakes);
            prop_assert!(layer.is_some() || !mistakes.is_empty());
            for mistake in mistakes {
                prop_assert_eq!(mistake.to_string().lines().count(), 1);
            }
        }
    }
}
