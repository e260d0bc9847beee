//! What is kept of the answers about one name, and for how long.
//!
//! Pure: the time comes as an argument and nothing is asked here. [`Names`](super::Names) holds one of these for each name
//! under its lock, tells it what came of each question, and asks when it says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The least that addresses are kept, so that a time to live of zero is no storm.
pub(super) const MIN_TTL: Duration = Duration::from_millis(250);
/// The longest that addresses are kept: pods come and go faster than most records say.
pub(super) const MAX_TTL: Duration = Duration::from_secs(10);
/// How long it is kept that there was no answer, or that there is no such name.
pub(super) const FAILURE_TTL: Duration = Duration::from_secs(1);
/// How long the last addresses are still given after the name was first denied: a Service that is being replaced has none
/// for a moment.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long the last addresses are still given while no server answers.
pub(super) const LAST_GOOD: Duration = Duration::from_secs(5 * 60);
/// The least time from one question to the next: four a second.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Why a question found no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such name, or it has no addresses (NXDOMAIN, NODATA).
    NotFound,
    /// No server answered, or none with more than an error.
    Failed(Arc<str>),
}

/// What is to be done about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look<T> {
    /// This is what is known.
    Known(Result<T, Failure>),
    /// A question is to be asked now, and its outcome told to [`Kept::complete`].
    Ask,
    /// It is being asked.
    Asking,
}

/// The memory of one name.
#[derive(Debug)]
pub(super) struct Kept<T> {
    good: Option<Good<T>>,
    /// The first denial since there were addresses.
    denied_since: Option<Instant>,
    /// Why the last question failed, if it did.
    failure: Option<Failure>,
    /// When the last question was asked.
    asked: Option<Instant>,
    fresh_until: Option<Instant>,
    doubted: bool,
    asking: bool,
}

/// Addresses as some question found them.
#[derive(Debug)]
struct Good<T> {
    value: T,
    found: Instant,
}

impl<T: Clone> Kept<T> {
    /// Knows nothing.
    pub(super) const fn new() -> Self {
        Self {
            good: None,
            denied_since: None,
            failure: None,
            asked: None,
            fresh_until: None,
            doubted: false,
            asking: false,
        }
    }

    /// What is known, or that it is to be asked for. Who is told to ask is the only one until the outcome is there.
    pub(super) fn look(&mut self, now: Instant) -> Look<T> {
        if self.asking {
            return Look::Asking;
        }
        if !self.is_due(now) {
            return Look::Known(self.answer(now));
        }
        self.asking = true;
        self.doubted = false;
        self.asked = Some(now);
        Look::Ask
    }

    /// Takes in what came of the question: addresses with their time to live, or none.
    pub(super) fn complete(&mut self, now: Instant, outcome: Result<(T, Duration), Failure>) {
        self.asking = false;
        let ttl = match outcome {
            Ok((value, ttl)) => {
                self.good = Some(Good { value, found: now });
                self.denied_since = None;
                self.failure = None;
                ttl.clamp(MIN_TTL, MAX_TTL)
            }
            Err(failure) => {
                if failure == Failure::NotFound {
                    self.denied_since.get_or_insert(now);
                }
                self.failure = Some(failure);
                FAILURE_TTL
            }
        };
        self.fresh_until = Some(now + ttl);
    }

    /// What is known is no longer trusted: the next look asks, as soon as the interval allows.
    pub(super) const fn doubt(&mut self) {
        self.doubted = true;
    }

    /// The addresses, if there are any to be given, or why there are none.
    pub(super) fn answer(&self, now: Instant) -> Result<T, Failure> {
        self.last_good(now).cloned().ok_or_else(|| self.failure.clone().unwrap_or(Failure::NotFound))
    }

    /// The addresses last found, as long as they may be given.
    pub(super) fn last_good(&self, now: Instant) -> Option<&T> {
        let good = self.good.as_ref()?;
        let is_young = now.saturating_duration_since(good.found) < LAST_GOOD;
        let is_denied = self.denied_since.is_some_and(|since| now.saturating_duration_since(since) >= GRACE);
        (is_young && !is_denied).then_some(&good.value)
    }

    /// Whether the last question found nothing.
    pub(super) const fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// When the last question was asked.
    pub(super) const fn asked(&self) -> Option<Instant> {
        self.asked
    }

    fn is_due(&self, now: Instant) -> bool {
        let interval_is_over = self.asked.is_none_or(|asked| now >= asked + MIN_INTERVAL);
        let is_stale = self.fresh_until.is_none_or(|until| now >= until);
        interval_is_over && (is_stale || self.doubted)
    }
}

#[cfg(test)]
mod tests;
