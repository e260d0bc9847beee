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
use super::route::until;
use super::target::Target;
use super::upstreams::Candidate;

/// How long one upstream is asked before the next one is asked as well.
const STAGGER: Duration = Duration::from_millis(250);
/// How long the others are waited for once one has said that it does not have the stream.
const PATIENCE_AFTER_NOT_FOUND: Duration = Duration::from_secs(1);
/// How long an only upstream may take to accept a connection before it is tried again: there may be several nodes behind one
/// address, and the next connection may lead to one that lives.
pub(super) const PATIENCE_WITH_ONE: Duration = Duration::from_secs(1);
/// How many connections to it are tried at a time.
pub(super) const MAX_TRIES_OF_ONE: usize = 3;
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
    let only = match &candidates[..] {
        [only] => Some(only.clone()),
        _ => None,
    };
    let answered = Arc::new(AtomicBool::new(false));
    let mut waiting = candidates.into_iter().peekable();
    let mut asked = FuturesUnordered::new();
    let mut next_at = Instant::now();
    let mut not_found = false;
    loop {
        if waiting.peek().is_some() && (asked.is_empty() || Instant::now() >= next_at) {
            asked.extend(waiting.next().map(|candidate| ask(context, target, candidate, Arc::clone(&answered))));
            next_at = Instant::now() + STAGGER;
        }
        if asked.is_empty() {
            return if not_found { Outcome::NotFound } else { Outcome::Unreachable };
        }
        let retried = only.as_ref().filter(|_| asked.len() < MAX_TRIES_OF_ONE && !answered.load(Ordering::Relaxed));
        let alarm = match waiting.peek() {
            Some(_) => Some(next_at),
            None if not_found => Some(next_at + PATIENCE_AFTER_NOT_FOUND),
            None => retried.map(|_| next_at - STAGGER + PATIENCE_WITH_ONE),
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
                    next_at = Instant::now();
                }
            },
            () = until(alarm) => match retried {
                _ if waiting.peek().is_some() => {}
                _ if not_found => return Outcome::NotFound,
                Some(only) if !answered.load(Ordering::Relaxed) => {
                    asked.push(ask(context, target, only.clone(), Arc::clone(&answered)));
                    next_at = Instant::now() + STAGGER;
                }
                _ => {}
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
                match target.redirected(&location, &context.upstreams).await {
                    Some((next, named)) => (place, target) = (next, named),
                    None => return (candidate, Err(OpenError::BadRedirect { location })),
                }
            }
            answer => return (candidate, answer),
        }
    }
    (candidate, Err(OpenError::TooManyRedirects))
}
