//! `[[apps]]`: settings for the streams of some apps only.
//!
//! Owns one entry: its pattern and its patches. The configuration lays every matching entry over the sections, in order.

use ::config::{Value, ValueKind};

use super::form::{Form, Seal, Written};
use super::mistake::Mistake;
use super::pattern::AppPattern;
use super::section::{Setting, known_table};
use super::sections::{AuthPatch, DvrPatch, HlsPatch, HooksPatch, PlayPatch, PublishPatch};

/// The keys of an entry.
const KEYS: [&str; 7] = ["match", "play", "publish", "hls", "dvr", "auth", "hooks"];

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppRule {
    pub(super) pattern: AppPattern,
    pub(super) play: PlayPatch,
    pub(super) publish: PublishPatch,
    pub(super) hls: HlsPatch,
    pub(super) dvr: DvrPatch,
    pub(super) auth: AuthPatch,
    pub(super) hooks: HooksPatch,
}

impl AppRule {
    /// What it sets, secrets masked.
    pub(super) fn settings(&self) -> Vec<Setting> {
        [
            self.play.settings(),
            self.publish.settings(),
            self.hls.settings(),
            self.dvr.settings(),
            self.auth.settings(),
            self.hooks.settings(),
        ]
        .concat()
    }

    /// The same with every secret as what `seal` makes of it.
    pub(super) fn sealed(&self, seal: &Seal<'_>) -> Vec<Setting> {
        [
            self.play.sealed(seal),
            self.publish.sealed(seal),
            self.hls.sealed(seal),
            self.dvr.sealed(seal),
            self.auth.sealed(seal),
            self.hooks.sealed(seal),
        ]
        .concat()
    }
}

/// One entry as found in a file.
#[derive(Debug, Clone)]
pub(super) struct AppEntry {
    /// Its path in that file, such as `apps[0]`.
    pub(super) path: String,
    /// Its content, not yet looked at.
    pub(super) value: Value,
}

impl AppEntry {
    /// Takes the value of `apps` apart.
    pub(super) fn split(value: Value, mistakes: &mut Vec<Mistake>) -> Vec<Self> {
        let ValueKind::Array(items) = value.kind else {
            mistakes.push(Mistake::unexpected(&value, "apps", &"a list of tables, each headed [[apps]]"));
            return Vec::new();
        };
        items.into_iter().enumerate().map(|(index, value)| Self { path: format!("apps[{index}]"), value }).collect()
    }

    /// Reads the entry; one without a usable pattern is left out.
    pub(super) fn read(&self, mistakes: &mut Vec<Mistake>) -> Option<AppRule> {
        let table = known_table(&self.value, &self.path, KEYS.into_iter(), mistakes)?;
        let path = |key: &str| format!("{}.{key}", self.path);
        let pattern = match table.get("match") {
            Some(value) => Written::<AppPattern>::read(value, &path("match"), mistakes),
            None => {
                let message = "missing: every entry says which apps it is for, such as match = \"live*\"".to_owned();
                mistakes.push(Mistake::at(&self.value, &path("match"), message));
                None
            }
        };
        let play = table.get("play").map(|value| PlayPatch::read(value, &path("play"), mistakes));
        let publish = table.get("publish").map(|value| PublishPatch::read(value, &path("publish"), mistakes));
        let hls = table.get("hls").map(|value| HlsPatch::read(value, &path("hls"), mistakes));
        let dvr = table.get("dvr").map(|value| DvrPatch::read(value, &path("dvr"), mistakes));
        let auth = table.get("auth").map(|value| AuthPatch::read(value, &path("auth"), mistakes));
        let hooks = table.get("hooks").map(|value| HooksPatch::read(value, &path("hooks"), mistakes));
        Some(AppRule {
            pattern: pattern?,
            play: play.unwrap_or_default(),
            publish: publish.unwrap_or_default(),
            hls: hls.unwrap_or_default(),
            dvr: dvr.unwrap_or_default(),
            auth: auth.unwrap_or_default(),
            hooks: hooks.unwrap_or_default(),
        })
    }

    /// Puts a value at `section.key` of a section that there is in this entry.
    pub(super) fn set(&mut self, section: &str, key: &str, value: Value) {
        if let ValueKind::Table(entry) = &mut self.value.kind
            && let Some(ValueKind::Table(section)) = entry.get_mut(section).map(|section| &mut section.kind)
        {
            section.insert(key.to_owned(), value);
        }
    }

    /// The value at `section.key` in this entry.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Value> {
        let ValueKind::Table(entry) = &self.value.kind else { return None };
        let ValueKind::Table(section) = &entry.get(section)?.kind else { return None };
        section.get(key)
    }
}
