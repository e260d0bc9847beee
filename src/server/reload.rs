//! The configuration in force: its one owner, from the start of the server to its end.
//!
//! Owns the sources, what an operator has laid over them, and the way from a change of either to what is in force: load,
//! check as a whole, keep what only a restart changes, put the rest into force. Signals, the watch on the files and the
//! admin port call it; one change is made after the other. An invalid configuration changes nothing.

mod effect;
mod parts;
mod reader;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::admin::{Configuration, InForce, Pending, Reloaded};
use crate::config::{
    Config, ConfigError, Fingerprints, Live, Loaded, Mistake, OVERLAY_SOURCE, Overlay, OverlayFormat, Sources, Stamp,
};
use crate::metrics::Metrics;

use effect::needs_restart;
pub(super) use parts::Parts;
pub use parts::SetLogLevel;
use reader::Reader;
pub(super) use watch::watch;

/// How long reading the files may take.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The owner. Clones are the same.
#[derive(Clone)]
pub(super) struct Reload {
    shared: Arc<Shared>,
}

struct Shared {
    sources: Sources,
    live: Live,
    /// What the process was started with.
    started: Config,
    parts: Parts,
    metrics: Arc<Metrics>,
    fingerprints: Arc<Fingerprints>,
    reader: Reader,
    /// Held by whoever makes a change.
    turn: tokio::sync::Mutex<()>,
    /// Looked at by everybody, and never for long.
    state: Mutex<State>,
}

struct State {
    overlay: Option<Overlay>,
    in_force: Loaded,
    /// What the sources say without what is laid over them, whatever may be in force of it: what the next process will have.
    next: Loaded,
    /// The keys of it that wait for that process.
    pending: Vec<String>,
    since: SystemTime,
    /// Why the sources could not be loaded the last time, if they could not.
    failure: Option<ConfigError>,
    /// What the files held that were read last.
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

/// What came of a change.
struct Changed {
    keys: Vec<String>,
    pending: Vec<String>,
    config: Config,
}

/// What the sources say, alone and with what is laid over them.
struct Wanted {
    alone: Loaded,
    laid: Loaded,
}

impl Reload {
    /// The owner of what was loaded from `sources` at the start and is in force in `live`.
    pub(super) fn new(sources: Sources, started: Loaded, live: Live, parts: Parts, metrics: Arc<Metrics>) -> Self {
        let state = State {
            overlay: None,
            in_force: started.clone(),
            next: started.clone(),
            pending: Vec::new(),
            since: SystemTime::now(),
            failure: None,
            stamp: started.stamp,
        };
        let shared = Shared {
            sources,
            live,
            started: started.config,
            parts,
            metrics,
            fingerprints: Arc::default(),
            reader: Reader::new(READ_LIMIT),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Loads the sources again.
    pub(super) async fn again(&self, cause: &'static str) -> Result<Vec<String>, ConfigError> {
        self.change(Change::None, cause).await.map(|changed| changed.keys)
    }

    /// Loads the sources again if their files hold something else than they did.
    async fn if_changed(&self) {
        // Nobody else has to wait until they rest.
        let rest = self.settle().await;
        let _turn = self.shared.turn.lock().await;
        let stamp = match rest {
            // Looked at once more: somebody may have loaded them meanwhile.
            Ok(()) => self.stamp().await,
            Err(error) => Err(error),
        };
        match stamp {
            Ok(stamp) if stamp == self.shared.state.lock().stamp => {}
            Ok(_) => {
                // What is wrong has been said.
                let _ = self.change_in_turn(Change::None, "the files have changed").await;
            }
            Err(error) => {
                let is_known = self.shared.state.lock().failure.as_ref() == Some(&error);
                if !is_known {
                    self.fail(error, Stamp::default(), "the files may have changed");
                }
            }
        }
    }

    /// The directories to watch.
    async fn directories(&self) -> Vec<PathBuf> {
        let (sources, stamp) = (self.shared.sources.clone(), self.shared.state.lock().stamp.clone());
        self.shared.reader.read(move || sources.directories(&stamp)).await.unwrap_or_default()
    }

    /// Waits until the files stay the same for a moment, so that none is read that is being written; but not for ever.
    async fn settle(&self) -> Result<(), ConfigError> {
        let mut last = None;
        for _ in 0..watch::SETTLE_ATTEMPTS {
            let stamp = Some(self.stamp().await?);
            if stamp == last {
                break;
            }
            last = stamp;
            tokio::time::sleep(watch::SETTLE).await;
        }
        Ok(())
    }

    async fn stamp(&self) -> Result<Stamp, ConfigError> {
        let (sources, last) = (self.shared.sources.clone(), self.shared.state.lock().stamp.clone());
        self.shared.reader.read(move || sources.stamp(&last)).await
    }

    /// Makes one change, or says why not.
    async fn change(&self, change: Change, cause: &'static str) -> Result<Changed, ConfigError> {
        let _turn = self.shared.turn.lock().await;
        self.change_in_turn(change, cause).await
    }

    /// The same for whoever has the turn.
    async fn change_in_turn(&self, change: Change, cause: &'static str) -> Result<Changed, ConfigError> {
        let is_asked_for = !matches!(change, Change::None);
        let overlay = match change {
            Change::None => self.shared.state.lock().overlay.clone(),
            Change::TakeAway => None,
            Change::Lay(text, format) => {
                Some(Overlay::parse(&text, format).map_err(|error| self.refuse(error, cause))?)
            }
        };
        let (sources, laid) = (self.shared.sources.clone(), overlay.clone());
        let (wanted, stamp) = match self.shared.reader.read(move || load(&sources, laid.as_ref())).await {
            Ok(loaded) => loaded,
            // With the stamp of nothing it is tried again.
            Err(error) => (Err(error), Stamp::default()),
        };
        let checked = wanted.and_then(|wanted| match overlay.as_ref().filter(|_| is_asked_for) {
            Some(overlay) => self.without_restart(overlay, &wanted.laid.config).map(|()| wanted),
            None => Ok(wanted),
        });
        match checked {
            Ok(wanted) => Ok(self.put_into_force(overlay, wanted, stamp, cause)),
            // Of what the files hold nothing was asked, so what is known of them stays: their watch tells.
            Err(error) if is_asked_for => Err(self.refuse(error, cause)),
            Err(error) => Err(self.fail(error, stamp, cause)),
        }
    }

    /// What is laid over the files ends with the process, so it must not ask for another one.
    fn without_restart(&self, overlay: &Overlay, wanted: &Config) -> Result<(), ConfigError> {
        let different = self.shared.started.differences(wanted).into_iter();
        let impossible = different.filter(|key| self.needs_restart(key, wanted) && overlay.sets(key));
        let mistakes: Vec<Mistake> = impossible
            .map(|key| Mistake {
                source: Some(OVERLAY_SOURCE.to_owned()),
                key: Some(key),
                message: "belongs into a file: only a restart changes it, and a restart forgets this".to_owned(),
            })
            .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigError { mistakes }) }
    }

    /// Says why what somebody asked for is not done.
    fn refuse(&self, error: ConfigError, cause: &'static str) -> ConfigError {
        for mistake in &error.mistakes {
            tracing::warn!(%mistake, cause, "refused: the configuration would be invalid");
        }
        error
    }

    /// Says everywhere why the sources cannot be used.
    fn fail(&self, error: ConfigError, stamp: Stamp, cause: &'static str) -> ConfigError {
        for mistake in &error.mistakes {
            tracing::error!(%mistake, cause, "the configuration is invalid; the old one stays in force");
        }
        self.shared.metrics.operating.note_reload(false);
        let mut state = self.shared.state.lock();
        (state.failure, state.stamp) = (Some(error.clone()), stamp);
        error
    }

    fn put_into_force(&self, overlay: Option<Overlay>, wanted: Wanted, stamp: Stamp, cause: &'static str) -> Changed {
        let Wanted { alone, laid: mut next } = wanted;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let kept = self.waiting_for_restart(&next.config);
        next.config.keep(&kept, &state.in_force.config);
        next.provenance.keep(&kept, &state.in_force.provenance);
        let pending = self.waiting_for_restart(&alone.config);
        let keys = next.config.differences(&state.in_force.config);
        let config = next.config.clone();
        if keys.is_empty() && pending == state.pending {
            tracing::debug!(cause, "the configuration has been loaded again; it is the same");
        } else {
            tracing::info!(cause, changed = ?keys, needs_restart = ?pending, "the configuration has been loaded again");
        }
        if !keys.is_empty() {
            state.since = SystemTime::now();
        }
        (state.overlay, state.failure, state.stamp) = (overlay, None, stamp);
        (state.in_force, state.next, state.pending) = (next, alone, pending.clone());
        drop(guard);
        self.shared.metrics.operating.note_reload(true);
        if !keys.is_empty() {
            self.shared.live.replace(config.clone());
            self.shared.parts.follow(&config, &keys);
        }
        Changed { keys, pending, config }
    }

    /// The keys that have to stay as they are, though `wanted` says otherwise.
    fn waiting_for_restart(&self, wanted: &Config) -> Vec<String> {
        let different = self.shared.started.differences(wanted).into_iter();
        let mut waiting: Vec<String> = different.filter(|key| self.needs_restart(key, wanted)).collect();
        // A listener that stays has something to show, and what it shows is kept fresh.
        if wanted.tls.certificates.is_empty() && waiting.iter().any(|key| key.ends_with(".tls_listen")) {
            waiting.push("tls.certificates".to_owned());
        }
        waiting
    }

    fn needs_restart(&self, key: &str, wanted: &Config) -> bool {
        needs_restart(key, &self.shared.started, wanted)
    }

    async fn answer(&self, change: Change, cause: &'static str) -> Result<Reloaded, ConfigError> {
        let Changed { keys, pending, config } = self.change(change, cause).await?;
        Ok(Reloaded { hash: self.hash(config).await, changed: keys, pending })
    }

    async fn hash(&self, config: Config) -> String {
        let fingerprints = Arc::clone(&self.shared.fingerprints);
        spawn_blocking(move || fingerprints.of(&config)).await.unwrap_or_default()
    }
}

/// Loads the sources, alone and with `overlay`: what only holds with it would not be there for the next process. Blocks.
fn load(sources: &Sources, overlay: Option<&Overlay>) -> (Result<Wanted, ConfigError>, Stamp) {
    let alone = sources.load(None);
    let mut stamp = alone.stamp;
    let wanted = alone.result.and_then(|alone| match overlay {
        None => Ok(Wanted { laid: alone.clone(), alone }),
        Some(_) => {
            let laid = sources.load(overlay);
            stamp.extend(laid.stamp);
            laid.result.map(|laid| Wanted { alone, laid })
        }
    });
    (wanted, stamp)
}

impl Configuration for Reload {
    fn show(&self) -> BoxFuture<'_, InForce> {
        Box::pin(async move {
            let (loaded, is_overlaid, pending, since, failure) = {
                let state = self.shared.state.lock();
                let (loaded, failure) = (state.in_force.clone(), state.failure.clone());
                (loaded, state.overlay.is_some(), state.pending(), state.since, failure)
            };
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

impl State {
    /// What waits for a restart, and what it will be then.
    fn pending(&self) -> Vec<Pending> {
        let settings = self.next.config.settings();
        let pending = self.pending.iter().filter_map(|name| {
            let (section, key) = name.split_once('.')?;
            let wanted = settings.iter().find(|setting| (setting.section, setting.key) == (section, key))?;
            let source = self.next.provenance.source_of(section, key);
            Some(Pending { key: name.clone(), wanted: wanted.value.clone(), source })
        });
        pending.collect()
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reload").field("sources", &self.shared.sources).finish_non_exhaustive()
    }
}
