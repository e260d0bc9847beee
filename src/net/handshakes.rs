//! How many connections may be at their beginning: at a time, and new ones each second.
//!
//! Owns the count of those that have not said yet what they want, and the pace of accepting. Beyond either limit nobody is
//! refused: who comes waits in the system's queue until it is his turn, and those who are served already keep the processor.
//! The limits are those in force when a connection comes. Waiting has an end, since every beginning has a deadline.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::Live;
use crate::metrics::Metrics;

/// For how much of a second connections that have not come may come later, all at once.
const BURST: Duration = Duration::from_millis(250);

/// Paces the beginnings of connections.
#[derive(Debug)]
pub struct Handshakes {
    /// Of it, `limits.max_handshakes` and `limits.max_handshakes_per_second`.
    config: Live,
    metrics: Arc<Metrics>,
    under_way: AtomicUsize,
    /// One beginning is over.
    ended: Notify,
    /// When the next connection may begin, if they come evenly.
    next_at: Mutex<Option<Instant>>,
}

/// The beginning of one connection, until it has said what it wants, or is gone.
#[derive(Debug)]
pub struct Handshake {
    handshakes: Arc<Handshakes>,
    is_over: AtomicBool,
}

impl Handshakes {
    /// Paces by the limits in force.
    pub fn new(config: Live, metrics: Arc<Metrics>) -> Self {
        Self { config, metrics, under_way: AtomicUsize::new(0), ended: Notify::new(), next_at: Mutex::new(None) }
    }

    /// Waits until another connection may begin. Dropping the future loses at most its turn in the second.
    pub async fn begin(self: &Arc<Self>) -> Handshake {
        let limits = self.config.current().limits.clone();
        if let Some(turn) = self.turn(limits.max_handshakes_per_second) {
            self.metrics.paced_connections.inc();
            sleep_until(turn).await;
        }
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            // Looked up anew: a limit that is raised helps those who wait.
            let limit = self.config.current().limits.max_handshakes;
            if limit == 0 || self.under_way.load(Ordering::Acquire) < limit {
                return self.begin_at_once();
            }
            self.metrics.paced_connections.inc();
            ended.await;
        }
    }

    /// Begins one whatever the limits say: who waited at a listener that closes is let in.
    pub fn begin_at_once(self: &Arc<Self>) -> Handshake {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.metrics.handshakes.inc();
        Handshake { handshakes: Arc::clone(self), is_over: AtomicBool::new(false) }
    }

    /// When the next one may begin, if that is not now.
    fn turn(&self, per_second: usize) -> Option<Instant> {
        if per_second == 0 {
            return None;
        }
        let interval = Duration::from_secs(1) / u32::try_from(per_second).unwrap_or(u32::MAX);
        let now = Instant::now();
        let mut next_at = self.next_at.lock();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let turn = next_at.map_or(earliest, |next_at| next_at.max(earliest));
        *next_at = Some(turn + interval);
        (turn > now).then_some(turn)
    }
}

impl Handshake {
    /// Notes that the connection has said what it wants.
    pub fn complete(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            self.handshakes.under_way.fetch_sub(1, Ordering::AcqRel);
            self.handshakes.metrics.handshakes.dec();
            self.handshakes.ended.notify_one();
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.complete();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::config::{Config, Role};

    fn limited(at_a_time: usize, per_second: usize) -> (Arc<Handshakes>, Live) {
        let live = Live::new(config(at_a_time, per_second));
        (Arc::new(Handshakes::new(live.clone(), Arc::default())), live)
    }

    fn config(at_a_time: usize, per_second: usize) -> Config {
        let mut config = Config::defaults(Role::Origin);
        config.limits.max_handshakes = at_a_time;
        config.limits.max_handshakes_per_second = per_second;
        config
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_everybody_begins_at_once() {
        let (handshakes, _) = limited(0, 0);
        let began = Instant::now();
        let mut under_way = Vec::new();
        for _ in 0..10_000 {
            under_way.push(handshakes.begin().await);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(handshakes.metrics.handshakes.get(), 10_000);
        drop(under_way);
        assert_eq!(handshakes.metrics.handshakes.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_so_many_a_second_they_wait_for_their_turn() {
        let (handshakes, _) = limited(0, 100);
        let began = Instant::now();
        for _ in 0..226 {
            handshakes.begin().await;
        }
        // A quarter of a second's worth, and two seconds.
        assert!((2_000..2_020).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let began = Instant::now();
        for _ in 0..126 {
            handshakes.begin().await;
        }
        assert!((1_000..1_020).contains(&began.elapsed().as_millis()), "an idle hour saves nothing up");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_so_many_at_a_time_one_waits_until_another_is_over() {
        let (handshakes, _) = limited(2, 0);
        let (first, second) = (handshakes.begin().await, handshakes.begin().await);
        assert!(timeout(Duration::from_secs(60), handshakes.begin()).await.is_err());
        first.complete();
        first.complete();
        let third = handshakes.begin().await;
        assert!(
            timeout(Duration::from_secs(60), handshakes.begin()).await.is_err(),
            "one that is over twice counts once"
        );
        drop(second);
        let fourth = timeout(Duration::from_secs(60), handshakes.begin()).await.unwrap();
        drop((first, third, fourth));
        assert_eq!(handshakes.under_way.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_at_a_listener_that_closes_begins_all_the_same() {
        let (handshakes, _) = limited(1, 1);
        let first = handshakes.begin_at_once();
        let second = handshakes.begin_at_once();
        assert_eq!(handshakes.metrics.handshakes.get(), 2);
        drop((first, second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_raised_holds_for_who_waits() {
        let (handshakes, live) = limited(1, 0);
        let (first, second) = (handshakes.begin().await, handshakes.begin_at_once());
        live.replace(config(2, 0));
        drop(second);
        let third = timeout(Duration::from_secs(60), handshakes.begin()).await.unwrap();
        drop((first, third));
    }
}
