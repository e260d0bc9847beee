//! How fast a player gets what was sent before it came, and how a reader waits.
//!
//! A player that joins is behind by up to a whole GOP. Given all of it at once, a crowd that joins would take the network
//! from those who play already; so from the second second of media on it comes at a multiple of its speed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::super::block::Block;
use super::Reader;

/// How much of what was sent before is given at once: what players want before they show a picture.
const AT_ONCE: u32 = 1_000;
/// For how long a player is held back at most, whatever timestamps say.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// A player that has not caught up since it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct CatchUp {
    /// How many times as fast as the stream it may.
    speed: u32,
    /// When it got its first block, and that block's timestamp in milliseconds.
    began: Option<(Instant, u32)>,
}

impl CatchUp {
    /// At a multiple of the stream's speed; with 0 nobody is held back.
    pub(super) fn new(speed: u32) -> Option<Self> {
        (speed > 0).then_some(Self { speed, began: None })
    }

    /// When a block that begins at `timestamp` may be given to the player.
    fn due(&mut self, timestamp: u32, now: Instant) -> Instant {
        let (began, first) = *self.began.get_or_insert((now, timestamp));
        // Timestamps wrap; a block of an earlier time than the first one is due at once.
        let ahead = timestamp.wrapping_sub(first);
        let ahead = if ahead > u32::MAX / 2 { 0 } else { ahead.saturating_sub(AT_ONCE) };
        began + (Duration::from_millis(u64::from(ahead)) / self.speed).min(HELD_AT_MOST)
    }
}

impl Reader {
    /// Waits until the player may have `block`, while it catches up.
    pub(super) fn poll_pace(&mut self, context: &mut Context<'_>, block: &Block) -> Poll<()> {
        let Some(catch_up) = &mut self.catch_up else { return Poll::Ready(()) };
        let now = super::now();
        let due = catch_up.due(block.wire_timestamp(), now);
        if due > now {
            // Whatever else happens to the stream meanwhile is looked at, too.
            self.waker.register(context, false);
            ready!(self.poll_timer(context, Some(due)));
        }
        Poll::Ready(())
    }

    /// Notes that the player has all there is: from then on it is given what comes.
    pub(super) fn note_pace(&mut self) {
        if self.catch_up.is_some() && !self.has_more() {
            self.catch_up = None;
        }
    }

    pub(super) fn poll_timer(&mut self, context: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(Pin::new(timer).poll(context));
        self.timer = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(speed: u32, timestamps: &[u32]) -> Vec<u128> {
        let now = Instant::now();
        let mut catch_up = CatchUp::new(speed).unwrap();
        timestamps.iter().map(|timestamp| (catch_up.due(*timestamp, now) - now).as_millis()).collect()
    }

    #[test]
    fn the_first_second_comes_at_once_and_the_rest_at_a_multiple_of_its_speed() {
        assert_eq!(held(10, &[5_000, 6_000, 7_000, 15_000]), [0, 0, 100, 900]);
    }

    #[test]
    fn timestamps_that_wrap_or_go_back_hold_nobody() {
        assert_eq!(held(10, &[u32::MAX - 999, 1_000, u32::MAX - 1_999]), [0, 100, 0]);
    }

    #[test]
    fn without_a_speed_nobody_is_held() {
        assert!(CatchUp::new(0).is_none());
    }

    proptest! {
        #[test]
        fn nobody_is_held_for_long(speed in 1_u32.., first: u32, timestamp: u32) {
            prop_assert!(held(speed, &[first, timestamp])[1] <= HELD_AT_MOST.as_millis());
        }
    }
}
