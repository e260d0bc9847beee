//! A publish session as packets.
//!
//! Owns the tap: a reader like any other, a cursor into the ring that skips when it lags, but one that gives packets. It is
//! no player: it is not counted, keeps no pull alive and waits for no turn. Forwards, HLS and recordings read by it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::media::packet::Packet;
use crate::metrics::Protocol;

use super::block::{Block, WireForm};
use super::dispatcher::ShardId;
use super::identity::Identity;
use super::reader::{End, Piece, PlayRequest, Reader, TapStart};
use super::stream::StreamHandle;

/// What a tap gives.
#[derive(Debug)]
pub enum Tapped {
    /// Metadata and sequence headers, to go before anything else.
    Headers(Vec<Packet>),
    /// A block.
    Block(Arc<Block>),
}

/// Reads one publish session, for whoever makes something else of it than a player's bytes.
#[derive(Debug)]
pub struct Tap {
    reader: Reader,
    session: Identity,
    began: bool,
    next_packet: Option<u64>,
    skipped: u64,
}

impl Tap {
    /// A tap of a session that may not have begun.
    pub(super) fn new(handle: StreamHandle, session: Identity, shard: ShardId, start: TapStart) -> Self {
        // Protocol and form are those of a player, which a tap is not.
        let request = PlayRequest { protocol: Protocol::Rtmp, form: WireForm::Flv, shard, is_pull: true };
        Self { reader: Reader::tap(handle, request, start), session, began: false, next_packet: None, skipped: 0 }
    }

    /// The same of one that has, as the stream's `number`th.
    pub(super) fn begun(handle: StreamHandle, session: Identity, number: u64, shard: ShardId, start: TapStart) -> Self {
        let mut tap = Self::new(handle, session.clone(), shard, start);
        tap.reader.keep_to(session, number);
        tap.began = true;
        tap
    }

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

#[cfg(test)]
mod tests;
