//! Bytes on their way to one peer: pieces that are shared with others, written without copying.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// The most pieces in one batch.
const MAX_PIECES: usize = 64;
/// The most bytes in one batch, unless a single piece is larger: what a shard gives one player before the next.
const MAX_BYTES: usize = 256 << 10;

/// The pieces that room is kept for between batches.
const MAX_KEPT_PIECES: usize = 4;

/// One batch of pieces, written in order.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbound {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes not yet written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the batch may grow.
    pub(super) fn has_room(&self) -> bool {
        self.pieces.len() < MAX_PIECES && self.bytes < MAX_BYTES
    }

    /// Writes until all is written and sent off, or the peer takes no more.
    pub(super) fn poll_write<W>(&mut self, writer: &mut W, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            let written = match self.pieces.len() {
                1 => ready!(Pin::new(&mut *writer).poll_write(context, &self.pieces[0]))?,
                _ => {
                    let mut slices = [IoSlice::new(&[]); MAX_PIECES];
                    let count = self.pieces.len().min(MAX_PIECES);
                    for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                        *slice = IoSlice::new(piece);
                    }
                    ready!(Pin::new(&mut *writer).poll_write_vectored(context, &slices[..count]))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // A GOP at the beginning is many pieces; later there is one at a time, for each of thousands of players.
        self.pieces.shrink_to(MAX_KEPT_PIECES);
        // TLS may hold the end of it back; TCP holds nothing.
        Pin::new(writer).poll_flush(context)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_however_little_the_peer_takes_at_once() {
        let (mut one, mut other) = duplex(7);
        let mut outbound = Outbound::default();
        let expected: Vec<u8> = (0..200).collect();
        for piece in expected.chunks(23) {
            outbound.push(Bytes::copy_from_slice(piece));
        }
        let mut received = vec![0; expected.len()];
        let write = poll_fn(|context| outbound.poll_write(&mut one, context));
        let (written, read) = tokio::join!(write, other.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert_eq!(received, expected);
        assert_eq!(outbound.bytes(), 0);
    }

    #[test]
    fn a_batch_is_bounded_in_pieces_and_bytes() {
        let mut outbound = Outbound::default();
        for _ in 0..MAX_PIECES {
            assert!(outbound.has_room());
            outbound.push(Bytes::from_static(b"x"));
        }
        assert!(!outbound.has_room());
        let mut outbound = Outbound::default();
        outbound.push(Bytes::from(vec![0; MAX_BYTES]));
        assert!(!outbound.has_room());
    }
}
