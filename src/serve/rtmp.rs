//! One RTMP connection: handshake, connect, then publishing or playing, as often as the peer likes.
//!
//! The server calls [`serve`] with an accepted socket. Media goes through `publish` and `play`; nothing here touches it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use crate::auth::{Action, Mark, PROPERTY, Standing};
use crate::hooks::{Attendance, Beginning, Caller};
use crate::media::stream_key::{NamedStream, StreamKey};
use crate::metrics::{AccessAction, Protocol, Reason};
use crate::net::socket;
use crate::net::stream::Stream;
use crate::rtmp::server::{ConnectRequest, ServerEvent, ServerSession, ServerSettings};
use crate::sessions::{About, ClientId, Count, Kind, Session};

use super::access::{Admission, Expiry, Refusal, Visitor};
use super::link::Link;
use super::{Accepted, COMMAND_TIMEOUT, HANDSHAKE_TIMEOUT, ServeContext, peer, play, publish};

/// The window in bytes in which both sides acknowledge what they received.
const ACKNOWLEDGEMENT_WINDOW: u32 = 2_500_000;

/// One connection that has been accepted.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) context: &'a ServeContext,
    pub(super) accepted: &'a Accepted,
    /// What is logged belongs to it. Playing enters it only to log: a span costs at every poll.
    pub(super) span: &'a Span,
    pub(super) link: Link,
    id: ClientId,
    /// What the connect command said.
    app: String,
    /// The client, as hooks are told of it.
    caller: Arc<Caller>,
    /// Tells the end of the connection.
    attendance: Option<Attendance>,
    about: About,
    /// What it does at present.
    pub(super) session: Option<Session>,
    /// Whether the log knows of a session that has ended.
    has_told: bool,
    /// Whether the peer has had a part of something, behind which nothing else can be said.
    pub(super) is_cut: bool,
    /// What the peer is, if it is a server that pulls.
    pub(super) standing: Option<Box<Standing>>,
    /// Whether the peer, as a publisher, goes elsewhere when it is asked to.
    pub(super) can_reconnect: bool,
}

/// Serves a connection until it ends, for whatever reason.
#[expect(clippy::manual_async_fn, reason = "an async fn is larger by all its arguments")]
pub fn serve(context: Arc<ServeContext>, stream: Stream, accepted: Accepted) -> impl Future<Output = ()> {
    async move {
        let id = context.sessions.next_id();
        let span = tracing::error_span!("rtmp", peer = %accepted.peer, %id);
        let (reason, has_told) = run(&context, stream, &accepted, &span, id).await;
        span.in_scope(|| context.connection_ended(Protocol::Rtmp, reason, has_told));
    }
}

/// Serves it, and tells why it ended and whether the log knows.
async fn run(context: &ServeContext, stream: Stream, accepted: &Accepted, span: &Span, id: ClientId) -> (Reason, bool) {
    if socket::prepare(stream.socket()).is_err() {
        // The peer is gone already.
        return (Reason::Probe, false);
    }
    let settings = ServerSettings {
        chunk_size: context.config.current().rtmp.chunk_size,
        window_acknowledgement: ACKNOWLEDGEMENT_WINDOW,
    };
    let link = Link::new(stream, ServerSession::new(settings), &context.metrics);
    let caller = Caller::new(id.to_string(), accepted.peer.ip(), String::new(), String::new(), None);
    let mut connection = Connection {
        context,
        accepted,
        span,
        link,
        id,
        app: String::new(),
        about: About::peer(accepted.peer),
        session: None,
        has_told: false,
        is_cut: false,
        caller: Arc::new(caller),
        attendance: None,
        standing: None,
        can_reconnect: false,
    };
    let Err(reason) = connection.run().await;
    connection.leave(reason);
    let has_told = connection.has_told;
    // What the session has left to say explains the end to the peer.
    let hears_nothing = matches!(reason, Reason::PeerClosed | Reason::PeerLost | Reason::Probe | Reason::SlowPlayer);
    if !hears_nothing && !connection.is_cut {
        connection.link.say_goodbye().await;
    }
    if let Some(attendance) = &mut connection.attendance {
        let (sent, received) = connection.link.bytes();
        attendance.note_bytes(sent, received);
    }
    (reason, has_told)
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<Infallible, Reason> {
        let span = self.span;
        self.shake_hands().instrument(span.clone()).await?;
        loop {
            match self.next_command().instrument(span.clone()).await? {
                ServerEvent::Connect(request) => self.connect(*request).instrument(span.clone()).await?,
                ServerEvent::Publish(request) => {
                    // Boxed, so that no player has to have room for a publisher.
                    Box::pin(publish::run(self, &request.name)).instrument(span.clone()).await?;
                    self.leave(Reason::PeerClosed);
                }
                ServerEvent::Play(request) => {
                    play::run(self, &request.name).await?;
                    self.leave(Reason::PeerClosed);
                }
                ServerEvent::Call(call) => return peer::run(self, &call).instrument(span.clone()).await,
                ServerEvent::Media(_) | ServerEvent::Pause(_) | ServerEvent::StreamClosed | ServerEvent::Pong(_) => {}
            }
        }
    }

    async fn shake_hands(&mut self) -> Result<(), Reason> {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        while !self.link.session.handshake_done() {
            let read = self.link.read();
            unless_stopped(self.context, timeout_at(deadline, read)).await?.map_err(|_| Reason::HandshakeTimeout)??;
            self.link.flush().await?;
            self.link.check()?;
        }
        Ok(())
    }

    /// The next thing that the peer wants. It has [`COMMAND_TIMEOUT`] to say so.
    async fn next_command(&mut self) -> Result<ServerEvent, Reason> {
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        loop {
            let event = self.link.next_event()?;
            self.link.flush().await?;
            match event {
                // Leftovers of a publish or play that is over, and signs of life, which are nothing that a peer wants.
                Some(
                    ServerEvent::Media(_) | ServerEvent::Pause(_) | ServerEvent::StreamClosed | ServerEvent::Pong(_),
                ) => {
                    continue;
                }
                Some(event) => return Ok(event),
                None => {}
            }
            let read = self.link.read();
            unless_stopped(self.context, timeout_at(deadline, read)).await?.map_err(|_| Reason::CommandTimeout)??;
        }
    }

    async fn connect(&mut self, request: ConnectRequest) -> Result<(), Reason> {
        self.accepted.handshake.complete();
        self.standing = self.context.marks.judge(request.mark.as_deref()).map(Box::new);
        // Behind the app there may be what the client shows.
        let app = request.app.split('?').next().unwrap_or_default();
        tracing::debug!(app, flash_version = request.flash_version, standing = ?self.standing, "connect");
        if !self.context.has_room(self.accepted, Protocol::Rtmp, self.standing.as_deref()) {
            self.link.session.reject_connect("the server has no room for another connection");
            return Err(Reason::TooManyConnections);
        }
        self.app = request.app;
        self.about = About {
            peer: self.accepted.peer,
            is_server: self.standing.is_some(),
            agent: request.flash_version.unwrap_or_default(),
            url: request.tc_url.unwrap_or_default(),
            page: request.page_url.unwrap_or_default(),
        };
        let (tc_url, page) = (self.about.url.clone(), Some(self.about.page.clone()));
        Box::pin(self.attend(Some(tc_url), page)).await?;
        // Servers of ours can, be they verified or not.
        self.can_reconnect = request.can_reconnect || self.standing.is_some();
        match &self.standing {
            Some(standing) => {
                let acknowledgement = self.context.acknowledgement(standing);
                self.link.session.accept_connect(&[(PROPERTY, &acknowledgement)]);
            }
            None => self.link.session.accept_connect(&[]),
        }
        if self.context.cluster.is_some() && matches!(self.standing.as_deref(), Some(Standing::Verified(_))) {
            self.link.session.take_calls();
        }
        Ok(())
    }

    /// Enters what the peer does with a stream, until it [leaves](Self::leave).
    pub(super) fn enter(&mut self, kind: Kind, key: &StreamKey) -> Count {
        let session = self.context.sessions.enter(self.id, kind, key, self.about.clone());
        let count = session.count();
        self.link.count = Some(session.count());
        self.session = Some(session);
        count
    }

    fn leave(&mut self, reason: Reason) {
        self.link.count = None;
        if let Some(session) = self.session.take() {
            session.end(reason.label());
            self.has_told = true;
        }
    }

    /// What the peer says of itself, if it is a server that pulls.
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.standing.as_deref().and_then(Standing::mark)
    }

    /// Asks whether the client may connect at all.
    async fn attend(&mut self, tc_url: Option<String>, page: Option<String>) -> Result<(), Reason> {
        let app = self.app.split('?').next().unwrap_or_default().trim_matches('/').to_owned();
        let (id, address) = (self.caller.id.clone(), self.accepted.peer.ip());
        self.caller = Arc::new(Caller::new(id, address, app, tc_url.unwrap_or_default(), page));
        if self.is_verified() {
            return Ok(());
        }
        let (context, caller) = (self.context, Arc::clone(&self.caller));
        let mut asked = pin!(context.hooks.begin(Beginning::Connect, &caller, None, None));
        let begun = loop {
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return Err(Reason::Shutdown),
                begun = asked.as_mut() => break begun,
                // What it wants next stays in the session, as far as there is room.
                read = self.link.read() => read?,
            }
            self.link.check()?;
        };
        match begun {
            Ok(attendance) => self.attendance = Some(attendance),
            Err(refusal) => {
                let label = Refusal::from(refusal).label();
                context.metrics.access.refusals(AccessAction::Connect, label).inc();
                tracing::info!(%refusal, "the connection is refused");
                self.link.session.reject_connect(&refusal.to_string());
                return Err(Reason::AccessDenied);
            }
        }
        Ok(())
    }

    /// Whether the peer has proved to be a server of the cluster.
    fn is_verified(&self) -> bool {
        matches!(self.standing.as_deref(), Some(Standing::Verified(_)))
    }

    /// Whether the client may do `action` with the stream, and until when. `None` if it has lost its patience first.
    pub(super) async fn admit(
        &mut self,
        action: Action,
        named: &NamedStream,
        count: &mut Count,
    ) -> Result<Option<Result<Admission, Refusal>>, Reason> {
        let context = self.context;
        let visitor = Visitor {
            address: self.accepted.peer.ip(),
            query: &named.query,
            bearer: None,
            page: Some(self.caller.page_url.as_str()).filter(|page| !page.is_empty()),
        };
        let decided = context.decide(action, &named.key, &visitor, self.standing.as_deref());
        let admission = match decided {
            Ok(grant) => {
                let caller = Arc::clone(&self.caller);
                let (key, query) = (named.key.clone(), named.query.clone());
                let attended = context.attend(action, caller, key, query, self.is_verified());
                let Some(attended) = self.while_listening(attended, count).await? else { return Ok(None) };
                attended.map(|attendance| Admission { expiry: Expiry::of(grant), attendance }).map_err(Refusal::from)
            }
            Err(denial) => Err(denial.into()),
        };
        if let Err(refusal) = &admission {
            self.span.in_scope(|| context.note_refusal(action, &named.key, refusal));
        }
        Ok(Some(admission))
    }

    /// Runs `future` while the client is listened to. `None` if it takes its request back meanwhile.
    pub(super) async fn while_listening<T>(
        &mut self,
        future: impl Future<Output = T>,
        count: &mut Count,
    ) -> Result<Option<T>, Reason> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Err(Reason::Shutdown),
                output = future.as_mut() => return Ok(Some(output)),
                () = count.kicked() => return Err(Reason::Kicked),
                read = self.link.read() => read?,
            }
            // What else it sends before it is answered is media too early.
            while let Some(event) = self.link.next_event()? {
                if event == ServerEvent::StreamClosed {
                    return Ok(None);
                }
            }
            self.link.flush().await?;
        }
    }

    /// The stream that `name` means in this connection's app; the peer is told if it means none.
    pub(super) fn stream_named(
        &mut self,
        name: &str,
        refuse: fn(&mut ServerSession, &str),
    ) -> Result<NamedStream, Reason> {
        StreamKey::parse(&self.app, name).map_err(|error| {
            tracing::debug!(%error, "name refused");
            refuse(&mut self.link.session, &error.to_string());
            Reason::NameInvalid
        })
    }
}

/// Runs `future` to its end, unless the server stops before.
pub(super) async fn unless_stopped<T>(context: &ServeContext, future: impl Future<Output = T>) -> Result<T, Reason> {
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(Reason::Shutdown),
        output = future => Ok(output),
    }
}
