//! Many events spread evenly over a time, without a list of those that they happen to.
//!
//! Everybody draws a share when it comes. Shares that are drawn one after the other lie far from each other, so that any
//! crowd, and whatever is left of it later, is spread evenly; and no two processes begin at the same one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The golden section of 2^32: multiples of it, wrapped around, leave no gap and make no heap (Knuth, "The Art of Computer
/// Programming", volume 3, section 6.4, theorem S).
const GOLDEN_SECTION: u32 = 2_654_435_769;

/// A time over which events are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// When it begins.
    pub from: Instant,
    /// How long it lasts.
    pub window: Duration,
}

/// A place in any [`Spread`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// Where shares come from.
#[derive(Debug)]
pub struct Shares {
    next: AtomicU32,
}

impl Spread {
    /// The moment that `share` stands for.
    pub fn moment(&self, share: Share) -> Instant {
        self.from + self.window.mul_f64(f64::from(share.0) / (f64::from(u32::MAX) + 1.0))
    }
}

impl Shares {
    /// A sequence of its own.
    pub fn new() -> Self {
        // Zeros, should there be no randomness.
        let mut offset = [0; 4];
        let _ = getrandom::fill(&mut offset);
        Self { next: AtomicU32::new(u32::from_ne_bytes(offset)) }
    }

    /// The next share.
    pub fn next(&self) -> Share {
        Share(self.next.fetch_add(GOLDEN_SECTION, Ordering::Relaxed))
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    /// How many of the moments of `shares` fall into each of `parts` equal parts of the window.
    fn count(shares: impl Iterator<Item = Share>, parts: usize) -> Vec<usize> {
        let spread = Spread { from: Instant::now(), window: WINDOW };
        let mut counts = vec![0; parts];
        for share in shares {
            let after = spread.moment(share) - spread.from;
            counts[(after.as_secs_f64() / WINDOW.as_secs_f64() * parts as f64) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_crowd_is_spread_evenly_over_the_window() {
        let shares = Shares::new();
        let counts = count((0..400).map(|_| shares.next()), 10);
        assert!(counts.iter().all(|count| (36..=44).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_left_of_a_crowd_is_still_spread() {
        let shares = Shares::new();
        for step in [2, 3, 7] {
            let counts = count((0..700).map(|_| shares.next()).step_by(step), 5);
            let fair = 700 / step / 5;
            assert!(counts.iter().all(|count| count.abs_diff(fair) <= fair / 3), "every {step}: {counts:?}");
        }
    }

    #[test]
    fn a_window_of_zero_is_one_moment() {
        let spread = Spread { from: Instant::now(), window: Duration::ZERO };
        assert_eq!(spread.moment(Share(u32::MAX)), spread.from);
    }

    #[test]
    fn no_moment_lies_outside_of_the_window() {
        let spread = Spread { from: Instant::now(), window: WINDOW };
        assert_eq!(spread.moment(Share(0)), spread.from);
        assert!(spread.moment(Share(u32::MAX)) <= spread.from + WINDOW);
    }
}
