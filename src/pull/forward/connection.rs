//! A connection on which one stream is published to an origin.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::auth::Acknowledgement;
use crate::media::Tag;
use crate::media::packet::Packet;
use crate::pull::PullContext;
use crate::pull::connection::OpenError;
use crate::pull::upstreams::Candidate;
use crate::pull::wire::{Failure, OURS_DEAD_AFTER, PING_EVERY, Wire};
use crate::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::publication::Publication;

/// How long an origin that has accepted the connection may take to decide about the publisher: it may ask others.
const DECISION_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to an origin.
#[derive(Debug)]
pub(super) struct ForwardConnection {
    wire: Wire,
    candidate: Candidate,
    /// The origin's node id, if it has acknowledged our mark.
    node: Option<String>,
    /// For how long the origin may take none of what it is sent.
    patience: Duration,
    last_ping: Instant,
}

/// What an origin says about a publisher that it has accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It would like to be left.
    AskedToMove,
    /// It has ended the publisher.
    Ended {
        /// The status code.
        code: String,
    },
}

impl ForwardConnection {
    /// Connects, and waits until the origin has accepted the connection. It is not asked to take the publisher yet.
    pub(super) async fn connect(
        context: &PullContext,
        candidate: &Candidate,
        publication: &Publication,
    ) -> Result<Self, OpenError> {
        let gate = context.upstreams.gate(candidate.address);
        // The time spent in front of the gate is not the origin's.
        let _permit = gate.acquire().await;
        let deadline = Instant::now() + context.config().upstream.connect_timeout;
        let mut client = ClientSession::new(ClientSettings {
            tc_url: format!("{}://{}/{}", candidate.scheme(), candidate.name, publication.app()),
            app: publication.app().to_owned(),
            goal: Goal::Publish { name: publication.name() },
            mark: Some(publication.mark(context)),
            chunk_size: context.config().rtmp.chunk_size,
            four_cc: true,
            reconnects: true,
        })?;
        client.publish_to_ours_as(publication.name_for_ours());
        let wire = Wire::dial(context, candidate, client, deadline).await?;
        let mut connection = Self {
            wire,
            candidate: candidate.clone(),
            node: None,
            patience: context.config().upstream.read_timeout,
            last_ping: Instant::now(),
        };
        timeout_at(deadline, connection.shake_hands()).await.map_err(|_| OpenError::Timeout)??;
        Ok(connection)
    }

    async fn shake_hands(&mut self) -> Result<(), OpenError> {
        loop {
            match self.wire.next_event().await? {
                ClientEvent::Connected { acknowledgement } => {
                    let acknowledgement = acknowledgement.as_deref().and_then(Acknowledgement::parse);
                    self.node = acknowledgement.map(|acknowledgement| acknowledgement.node);
                    return Ok(());
                }
                event => refusal(event)?,
            }
        }
    }

    /// Asks the origin to take the publisher, and waits until it has.
    pub(super) async fn publish(&mut self) -> Result<(), OpenError> {
        let decision = async {
            loop {
                while let Some(event) = self.wire.client.next_event() {
                    match event {
                        ClientEvent::Started { .. } => return Ok(()),
                        event => refusal(event)?,
                    }
                }
                self.attend().await.map_err(Failure::while_opening)?;
            }
        };
        timeout(DECISION_TIMEOUT, decision).await.map_err(|_| OpenError::Timeout)?
    }

    /// Where it leads.
    pub(super) fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// The origin's node id, if it is one of our own kind.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Whether the origin has been sent all that was written.
    pub(super) fn is_idle(&mut self) -> bool {
        !self.wire.has_unsent()
    }

    /// Sends what was written and hears what the origin says, until either has happened. An origin of our own kind is
    /// asked for a sign of life meanwhile; a foreign one shows it by taking what it is sent.
    pub(super) async fn attend(&mut self) -> Result<(), Failure> {
        loop {
            let stalled_at = self.wire.has_unsent().then(|| self.wire.last_progress + self.patience);
            let is_ours = self.node.is_some();
            let dead_at = is_ours.then(|| self.wire.last_byte + OURS_DEAD_AFTER);
            let ping_at = is_ours.then(|| self.last_ping + PING_EVERY);
            let given_up_at = [stalled_at, dead_at].into_iter().flatten().min();
            let Some(alarm) = [given_up_at, ping_at].into_iter().flatten().min() else {
                return self.wire.exchange().await;
            };
            match timeout_at(alarm, self.wire.exchange()).await {
                Ok(exchanged) => return exchanged,
                Err(_) if given_up_at.is_some_and(|at| Instant::now() >= at) => return Err(Failure::Silent),
                Err(_) => {
                    self.last_ping = Instant::now();
                    self.wire.client.ping(0);
                }
            }
        }
    }

    /// What the origin has said.
    pub(super) fn next_word(&mut self) -> Option<Word> {
        loop {
            match self.wire.client.next_event()? {
                ClientEvent::Ended { code } | ClientEvent::Refused { code, .. } => return Some(Word::Ended { code }),
                ClientEvent::ReconnectRequested { .. } => return Some(Word::AskedToMove),
                ClientEvent::Connected { .. }
                | ClientEvent::Started { .. }
                | ClientEvent::Media(_)
                | ClientEvent::Pong(_)
                | ClientEvent::Answered { .. } => {}
            }
        }
    }

    /// Writes packets, with the timestamps that they have in the ring. [`attend`](Self::attend) sends them.
    pub(super) fn write(&mut self, packets: &[Packet]) {
        for packet in packets {
            let tag = Tag { kind: packet.kind, timestamp: packet.wire_timestamp(), payload: packet.payload.clone() };
            self.wire.client.write_tag(&tag);
        }
    }

    /// Ends the publishing, and goes.
    pub(super) async fn close(self) {
        self.wire.close().await;
    }
}

/// What an origin says before it has accepted the publisher, if that is a no.
fn refusal(event: ClientEvent) -> Result<(), OpenError> {
    match event {
        ClientEvent::Refused { code, description, .. } => Err(OpenError::Refused { code, description }),
        ClientEvent::Ended { code } => Err(OpenError::Refused { code, description: String::new() }),
        _ => Ok(()),
    }
}
