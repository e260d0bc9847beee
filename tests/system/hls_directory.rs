//! HLS as files: what an origin writes to a directory, and nginx serves from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::ffmpeg::{self, Tracks, audio_packet_hashes, picture_hashes};
use super::harness::http;
use super::harness::nginx::HlsNginx;
use super::harness::playlist::Playlist;
use super::harness::process::Process;
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::small_disk::SmallDisk;
use super::harness::tools;
use super::harness::{wait_for, wait_until};

const STREAM: &str = "live/on disk";
const PLAYLIST: &str = "live/on disk.m3u8";

/// An origin that writes to a directory, which outlives it.
struct Origin {
    server: Server,
    hls: PathBuf,
    _directory: TempDir,
}

impl Origin {
    #[track_caller]
    fn start(hls: &str, more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("hls");
        let server = Server::origin(&config(&path, hls, more));
        Self { server, hls: path, _directory: directory }
    }

    /// The playlist, if there is one.
    #[track_caller]
    fn playlist(&self) -> Option<Playlist> {
        fs::read_to_string(self.hls.join(PLAYLIST)).ok().map(|text| Playlist::read(&text))
    }

    /// The playlist once it has as many segments.
    #[track_caller]
    fn playlist_of(&self, segments: usize) -> Playlist {
        wait_for(&format!("{segments} segments are there"), || {
            self.playlist().filter(|playlist| playlist.parsed.segments.len() >= segments)
        })
    }

    /// The names of files below the directory.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.hls.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { directories.push(path) } else { found.push(path.display().to_string()) }
            }
        }
        found
    }
}

/// The number that a playlist would begin with now.
fn clock_number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(1_577_836_800));
    since.expect("it is later than 2020").as_millis() as u64 / 250
}

fn config(path: &Path, hls: &str, more: &str) -> String {
    format!("[hls]\npath = \"{}\"\n{hls}\n[publish]\n{more}\n", path.display())
}

/// Publishes a file in real time, reads the playlist as a player does meanwhile, and compares what nginx then serves.
#[track_caller]
fn survives(format: &str) {
    let origin = Origin::start(&format!("fragment = \"1s\"\nformat = \"{format}\""), "resume_timeout = \"100ms\"");
    let nginx = HlsNginx::start(&origin.hls);
    let source = origin.hls.with_file_name("source.flv");
    ffmpeg::make_file(Tracks::Both, 6, &source);
    let _publisher = ffmpeg::publish_file(&source, &origin.server.rtmp_url("live/on%20disk"));

    let mut last: Option<Playlist> = None;
    wait_until("the stream has ended", || {
        let response = http::get(nginx.http, "/live/on%20disk.m3u8");
        if response.head.status != 200 {
            return false;
        }
        assert_eq!(response.head.header("content-type"), Some("application/vnd.apple.mpegurl"));
        assert_eq!(response.head.header("access-control-allow-origin"), Some("*"));
        let playlist = Playlist::read(&response.text());
        if let Some(last) = &last {
            last.check_next(&playlist);
        }
        let has_ended = playlist.parsed.end_list;
        last = Some(playlist);
        has_ended
    });
    let last = last.expect("it was read");
    assert!(last.parsed.segments.len() >= 5, "{}", last.text);
    let segment = http::get(nginx.http, &format!("/live/{}", last.parsed.segments[0].uri));
    assert_eq!(segment.head.header("cache-control"), Some("public, max-age=31536000, immutable"));

    let url = format!("http://{}/live/on%20disk.m3u8", nginx.http);
    let (played, url) = (Path::new(&url), &url);
    let mut codecs = ffmpeg::probe_codecs(url);
    // ffprobe tells of each within its program, too.
    codecs.dedup();
    assert_eq!(codecs, Tracks::Both.codecs());
    assert_eq!(picture_hashes(played), picture_hashes(&source));
    let sound = [played, &source].map(audio_packet_hashes);
    // What was encoded before the first picture has nowhere to go.
    let missing = sound[1].len() - sound[0].len();
    assert!(missing <= 2, "{missing} frames of sound are missing");
}

#[test]
fn what_nginx_serves_in_mpegts_decodes_to_the_same_pictures() {
    survives("mpegts");
}

#[test]
fn what_nginx_serves_in_fragments_decodes_to_the_same_pictures() {
    survives("fmp4");
}

/// Publishes what ffmpeg encodes so, and compares the files with it once it has ended.
#[track_caller]
fn survives_encoded(encoder: &str) {
    const INPUT: &str = "-f lavfi -t 5 -i testsrc2=size=320x180:rate=30 -f lavfi -t 5 -i sine=sample_rate=48000";
    let origin = Origin::start("fragment = \"1s\"", "resume_timeout = \"100ms\"");
    let source = origin.hls.with_file_name("source.flv");
    let enhanced = || ffmpeg::base(tools::enhanced_ffmpeg());
    let mut command = enhanced();
    command.args(INPUT.split(' ')).args(encoder.split(' ')).args(["-f", "flv"]).arg(&source);
    ffmpeg::run(command);
    let mut command = enhanced();
    let url = origin.server.rtmp_url("live/on%20disk");
    command.arg("-re").arg("-i").arg(&source).args(["-c", "copy", "-f", "flv", &url]);
    let _publisher = Process::spawn("ffmpeg publishing", &mut command);
    let playlist = wait_for("the stream has ended", || origin.playlist().filter(|playlist| playlist.parsed.end_list));
    let first = &playlist.parsed.segments[0];
    assert!(first.uri.ends_with(".m4s") && first.map.is_some(), "{}", playlist.text);
    assert!(playlist.parsed.segments.len() >= 4, "{}", playlist.text);
    let hashes = |input: &Path| {
        let mut command = enhanced();
        command.arg("-i").arg(input).args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
        ffmpeg::hashes(&ffmpeg::run(command))
    };
    let nginx = HlsNginx::start(&origin.hls);
    let url = format!("http://{}/live/on%20disk.m3u8", nginx.http);
    assert_eq!(hashes(Path::new(&url)), hashes(&source));
}

#[test]
fn hevc_becomes_fragments_that_decode_to_the_same_pictures() {
    survives_encoded(
        "-c:v libx265 -preset ultrafast -x265-params keyint=30:bframes=2:open-gop=0:log-level=none -c:a aac",
    );
}

#[test]
fn av1_becomes_fragments_that_decode_to_the_same_pictures() {
    survives_encoded("-c:v libaom-av1 -usage realtime -cpu-used 8 -g 30 -row-mt 1 -c:a libopus");
}

#[test]
fn vp9_becomes_fragments_that_decode_to_the_same_pictures() {
    survives_encoded("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -b:v 500k -c:a flac");
}

#[test]
fn a_publisher_that_returns_goes_on_behind_a_discontinuity() {
    let origin = Origin::start("", "");
    let mut publisher = Publisher::start(&origin.server, STREAM);
    publisher.push(160);
    let before = origin.playlist_of(3);
    publisher.close();
    let mut publisher = Publisher::start_when_free(&origin.server, STREAM);
    publisher.push(160);
    let after = origin.playlist_of(7);
    before.check_next(&after);
    let marked: Vec<bool> = after.parsed.segments.iter().map(|segment| segment.discontinuity).collect();
    assert_eq!(marked, [false, false, false, false, true, false, false]);
}

#[test]
fn a_time_jump_is_a_discontinuity() {
    let origin = Origin::start("", "");
    let mut publisher = Publisher::start(&origin.server, STREAM);
    publisher.push(100);
    origin.playlist_of(1);
    publisher.set_clock(3_600_000);
    publisher.push(125);
    let playlist = wait_for("the jump is behind a segment", || {
        origin.playlist().filter(|playlist| playlist.parsed.segments.iter().any(|segment| segment.discontinuity))
    });
    assert!(playlist.parsed.segments.len() >= 3, "{}", playlist.text);
}

#[test]
fn sound_alone_is_packaged() {
    let origin = Origin::start("", "");
    let content = Content { video: false, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin.server, STREAM, content);
    publisher.push(200);
    let playlist = origin.playlist_of(3);
    assert!(playlist.parsed.segments.iter().all(|segment| (segment.duration - 2.0).abs() < 0.1), "{}", playlist.text);
}

#[test]
fn groups_of_a_minute_are_cut_in_the_middle_and_logged() {
    let origin = Origin::start("", "");
    let content = Content { gop: 10_000, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin.server, STREAM, content);
    publisher.push(1_000);
    let playlist = origin.playlist_of(3);
    assert!(!playlist.parsed.independent_segments, "{}", playlist.text);
    assert!(origin.server.metrics().sum("rillcast_hls_forced_cuts_total") >= 3.0);
    let is_said = |line: &serde_json::Value| {
        line["fields"]["message"].as_str().is_some_and(|message| message.contains("keyframes are further apart"))
    };
    let said = || origin.server.log().iter().filter(|line| is_said(line)).count();
    wait_until("it is said", || said() > 0);
    publisher.push(500);
    origin.playlist_of(4);
    assert_eq!(said(), 1, "and not again");
}

#[test]
fn numbers_go_on_after_a_crash_and_nothing_is_left_of_it() {
    let mut origin = Origin::start("dispose = \"1s\"\nwindow = \"6s\"\nfragment = \"1s\"", "resume_timeout = 0");
    let mut publisher = Publisher::start(&origin.server, STREAM);
    publisher.push(200);
    // The whole of it came in a moment; numbers count on the time that it lasts.
    origin.playlist_of(6);
    wait_until("the clock has passed the last number", || {
        origin.playlist().is_some_and(|playlist| clock_number() > playlist.end() + 4)
    });
    let before = origin.playlist_of(6);
    origin.server.kill();
    // A file that was being written.
    let half = origin.hls.join("live/.rillcast-0badcafe-1.tmp");
    fs::write(&half, "half").expect("it is written");
    origin.server.restart();
    assert!(origin.playlist().is_some(), "players still read what there was");
    let mut publisher = Publisher::start_when_free(&origin.server, STREAM);
    publisher.push(60);
    let after = wait_for("the stream is there again", || {
        origin.playlist().filter(|playlist| playlist.parsed.media_sequence != before.parsed.media_sequence)
    });
    assert!(after.parsed.media_sequence >= before.end(), "{}\n{}", before.text, after.text);
    publisher.close();
    wait_until("nothing is left", || origin.files().is_empty());
}

#[test]
fn the_last_segment_is_written_when_the_server_ends() {
    let mut origin = Origin::start("", "");
    let mut publisher = Publisher::start(&origin.server, STREAM);
    publisher.push(110);
    origin.playlist_of(2);
    origin.server.signal(Signal::TERM);
    assert_eq!(origin.server.wait_for_exit(), Some(0));
    let playlist = origin.playlist_of(3);
    assert!(!playlist.parsed.end_list, "the stream goes on elsewhere");
    assert!(playlist.parsed.segments[2].duration < 1.0, "{}", playlist.text);
}

#[test]
fn a_full_disk_holds_nobody_up_and_is_written_to_again_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::new(directory.path(), 512 << 10);
    let server = Server::origin_on_disk(&disk, &config(&directory.path().join("hls"), "fragment = \"1s\"", ""));
    disk.shell(server.id(), "head -c 500K /dev/zero > filler");
    let mut publisher = Publisher::start_with(&server, STREAM, Content { frame_size: 4_000, ..Content::default() });
    publisher.push(150);
    let errors = || server.metrics().labelled("rillcast_hls_disk_errors_total", "reason", "full");
    wait_until("the disk is full", || errors() >= 3.0);
    wait_until("all is packaged", || server.metrics().sum("rillcast_hls_segments_total") >= 5.0);

    disk.shell(server.id(), "rm filler");
    publisher.push(60);
    let text = wait_for("the playlist is written", || {
        let text = disk.shell(server.id(), "cat 'hls/live/on disk.m3u8' 2>/dev/null || true");
        (!text.is_empty()).then_some(text)
    });
    let playlist = Playlist::read(&text);
    for segment in &playlist.parsed.segments {
        let uri = segment.uri.replace("%20", " ");
        disk.shell(server.id(), &format!("test -s 'hls/live/{uri}'"));
    }
    let left = disk.shell(server.id(), "find . -name '*.tmp'");
    assert_eq!(left, "", "nothing half written stays");
}

#[test]
fn a_disk_that_becomes_read_only_is_written_to_again_when_it_no_longer_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::new(directory.path(), 16 << 20);
    let server = Server::origin_on_disk(&disk, &config(&directory.path().join("hls"), "fragment = \"1s\"", ""));
    let mut publisher = Publisher::start(&server, STREAM);
    let written = || server.metrics().sum("rillcast_hls_disk_segments_total");
    publisher.push(60);
    wait_until("segments are written", || written() >= 2.0);
    disk.shell(server.id(), "mount -o remount,ro .");
    publisher.push(60);
    let errors = || server.metrics().labelled("rillcast_hls_disk_errors_total", "reason", "read_only");
    wait_until("it is counted", || errors() >= 2.0);
    let before = written();
    disk.shell(server.id(), "mount -o remount,rw .");
    publisher.push(60);
    wait_until("segments are written again", || written() > before);
    let is_said = |line: &serde_json::Value| line["fields"]["message"] == "files of HLS are written again";
    wait_until("it is said", || server.log().iter().any(is_said));
}

#[test]
fn a_directory_that_cannot_be_made_is_said_once_and_the_server_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("hls");
    fs::write(&path, "a file").expect("it is written");
    let server = Server::origin(&config(&path, "fragment = \"1s\"", ""));
    let mut publisher = Publisher::start(&server, STREAM);
    publisher.push(300);
    let errors = || server.metrics().labelled("rillcast_hls_disk_errors_total", "reason", "failed");
    wait_until("it is counted", || errors() >= 4.0);
    let is_said = |line: &serde_json::Value| line["fields"]["message"] == "a file of HLS was not written";
    let said = || server.log().iter().filter(|line| is_said(line)).count();
    wait_until("it is said", || said() > 0);
    wait_until("it has failed again", || errors() >= 6.0);
    assert_eq!(said(), 1);
}
