//! The thread that writes.
//!
//! Owns which files there are of which stream. It does one thing after the other, so a playlist never names a file that is
//! not there; and it never gives up: what fails is counted and left out, and the next segment is tried again.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::hls::packager::{tell, unix_ms};
use crate::hls::resource::File;
use crate::hls::segment::{Entry, Initialisation, Segment};
use crate::hls::window::{Listed, Window};
use crate::hooks::Hooks;
use crate::hub::Identity;
use crate::media::stream_key::StreamKey;
use crate::metrics::{HlsDiskError, Metrics};

use super::files::{self, Files};
use super::leftovers::Leftovers;
use super::names::{Names, Unnameable, uri};
use super::{Job, Keep, LOG_EVERY, Waiting};

/// How often it is looked whether something is to be removed.
const TICK: Duration = Duration::from_secs(1);

/// Writes segments and playlists, and removes them.
pub(super) struct Worker {
    names: Names,
    files: Files,
    streams: HashMap<StreamKey, StreamFiles>,
    /// Which stream has the names of these files.
    owners: HashMap<String, StreamKey>,
    leftovers: Leftovers,
    /// For how long leftovers stay; for ever if none.
    leftovers_stay: Option<Duration>,
    waiting: Waiting,
    metrics: Arc<Metrics>,
    hooks: Hooks,
    /// Set while writing fails: since when it was last said.
    trouble: Option<Instant>,
}

/// The files of a stream.
struct StreamFiles {
    /// The path of the playlist, relative to the directory.
    playlist: String,
    keep: Keep,
    target_s: u64,
    window: Window<OnDisk>,
    /// Initialisations, by their numbers and paths.
    initialisations: Vec<(u64, String)>,
    next_number: Option<u64>,
}

/// A segment that is written.
struct OnDisk {
    entry: Entry,
    path: String,
}

impl Listed for OnDisk {
    fn entry(&self) -> &Entry {
        &self.entry
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Name(#[from] Unnameable),
    #[error("another stream has the same names of files")]
    Taken,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WriteError {
    fn reason(&self) -> HlsDiskError {
        match self {
            Self::Name(_) | Self::Taken => HlsDiskError::Name,
            Self::Io(error) => files::reason(error),
        }
    }
}

impl Worker {
    pub(super) fn new(
        names: Names,
        leftovers_stay: Option<Duration>,
        waiting: Waiting,
        metrics: Arc<Metrics>,
        hooks: Hooks,
    ) -> Self {
        Self {
            names,
            files: Files::new(Identity::random().as_str()[..8].to_owned()),
            streams: HashMap::new(),
            owners: HashMap::new(),
            leftovers: Leftovers::default(),
            leftovers_stay,
            waiting,
            metrics,
            hooks,
            trouble: None,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        if self.leftovers_stay.is_some() {
            self.leftovers = Leftovers::find(&self.names, unix_ms());
        }
        let mut looked_at = Instant::now();
        self.tidy();
        loop {
            match jobs.recv_timeout(TICK) {
                Ok(Job::Stop { done }) => {
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                    return;
                }
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked_at.elapsed() >= TICK {
                looked_at = Instant::now();
                self.tidy();
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Put { key, keep, session, segment, is_first, target_s } => {
                let put = self.put(&key, keep, &segment, is_first, target_s);
                if put.is_ok() {
                    self.tell(&key, &session, &segment.entry);
                }
                self.waiting.leave(segment.entry.bytes);
                self.note(&key, put);
            }
            Job::End { key } => {
                let ended = self.write_playlist(&key, true);
                self.note(&key, ended);
            }
            Job::Dispose { key } => self.dispose(&key),
            Job::Stop { .. } => {}
        }
    }

    fn put(
        &mut self,
        key: &StreamKey,
        keep: Keep,
        segment: &Segment,
        is_first: bool,
        target_s: u64,
    ) -> Result<(), WriteError> {
        self.claim(key, keep, target_s)?;
        let path = self.names.path(key, segment.entry.file())?;
        if let Some(initialisation) = &segment.initialisation {
            self.put_initialisation(key, initialisation)?;
        }
        self.files.write(&self.names.directory().join(&path), segment.body.bytes())?;
        self.metrics.hls.disk_segments.inc();
        let now = Instant::now();
        if let Some(stream) = self.streams.get_mut(key) {
            // A playlist counts its segments without gaps: behind one that is missing it begins anew.
            if is_first || stream.next_number != Some(segment.entry.number) {
                stream.window.retire_all(now);
                stream.target_s = target_s;
            }
            stream.next_number = Some(segment.entry.number + 1);
            stream.window.push(OnDisk { entry: segment.entry, path }, keep.length, target_s, now);
        }
        self.write_playlist(key, false)
    }

    /// Tells that a segment is in its file, and in the playlist.
    fn tell(&self, key: &StreamKey, session: &str, entry: &Entry) {
        let path = |file| self.names.path(key, file).ok().map(|path| self.names.directory().join(path));
        let (file, playlist) = (path(entry.file()), path(File::Playlist));
        tell(&self.hooks, key, session, entry, file.as_deref(), playlist.as_deref());
    }

    /// Makes the names of its files those of the stream.
    fn claim(&mut self, key: &StreamKey, keep: Keep, target_s: u64) -> Result<(), WriteError> {
        if self.streams.contains_key(key) {
            return Ok(());
        }
        let playlist = self.names.path(key, File::Playlist)?;
        let claimed = [playlist.clone(), self.names.segments(key)];
        if claimed.iter().any(|path| self.owners.get(path).is_some_and(|owner| owner != key)) {
            return Err(WriteError::Taken);
        }
        self.owners.extend(claimed.map(|path| (path, key.clone())));
        let stream = StreamFiles {
            playlist,
            keep,
            target_s,
            window: Window::new(),
            initialisations: Vec::new(),
            next_number: None,
        };
        self.streams.insert(key.clone(), stream);
        Ok(())
    }

    fn put_initialisation(&mut self, key: &StreamKey, initialisation: &Initialisation) -> Result<(), WriteError> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if stream.initialisations.iter().any(|(number, _)| *number == initialisation.number) {
            return Ok(());
        }
        let path = self.names.path(key, File::Init(initialisation.number))?;
        self.files.write(&self.names.directory().join(&path), initialisation.body.bytes())?;
        stream.initialisations.push((initialisation.number, path));
        Ok(())
    }

    fn write_playlist(&mut self, key: &StreamKey, has_ended: bool) -> Result<(), WriteError> {
        let Some(stream) = self.streams.get(key) else { return Ok(()) };
        let from = &stream.playlist;
        let text = stream.window.playlist(stream.target_s, has_ended, |segment| {
            let number = segment.entry.initialisation;
            let initialisation = stream.initialisations.iter().find(|(other, _)| Some(*other) == number);
            (uri(from, &segment.path), initialisation.map(|(_, path)| uri(from, path)))
        });
        if let Some(text) = text {
            self.files.write(&self.names.directory().join(from), text.as_bytes())?;
        }
        Ok(())
    }

    /// Removes all files of a stream.
    fn dispose(&mut self, key: &StreamKey) {
        let Some(mut stream) = self.streams.remove(key) else { return };
        self.owners.retain(|_, owner| owner != key);
        if !stream.keep.cleanup {
            return;
        }
        let segments = stream.window.take_all().into_iter().map(|segment| segment.path);
        let initialisations = stream.initialisations.into_iter().map(|(_, path)| path);
        // The playlist first: it must not name what is gone.
        let paths: Vec<String> = std::iter::once(stream.playlist).chain(segments).chain(initialisations).collect();
        for path in &paths {
            self.remove(path);
        }
        for path in &paths {
            files::remove_empty_directories(&self.names.directory().join(path), self.names.directory());
        }
    }

    /// Removes what has been kept for long enough.
    fn tidy(&mut self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        for stream in self.streams.values_mut() {
            let segments = stream.window.take_expired(now);
            if stream.keep.cleanup {
                expired.extend(segments.into_iter().map(|segment| segment.path));
                expired.extend(stream.take_unused_initialisations());
            }
        }
        expired.iter().for_each(|path| self.remove(path));
        if let Some(stay) = self.leftovers_stay.filter(|_| !self.leftovers.is_empty()) {
            let playlists: Vec<&str> = self.streams.values().map(|stream| stream.playlist.as_str()).collect();
            let removed = self.leftovers.remove(self.names.directory(), stay, |path| playlists.contains(&path));
            if removed > 0 {
                tracing::info!(files = removed, "removed what an earlier process has left of HLS");
            }
        }
    }

    fn remove(&self, relative: &str) {
        let path: PathBuf = self.names.directory().join(relative);
        if let Err(error) = files::remove(&path) {
            self.metrics.hls.disk_errors(files::reason(&error)).inc();
            tracing::debug!(path = %path.display(), %error, "a file of HLS cannot be removed");
        }
    }

    /// Counts what failed, and says it now and then; and that all is well again.
    fn note(&mut self, key: &StreamKey, result: Result<(), WriteError>) {
        let error = match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!(directory = %self.names.directory().display(), "files of HLS are written again");
                }
                return;
            }
            Err(error) => error,
        };
        let reason = error.reason();
        self.metrics.hls.disk_errors(reason).inc();
        if self.trouble.is_none_or(|since| since.elapsed() >= LOG_EVERY) {
            self.trouble = Some(Instant::now());
            let directory = self.names.directory().display();
            tracing::warn!(stream = %key, %directory, reason = reason.label(), %error, "a file of HLS was not written");
        }
    }
}

impl StreamFiles {
    /// Takes out the initialisations that no segment needs any more, but the newest.
    fn take_unused_initialisations(&mut self) -> Vec<String> {
        let used: Vec<u64> = self.window.newest_first().filter_map(|segment| segment.entry.initialisation).collect();
        let newest = self.initialisations.last().map(|(number, _)| *number);
        let is_unused = |(number, _): &mut (u64, String)| !used.contains(number) && Some(*number) != newest;
        self.initialisations.extract_if(.., is_unused).map(|(_, path)| path).collect()
    }
}
