//! Recordings over the API and on the disk: listed, downloaded, deleted, kept as long as they should be.

use std::fs;
use std::process::Command;

use super::harness::ffmpeg;
use super::harness::http;
use super::harness::publisher::Publisher;
use super::harness::recordings::{Listed, ask, config, files, list, origin, request, wait_for_complete};
use super::harness::server::Server;
use super::harness::wait_until;

/// Records a little of a stream, in a session of its own.
#[track_caller]
fn record(origin: &Server, stream: &str) -> Listed {
    let before = list(origin).len();
    let mut publisher = Publisher::start_when_free(origin, stream);
    publisher.push(50);
    wait_until("the stream is being recorded", || list(origin).len() > before);
    publisher.close();
    wait_for_complete(origin, before + 1).pop().unwrap()
}

#[test]
fn recordings_are_listed_by_app_and_stream_page_by_page() {
    let (origin, _directory) = origin("");
    let recorded = ["live/a", "live/b", "other/a"].map(|stream| record(&origin, stream));
    let ids = |query: &str| ask(&origin, query).into_iter().map(|one| one.id).collect::<Vec<_>>();
    let [first, second, third] = recorded.each_ref().map(|one| one.id.clone());
    assert_eq!(ids(""), [first.clone(), second.clone(), third.clone()]);
    assert_eq!(ids("?app=live"), [first.clone(), second.clone()]);
    assert_eq!(ids("?stream=a"), [first.clone(), third.clone()]);
    assert_eq!(ids("?app=live&stream=a"), std::slice::from_ref(&first));
    assert_eq!(ids("?start=1&count=1"), std::slice::from_ref(&second), "the newest come first");
    assert_eq!(ids("?app=none"), Vec::<String>::new());
    let body = origin.admin("/api/v1/recordings?count=1").json();
    assert_eq!((&body["total"], &body["code"], &body["service"]), (&3.into(), &0.into(), &"rillcast".into()));
    for wrong in ["?count=1001", "?count=x", "?start=-1"] {
        assert_eq!(origin.admin(&format!("/api/v1/recordings{wrong}")).head.status, 400, "{wrong}");
    }

    let one = request(&origin, "GET", &first, "").json();
    assert_eq!(one["recording"], recorded[0].entry);
    assert_eq!(one["recording"]["format"], "flv");
    let missing = request(&origin, "GET", "0123", "");
    assert_eq!((missing.head.status, &missing.json()["code"]), (404, &404.into()));
}

#[test]
fn a_recording_is_downloaded_whole_and_in_parts() {
    let (origin, _directory) = origin("");
    let recording = record(&origin, "live/download");
    let content = fs::read(&recording.path).unwrap();
    let length = content.len();
    let whole = request(&origin, "GET", &recording.id, "/file");
    assert_eq!(whole.head.status, 200);
    assert_eq!(whole.head.header("content-type"), Some("video/x-flv"));
    assert_eq!(whole.head.header("accept-ranges"), Some("bytes"));
    assert!(whole.body == content);

    let head = request(&origin, "HEAD", &recording.id, "/file");
    assert_eq!((head.head.status, head.head.header("content-length")), (200, Some(length.to_string().as_str())));
    let tag = head.head.header("etag").unwrap().to_owned();

    let part = |headers: &str| {
        let path = format!("/api/v1/recordings/{}/file", recording.id);
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
        http::exchange(origin.admin, text.as_bytes(), true).unwrap()
    };
    for (range, expected) in [
        ("bytes=0-99", 0..100),
        ("bytes=100-", 100..length),
        ("bytes=-100", length - 100..length),
        ("bytes=10-999999999", 10..length),
    ] {
        let answer = part(&format!("Range: {range}\r\n"));
        assert_eq!(answer.head.status, 206, "{range}");
        let told = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(answer.head.header("content-range"), Some(told.as_str()));
        assert!(answer.body == content[expected], "{range}");
    }
    let beyond = part(&format!("Range: bytes={length}-\r\n"));
    assert_eq!(
        (beyond.head.status, beyond.head.header("content-range")),
        (416, Some(format!("bytes */{length}").as_str()))
    );
    assert_eq!(part(&format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n")).head.status, 206);
    assert_eq!(part("Range: bytes=0-9\r\nIf-Range: \"other\"\r\n").head.status, 200);
}

#[test]
fn curl_resumes_a_download_and_ffmpeg_seeks_in_one() {
    let (origin, directory) = origin("format = \"fmp4\"");
    let source = directory.path().join("source");
    ffmpeg::make_file(ffmpeg::Tracks::Both, 4, &source);
    assert_eq!(ffmpeg::publish_file(&source, &origin.rtmp_url("live/download")).wait_for_exit(), Some(0));
    let [recording] = &wait_for_complete(&origin, 1)[..] else { panic!("there is one") };
    let url = format!("http://{}/api/v1/recordings/{}/file", origin.admin, recording.id);
    let content = fs::read(&recording.path).unwrap();
    let target = directory.path().join("downloaded");
    fs::write(&target, &content[..1_000]).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-f", "-C", "-", "-o"]).arg(&target).arg(&url);
    ffmpeg::run(curl);
    assert!(fs::read(&target).unwrap() == content);

    let mut command = ffmpeg::base("ffmpeg");
    command.args(["-ss", "2", "-i", &url, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let tail = ffmpeg::hashes(&ffmpeg::run(command));
    let whole = ffmpeg::picture_hashes(&source);
    assert_eq!(ffmpeg::position_of_run(&whole, &tail), whole.len() - tail.len());
    assert!((55..=65).contains(&tail.len()), "{}", tail.len());
}

#[test]
fn a_recording_is_deleted_on_request_and_not_while_it_is_written() {
    let (origin, directory) = origin("");
    let recording = record(&origin, "live/deleted");
    let feed = Publisher::start(&origin, "live/kept").feed();
    wait_until("another one is being recorded", || list(&origin).len() == 2);
    let open = list(&origin).into_iter().find(|one| !one.is_complete).unwrap();
    for method in ["GET", "DELETE"] {
        let path = if method == "GET" { "/file" } else { "" };
        let answer = request(&origin, method, &open.id, path);
        assert_eq!(answer.head.status, 409, "{}", answer.text());
    }
    let answer = request(&origin, "DELETE", &recording.id, "");
    assert_eq!((answer.head.status, &answer.json()["code"]), (200, &0.into()));
    assert!(!recording.path.exists());
    assert_eq!(request(&origin, "DELETE", &recording.id, "").head.status, 404);
    assert_eq!(request(&origin, "GET", &recording.id, "/file").head.status, 404);
    assert_eq!(origin.metrics().labelled("rillcast_dvr_deleted_files_total", "reason", "request"), 1.0);
    drop(feed);
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn no_id_leads_out_of_the_recordings() {
    let (origin, directory) = origin("");
    fs::write(directory.path().join("secret"), "secret").unwrap();
    for id in ["..%2f..%2fsecret", "%2e%2e", "secret", "%00", "a/../secret", "live%2fx"] {
        for (method, rest) in [("GET", ""), ("GET", "/file"), ("DELETE", "")] {
            let answer = request(&origin, method, id, rest);
            assert!((400..500).contains(&answer.head.status), "{method} {id}{rest}: {}", answer.head.status);
        }
    }
    assert!(directory.path().join("secret").exists());
}

#[test]
fn a_server_that_records_nothing_has_an_empty_list() {
    let (origin, edge) = Server::origin_and_edge("", "");
    for server in [&origin, &edge] {
        assert_eq!(list(server), []);
        assert_eq!(request(server, "GET", "0123", "/file").head.status, 404);
        assert_eq!(request(server, "DELETE", "0123", "").head.status, 404);
        for name in
            ["recordings", "files_total", "bytes_total", "dropped_bytes_total", "errors_total", "deleted_files_total"]
        {
            let name = format!("rillcast_dvr_{name}");
            assert!(server.metrics().has(&name), "{name} is missing");
            assert_eq!(server.metrics().sum(&name), 0.0, "{name}");
        }
    }
}

#[test]
fn recordings_are_kept_over_restarts_and_deleted_when_they_are_old() {
    let directory = tempfile::tempdir().unwrap();
    let mut origin = Server::origin_on_fixed_ports(&config(directory.path(), ""));
    let recording = record(&origin, "live/old");
    let other = directory.path().join("live/holiday.1.flv");
    fs::copy(&recording.path, directory.path().join("live/copy of it.flv")).unwrap();
    fs::write(&other, "nobody's recording").unwrap();
    origin.kill();
    origin.restart();
    assert_eq!(wait_for_complete(&origin, 1), std::slice::from_ref(&recording), "the list is what it was");
    origin.kill();

    let origin = Server::origin(&config(directory.path(), "retention = \"1s\""));
    // The scan at the start finds it first.
    wait_until("it is deleted", || !recording.path.exists() && list(&origin).is_empty());
    assert_eq!(origin.metrics().labelled("rillcast_dvr_deleted_files_total", "reason", "age"), 1.0);
    assert_eq!(files(directory.path()).len(), 2, "what is not its own stays");
}

#[test]
fn all_recordings_together_stay_below_their_bound() {
    let (origin, directory) = origin("max_bytes = \"150KiB\"\nplan = \"segment\"\nduration = \"1s\"");
    let mut publisher = Publisher::start(&origin, "live/bound");
    // Segments of 13 KB.
    for _ in 0..5 {
        publisher.push(100);
        let _ = list(&origin);
    }
    wait_until("the first are deleted", || {
        origin.metrics().labelled("rillcast_dvr_deleted_files_total", "reason", "size") >= 5.0
    });
    publisher.close();
    wait_until("all are complete", || list(&origin).iter().all(|one| one.is_complete));
    wait_until("they stay below the bound", || {
        let all = files(directory.path());
        all.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum::<u64>() <= 150 << 10
    });
    let left = list(&origin);
    assert!(left.len() > 5, "{left:?}");
    assert!(left.windows(2).all(|pair| pair[0].entry["begin_ms"].as_u64() <= pair[1].entry["begin_ms"].as_u64()));
}

#[test]
fn a_stream_whose_name_is_too_long_for_a_file_is_live_all_the_same() {
    let (origin, directory) = origin("");
    let name = format!("live/{}", "n".repeat(300));
    let feed = Publisher::start(&origin, &name).feed();
    wait_until("it is not recorded", || {
        origin.metrics().labelled("rillcast_dvr_errors_total", "reason", "name") == 1.0
    });
    assert!(origin.stream(&name).is_some() && !feed.is_closed());
    assert_eq!(files(directory.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn names_with_anything_in_them_stay_in_the_directory_of_recordings() {
    let (origin, directory) = origin("");
    for stream in ["live/..x", "live/-rf", "live/a b'\"$(x)", "live/.hidden", "a/b/c/d"] {
        let recording = record(&origin, stream);
        assert!(recording.path.starts_with(directory.path()), "{recording:?}");
        let found = fs::canonicalize(&recording.path).unwrap();
        assert!(found.starts_with(fs::canonicalize(directory.path()).unwrap()), "{found:?}");
        assert_eq!(request(&origin, "GET", &recording.id, "/file").body.len() as u64, recording.bytes);
    }
}
