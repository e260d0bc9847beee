//! `conf/*.toml` are the manual of the configuration: they load, and name every key with its true default.

use super::*;

fn manual_path(role: Role) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conf/{role}.toml"))
}

fn manual(role: Role) -> String {
    std::fs::read_to_string(manual_path(role)).unwrap()
}

/// Whether a key does anything in a role: an origin pulls nothing, an edge has no peers, packages and records nothing.
fn concerns(role: Role, setting: &Setting) -> bool {
    match role {
        Role::Origin => setting.section != "upstream" && (setting.section, setting.key) != ("hls", "cache_bytes"),
        Role::Edge => match setting.section {
            "hls" => matches!(setting.key, "enabled" | "cache_bytes"),
            "dvr" => false,
            "cluster" => setting.key != "peers",
            "node" => setting.key != "address",
            _ => true,
        },
    }
}

/// The lines of one section, from its head to the next.
fn section<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let head = format!("[{name}]");
    let body = text.lines().skip_while(|line| *line != head).skip(1);
    body.take_while(|line| !line.starts_with('[') && *line != "# [[apps]]").collect()
}

/// The key and the value of a line, behind "# " or not.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    let is_key = key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'));
    is_key.then_some((key, value))
}

/// What the manual gives as the default of a key: its value if behind "# ", else what the comment above it says.
fn documented_default<'t>(lines: &[&'t str], key: &str) -> Option<&'t str> {
    let position = lines.iter().position(|line| entry(line).is_some_and(|(name, _)| name == key))?;
    if lines[position].starts_with('#') {
        return entry(lines[position]).map(|(_, value)| value);
    }
    let comment = lines[..position].iter().rev().take_while(|line| line.starts_with('#'));
    comment.copied().find_map(|line| line.strip_prefix("# Default: "))
}

#[test]
fn both_manuals_load_as_they_stand() {
    let origin = load_path(Role::Origin, &manual_path(Role::Origin), &[]);
    assert_eq!(origin, Ok(Config::defaults(Role::Origin)));

    let edge = load_path(Role::Edge, &manual_path(Role::Edge), &[]).unwrap();
    assert_eq!(edge.rtmp.listen, [ListenAddress::Any(1936)]);
    assert_eq!(edge.http.listen, [ListenAddress::Any(8081)]);
    assert_eq!(edge.admin.listen, [ListenAddress::Any(1986)]);
    assert_eq!(edge.upstream.origins, ["127.0.0.1:1935".parse().unwrap()]);
}

#[test]
fn both_manuals_name_every_key_with_its_true_default() {
    for role in [Role::Origin, Role::Edge] {
        let text = manual(role);
        for setting in Config::defaults(role).settings().iter().filter(|setting| concerns(role, setting)) {
            let Setting { section: name, key, value } = setting;
            let documented = documented_default(&section(&text, name), key);
            let documented = documented.unwrap_or_else(|| panic!("conf/{role}.toml does not name {name}.{key}"));
            if !value.is_empty() {
                assert_eq!(documented, value, "conf/{role}.toml, {name}.{key}");
            }
        }
    }
}

#[test]
fn every_line_of_both_manuals_is_valid_without_its_comment_sign() {
    for role in [Role::Origin, Role::Edge] {
        let uncommented: String = manual(role)
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                // Beside a key that is set, the file that would hold it instead is a mistake.
                Some(_) if entry(line).is_some_and(|(key, _)| key.ends_with("_file")) => String::new(),
                Some(rest) if entry(line).is_some() || rest.starts_with('[') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = load_text(role, &uncommented).unwrap();
        assert!(config.node.name.is_some());
        assert_eq!(config.apps.len(), 2);
        let plain = load_path(role, &manual_path(role), &[]).unwrap();
        assert_eq!(config.play_for("live"), plain.play_for("live"));
    }
}

#[test]
fn settings_follow_the_schemas() {
    let settings = Config::defaults(Role::Edge).settings();
    let from_settings: Vec<_> = settings.iter().map(|setting| (setting.section, setting.key)).collect();
    let from_schemas: Vec<_> =
        SCHEMAS.iter().flat_map(|schema| schema.keys.iter().map(|key| (schema.name, key.name))).collect();
    assert_eq!(from_settings, from_schemas);
}

#[test]
fn every_section_that_is_known_is_also_read() {
    for schema in SCHEMAS {
        let found = lines(load_text(Role::Origin, &format!("{} = 3", schema.name)));
        assert_eq!(found, [format!("test.toml: {}: expected a table, found 3", schema.name)]);
    }
}
