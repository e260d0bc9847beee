//! The configuration in force: its one owner, from the start of the server to its end.
//!
//! Owns the sources, what an operator has laid over them, and the way from a change of either to what is in force: load,
//! check as a whole, keep what only a restart changes, put the rest into force. Signals, the watch on the files and the
//! admin port call it; one change is made after the other. An invalid configuration changes nothing.

mod effect;
mod parts;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::admin::{Configuration, InForce, Pending, Reloaded};
use crate::config::{
    Attempt, Config, ConfigError, Fingerprints, Live, Loaded, Mistake, Overlay, OverlayFormat, Sources, Stamp,
};
use crate::metrics::Metrics;

use effect::needs_restart;
pub(super) use parts::Parts;
pub use parts::SetLogLevel;
pub(super) use watch::watch;

/// The owner. Clones are the same.
#[derive(Clone)]
pub(super) struct Reload {
    shared: Arc<Shared>,
}

struct Shared {
    sources: Sources,
    live: Live,
    /// What the process was started with: what cannot change has the values that stand there.
    started: Loaded,
    parts: Parts,
    metrics: Arc<Metrics>,
    fingerprints: Arc<Fingerprints>,
    state: Mutex<State>,
}

struct State {
    overlay: Option<Overlay>,
    in_force: Loaded,
    /// What the sources say, whatever may be in force of it.
    wanted: Loaded,
    pending: Vec<String>,
    since: SystemTime,
    failure: Option<ConfigError>,
    /// The files that were read last.
    files: Vec<PathBuf>,
    /// What they held then.
    stamp: Stamp,
}

/// What is to become of what is laid over the sources.
enum Change {
    /// It stays.
    None,
    /// What is written here takes its place.
    Lay(Bytes, OverlayFormat),
    /// It goes.
    TakeAway,
}

impl Reload {
    /// The owner of what was loaded from `sources` at the start and is in force in `live`.
    pub(super) fn new(sources: Sources, started: Loaded, live: Live, parts: Parts, metrics: Arc<Metrics>) -> Self {
        let state = State {
            overlay: None,
            in_force: started.clone(),
            wanted: started.clone(),
            pending: Vec::new(),
            since: SystemTime::now(),
            failure: None,
            files: Vec::new(),
            // Of nothing: what has changed between loading and the first look is seen then.
            stamp: Stamp::default(),
        };
        let fingerprints = Arc::default();
        let shared = Shared { sources, live, started, parts, metrics, fingerprints, state: Mutex::new(state) };
        Self { shared: Arc::new(shared) }
    }

    /// Loads the sources again.
    pub(super) async fn again(&self, cause: &'static str) -> Result<Vec<String>, ConfigError> {
        self.change(Change::None, cause).await
    }

    /// Loads the sources again if their files hold something else than they did.
    async fn if_changed(&self) {
        let files = self.shared.state.lock().await.files.clone();
        self.settle(files).await;
        let mut state = self.shared.state.lock().await;
        // Looked at once more, now that nobody else loads them: somebody may have done so meanwhile.
        let files = state.files.clone();
        if self.stamp(files).await.is_some_and(|stamp| stamp != state.stamp) {
            // What is wrong has been said.
            let _ = self.change_in(&mut state, Change::None, "the files have changed").await;
        }
    }

    /// The directories to watch.
    async fn directories(&self) -> Vec<PathBuf> {
        let files = self.shared.state.lock().await.files.clone();
        let sources = self.shared.sources.clone();
        spawn_blocking(move || sources.directories(&files)).await.unwrap_or_default()
    }

    /// Waits until the files stay the same for a moment, so that none is read that is being written; but not for ever.
    async fn settle(&self, files: Vec<PathBuf>) {
        let mut last = None;
        for _ in 0..watch::SETTLE_ATTEMPTS {
            let stamp = self.stamp(files.clone()).await;
            if stamp == last {
                return;
            }
            last = stamp;
            tokio::time::sleep(watch::SETTLE).await;
        }
    }

    async fn stamp(&self, files: Vec<PathBuf>) -> Option<Stamp> {
        let sources = self.shared.sources.clone();
        spawn_blocking(move || sources.stamp(&files)).await.ok()
    }

    /// Makes one change, or says why not. Returns the keys that have changed.
    async fn change(&self, change: Change, cause: &'static str) -> Result<Vec<String>, ConfigError> {
        let mut state = self.shared.state.lock().await;
        self.change_in(&mut state, change, cause).await
    }

    async fn change_in(
        &self,
        state: &mut State,
        change: Change,
        cause: &'static str,
    ) -> Result<Vec<String>, ConfigError> {
        let overlay = match change {
            Change::None => state.overlay.clone(),
            Change::TakeAway => None,
            Change::Lay(text, format) => match Overlay::parse(&text, format) {
                Ok(overlay) => Some(overlay),
                Err(error) => return Err(self.refuse(state, error, cause)),
            },
        };
        let (sources, files, laid) = (self.shared.sources.clone(), state.files.clone(), overlay.clone());
        let loaded = spawn_blocking(move || load(&sources, files, laid.as_ref())).await;
        let Ok((Attempt { result, files }, stamp)) = loaded else {
            let message = "the configuration could not be read: the process is ending".to_owned();
            return Err(ConfigError { mistakes: vec![Mistake { source: None, key: None, message }] });
        };
        (state.files, state.stamp) = (files, stamp);
        match result {
            Ok(wanted) => {
                self.shared.metrics.operating.note_reload(true);
                (state.overlay, state.failure) = (overlay, None);
                Ok(self.put_into_force(state, wanted, cause))
            }
            Err(error) => Err(self.refuse(state, error, cause)),
        }
    }

    /// Says everywhere why a change is not made.
    fn refuse(&self, state: &mut State, error: ConfigError, cause: &'static str) -> ConfigError {
        for mistake in &error.mistakes {
            tracing::error!(%mistake, cause, "the configuration is invalid; the old one stays in force");
        }
        self.shared.metrics.operating.note_reload(false);
        state.failure = Some(error.clone());
        error
    }

    fn put_into_force(&self, state: &mut State, wanted: Loaded, cause: &'static str) -> Vec<String> {
        let started = &self.shared.started;
        let mut next = wanted.clone();
        let different = started.config.differences(&wanted.config);
        let pending: Vec<String> =
            different.into_iter().filter(|key| needs_restart(key, &started.config, &wanted.config)).collect();
        next.config.keep(&pending, &started.config);
        next.provenance.keep(&pending, &started.provenance);
        let changed = next.config.differences(&state.in_force.config);
        if !changed.is_empty() {
            self.shared.live.replace(next.config.clone());
            self.shared.parts.follow(&next.config, &changed);
            state.since = SystemTime::now();
        }
        if changed.is_empty() && pending == state.pending {
            tracing::debug!(cause, "the configuration has been loaded again; it is the same");
        } else {
            tracing::info!(cause, ?changed, needs_restart = ?pending, "the configuration has been loaded again");
        }
        (state.in_force, state.wanted, state.pending) = (next, wanted, pending);
        changed
    }

    async fn answer(&self, change: Change, cause: &'static str) -> Result<Reloaded, ConfigError> {
        let changed = self.change(change, cause).await?;
        let state = self.shared.state.lock().await;
        let (config, pending) = (state.in_force.config.clone(), state.pending.clone());
        drop(state);
        Ok(Reloaded { hash: self.hash(config).await, changed, pending })
    }

    async fn hash(&self, config: Config) -> String {
        let fingerprints = Arc::clone(&self.shared.fingerprints);
        spawn_blocking(move || fingerprints.of(&config)).await.unwrap_or_default()
    }
}

/// Loads the sources, and takes the stamp of their files as they were no later than that. Blocks.
fn load(sources: &Sources, mut files: Vec<PathBuf>, overlay: Option<&Overlay>) -> (Attempt, Stamp) {
    let mut stamp = sources.stamp(&files);
    let mut attempt = sources.load(overlay);
    if attempt.files != files {
        // Other files than last time: they are stamped before they are read.
        files.clone_from(&attempt.files);
        stamp = sources.stamp(&files);
        attempt = sources.load(overlay);
    }
    (attempt, stamp)
}

impl Configuration for Reload {
    fn show(&self) -> BoxFuture<'_, InForce> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let settings = state.wanted.config.settings();
            let pending = state.pending.iter().filter_map(|name| {
                let (section, key) = name.split_once('.')?;
                let wanted = settings.iter().find(|setting| (setting.section, setting.key) == (section, key))?;
                let source = state.wanted.provenance.source_of(section, key);
                Some(Pending { key: name.clone(), wanted: wanted.value.clone(), source })
            });
            let pending = pending.collect();
            let (loaded, is_overlaid, since) = (state.in_force.clone(), state.overlay.is_some(), state.since);
            let failure = state.failure.clone();
            drop(state);
            let hash = self.hash(loaded.config.clone()).await;
            InForce { loaded, hash, is_overlaid, pending, since, failure }
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        Box::pin(self.answer(Change::None, "POST /api/v1/reload"))
    }

    fn lay_over(&self, text: Bytes, format: OverlayFormat) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        Box::pin(self.answer(Change::Lay(text, format), "PUT /api/v1/config"))
    }

    fn take_away(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        Box::pin(self.answer(Change::TakeAway, "DELETE /api/v1/config"))
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reload").field("sources", &self.shared.sources).finish_non_exhaustive()
    }
}
