//! An RTMP client that publishes: from its events into the hub.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::config;
use crate::hub::{Identity, PublishError, PublishRequest, Publisher, Source};
use crate::media::Tag;
use crate::media::stream_key::StreamKey;
use crate::metrics::Reason;
use crate::rtmp::server::ServerEvent;
use crate::rtmp::status::Status;

use super::rtmp::Connection;

/// Takes what the client publishes as `name`, until it stops publishing (`Ok`) or the connection ends.
pub(super) async fn run(connection: &mut Connection<'_>, name: &str) -> Result<(), Reason> {
    let named = connection.stream_named(name, |session, description| {
        session.reject_publish(Status::PublishBadName, description);
    })?;
    let settings = connection.context.config.publish_for(named.key.app());
    let mut publisher = match admit(connection, &settings, named.key.clone(), named.query) {
        Ok(publisher) => publisher,
        Err((reason, description)) => {
            let status = match reason {
                Reason::PublishDisabled => Status::PublishDenied,
                _ => Status::PublishBadName,
            };
            connection.link.session.reject_publish(status, &description);
            return Err(reason);
        }
    };
    connection.link.session.accept_publish();
    let publishers = connection.context.metrics.publishers.clone();
    publishers.inc();
    tracing::info!(stream = %named.key, session = %publisher.session(), "publishing");
    let ended = take(connection, &settings, &mut publisher).await;
    publishers.dec();
    let (status, reason) = match ended {
        Ok(()) => {
            tracing::info!(stream = %named.key, "published");
            return Ok(());
        }
        Err(reason @ Reason::PublishReplaced) => (Status::PublishBadName, reason),
        Err(reason) => (Status::UnpublishSuccess, reason),
    };
    connection.link.session.end_publish(status, reason.label());
    Err(reason)
}

fn admit(
    connection: &Connection<'_>,
    settings: &config::Publish,
    key: StreamKey,
    query: String,
) -> Result<Publisher, (Reason, String)> {
    if !settings.enabled {
        return Err((Reason::PublishDisabled, "this server takes no publishers for this app".to_owned()));
    }
    let request = PublishRequest {
        source: Source::Client { address: connection.accepted.peer.ip().to_canonical(), query },
        session: Identity::random(),
        resume_timeout: settings.resume_timeout,
    };
    connection.context.hub.publish(&key, request).map_err(|error| {
        let reason = match error {
            PublishError::Conflict => Reason::PublishConflict,
            PublishError::RingBudget => Reason::RingBudget,
        };
        (reason, error.to_string())
    })
}

/// Moves tags from the connection to the hub.
async fn take(
    connection: &mut Connection<'_>,
    settings: &config::Publish,
    publisher: &mut Publisher,
) -> Result<(), Reason> {
    let replaced = publisher.replaced().clone();
    let mut silence = Silence { since: Instant::now(), limit: settings.firstpkt_timeout };
    let mut tags: Vec<Tag> = Vec::new();
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
            silence = Silence { since: Instant::now(), limit: settings.normal_timeout };
            publisher.push(tags.drain(..)).map_err(|_| Reason::PublishReplaced)?;
        }
        if closed? {
            return Ok(());
        }
        // A peer that keeps the socket readable must not keep the timers from being looked at.
        if silence.since.elapsed() >= silence.limit {
            return Err(Reason::PublishSilent);
        }
        connection.link.flush().await?;
        tokio::select! {
            biased;
            () = connection.context.stop.cancelled() => return Err(Reason::Shutdown),
            () = replaced.cancelled() => return Err(Reason::PublishReplaced),
            read = connection.link.read() => read?,
            () = publisher.seal_when_due() => {}
            () = sleep_until((silence.since + silence.limit).into()) => return Err(Reason::PublishSilent),
        }
    }
}

/// Since when a publisher has sent nothing, and for how long it may.
struct Silence {
    since: Instant,
    limit: Duration,
}
