//! The edges of this one's own tier, of which one pulls a stream from the origins and shields these from the others.
//!
//! Owns whom of them a stream is asked for, and what is made of the answer. `route` calls it where the stream may come
//! through another edge; whether it may is not decided here. It never publishes anything, and nobody ranks before others
//! but by `rank`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::media::stream_key::StreamKey;
use crate::metrics::ConnectResult;

use super::PullContext;
use super::connection::{Connection, OpenError};
use super::health::LONGEST_REST;
use super::race::note;
use super::target::Target;
use super::upstreams::{Candidate, Tier};

/// How long the tier may take to resolve: the origins are there, too.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long this edge takes an address for its own without looking: behind it may be another one by then.
const OWN_FOR: Duration = Duration::from_secs(60);

/// What all pulls know together of their tier.
#[derive(Debug, Default)]
pub(super) struct Tiermates {
    /// The address under which this edge has met itself, and when.
    own: Mutex<Option<(SocketAddr, Instant)>>,
}

impl Tiermates {
    fn is_own(&self, address: SocketAddr, now: Instant) -> bool {
        let known = *self.own.lock();
        known.is_some_and(|(own, met)| own == address && now.saturating_duration_since(met) < OWN_FOR)
    }

    fn met_itself(&self, address: SocketAddr, now: Instant) {
        *self.own.lock() = Some((address, now));
    }
}

/// How an edge of the tier replies to being asked for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// It sends the stream.
    Sends,
    /// It has asked the origins: nobody publishes the stream.
    Absent,
    /// It is this edge.
    Itself,
    /// The stream would come back to it.
    Loop,
    /// It lives and cannot get the stream, or is no edge that fetches for others.
    Refuses,
    /// It does not answer as one that lives.
    Dead,
}

/// What follows from a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The stream is there.
    Take,
    /// The stream is nowhere.
    GiveUp,
    /// The next edge of the ranks is asked, after the last one the origins.
    AskNext,
    /// The origins are asked.
    AskOrigins,
}

impl Reply {
    fn of(opened: &Result<Connection, OpenError>) -> Self {
        match opened {
            Ok(_) => Self::Sends,
            Err(OpenError::NotFound { .. }) => Self::Absent,
            Err(OpenError::Itself) => Self::Itself,
            Err(OpenError::Loop) => Self::Loop,
            Err(OpenError::Refused { .. } | OpenError::NotAShield) => Self::Refuses,
            Err(_) => Self::Dead,
        }
    }

    /// Whoever ranks highest and lives is asked and nobody else, so that all edges come to the same one. Where it is this
    /// edge, the origins are this edge's to ask.
    pub(super) const fn then(self) -> Step {
        match self {
            Self::Sends => Step::Take,
            Self::Absent => Step::GiveUp,
            Self::Itself | Self::Refuses => Step::AskOrigins,
            Self::Loop | Self::Dead => Step::AskNext,
        }
    }
}

/// What came of asking the tier.
pub(super) enum Answer {
    /// One of its edges sends the stream.
    Won(Box<Connection>, Candidate),
    /// One of its edges has heard from the origins that nobody publishes it.
    Absent,
    /// Nobody is there, or nobody better than who serves already: the origins are to be asked.
    Nobody,
}

/// Asks the edges of the tier for `key`, in the order of their ranks, and no further than to `serving`, which serves it
/// already, or to this edge itself. Dropping the future closes the connection.
pub(super) async fn ask(
    context: &PullContext,
    key: &StreamKey,
    target: &Target,
    serving: Option<SocketAddr>,
    asking: impl Fn(SocketAddr),
) -> Answer {
    let candidates = context.upstreams.candidates(key, Tier::Shield);
    let Ok(candidates) = tokio::time::timeout(RESOLVE_TIMEOUT, candidates).await else { return Answer::Nobody };
    for candidate in candidates {
        if serving == Some(candidate.address) || context.tiermates.is_own(candidate.address, Instant::now()) {
            return Answer::Nobody;
        }
        asking(candidate.address);
        let opened = Connection::open_shield(context, &candidate, target).await;
        let reply = Reply::of(&opened);
        match opened {
            Ok(connection) => {
                context.upstreams.note_answer(&candidate);
                context.metrics.upstream_connects(ConnectResult::Connected).inc();
                return Answer::Won(Box::new(connection), candidate);
            }
            Err(OpenError::Itself) => context.tiermates.met_itself(candidate.address, Instant::now()),
            Err(error) => note(context, &candidate, &error, LONGEST_REST),
        }
        match reply.then() {
            Step::GiveUp => return Answer::Absent,
            Step::AskOrigins => return Answer::Nobody,
            Step::AskNext | Step::Take => {}
        }
    }
    Answer::Nobody
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn its_own_address_is_known_for_a_minute() {
        let (tiermates, now) = (Tiermates::default(), Instant::now());
        assert!(!tiermates.is_own(address(1), now));
        tiermates.met_itself(address(1), now);
        assert!(tiermates.is_own(address(1), now + OWN_FOR / 2));
        assert!(!tiermates.is_own(address(2), now));
        assert!(!tiermates.is_own(address(1), now + OWN_FOR));
    }

    #[test]
    fn whoever_ranks_highest_and_lives_decides() {
        assert_eq!(Reply::Sends.then(), Step::Take);
        assert_eq!(Reply::Absent.then(), Step::GiveUp);
        for dead_or_loop in [Reply::Dead, Reply::Loop] {
            assert_eq!(dead_or_loop.then(), Step::AskNext);
        }
        for lives in [Reply::Itself, Reply::Refuses] {
            assert_eq!(lives.then(), Step::AskOrigins);
        }
    }
}
