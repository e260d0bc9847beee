//! An RTMP session on its socket: bytes in and out of the state machine.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::{Metrics, Protocol, Reason};
use crate::net::scratch;
use crate::net::stream::Stream;
use crate::rtmp;
use crate::rtmp::server::{ServerEvent, ServerSession};
use crate::sessions::Count;

use super::CONTROL_WRITE_TIMEOUT;
use super::outbound::Outbound;

/// How long a peer may take to notice that it was told goodbye.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often what waits in a socket is read before others have their turn.
const MAX_READS: usize = 8;

/// The state machine of a served RTMP connection and its socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: ServerSession,
    stream: Stream,
    received: Counter,
    sent: Counter,
    /// Counts for the session in force, too.
    pub(super) count: Option<Count>,
    /// Control bytes that the socket has not taken yet.
    unsent: Outbound,
    error: Option<rtmp::Error>,
    /// When the peer was heard last.
    pub(super) last_heard: Instant,
    input_may_wait: bool,
    /// All that was sent and received, in bytes.
    total_sent: u64,
    total_received: u64,
    /// Bytes received since [`take_received`](Self::take_received).
    newly_received: usize,
}

impl Link {
    pub(super) fn new(stream: Stream, session: ServerSession, metrics: &Metrics) -> Self {
        Self {
            session,
            stream,
            received: metrics.ingress_bytes(Protocol::Rtmp),
            sent: metrics.egress_bytes(Protocol::Rtmp),
            count: None,
            unsent: Outbound::default(),
            error: None,
            last_heard: Instant::now(),
            input_may_wait: false,
            total_sent: 0,
            total_received: 0,
            newly_received: 0,
        }
    }

    /// What was sent, and what was received, in bytes.
    pub(super) const fn bytes(&self) -> (u64, u64) {
        (self.total_sent, self.total_received)
    }

    /// Reads once. What it brought is in the session; dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<(), Reason> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// The next event. Once there is none left, what was wrong with the bytes behind them.
    pub(super) fn next_event(&mut self) -> Result<Option<ServerEvent>, Reason> {
        if let Some(event) = self.session.next_event() {
            return Ok(Some(event));
        }
        match self.error.take() {
            Some(error) => {
                tracing::debug!(%error, "the peer broke the protocol");
                Err(reason_of(&error))
            }
            None => Ok(None),
        }
    }

    /// What was wrong with the bytes, if anything was, before any event of theirs is taken.
    pub(super) fn check(&mut self) -> Result<(), Reason> {
        self.error.take().map_or(Ok(()), |error| Err(reason_of(&error)))
    }

    /// Sends what the session has to say. What a dropped future did not get to send, the next one sends.
    pub(super) async fn flush(&mut self) -> Result<(), Reason> {
        if self.unsent.is_empty() {
            self.unsent.push(self.session.take_output());
            self.note_sent(self.unsent.bytes());
        }
        if self.unsent.is_empty() && !self.stream.has_unsent() {
            return Ok(());
        }
        let Self { unsent, stream, .. } = self;
        let write = poll_fn(|context| unsent.poll_write(stream, context));
        match timeout(CONTROL_WRITE_TIMEOUT, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Reason::PeerLost),
        }
    }

    /// Sends the last words and waits for the peer to have heard them.
    ///
    /// A socket that is closed while bytes of the peer are unread resets the connection, and the last words with it.
    pub(super) async fn say_goodbye(&mut self) {
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let until_closed =
            async { while scratch::read(&mut self.stream, |_| {}).await.is_ok_and(|count| count > 0) {} };
        // Who does not close in time is closed upon.
        let _ = timeout(FAREWELL_TIMEOUT, until_closed).await;
    }

    /// Writes a batch while the peer is listened to, for at most `limit` in total.
    pub(super) async fn write(&mut self, outbound: &mut Outbound, limit: Duration) -> Result<(), Reason> {
        self.note_sent(outbound.bytes());
        // Nearly always the socket takes everything at once: no timer is made before it does not.
        let mut timer = None;
        poll_fn(|context| {
            if let Poll::Ready(written) = outbound.poll_write(&mut self.stream, context) {
                return Poll::Ready(written.map_err(|_| Reason::PeerLost));
            }
            while let Poll::Ready(read) = self.poll_read(context) {
                read?;
            }
            let timer = timer.get_or_insert_with(|| Box::pin(sleep(limit)));
            timer.as_mut().poll(context).map(|()| Err(Reason::SlowPlayer))
        })
        .await
    }

    /// How many bytes have come since the last call.
    pub(super) fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.newly_received)
    }

    fn note_sent(&mut self, bytes: usize) {
        self.sent.inc_by(bytes as u64);
        self.total_sent += bytes as u64;
        if let Some(count) = &self.count {
            count.sent(bytes as u64);
        }
    }

    /// Whether what the peer sends may wait in the socket until [`read_waiting`](Self::read_waiting) takes it.
    pub(super) fn let_input_wait(&mut self, may_wait: bool) {
        if self.input_may_wait != may_wait {
            self.input_may_wait = may_wait;
            self.stream.let_input_wait(may_wait);
        }
    }

    /// Takes what waits in the socket.
    pub(super) fn read_waiting(&mut self) -> Result<(), Reason> {
        for _ in 0..MAX_READS {
            let Self { session, error, stream, .. } = self;
            let read = stream.read_waiting(|bytes| feed(session, error, bytes));
            let Some(read) = read.transpose() else { return Ok(()) };
            let count = self.note_read(read)?;
            if !scratch::is_full(count) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let Self { session, error, stream, .. } = self;
        let read = ready!(scratch::poll_read(stream, context, |bytes| feed(session, error, bytes)));
        Poll::Ready(self.note_read(read).map(drop))
    }

    /// What came of a read.
    fn note_read(&mut self, read: io::Result<usize>) -> Result<usize, Reason> {
        match read {
            Ok(0) if !self.session.received_any() => Err(Reason::Probe),
            Ok(0) => Err(Reason::PeerClosed),
            Ok(count) => {
                self.received.inc_by(count as u64);
                self.total_received += count as u64;
                self.newly_received += count;
                if let Some(session) = &self.count {
                    session.received(count as u64);
                }
                self.last_heard = Instant::now();
                Ok(count)
            }
            Err(_) if !self.session.received_any() => Err(Reason::Probe),
            Err(_) => Err(Reason::PeerLost),
        }
    }
}

fn feed(session: &mut ServerSession, error: &mut Option<rtmp::Error>, bytes: &[u8]) {
    if error.is_none() {
        *error = session.feed(bytes).err();
    }
}

fn reason_of(error: &rtmp::Error) -> Reason {
    match error.label() {
        "handshake_invalid" => Reason::HandshakeInvalid,
        "chunk_invalid" => Reason::ChunkInvalid,
        "amf_invalid" => Reason::AmfInvalid,
        "message_too_large" => Reason::MessageTooLarge,
        _ => Reason::ProtocolViolation,
    }
}
