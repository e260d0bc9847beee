//! One RTMP connection to an upstream that is to send one stream.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::auth::{Acknowledgement, Mark};
use crate::config::OriginAddress;
use crate::hub::Identity;
use crate::media::class::classify;
use crate::media::stream_key::StreamKey;
use crate::media::{Kind, Tag};
use crate::metrics::{ConnectResult, Protocol, ReconnectReason};
use crate::net::{scratch, socket};
use crate::rtmp::{self, ClientEvent, ClientSession, ClientSettings, Goal};

use super::PullContext;

/// How long an upstream may take to take the few bytes that we send it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// One address to pull one stream from.
#[derive(Debug)]
pub(super) struct Upstream<'a> {
    pub(super) origin: &'a OriginAddress,
    pub(super) address: SocketAddr,
    pub(super) key: &'a StreamKey,
}

/// Why an upstream did not come to send media.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("it takes too long")]
    Timeout,
    #[error("it closed the connection")]
    Closed,
    #[error("it broke the protocol: {0}")]
    Protocol(#[from] rtmp::Error),
    #[error("it does not have the stream ({code})")]
    NotFound { code: String },
    #[error("it refuses: {code} {description}")]
    Refused { code: String, description: String },
}

impl OpenError {
    /// What the metric calls it.
    pub(super) const fn result(&self) -> ConnectResult {
        match self {
            Self::NotFound { .. } => ConnectResult::NotFound,
            Self::Refused { .. } => ConnectResult::Refused,
            _ => ConnectResult::Failed,
        }
    }
}

/// An upstream that sends media.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    client: ClientSession,
    received: Counter,
    /// The publish session at the far end.
    session: Identity,
    /// Tags that were read and not yet taken.
    tags: Vec<Tag>,
    unsent: Bytes,
    last_read: Instant,
}

impl Connection {
    /// Connects, asks for the stream and waits for its first media.
    pub(super) async fn open(context: &PullContext, upstream: &Upstream<'_>) -> Result<Self, OpenError> {
        let deadline = Instant::now() + context.settings.connect_timeout;
        let connect = timeout_at(deadline, TcpStream::connect(upstream.address)).await;
        let socket = connect.map_err(|_| OpenError::Timeout)?.map_err(OpenError::Connect)?;
        socket::prepare(&socket)?;
        let (app, name) = upstream.key.to_wire();
        let client = ClientSession::new(ClientSettings {
            tc_url: format!("rtmp://{}/{app}", upstream.origin),
            app,
            goal: Goal::Play { name },
            mark: Some(Mark::of_pull(&context.node).to_text()),
            chunk_size: context.chunk_size,
            four_cc: true,
        })?;
        let mut connection = Self {
            socket,
            client,
            received: context.metrics.ingress_bytes(Protocol::Rtmp),
            // A foreign upstream tells no session: each connection to it is one.
            session: Identity::random(),
            tags: Vec::new(),
            unsent: Bytes::new(),
            last_read: Instant::now(),
        };
        connection.begin(deadline, context.settings.read_timeout).await?;
        Ok(connection)
    }

    /// Speaks until media comes: the connect until `deadline`, what follows for at most `patience`.
    async fn begin(&mut self, deadline: Instant, patience: Duration) -> Result<(), OpenError> {
        let mut deadline = deadline;
        loop {
            while let Some(event) = self.client.next_event() {
                match event {
                    ClientEvent::Connected { acknowledgement } => {
                        let acknowledgement = acknowledgement.as_deref().and_then(Acknowledgement::parse);
                        tracing::debug!(?acknowledgement, "connected");
                        deadline = Instant::now() + patience;
                    }
                    ClientEvent::Started { session } => {
                        if let Some(session) = session.as_deref().and_then(Identity::from_peer) {
                            self.session = session;
                        }
                        deadline = Instant::now() + patience;
                    }
                    // Of metadata, and of other data, before the first media the latest is enough.
                    ClientEvent::Media(tag) if tag.kind == Kind::Data && !self.has_media() => {
                        self.tags.retain(|known| classify(known).0 != classify(&tag).0);
                        self.tags.push(tag);
                    }
                    ClientEvent::Media(tag) => self.tags.push(tag),
                    ClientEvent::Refused { code, description, .. } if !code.contains("NotFound") => {
                        return Err(OpenError::Refused { code, description });
                    }
                    ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => {
                        return Err(OpenError::NotFound { code });
                    }
                    ClientEvent::Pong(_) => {}
                }
            }
            if self.has_media() {
                self.last_read = Instant::now();
                return Ok(());
            }
            self.flush().await?;
            match timeout_at(deadline, self.read_once()).await {
                Ok(Ok(0)) => return Err(OpenError::Closed),
                Ok(read) => read.map_err(|error| error.into_open_error())?,
                Err(_) => return Err(OpenError::Timeout),
            };
        }
    }

    fn has_media(&self) -> bool {
        self.tags.iter().any(|tag| tag.kind != Kind::Data)
    }

    /// The publish session at the far end; the same one, as long as its publisher stays.
    pub(super) fn session(&self) -> &Identity {
        &self.session
    }

    /// The tags read since the last call.
    pub(super) fn take_tags(&mut self) -> impl Iterator<Item = Tag> {
        self.tags.drain(..)
    }

    /// Reads more tags, unless nothing comes for `patience`. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, patience: Duration) -> Result<(), ReconnectReason> {
        let deadline = self.last_read + patience;
        let read = match timeout_at(deadline, self.read_once()).await {
            Ok(Ok(0)) => return Err(ReconnectReason::Closed),
            Ok(Ok(_)) => {
                self.last_read = Instant::now();
                Ok(())
            }
            Ok(Err(ReadError::Io(_))) => return Err(ReconnectReason::Closed),
            Ok(Err(ReadError::Protocol(error))) => {
                tracing::warn!(%error, "the upstream broke the protocol");
                Err(ReconnectReason::Invalid)
            }
            Err(_) => return Err(ReconnectReason::Silent),
        };
        // What came before bad bytes is as good as ever.
        while let Some(event) = self.client.next_event() {
            match event {
                ClientEvent::Media(tag) => self.tags.push(tag),
                ClientEvent::Ended { .. } | ClientEvent::Refused { .. } => return Err(ReconnectReason::Ended),
                ClientEvent::Connected { .. } | ClientEvent::Started { .. } | ClientEvent::Pong(_) => {}
            }
        }
        read?;
        self.flush().await.map_err(|_| ReconnectReason::Closed)
    }

    /// Says that the stream is no longer wanted, and goes.
    pub(super) async fn close(mut self) {
        self.client.close();
        // Who does not listen any more need not be told.
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
    }

    async fn read_once(&mut self) -> Result<usize, ReadError> {
        let Self { socket, client, received, .. } = self;
        let mut fed = Ok(());
        let count = scratch::read(socket, |bytes| fed = client.feed(bytes)).await?;
        received.inc_by(count as u64);
        fed?;
        Ok(count)
    }

    /// Sends what the session has to say. What a dropped future did not get to send, the next one sends.
    async fn flush(&mut self) -> io::Result<()> {
        let write = async {
            loop {
                if self.unsent.is_empty() {
                    self.unsent = self.client.take_output();
                }
                if self.unsent.is_empty() {
                    return Ok(());
                }
                let written = self.socket.write(&self.unsent).await?;
                self.unsent.advance(written);
            }
        };
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] rtmp::Error),
}

impl ReadError {
    fn into_open_error(self) -> OpenError {
        match self {
            Self::Io(error) => OpenError::Io(error),
            Self::Protocol(error) => OpenError::Protocol(error),
        }
    }
}
