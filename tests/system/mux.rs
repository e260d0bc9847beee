//! The muxers before real decoders: what ffmpeg encoded into FLV comes out of MPEG-TS, fragmented MP4 and FLV files as it was.
//!
//! No server runs here. Pictures are compared decoded, sound as packets, and times may differ from the source's by one constant.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::{Bytes, BytesMut};
use rillcast::media::class::classify;
use rillcast::media::flv::FlvReader;
use rillcast::media::packet::Packet;
use rillcast::mux::flv::FlvFile;
use rillcast::mux::fmp4::{Fragmenter, Mp4File, initialisation};
use rillcast::mux::frame::{Frame, Track};
use rillcast::mux::mpegts::Muxer;
use rillcast::mux::patch::Patch;
use rillcast::mux::tracks::{AudioCodec, Tracks};

use super::harness::{ffmpeg, tools};

const PICTURES: &str = "-f lavfi -t 4 -i testsrc2=size=322x182:rate=30";
const SOUND: &str = "-f lavfi -t 4 -i sine=frequency=440:sample_rate=44100";
const SOUND_48K: &str = "-f lavfi -t 4 -i sine=frequency=440:sample_rate=48000";
/// With B-frames, whose composition times differ.
const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 30 -pix_fmt yuv420p";
const HEVC: &str = "-c:v libx265 -preset ultrafast -x265-params keyint=30:bframes=2:open-gop=0:log-level=none";
const AV1: &str = "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 30 -row-mt 1";
const VP9: &str = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -b:v 300k";

/// An audio segment is cut after so many milliseconds when there are no keyframes.
const AUDIO_SEGMENT_MS: u64 = 1_000;

#[test]
fn h264_with_b_frames_and_aac_survive_mpegts() {
    survives_mpegts(&Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]));
}

#[test]
fn h264_and_mp3_survive_mpegts() {
    survives_mpegts(&Source::encode(&[PICTURES, SOUND, H264, "-c:a libmp3lame -b:a 64k"]));
}

#[test]
fn ac3_alone_survives_mpegts() {
    survives_mpegts(&Source::encode(&[SOUND_48K, "-c:a ac3 -b:a 96k"]));
}

#[test]
fn mp3_of_a_low_rate_alone_survives_mpegts() {
    survives_mpegts(&Source::encode(&[SOUND, "-c:a libmp3lame -b:a 32k -ar 22050"]));
}

#[test]
fn h264_with_b_frames_and_aac_survive_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]));
}

#[test]
fn hevc_and_opus_survive_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[PICTURES, SOUND_48K, HEVC, "-c:a libopus -b:a 64k"]));
}

#[test]
fn av1_and_flac_survive_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[PICTURES, SOUND_48K, AV1, "-c:a flac"]));
}

#[test]
fn vp9_and_mp3_survive_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[PICTURES, SOUND, VP9, "-c:a libmp3lame -b:a 64k"]));
}

#[test]
fn ac3_alone_survives_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[SOUND_48K, "-c:a ac3 -b:a 96k"]));
}

#[test]
fn eac3_of_six_channels_alone_survives_fragmented_mp4() {
    survives_fragmented_mp4(&Source::encode(&[SOUND_48K, "-c:a eac3 -b:a 192k -ac 6"]));
}

#[test]
fn a_segment_of_mpegts_plays_by_itself() {
    let source = Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]);
    let segments = source.mpegts();
    assert!(segments.len() >= 4, "only {} segments", segments.len());
    let file = source.save("second.ts", &segments[1]);
    assert_eq!(ffmpeg::complaints(&file), Vec::<String>::new());
    let whole = pictures(&source.file);
    let found = hashes(&pictures(&file));
    assert_eq!(ffmpeg::position_of_run(&hashes(&whole), &found), 30);
    assert_eq!(found.len(), 30);
}

#[test]
fn fragments_play_as_far_as_a_crash_let_them_be_written() {
    let source = Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]);
    let (head, fragments) = source.fragmented_mp4();
    let torn = &fragments[2][..fragments[2].len() / 2];
    let file = source.save("torn.mp4", &[&head, &fragments[0], &fragments[1], torn].concat());
    let found = hashes(&pictures(&file));
    assert!(found.len() >= 60, "only {} pictures", found.len());
    assert_eq!(ffmpeg::position_of_run(&hashes(&pictures(&source.file)), &found[..60]), 0);
}

#[test]
fn an_mp4_file_holds_the_stream_from_its_begin_and_tells_its_duration() {
    let source = Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]);
    let pieces = source.pieces();
    let mut bytes = BytesMut::new();
    let mut file = Mp4File::begin(&pieces[0].0, pieces[0].1[0].timestamp, &[], &mut bytes).unwrap();
    for (_, frames) in &pieces {
        file.flush(Some(&frames[0]), &mut bytes);
        frames.iter().for_each(|frame| file.push(frame.clone()).unwrap());
    }
    let patch = file.close(&mut bytes);
    let path = source.save("recorded.mp4", &patched(bytes, &patch));

    assert_eq!(ffmpeg::complaints(&path), Vec::<String>::new());
    source.is_in(&path, 0.01);
    assert!((3.9..4.2).contains(&duration(&path)), "{} s", duration(&path));
    assert_eq!(picture_at("3", &path), picture_at("3", &source.file));
}

#[test]
fn a_flv_file_holds_the_stream_from_its_begin_and_tells_its_duration() {
    let source = Source::encode(&[PICTURES, SOUND, H264, "-c:a aac -b:a 64k"]);
    let mut tracks = Tracks::default();
    for packet in &source.packets {
        tracks.take(packet).unwrap();
    }
    let mut bytes = BytesMut::new();
    let origin = source.packets[0].timestamp;
    let mut file = FlvFile::begin(&tracks, origin, &mut bytes);
    source.packets.iter().for_each(|packet| file.append(packet, &mut bytes));
    let patch = file.close();
    let path = source.save("recorded.flv", &patched(bytes, &patch));

    assert_eq!(ffmpeg::complaints(&path), Vec::<String>::new());
    source.is_in(&path, 0.01);
    assert!((3.9..4.2).contains(&duration(&path)), "{} s", duration(&path));
}

fn patched(mut bytes: BytesMut, patch: &Patch) -> BytesMut {
    let at = usize::try_from(patch.offset).unwrap();
    bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    bytes
}

/// The hash of the picture that a player shows when it is sent to so many seconds.
#[track_caller]
fn picture_at(seconds: &str, file: &Path) -> Vec<String> {
    let mut command = ffmpeg::base("ffmpeg");
    command.args(["-ss", seconds]).arg("-i").arg(file).args(["-map", "0:v", "-frames:v", "1", "-f", "framemd5", "-"]);
    ffmpeg::hashes(&ffmpeg::run(command))
}

/// The duration of a file in seconds, as ffprobe reads it.
#[track_caller]
fn duration(file: &Path) -> f64 {
    let mut command = Command::new("ffprobe");
    command.args(["-loglevel", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(file);
    ffmpeg::run(command).trim().parse().unwrap()
}

#[track_caller]
fn survives_mpegts(source: &Source) {
    let file = source.save("muxed.ts", &source.mpegts().concat());
    assert_eq!(ffmpeg::complaints(&file), Vec::<String>::new());
    // Sound that is gathered into one unit has one time, in milliseconds, from which players count on in samples.
    source.is_in(&file, 2.0);
}

#[track_caller]
fn survives_fragmented_mp4(source: &Source) {
    let (head, fragments) = source.fragmented_mp4();
    let file = source.save("muxed.mp4", &[&head[..], &fragments.concat()].concat());
    assert_eq!(ffmpeg::complaints(&file), Vec::<String>::new());
    source.is_in(&file, 0.01);
}

/// A file of ffmpeg's, and its packets as the hub would have them.
struct Source {
    directory: tempfile::TempDir,
    file: PathBuf,
    packets: Vec<Packet>,
}

impl Source {
    #[track_caller]
    fn encode(options: &[&str]) -> Self {
        /// Where the stream's time line stands: beyond 32 bits of milliseconds.
        const BEGIN_MS: u64 = (1 << 32) + 12_345;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("source.flv");
        let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
        command.args(options.iter().flat_map(|part| part.split(' '))).args(["-f", "flv"]).arg(&file);
        ffmpeg::run(command);
        let mut reader = FlvReader::default();
        reader.feed(&fs::read(&file).unwrap());
        let tags = std::iter::from_fn(|| reader.next_tag().unwrap());
        let packets = tags.map(|tag| Packet {
            kind: tag.kind,
            class: classify(&tag).0,
            timestamp: BEGIN_MS + u64::from(tag.timestamp),
            payload: tag.payload,
        });
        Self { packets: packets.collect(), directory, file }
    }

    fn save(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// All frames, cut where a packager would cut, with the tracks of each piece.
    fn pieces(&self) -> Vec<(Tracks, Vec<Frame>)> {
        let mut tracks = Tracks::default();
        let mut pieces: Vec<(Tracks, Vec<Frame>)> = Vec::new();
        for packet in &self.packets {
            tracks.take(packet).unwrap();
            let Some(frame) = Frame::from_packet(packet, &tracks).unwrap() else { continue };
            let begins = match pieces.last() {
                None => true,
                Some(_) if tracks.video.is_some() => frame.track == Track::Video && frame.is_keyframe,
                Some((_, frames)) => frame.timestamp >= frames[0].timestamp + AUDIO_SEGMENT_MS,
            };
            if begins {
                pieces.push((tracks.clone(), Vec::new()));
            }
            let piece = pieces.last_mut().unwrap();
            piece.0 = tracks.clone();
            piece.1.push(frame);
        }
        pieces
    }

    fn mpegts(&self) -> Vec<Bytes> {
        let pieces = self.pieces();
        let mut muxer = Muxer::new(&pieces[0].0).unwrap();
        let write = |(tracks, frames): &(Tracks, Vec<Frame>)| {
            let mut out = BytesMut::new();
            muxer.set_tracks(tracks).unwrap();
            muxer.begin_segment(&mut out);
            frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
            muxer.end_segment(&mut out);
            out.freeze()
        };
        pieces.iter().map(write).collect()
    }

    fn fragmented_mp4(&self) -> (Bytes, Vec<Bytes>) {
        let pieces = self.pieces();
        let tracks = &pieces[0].0;
        let mut fragmenter = Fragmenter::new(tracks, 0);
        let mut fragments = Vec::new();
        for (at, (_, frames)) in pieces.iter().enumerate() {
            frames.iter().for_each(|frame| fragmenter.push(frame.clone()).unwrap());
            let next = pieces.get(at + 1).map(|(_, frames)| &frames[0]);
            fragments.push(fragmenter.cut(next, true));
        }
        (initialisation(tracks).unwrap(), fragments)
    }

    /// Every frame of this source is in `file`, and all times differ by the same constant, up to `tolerance` milliseconds.
    #[track_caller]
    fn is_in(&self, file: &Path, tolerance: f64) {
        let mut differences = Vec::new();
        let (tracks, _) = self.pieces().pop().unwrap();
        let mut compare = |what: &str, expected: &[Seen], found: &[Seen]| {
            assert_eq!(found.len(), expected.len(), "{what}");
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                assert_eq!(found.hash, expected.hash, "{what} {number}");
                differences.push(found.presentation - expected.presentation);
            }
        };
        if tracks.video.is_some() {
            compare("pictures", &pictures(&self.file), &pictures(file));
        }
        if let Some(audio) = tracks.audio {
            compare("sound", &sound(&self.file, audio.codec), &sound(file, audio.codec));
        }
        let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(greatest - least <= tolerance, "times differ by {least} to {greatest} ms");
    }
}

/// A frame as ffmpeg sees it.
struct Seen {
    /// Milliseconds.
    presentation: f64,
    hash: String,
}

fn hashes(frames: &[Seen]) -> Vec<String> {
    frames.iter().map(|frame| frame.hash.clone()).collect()
}

/// Pictures decoded, in the order in which they are seen.
#[track_caller]
fn pictures(file: &Path) -> Vec<Seen> {
    frames(file, &["-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "1:90000"])
}

/// Sound as it is encoded. AAC's headers in MPEG-TS are no part of the sound.
#[track_caller]
fn sound(file: &Path, codec: AudioCodec) -> Vec<Seen> {
    let mut options = vec!["-map", "0:a", "-c", "copy"];
    if codec == AudioCodec::Aac && file.extension().is_some_and(|extension| extension == "ts") {
        options.extend(["-bsf:a", "aac_adtstoasc"]);
    }
    frames(file, &options)
}

#[track_caller]
fn frames(file: &Path, options: &[&str]) -> Vec<Seen> {
    let mut command = ffmpeg::base(tools::enhanced_ffmpeg());
    command.arg("-copyts").arg("-i").arg(file).args(options).args(["-f", "framemd5", "-"]);
    parse(&ffmpeg::run(command))
}

/// Reads `-f framemd5`: the time base, then stream, decoding and presentation time, duration, size and hash of each frame.
fn parse(text: &str) -> Vec<Seen> {
    let mut tick_ms = 0.0;
    let mut frames = Vec::new();
    for line in text.lines() {
        if let Some(base) = line.strip_prefix("#tb 0: ") {
            let (numerator, denominator) = base.split_once('/').unwrap();
            tick_ms = 1_000.0 * numerator.parse::<f64>().unwrap() / denominator.parse::<f64>().unwrap();
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            if fields[4] == "0" {
                // What ffmpeg makes of an empty sequence header.
                continue;
            }
            frames.push(Seen { presentation: fields[2].parse::<f64>().unwrap() * tick_ms, hash: fields[5].to_owned() });
        }
    }
    frames
}
