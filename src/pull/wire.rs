//! A connection to an upstream, and the RTMP session on it.
//!
//! Owns the socket and the bytes on their way. The pull's and the forward's connections speak through it, and decide what
//! is said; it knows no stream. Dropping one of its futures loses nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::metrics::{Protocol, ReconnectReason};
use crate::net::scratch;
use crate::net::stream::Stream;
use crate::rtmp::{self, ClientEvent, ClientSession};
use crate::seldom::warn_seldom;

use super::PullContext;
use super::connection::OpenError;
use super::dial::dial;
use super::upstreams::Candidate;

/// How long an upstream may take to take the few bytes of our commands.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often what waits in a socket is read before others have their turn.
const MAX_READS: usize = 8;

/// How often an upstream of our own kind is asked for a sign of life.
pub(super) const PING_EVERY: Duration = Duration::from_secs(1);
/// How long an upstream of our own kind may be silent: it answers pings.
pub(super) const OURS_DEAD_AFTER: Duration = Duration::from_secs(3);

/// A connection to an upstream.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: ClientSession,
    stream: Stream,
    received: Counter,
    sent: Counter,
    unsent: Bytes,
    pub(super) last_byte: Instant,
    /// When the socket took bytes last, or was given some after it had taken all.
    pub(super) last_progress: Instant,
    input_may_wait: bool,
}

impl Wire {
    /// Connects; what `client` says first waits to be sent.
    pub(super) async fn dial(
        context: &PullContext,
        candidate: &Candidate,
        client: ClientSession,
        deadline: Instant,
    ) -> Result<Self, OpenError> {
        let way = context.way_to(candidate)?;
        let connect = timeout_at(deadline, dial(&way)).await;
        let stream = connect.map_err(|_| OpenError::Timeout)??;
        let metrics = &context.metrics;
        let now = Instant::now();
        Ok(Self {
            client,
            stream,
            received: metrics.ingress_bytes(Protocol::Rtmp),
            sent: metrics.egress_bytes(Protocol::Rtmp),
            unsent: Bytes::new(),
            last_byte: now,
            last_progress: now,
            input_may_wait: false,
        })
    }

    /// The next thing that an upstream says that has not been won yet.
    pub(super) async fn next_event(&mut self) -> Result<ClientEvent, OpenError> {
        loop {
            if let Some(event) = self.client.next_event() {
                return Ok(event);
            }
            self.flush().await?;
            self.read_once().await.map_err(Failure::while_opening)?;
        }
    }

    /// Waits for bytes and hands them to the session.
    pub(super) async fn read_once(&mut self) -> Result<(), Failure> {
        poll_fn(|context| self.poll_read(context)).await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Self { stream, client, .. } = self;
        let mut fed = Ok(());
        let read = scratch::poll_read(stream, context, |bytes| fed = client.feed(bytes));
        read.map(|count| self.note_read(count?, fed))
    }

    /// What came of a read.
    fn note_read(&mut self, count: usize, fed: Result<(), rtmp::Error>) -> Result<(), Failure> {
        if count == 0 {
            return Err(Failure::Closed);
        }
        self.received.inc_by(count as u64);
        self.last_byte = Instant::now();
        Ok(fed?)
    }

    /// Whether what the upstream sends may wait in the socket until [`read_waiting`](Self::read_waiting) takes it.
    pub(super) fn let_input_wait(&mut self, may_wait: bool) {
        if self.input_may_wait != may_wait {
            self.input_may_wait = may_wait;
            self.stream.let_input_wait(may_wait);
        }
    }

    /// Hands what waits in the socket to the session.
    pub(super) fn read_waiting(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_READS {
            let Self { stream, client, .. } = self;
            let mut fed = Ok(());
            let Some(count) = stream.read_waiting(|bytes| fed = client.feed(bytes))? else { return Ok(()) };
            self.note_read(count, fed)?;
            if !scratch::is_full(count) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what the session has to say.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let sent = poll_fn(|context| self.poll_flush(context));
        match timeout(WRITE_TIMEOUT, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends until the session has nothing more to say.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_bytes() {
            match Pin::new(&mut self.stream).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.unsent.advance(count);
                    self.sent.inc_by(count as u64);
                    self.last_progress = Instant::now();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // TLS may hold the end of it back; TCP holds nothing.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Whether the socket has not taken all that the session has said.
    pub(super) fn has_unsent(&mut self) -> bool {
        self.has_bytes() || self.stream.has_unsent()
    }

    fn has_bytes(&mut self) -> bool {
        if self.unsent.is_empty() {
            self.unsent = self.client.take_output();
            if !self.unsent.is_empty() {
                self.last_progress = Instant::now();
            }
        }
        !self.unsent.is_empty()
    }

    /// Sends and reads, until something has come in, or all that waited has been sent.
    pub(super) async fn exchange(&mut self) -> Result<(), Failure> {
        let mut had_unsent = self.has_unsent();
        poll_fn(|context| {
            if had_unsent && self.poll_flush(context)?.is_ready() {
                had_unsent = false;
                return Poll::Ready(Ok(()));
            }
            self.poll_read(context)
        })
        .await
    }

    /// Says goodbye, and goes.
    pub(super) async fn close(mut self) {
        self.client.close();
        // Who does not listen any more need not be told.
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }
}

/// How reading or writing failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] rtmp::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("it is silent")]
    Silent,
}

impl Failure {
    /// Where the upstream has not been won yet.
    pub(super) fn while_opening(self) -> OpenError {
        match self {
            Self::Io(error) => OpenError::Io(error),
            Self::Protocol(error) => OpenError::Protocol(error),
            Self::Closed => OpenError::Closed,
            Self::Silent => OpenError::Timeout,
        }
    }

    /// Where it is lost by this.
    pub(super) fn while_joined(self) -> ReconnectReason {
        match self {
            Self::Io(_) | Self::Closed => ReconnectReason::Closed,
            Self::Protocol(error) => {
                warn_seldom!(key = error.to_string(), %error, "the upstream broke the protocol");
                ReconnectReason::Invalid
            }
            Self::Silent => ReconnectReason::Silent,
        }
    }
}
