//! Enhanced RTMP: codecs beyond H.264 and AAC, as a current ffmpeg publishes and plays them.

use std::path::Path;

use super::harness::ffmpeg;
use super::harness::process::Process;
use super::harness::server::Server;
use super::harness::{tools, wait_until};

const STREAM: &str = "live/enhanced";
const GOP: usize = 30;

const PICTURES: &str = "-f lavfi -t 12 -i testsrc2=size=320x180:rate=30";
const SOUND: &str = "-f lavfi -t 12 -i sine=frequency=440:sample_rate=48000";
const AAC: &str = "-c:a aac -b:a 64k";

#[test]
fn hevc_plays_as_it_was_published() {
    let encoder = "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params keyint=30:open-gop=0:log-level=none";
    plays_as_published(&[PICTURES, SOUND, encoder, AAC]);
}

#[test]
fn av1_plays_as_it_was_published() {
    plays_as_published(&[PICTURES, SOUND, "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 30 -row-mt 1", AAC]);
}

#[test]
fn vp9_plays_as_it_was_published() {
    plays_as_published(&[PICTURES, SOUND, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -b:v 500k", AAC]);
}

#[test]
fn opus_plays_as_it_was_published() {
    let encoder = "-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p";
    plays_as_published(&[PICTURES, SOUND, encoder, "-c:a libopus -b:a 64k"]);
}

/// Publishes what the options make, and compares what players of the edge get over both protocols.
#[track_caller]
fn plays_as_published(options: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let published = directory.path().join("published.flv");
    let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
    command.args(options.iter().flat_map(|part| part.split(' '))).args(["-f", "flv"]).arg(&published);
    ffmpeg::run(command);

    let (origin, edge) = Server::origin_and_edge("", "");
    let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
    command.arg("-re").arg("-i").arg(&published).args(["-c", "copy", "-f", "flv", &origin.rtmp_url(STREAM)]);
    let _publisher = Process::spawn("ffmpeg publishing", &mut command);
    wait_until("the stream is live at the origin", || {
        origin.stream(STREAM).is_some_and(|stream| stream["publish"]["active"] == true)
    });
    let published = Hashes::of(&published);
    for (number, url) in [edge.rtmp_url(STREAM), edge.flv_url(STREAM)].iter().enumerate() {
        let played = directory.path().join(format!("{number}.flv"));
        let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
        command.args(["-rw_timeout", ffmpeg::NETWORK_TIMEOUT, "-i", url, "-t", "3", "-c", "copy", "-f", "flv"]);
        command.arg(&played);
        ffmpeg::run(command);
        let played = Hashes::of(&played);
        assert!(played.pictures.len() >= 2 * GOP, "{url}: only {} pictures", played.pictures.len());
        let first = ffmpeg::position_of_run(&published.pictures, &played.pictures);
        assert_eq!(first % GOP, 0, "{url}: the first picture is a keyframe");
        assert!(played.sound.len() >= 100, "{url}: only {} audio packets", played.sound.len());
        ffmpeg::position_of_run(&published.sound, &played.sound);
    }
}

/// Hashes of decoded pictures and of audio packets.
struct Hashes {
    pictures: Vec<String>,
    sound: Vec<String>,
}

impl Hashes {
    #[track_caller]
    fn of(file: &Path) -> Self {
        let hash = |options: &str| {
            let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
            command.arg("-i").arg(file).args(options.split(' ')).args(["-f", "framemd5", "-"]);
            ffmpeg::hashes(&ffmpeg::run(command))
        };
        Self { pictures: hash("-map 0:v -fps_mode passthrough"), sound: hash("-map 0:a -c copy") }
    }
}
