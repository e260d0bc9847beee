//! What an operator lays over the configuration while the process runs.
//!
//! Owns the reading of such a text, in TOML or JSON. It is a source as any other, but the last: it wins over files and
//! environment until it is taken away.

use std::fmt;

use super::layer::Layer;
use super::mistake::{ConfigError, Mistake};
use super::provenance::Lines;
use super::source;

/// How its values are called where their source is named.
pub const OVERLAY_SOURCE: &str = "PUT /api/v1/config";

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayFormat {
    /// As in a configuration file.
    Toml,
    /// The same shape in JSON: an object of sections, and a list `apps`.
    Json,
}

/// Some settings, not yet checked together with the others.
#[derive(Clone)]
pub struct Overlay {
    layer: Layer,
}

impl Overlay {
    /// Reads the text of one.
    ///
    /// # Errors
    ///
    /// What makes it no configuration at all: its syntax, and sections that do not exist. Keys and values are checked with
    /// the whole.
    pub fn parse(text: &[u8], format: OverlayFormat) -> Result<Self, ConfigError> {
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(Mistake::in_source(OVERLAY_SOURCE, "is not text in UTF-8".to_owned()).into());
        };
        let mut mistakes = Vec::new();
        let layer = match format {
            OverlayFormat::Toml => source::parse(OVERLAY_SOURCE, text, &mut mistakes),
            OverlayFormat::Json => source::parse_json(OVERLAY_SOURCE, text, &mut mistakes),
        };
        match layer.filter(|_| mistakes.is_empty()) {
            // Whoever reads where a value came from has no lines of a request to look at.
            Some(layer) => Ok(Self { layer: Layer { lines: Lines::default(), ..layer } }),
            None => Err(ConfigError { mistakes }),
        }
    }

    /// Whether it has a value for `section.key`, be it the name of the file that holds it.
    pub fn sets(&self, key: &str) -> bool {
        let Some((section, key)) = key.split_once('.') else { return false };
        [key, &format!("{key}_file")].iter().any(|key| self.layer.get(section, key).is_some())
    }

    pub(super) const fn layer(&self) -> &Layer {
        &self.layer
    }
}

/// Nothing of it, which may hold secrets.
impl fmt::Debug for Overlay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Overlay").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, format: OverlayFormat) -> Vec<String> {
        Overlay::parse(text.as_bytes(), format).unwrap_err().mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn json_and_toml_say_the_same() {
        let toml = "[play]\ngop_cache = false\ngop_max_packets = 7\nplay_wait = \"3s\"\n[rtmp]\nlisten = [\":1\"]\n\
                    [[apps]]\nmatch = \"live*\"\nplay.gop_cache = true\n";
        let json = r#"{"play": {"gop_cache": false, "gop_max_packets": 7, "play_wait": "3s"},
                       "rtmp": {"listen": [":1"]}, "apps": [{"match": "live*", "play": {"gop_cache": true}}]}"#;
        let [toml, json] = [(toml, OverlayFormat::Toml), (json, OverlayFormat::Json)].map(|(text, format)| {
            let layer = Overlay::parse(text.as_bytes(), format).unwrap().layer;
            let apps: Vec<_> = layer.apps.into_iter().map(|entry| entry.value).collect();
            (layer.sections, apps)
        });
        assert_eq!(toml, json);
    }

    #[test]
    fn it_sets_a_key_by_its_value_or_by_the_file_that_holds_it() {
        let overlay =
            Overlay::parse(b"rtmp.listen = \":1\"\ncluster.key_file = \"key\"\n", OverlayFormat::Toml).unwrap();
        let found = ["rtmp.listen", "cluster.key", "rtmp.tls_listen", "cluster.peers", "node.name", "apps"];
        assert_eq!(found.map(|key| overlay.sets(key)), [true, true, false, false, false, false]);
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_place() {
        let found = lines("[play\n", OverlayFormat::Toml);
        assert!(found[0].starts_with("PUT /api/v1/config: line 1"), "{found:?}");
        let found = lines("{\"play\": ", OverlayFormat::Json);
        assert!(found[0].contains("line 1"), "{found:?}");
        assert_eq!(lines("[1]", OverlayFormat::Json), ["PUT /api/v1/config: expected an object of sections"]);
        for format in [OverlayFormat::Toml, OverlayFormat::Json] {
            let text = if format == OverlayFormat::Toml { "paly.gop_cache = true" } else { r#"{"paly": {}}"# };
            let found = lines(text, format);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("paly") && found[0].contains("play"), "{found:?}");
        }
        let found = Overlay::parse(b"\xff", OverlayFormat::Toml).unwrap_err();
        assert_eq!(found.to_string(), "PUT /api/v1/config: is not text in UTF-8");
    }

    #[test]
    fn nesting_without_end_is_a_mistake_and_no_crash() {
        let deep = format!("{{\"play\": {}", "[".repeat(100_000));
        assert_eq!(lines(&deep, OverlayFormat::Json).len(), 1);
        assert!(!lines(&format!("a = {}", "[".repeat(100_000)), OverlayFormat::Toml).is_empty());
    }
}
