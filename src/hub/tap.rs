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
    /// The numbers of the packet and of the byte that come next.
    next: Option<(u64, u64)>,
    skipped: Skipped,
}

/// What a tap had no time for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// In packets.
    pub packets: u64,
    /// In bytes of their bodies.
    pub bytes: u64,
}

impl Tap {
    /// A tap of a session that may not have begun.
    pub(super) fn new(handle: StreamHandle, session: Identity, shard: ShardId, start: TapStart) -> Self {
        // Protocol and form are those of a player, which a tap is not.
        let request = PlayRequest { protocol: Protocol::Rtmp, form: WireForm::Flv, shard, is_pull: true };
        Self {
            reader: Reader::tap(handle, request, start),
            session,
            began: false,
            next: None,
            skipped: Skipped::default(),
        }
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
                let behind = (block.end_packet(), block.first_byte() + block.payload_bytes() as u64);
                if let Some((packet, byte)) = self.next.replace(behind) {
                    self.skipped.packets += block.first_packet().saturating_sub(packet);
                    self.skipped.bytes += block.first_byte().saturating_sub(byte);
                }
                Tapped::Block(block)
            }
        }))
    }

    /// What was skipped since the last call, because it was not fetched in time.
    pub fn take_skipped(&mut self) -> Skipped {
        std::mem::take(&mut self.skipped)
    }
}

#[cfg(test)]
mod tests;
