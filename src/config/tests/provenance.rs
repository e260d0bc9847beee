//! Which source a setting is said to come from.

use super::*;

/// Loads files of a directory and variables, and says where `section.key` came from, without the directory.
fn place_of(files: &[(&str, &str)], variables: &[(&str, &str)], section: &str, key: &str) -> Option<String> {
    let directory = directory(files);
    let environment = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let paths = [directory.path().to_owned()];
    let loaded = Sources::new(Role::Origin, &paths, environment).load(None).result.unwrap();
    loaded
        .provenance
        .of_key(section, key)
        .map(|place| without_directory(&format!("{place}: ")).trim_end_matches(": ").to_owned())
}

#[test]
fn a_setting_comes_from_the_line_of_the_file_that_won() {
    let files = [("1.toml", "[play]\nplay_wait = \"1s\"\n"), ("2.toml", "\n\n[play]\nplay_wait = \"2s\"\n")];
    assert_eq!(place_of(&files, &[], "play", "play_wait").as_deref(), Some("2.toml:4"));
}

#[test]
fn a_setting_comes_from_the_variable_that_is_over_the_files() {
    let files = [("1.toml", "[play]\nplay_wait = \"1s\"\n")];
    let variables = [("RILLCAST_PLAY__PLAY_WAIT", "2s")];
    assert_eq!(place_of(&files, &variables, "play", "play_wait").as_deref(), Some("RILLCAST_PLAY__PLAY_WAIT"));
}

#[test]
fn what_nobody_set_is_a_default() {
    assert_eq!(place_of(&[("1.toml", "[play]\nplay_wait = \"1s\"\n")], &[], "play", "gop_cache"), None);
}

#[test]
fn a_list_comes_from_where_it_stands() {
    let files = [("1.toml", "[rtmp]\nlisten = [\n  \":1\",\n  \":2\",\n]\n")];
    assert_eq!(place_of(&files, &[], "rtmp", "listen").as_deref(), Some("1.toml:2"));
}

#[test]
fn a_secret_comes_from_its_file() {
    let secrets = directory(&[("key", "0123456789abcdef\n")]);
    let path = secrets.path().join("key");
    let text = format!("[cluster]\nkey_file = {:?}\n", path.display().to_string());
    assert_eq!(place_of(&[("1.toml", &text)], &[], "cluster", "key").as_deref(), Some("key"));
    assert_eq!(place_of(&[("1.toml", &text)], &[], "cluster", "key_file").as_deref(), Some("1.toml:2"));
}

#[test]
fn entries_for_apps_are_placed_in_the_order_in_which_they_apply() {
    let directory = directory(&[
        ("1.toml", "[[apps]]\nmatch = \"a\"\n"),
        ("2.toml", "\n[[apps]]\nmatch = \"b\"\nplay.play_wait = \"1s\"\n"),
    ]);
    let paths = [directory.path().to_owned()];
    let Loaded { config, provenance, .. } = Sources::new(Role::Origin, &paths, []).load(None).result.unwrap();
    let places: Vec<_> = provenance.of_apps().iter().map(|place| without_directory(&format!("{place}: "))).collect();
    assert_eq!(places, ["1.toml:1: ", "2.toml:2: "]);
    let apps = config.apps();
    assert_eq!(apps.iter().map(|app| app.pattern.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(apps[1].settings[0].value, "\"1s\"");
}
