//! Secrets, in configuration sources and in files of their own.

use super::*;

const KEY: &str = "correct horse battery staple";

/// Loads a configuration whose `cluster.key_file` is a file with this content.
fn load_key_file(content: &[u8]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, content).unwrap();
    load_text(Role::Origin, &format!("cluster.key_file = {:?}", path.display().to_string()))
}

fn key_in(config: &Config) -> Option<&str> {
    config.cluster.key.as_ref().map(Secret::reveal)
}

#[test]
fn there_is_no_key_unless_it_is_set() {
    assert_eq!(Config::defaults(Role::Edge).cluster.key, None);
}

#[test]
fn a_key_stands_in_a_file_of_its_own_or_with_the_rest() {
    let inline = load_text(Role::Origin, &format!("cluster.key = {KEY:?}")).unwrap();
    assert_eq!(key_in(&inline), Some(KEY));
    let from_environment = load_both(Role::Origin, "", &[("RILLCAST_CLUSTER__KEY", KEY)]).unwrap();
    assert_eq!(key_in(&from_environment), Some(KEY));
    for content in [KEY.to_owned(), format!("{KEY}\n"), format!("{KEY}\r\n")] {
        assert_eq!(key_in(&load_key_file(content.as_bytes()).unwrap()), Some(KEY));
    }
}

#[test]
fn the_key_of_an_app_may_stand_in_a_file_of_its_own() {
    let directory = directory(&[("key", KEY)]);
    let path = directory.path().join("key").display().to_string();
    let entry = format!("[[apps]]\nmatch = \"live\"\nauth.play_key_file = {path:?}\n");
    let config = load_text(Role::Origin, &entry).unwrap();
    assert_eq!(config.auth_for("live").play_key.as_ref().map(Secret::reveal), Some(KEY));
    assert_eq!(config.auth_for("other").play_key, None);
    let both = format!("{entry}auth.play_key = {KEY:?}\n");
    let message = "apps[0].auth.play_key_file: play_key is set, too; only one of the two can be";
    assert_eq!(lines(load_text(Role::Origin, &both)), [format!("test.toml: {message}")]);
    let missing = "[[apps]]\nmatch = \"live\"\nauth.play_key_file = \"/nonexistent/key\"\n";
    assert!(
        lines(load_text(Role::Origin, missing))[0]
            .contains("apps[0].auth.play_key_file: /nonexistent/key: cannot be read")
    );
}

#[test]
fn the_environment_may_name_the_file() {
    let directory = directory(&[("key", KEY)]);
    let path = directory.path().join("key").display().to_string();
    let config = load_both(Role::Origin, "", &[("RILLCAST_CLUSTER__KEY_FILE", &path)]).unwrap();
    assert_eq!(key_in(&config), Some(KEY));
}

#[test]
fn a_key_that_is_too_short_is_refused_where_it_stands() {
    let message = "cluster.key: expected a string of at least 16 bytes, found 5 of them";
    assert_eq!(lines(load_text(Role::Origin, "cluster.key = \"short\"")), [format!("test.toml: {message}")]);
    assert_eq!(lines(load_key_file(b"short\n")), [format!("key: {message}")]);
}

#[test]
fn key_and_key_file_together_are_a_mistake_wherever_they_stand() {
    let message = "cluster.key_file: key is set, too; only one of the two can be";
    let file = format!("[cluster]\nkey = {KEY:?}\nkey_file = \"/nonexistent/key\"\n");
    assert_eq!(lines(load_text(Role::Origin, &file)), [format!("test.toml: {message}")]);
    let file = format!("[cluster]\nkey = {KEY:?}\n");
    assert_eq!(
        lines(load_both(Role::Origin, &file, &[("RILLCAST_CLUSTER__KEY_FILE", "/nonexistent/key")])),
        [format!("RILLCAST_CLUSTER__KEY_FILE: {message}")]
    );
}

#[test]
fn a_key_file_that_is_no_use_is_a_mistake_that_names_it() {
    let found = lines(load_text(Role::Origin, "cluster.key_file = \"/nonexistent/key\""));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("test.toml: cluster.key_file: /nonexistent/key: cannot be read: "), "{found:#?}");

    for (content, why) in [
        (&b""[..], "is empty"),
        (b"\n\r\n", "is empty"),
        (b"\xff\xfe, which is long enough", "is not text in UTF-8"),
        (&[b'x'; 65_537], "is longer than 65536 bytes"),
    ] {
        let found = lines(load_key_file(content));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("test.toml: cluster.key_file: /"), "{found:#?}");
        assert!(found[0].ends_with(&format!("/key: {why}")), "{found:#?}");
    }
}

#[test]
fn a_key_file_must_be_a_path() {
    assert_eq!(
        lines(load_text(Role::Origin, "cluster.key_file = 3")),
        ["test.toml: cluster.key_file: expected the path of a file, found 3"]
    );
    assert_eq!(
        lines(load_text(Role::Origin, "cluster.key_file = \"\"")),
        ["test.toml: cluster.key_file: expected the path of a file, found \"\""]
    );
}

#[test]
fn the_configuration_shows_no_key() {
    let config = load_text(Role::Origin, &format!("cluster.key = {KEY:?}")).unwrap();
    assert!(!format!("{config:?}").contains(KEY));
    let settings = config.settings();
    assert!(!format!("{settings:?}").contains(KEY));
    let setting = settings.iter().find(|setting| (setting.section, setting.key) == ("cluster", "key")).unwrap();
    assert_eq!(setting.value, "\"***\"");
}

#[test]
fn no_mistake_shows_a_key() {
    let file = format!("[cluster]\nkey = [{KEY:?}]\nkye = {KEY:?}\n");
    let found = lines(load_text(Role::Origin, &file));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|line| !line.contains(KEY)), "{found:#?}");
}

#[test]
fn no_mistake_shows_what_may_be_a_secret_at_the_wrong_place() {
    for text in [
        "hooks.on_publish = \"http://ops:S3CR3T@control/x\"",
        "hooks.on_play = \"control.example/x?key=S3CR3T\"",
        "hooks.on_play = { url = \"http://S3CR3T\" }",
        "auth.play_callback = \"https://a/x?key=S3CR3T#f\"",
        "upstream.origins = [\"rtmp://u:S3CR3T@h/app\"]",
        "upstream.shield = \"u:S3CR3T@h\"",
        "cluster.key_file = \"S3CR3T-0123456789abcdef\"",
        "cluster.key_file = \"S3CR3T/0123456789+abcdef\"",
        "admin.edit_auth_file = \"admin:S3CR3T\"",
        "auth.play_jwt_public_keys = \"S3CR3T-0123456789abcdef\"",
        "[[apps]]\nmatch = \"a\"\nauth.play_key_file = \"S3CR3T\"",
        "[[apps]]\nmatch = \"a\"\nhooks.on_play = \"a?S3CR3T\"",
        "tls.certificates = [{ cert_file = \"/a\", key_file = \"-----BEGIN PRIVATE KEY-----S3CR3T\" }]",
        "tls.certificates = \"-----BEGIN PRIVATE KEY-----S3CR3T\"",
    ] {
        let found = lines(load_text(Role::Edge, &format!("upstream.http_port = 1\n{text}\n")));
        assert!(!found.is_empty() && found.iter().all(|line| !line.contains("S3CR3T")), "{text}: {found:#?}");
        assert!(found.iter().any(|line| line.starts_with("test.toml: ")), "{text}: {found:#?}");
    }
    let found = lines(load_both(Role::Origin, "", &[("RILLCAST_CLUSTER__KEY_FILE", "S3CR3T-0123456789abcdef")]));
    assert!(found[0].starts_with("RILLCAST_CLUSTER__KEY_FILE: cluster.key_file: "), "{found:#?}");
    assert!(!found[0].contains("S3CR3T"), "{found:#?}");
}

#[test]
fn every_secret_can_stand_in_a_file_of_its_own() {
    let secrets: Vec<_> = SCHEMAS
        .iter()
        .flat_map(|schema| schema.keys.iter().map(move |key| (schema, key)))
        .filter(|(_, key)| key.shape == Shape::Secret)
        .collect();
    assert!(!secrets.is_empty());
    for (schema, key) in secrets {
        let file_key = format!("{}_file", key.name);
        assert!(schema.keys.iter().any(|key| key.name == file_key), "{}.{file_key} is missing", schema.name);
    }
}
