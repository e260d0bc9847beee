//! What the tests of this layer share: a library in a directory of its own, and packets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::config::{self, Live, Role};
use crate::media::class::classify;
use crate::media::flv::FlvReader;
use crate::media::packet::Packet;
use crate::media::stream_key::StreamKey;
use crate::media::{Kind, Tag};
use crate::metrics::Metrics;

use super::disk::Disk;
use super::library::Library;

pub(super) struct Bench {
    pub(super) directory: TempDir,
    pub(super) config: Live,
    pub(super) metrics: Arc<Metrics>,
    pub(super) library: Library,
}

impl Bench {
    /// A library whose `[dvr]` has these lines.
    pub(super) fn new(lines: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), lines)
    }

    /// The same in a directory that may hold something.
    pub(super) fn at(directory: TempDir, lines: &str) -> Self {
        let path = directory.path().join("dvr/[app]/[stream].[timestamp]");
        let text = format!("[dvr]\nenabled = true\npath = \"{}\"\n{lines}\n", path.display());
        let file = directory.path().join("dvr.toml");
        std::fs::write(&file, text).unwrap();
        let config = Live::new(config::load(Role::Origin, &[file], []).unwrap());
        let metrics = Arc::new(Metrics::new());
        let disk = Disk::start("test", 1).unwrap();
        let library = Library::new(config.clone(), Arc::clone(&metrics), disk);
        Self { directory, config, metrics, library }
    }

    /// The directory of recordings.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("dvr")
    }

    /// The names of all files below the directory of recordings, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.root()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => found.push(path.strip_prefix(self.root()).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }
}

pub(super) fn key() -> StreamKey {
    StreamKey::from_path("live/x").unwrap()
}

pub(super) fn packet(kind: Kind, timestamp: u64, body: &[u8]) -> Packet {
    let tag = tag(kind, timestamp as u32, body);
    let (class, _) = classify(&tag);
    Packet { kind, class, timestamp, payload: tag.payload }
}

pub(super) fn tag(kind: Kind, timestamp: u32, body: &[u8]) -> Tag {
    Tag { kind, timestamp, payload: Bytes::copy_from_slice(body) }
}

pub(super) const VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1, 2, 3];
pub(super) const AUDIO_HEADER: &[u8] = &[0xaf, 0, 0x12, 0x10];
pub(super) const KEYFRAME: &[u8] = &[0x17, 1, 0, 0, 0, 9];
pub(super) const FRAME: &[u8] = &[0x27, 1, 0, 0, 0, 9];
pub(super) const SOUND: &[u8] = &[0xaf, 1, 9];

pub(super) fn video_header() -> Packet {
    packet(Kind::Video, 0, VIDEO_HEADER)
}

pub(super) fn audio_header() -> Packet {
    packet(Kind::Audio, 0, AUDIO_HEADER)
}

pub(super) fn keyframe(timestamp: u64) -> Packet {
    packet(Kind::Video, timestamp, KEYFRAME)
}

pub(super) fn frame(timestamp: u64) -> Packet {
    packet(Kind::Video, timestamp, FRAME)
}

pub(super) fn sound(timestamp: u64) -> Packet {
    packet(Kind::Audio, timestamp, SOUND)
}

/// The first bytes of the frames in an FLV file and their timestamps.
pub(super) fn frames_in(path: &Path) -> Vec<(u8, u32)> {
    let mut reader = FlvReader::default();
    reader.feed(&std::fs::read(path).unwrap());
    let tags: Vec<Tag> = std::iter::from_fn(|| reader.next_tag().unwrap()).collect();
    assert!(reader.is_at_border());
    let is_frame = |tag: &&Tag| tag.kind != Kind::Data && tag.payload[1] == 1;
    tags.iter().filter(is_frame).map(|tag| (tag.payload[0], tag.timestamp)).collect()
}
