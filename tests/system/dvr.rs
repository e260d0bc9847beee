//! What is published is recorded, frame by frame, by real encoders and read by real players.

use std::fs;
use std::path::Path;
use std::process::Command;

use rillcast::media::Kind;
use rustix::process::Signal;

use super::harness::ffmpeg::{self, Tracks};
use super::harness::flv;
use super::harness::numbered::{Frame, audio_header, is_sequence_header, video_header};
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::recordings::{self, list, origin, wait_for_complete};
use super::harness::server::Server;
use super::harness::{tools, wait_for, wait_until};

const STREAM: &str = "live/recorded";

/// The numbered frames of an FLV recording, and its headers.
#[track_caller]
fn frames(path: &Path) -> (Vec<Frame>, usize) {
    let bytes = fs::read(path).unwrap();
    let mut source = &bytes[..];
    flv::read_header(&mut source).unwrap();
    let (mut frames, mut headers) = (Vec::new(), 0);
    while let Some(tag) = flv::read_tag(&mut source).unwrap() {
        frames.extend(Frame::of(&tag));
        headers += usize::from(is_sequence_header(&tag));
    }
    (frames, headers)
}

/// A publisher whose recording has begun, after a few ticks: who comes and goes within a moment is not recorded.
#[track_caller]
fn recorded_publisher(origin: &Server) -> Publisher {
    let before = list(origin).len();
    let mut publisher = Publisher::start_when_free(origin, STREAM);
    publisher.push(5);
    wait_until("the stream is being recorded", || list(origin).len() > before);
    publisher
}

fn numbers(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(|frame| frame.number).collect()
}

#[track_caller]
fn duration_of(path: &Path) -> f64 {
    let mut command = Command::new("ffprobe");
    command.args(["-loglevel", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(path);
    ffmpeg::run(command).trim().parse().expect("ffprobe tells a duration")
}

/// Publishes a file of these tracks, and compares what was recorded with it.
#[track_caller]
fn is_recorded_as_published(format: &str, tracks: Tracks) {
    let (origin, directory) = origin(&format!("format = \"{format}\""));
    let source = directory.path().join("source");
    ffmpeg::make_file(tracks, 3, &source);
    let mut publisher = ffmpeg::publish_file(&source, &origin.rtmp_url(STREAM));
    assert_eq!(publisher.wait_for_exit(), Some(0), "{:?}", publisher.stderr.all());
    let [recording] = &wait_for_complete(&origin, 1)[..] else { panic!("there is one") };

    let path = &recording.path;
    assert_eq!(ffmpeg::complaints(path), Vec::<String>::new());
    if tracks != Tracks::Audio {
        assert_eq!(ffmpeg::picture_hashes(path), ffmpeg::picture_hashes(&source));
    }
    if tracks != Tracks::Video {
        assert_eq!(ffmpeg::audio_packet_hashes(path), ffmpeg::audio_packet_hashes(&source));
    }
    assert!((duration_of(path) - 3.0).abs() < 0.2, "{}", duration_of(path));
    assert!(recording.duration_ms.abs_diff(3_000) < 200, "{recording:?}");
    assert_eq!(recording.bytes, fs::metadata(path).unwrap().len());
    assert_eq!((&recording.entry["app"], &recording.entry["name"]), (&"live".into(), &"recorded".into()));
    let metrics = origin.metrics();
    assert_eq!(metrics.sum("rillcast_dvr_files_total"), 1.0);
    assert_eq!(metrics.sum("rillcast_dvr_recordings"), 0.0);
    assert!(metrics.sum("rillcast_dvr_bytes_total") > 10_000.0);
    assert_eq!(metrics.sum("rillcast_dvr_dropped_bytes_total"), 0.0);
}

#[test]
fn an_flv_recording_holds_what_was_published() {
    is_recorded_as_published("flv", Tracks::Both);
}

#[test]
fn an_mp4_recording_holds_what_was_published() {
    is_recorded_as_published("fmp4", Tracks::Both);
}

#[test]
fn audio_alone_is_recorded_in_both_formats() {
    is_recorded_as_published("flv", Tracks::Audio);
    is_recorded_as_published("fmp4", Tracks::Audio);
}

#[test]
fn video_alone_is_recorded_in_both_formats() {
    is_recorded_as_published("flv", Tracks::Video);
    is_recorded_as_published("fmp4", Tracks::Video);
}

/// Cuts a published file into segments that together are what was published.
#[track_caller]
fn is_cut_at_keyframes(format: &str) {
    let lines = format!("format = \"{format}\"\nplan = \"segment\"\nduration = \"1s\"");
    let (origin, directory) = origin(&lines);
    let source = directory.path().join("source");
    // A keyframe each second.
    ffmpeg::make_file(Tracks::Video, 4, &source);
    let mut publisher = ffmpeg::publish_file(&source, &origin.rtmp_url(STREAM));
    assert_eq!(publisher.wait_for_exit(), Some(0));
    let segments = wait_for_complete(&origin, 4);
    let hashes: Vec<String> = segments.iter().flat_map(|one| ffmpeg::picture_hashes(&one.path)).collect();
    assert_eq!(hashes, ffmpeg::picture_hashes(&source));
    for segment in &segments {
        assert_eq!(ffmpeg::picture_hashes(&segment.path).len(), 30, "{segment:?}");
        assert_eq!(ffmpeg::complaints(&segment.path), Vec::<String>::new());
    }
}

#[test]
fn flv_segments_are_cut_at_keyframes_and_lose_nothing() {
    is_cut_at_keyframes("flv");
}

#[test]
fn mp4_segments_are_cut_at_keyframes_and_lose_nothing() {
    is_cut_at_keyframes("fmp4");
}

/// Kills the origin while it records; afterwards the recording is listed, plays, and lacks at most `lost` seconds.
#[track_caller]
fn outlives_its_writer(format: &str, lost: f64) {
    let (mut origin, directory) = origin(&format!("format = \"{format}\""));
    let _publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
    let seen = wait_for("six seconds are recorded", || list(&origin).into_iter().find(|one| one.duration_ms >= 6_000));
    assert!(!seen.is_complete);
    origin.kill();
    let [part] = &recordings::files(directory.path())[..] else { panic!("there is one file") };
    assert!(part.to_str().unwrap().ends_with(".part"), "{part:?}");

    origin.restart();
    let [recording] = &wait_for_complete(&origin, 1)[..] else { panic!("there is one") };
    assert_eq!(recording.id, seen.id);
    assert_eq!(ffmpeg::complaints(&recording.path), Vec::<String>::new());
    let (duration, told) = (duration_of(&recording.path), recording.duration_ms as f64 / 1_000.0);
    assert!(duration > seen.duration_ms as f64 / 1_000.0 - lost, "{duration} s of {seen:?}");
    assert!((duration - told).abs() < 0.2, "{duration} s, told as {told} s");
    assert_eq!(ffmpeg::probe_codecs(recording.path.to_str().unwrap()), Tracks::Both.codecs());
    assert_eq!(origin.metrics().sum("rillcast_dvr_files_total"), 1.0);
}

#[test]
fn an_flv_recording_outlives_a_killed_server() {
    outlives_its_writer("flv", 0.5);
}

#[test]
fn an_mp4_recording_outlives_a_killed_server() {
    outlives_its_writer("fmp4", 2.5);
}

#[test]
fn a_server_that_is_told_to_end_completes_its_recordings() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut origin, directory) = origin("format = \"fmp4\"");
        let _publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
        wait_until("there is something to be recorded", || list(&origin).iter().any(|one| one.bytes > 0));
        origin.signal(signal);
        assert_eq!(origin.wait_for_exit(), Some(0));
        let [file] = &recordings::files(directory.path())[..] else { panic!("there is one file") };
        assert!(file.to_str().unwrap().ends_with(".mp4"), "{file:?}");
        assert_eq!(ffmpeg::complaints(file), Vec::<String>::new());
    }
}

#[test]
fn a_recording_holds_every_frame_from_its_first_to_its_last() {
    let (origin, _directory) = origin("");
    let mut publisher = recorded_publisher(&origin);
    publisher.push(95);
    let last = publisher.last_number();
    publisher.close();
    let [recording] = &wait_for_complete(&origin, 1)[..] else { panic!("there is one") };
    let (frames, headers) = frames(&recording.path);
    assert_eq!(numbers(&frames), (0..=last).collect::<Vec<_>>());
    assert_eq!((frames[0].timestamp, headers), (0, 2));
}

#[test]
fn other_parameters_begin_another_recording() {
    let (origin, _directory) = origin("");
    let mut publisher = recorded_publisher(&origin);
    publisher.push(45);
    publisher.send(Kind::Video, publisher.clock(), video_header(9_999)).unwrap();
    publisher.send(Kind::Audio, publisher.clock(), audio_header()).unwrap();
    // The next keyframe comes with the first of these.
    publisher.push(50);
    let last = publisher.last_number();
    publisher.close();
    let recordings = wait_for_complete(&origin, 2);
    let each: Vec<Vec<u32>> = recordings.iter().map(|one| numbers(&frames(&one.path).0)).collect();
    assert_eq!(each.concat(), (0..=last).collect::<Vec<_>>());
    assert!(frames(&recordings[1].path).0[0].key);
}

#[test]
fn a_publisher_that_comes_again_begins_another_recording() {
    let (origin, _directory) = origin("");
    for count in 1..=2 {
        let mut publisher = recorded_publisher(&origin);
        publisher.push(25);
        publisher.close();
        let recordings = wait_for_complete(&origin, count);
        let (frames, _) = frames(&recordings[count - 1].path);
        assert_eq!((frames.len(), frames[0].number, frames[0].timestamp), (60, 0, 0));
    }
}

#[test]
fn only_the_apps_that_are_named_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let config = format!(
        "[dvr]\npath = \"{path}/[app]/[stream]\"\n[[apps]]\nmatch = \"kept*\"\ndvr.enabled = true\n\
         [[apps]]\nmatch = \"kept/mp4\"\ndvr.format = \"fmp4\"\ndvr.path = \"{path}/mp4/[stream]-[2006].mp4\"\n"
    );
    let origin = Server::origin(&config);
    for (stream, recorded) in [("live/a", 0), ("kept/b", 1), ("kept/mp4/c", 2)] {
        let mut publisher = Publisher::start(&origin, stream);
        publisher.push(50);
        wait_until("it is recorded, if it is to be", || list(&origin).len() == recorded);
        publisher.close();
    }
    let recordings = wait_for_complete(&origin, 2);
    let names: Vec<String> = recordings.iter().map(|one| one.path.display().to_string()).collect();
    assert_eq!(names[0], format!("{path}/kept/b.flv"));
    assert!(names[1].starts_with(&format!("{path}/mp4/c-20")) && names[1].ends_with(".mp4"), "{names:?}");
}

#[test]
fn players_get_every_frame_while_a_stream_is_recorded() {
    let (origin, _directory) = origin("plan = \"segment\"\nduration = \"1s\"");
    let mut publisher = Publisher::start_with(&origin, STREAM, Content { frame_size: 20_000, ..Content::default() });
    publisher.push(5);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &origin, STREAM));
    publisher.push(200);
    for player in &players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_no_frame_missing();
    }
    publisher.close();
    wait_until("every frame is in a complete recording", || {
        let complete = list(&origin).into_iter().filter(|one| one.is_complete);
        complete.map(|one| frames(&one.path).0.len()).sum::<usize>() == 205 * 2
    });
    assert!(list(&origin).len() > 5, "it was cut");
}

/// Publishes what the options make with a current ffmpeg, and compares what is recorded in both formats.
#[track_caller]
fn is_recorded_beyond_avc(options: &str) {
    for format in ["flv", "fmp4"] {
        let (origin, directory) = origin(&format!("format = \"{format}\""));
        let source = directory.path().join("source.flv");
        let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
        let inputs = "-f lavfi -t 3 -i testsrc2=size=320x180:rate=30 -f lavfi -t 3 -i sine=sample_rate=48000";
        command.args(inputs.split(' ').chain(options.split(' '))).args(["-f", "flv"]).arg(&source);
        ffmpeg::run(command);
        let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
        command.arg("-re").arg("-i").arg(&source).args(["-c", "copy", "-f", "flv", &origin.rtmp_url(STREAM)]);
        ffmpeg::run(command);
        let [recording] = &wait_for_complete(&origin, 1)[..] else { panic!("there is one") };
        let hashes = |path: &Path, track: &str| {
            let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
            command.arg("-i").arg(path).args(["-map", track, "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
            ffmpeg::hashes(&ffmpeg::run(command))
        };
        let pictures = hashes(&source, "0:v");
        assert_eq!(pictures.len(), 90);
        assert_eq!(hashes(&recording.path, "0:v"), pictures, "{format}");
    }
}

#[test]
fn hevc_and_opus_are_recorded_in_both_formats() {
    let video = "-c:v libx265 -preset ultrafast -x265-params keyint=30:open-gop=0:log-level=none";
    is_recorded_beyond_avc(&format!("{video} -c:a libopus -b:a 64k"));
}

#[test]
fn av1_is_recorded_in_both_formats() {
    is_recorded_beyond_avc("-c:v libaom-av1 -usage realtime -cpu-used 8 -g 30 -row-mt 1 -c:a aac -b:a 64k");
}
