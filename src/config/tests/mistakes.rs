//! What is said about mistakes: all of them, one line each, with source, key and what was expected.

use super::*;

#[test]
fn every_mistake_of_every_source_is_reported_at_once() {
    let file = r#"
        [plya]
        [play]
        mw_latency = "fast"
        gop_cach = true
        gop_max_packets = 0
        [upstream]
        origins = ["origin", "rtmp://origin/live", 3]
        [[apps]]
        match = "live*"
        play.gop_max_bytes = "16MB"
        publish.on_conflict = "fight"
    "#;
    let result = load_both(
        Role::Edge,
        file,
        &[("RILLCAST_RTMP__CHUNK_SIZE", "127"), ("RILLCAST_LIMITS__RING_BYTE", "1GiB"), ("RILLCAST_NODE__NAME", "")],
    );
    assert_eq!(
        lines(result),
        [
            "test.toml: plya: unknown section (did you mean play?)",
            "RILLCAST_LIMITS__RING_BYTE: names no key (did you mean RILLCAST_LIMITS__RING_BYTES?)",
            r#"RILLCAST_NODE__NAME: node.name: expected a name of letters, digits, ".", "-" and "_", found """#,
            r#"RILLCAST_RTMP__CHUNK_SIZE: rtmp.chunk_size: expected a whole number from 128 to 65536, found 127"#,
            "test.toml: play.gop_cach: unknown key (did you mean gop_cache?)",
            "test.toml: play.gop_max_packets: expected a whole number of at least 1, found 0",
            r#"test.toml: play.mw_latency: expected a duration such as "350ms" or "auto", found "fast""#,
            r#"test.toml: upstream.origins[1]: expected an origin as "name:port", without a scheme and without a path (players name the app and the stream), found another text (not shown: it may hold a secret)"#,
            r#"test.toml: upstream.origins[2]: expected a host name or an IP address, such as "origin.example:1935", "192.0.2.1:1935" or "[2001:db8::1]:1935", found 3"#,
            r#"test.toml: apps[0].play.gop_max_bytes: expected a size such as "64KiB", "16MiB", "1GiB" or a number of bytes, found "16MB""#,
            r#"test.toml: apps[0].publish.on_conflict: expected "reject" or "replace", found "fight""#,
        ]
    );
}

#[test]
fn a_value_of_the_wrong_kind_says_what_it_is_instead() {
    let file = r#"
        rtmp = 1935
        log.level = ["info"]
        http.listen = []
        play.gop_cache = {}
        play.play_wait = 1979-05-27
        limits.max_connections = 1e5
    "#;
    assert_eq!(
        lines(load_text(Role::Origin, file)),
        [
            "test.toml: play.gop_cache: there are no tables within [play]",
            "test.toml: log.level: expected \"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or directives \
             such as \"info,rillcast::pull=debug\", found a list",
            "test.toml: rtmp: expected a table, found 1935",
            "test.toml: http.listen: expected at least one entry, found an empty list",
            "test.toml: play.play_wait: expected a duration such as \"350ms\", \"10s\", \"5m\", \"1h\" or \"7d\", found \
             \"1979-05-27\"",
            "test.toml: limits.max_connections: expected a whole number of at least 1, found 100000.0",
        ]
    );
}

#[test]
fn drain_times_that_do_not_follow_each_other_are_one_mistake_with_all_of_them() {
    assert_eq!(
        lines(load_text(Role::Edge, "upstream.origins = \"a\"\n[drain]\nwindow = \"2m\"\n")),
        ["test.toml: drain.window: must hold: propagation_delay <= soft_timeout <= soft_timeout + window <= \
          hard_timeout; they are \"10s\" <= \"15s\" <= \"135s\" <= \"90s\""]
    );
    let found = lines(load_text(Role::Origin, "[drain]\nsoft_timeout = \"9s\"\npropagation_delay = \"10s\"\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("test.toml: drain.propagation_delay: must hold: "), "{found:#?}");
}

#[test]
fn drain_times_may_all_be_zero_or_the_same() {
    for times in ["0", "\"5s\""] {
        let keys = ["propagation_delay", "soft_timeout", "hard_timeout"].map(|key| format!("drain.{key} = {times}\n"));
        let text = format!("{}drain.window = 0\n", keys.concat());
        load_text(Role::Origin, &text).unwrap();
    }
}

#[test]
fn a_syntax_error_names_file_line_and_column() {
    let found = lines(load_text(Role::Origin, "[play]\ngop_cache = yes\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("test.toml: line 2, column 13: "), "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_parsed_hides_no_mistake_elsewhere() {
    let directory = directory(&[("1.toml", "[play"), ("2.toml", "[play]\nplay_wait = 5\n")]);
    let found = lines(load_path(Role::Edge, directory.path(), &[]));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("1.toml: line 1, column "), "{found:#?}");
    assert!(found[1].starts_with("2.toml: play.play_wait: "), "{found:#?}");
}

#[test]
fn a_number_that_toml_allows_and_nobody_can_hold_is_a_mistake() {
    let found = lines(load_text(Role::Origin, "limits.max_connections = 99999999999999999999"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("test.toml: "), "{found:#?}");
}

#[test]
fn missing_files_are_all_named() {
    let paths = [PathBuf::from("/nonexistent/a.toml"), PathBuf::from("/nonexistent/b")];
    let found = load(Role::Origin, &paths, []).unwrap_err().to_string();
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("/nonexistent/a.toml: cannot be read: "), "{found}");
    assert!(lines[1].starts_with("/nonexistent/b: cannot be read: "), "{found}");
}

#[test]
fn a_file_that_is_not_utf_8_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.toml");
    std::fs::write(&path, b"[node]\nname = \"\xff\"\n").unwrap();
    let found = lines(load_path(Role::Origin, &path, &[]));
    assert!(found[0].starts_with("test.toml: cannot be read: "), "{found:#?}");
}

#[test]
fn the_mistake_is_in_the_source_whose_value_is_in_force() {
    let directory =
        directory(&[("1.toml", "[play]\nplay_wait = \"1s\"\n"), ("2.toml", "[play]\nplay_wait = \"soon\"\n")]);
    let found = lines(load_path(Role::Origin, directory.path(), &[]));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("2.toml: play.play_wait: "), "{found:#?}");
}

#[test]
fn a_quoted_key_is_never_taken_for_a_path() {
    let found = lines(load_text(Role::Origin, "\"apps[999999999999]\" = 1\n\"rtmp.listen\" = \":1\"\n"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|line| line.contains("unknown section")), "{found:#?}");
}

#[test]
fn an_edge_without_origins_is_told_where_to_set_them() {
    let expected = "upstream.origins: missing: an edge needs an origin to pull from; set origins = \
                    [\"origin.example:1935\"] under [upstream] in a configuration file, or \
                    RILLCAST_UPSTREAM__ORIGINS=origin.example:1935";
    assert_eq!(lines(load_text(Role::Edge, "")), [expected]);
    assert_eq!(lines(load_text(Role::Edge, "upstream.origins = []")), [format!("test.toml: {expected}")]);
}

#[test]
fn an_origin_with_origins_is_refused() {
    assert_eq!(
        lines(load_text(Role::Origin, "upstream.origins = [\"other\"]")),
        ["test.toml: upstream.origins: an origin pulls from nobody; origins are what an edge pulls from"]
    );
    assert_eq!(
        lines(load_text(Role::Origin, "upstream.backup_origins = [\"other\"]")),
        ["test.toml: upstream.backup_origins: an origin pulls from nobody; origins are what an edge pulls from"]
    );
    assert_eq!(
        lines(load_text(Role::Origin, "upstream.shield = \"edges\"")),
        ["test.toml: upstream.shield: an origin pulls from nobody; origins are what an edge pulls from"]
    );
    assert!(load_text(Role::Origin, "upstream.origins = []").is_ok());
}

#[test]
fn an_upstream_has_a_port_and_may_be_connected_to() {
    let file = r#"
        upstream = { origins = ["a"], http_port = 0, max_connects = 0, protocol = "http" }
    "#;
    assert_eq!(
        lines(load_text(Role::Edge, file)),
        [
            r#"test.toml: upstream.protocol: expected "rtmp" or "http-flv", found "http""#,
            "test.toml: upstream.http_port: expected a whole number from 1 to 65535, found 0",
            "test.toml: upstream.max_connects: expected a whole number of at least 1, found 0",
        ]
    );
}

#[test]
fn a_player_must_be_able_to_jump_before_it_is_closed() {
    let message = |lag: &str, length: &str| {
        format!("hard_lag must not be shorter than queue_length: they are \"{lag}\" and \"{length}\"")
    };
    assert_eq!(
        lines(load_text(Role::Origin, "play.hard_lag = \"9s\"")),
        [format!("test.toml: play.hard_lag: {}", message("9s", "10s"))]
    );
    assert_eq!(
        lines(load_both(Role::Origin, "", &[("RILLCAST_PLAY__QUEUE_LENGTH", "31s")])),
        [format!("RILLCAST_PLAY__QUEUE_LENGTH: play.queue_length: {}", message("30s", "31s"))]
    );
    assert_eq!(
        lines(load_text(Role::Origin, "[[apps]]\nmatch = \"live\"\nplay.queue_length = \"31s\"\n")),
        [format!("test.toml: apps[0].play.queue_length: {}", message("30s", "31s"))]
    );
}

#[test]
fn an_app_entry_must_say_what_it_matches() {
    let file = "[[apps]]\nplay.gop_cache = false\n[[apps]]\nmatch = \"\"\nmw_latency = 0\n";
    assert_eq!(
        lines(load_text(Role::Origin, file)),
        [
            "test.toml: apps[0].match: missing: every entry says which apps it is for, such as match = \"live*\"",
            "test.toml: apps[1].mw_latency: unknown key (known here: match, play, publish, hls, dvr, auth, hooks)",
            "test.toml: apps[1].match: expected the name of an app, in which * stands for any characters, without \
             slashes around it, found \"\"",
        ]
    );
    assert_eq!(
        lines(load_text(Role::Origin, "apps.match = \"live\"")),
        ["test.toml: apps: expected a list of tables, each headed [[apps]], found a table"]
    );
}

#[test]
fn authorities_that_are_not_there_are_a_mistake() {
    for (role, text) in [
        (Role::Origin, "hooks.ca_file = \"/nonexistent/ca.pem\"\n"),
        (Role::Edge, "upstream.tls = true\nupstream.ca_file = \"/nonexistent/ca.pem\"\nupstream.origins = \"o\"\n"),
    ] {
        let found = lines(load_text(role, text));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(".ca_file: /nonexistent/ca.pem: cannot be read"), "{found:#?}");
    }
}

#[test]
fn peers_need_a_key_and_are_the_origins_business() {
    let peers = r#"cluster.peers = ["origins.test"]"#;
    let keyless = "test.toml: cluster.peers: peers must know each other by a key: set cluster.key or cluster.key_file, the \
                   same for all of them";
    assert_eq!(lines(load_text(Role::Origin, peers)), [keyless]);
    let with_key = format!("{peers}\ncluster.key = \"sixteen bytes or more\"");
    assert_eq!(load_text(Role::Origin, &with_key).unwrap().cluster.peers.len(), 1);
    let edge = format!("{with_key}\nupstream.origins = [\"origins.test\"]");
    let foreign =
        "test.toml: cluster.peers: an edge has no peers; peers are the origins that share their names with an origin";
    assert_eq!(lines(load_text(Role::Edge, &edge)), [foreign]);
}

#[test]
fn a_node_has_one_address() {
    let address = |text: &str| load_text(Role::Origin, &format!("node.address = \"{text}\""));
    assert!(address("origin-0.test:1936").unwrap().node.address.is_some());
    let service =
        "test.toml: node.address: expected one host and port, such as \"origin-0.example:1935\", not an SRV name";
    assert_eq!(lines(address("_rtmp._tcp.origin.test")), [service]);
}

#[test]
fn a_window_of_hls_holds_three_segments_and_a_segment_no_more_than_its_target() {
    let found = lines(load_text(Role::Origin, "[hls]\nfragment = \"10s\"\ntd_ratio = 6\n"));
    assert_eq!(found, ["test.toml: hls.td_ratio: aof_ratio must not be less than td_ratio: they are 5 and 6"]);
    let found = lines(load_text(Role::Origin, "[[apps]]\nmatch = \"a\"\nhls.window = \"5s\"\n"));
    assert_eq!(
        found,
        ["test.toml: apps[0].hls.window: window must be three times fragment at least: they are \"5s\" and \"2s\""]
    );
}

#[test]
fn what_hls_is_for_the_whole_process_is_not_set_for_an_app() {
    let found = lines(load_text(Role::Origin, "[[apps]]\nmatch = \"a\"\nhls.path = \"/tmp/hls\"\n"));
    assert_eq!(found, ["test.toml: apps[0].hls.path: holds for the process as a whole: set it under [hls]"]);
}

#[test]
fn recordings_need_a_path_that_is_one() {
    let found = |lines: &str| lines_of_dvr(Role::Origin, lines);
    assert_eq!(
        found("path = \"rec/[vhost]/x\""),
        ["test.toml: dvr.path: expected no other placeholders than [app], [stream], [session], [2006], [01], [02], \
             [15], [04], [05], [999] and [timestamp], found \"rec/[vhost]/x\""]
    );
    assert_eq!(
        found("path = \"rec/[stream].flv\"\nformat = \"fmp4\""),
        ["test.toml: dvr.path: the path \"rec/[stream].flv\" does not end in .mp4, as recordings in fmp4 do",]
    );
    assert_eq!(
        found("duration = \"10ms\""),
        ["test.toml: dvr.duration: expected a duration of at least \"1s\", found \"10ms\""]
    );
}

#[test]
fn an_edge_records_nothing() {
    let text =
        "[upstream]\norigins = [\"o:1935\"]\n[dvr]\nenabled = true\n[[apps]]\nmatch = \"a\"\ndvr.enabled = true\n";
    let message = "an edge records nothing; origins record what is published to them";
    let expected = ["dvr.enabled", "apps[0].dvr.enabled"].map(|key| format!("test.toml: {key}: {message}"));
    assert_eq!(lines(load_text(Role::Edge, text)), expected);
}

#[test]
fn what_all_recordings_share_is_not_said_for_some_apps() {
    let text = "[[apps]]\nmatch = \"a\"\ndvr.max_bytes = \"1GiB\"\ndvr.min_free = \"1GiB\"\n";
    let message = "holds for all recordings of the process together: set it under [dvr]";
    let expected = ["max_bytes", "min_free"].map(|key| format!("test.toml: apps[0].dvr.{key}: {message}"));
    assert_eq!(lines(load_text(Role::Origin, text)), expected);
}

fn lines_of_dvr(role: Role, text: &str) -> Vec<String> {
    lines(load_text(role, &format!("[dvr]\n{text}\n")))
}
