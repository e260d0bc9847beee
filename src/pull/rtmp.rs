//! An RTMP connection to an upstream that is to send one stream.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::auth::Acknowledgement;
use crate::hub::Identity;
use crate::media::class::classify;
use crate::media::{Kind, Tag};
use crate::metrics::{Protocol, ReconnectReason};
use crate::net::{scratch, socket};
use crate::rtmp::{self, ClientEvent, ClientSession, ClientSettings, Goal};

use super::PullContext;
use super::connection::OpenError;
use super::target::Target;
use super::upstreams::Candidate;

/// How long an upstream may take to take the few bytes that we send it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often an upstream of our own kind is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long an upstream of our own kind may be silent: it answers pings.
const OURS_DEAD_AFTER: Duration = Duration::from_secs(3);
/// How long its bytes may come without adding up to a message, the answer to a ping not even: a connection that trickles
/// is of no use.
const OURS_STALLED_AFTER: Duration = Duration::from_secs(5);

/// An upstream that sends media.
#[derive(Debug)]
pub(super) struct RtmpConnection {
    socket: TcpStream,
    client: ClientSession,
    received: Counter,
    /// The publish session at the far end.
    session: Identity,
    /// Whether the upstream has acknowledged our mark.
    is_ours: bool,
    /// Tags that were read and not yet taken.
    tags: Vec<Tag>,
    unsent: Bytes,
    /// For how long a foreign upstream may send no media.
    patience: Duration,
    last_byte: Instant,
    last_message: Instant,
    last_media: Instant,
    last_ping: Instant,
}

impl RtmpConnection {
    /// Connects, asks for the stream and waits for its first media.
    pub(super) async fn open(context: &PullContext, candidate: &Candidate, target: &Target) -> Result<Self, OpenError> {
        let gate = context.upstreams.gate(candidate.address);
        // The time spent in front of the gate is not the upstream's.
        let permit = gate.acquire().await;
        let deadline = Instant::now() + context.settings.connect_timeout;
        let connect = timeout_at(deadline, TcpStream::connect(candidate.address)).await;
        let socket = connect.map_err(|_| OpenError::Timeout)?.map_err(OpenError::Connect)?;
        socket::prepare(&socket)?;
        let client = ClientSession::new(ClientSettings {
            tc_url: format!("rtmp://{}/{}", candidate.name, target.app),
            app: target.app.clone(),
            goal: Goal::Play { name: target.stream.clone() },
            mark: Some(context.mark()),
            chunk_size: context.chunk_size,
            four_cc: true,
            reconnects: false,
        })?;
        let now = Instant::now();
        let mut connection = Self {
            socket,
            client,
            received: context.metrics.ingress_bytes(Protocol::Rtmp),
            // A foreign upstream tells no session: each connection to it is one.
            session: Identity::random(),
            is_ours: false,
            tags: Vec::new(),
            unsent: Bytes::new(),
            patience: context.settings.read_timeout,
            last_byte: now,
            last_message: now,
            last_media: now,
            last_ping: now,
        };
        timeout_at(deadline, connection.connect()).await.map_err(|_| OpenError::Timeout)??;
        // An upstream that has accepted us is busy with us no more than with any other.
        drop(permit);
        connection.wait_for_media().await?;
        Ok(connection)
    }

    /// Speaks until the upstream has accepted the connect command.
    async fn connect(&mut self) -> Result<(), OpenError> {
        loop {
            self.flush().await?;
            self.read_once().await.map_err(Failure::while_opening)?;
            while let Some(event) = self.client.next_event() {
                match event {
                    ClientEvent::Connected { acknowledgement } => {
                        let acknowledgement = acknowledgement.as_deref().and_then(Acknowledgement::parse);
                        tracing::debug!(?acknowledgement, "connected");
                        self.is_ours = acknowledgement.is_some();
                        return Ok(());
                    }
                    event => self.take_while_opening(event)?,
                }
            }
        }
    }

    /// Speaks until there is audio or video. One of our own kind that has a publisher may take its time to send some.
    async fn wait_for_media(&mut self) -> Result<(), OpenError> {
        self.last_media = Instant::now();
        loop {
            while let Some(event) = self.client.next_event() {
                self.last_message = Instant::now();
                self.take_while_opening(event)?;
            }
            if self.has_media() {
                self.last_media = Instant::now();
                return Ok(());
            }
            self.flush().await?;
            self.listen().await.map_err(Failure::while_opening)?;
        }
    }

    fn take_while_opening(&mut self, event: ClientEvent) -> Result<(), OpenError> {
        match event {
            ClientEvent::Started { session } => {
                if let Some(session) = session.as_deref().and_then(Identity::from_peer) {
                    self.session = session;
                }
            }
            // Of metadata, and of other data, before the first media the latest is enough.
            ClientEvent::Media(tag) if tag.kind == Kind::Data && !self.has_media() => {
                self.tags.retain(|known| classify(known).0 != classify(&tag).0);
                self.tags.push(tag);
            }
            ClientEvent::Media(tag) => self.tags.push(tag),
            ClientEvent::Refused { redirect: Some(location), .. } => return Err(OpenError::Redirected { location }),
            ClientEvent::Refused { code, description, .. } if !code.contains("NotFound") => {
                return Err(OpenError::Refused { code, description });
            }
            ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => {
                return Err(OpenError::NotFound { code });
            }
            ClientEvent::Connected { .. } | ClientEvent::ReconnectRequested { .. } | ClientEvent::Pong(_) => {}
        }
        Ok(())
    }

    fn has_media(&self) -> bool {
        self.tags.iter().any(|tag| tag.kind != Kind::Data)
    }

    /// The publish session at the far end; the same one, as long as its publisher stays.
    pub(super) fn session(&self) -> &Identity {
        &self.session
    }

    /// The tags read since the last call.
    pub(super) fn take_tags(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.tags)
    }

    /// Reads more tags, or says how the upstream was lost. Dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<(), ReconnectReason> {
        self.flush().await.map_err(|_| ReconnectReason::Closed)?;
        let heard = self.listen().await.map_err(Failure::while_pulling);
        // What came before bad bytes is as good as ever.
        while let Some(event) = self.client.next_event() {
            self.last_message = Instant::now();
            match event {
                ClientEvent::Media(tag) => {
                    if tag.kind != Kind::Data {
                        self.last_media = Instant::now();
                    }
                    self.tags.push(tag);
                }
                ClientEvent::Ended { .. } | ClientEvent::Refused { .. } => return Err(ReconnectReason::Ended),
                // A pull goes where its publisher goes: it ends with it, and looks again.
                ClientEvent::Connected { .. }
                | ClientEvent::Started { .. }
                | ClientEvent::ReconnectRequested { .. }
                | ClientEvent::Pong(_) => {}
            }
        }
        heard
    }

    /// Waits for bytes, as long as the upstream may be silent: one of our own kind is asked for a sign of life meanwhile.
    async fn listen(&mut self) -> Result<(), Failure> {
        loop {
            let dead_at = match self.is_ours {
                true => (self.last_byte + OURS_DEAD_AFTER).min(self.last_message + OURS_STALLED_AFTER),
                false => self.last_media + self.patience,
            };
            let ping_at = self.last_ping + PING_EVERY;
            let alarm = if self.is_ours { dead_at.min(ping_at) } else { dead_at };
            match timeout_at(alarm, self.read_once()).await {
                Ok(read) => return read,
                Err(_) if Instant::now() >= dead_at => return Err(Failure::Silent),
                Err(_) => {
                    self.last_ping = Instant::now();
                    self.client.ping(0);
                    self.flush().await?;
                }
            }
        }
    }

    /// Says that the stream is no longer wanted, and goes.
    pub(super) async fn close(mut self) {
        self.client.close();
        // Who does not listen any more need not be told.
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
    }

    async fn read_once(&mut self) -> Result<(), Failure> {
        let Self { socket, client, received, .. } = self;
        let mut fed = Ok(());
        let count = scratch::read(socket, |bytes| fed = client.feed(bytes)).await?;
        if count == 0 {
            return Err(Failure::Closed);
        }
        received.inc_by(count as u64);
        self.last_byte = Instant::now();
        Ok(fed?)
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

/// How reading failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
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
    fn while_opening(self) -> OpenError {
        match self {
            Self::Io(error) => OpenError::Io(error),
            Self::Protocol(error) => OpenError::Protocol(error),
            Self::Closed => OpenError::Closed,
            Self::Silent => OpenError::Timeout,
        }
    }

    fn while_pulling(self) -> ReconnectReason {
        match self {
            Self::Io(_) | Self::Closed => ReconnectReason::Closed,
            Self::Protocol(error) => {
                tracing::warn!(%error, "the upstream broke the protocol");
                ReconnectReason::Invalid
            }
            Self::Silent => ReconnectReason::Silent,
        }
    }
}
