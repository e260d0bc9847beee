//! Streams that players want and nobody publishes here: what an edge pulls.
//!
//! Owns the rule that there is one pull for a stream, whoever asks first and however many ask at once. There is no state
//! in which a pull is ending: whether it goes on is decided under the same lock under which players come and go.

use std::fmt;

use crate::media::stream_key::StreamKey;

use super::publisher::Publisher;
use super::shielding::Missing;
use super::state::{PublishError, PublishRequest};
use super::stream::StreamHandle;

/// Fetches streams that players want. The server hands one to the hub of an edge; an origin has none.
pub trait OnDemand: Send + Sync + 'static {
    /// Looks after `demand` until it is no longer wanted. Must return at once: the work belongs into a task.
    fn serve(&self, demand: Demand);
}

/// Has a stream fetched that players want, if nobody publishes it and nobody fetches it yet.
pub(super) fn demand(handle: &StreamHandle) {
    let Some(on_demand) = handle.shared.on_demand.get() else { return };
    let mut state = handle.stream.state();
    if handle.shared.is_ending() || state.readers == 0 || state.live.is_some() || state.pull.is_some() {
        return;
    }
    state.pull = Some(PullStatus::default());
    drop(state);
    on_demand.serve(Demand::new(handle.clone()));
}

/// What a pull, or a forward, is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullState {
    /// Resolving, connecting, or waiting to be answered.
    #[default]
    Connecting,
    /// Media flows.
    Live,
    /// The last attempt failed; the next one follows.
    Waiting,
}

impl PullState {
    /// The state as the API shows it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Waiting => "waiting",
        }
    }
}

/// A pull or a forward as the API shows it.
#[derive(Debug, Clone, Default)]
pub struct PullStatus {
    /// The upstream's address as `host:port`, once one was tried.
    pub address: Option<String>,
    /// Whether that is another edge, which shields the origins.
    pub shielded: bool,
    /// What it is doing.
    pub state: PullState,
    /// Attempts since media flowed.
    pub retries: u32,
}

/// A player is there, so the pull goes on with what it had.
#[derive(Debug)]
pub struct StillWanted {
    /// The publisher that was to be ended.
    pub publisher: Option<Publisher>,
}

/// One stream to be fetched. There is at most one for a stream.
pub struct Demand {
    handle: StreamHandle,
    finished: bool,
}

impl Demand {
    pub(super) fn new(handle: StreamHandle) -> Self {
        handle.shared.metrics.upstream_pulls.inc();
        Self { handle, finished: false }
    }

    /// The name.
    pub fn key(&self) -> &StreamKey {
        &self.handle.stream.key
    }

    /// Becomes the stream's publisher.
    pub fn publish(&self, request: PublishRequest) -> Result<Publisher, PublishError> {
        Publisher::begin(self.handle.clone(), request)
    }

    /// Whether any player is there, and no client that publishes the stream right here.
    pub fn is_wanted(&self) -> bool {
        self.handle.stream.state().is_wanted()
    }

    /// Completes when that may have changed since the last call.
    pub async fn changed(&self) {
        self.handle.stream.demand_changed.notified().await;
    }

    /// Completes once the stream is not wanted.
    pub async fn unwanted(&self) {
        while self.is_wanted() {
            self.changed().await;
        }
    }

    /// Whether other edges pull the stream through this one: then it has to come from an origin.
    pub fn shields(&self) -> bool {
        self.handle.stream.state().shielding.has_readers()
    }

    /// Completes when the first other edge has come or the last one has left since the last call.
    pub async fn shielding_changed(&self) {
        self.handle.stream.shielding_changed.notified().await;
    }

    /// Tells those who only wait for what the origins say that these were asked in vain.
    pub fn missed(&self, missing: Missing) {
        let mut state = self.handle.stream.state();
        state.shielding.note(missing);
        let is_awaited = state.shielding.has_readers();
        drop(state);
        if is_awaited {
            self.handle.stream.wakers.wake_everyone();
        }
    }

    /// Ends the demand and the pull's publishing in one moment, unless the stream is wanted: then both go on.
    ///
    /// Were it two moments, a player who came between them would wait for a publisher that is leaving.
    pub fn try_finish(&mut self, publisher: Option<Publisher>) -> Result<(), StillWanted> {
        let mut state = self.handle.stream.state();
        if state.is_wanted() {
            drop(state);
            return Err(StillWanted { publisher });
        }
        state.pull = None;
        self.finished = true;
        if let Some(publisher) = publisher {
            publisher.end(state);
        }
        Ok(())
    }

    /// Tells what the pull is doing.
    pub fn report(&self, status: PullStatus) {
        self.handle.stream.state().pull = Some(status);
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.handle.shared.metrics.upstream_pulls.dec();
        if !self.finished {
            self.handle.stream.state().pull = None;
        }
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Demand").field(self.key()).finish()
    }
}
