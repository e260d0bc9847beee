//! ffmpeg and ffprobe as publishers and players, always bounded in time.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::process::Process;

/// Time limit of network operations, in microseconds.
pub const NETWORK_TIMEOUT: &str = "20000000";

/// Which tracks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracks {
    /// H.264 and AAC.
    Both,
    /// AAC.
    Audio,
    /// H.264.
    Video,
}

impl Tracks {
    /// The codecs as ffprobe names them.
    pub const fn codecs(self) -> &'static [&'static str] {
        match self {
            Self::Both => &["aac", "h264"],
            Self::Audio => &["aac"],
            Self::Video => &["h264"],
        }
    }

    /// Input and encoder options for so many seconds of test pictures and tones.
    fn options(self, seconds: u32) -> Vec<String> {
        let mut options = Vec::new();
        if self != Self::Audio {
            options.push(format!("-f lavfi -t {seconds} -i testsrc2=size=320x180:rate=30"));
        }
        if self != Self::Video {
            options.push(format!("-f lavfi -t {seconds} -i sine=frequency=440:sample_rate=44100"));
        }
        if self != Self::Audio {
            options.push("-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p".to_owned());
        }
        if self != Self::Video {
            options.push("-c:a aac -b:a 64k".to_owned());
        }
        options.iter().flat_map(|part| part.split(' ')).map(str::to_owned).collect()
    }
}

/// Publishes test pictures and tones in real time for up to a minute; ends when dropped.
pub fn publish(tracks: Tracks, url: &str) -> Process {
    const SECONDS: u32 = 60;
    let mut command = base("ffmpeg");
    command.arg("-re").args(tracks.options(SECONDS)).args(["-rw_timeout", NETWORK_TIMEOUT, "-f", "flv", url]);
    Process::spawn("ffmpeg publishing", &mut command)
}

/// Publishes a file in real time, as it is; ends when dropped.
pub fn publish_file(file: &Path, url: &str) -> Process {
    let mut command = base("ffmpeg");
    command.arg("-re").arg("-i").arg(file).args(["-c", "copy", "-rw_timeout", NETWORK_TIMEOUT, "-f", "flv", url]);
    Process::spawn("ffmpeg publishing a file", &mut command)
}

/// Plays one URL and publishes to another, as it is; ends when dropped.
pub fn relay(from: &str, to: &str) -> Process {
    let mut command = base("ffmpeg");
    command.args(["-rw_timeout", NETWORK_TIMEOUT, "-i", from, "-c", "copy", "-f", "flv", to]);
    Process::spawn("ffmpeg relaying", &mut command)
}

/// Makes an FLV file of test pictures and tones.
#[track_caller]
pub fn make_file(tracks: Tracks, seconds: u32, file: &Path) {
    let mut command = base("ffmpeg");
    command.args(tracks.options(seconds)).args(["-f", "flv"]).arg(file);
    run(command);
}

/// Records so many seconds of a URL into an FLV file, as they come.
#[track_caller]
pub fn record(url: &str, seconds: u32, file: &Path) {
    let mut command = base("ffmpeg");
    command.args(["-rw_timeout", NETWORK_TIMEOUT, "-i", url, "-t", &seconds.to_string(), "-c", "copy", "-f", "flv"]);
    command.arg(file);
    run(command);
}

/// The hashes of a file's decoded pictures, in order.
#[track_caller]
pub fn picture_hashes(file: &Path) -> Vec<String> {
    let mut command = base("ffmpeg");
    command.arg("-i").arg(file).args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    hashes(&run(command))
}

/// The hashes of a file's audio packets, in order. (What an AAC decoder makes of the first one depends on those before.)
#[track_caller]
pub fn audio_packet_hashes(file: &Path) -> Vec<String> {
    let mut command = base("ffmpeg");
    command.arg("-i").arg(file).args(["-map", "0:a", "-c", "copy", "-f", "framemd5", "-"]);
    hashes(&run(command))
}

/// The hashes in the output of `-f framemd5`, in order.
pub fn hashes(framemd5: &str) -> Vec<String> {
    let frames = framemd5.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned())).collect()
}

/// Where `run` stands in `whole`, without a gap or a change.
#[track_caller]
pub fn position_of_run(whole: &[String], run: &[String]) -> usize {
    whole
        .windows(run.len())
        .position(|window| window == run)
        .unwrap_or_else(|| panic!("not a run of the {} published frames: {run:#?}", whole.len()))
}

/// The names of the codecs that ffprobe finds behind a URL, sorted.
#[track_caller]
pub fn probe_codecs(url: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-loglevel", "error", "-rw_timeout", NETWORK_TIMEOUT, "-show_entries", "stream=codec_name"]);
    command.args(["-of", "csv=p=0", url]);
    let mut codecs: Vec<String> = run(command).split_whitespace().map(str::to_owned).collect();
    codecs.sort();
    // A playlist shows its streams once more as those of a program.
    codecs.dedup();
    codecs
}

/// What ffmpeg has to say when it decodes a file from start to end; nothing is best.
#[track_caller]
pub fn complaints(file: &Path) -> Vec<String> {
    let mut command = base("ffmpeg");
    command.arg("-i").arg(file).args(["-f", "null", "-"]);
    let mut process = Process::spawn("ffmpeg decoding", &mut command);
    process.wait_for_exit();
    process.stderr.all()
}

/// Either program with the options that all commands have.
pub fn base(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    command
}

/// Runs to the end and gives standard output.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let name = format!("{command:?}");
    let mut process = Process::spawn(&name, &mut command);
    assert_eq!(process.wait_for_exit(), Some(0), "{name}: {:#?}", process.stderr.all());
    process.stdout.all().join("\n")
}
