//! What a section is: a struct of typed keys with defaults, declared once.
//!
//! Owns the `section!` macro, which makes of one declaration the struct, its patch and its schema, and the reading of a
//! table against a schema. `sections` declares the sections with it; which sections there are is not known here.

use ::config::{Map, Value, ValueKind};

use super::form::Shape;
use super::mistake::Mistake;
use super::suggest::closest;

/// One key of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name within its section.
    pub name: &'static str,
    /// The kind of value it takes.
    pub shape: Shape,
    /// Whether it names files whose content is part of the configuration.
    pub names_files: bool,
}

/// A section's name and its keys, in the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The name of the section, as in `[name]`.
    pub name: &'static str,
    /// Every key that it has.
    pub keys: &'static [Key],
}

/// A key with the value that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The section's name.
    pub section: &'static str,
    /// The name within the section.
    pub key: &'static str,
    /// The value as written in TOML; empty if the key has none until it is set.
    pub value: String,
}

/// Declares a section: `"name" Struct StructPatch { key: Type as Form = default, ... }`.
///
/// Yields the struct with its default, a patch in which every key may be missing, and their reading and writing.
macro_rules! section {
    (
        $(#[$section_doc:meta])*
        $name:literal $section:ident $patch:ident {
            $($(#[$doc:meta])* $key:ident: $type:ty as $form:ty = $default:expr,)+
        }
    ) => {
        $(#[$section_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $section {
            $($(#[$doc])* pub $key: $type,)+
        }

        #[doc = concat!("Some keys of [`", stringify!($section), "`], to be laid over it.")]
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $patch {
            $(
                #[doc = concat!("Replaces [`", stringify!($section), "::", stringify!($key), "`].")]
                pub $key: Option<$type>,
            )+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $section {
            /// The section's name and keys.
            pub const SCHEMA: $crate::config::section::Schema = $crate::config::section::Schema {
                name: $name,
                keys: &[$($crate::config::section::Key {
                    name: stringify!($key),
                    shape: <$form as $crate::config::form::Form<$type>>::SHAPE,
                    names_files: <$form as $crate::config::form::Form<$type>>::NAMES_FILES,
                },)+],
            };

            /// Takes over every key that the patch has.
            pub fn apply(&mut self, patch: &$patch) {
                $(if let Some(value) = &patch.$key {
                    self.$key.clone_from(value);
                })+
            }

            /// Every key with its value, in the order of their declaration.
            pub fn settings(&self) -> Vec<$crate::config::section::Setting> {
                vec![$($crate::config::section::Setting {
                    section: $name,
                    key: stringify!($key),
                    value: <$form as $crate::config::form::Form<$type>>::write(&self.$key),
                },)+]
            }

            /// The same with every secret as what `seal` makes of it.
            pub(in $crate::config) fn sealed(
                &self,
                seal: &$crate::config::form::Seal<'_>,
            ) -> Vec<$crate::config::section::Setting> {
                vec![$($crate::config::section::Setting {
                    section: $name,
                    key: stringify!($key),
                    value: <$form as $crate::config::form::Form<$type>>::sealed(&self.$key, seal),
                },)+]
            }

            /// The keys whose values differ from those of `other`.
            pub(in $crate::config) fn differences(&self, other: &Self) -> Vec<&'static str> {
                let differs = [$((stringify!($key), self.$key != other.$key),)+];
                differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
            }

            /// Takes the value of one key from `other`, if there is such a key.
            pub(in $crate::config) fn take(&mut self, key: &str, other: &Self) {
                match key {
                    $(stringify!($key) => self.$key.clone_from(&other.$key),)+
                    _ => {}
                }
            }
        }

        impl $patch {
            /// Reads the table at `path`, which must hold no other keys; each wrong key is left out and is a mistake.
            pub(in crate::config) fn read(
                value: &::config::Value,
                path: &str,
                mistakes: &mut Vec<$crate::config::mistake::Mistake>,
            ) -> Self {
                let keys = $section::SCHEMA.keys.iter().map(|key| key.name);
                let Some(table) = $crate::config::section::known_table(value, path, keys, mistakes) else {
                    return Self::default();
                };
                Self {
                    $($key: table.get(stringify!($key)).and_then(|value| {
                        let path = format!("{path}.{}", stringify!($key));
                        <$form as $crate::config::form::Form<$type>>::read(value, &path, mistakes)
                    }),)+
                }
            }

            /// Every key that it has, with its value, in the order of their declaration.
            #[allow(dead_code, reason = "not every section can stand in an entry of [[apps]]")]
            pub(in $crate::config) fn settings(&self) -> Vec<$crate::config::section::Setting> {
                // Nothing secret is shown that way.
                self.sealed(&|secret| secret.to_string())
            }

            /// The same with every secret as what `seal` makes of it.
            #[allow(dead_code, reason = "not every section can stand in an entry of [[apps]]")]
            pub(in $crate::config) fn sealed(
                &self,
                seal: &$crate::config::form::Seal<'_>,
            ) -> Vec<$crate::config::section::Setting> {
                let settings = [$(self.$key.as_ref().map(|value| $crate::config::section::Setting {
                    section: $name,
                    key: stringify!($key),
                    value: <$form as $crate::config::form::Form<$type>>::sealed(value, seal),
                }),)+];
                settings.into_iter().flatten().collect()
            }
        }
    };
}
pub(super) use section;

/// The table behind `value`, after adding a mistake for every key of it that is not among the known ones.
pub(super) fn known_table<'v>(
    value: &'v Value,
    path: &str,
    known: impl Iterator<Item = &'static str> + Clone,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'v Map<String, Value>> {
    let table = match &value.kind {
        ValueKind::Table(table) => table,
        // Not repeated: it may have been meant to be a secret.
        ValueKind::String(_) => {
            mistakes.push(Mistake::at(value, path, "expected a table, found a string".to_owned()));
            return None;
        }
        _ => {
            mistakes.push(Mistake::unexpected(value, path, &"a table"));
            return None;
        }
    };
    let mut unknown: Vec<_> = table.iter().filter(|(key, _)| !known.clone().any(|name| name == key.as_str())).collect();
    unknown.sort_by_key(|(key, _)| key.as_str());
    for (key, value) in unknown {
        let message = format!("unknown key {}", hint(key, known.clone()));
        mistakes.push(Mistake::at(value, &format!("{path}.{}", shown_key(key)), message));
    }
    Some(table)
}

/// In parentheses, the known name that was probably meant, or else all of them.
pub(super) fn hint(wrong: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    match closest(wrong, known.clone()) {
        Some(name) => format!("(did you mean {name}?)"),
        None => format!("(known here: {})", known.collect::<Vec<_>>().join(", ")),
    }
}

/// A key as TOML would write it: between quotation marks unless it is a bare key.
pub(super) fn shown_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares for the public interface")]
mod tests {
    use std::time::Duration;

    use super::super::duration::Span;
    use super::super::form::Switch;
    use super::*;

    section! {
        /// For the tests.
        "tank" Tank TankPatch {
            /// Whether it is filled.
            filled: bool as Switch = true,
            /// How long it takes.
            fill_time: Duration as Span = Duration::from_secs(5),
        }
    }

    fn table(entries: &[(&str, Value)]) -> Value {
        Value::from(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Map<_, _>>())
    }

    #[test]
    fn a_patch_replaces_only_the_keys_it_has() {
        let mut tank = Tank::default();
        tank.apply(&TankPatch { filled: Some(false), ..TankPatch::default() });
        assert_eq!(tank, Tank { filled: false, fill_time: Duration::from_secs(5) });
    }

    #[test]
    fn a_table_reads_into_a_patch() {
        let mut mistakes = Vec::new();
        let patch = TankPatch::read(&table(&[("fill_time", Value::from("1m"))]), "tank", &mut mistakes);
        assert_eq!(patch, TankPatch { filled: None, fill_time: Some(Duration::from_secs(60)) });
        assert_eq!(mistakes, []);
    }

    #[test]
    fn every_wrong_and_every_unknown_key_of_a_table_is_a_mistake() {
        let mut mistakes = Vec::new();
        let value = table(&[
            ("fill_tim", Value::from("1m")),
            ("fill_time", Value::from("soon")),
            ("filled", Value::from(1_i64)),
            ("a\nb", Value::from(1_i64)),
        ]);
        let patch = TankPatch::read(&value, "tank", &mut mistakes);
        assert_eq!(patch, TankPatch::default());
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "tank.\"a\\nb\": unknown key (known here: filled, fill_time)",
                "tank.fill_tim: unknown key (did you mean fill_time?)",
                "tank.filled: expected true or false, found 1",
                "tank.fill_time: expected a duration such as \"350ms\", \"10s\", \"5m\", \"1h\" or \"7d\", found \"soon\"",
            ]
        );
    }

    #[test]
    fn two_of_a_kind_are_compared_key_by_key_and_one_takes_values_from_the_other() {
        let (mut tank, other) = (Tank::default(), Tank { filled: false, fill_time: Duration::from_secs(7) });
        assert_eq!(tank.differences(&other), ["filled", "fill_time"]);
        tank.take("fill_time", &other);
        tank.take("colour", &other);
        assert_eq!(tank.differences(&other), ["filled"]);
        assert_eq!(tank.sealed(&|_| String::new()), tank.settings());
    }

    #[test]
    fn a_section_that_is_no_table_is_a_mistake() {
        let mut mistakes = Vec::new();
        TankPatch::read(&Value::from(3_i64), "tank", &mut mistakes);
        assert_eq!(mistakes[0].to_string(), "tank: expected a table, found 3");
    }

    #[test]
    fn a_patch_shows_only_the_keys_it_has() {
        let settings = TankPatch { filled: Some(false), ..TankPatch::default() }.settings();
        assert_eq!(settings, [Setting { section: "tank", key: "filled", value: "false".to_owned() }]);
    }

    #[test]
    fn settings_show_every_key_as_it_is_written() {
        let settings = Tank::default().settings();
        let lines: Vec<String> =
            settings.iter().map(|setting| format!("{}.{} = {}", setting.section, setting.key, setting.value)).collect();
        assert_eq!(lines, ["tank.filled = true", "tank.fill_time = \"5s\""]);
    }
}
