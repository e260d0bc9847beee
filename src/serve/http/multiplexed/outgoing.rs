//! What a response of HTTP/2 is on its way: in small pieces, and watched until the last byte has room at the peer's.
//!
//! hyper passes a piece on as soon as the peer has room for one byte of it, and then waits with the next one. So a peer that
//! gives no more room makes us hold two pieces of each response. All of one connection have a common measure of that.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::net::progress::Progress;

use super::super::Body;

/// The largest piece: what one frame takes.
pub(super) const PIECE_BYTES: usize = 16 << 10;
/// The smallest, where the connection holds too much already.
const SMALL_PIECE_BYTES: usize = 1 << 10;
/// How much may wait for the peer of one connection before pieces become small.
const CONNECTION_BYTES: usize = 512 << 10;

/// The bytes that wait for the peer of one connection.
pub(super) type Waiting = Arc<AtomicUsize>;

/// A body whose end is seen: its last byte goes by itself, so that it leaves only once all others have room.
pub(super) struct Outgoing {
    body: Body,
    last_byte: Option<Bytes>,
    /// Told whenever a piece has found room.
    progress: Arc<Progress>,
    waiting: Waiting,
    /// The lengths of the pieces of this body that may wait: the latest, and the one before.
    pieces: [usize; 2],
}

impl Outgoing {
    pub(super) fn new(body: Body, progress: Arc<Progress>, waiting: Waiting) -> Self {
        Self { body, last_byte: None, progress, waiting, pieces: [0; 2] }
    }

    /// The most that the next piece may have.
    fn room(&self) -> usize {
        let waiting = self.waiting.load(Ordering::Relaxed);
        (CONNECTION_BYTES.saturating_sub(waiting) / 2).clamp(SMALL_PIECE_BYTES, PIECE_BYTES)
    }

    /// Notes a piece that is handed out: the one before the latest has gone by then.
    fn note(&mut self, piece: usize) {
        let [latest, before] = self.pieces;
        self.waiting.fetch_add(piece, Ordering::Relaxed);
        self.waiting.fetch_sub(before, Ordering::Relaxed);
        self.pieces = [piece, latest];
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(last_byte) = self.last_byte.take() {
            return Poll::Ready(Some(last_byte));
        }
        let room = self.room();
        let Some(mut piece) = ready!(self.body.poll_piece(context, room)) else { return Poll::Ready(None) };
        if self.body.is_end_stream() && piece.len() > 1 {
            self.last_byte = Some(piece.split_off(piece.len() - 1));
        }
        // What waits for a peer that takes its time holds only itself then, and not all of a segment that everybody else
        // has forgotten.
        Poll::Ready(Some(Bytes::copy_from_slice(&piece)))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.progress.advance();
        let piece = ready!(self.poll_piece(context));
        self.note(piece.as_ref().map_or(0, Bytes::len));
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.last_byte.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let kept = self.last_byte.as_ref().map_or(0, Bytes::len) as u64;
        rest.exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + kept))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.pieces.iter().sum(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::super::super::FileBody;
    use super::*;

    fn outgoing(length: usize, waiting: &Waiting) -> Outgoing {
        let bytes: Bytes = (0..length).map(|index| index as u8).collect();
        let body = Body::File(Box::new(FileBody::new(bytes, Progress::new(), Counter::default())));
        Outgoing::new(body, Progress::new(), Arc::clone(waiting))
    }

    fn next(outgoing: &mut Outgoing) -> Option<Bytes> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(outgoing).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap()),
            Poll::Pending => panic!("a file is there"),
        }
    }

    #[test]
    fn a_file_arrives_whole_in_small_pieces_and_its_last_byte_by_itself() {
        for length in [0, 1, 2, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let waiting = Waiting::default();
            let mut outgoing = outgoing(length, &waiting);
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            while !outgoing.is_end_stream() {
                assert_eq!(outgoing.size_hint().exact(), Some((length - pieces.concat().len()) as u64));
                pieces.push(next(&mut outgoing).unwrap().to_vec());
            }
            assert_eq!(next(&mut outgoing), None);
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES), "{length}");
            assert!(pieces.last().is_none_or(|last| last.len() == 1), "{length}");
            let expected: Vec<u8> = (0..length).map(|index| index as u8).collect();
            assert_eq!(pieces.concat(), expected);
        }
    }

    #[test]
    fn what_waits_for_one_peer_is_bounded_however_much_it_asks_for() {
        let waiting = Waiting::default();
        let mut asked: Vec<Outgoing> = (0..100).map(|_| outgoing(1 << 20, &waiting)).collect();
        // Each has room for one byte: the first piece waits below hyper, and the second in it.
        for outgoing in &mut asked {
            next(outgoing).unwrap();
            next(outgoing).unwrap();
        }
        let held = waiting.load(Ordering::Relaxed);
        assert!(held <= CONNECTION_BYTES + 100 * 2 * SMALL_PIECE_BYTES, "{held} bytes");
        drop(asked);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
