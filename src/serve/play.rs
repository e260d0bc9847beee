//! An RTMP client that plays: from the ring to its socket.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::auth::Action;
use crate::hub::{End, Identity, PlayRequest, Reader, WireForm};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::rtmp::server::ServerEvent;
use crate::rtmp::status::Status;
use crate::sessions::{Count, Kind};

use super::access::{Admission, Expiry};
use super::heartbeat::{Beat, Heartbeat};
use super::outbound::Outbound;
use super::reason_of;
use super::rtmp::{Connection, unless_stopped};

/// Sends what is published as `name`, until the client stops playing (`Ok`) or the connection ends.
pub(super) async fn run(connection: &mut Connection<'_>, name: &str) -> Result<(), Reason> {
    let asked_at = Instant::now();
    let named = connection.stream_named(name, |session, description| {
        session.reject_play(Status::PlayStreamNotFound, description);
    })?;
    let mut count = connection.enter(Kind::Play(Protocol::Rtmp), &named.key);
    let request = PlayRequest {
        protocol: Protocol::Rtmp,
        form: WireForm::Rtmp { chunk_size: connection.context.config.current().rtmp.chunk_size as usize },
        shard: connection.accepted.shard,
        is_pull: connection.standing.is_some(),
    };
    if connection.context.is_passed_by(connection.mark()) {
        connection.link.session.reject_play(Status::PlayStreamInLoop, "the stream would come back here");
        return Err(Reason::StreamNotFound);
    }
    let Some(admission) = Box::pin(connection.admit(Action::Play, &named, &mut count)).await? else { return Ok(()) };
    // Held until playing ends.
    let Admission { expiry, attendance: _attendance } = match admission {
        Ok(admission) => admission,
        Err(refusal) => {
            connection.link.session.reject_play(Status::PlayFailed, &refusal.to_string());
            return Err(Reason::AccessDenied);
        }
    };
    let context = connection.context;
    // Boxed, as all that comes before playing: its room is given back while media is sent, for hours.
    let subscribed = Box::pin(unless_stopped(context, context.subscribe(&named.key, request, connection.mark())));
    let mut reader = match subscribed.await? {
        Ok(reader) => reader,
        Err(End::NotFound) => return Err(Box::pin(redirect(connection, &named.key)).await?),
        Err(end) => return Err(refuse(connection, end)),
    };
    let session = match Box::pin(wait(connection, &mut reader, &mut count)).await? {
        Some(Ok(session)) => session,
        Some(Err(end)) => return Err(refuse(connection, end)),
        None => return Ok(()),
    };
    connection.link.session.accept_play(&[("session", session.as_str())]);
    connection.span.in_scope(|| tracing::info!(stream = %named.key, pull = request.is_pull, "playing"));
    let sent = send(connection, &mut reader, &mut count, asked_at, expiry).await;
    if let Some(session) = &mut connection.session {
        session.note_delay(reader.behind(), reader.skipped_packets());
    }
    sent
}

/// Sends a pull to the origin that has the stream, or refuses the play.
async fn redirect(connection: &mut Connection<'_>, key: &StreamKey) -> Result<Reason, Reason> {
    let context = connection.context;
    match unless_stopped(context, context.elsewhere(key, connection.standing.as_deref())).await? {
        Some(place) => {
            let is_tls = connection.accepted.is_tls;
            let url = if is_tls { place.rtmps_url(key, context.tls_ports) } else { Some(place.rtmp_url(key)) };
            let Some(url) = url else { return Ok(refuse(connection, End::NotFound)) };
            connection.span.in_scope(|| tracing::debug!(stream = %key, to = url, "redirecting"));
            connection.link.session.redirect_play(&url);
            Ok(Reason::Redirected)
        }
        None => Ok(refuse(connection, End::NotFound)),
    }
}

fn refuse(connection: &mut Connection<'_>, end: End) -> Reason {
    let status = if end == End::NotFound { Status::PlayStreamNotFound } else { Status::PlayFailed };
    connection.link.session.reject_play(status, &end.to_string());
    reason_of(end)
}

/// Waits for a publisher. `None` if the client has lost its patience first.
async fn wait(
    connection: &mut Connection<'_>,
    reader: &mut Reader,
    count: &mut Count,
) -> Result<Option<Result<Identity, End>>, Reason> {
    loop {
        tokio::select! {
            biased;
            () = count.kicked() => {
                connection.link.session.reject_play(Status::PlayFailed, "an operator has ended the session");
                return Err(Reason::Kicked);
            }
            read = connection.link.read() => read?,
            live = poll_fn(|context| reader.poll_live(context)) => return Ok(Some(live)),
        }
        if heard(connection, &mut None)? == Heard::Closed {
            return Ok(None);
        }
        unless_stopped(connection.context, connection.link.flush()).await??;
    }
}

/// What a player said that matters to playing.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Closed,
}

/// Takes what the player said. `paused` is set to what it wants, if it says so.
fn heard(connection: &mut Connection<'_>, paused: &mut Option<bool>) -> Result<Heard, Reason> {
    while let Some(event) = connection.link.next_event()? {
        match event {
            ServerEvent::StreamClosed => return Ok(Heard::Closed),
            ServerEvent::Pause(pause) => *paused = Some(pause),
            _ => {}
        }
    }
    Ok(Heard::Nothing)
}

/// Moves wire bytes from the ring to the socket: one write a block for who keeps up, many blocks a write for who does not.
async fn send(
    connection: &mut Connection<'_>,
    reader: &mut Reader,
    count: &mut Count,
    asked_at: Instant,
    mut expiry: Expiry,
) -> Result<(), Reason> {
    let mut outbound = Outbound::default();
    let mut first_frame = Some(asked_at);
    let mut has_media = false;
    let mut paused = false;
    let mut heartbeat = Heartbeat::new(connection.standing.is_some());
    loop {
        outbound.push(connection.link.session.take_output());
        let mut ended = None;
        if outbound.is_empty() {
            let last_heard = connection.link.last_heard;
            tokio::select! {
                biased;
                // What ends it goes first: the peer may send without end, and may always be a little behind.
                () = count.kicked() => {
                    connection.link.session.end_play(Status::PlayUnpublishNotify);
                    return Err(Reason::Kicked);
                }
                () = expiry.due() => {
                    connection.link.session.end_play(Status::PlayFailed);
                    return Err(Reason::AccessExpired);
                }
                read = connection.link.read() => read?,
                wire = poll_fn(|context| match paused {
                    false => reader.poll_wire(context),
                    true => reader.poll_end(context).map(Err),
                }) => match wire {
                    Ok(bytes) => {
                        outbound.push(bytes);
                        has_media = true;
                    }
                    Err(end) => ended = Some(end),
                },
                beat = heartbeat.due(last_heard) => match beat {
                    Beat::Ask => connection.link.session.ping(0),
                    Beat::Dead => return Err(Reason::PeerLost),
                },
            }
        }
        while outbound.has_room() && !paused && ended.is_none() && reader.has_more() {
            match poll_fn(|context| Poll::Ready(reader.poll_wire(context))).await {
                Poll::Ready(Ok(bytes)) => {
                    outbound.push(bytes);
                    has_media = true;
                }
                Poll::Ready(Err(end)) => ended = Some(end),
                Poll::Pending => break,
            }
        }
        if !outbound.is_empty() {
            tokio::select! {
                biased;
                written = connection.link.write(&mut outbound, reader.hard_lag()) => written?,
                () = count.kicked() => {
                    connection.is_cut = true;
                    return Err(Reason::Kicked);
                }
            }
            if has_media && let Some(asked_at) = first_frame.take() {
                note_first_frame(connection, asked_at.elapsed());
            }
        }
        if let Some(end) = ended {
            connection.link.session.end_play(Status::PlayUnpublishNotify);
            return Err(reason_of(end));
        }
        let mut pause = None;
        if heard(connection, &mut pause)? == Heard::Closed {
            return Ok(());
        }
        if let Some(pause) = pause.filter(|pause| *pause != paused) {
            paused = pause;
            // The wire resumes at a keyframe, with headers: what lies between is gone.
            reader.rejoin();
        }
    }
}

fn note_first_frame(connection: &Connection<'_>, after: Duration) {
    connection.context.metrics.first_frame.observe(after.as_secs_f64());
    if let Some(session) = &connection.session {
        session.note_first_frame(after);
    }
}
