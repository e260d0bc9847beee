//! Asking several upstreams for one stream: one after the other, without waiting for each to be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::metrics::ConnectResult;
use crate::seldom::warn_seldom;

use super::PullContext;
use super::connection::{Connection, OpenError};
use super::queue::Queue;
use super::route::until;
use super::target::Target;
use super::upstreams::Candidate;

/// How long one upstream is asked before the next one is asked as well.
const STAGGER: Duration = Duration::from_millis(250);
/// How long the others are waited for once one has said that it does not have the stream.
const PATIENCE_AFTER_NOT_FOUND: Duration = Duration::from_secs(1);
/// How many redirects in a row are followed.
const MAX_REDIRECTS: usize = 3;

/// What came of asking.
pub(super) enum Outcome {
    /// The first that sent media; the others are closed.
    Won(Box<Connection>, Candidate),
    /// Nobody has the stream, and at least one upstream said so.
    NotFound,
    /// Nobody answered.
    Unreachable,
}

/// Asks `candidates` in their order for the stream that `target` names, the next one each 250 ms, or at once when one has
/// failed or does not have it; nobody else once one has said that no peer of its has it either. An only candidate is asked
/// once more each second that it does not answer. Dropping the future closes all connections.
pub(super) async fn race(
    context: &PullContext,
    target: &Target,
    candidates: Vec<Candidate>,
    longest_rest: Duration,
) -> Outcome {
    let mut queue = Queue::new(candidates, STAGGER);
    let answered = Arc::new(AtomicBool::new(false));
    let mut asked = FuturesUnordered::new();
    let mut not_found = false;
    let mut patience_from = Instant::now();
    loop {
        let is_silent = !not_found && !answered.load(Ordering::Relaxed);
        let due = queue.take_due(asked.len(), is_silent, Instant::now());
        asked.extend(due.map(|candidate| ask(context, target, candidate, Arc::clone(&answered))));
        if asked.is_empty() {
            return if not_found { Outcome::NotFound } else { Outcome::Unreachable };
        }
        let gives_up = not_found && !queue.has_more();
        let alarm = match gives_up {
            true => Some(patience_from + PATIENCE_AFTER_NOT_FOUND),
            false => queue.next_at(asked.len(), is_silent),
        };
        tokio::select! {
            Some((candidate, answer)) = asked.next() => match answer {
                Ok(connection) => {
                    context.upstreams.note_answer(&candidate);
                    context.metrics.upstream_connects(ConnectResult::Connected).inc();
                    return Outcome::Won(Box::new(connection), candidate);
                }
                Err(error) => {
                    not_found |= error.is_answer();
                    note(context, &candidate, &error, longest_rest);
                    if matches!(error, OpenError::NotFound { knows_all: true, .. }) {
                        return Outcome::NotFound;
                    }
                    queue.hurry();
                    patience_from = Instant::now();
                }
            },
            () = until(alarm) => if gives_up {
                return Outcome::NotFound;
            },
        }
    }
}

pub(super) fn note(context: &PullContext, candidate: &Candidate, error: &OpenError, longest_rest: Duration) {
    context.metrics.upstream_connects(error.result()).inc();
    if error.is_answer() {
        tracing::debug!(upstream = %candidate.address, %error, "not here");
        context.upstreams.note_answer(candidate);
    } else {
        let key = (candidate.address, error.to_string());
        warn_seldom!(key = key, upstream = %candidate.address, %error, "cannot pull from this upstream");
        context.upstreams.note_failure(candidate, longest_rest);
    }
}

/// Asks one upstream, and whoever it sends us to.
async fn ask(
    context: &PullContext,
    target: &Target,
    candidate: Candidate,
    answered: Arc<AtomicBool>,
) -> (Candidate, Result<Connection, OpenError>) {
    let (mut place, mut target) = (candidate.clone(), target.clone());
    for _ in 0..=MAX_REDIRECTS {
        match Connection::open(context, &place, &target, || answered.store(true, Ordering::Relaxed)).await {
            Err(OpenError::Redirected { location }) => {
                tracing::debug!(from = %place.address, to = location, "redirected");
                match target.redirected(&location, &place, &context.upstreams).await {
                    Some((next, named)) => (place, target) = (next, named),
                    None => return (candidate, Err(OpenError::BadRedirect { location })),
                }
            }
            answer => return (candidate, answer),
        }
    }
    (candidate, Err(OpenError::TooManyRedirects))
}
