//! Segments and playlists as files, for nginx and the like.
//!
//! Owns the directory `hls.path`, and the one thread that writes to it. Packagers hand it segments and go on at once: what does
//! not fit into its queue, because the disk is slow or stuck, is left out there, and nobody else notices.

mod files;
mod leftovers;
mod names;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::Hls;
use crate::hooks::Hooks;
use crate::hub::Identity;
use crate::media::stream_key::StreamKey;
use crate::metrics::{HlsDiskError, Metrics};

use super::packer::Packed;
use super::segment::Segment;
use names::Names;
use worker::Worker;

/// The most that waits to be written: bytes of segments, and their number.
const QUEUE_BYTES: usize = 64 << 20;
const QUEUE_SEGMENTS: usize = 1_024;
/// How often it is logged that the disk is in trouble.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What the thread is to do.
enum Job {
    Put { key: StreamKey, keep: Keep, session: String, segment: Arc<Segment>, is_first: bool, target_s: u64 },
    End { key: StreamKey },
    Dispose { key: StreamKey },
    Stop { done: oneshot::Sender<()> },
}

/// How long files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keep {
    /// How much of the stream a playlist names.
    pub(super) length: Duration,
    /// Whether files are removed that no playlist names any more.
    pub(super) cleanup: bool,
}

/// The directory. Clones are the same.
#[derive(Clone)]
pub(super) struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: mpsc::Sender<Job>,
    waiting: Waiting,
    metrics: Arc<Metrics>,
    logged_at: Mutex<Option<Instant>>,
}

/// What waits to be written.
#[derive(Debug, Clone, Default)]
struct Waiting {
    bytes: Arc<AtomicUsize>,
    segments: Arc<AtomicUsize>,
}

impl Waiting {
    fn enter(&self, bytes: usize) -> bool {
        let has_room = self.bytes.load(Ordering::Relaxed) + bytes <= QUEUE_BYTES
            && self.segments.load(Ordering::Relaxed) < QUEUE_SEGMENTS;
        // Packagers on several shards may pass the bound together, by a segment each.
        if has_room {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.segments.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn leave(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.segments.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Disk {
    /// Starts to write below `hls.path`, if there is one, and to tell `hooks` of it. Whether anything can be written there is seen when it is tried.
    pub(super) fn start(hls: &Hls, metrics: Arc<Metrics>, hooks: Hooks) -> std::io::Result<Option<Self>> {
        let Some(directory) = &hls.path else { return Ok(None) };
        let (jobs, queue) = mpsc::channel();
        let waiting = Waiting::default();
        let names = Names::new(directory.clone(), hls.m3u8_file.clone(), hls.ts_file.clone());
        let leftovers_stay = hls.cleanup.then(|| hls.dispose.max(hls.window * 2));
        let worker = Worker::new(names, leftovers_stay, waiting.clone(), Arc::clone(&metrics), hooks);
        std::thread::Builder::new().name("hls-disk".to_owned()).spawn(move || worker.run(&queue))?;
        let shared = Shared { jobs, waiting, metrics, logged_at: Mutex::new(None) };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// The place of one stream.
    pub(super) fn volume(&self, key: StreamKey, keep: Keep) -> Volume {
        Volume { disk: self.clone(), key, keep, session: Mutex::default() }
    }

    /// Writes what waits and ends, if that takes no longer than `patience`.
    pub(super) async fn stop(&self, patience: Duration) {
        let (done, written) = oneshot::channel();
        self.send(Job::Stop { done });
        if tokio::time::timeout(patience, written).await.is_err() {
            tracing::warn!("files of HLS were not all written");
        }
    }

    fn send(&self, job: Job) {
        // The thread is gone only when the server stops.
        let _ = self.shared.jobs.send(job);
    }

    fn note_slowness(&self, key: &StreamKey) {
        self.shared.metrics.hls.disk_errors(HlsDiskError::Slow).inc();
        let mut logged_at = self.shared.logged_at.lock();
        if logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged_at = Some(Instant::now());
            tracing::warn!(stream = %key, "the disk takes segments of HLS more slowly than they come; some are left out");
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("waiting", &self.shared.waiting).finish_non_exhaustive()
    }
}

/// The files of one stream.
#[derive(Debug)]
pub(super) struct Volume {
    disk: Disk,
    key: StreamKey,
    keep: Keep,
    /// What is being written.
    session: Mutex<String>,
}

impl Volume {
    /// Notes of which publish session the next segments are.
    pub(super) fn note_session(&self, session: &Identity) {
        *self.session.lock() = session.to_string();
    }

    /// Has a segment and the playlist written. Never waits.
    pub(super) fn put(&self, packed: &Packed) {
        let bytes = packed.segment.entry.bytes;
        if !self.disk.shared.waiting.enter(bytes) {
            self.disk.note_slowness(&self.key);
            return;
        }
        let Packed { segment, is_first, target_s } = packed;
        let (key, session, segment) = (self.key.clone(), self.session.lock().clone(), Arc::clone(segment));
        self.disk.send(Job::Put { key, keep: self.keep, session, segment, is_first: *is_first, target_s: *target_s });
    }

    /// Says that no segment will follow.
    pub(super) fn end(&self) {
        self.disk.send(Job::End { key: self.key.clone() });
    }

    /// Has all files removed.
    pub(super) fn dispose(&self) {
        self.disk.send(Job::Dispose { key: self.key.clone() });
    }
}

#[cfg(test)]
mod tests;
