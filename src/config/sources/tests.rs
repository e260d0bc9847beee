//! Sources loaded again and again.

use std::os::unix::fs::symlink;

use super::*;
use crate::config::OverlayFormat;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn sources(directory: &tempfile::TempDir, variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Sources::new(Role::Origin, &[directory.path().to_owned()], environment)
}

fn overlay(text: &str) -> Overlay {
    Overlay::parse(text.as_bytes(), OverlayFormat::Toml).unwrap()
}

#[test]
fn an_overlay_wins_over_files_and_environment_and_each_value_knows_its_source() {
    let directory = directory(&[
        ("a.toml", "[play]\nplay_wait = \"1s\"\nhard_lag = \"40s\"\nqueue_length = \"20s\"\n[[apps]]\nmatch = \"a\"\n"),
        ("b.toml", "[rtmp]\nlisten = [\":1\", \":2\"]\n"),
    ]);
    let sources = sources(&directory, &[("RILLCAST_PLAY__PLAY_WAIT", "2s"), ("RILLCAST_PLAY__HARD_LAG", "50s")]);
    let overlay = overlay("play.play_wait = \"3s\"\n[[apps]]\nmatch = \"b\"\nplay.gop_cache = false\n");
    let loaded = sources.load(Some(&overlay)).result.unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    assert_eq!(loaded.config.play_for("x").play_wait.as_secs(), 3);
    assert_eq!(loaded.provenance.source_of("play", "play_wait"), "PUT /api/v1/config");
    assert_eq!(loaded.provenance.source_of("play", "hard_lag"), "RILLCAST_PLAY__HARD_LAG");
    assert_eq!(loaded.provenance.source_of("play", "queue_length"), file("a.toml:4"));
    assert_eq!(loaded.provenance.source_of("rtmp", "listen"), file("b.toml:2"));
    assert_eq!(loaded.provenance.source_of("rtmp", "chunk_size"), crate::config::DEFAULT);
    let apps = loaded.config.apps();
    assert_eq!(apps.iter().map(|app| app.pattern.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let places: Vec<String> = loaded.provenance.of_apps().iter().map(ToString::to_string).collect();
    assert_eq!(places, [file("a.toml:5"), "PUT /api/v1/config".to_owned()]);
    assert_eq!(apps[1].settings.len(), 1);

    let without = sources.load(None).result.unwrap();
    assert_eq!(without.config.play_for("x").play_wait.as_secs(), 2);
}

#[test]
fn an_overlay_replaces_a_secret_however_it_is_given() {
    let directory = directory(&[("key", "0123456789abcdef\n"), ("edit", "admin:file\n")]);
    let file = |name: &str| directory.path().join(name).display().to_string();
    let text = format!("cluster.key_file = {:?}\nadmin.edit_auth = \"admin:inline\"\n", file("key"));
    fs::write(directory.path().join("a.toml"), text).unwrap();
    let sources = sources(&directory, &[]);
    let laid = overlay(&format!("cluster.key = \"fedcba9876543210\"\nadmin.edit_auth_file = {:?}\n", file("edit")));
    let config = sources.load(Some(&laid)).result.unwrap().config;
    assert_eq!(config.cluster.key.map(|key| key.reveal().to_owned()).as_deref(), Some("fedcba9876543210"));
    assert_eq!(config.admin.edit_auth, "admin:file".parse().ok());
    let both = overlay("cluster.key = \"fedcba9876543210\"\ncluster.key_file = \"/nonexistent\"\n");
    assert_eq!(sources.load(Some(&both)).result.unwrap_err().mistakes.len(), 1);
}

#[test]
fn a_mistake_in_an_overlay_names_the_request() {
    let sources = Sources::new(Role::Origin, &[], []);
    let error = sources.load(Some(&overlay("play.play_wait = \"soon\"\n"))).result.unwrap_err();
    assert_eq!(error.mistakes.len(), 1);
    assert_eq!(error.mistakes[0].key.as_deref(), Some("play.play_wait"));
    assert_eq!(error.mistakes[0].source.as_deref(), Some("PUT /api/v1/config"));
}

#[test]
fn the_stamp_follows_the_content_and_nothing_else() {
    let directory = directory(&[("key", "0123456789abcdef\n")]);
    let file = |name: &str| directory.path().join(name);
    let text = format!("cluster.key_file = {:?}\n", file("key"));
    fs::write(file("a.toml"), &text).unwrap();
    let sources = sources(&directory, &[]);
    let first = sources.load(None).stamp;
    assert_eq!(sources.stamp(&first), first);
    fs::write(file("a.toml"), &text).unwrap();
    fs::write(file("notes.txt"), "?").unwrap();
    assert_eq!(sources.stamp(&first), first);
    fs::write(file("key"), "fedcba9876543210\n").unwrap();
    let second = sources.stamp(&first);
    assert_ne!(second, first);
    fs::write(file("b.toml"), "").unwrap();
    assert_ne!(sources.stamp(&first), second);
    fs::remove_file(file("b.toml")).unwrap();
    assert_eq!(sources.stamp(&first), second);
    fs::remove_file(file("key")).unwrap();
    assert_ne!(sources.stamp(&first), second);
}

#[test]
fn files_with_secrets_are_told_even_if_they_are_not_there() {
    let directory = directory(&[]);
    let key = directory.path().join("key");
    fs::write(directory.path().join("a.toml"), format!("cluster.key_file = {key:?}\n")).unwrap();
    let attempt = sources(&directory, &[]).load(None);
    assert!(attempt.result.is_err());
    assert!(attempt.stamp.files().any(|file| file == key), "{:?}", attempt.stamp);
}

#[test]
fn what_came_out_of_a_pipe_is_loaded_again_as_it_was() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let directory = directory(&[]);
    let pipes = ["limits.max_players = 7\n", "0123456789abcdef\n"].map(|text| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        reader
    });
    let [limits, key] = [&pipes[0], &pipes[1]].map(|pipe| PathBuf::from(format!("/proc/self/fd/{}", pipe.as_raw_fd())));
    fs::write(directory.path().join("a.toml"), format!("cluster.key_file = {key:?}\n")).unwrap();
    let sources = Sources::new(Role::Origin, &[limits.clone(), directory.path().to_owned()], []);
    let first = sources.load(None);
    for _ in 0..2 {
        assert_eq!(sources.stamp(&first.stamp), first.stamp);
        let config = sources.load(None).result.unwrap().config;
        assert_eq!(config.limits.max_players, 7);
        assert_eq!(config.cluster.key.map(|key| key.reveal().to_owned()).as_deref(), Some("0123456789abcdef"));
    }
    let watched = sources.directories(&first.stamp);
    assert!(!watched.iter().any(|directory| directory.starts_with("/proc")), "{watched:?}");
}

#[test]
fn a_pipe_that_is_named_later_is_a_mistake() {
    let directory = directory(&[("a.toml", "")]);
    let (reader, _writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let sources = sources(&directory, &[]);
    sources.load(None).result.unwrap();
    fs::write(directory.path().join("a.toml"), format!("cluster.key_file = {path:?}\n")).unwrap();
    let error = sources.load(None).result.unwrap_err().to_string();
    assert!(error.contains("cluster.key_file") && error.contains("not a regular file"), "{error}");
}

#[test]
fn directories_are_those_of_the_links_and_those_that_they_lead_to() {
    let directory = directory(&[]);
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("..2026")).unwrap();
    fs::write(path("..2026/a.toml"), "").unwrap();
    symlink("..2026", path("..data")).unwrap();
    symlink("..data/a.toml", path("a.toml")).unwrap();
    let sources = Sources::new(Role::Origin, &[path("a.toml")], []);
    let found = sources.directories(&Stamp::default());
    assert!(found.contains(&directory.path().to_owned()), "{found:?}");
    assert!(found.contains(&fs::canonicalize(path("..2026")).unwrap()), "{found:?}");
}

#[test]
fn the_environment_is_never_shown() {
    let sources =
        Sources::new(Role::Origin, &[], [("RILLCAST_CLUSTER__KEY".to_owned(), "0123456789abcdef".to_owned())]);
    assert!(!format!("{sources:?}").contains("0123"));
    assert!(!format!("{:?}", overlay("cluster.key = \"0123456789abcdef\"")).contains("0123"));
}

#[test]
fn files_that_are_part_of_the_configuration_are_named_whether_or_not_they_are_of_use() {
    let directory = directory(&[("key", "0123456789abcdef\n"), ("a.pem", "no key"), ("b.pem", "neither")]);
    let file = |name: &str| directory.path().join(name);
    let text = format!(
        "auth.play_jwt_public_keys = [{:?}]\n[[apps]]\nmatch = \"x\"\nauth.publish_jwt_public_keys = {:?}\nauth.play_key_file = {:?}\n",
        file("a.pem"),
        file("b.pem"),
        file("key")
    );
    fs::write(file("a.toml"), text).unwrap();
    let attempt = sources(&directory, &[]).load(None);
    assert_eq!(attempt.result.as_ref().unwrap_err().mistakes.len(), 2);
    for name in ["a.toml", "a.pem", "b.pem", "key"] {
        assert!(attempt.stamp.files().any(|named| named == file(name)), "{name} is missing in {:?}", attempt.stamp);
    }
}
