//! What one source says, or what all of them say together.
//!
//! Owns the merging: every value in the result still knows its source. Files and environment make layers, the
//! configuration reads the merged one; which value is right for a key is none of its business.

use ::config::{Config as Tree, ConfigError as SourceError, Map, Source, Value, ValueKind};

use super::apps::AppEntry;
use super::mistake::Mistake;
use super::provenance::Lines;

/// Sections by their name, and the entries of `[[apps]]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) sections: Map<String, Value>,
    pub(super) apps: Vec<AppEntry>,
    /// Where keys stand in the files that they come from.
    pub(super) lines: Lines,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, SourceError> {
        Ok(self.sections.clone())
    }
}

impl Layer {
    /// Lays them over each other, key by key; lists are replaced, the entries of `[[apps]]` follow each other.
    pub(super) fn merge(layers: Vec<Self>) -> Result<Self, Mistake> {
        let apps = layers.iter().flat_map(|layer| layer.apps.clone()).collect();
        let mut lines = Lines::default();
        for layer in &layers {
            lines.extend(layer.lines.clone());
        }
        let merged = Tree::builder().add_source(layers).build().and_then(|tree| tree.collect());
        match merged {
            Ok(sections) => Ok(Self { sections, apps, lines }),
            Err(error) => Err(Mistake { source: None, key: None, message: error.to_string() }),
        }
    }

    /// Puts a value at `section.key` of a section that there is.
    pub(super) fn set(&mut self, section: &str, key: &str, value: Value) {
        if let Some(ValueKind::Table(table)) = self.sections.get_mut(section).map(|section| &mut section.kind) {
            table.insert(key.to_owned(), value);
        }
    }

    /// Takes the value at `section.key` away, if there is one.
    pub(super) fn remove(&mut self, section: &str, key: &str) {
        if let Some(ValueKind::Table(table)) = self.sections.get_mut(section).map(|section| &mut section.kind) {
            table.remove(key);
        }
    }

    /// The value at `section.key`, whichever source it came from.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Value> {
        match &self.sections.get(section)?.kind {
            ValueKind::Table(table) => table.get(key),
            _ => None,
        }
    }
}
