//! A configuration in words: what is set and by what, and what is open to whom.
//!
//! Owns the layout that `rillcast check` prints. What is open is said in `exposure`, what came from where in `provenance`.

use std::fmt;
use std::path::PathBuf;

use super::exposure::exposures;
use super::provenance::Provenance;
use super::{Config, ConfigError, Loaded, Role, Sources};

/// What is to be said of a valid configuration.
#[derive(Debug, Clone)]
pub struct Explanation {
    config: Config,
    provenance: Provenance,
}

/// Loads a configuration as a server would, to explain it.
///
/// # Errors
///
/// As [`load`](super::load) has them.
pub fn explain(
    role: Role,
    paths: &[PathBuf],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Explanation, ConfigError> {
    let Loaded { config, provenance, .. } = Sources::new(role, paths, environment).load(None).result?;
    Ok(Explanation { config, provenance })
}

impl Explanation {
    /// Every key that is not at its default: where it is set, its name, its value.
    fn settings(&self) -> Vec<[String; 3]> {
        let mut rows = Vec::new();
        for setting in self.config.settings() {
            if let Some(place) = self.provenance.of_key(setting.section, setting.key) {
                rows.push([place.to_string(), format!("{}.{}", setting.section, setting.key), setting.value]);
            }
        }
        for (place, app) in self.provenance.of_apps().iter().zip(self.config.apps()) {
            for setting in app.settings {
                let pattern = &app.pattern;
                let key = format!("{}.{} for {pattern}", setting.section, setting.key);
                rows.push([place.to_string(), key, setting.value]);
            }
        }
        rows
    }

    fn exposures(&self) -> Vec<[String; 3]> {
        let place = |address: String, protocol: &str| format!("{address} {protocol}");
        let all = exposures(&self.config).into_iter();
        all.map(|one| [place(one.address.to_string(), one.protocol), one.what.to_owned(), one.who]).collect()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        if settings.is_empty() {
            writeln!(formatter, "everything is at its default")?;
        } else {
            writeln!(formatter, "set, where everything else is at its default:")?;
            table(formatter, &settings, " = ")?;
        }
        writeln!(formatter, "open, where a firewall says nothing else:")?;
        table(formatter, &self.exposures(), ": ")
    }
}

/// Writes rows with columns that stand below each other; `between` stands between the last two.
fn table(formatter: &mut fmt::Formatter<'_>, rows: &[[String; 3]], between: &str) -> fmt::Result {
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    for [place, name, value] in rows {
        writeln!(formatter, "  {place:width$}  {name}{between}{value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_with_their_places_and_secrets_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.toml");
        let text = "[upstream]\norigins = \"origin\"\n[cluster]\nkey = \"0123456789abcdef\"\n\
            [[apps]]\nmatch = \"live*\"\nplay.play_wait = \"2s\"\n";
        std::fs::write(&path, text).unwrap();
        let environment = [("RILLCAST_LOG__LEVEL".to_owned(), "debug".to_owned())];
        let text = explain(Role::Edge, std::slice::from_ref(&path), environment).unwrap().to_string();
        let file = path.display().to_string();
        let has = |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(has(&[&format!("{file}:2 "), "upstream.origins = [\"origin:1935\"]"]), "{text}");
        assert!(has(&["RILLCAST_LOG__LEVEL ", "log.level = \"debug\""]), "{text}");
        assert!(has(&[&format!("{file}:5 "), "play.play_wait for live* = \"2s\""]), "{text}");
        assert!(has(&[&format!("{file}:4 "), "cluster.key = "]), "{text}");
        assert!(!text.contains("0123456789abcdef"), "{text}");
        assert!(!text.contains("rtmp.chunk_size"), "what is at its default is left out: {text}");
        assert!(has(&[":1935 RTMP", "publish: nobody"]), "{text}");
    }

    #[test]
    fn without_settings_that_is_said() {
        let text = explain(Role::Origin, &[], []).unwrap().to_string();
        assert!(text.starts_with("everything is at its default\n"), "{text}");
    }
}
