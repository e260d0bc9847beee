//! The recordings that there are.
//!
//! Owns the index of all recordings, complete or being written, and what is done to complete ones: they are listed, read and
//! deleted. The files are the only state: the index is made from them when the server starts (`scan`), and the writers
//! keep it up to date. The admin port asks it; it never touches a file that is no recording of ours.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::{Config, DvrFormat, Live};
use crate::hooks::{self, Hooks};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, RecordingDeletion};

use super::card::Card;
use super::disk::Disk;
use super::retention::{Bounds, Kept, excess};
use super::space;

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Its own id: letters and digits.
    pub id: String,
    /// The app of the stream.
    pub app: String,
    /// The stream's own name.
    pub stream: String,
    /// The publish session.
    pub session: String,
    /// What it is written as.
    pub format: DvrFormat,
    /// When it began, in milliseconds since 1970.
    pub begin_ms: u64,
    /// How long it plays, in milliseconds; so far, if it is not complete.
    pub duration_ms: u64,
    /// How large it is; so far, if it is not complete.
    pub bytes: u64,
    /// Where it is. While it is not complete, the file has another name.
    pub path: PathBuf,
    /// Whether it is no longer being written.
    pub is_complete: bool,
}

/// Why a recording cannot be read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// There is none with that id.
    #[error("there is no such recording")]
    NotFound,
    /// It is being written.
    #[error("the recording is still being written")]
    Incomplete,
    /// The system says no.
    #[error("the recording's file cannot be used: {0}")]
    File(#[from] io::Error),
}

/// Which recordings are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this app.
    pub app: Option<String>,
    /// Those of streams with this name.
    pub stream: Option<String>,
}

/// Some of the recordings that were wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// How many there are.
    pub total: usize,
    /// Those of this page, the newest first.
    pub recordings: Vec<Recording>,
}

/// All recordings. Clones share them.
#[derive(Debug, Clone)]
pub struct Library {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Live,
    metrics: Arc<Metrics>,
    disk: Disk,
    index: Mutex<Index>,
    /// Held while recordings are being deleted by the rules, so that no rule is followed twice.
    sweeping: Mutex<()>,
    /// Files that could not be completed, to be tried again.
    leftovers: Mutex<HashSet<PathBuf>>,
    changed: Notify,
    /// Told of recordings that are complete.
    hooks: OnceLock<Hooks>,
}

/// The recordings by when they began, and when those began that have an id.
#[derive(Debug, Default)]
struct Index {
    entries: BTreeMap<(u64, String), Entry>,
    begins: HashMap<String, u64>,
}

#[derive(Debug)]
struct Entry {
    recording: Recording,
    /// The disk that it is on.
    device: u64,
}

impl Entry {
    /// As the rules see it, if it is kept for so many milliseconds.
    fn kept(&self, retention_ms: Option<u64>) -> Kept {
        Kept {
            end_ms: self.recording.begin_ms.saturating_add(self.recording.duration_ms),
            bytes: self.recording.bytes,
            retention_ms,
            device: self.device,
        }
    }
}

impl Index {
    fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(&(*self.begins.get(id)?, id.to_owned()))
    }

    fn get_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.get_mut(&(*self.begins.get(id)?, id.to_owned()))
    }

    fn insert(&mut self, entry: Entry) {
        let (id, begin_ms) = (entry.recording.id.clone(), entry.recording.begin_ms);
        if let Some(other) = self.begins.insert(id.clone(), begin_ms) {
            self.entries.remove(&(other, id.clone()));
        }
        self.entries.insert((begin_ms, id), entry);
    }

    fn remove(&mut self, id: &str) -> Option<Entry> {
        let begin_ms = self.begins.remove(id)?;
        self.entries.remove(&(begin_ms, id.to_owned()))
    }
}

impl Library {
    /// A library without recordings; `disk` reads and deletes.
    pub(super) fn new(config: Live, metrics: Arc<Metrics>, disk: Disk) -> Self {
        let shared = Shared {
            config,
            metrics,
            disk,
            index: Mutex::default(),
            sweeping: Mutex::default(),
            leftovers: Mutex::default(),
            changed: Notify::new(),
            hooks: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A page of the recordings that are wanted, without the first `skipped` of them.
    pub fn list(&self, filter: &Filter, skipped: usize, most: usize) -> Page {
        let wanted = |recording: &&Recording| {
            filter.app.as_ref().is_none_or(|app| recording.app == *app)
                && filter.stream.as_ref().is_none_or(|stream| recording.stream == *stream)
        };
        let index = self.shared.index.lock();
        let found = index.entries.values().rev().map(|entry| &entry.recording).filter(wanted);
        let (mut total, mut recordings) = (0, Vec::new());
        for recording in found {
            if total >= skipped && recordings.len() < most {
                recordings.push(recording.clone());
            }
            total += 1;
        }
        Page { total, recordings }
    }

    /// The recording with that id.
    pub fn get(&self, id: &str) -> Option<Recording> {
        self.shared.index.lock().get(id).map(|entry| entry.recording.clone())
    }

    /// Opens a complete recording for reading.
    pub async fn open(&self, id: &str) -> Result<Reading, LibraryError> {
        let recording = self.complete(id)?;
        let path = recording.path.clone();
        let opened = self.shared.disk.run(move || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            Ok::<_, io::Error>((file, metadata.len()))
        });
        match opened.await.map_err(io::Error::other)? {
            Ok((file, bytes)) => Ok(Reading {
                recording: Recording { bytes, ..recording },
                file: Arc::new(file),
                disk: self.shared.disk.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody has taken the file away.
                self.shared.index.lock().remove(id);
                Err(LibraryError::NotFound)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a complete recording.
    pub async fn delete(&self, id: &str) -> Result<(), LibraryError> {
        let recording = self.complete(id)?;
        let library = self.clone();
        let deleted = self.shared.disk.run(move || library.remove(&recording, RecordingDeletion::Request));
        Ok(deleted.await.map_err(io::Error::other)??)
    }

    fn complete(&self, id: &str) -> Result<Recording, LibraryError> {
        let recording = self.get(id).ok_or(LibraryError::NotFound)?;
        if recording.is_complete { Ok(recording) } else { Err(LibraryError::Incomplete) }
    }

    /// Removes a recording's file and forgets it. What is gone already is as good as removed.
    fn remove(&self, recording: &Recording, reason: RecordingDeletion) -> io::Result<()> {
        match fs::remove_file(&recording.path) {
            Ok(()) => drop(self.shared.metrics.dvr.deleted_files(reason).inc()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.shared.index.lock().remove(&recording.id);
        tracing::info!(path = %recording.path.display(), reason = reason.label(), "deleted a recording");
        self.remove_empty_directories(&recording.path);
        Ok(())
    }

    /// Directories that a template made and that hold nothing any more go with their last recording.
    fn remove_empty_directories(&self, path: &Path) {
        let roots: HashSet<PathBuf> = self.directories().collect();
        for directory in path.ancestors().skip(1) {
            // One that is not empty is not removed, and then those above it are not empty either.
            if roots.contains(directory) || fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }

    /// The directories that recordings are below.
    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let paths = self.config().recording_paths();
        let directories: HashSet<PathBuf> = paths.iter().map(|(path, _)| path.directory().to_owned()).collect();
        directories.into_iter()
    }

    /// Where a recording may be: with the settings that say so.
    pub(super) fn config(&self) -> Arc<Config> {
        self.shared.config.current()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.shared.disk
    }

    /// A recording has begun, or was found.
    pub(super) fn add(&self, card: Card, format: DvrFormat, path: PathBuf, size: Size, is_complete: bool) {
        // What cannot be looked at is on a disk of its own.
        let device = path.parent().and_then(|directory| fs::metadata(directory).ok()).map_or(0, |found| found.dev());
        let recording = Recording {
            id: card.id,
            app: card.app,
            stream: card.stream,
            session: card.session,
            format,
            begin_ms: card.begin_ms,
            duration_ms: size.duration_ms,
            bytes: size.bytes,
            path,
            is_complete,
        };
        self.shared.index.lock().insert(Entry { recording, device });
        if is_complete {
            self.shared.changed.notify_one();
        }
    }

    /// A recording that is being written has grown.
    pub(super) fn grow(&self, id: &str, size: Size) {
        if let Some(entry) = self.shared.index.lock().get_mut(id) {
            (entry.recording.bytes, entry.recording.duration_ms) = (size.bytes, size.duration_ms);
        }
    }

    /// A recording is complete, under its final name.
    pub(super) fn complete_with(&self, id: &str, path: PathBuf, size: Size) {
        let mut completed = None;
        if let Some(entry) = self.shared.index.lock().get_mut(id) {
            (entry.recording.bytes, entry.recording.duration_ms) = (size.bytes, size.duration_ms);
            entry.recording.path = path;
            entry.recording.is_complete = true;
            completed = Some(entry.recording.clone());
        }
        if let Some(recording) = completed {
            self.tell(&recording);
        }
        self.shared.metrics.dvr.files.inc();
        self.shared.changed.notify_one();
    }

    /// Has `hooks` told of each recording that is complete from now on.
    pub(super) fn tell_of_recordings(&self, hooks: Hooks) {
        // There is one server, and it calls once.
        let _ = self.shared.hooks.set(hooks);
    }

    fn tell(&self, recording: &Recording) {
        let Some(hooks) = self.shared.hooks.get() else { return };
        // As it was before it was decoded.
        let name = format!("{}/{}", recording.app, recording.stream).replace('%', "%25");
        if let Ok(key) = StreamKey::from_path(&name) {
            hooks.recording(&key, &recording.session, &hooks::Recording { file: &recording.path });
        }
    }

    /// A recording will not be complete, or not yet.
    pub(super) fn forget(&self, id: &str) {
        self.shared.index.lock().remove(id);
    }

    /// Whether there is a recording with that id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.shared.index.lock().begins.contains_key(id)
    }

    /// The file could not be completed: it is to be tried again.
    pub(super) fn leave(&self, path: PathBuf) {
        self.shared.leftovers.lock().insert(path);
    }

    /// What is to be tried again.
    pub(super) fn take_leftovers(&self) -> Vec<PathBuf> {
        self.shared.leftovers.lock().drain().collect()
    }

    /// Completes when a recording has become complete since the last time.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Deletes what is to be deleted by the rules.
    pub(super) fn sweep(&self) {
        self.sweep_for(None);
    }

    /// The same with so many bytes more to be left free of a disk than its floor, if it has one.
    fn sweep_for(&self, more: Option<(u64, u64)>) {
        let _one_at_a_time = self.shared.sweeping.lock();
        let mut bounds = Bounds {
            max_bytes: self.config().dvr().max_bytes.map(|bytes| bytes as u64),
            missing: self.missing(more),
            ..Bounds::default()
        };
        for (recording, reason) in self.excess(&mut bounds) {
            if let Err(error) = self.remove(&recording, reason) {
                tracing::warn!(path = %recording.path.display(), %error, "a recording cannot be deleted");
            }
        }
    }

    /// What is to be deleted for the bounds to hold.
    fn excess(&self, bounds: &mut Bounds) -> Vec<(Recording, RecordingDeletion)> {
        let index = self.shared.index.lock();
        let open = index.entries.values().filter(|entry| !entry.recording.is_complete);
        bounds.open_bytes = open.map(|entry| entry.recording.bytes).sum();
        let complete: Vec<&Entry> = index.entries.values().filter(|entry| entry.recording.is_complete).collect();
        // Asked for each time, once for each app: a reload may have changed it.
        let config = self.config();
        let mut retentions: HashMap<&str, Option<u64>> = HashMap::new();
        let mut retention_of = |app| {
            *retentions.entry(app).or_insert_with(|| {
                let retention = config.dvr_for(app).retention;
                retention.map(|retention| u64::try_from(retention.as_millis()).unwrap_or(u64::MAX))
            })
        };
        let kept: Vec<Kept> = complete.iter().map(|entry| entry.kept(retention_of(&entry.recording.app))).collect();
        let excess = excess(&kept, bounds, now_ms()).into_iter();
        excess.map(|(at, reason)| (complete[at].recording.clone(), reason)).collect()
    }

    /// How many bytes each disk has less free than it should.
    fn missing(&self, more: Option<(u64, u64)>) -> HashMap<u64, u64> {
        let Some(min_free) = self.config().dvr().min_free else { return HashMap::new() };
        let spaces = self.directories().filter_map(|directory| space::of(&directory).ok());
        let missing = spaces.map(|space| {
            let more = more.filter(|(device, _)| *device == space.device).map_or(0, |(_, bytes)| bytes);
            (space.device, (min_free as u64).saturating_add(more).saturating_sub(space.free))
        });
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// Whether so many bytes more may be written to a disk. If not, old recordings are deleted, as far as the rules allow.
    pub(super) fn make_room(&self, directory: &Path, bytes: u64) -> io::Result<bool> {
        let wanted = bytes.saturating_add(self.config().dvr().min_free.unwrap_or(0) as u64);
        let space = space::of(directory)?;
        if space.free >= wanted {
            return Ok(true);
        }
        self.sweep_for(Some((space.device, bytes)));
        Ok(space::of(directory)?.free >= wanted)
    }
}

/// How much there is of a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) duration_ms: u64,
}

/// A complete recording that is being read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What it is.
    pub recording: Recording,
    file: Arc<File>,
    disk: Disk,
}

impl Reading {
    /// At most so many bytes from a place in the file on; fewer only at its end.
    pub async fn read(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = self.disk.run(move || {
            let mut buffer = vec![0; most];
            let mut filled = 0;
            while filled < most {
                match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.truncate(filled);
            Ok(Bytes::from(buffer))
        });
        read.await.map_err(io::Error::other)?
    }
}

/// The wall clock in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;
