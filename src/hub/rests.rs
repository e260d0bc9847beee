//! Rests of a shard: short pauses before it waits for what comes next, so that more comes at once.
//!
//! With many streams of few players each, every packet is a wake-up of the thread, a read and a write, and the wake-up is
//! the dearest of the three. Network cards gather interrupts for the same reason. The dispatcher decides, the thread of the
//! shard's runtime rests; streams whose merge window is fixed do not count, for they were promised no more than that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one rest takes: what a packet may wait for others.
const REST: Duration = Duration::from_micros(500);
/// From how many blocks a second on, of all streams with players on the shard, it rests: two or more in each rest.
const WORTH_RESTING: f64 = 3_000.0;

/// The rests of one shard.
#[derive(Debug, Default)]
pub struct Rests {
    wanted: AtomicBool,
    /// Nanoseconds.
    taken: AtomicU64,
}

impl Rests {
    /// Rests, if that is wanted. To be called by the shard's thread before it waits for events.
    #[expect(clippy::disallowed_methods, reason = "nothing is ready to run on the shard, and it is for a moment only")]
    pub fn rest(&self) {
        if self.wanted.load(Ordering::Relaxed) {
            let began = Instant::now();
            sleep(REST);
            self.taken.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// How long all rests together took: the runtime takes it for work.
    pub(super) fn taken(&self) -> Duration {
        Duration::from_nanos(self.taken.load(Ordering::Relaxed))
    }

    /// Decides by the `blocks` that came within `elapsed`.
    pub(super) fn observe(&self, blocks: u32, elapsed: Duration) {
        let is_worth_it = f64::from(blocks) >= WORTH_RESTING * elapsed.as_secs_f64();
        self.wanted.store(is_worth_it, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_shard_rests_only_while_blocks_come_quickly() {
        let rests = Rests::default();
        rests.rest();
        assert_eq!(rests.taken(), Duration::ZERO);
        rests.observe(10_000, SECOND);
        rests.rest();
        let taken = rests.taken();
        assert!(taken >= REST);
        rests.observe(100, SECOND);
        rests.rest();
        assert_eq!(rests.taken(), taken);
    }

    #[test]
    fn many_blocks_are_few_over_a_long_time() {
        let rests = Rests::default();
        rests.observe(10_000, 10 * SECOND);
        rests.rest();
        assert_eq!(rests.taken(), Duration::ZERO);
    }
}
