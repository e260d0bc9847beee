//! Finding an origin that takes a publisher.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::metrics::ConnectResult;
use crate::pull::PullContext;
use crate::pull::connection::OpenError;
use crate::pull::health::LONGEST_REST_WHILE_WAITED_FOR;
use crate::pull::queue::Queue;
use crate::pull::until;
use crate::pull::upstreams::Candidate;
use crate::rtmp::Status;
use crate::seldom::warn_seldom;

use super::connection::ForwardConnection;
use super::publication::Publication;

/// How long an origin may take to accept a connection before the next one is tried as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// For a publisher that comes: two that want the same name should meet at the same origin.
    Beginning,
    /// For one that goes on elsewhere: players are without media.
    Moving,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Opened {
    /// An origin has taken the publisher.
    Accepted(Box<ForwardConnection>),
    /// One has refused it.
    Refused {
        /// The status code.
        code: String,
        /// What it says about it.
        description: String,
    },
    /// None could be asked.
    Unreachable,
}

impl Haste {
    const fn stagger(self) -> Duration {
        match self {
            Self::Beginning => Duration::from_secs(1),
            Self::Moving => Duration::from_millis(250),
        }
    }
}

/// Connects to `candidates` in their order, and publishes to the first that accepts the connection. Never to two at a time,
/// and not to the node `avoided`, which several addresses may lead to. An only candidate is tried once more each second.
pub(super) async fn open(
    context: &PullContext,
    publication: &Publication,
    candidates: Vec<Candidate>,
    haste: Haste,
    avoided: Option<&str>,
) -> Opened {
    let mut queue = Queue::new(candidates, haste.stagger());
    let mut connecting = FuturesUnordered::new();
    loop {
        let due = queue.take_due(connecting.len(), true, Instant::now());
        connecting.extend(due.map(|candidate| connect(context, publication, candidate)));
        if connecting.is_empty() {
            return Opened::Unreachable;
        }
        let next_at = queue.next_at(connecting.len(), true);
        let (candidate, connected) = tokio::select! {
            Some(answer) = connecting.next() => answer,
            () = until(next_at) => continue,
        };
        if connected.as_ref().is_ok_and(|connection| avoided.is_some() && connection.node() == avoided) {
            continue;
        }
        match publish(connected).await {
            Ok(connection) => {
                context.upstreams.note_answer(&candidate);
                context.metrics.upstream_connects(ConnectResult::Connected).inc();
                return Opened::Accepted(connection);
            }
            Err(error) => {
                note(context, &candidate, &error);
                match error {
                    OpenError::Refused { code, description } if !sends_away(&code) => {
                        return Opened::Refused { code, description };
                    }
                    _ => queue.hurry(),
                }
            }
        }
    }
}

async fn connect(
    context: &PullContext,
    publication: &Publication,
    candidate: Candidate,
) -> (Candidate, Result<ForwardConnection, OpenError>) {
    let connected = ForwardConnection::connect(context, &candidate, publication).await;
    (candidate, connected)
}

async fn publish(connected: Result<ForwardConnection, OpenError>) -> Result<Box<ForwardConnection>, OpenError> {
    let mut connection = Box::new(connected?);
    connection.publish().await?;
    Ok(connection)
}

/// Whether a refusal is about the origin and not about the publisher: it is about to go, and others will do.
fn sends_away(code: &str) -> bool {
    code.starts_with("NetConnection.Connect.") && code != Status::ConnectRejected.code()
}

fn note(context: &PullContext, candidate: &Candidate, error: &OpenError) {
    context.metrics.upstream_connects(error.result()).inc();
    let key = (candidate.address, error.to_string());
    warn_seldom!(key = key, upstream = %candidate.address, %error, "cannot forward to this origin");
    if matches!(error, OpenError::Refused { .. }) {
        context.upstreams.note_answer(candidate);
    } else {
        context.upstreams.note_failure(candidate, LONGEST_REST_WHILE_WAITED_FOR);
    }
}
