//! An RTMP connection to an upstream that is to send one stream.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::auth::{Acknowledgement, Mark};
use crate::hub::Identity;
use crate::media::class::classify;
use crate::media::{Kind, Tag};
use crate::metrics::ReconnectReason;
use crate::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal, Status};

use super::PullContext;
use super::connection::OpenError;
use super::target::Target;
use super::upstreams::Candidate;
use super::wire::{Failure, OURS_DEAD_AFTER, PING_EVERY, Wire};

/// How long bytes of our own kind may come without adding up to a message, the answer to a ping not even: a connection
/// that trickles is of no use.
const OURS_STALLED_AFTER: Duration = Duration::from_secs(5);

/// How long an edge of this one's tier may take to accept us: there is another one, or the origin.
const SHIELD_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// An upstream that sends media.
#[derive(Debug)]
pub(super) struct RtmpConnection {
    wire: Wire,
    address: SocketAddr,
    /// The publish session at the far end.
    session: Identity,
    /// Whether the upstream has acknowledged our mark.
    is_ours: bool,
    /// Whether it knows the streams of all its peers.
    has_peers: bool,
    /// Tags that were read and not yet taken.
    tags: Vec<Tag>,
    /// For how long a foreign upstream may send no media.
    patience: Duration,
    last_message: Instant,
    last_media: Instant,
    last_ping: Instant,
}

impl RtmpConnection {
    /// Connects, asks for the stream and waits for its first media.
    pub(super) async fn open(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
        answered: impl FnOnce(),
    ) -> Result<Self, OpenError> {
        let mark = Mark::of_pull(&context.node);
        let limit = context.config().upstream.connect_timeout;
        let (mut connection, _) = Self::connected(context, candidate, target, mark, limit).await?;
        answered();
        connection.wait_for_media().await?;
        Ok(connection)
    }

    /// The same at an edge that is to fetch the stream for us.
    pub(super) async fn open_shield(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
    ) -> Result<Self, OpenError> {
        let mark = Mark::of_shielded_pull(&context.node);
        let limit = context.config().upstream.connect_timeout.min(SHIELD_CONNECT_TIMEOUT);
        let (mut connection, acknowledgement) = Self::connected(context, candidate, target, mark, limit).await?;
        let Some(acknowledgement) = acknowledgement else { return Err(OpenError::NotAShield) };
        if acknowledgement.node == context.node {
            return Err(OpenError::Itself);
        }
        if !acknowledgement.is_shield {
            return Err(OpenError::NotAShield);
        }
        connection.wait_for_media().await?;
        Ok(connection)
    }

    /// Connects, for no longer than `limit`, until the upstream has accepted us as whom `mark` says we are.
    async fn connected(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
        mark: Mark,
        limit: Duration,
    ) -> Result<(Self, Option<Acknowledgement>), OpenError> {
        let gate = context.upstreams.gate(candidate.address);
        // The time spent in front of the gate is not the upstream's.
        let permit = gate.acquire().await;
        let deadline = Instant::now() + limit;
        let client = ClientSession::new(ClientSettings {
            tc_url: format!("{}://{}/{}", candidate.scheme(), candidate.name, target.app),
            app: target.app.clone(),
            goal: Goal::Play { name: target.stream.clone() },
            mark: Some(context.sign(&mark)),
            chunk_size: context.config().rtmp.chunk_size,
            four_cc: true,
            reconnects: false,
        })?;
        let wire = Wire::dial(context, candidate, client, deadline).await?;
        let now = Instant::now();
        let mut connection = Self {
            wire,
            address: candidate.address,
            // A foreign upstream tells no session: each connection to it is one.
            session: Identity::random(),
            is_ours: false,
            has_peers: false,
            tags: Vec::new(),
            patience: context.config().upstream.read_timeout,
            last_message: now,
            last_media: now,
            last_ping: now,
        };
        let acknowledgement = timeout_at(deadline, connection.connect()).await.map_err(|_| OpenError::Timeout)??;
        // An upstream that has accepted us is busy with us no more than with any other.
        drop(permit);
        Ok((connection, acknowledgement))
    }

    /// Speaks until the upstream has accepted the connect command.
    async fn connect(&mut self) -> Result<Option<Acknowledgement>, OpenError> {
        loop {
            match self.wire.next_event().await? {
                ClientEvent::Connected { acknowledgement } => {
                    let acknowledgement = acknowledgement.as_deref().and_then(Acknowledgement::parse);
                    tracing::debug!(?acknowledgement, "connected");
                    self.is_ours = acknowledgement.is_some();
                    self.has_peers = acknowledgement.as_ref().is_some_and(|acknowledgement| acknowledgement.has_peers);
                    return Ok(acknowledgement);
                }
                event => self.take_while_opening(event)?,
            }
        }
    }

    /// Speaks until there is audio or video. One of our own kind that has a publisher may take its time to send some.
    async fn wait_for_media(&mut self) -> Result<(), OpenError> {
        self.last_media = Instant::now();
        loop {
            while let Some(event) = self.wire.client.next_event() {
                self.last_message = Instant::now();
                self.take_while_opening(event)?;
            }
            if self.has_media() {
                self.last_media = Instant::now();
                return Ok(());
            }
            self.wire.flush().await?;
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
            ClientEvent::Refused { code, .. } if code == Status::PlayStreamInLoop.code() => {
                return Err(OpenError::Loop);
            }
            ClientEvent::Refused { code, description, .. } if !code.contains("NotFound") => {
                return Err(OpenError::Refused { code, description });
            }
            ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => {
                return Err(OpenError::NotFound { code, knows_all: self.has_peers });
            }
            ClientEvent::Connected { .. }
            | ClientEvent::ReconnectRequested { .. }
            | ClientEvent::Pong(_)
            | ClientEvent::Answered { .. } => {}
        }
        Ok(())
    }

    fn has_media(&self) -> bool {
        self.tags.iter().any(|tag| tag.kind != Kind::Data)
    }

    /// Whom it leads to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
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
        self.wire.flush().await.map_err(|_| ReconnectReason::Closed)?;
        let heard = self.listen().await;
        self.take_in(heard)
    }

    /// Whether what the upstream sends may wait in the socket until [`read_waiting`](Self::read_waiting) takes it.
    pub(super) fn let_input_wait(&mut self, may_wait: bool) {
        self.wire.let_input_wait(may_wait);
    }

    /// Reads the tags that wait in the socket, or says how the upstream was lost.
    pub(super) fn read_waiting(&mut self) -> Result<(), ReconnectReason> {
        let heard = self.wire.read_waiting();
        self.take_in(heard)
    }

    /// Takes what a read has brought. What came before bad bytes is as good as ever.
    fn take_in(&mut self, heard: Result<(), Failure>) -> Result<(), ReconnectReason> {
        while let Some(event) = self.wire.client.next_event() {
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
                | ClientEvent::Pong(_)
                | ClientEvent::Answered { .. } => {}
            }
        }
        heard.map_err(Failure::while_joined)
    }

    /// Waits for bytes, as long as the upstream may be silent: one of our own kind is asked for a sign of life meanwhile.
    async fn listen(&mut self) -> Result<(), Failure> {
        loop {
            let dead_at = match self.is_ours {
                true => (self.wire.last_byte + OURS_DEAD_AFTER).min(self.last_message + OURS_STALLED_AFTER),
                false => self.last_media + self.patience,
            };
            let ping_at = self.last_ping + PING_EVERY;
            let alarm = if self.is_ours { dead_at.min(ping_at) } else { dead_at };
            match timeout_at(alarm, self.wire.read_once()).await {
                Ok(read) => return read,
                Err(_) if Instant::now() >= dead_at => return Err(Failure::Silent),
                Err(_) => {
                    self.last_ping = Instant::now();
                    self.wire.client.ping(0);
                    self.wire.flush().await?;
                }
            }
        }
    }

    /// Says that the stream is no longer wanted, and goes.
    pub(super) async fn close(self) {
        self.wire.close().await;
    }
}
