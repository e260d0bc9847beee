//! A stream whose publisher is passed on upstream, from the hub's side.
//!
//! Owns what a forward needs of the hub: its status in the API, its place in the count, and taps. A tap is a reader like
//! any other, a cursor into the ring that skips when it lags, but it gives packets, since a publishing client writes chunk
//! headers of its own. The forward of the pull layer calls it; nothing here connects to anything.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::media::packet::Packet;
use crate::media::stream_key::StreamKey;
use crate::metrics::Protocol;

use super::block::{Block, WireForm};
use super::demand::PullStatus;
use super::dispatcher::ShardId;
use super::identity::Identity;
use super::reader::{End, Piece, PlayRequest, Reader, TapStart};
use super::stream::StreamHandle;

/// One publish session that is passed on. Dropping it says that it no longer is.
pub struct Forwarded {
    handle: StreamHandle,
    session: Identity,
}

/// What a tap gives.
#[derive(Debug)]
pub enum Tapped {
    /// Metadata and sequence headers, to go before anything else.
    Headers(Vec<Packet>),
    /// A block.
    Block(Arc<Block>),
}

/// Reads one publish session for a forward.
#[derive(Debug)]
pub struct Tap {
    reader: Reader,
    session: Identity,
    began: bool,
    next_packet: Option<u64>,
    skipped: u64,
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
        // Protocol and form are those of a player, which a tap is not.
        let request = PlayRequest { protocol: Protocol::Rtmp, form: WireForm::Flv, shard, is_pull: true };
        Tap {
            reader: Reader::tap(self.handle.clone(), request, start),
            session: self.session.clone(),
            began: false,
            next_packet: None,
            skipped: 0,
        }
    }
}

impl Tap {
    /// What comes next: the headers, then block after block. Waits for the session to begin, and ends with it.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Tapped, End>> {
        if !self.began {
            ready!(self.reader.poll_session(context, &self.session))?;
            self.began = true;
        }
        Poll::Ready(Ok(match ready!(self.reader.poll_piece(context))? {
            Piece::Headers { headers, metadata_at, sequence_at } => {
                Tapped::Headers(headers.packets(metadata_at.into(), sequence_at.into()).collect())
            }
            Piece::Block(block) => {
                let expected = self.next_packet.replace(block.end_packet());
                self.skipped += expected.map_or(0, |expected| block.first_packet().saturating_sub(expected));
                Tapped::Block(block)
            }
        }))
    }

    /// How many packets were skipped since the last call, because they were not fetched in time.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
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
