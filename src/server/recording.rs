//! The recorder put into a server: told of sessions, running on the shards, ended with the connections.
//!
//! Owns the moment at which it begins: when the first configuration comes into force that records anything. A server that
//! records nothing has neither its threads nor its search for files.

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Live};
use crate::dvr::{Library, Recorder, SpawnOnShard};
use crate::hooks::Hooks;
use crate::hub::{Following, OnSession};
use crate::metrics::Metrics;

use super::shards::Shards;

/// The recorder, once there is one. Clones share it.
#[derive(Clone)]
pub(super) struct Recording {
    shared: Arc<Shared>,
}

struct Shared {
    config: Live,
    metrics: Arc<Metrics>,
    /// Told of what is complete.
    hooks: Hooks,
    shards: Weak<Shards>,
    /// What it does is waited for with them.
    connections: TaskTracker,
    stop: CancellationToken,
    recorder: OnceLock<Recorder>,
    library: Arc<OnceLock<Library>>,
    /// Held while it begins.
    beginning: Mutex<()>,
}

impl Recording {
    /// Nothing is recorded yet.
    pub(super) fn new(
        config: Live,
        metrics: Arc<Metrics>,
        hooks: Hooks,
        shards: &Arc<Shards>,
        connections: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let shared = Shared {
            config,
            metrics,
            hooks,
            shards: Arc::downgrade(shards),
            connections,
            stop,
            recorder: OnceLock::new(),
            library: Arc::default(),
            beginning: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins if `config` records anything and it has not begun. To be called within the runtime that is to look after
    /// the files.
    pub(super) fn begin_if_wanted(&self, config: &Config) -> io::Result<()> {
        let shared = &self.shared;
        let _one_at_a_time = shared.beginning.lock();
        if !config.records_anything() || shared.recorder.get().is_some() {
            return Ok(());
        }
        let (shards, tasks) = (shared.shards.clone(), shared.connections.clone());
        let spawn: SpawnOnShard = Box::new(move |task| {
            if let Some(shards) = shards.upgrade() {
                shards.spawn(|shard| tasks.track_future(task(shard)));
            }
        });
        let (metrics, hooks, stop) = (Arc::clone(&shared.metrics), shared.hooks.clone(), shared.stop.clone());
        let recorder = Recorder::new(shared.config.clone(), metrics, hooks, spawn, stop)?;
        shared.connections.spawn(recorder.clone().keep());
        // Nobody else sets them: the lock is held.
        let _ = shared.library.set(recorder.library().clone());
        let _ = shared.recorder.set(recorder);
        Ok(())
    }

    /// The recordings, once there may be any.
    pub(super) fn library(&self) -> Arc<OnceLock<Library>> {
        Arc::clone(&self.shared.library)
    }
}

impl OnSession for Recording {
    fn began(&self, session: Following) {
        if let Some(recorder) = self.shared.recorder.get() {
            recorder.began(session);
        }
    }
}
