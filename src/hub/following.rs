//! Publish sessions as they begin, for whoever follows all of them.
//!
//! Owns the word that a client has begun to publish here, and what those who are told can do with it: tap the session. HLS
//! and recordings follow; the server names them to the hub. Pulls are not told of: what others publish is their business.

use std::fmt;

use crate::media::stream_key::StreamKey;

use super::Hub;
use super::dispatcher::ShardId;
use super::identity::Identity;
use super::reader::TapStart;
use super::stream::StreamHandle;
use super::tap::Tap;

/// Told of every publish session of a client.
pub trait OnSession: Send + Sync + 'static {
    /// A client publishes, from now on, or again after a break in the same session. Must return at once: the work belongs
    /// into a task.
    fn began(&self, session: Following);
}

/// A publish session that has begun. Holding it keeps the stream's place in the hub, though not its publisher.
#[derive(Clone)]
pub struct Following {
    handle: StreamHandle,
    session: Identity,
    /// Which of the stream's sessions it is.
    number: u64,
}

impl Hub {
    /// The session in force of a client that publishes `key` here, for who was not told when it began or did not care then.
    pub fn follow(&self, key: &StreamKey) -> Option<Following> {
        // An absent stream is not made by asking for it.
        self.shared.streams.get(key)?;
        let handle = StreamHandle::open(&self.shared, key);
        let state = handle.stream.state();
        let live = state.live.as_ref().filter(|live| !live.source.is_pull())?;
        let (session, number) = (live.session.clone(), state.session);
        drop(state);
        Some(Following::new(handle, session, number))
    }
}

impl Following {
    pub(super) const fn new(handle: StreamHandle, session: Identity, number: u64) -> Self {
        Self { handle, session, number }
    }

    /// The name.
    pub fn key(&self) -> &StreamKey {
        &self.handle.stream.key
    }

    /// The publish session.
    pub const fn session(&self) -> &Identity {
        &self.session
    }

    /// Reads the session from `start` on, in a task that runs on `shard`. What is read is numbered
    /// ([`Block::first_packet`](super::Block::first_packet)), so that who taps a session again can leave out what it has had.
    pub fn tap(&self, shard: ShardId, start: TapStart) -> Tap {
        Tap::begun(self.handle.clone(), self.session.clone(), self.number, shard, start)
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Following").field(self.key()).field(&self.session).finish()
    }
}

#[cfg(test)]
mod tests;
