//! An RTMP client that publishes: from its events into the hub.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::auth::{Action, Standing};
use crate::config::{self, Role};
use crate::hub::{Identity, Permit, PublishError, PublishRequest, Publisher, Source};
use crate::media::Tag;
use crate::media::stream_key::StreamKey;
use crate::metrics::Reason;
use crate::rtmp::server::ServerEvent;
use crate::rtmp::status::Status;
use crate::seldom::warn_seldom;
use crate::sessions::{Count, Kind};

use super::access::{Admission, Expiry};
use super::allowance::Allowance;
use super::departure::{Departure, Due};
use super::heartbeat::{Beat, Heartbeat};
use super::orders::{Orders, Tokens};
use super::rtmp::Connection;

/// Takes what the client publishes as `name`, until it stops publishing (`Ok`) or the connection ends.
pub(super) async fn run(connection: &mut Connection<'_>, name: &str) -> Result<(), Reason> {
    let named = connection.stream_named(name, |session, description| {
        session.reject_publish(Status::PublishBadName, description);
    })?;
    let mut count = connection.enter(Kind::Publish, &named.key);
    let settings = connection.context.config.current().publish_for(named.key.app());
    if !settings.enabled {
        let description = "this server takes no publishers for this app";
        connection.link.session.reject_publish(Status::PublishDenied, description);
        return Err(Reason::PublishDisabled);
    }
    let Some(admission) = Box::pin(connection.admit(Action::Publish, &named, &mut count)).await? else { return Ok(()) };
    let Admission { expiry, mut attendance } = match admission {
        Ok(admission) => admission,
        Err(refusal) => {
            connection.link.session.reject_publish(Status::PublishDenied, &refusal.to_string());
            return Err(Reason::AccessDenied);
        }
    };
    let request = request(connection, &settings, named.query);
    attendance.note_session(request.session.as_str());
    if !is_welcome(connection, &named.key, &request) {
        let description = "this server is going and takes no new stream; publish to another one";
        connection.link.session.reject_publish(Status::ConnectAppShutdown, description);
        return Err(Reason::Drained);
    }
    let Some(admitted) = admit(connection, &named.key, request, &mut count).await? else { return Ok(()) };
    let (mut publisher, permit) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            let (code, reason) = refusal(&error);
            connection.link.session.reject_publish_as(code, &error.to_string());
            return Err(reason);
        }
    };
    attendance.note_stream(connection.context.hub.stream_id(&named.key).map(|id| id.to_string()));
    attendance.note_session(publisher.session().as_str());
    connection.link.session.accept_publish();
    if let Some(session) = &connection.session {
        session.has_name();
    }
    let publishers = connection.context.metrics.publishers.clone();
    publishers.inc();
    tracing::info!(stream = %named.key, session = %publisher.session(), "publishing");
    let ended = take(connection, &settings, &mut publisher, &permit, expiry, count).await;
    publishers.dec();
    // Before the right to the name goes: whoever passes the stream on gets its last packets.
    drop(publisher);
    drop(permit);
    drop(attendance);
    let (status, reason) = match ended {
        Ok(()) => {
            tracing::info!(stream = %named.key, "published");
            return Ok(());
        }
        Err(reason @ Reason::PublishReplaced) => (Status::PublishBadName, reason),
        Err(reason) => (Status::UnpublishSuccess, reason),
    };
    let description = match reason {
        Reason::PublishReplaced => "another publisher has the stream",
        Reason::PublishSilent => "nothing came for too long",
        Reason::AccessExpired => "the URL or token has expired",
        Reason::PublishTooFast => "more came for too long than may come",
        Reason::Drained | Reason::Shutdown => "the server is going",
        Reason::Kicked => "an operator has ended the session",
        other => other.label(),
    };
    connection.link.session.end_publish(status, description);
    Err(reason)
}

/// What the client asks for. A server that forwards a publisher brings the publisher's session with it.
fn request(connection: &Connection<'_>, settings: &config::Publish, query: String) -> PublishRequest {
    let forwarded = match connection.standing.as_deref() {
        Some(Standing::Verified(mark)) => mark.session.as_deref().and_then(Identity::from_peer),
        _ => None,
    };
    PublishRequest {
        source: Source::Client { address: connection.accepted.peer.ip().to_canonical(), query },
        takes_over: forwarded.is_some(),
        session: forwarded.unwrap_or_else(Identity::random),
        resume_timeout: settings.resume_timeout,
    }
}

/// Whether this server takes the publisher as far as a drain is concerned: an origin then takes none that it does not have
/// already.
fn is_welcome(connection: &Connection<'_>, key: &StreamKey, request: &PublishRequest) -> bool {
    let context = connection.context;
    context.config.current().role == Role::Edge
        || !context.drain.is_ordered()
        || (request.takes_over && context.hub.is_published_by(key, &request.session))
}

/// Gets the name, if whoever has a say in it agrees. `None` if the client has lost its patience first.
async fn admit(
    connection: &mut Connection<'_>,
    key: &StreamKey,
    request: PublishRequest,
    count: &mut Count,
) -> Result<Option<Result<(Publisher, Permit), PublishError>>, Reason> {
    let context = connection.context;
    // Given back behind the last line: by then the publisher is there, if it may be.
    let _expected = context.hub.expect(key);
    tracing::debug!(stream = %key, "a publisher asks for the name");
    let permit = {
        let mut asked = pin!(context.hub.admit(key, &request));
        loop {
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return Err(Reason::Shutdown),
                permit = asked.as_mut() => break permit,
                () = count.kicked() => return Err(Reason::Kicked),
                read = connection.link.read() => read?,
            }
            // What it sends before it may is media too early, or its goodbye.
            while let Some(event) = connection.link.next_event()? {
                if event == ServerEvent::StreamClosed {
                    return Ok(None);
                }
            }
            connection.link.flush().await?;
        }
    };
    Ok(Some(permit.and_then(|permit| Ok((context.hub.publish(key, request)?, permit)))))
}

/// The status code of a refusal on the wire, and the reason that the connection ends for.
fn refusal(error: &PublishError) -> (&str, Reason) {
    match error {
        PublishError::Conflict | PublishError::Shields => (Status::PublishBadName.code(), Reason::PublishConflict),
        PublishError::RingBudget => (Status::PublishBadName.code(), Reason::RingBudget),
        PublishError::Refused { code, .. } => (code, Reason::PublishRefused),
        PublishError::Unreachable => (Status::PublishBadName.code(), Reason::UpstreamLost),
    }
}

/// Moves tags from the connection to the hub.
async fn take(
    connection: &mut Connection<'_>,
    settings: &config::Publish,
    publisher: &mut Publisher,
    permit: &Permit,
    mut expiry: Expiry,
    count: Count,
) -> Result<(), Reason> {
    let mut silence = Silence { since: Instant::now(), limit: settings.firstpkt_timeout };
    let mut alarm = pin!(sleep_until(silence.ends_at()));
    let context = connection.context;
    let tokens = Tokens {
        stop: context.stop.clone(),
        replaced: publisher.replaced().clone(),
        revoked: permit.revoked().clone(),
        count,
    };
    let mut orders =
        Orders::new(tokens, Departure::new(&context.drain, context.config.current().role, connection.can_reconnect));
    let mut tags: Vec<Tag> = Vec::new();
    let mut allowance = allowance(connection);
    let mut heartbeat = Heartbeat::new(connection.standing.is_some());
    loop {
        let mut closed = Ok(false);
        loop {
            match connection.link.next_event() {
                Ok(Some(ServerEvent::Media(tag))) => tags.push(tag),
                // What follows is the next thing that the peer wants.
                Ok(Some(ServerEvent::StreamClosed)) => {
                    closed = Ok(true);
                    break;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                // What came before the bad bytes is as good as ever.
                Err(reason) => {
                    closed = Err(reason);
                    break;
                }
            }
        }
        if !tags.is_empty() {
            if silence.limit != settings.normal_timeout {
                alarm.as_mut().reset((Instant::now() + settings.normal_timeout).into());
            }
            silence = Silence { since: Instant::now(), limit: settings.normal_timeout };
        }
        publisher.push(tags.drain(..)).map_err(|_| Reason::PublishReplaced)?;
        connection.link.let_input_wait(publisher.input_may_wait());
        if closed? {
            return Ok(());
        }
        // A peer that keeps the socket readable must not keep the timers from being looked at.
        if silence.since.elapsed() >= silence.limit {
            return Err(Reason::PublishSilent);
        }
        if !allowance.note(connection.link.take_received(), Instant::now()) {
            let address = connection.accepted.peer.ip();
            warn_seldom!(key = address, "the publisher sends more than limits.publish_bitrate allows");
            return Err(Reason::PublishTooFast);
        }
        connection.link.flush().await?;
        let last_heard = connection.link.last_heard;
        tokio::select! {
            biased;
            order = orders.next() => match order? {
                Due::Request => {
                    tracing::info!("asked to reconnect");
                    connection.link.session.request_reconnect(None, "this server is going; connect again");
                }
                Due::Close => return Err(Reason::Drained),
            },
            () = expiry.due() => return Err(Reason::AccessExpired),
            read = connection.link.read() => read?,
            () = publisher.due() => connection.link.read_waiting()?,
            beat = heartbeat.due(last_heard) => match beat {
                Beat::Ask => connection.link.session.ping(0),
                Beat::Dead => return Err(Reason::PeerLost),
            },
            // It is set anew when it rings, not for each packet.
            () = alarm.as_mut() => alarm.as_mut().reset(silence.ends_at()),
        }
    }
}

/// What the publisher may send. One that another server passes on has been measured there, and begins with a whole GOP.
fn allowance(connection: &mut Connection<'_>) -> Allowance {
    let limit = connection.context.config.current().limits.publish_bitrate;
    let is_forwarded = matches!(connection.standing.as_deref(), Some(Standing::Verified(_)));
    connection.link.take_received();
    Allowance::new(limit.filter(|_| !is_forwarded), Instant::now())
}

/// Since when a publisher has sent nothing, and for how long it may.
struct Silence {
    since: Instant,
    limit: Duration,
}

impl Silence {
    fn ends_at(&self) -> tokio::time::Instant {
        (self.since + self.limit).into()
    }
}
