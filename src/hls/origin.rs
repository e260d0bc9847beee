//! What an origin has of HLS: the streams that are published to it.
//!
//! Owns which streams are packaged. The hub tells it of publish sessions, the HTTP server and edges ask it for files; it starts a
//! packager where one is needed, and there is never more than one for a stream.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Hls, Live};
use crate::hooks::Hooks;
use crate::hub::{Following, OnSession, ShardId, WeakHub};
use crate::media::stream_key::StreamKey;
use crate::metrics::Metrics;

use super::cutter::Lengths;
use super::disk::{Disk, Keep};
use super::library::{Absent, Library, Object};
use super::memory::{Memory, Room};
use super::numbers::Numbers;
use super::packager::{Over, Packager, Progress, Times, now};
use super::packer::{Means, Packer};
use super::resource::{File, Resource};
use super::shelf::Shelf;

/// How long a player is kept waiting beyond the time that a first segment may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a task on a shard that it is told.
pub type SpawnOnShard = Box<dyn Fn(Box<dyn FnOnce(ShardId) -> BoxFuture<'static, ()> + Send>) + Send + Sync>;

/// Packages the streams that are published here. Clones are the same.
#[derive(Clone)]
pub struct OriginLibrary {
    shared: Arc<Shared>,
}

struct Shared {
    config: Live,
    hub: WeakHub,
    streams: DashMap<StreamKey, Arc<Packaged>>,
    means: Means,
    /// Started when the first stream is packaged.
    disk: OnceLock<Option<Disk>>,
    spawn: SpawnOnShard,
    stop: CancellationToken,
}

/// A stream that is packaged.
struct Packaged {
    shelf: Arc<Shelf>,
    sessions: mpsc::UnboundedSender<Following>,
    /// Told of every change of the shelf, until the packager is gone.
    changes: watch::Receiver<()>,
    patience: Duration,
}

impl OriginLibrary {
    /// Packages as `config` says the streams of `hub`, in tasks run by `spawn` until `stop`. Segments are told to `hooks`.
    ///
    /// # Errors
    ///
    /// The thread that writes to `hls.path` cannot be started. What is wrong with the directory itself is no error, and
    /// is tried again with every segment.
    pub fn new(
        config: Live,
        hub: WeakHub,
        metrics: Arc<Metrics>,
        hooks: Hooks,
        spawn: SpawnOnShard,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let current = config.current();
        let hls = current.hls();
        let memory = Memory::new(hls.memory_bytes as u64, metrics.hls.memory_bytes.clone());
        let disk = OnceLock::new();
        if current.has_hls() {
            // What was left behind is looked after at once.
            let _ = disk.set(Disk::start(hls, Arc::clone(&metrics), hooks.clone())?);
        }
        let means = Means { memory, numbers: Arc::new(Numbers::default()), metrics, hooks };
        let shared = Shared { config, hub, streams: DashMap::new(), means, disk, spawn, stop };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Writes to disk what waits for it, for `patience` at most. To be called when the packagers have ended.
    pub async fn stop(&self, patience: Duration) {
        if let Some(Some(disk)) = self.shared.disk.get() {
            disk.stop(patience).await;
        }
    }

    /// Has all segments in memory together take so many bytes at most, from now on.
    pub fn limit_memory(&self, bytes: u64) {
        self.shared.means.memory.limit(bytes);
    }

    /// Where files go, if they go anywhere.
    fn disk(&self) -> Option<&Disk> {
        let shared = &self.shared;
        let start = || {
            let started = Disk::start(
                shared.config.current().hls(),
                Arc::clone(&shared.means.metrics),
                shared.means.hooks.clone(),
            );
            started.unwrap_or_else(|error| {
                tracing::error!(%error, "cannot start to write files of HLS");
                None
            })
        };
        shared.disk.get_or_init(start).as_ref()
    }

    /// The stream as it is packaged, from now on if it was not.
    fn packaged(&self, key: &StreamKey) -> Result<Arc<Packaged>, Absent> {
        if let Some(packaged) = self.shared.streams.get(key) {
            // Asked for under the map's lock, so that it does not end of idleness meanwhile.
            packaged.shelf.ask(now());
            return Ok(Arc::clone(&packaged));
        }
        let hls = self.shared.config.current().hls_for(key.app());
        if !hls.enabled {
            return Err(Absent::Unsupported("HLS is turned off for this stream".to_owned()));
        }
        let session = self.shared.hub.upgrade().and_then(|hub| hub.follow(key)).ok_or(Absent::NoStream)?;
        let packaged = self.package(session.clone(), &hls)?;
        // One that has begun meanwhile was told of when there was no packager.
        let current = self.shared.hub.upgrade().and_then(|hub| hub.follow(key));
        if let Some(current) = current.filter(|current| current.session() != session.session()) {
            let _ = packaged.sessions.send(current);
        }
        Ok(packaged)
    }

    /// Starts to package a session, unless its stream is packaged already.
    fn package(&self, session: Following, hls: &Hls) -> Result<Arc<Packaged>, Absent> {
        let shared = &self.shared;
        let key = session.key().clone();
        let vacant = match shared.streams.entry(key.clone()) {
            Entry::Occupied(packaged) => {
                packaged.get().shelf.ask(now());
                return Ok(Arc::clone(packaged.get()));
            }
            Entry::Vacant(vacant) => vacant,
        };
        if shared.means.memory.room() == Room::None {
            tracing::warn!(stream = %key, "the stream is not packaged: the segments of others take all of hls.memory_bytes");
            return Err(Absent::Full);
        }
        let longest = hls.aof_ratio.of(hls.fragment);
        let (sender, sessions) = mpsc::unbounded_channel();
        let (changed, changes) = watch::channel(());
        let memory = Arc::clone(&shared.means.memory);
        let shelf = Arc::new(Shelf::new(key.clone(), hls.window, hls.fragment / 2, memory, now()));
        let packaged =
            Arc::new(Packaged { shelf: Arc::clone(&shelf), sessions: sender, changes, patience: longest + PATIENCE });
        // It is received before anything else.
        let _ = packaged.sessions.send(session);
        vacant.insert(Arc::clone(&packaged));

        let (library, packer, times) = (self.clone(), self.packer(hls), self.times(&key, hls));
        let keep = Keep { length: hls.window, cleanup: hls.cleanup };
        let volume = self.disk().map(|disk| disk.volume(key.clone(), keep));
        (shared.spawn)(Box::new(move |shard| {
            let packager = Packager {
                shard,
                shelf,
                packer,
                means: library.shared.means.clone(),
                times,
                volume,
                sessions,
                changed,
                stop: library.shared.stop.clone(),
                progress: Progress::default(),
            };
            Box::pin(library.run(key, packager, times))
        }));
        Ok(packaged)
    }

    /// Runs a packager, and forgets the stream in the moment in which it ends.
    async fn run(self, key: StreamKey, packager: Packager, times: Times) {
        let shelf = Arc::clone(&packager.shelf);
        let streams = &self.shared.streams;
        let may_end = |over, sessions: &mpsc::UnboundedReceiver<Following>| {
            // Sessions and players come under the map's lock, too.
            let is_over = || match over {
                Over::Idle => times.idle.is_some_and(|idle| now().saturating_duration_since(shelf.asked_at()) >= idle),
                Over::Disposed | Over::Stopped => sessions.is_empty(),
            };
            streams.remove_if(&key, |_, packaged| Arc::ptr_eq(&packaged.shelf, &shelf) && is_over()).is_some()
        };
        packager.run(may_end).await;
    }

    fn packer(&self, hls: &Hls) -> Packer {
        let longest = hls.aof_ratio.of(hls.fragment);
        let target = hls.td_ratio.of(hls.fragment);
        let lengths = Lengths::new(hls.fragment, longest, target, hls.wait_keyframe);
        Packer::new(lengths, hls.format, self.shared.means.clone())
    }

    fn times(&self, key: &StreamKey, hls: &Hls) -> Times {
        let config = self.shared.config.current();
        Times {
            resume: config.publish_for(key.app()).resume_timeout,
            dispose: hls.dispose,
            idle: self.is_on_demand(hls).then_some(hls.idle),
            is_one_of_several: !config.cluster.peers.is_empty(),
        }
    }

    /// Whether a stream is packaged only once somebody has asked for it. Who reads files does not ask.
    fn is_on_demand(&self, hls: &Hls) -> bool {
        hls.on_demand && self.shared.config.current().hls().path.is_none()
    }

    /// A playlist, once there is one.
    async fn playlist(&self, resource: &Resource) -> Result<Object, Absent> {
        let packaged = self.packaged(&resource.key)?;
        let mut changes = packaged.changes.clone();
        let found = timeout(packaged.patience, async {
            loop {
                // What changes from now on is not missed.
                changes.borrow_and_update();
                match packaged.shelf.playlist(resource.file) {
                    Err(Absent::NotYet) => {}
                    found => return found,
                }
                if changes.changed().await.is_err() {
                    return Err(Absent::NoStream);
                }
            }
        });
        found.await.unwrap_or(Err(Absent::NotYet))
    }

    fn segment(&self, resource: &Resource) -> Result<Object, Absent> {
        let packaged = self.shared.streams.get(&resource.key).map(|packaged| Arc::clone(&packaged));
        let Some(packaged) = packaged else { return Err(Absent::NoStream) };
        packaged.shelf.ask(now());
        packaged.shelf.segment(resource.file)
    }
}

impl Library for OriginLibrary {
    fn find<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Object, Absent>> {
        Box::pin(async move {
            match resource.file {
                File::Master | File::Playlist => self.playlist(resource).await,
                File::Init(_) | File::Fragments(_) | File::TransportStream(_) => self.segment(resource),
            }
        })
    }
}

impl OnSession for OriginLibrary {
    fn began(&self, session: Following) {
        let hls = self.shared.config.current().hls_for(session.key().app());
        if !hls.enabled {
            return;
        }
        if let Some(packaged) = self.shared.streams.get(session.key()) {
            // The packager cannot end while the map is held.
            let _ = packaged.sessions.send(session);
            return;
        }
        if !self.is_on_demand(&hls) {
            // What is wrong was said.
            let _ = self.package(session, &hls);
        }
    }
}

impl fmt::Debug for OriginLibrary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OriginLibrary").field("streams", &self.shared.streams.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
