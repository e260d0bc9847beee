//! A stream whose publisher is passed on upstream, from the hub's side.
//!
//! Owns what a forward needs of the hub: its status in the API, its place in the count, and its tap. The forward of the
//! pull layer calls it; nothing here connects to anything.

use std::fmt;

use crate::media::stream_key::StreamKey;

use super::demand::PullStatus;
use super::dispatcher::ShardId;
use super::identity::Identity;
use super::reader::TapStart;
use super::stream::StreamHandle;
use super::tap::Tap;

/// One publish session that is passed on. Dropping it says that it no longer is.
pub struct Forwarded {
    handle: StreamHandle,
    session: Identity,
}

impl Forwarded {
    pub(super) fn new(handle: StreamHandle, session: Identity) -> Self {
        handle.shared.metrics.forwards.inc();
        handle.stream.state().forward = Some((session.clone(), PullStatus::default()));
        Self { handle, session }
    }

    /// The name.
    pub fn key(&self) -> &StreamKey {
        &self.handle.stream.key
    }

    /// Tells what the forward is doing.
    pub fn report(&self, status: PullStatus) {
        let mut state = self.handle.stream.state();
        // One that is ending says nothing about the one that has taken its place.
        if let Some((_, known)) = state.forward.as_mut().filter(|(session, _)| *session == self.session) {
            *known = status;
        }
    }

    /// Reads the session from `start` on, in a task that runs on `shard`.
    pub fn tap(&self, shard: ShardId, start: TapStart) -> Tap {
        Tap::new(self.handle.clone(), self.session.clone(), shard, start)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.handle.shared.metrics.forwards.dec();
        let mut state = self.handle.stream.state();
        state.forward.take_if(|(session, _)| *session == self.session);
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Forwarded").field(self.key()).field(&self.session).finish()
    }
}

#[cfg(test)]
mod tests;
