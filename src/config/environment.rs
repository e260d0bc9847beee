//! Settings from the environment: `RILLCAST_SECTION__KEY=value`.
//!
//! Owns the names of the variables and what their text becomes. The configuration lays the result over the files; the
//! process's own environment is read by the caller, so that tests pass a list.

use ::config::{Map, Value, ValueKind};

use super::form::Shape;
use super::layer::Layer;
use super::mistake::Mistake;
use super::section::{Key, Schema};
use super::sections::SCHEMAS;
use super::suggest::closest;

const PREFIX: &str = "RILLCAST_";

/// What stands between section and key: keys have single underscores themselves.
const SEPARATOR: &str = "__";

/// Makes a layer of the variables that are settings; each of these that names no key is a mistake.
pub(super) fn read(variables: impl IntoIterator<Item = (String, String)>, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut settings: Vec<_> = variables.into_iter().filter(|(name, _)| is_setting(name)).collect();
    settings.sort();

    let mut tables: Map<String, Map<String, Value>> = Map::new();
    for (name, text) in settings {
        match find(&name) {
            Some((schema, key)) => {
                let value = typed(&name, text, key.shape);
                tables.entry(schema.name.to_owned()).or_default().insert(key.name.to_owned(), value);
            }
            None => mistakes.push(Mistake::in_source(&name, unknown(&name))),
        }
    }
    let sections = tables.into_iter().map(|(section, table)| (section, Value::new(None, table))).collect();
    Layer { sections, ..Layer::default() }
}

/// The names of the variables that are settings, sorted.
pub(super) fn names(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut names: Vec<_> = variables.into_iter().map(|(name, _)| name).filter(|name| is_setting(name)).collect();
    names.sort();
    names
}

/// One prefix for all: a cluster sets variables such as RILLCAST_EDGE_SERVICE_HOST, which are no settings.
pub(super) fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|path| path.contains(SEPARATOR))
}

/// The variable of a key.
pub(super) fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}{SEPARATOR}{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

fn find(name: &str) -> Option<(&'static Schema, &'static Key)> {
    SCHEMAS.iter().find_map(|schema| {
        let key = schema.keys.iter().find(|key| variable(schema.name, key.name) == name)?;
        Some((schema, key))
    })
}

fn unknown(name: &str) -> String {
    if name.starts_with("RILLCAST_APPS__") {
        return "[[apps]] can only stand in a file".to_owned();
    }
    let known: Vec<String> =
        SCHEMAS.iter().flat_map(|schema| schema.keys.iter().map(|key| variable(schema.name, key.name))).collect();
    match closest(name, known.iter().map(String::as_str)) {
        Some(variable) => format!("names no key (did you mean {variable}?)"),
        None => "names no key (the form is RILLCAST_SECTION__KEY, such as RILLCAST_RTMP__LISTEN)".to_owned(),
    }
}

/// What the text would be in a file. What it cannot be stays text, which the key's form then refuses.
fn typed(name: &str, text: String, shape: Shape) -> Value {
    let origin = name.to_owned();
    let kind = match shape {
        Shape::Switch => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => ValueKind::Boolean(true),
            "false" | "0" | "off" | "no" => ValueKind::Boolean(false),
            _ => ValueKind::String(text),
        },
        Shape::Number => text.parse().map(ValueKind::I64).unwrap_or(ValueKind::String(text)),
        Shape::Text | Shape::Secret => ValueKind::String(text),
        Shape::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            ValueKind::Array(items.map(|item| Value::new(Some(&origin), item)).collect())
        }
    };
    Value::new(Some(&origin), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(variables: &[(&str, &str)]) -> (Layer, Vec<String>) {
        let mut mistakes = Vec::new();
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let layer = read(variables, &mut mistakes);
        (layer, mistakes.iter().map(ToString::to_string).collect())
    }

    fn kind(variable: &str, text: &str) -> ValueKind {
        let (layer, mistakes) = read_all(&[(variable, text)]);
        assert_eq!(mistakes, [""; 0]);
        let (schema, key) = find(variable).unwrap();
        layer.get(schema.name, key.name).unwrap().kind.clone()
    }

    #[test]
    fn a_variable_becomes_what_its_key_takes() {
        assert_eq!(kind("RILLCAST_PLAY__GOP_CACHE", "off"), ValueKind::Boolean(false));
        assert_eq!(kind("RILLCAST_RTMP__CHUNK_SIZE", "4096"), ValueKind::I64(4096));
        assert_eq!(kind("RILLCAST_NODE__NAME", "42"), ValueKind::String("42".to_owned()));
    }

    #[test]
    fn only_lists_are_split_at_commas() {
        assert_eq!(kind("RILLCAST_LOG__LEVEL", "info,a=debug"), ValueKind::String("info,a=debug".to_owned()));
        let ValueKind::Array(items) = kind("RILLCAST_RTMP__LISTEN", ":1935, 127.0.0.1:1936,") else { panic!() };
        let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [":1935", "127.0.0.1:1936"]);
    }

    #[test]
    fn a_variable_that_names_no_key_is_a_mistake() {
        let (_, mistakes) = read_all(&[("RILLCAST_PLAY__GOP_CACH", "true"), ("RILLCAST_APPS__MATCH", "live")]);
        assert_eq!(
            mistakes,
            [
                "RILLCAST_APPS__MATCH: [[apps]] can only stand in a file",
                "RILLCAST_PLAY__GOP_CACH: names no key (did you mean RILLCAST_PLAY__GOP_CACHE?)",
            ]
        );
    }

    #[test]
    fn variables_without_prefix_or_double_underscore_are_none_of_ours() {
        let (layer, mistakes) =
            read_all(&[("RILLCAST_EDGE_SERVICE_HOST", "10.0.0.1"), ("PATH", "/bin"), ("OTHER__KEY", "1")]);
        assert!(layer.sections.is_empty());
        assert_eq!(mistakes, [""; 0]);
    }

    #[test]
    fn names_of_variables_are_upper_case() {
        let (_, mistakes) = read_all(&[("RILLCAST_rtmp__listen", ":1")]);
        assert_eq!(mistakes.len(), 1);
    }
}
