//! Which source wins.

use std::time::Duration;

use super::*;

#[test]
fn an_origin_needs_no_configuration() {
    assert_eq!(load(Role::Origin, &[], []), Ok(Config::defaults(Role::Origin)));
    assert_eq!(load_text(Role::Origin, ""), Ok(Config::defaults(Role::Origin)));
    assert_eq!(load_text(Role::Origin, "[play]\n[limits]\n"), Ok(Config::defaults(Role::Origin)));
}

#[test]
fn an_edge_needs_only_its_origins() {
    let config = load_both(Role::Edge, "", &[("RILLCAST_UPSTREAM__ORIGINS", "a,_rtmp._tcp.b")]).unwrap();
    let name = OriginAddress::Name { host: "a".to_owned(), port: RTMP_PORT };
    assert_eq!(config.upstream.origins, [name, OriginAddress::Service("_rtmp._tcp.b".to_owned())]);
}

#[test]
fn of_two_files_the_later_wins_key_by_key() {
    let directory = directory(&[
        ("first.toml", "[rtmp]\nlisten = \":1\"\nchunk_size = 128\n"),
        ("second.toml", "[rtmp]\nlisten = [\":2\", \":3\"]\n"),
    ]);
    let paths = ["first.toml", "second.toml"].map(|name| directory.path().join(name));
    let config = load(Role::Origin, &paths, []).unwrap();
    assert_eq!(config.rtmp.listen, [ListenAddress::Any(2), ListenAddress::Any(3)]);
    assert_eq!(config.rtmp.chunk_size, 128);
}

#[test]
fn a_directory_is_read_in_the_order_of_names() {
    let directory = directory(&[
        ("20-site.toml", "[play]\nplay_wait = \"2s\"\n"),
        ("10-base.toml", "[play]\nplay_wait = \"1s\"\n"),
        ("30-notes.txt", "not TOML at all"),
        (".hidden.toml", "[play]\nplay_wait = \"9s\"\n"),
    ]);
    let config = load_path(Role::Origin, directory.path(), &[]).unwrap();
    assert_eq!(config.play_for("live").play_wait, Duration::from_secs(2));
}

#[cfg(unix)]
#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let version = directory.path().join("..2026_01_01");
    std::fs::create_dir(&version).unwrap();
    std::fs::write(version.join("edge.toml"), "[play]\nplay_wait = \"2s\"\n").unwrap();
    symlink("..2026_01_01", directory.path().join("..data")).unwrap();
    symlink("..data/edge.toml", directory.path().join("edge.toml")).unwrap();
    let config = load_path(Role::Origin, directory.path(), &[]).unwrap();
    assert_eq!(config.play_for("live").play_wait, Duration::from_secs(2));
}

#[test]
fn the_environment_wins_over_files() {
    let file = "[play]\ngop_cache = true\nplay_wait = \"1s\"\n";
    let config = load_both(Role::Origin, file, &[("RILLCAST_PLAY__GOP_CACHE", "false")]).unwrap();
    let play = config.play_for("live");
    assert_eq!((play.gop_cache, play.play_wait), (false, Duration::from_secs(1)));
}

#[test]
fn of_matching_apps_the_later_wins_key_by_key() {
    let file = r#"
        [play]
        play_wait = "1s"
        queue_length = "1s"
        mw_latency = "1s"
        [[apps]]
        match = "live*"
        play = { play_wait = "2s", queue_length = "2s" }
        [[apps]]
        match = "live/eu"
        play.play_wait = "3s"
        [[apps]]
        match = "vod"
        play.play_wait = "4s"
    "#;
    let play = load_text(Role::Origin, file).unwrap().play_for("live/eu");
    assert_eq!(play.play_wait, Duration::from_secs(3));
    assert_eq!(play.queue_length, Duration::from_secs(2));
    assert_eq!(play.mw_latency, MergeWindow::Fixed(Duration::from_secs(1)));
}

#[test]
fn an_app_that_no_entry_matches_has_the_sections() {
    let file = "[publish]\nenabled = false\n[[apps]]\nmatch = \"studio*\"\npublish.enabled = true\n";
    let config = load_text(Role::Origin, file).unwrap();
    assert!(config.publish_for("studio/1").enabled);
    assert!(!config.publish_for("live").enabled);
}

#[test]
fn the_apps_of_several_files_follow_each_other() {
    let directory = directory(&[
        ("1.toml", "[[apps]]\nmatch = \"*\"\nplay = { play_wait = \"1s\", gop_cache = false }\n"),
        ("2.toml", "[[apps]]\nmatch = \"live\"\nplay.play_wait = \"2s\"\n"),
    ]);
    let play = load_path(Role::Origin, directory.path(), &[]).unwrap().play_for("live");
    assert_eq!((play.play_wait, play.gop_cache), (Duration::from_secs(2), false));
}

#[test]
fn entries_that_cross_each_other_still_let_a_player_jump_before_it_is_closed() {
    let file = r#"
        [[apps]]
        match = "*"
        play = { queue_length = "20s" }
        [[apps]]
        match = "live"
        play = { hard_lag = "15s" }
    "#;
    let play = load_text(Role::Origin, file).unwrap().play_for("live");
    assert_eq!((play.queue_length, play.hard_lag), (Duration::from_secs(20), Duration::from_secs(20)));
}

#[test]
fn publishers_are_taken_by_origins_only_unless_told_otherwise() {
    assert!(Config::defaults(Role::Origin).publish_for("live").enabled);
    assert!(!Config::defaults(Role::Edge).publish_for("live").enabled);
    let edge =
        load_text(Role::Edge, "upstream.origins = \"origin\"\n[[apps]]\nmatch = \"studio\"\npublish.enabled = true")
            .unwrap();
    assert!(edge.publish_for("studio").enabled && !edge.publish_for("live").enabled);
    assert!(!load_text(Role::Origin, "publish.enabled = false").unwrap().publish_for("live").enabled);
}
