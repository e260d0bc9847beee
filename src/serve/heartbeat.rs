//! Signs of life between servers: asked for each second, and who gives none for three is dead.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

const PING_EVERY: Duration = Duration::from_secs(1);
const DEAD_AFTER: Duration = Duration::from_secs(3);

/// Watches a peer that is a server too. Ordinary clients are not asked: they may be silent for as long as they like.
#[derive(Debug)]
pub(super) struct Heartbeat {
    last_ping: Instant,
    /// Set anew when it rings, not for each packet; `None` if the peer is not watched.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// What a heartbeat is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// The peer is to be asked for a sign of life.
    Ask,
    /// The peer has given none for too long.
    Dead,
}

impl Heartbeat {
    /// Watches the peer if `watches` says so; else no beat is ever due.
    pub(super) fn new(watches: bool) -> Self {
        let now = Instant::now();
        Self { last_ping: now, alarm: watches.then(|| Box::pin(sleep_until(now + PING_EVERY))) }
    }

    /// Completes when something is due, given when the peer was `last_heard`. Dropping the future loses nothing.
    pub(super) async fn due(&mut self, last_heard: Instant) -> Beat {
        let Some(alarm) = &mut self.alarm else { return std::future::pending().await };
        let dead_at = last_heard + DEAD_AFTER;
        loop {
            let next = dead_at.min(self.last_ping + PING_EVERY);
            let now = Instant::now();
            if now >= dead_at {
                return Beat::Dead;
            }
            if now >= next {
                self.last_ping = now;
                return Beat::Ask;
            }
            if alarm.is_elapsed() || alarm.deadline() > next {
                alarm.as_mut().reset(next);
            }
            alarm.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_asked_twice_and_then_dead() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(true);
        assert_eq!(heartbeat.due(start).await, Beat::Ask);
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!(heartbeat.due(start).await, Beat::Ask);
        assert_eq!(heartbeat.due(start).await, Beat::Dead);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_lives() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(true);
        while start.elapsed() < Duration::from_secs(60) {
            assert_eq!(heartbeat.due(Instant::now()).await, Beat::Ask);
        }
    }
}
