//! Where each setting came from: a file and its line, a variable, or nowhere, and then it is the default.
//!
//! Owns the line of every key in every file, and what is left of both when all sources are merged. The configuration
//! makes it while it loads; the command line and the admin port show it. It holds no values, so no secret either.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use ::config::{Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layer::Layer;

/// What stands as the source of a value that nobody has set.
pub const DEFAULT: &str = "default";

/// The source that a value stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path of the file as it was given, or the name of the variable.
    pub source: String,
    /// The line of the key, counted from 1; none in what has no lines, such as a variable or the file of a secret.
    pub line: Option<usize>,
}

/// The places of all settings that are not at their default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    sections: BTreeMap<(String, String), Place>,
    apps: Vec<Place>,
}

/// The line of each key of some files, by the file's path and the key's (`play.gop_cache`, `apps[0].play.gop_cache`).
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(BTreeMap<(String, String), usize>);

impl Provenance {
    /// What the merged sources say about themselves.
    pub(super) fn of(tree: &Layer) -> Self {
        let mut sections = BTreeMap::new();
        for (section, table) in &tree.sections {
            let keys = table.clone().into_table().unwrap_or_default();
            for (key, value) in keys {
                if let Some(source) = origin(&value) {
                    let place = tree.lines.place(source, &format!("{section}.{key}"));
                    sections.insert((section.clone(), key), place);
                }
            }
        }
        let apps = tree.apps.iter().map(|entry| {
            let source = origin(&entry.value).unwrap_or_default();
            tree.lines.place(source, &entry.path)
        });
        Self { sections, apps: apps.collect() }
    }

    /// Where `[section] key` is set; `None` if it is at its default.
    pub fn of_key(&self, section: &str, key: &str) -> Option<&Place> {
        self.sections.get(&(section.to_owned(), key.to_owned()))
    }

    /// Where a key is set, in words; [`DEFAULT`] if nowhere.
    pub fn source_of(&self, section: &str, key: &str) -> String {
        self.of_key(section, key).map_or_else(|| DEFAULT.to_owned(), Place::to_string)
    }

    /// Where both say of a key that it came from, where `keys` say so from `other`.
    pub fn keep(&mut self, keys: &[String], other: &Self) {
        for key in keys {
            let Some((section, key)) = key.split_once('.') else { continue };
            let name = (section.to_owned(), key.to_owned());
            match other.sections.get(&name) {
                Some(place) => self.sections.insert(name, place.clone()),
                None => self.sections.remove(&name),
            };
        }
    }

    /// Where each entry of `[[apps]]` begins, in the order in which they apply.
    pub fn of_apps(&self) -> &[Place] {
        &self.apps
    }
}

/// The source of a value. A list may have none of its own, and its entries one.
fn origin(value: &Value) -> Option<&str> {
    let items = match &value.kind {
        ValueKind::Array(items) => items.as_slice(),
        _ => &[],
    };
    value.origin().or_else(|| items.iter().find_map(Value::origin))
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        match self.line {
            Some(line) => write!(formatter, ":{line}"),
            None => Ok(()),
        }
    }
}

impl Lines {
    /// Finds the lines of all keys in the text of a file. Of a text that is not TOML nothing is known.
    pub(super) fn of(name: &str, text: &str) -> Self {
        let mut finder = Finder { name, ends: line_ends(text), lines: Self::default() };
        if let Ok(root) = DeTable::parse(text) {
            finder.table(root.get_ref(), "");
        }
        finder.lines
    }

    /// Adds those of other files.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn place(&self, source: &str, path: &str) -> Place {
        let line = self.0.get(&(source.to_owned(), path.to_owned())).copied();
        Place { source: source.to_owned(), line }
    }
}

struct Finder<'t> {
    name: &'t str,
    /// Where each line of the text ends, in bytes.
    ends: Vec<usize>,
    lines: Lines,
}

impl Finder<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let path =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            self.note(&path, &key.span());
            self.value(value, &path);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.note(&path, &item.span());
                    self.value(item, &path);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: &str, span: &Range<usize>) {
        let line = self.ends.partition_point(|end| *end < span.start) + 1;
        self.lines.0.insert((self.name.to_owned(), path.to_owned()), line);
    }
}

fn line_ends(text: &str) -> Vec<usize> {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, path: &str) -> Option<usize> {
        Lines::of("a.toml", text).place("a.toml", path).line
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let text = "rtmp.chunk_size = 128\n\n[play]\ngop_cache = false\n\"mw_latency\" = \"auto\"\n";
        assert_eq!(line(text, "rtmp.chunk_size"), Some(1));
        assert_eq!(line(text, "play.gop_cache"), Some(4));
        assert_eq!(line(text, "play.mw_latency"), Some(5));
        assert_eq!(line(text, "play.queue_length"), None);
    }

    #[test]
    fn entries_of_a_list_of_tables_have_lines_of_their_own() {
        let text = "[[apps]]\nmatch = \"a\"\n[[apps]]\nmatch = \"b\"\nplay.play_wait = \"1s\"\n";
        assert_eq!(line(text, "apps[0]"), Some(1));
        assert_eq!(line(text, "apps[1]"), Some(3));
        assert_eq!(line(text, "apps[1].play.play_wait"), Some(5));
    }

    #[test]
    fn of_what_is_no_toml_nothing_is_known() {
        assert_eq!(line("[play\ngop_cache = 1", "play.gop_cache"), None);
    }

    #[test]
    fn lines_that_end_as_on_windows_are_counted_once() {
        assert_eq!(line("[play]\r\n\r\ngop_cache = true\r\n", "play.gop_cache"), Some(3));
    }

    #[test]
    fn a_place_reads_as_compilers_write_it() {
        assert_eq!(Place { source: "a.toml".to_owned(), line: Some(3) }.to_string(), "a.toml:3");
        assert_eq!(Place { source: "RILLCAST_A__B".to_owned(), line: None }.to_string(), "RILLCAST_A__B");
    }
}
