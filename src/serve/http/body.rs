//! The body of a response.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;

use crate::net::progress::Progress;
use crate::serve::flv::FlvBody;

/// How much of a file is handed out at a time: so much has to leave before the peer counts as stuck.
const PIECE_BYTES: usize = 64 << 10;

/// The body of a response.
#[derive(Debug, Default)]
pub(in crate::serve) enum Body {
    /// Nothing, as in every answer to HEAD.
    #[default]
    Empty,
    /// A line for whoever reads it.
    Text(&'static str),
    /// The same, made for the occasion.
    Line(Box<str>),
    /// A stream without end.
    Flv(Box<FlvBody>),
    /// A playlist or a segment, or a part of one.
    File(Box<FileBody>),
}

/// Bytes that are there already, handed out in pieces.
#[derive(Debug)]
pub(in crate::serve) struct FileBody {
    rest: Bytes,
    /// Notes that there was room.
    progress: Arc<Progress>,
    sent: Counter,
}

impl FileBody {
    /// Hands out `bytes`, and counts them as `sent`.
    pub(in crate::serve) const fn new(bytes: Bytes, progress: Arc<Progress>, sent: Counter) -> Self {
        Self { rest: bytes, progress, sent }
    }

    fn next_piece(&mut self, most: usize) -> Option<Bytes> {
        self.progress.advance();
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.rest.split_to(self.rest.len().min(most));
        self.sent.inc_by(piece.len() as u64);
        Some(piece)
    }
}

impl Body {
    /// The next piece; of a file, `most` bytes at most.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>, most: usize) -> Poll<Option<Bytes>> {
        Poll::Ready(match self {
            Self::Empty => None,
            Self::Text(text) => {
                let bytes = Bytes::from_static(text.as_bytes());
                *self = Self::Empty;
                Some(bytes)
            }
            Self::Line(line) => {
                let bytes = Bytes::from(std::mem::take(line).into_string());
                *self = Self::Empty;
                Some(bytes)
            }
            Self::Flv(body) => std::task::ready!(body.poll_bytes(context)),
            Self::File(file) => file.next_piece(most),
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.poll_piece(context, PIECE_BYTES).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(_) | Self::Line(_) | Self::Flv(_) => false,
            Self::File(file) => file.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Line(line) => SizeHint::with_exact(line.len() as u64),
            Self::Flv(_) => SizeHint::default(),
            Self::File(file) => SizeHint::with_exact(file.rest.len() as u64),
        }
    }
}
