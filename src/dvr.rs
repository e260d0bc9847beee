//! Recordings: what is published to an origin, as files.
//!
//! Owns the way from a publish session to files on a disk, and the files from then on. The server names the [`Recorder`] to the
//! hub, which tells it of every session; the admin port asks the [`Library`]. The live path is read by a tap and never waits
//! for a disk: what the disk does not take in time is dropped from the recording, and counted.
//!
//! A task a stream (`follower`) gathers packets and hands them to threads for disks (`disk`), where a `writer` decides
//! where recordings begin and end, a `container` makes bytes, and a `file` gets its name when it is complete. Everything is
//! found again by the files alone (`scan`), and deleted by rules (`retention`).

mod card;
mod container;
mod disk;
mod file;
mod follower;
mod library;
mod name;
mod retention;
mod scan;
mod space;
mod writer;

#[cfg(test)]
mod bench;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::config::Live;
use crate::hooks::Hooks;
use crate::hub::{Following, OnSession, ShardId};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, RecordingError};

use disk::Disk;
use follower::{Context, follow};
pub use library::{Filter, Library, LibraryError, Page, Reading, Recording};

/// Threads that write. So many writes may hang before all recordings do.
const WRITING_THREADS: usize = 8;
/// Threads that read, search and delete.
const READING_THREADS: usize = 4;
/// How often the rules of retention are followed, beside the moments at which a recording becomes complete.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often files are tried again that could not be completed, in sweeps.
const RETRY_EVERY: u32 = 10;
/// How many sessions of one stream may begin while one of them ends.
const MAX_SESSIONS_AHEAD: usize = 16;

/// A task for a stream, made for the shard that it will run on.
pub type Task = Box<dyn FnOnce(ShardId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
/// Runs a task on some shard.
pub type SpawnOnShard = Box<dyn Fn(Task) + Send + Sync>;

/// Records what is published. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    config: Live,
    library: Library,
    disk: Disk,
    spawn: SpawnOnShard,
    stop: CancellationToken,
    /// The streams that are being followed, and the way to their tasks.
    followed: Mutex<HashMap<StreamKey, mpsc::Sender<Following>>>,
}

impl Recorder {
    /// A recorder that runs a task for each stream by `spawn`, until `stop`. What is complete is told to `hooks`.
    ///
    /// # Errors
    ///
    /// If threads cannot be started.
    pub fn new(
        config: Live,
        metrics: Arc<Metrics>,
        hooks: Hooks,
        spawn: SpawnOnShard,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let library = Library::new(config.clone(), metrics, Disk::start("dvr-read", READING_THREADS)?);
        library.tell_of_recordings(hooks);
        let disk = Disk::start("dvr-write", WRITING_THREADS)?;
        let shared = Shared { config, library, disk, spawn, stop, followed: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The recordings.
    pub fn library(&self) -> &Library {
        &self.shared.library
    }

    /// Finds the recordings that there are, and then has the rules of retention followed, until the recorder stops.
    pub async fn keep(self) {
        let library = &self.shared.library;
        let mut searched = library.config().recording_paths();
        let searching = library.clone();
        tokio::select! {
            found = library.disk().run(move || scan::scan(&searching)) => if found.is_err() { return },
            () = self.shared.stop.cancelled() => return,
        }
        tracing::info!(recordings = library.list(&Filter::default(), 0, 0).total, "looked through the recordings");
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeps = 0_u32;
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = library.changed() => {}
                _ = ticks.tick() => sweeps = sweeps.wrapping_add(1),
            }
            let paths = library.config().recording_paths();
            let moved = std::mem::replace(&mut searched, paths) != searched;
            let (sweeping, retries) = (library.clone(), sweeps.is_multiple_of(RETRY_EVERY));
            let swept = library.disk().run(move || {
                if moved {
                    // A reload names other places, where there may be recordings already.
                    scan::scan(&sweeping);
                }
                if retries {
                    complete_leftovers(&sweeping);
                }
                sweeping.sweep();
            });
            tokio::select! {
                swept = swept => if swept.is_err() { return },
                () = self.shared.stop.cancelled() => return,
            }
        }
    }

    /// Takes the task of a stream off the list, unless there is another session for it.
    fn leave(&self, key: &StreamKey, sessions: &mut mpsc::Receiver<Following>) -> Option<Following> {
        let mut followed = self.shared.followed.lock();
        // Sent under this lock, so that none can come behind this look.
        let next = sessions.try_recv().ok().filter(|_| !self.shared.stop.is_cancelled());
        if next.is_none() {
            followed.remove(key);
        }
        next
    }
}

/// Tries again to complete what could not be completed.
fn complete_leftovers(library: &Library) {
    for path in library.take_leftovers() {
        if let Err(error) = scan::complete(library, &path) {
            tracing::debug!(path = %path.display(), %error, "a recording is completed later");
            library.leave(path);
        }
    }
}

impl OnSession for Recorder {
    fn began(&self, session: Following) {
        let shared = &self.shared;
        let key = session.key().clone();
        let config = shared.config.current();
        let settings = config.dvr_for(key.app());
        if !settings.enabled || shared.stop.is_cancelled() {
            return;
        }
        let mut followed = shared.followed.lock();
        let (sender, sessions) = mpsc::channel(MAX_SESSIONS_AHEAD);
        match followed.entry(key.clone()) {
            Entry::Occupied(known) => {
                if known.get().try_send(session).is_err() {
                    tracing::warn!(stream = %key, "the disk is too slow; a session is not recorded");
                    shared.library.metrics().dvr.errors(RecordingError::Failed).inc();
                }
                return;
            }
            Entry::Vacant(place) => {
                // A channel without anything in it takes one.
                let _ = sender.try_send(session);
                place.insert(sender);
            }
        }
        drop(followed);
        let context = Context {
            library: shared.library.clone(),
            disk: shared.disk.clone(),
            settings: Arc::new(settings),
            resume_timeout: config.publish_for(key.app()).resume_timeout,
            stop: shared.stop.clone(),
        };
        let recorder = self.clone();
        (shared.spawn)(Box::new(move |shard| {
            Box::pin(follow(context, shard, sessions, move |sessions| recorder.leave(&key, sessions)))
        }));
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("streams", &self.shared.followed.lock().len()).finish_non_exhaustive()
    }
}
