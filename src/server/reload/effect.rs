//! When a change of a key reaches the process: at once, or with the next start.
//!
//! Owns the list. Every section stands in it, so that nobody adds one without a thought about it.

use crate::config::Config;

/// What cannot change while the process runs.
enum Effect {
    /// Everything changes.
    Live,
    /// These keys do not.
    Except(&'static [&'static str]),
    /// Nothing changes.
    Restart,
}

/// By section.
const EFFECTS: [(&str, Effect); 18] = [
    // Peers, logs and open connections know it by then.
    ("node", Effect::Restart),
    ("log", Effect::Except(&["format"])),
    ("rtmp", Effect::Except(&["listen", "tls_listen"])),
    ("http", Effect::Except(&["listen", "tls_listen"])),
    ("admin", Effect::Except(&["listen", "tls_listen"])),
    ("net", Effect::Live),
    ("tls", Effect::Live),
    ("play", Effect::Live),
    ("publish", Effect::Live),
    ("upstream", Effect::Live),
    // Whoever is connected has proved who it is by the key. For peers see below.
    ("cluster", Effect::Except(&["key"])),
    ("dns", Effect::Restart),
    ("drain", Effect::Live),
    ("limits", Effect::Live),
    // Files must be found again where they were put, and a cache has the size that it was made with.
    ("hls", Effect::Except(&["path", "m3u8_file", "ts_file", "cache_bytes"])),
    ("dvr", Effect::Live),
    ("auth", Effect::Live),
    // Authorities are read once.
    ("hooks", Effect::Except(&["ca_file"])),
];

/// Whether the difference of a key, `section.key`, between what was `started` and what is `wanted` takes a restart.
pub(super) fn needs_restart(key: &str, started: &Config, wanted: &Config) -> bool {
    if key == "cluster.peers" {
        // An origin is one of several, or alone, from its start on. Which others there are is asked for again and again.
        return started.cluster.peers.is_empty() != wanted.cluster.peers.is_empty();
    }
    let Some((section, key)) = key.split_once('.') else { return false };
    match EFFECTS.iter().find(|(name, _)| *name == section) {
        Some((_, Effect::Live)) => false,
        Some((_, Effect::Except(keys))) => keys.contains(&key),
        Some((_, Effect::Restart)) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Role, SCHEMAS};

    use super::*;

    #[test]
    fn every_section_is_listed_and_every_exception_is_a_key() {
        let names: Vec<&str> = EFFECTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, SCHEMAS.iter().map(|schema| schema.name).collect::<Vec<_>>());
        for ((name, effect), schema) in EFFECTS.iter().zip(SCHEMAS) {
            if let Effect::Except(keys) = effect {
                for key in *keys {
                    assert!(schema.keys.iter().any(|known| known.name == *key), "{name}.{key}");
                }
            }
        }
    }

    /// The rows of the table in the documentation: what stands in the first column between backticks, and the second.
    fn documented() -> Vec<(Vec<String>, String)> {
        let text = include_str!("../../../docs/reload.md");
        let (_, table) = text.split_once("## What changes when").unwrap();
        let rows = table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
        let row = |line: &str| {
            let mut columns = line.trim_matches('|').split('|').map(str::trim);
            let names = columns.next().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (names, columns.next().unwrap().to_owned())
        };
        rows.map(row).collect()
    }

    #[test]
    fn every_section_and_every_exception_is_documented() {
        let rows = documented();
        let mut named: Vec<&str> = rows.iter().flat_map(|(names, _)| names.iter().map(String::as_str)).collect();
        let mut sections: Vec<&str> = EFFECTS.iter().map(|(name, _)| *name).chain(["[[apps]]"]).collect();
        named.sort_unstable();
        sections.sort_unstable();
        assert_eq!(named, sections);
        for (section, effect) in &EFFECTS {
            let (_, words) = rows.iter().find(|(names, _)| names.iter().any(|name| name == section)).unwrap();
            let keys: &[&str] = match effect {
                Effect::Live => continue,
                Effect::Except(keys) => keys,
                Effect::Restart => &[],
            };
            assert!(words.contains("restart"), "{section}");
            for key in keys {
                assert!(words.contains(&format!("`{key}`")), "{section}.{key}");
            }
        }
    }

    #[test]
    fn peers_may_come_and_go_where_there_are_some() {
        let peers = |count: u16| {
            let mut config = Config::defaults(Role::Origin);
            config.cluster.peers = (0..count).map(|port| format!("a.example:{}", port + 1).parse().unwrap()).collect();
            config
        };
        assert!(!needs_restart("cluster.peers", &peers(1), &peers(2)));
        assert!(needs_restart("cluster.peers", &peers(0), &peers(2)));
        assert!(needs_restart("cluster.peers", &peers(1), &peers(0)));
    }

    #[test]
    fn entries_for_apps_are_live() {
        let config = Config::defaults(Role::Edge);
        assert!(!needs_restart("apps", &config, &config));
        assert!(needs_restart("rtmp.listen", &config, &config));
        assert!(!needs_restart("rtmp.chunk_size", &config, &config));
    }
}
