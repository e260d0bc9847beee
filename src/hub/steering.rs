//! How wide a shard's merge window should be.
//!
//! What a player costs is the number of writes to it, and a wider window is fewer writes. So the window follows from how
//! busy the shard is: none while that is little, and as wide as it takes to keep half of the shard's core free as players
//! come. Pure: who measures the shard and who uses the window is not known here.

use std::collections::VecDeque;
use std::time::Duration;

/// The widest window that steering leads to.
const WIDEST: Duration = Duration::from_millis(350);
/// The share of its time that a shard should be busy. The rest is for joins, for bursts and for neighbours.
const TARGET: f64 = 0.65;
/// Observations that are looked at together: a shard works in bursts, one for each block.
const OBSERVATIONS: usize = 4;
/// About the time from one packet of a stream with sound and pictures to the next: what is between two writes even
/// without a window.
const GAP: f64 = 0.012;
/// How much of what seems right is done at once. With more, the window would swing: its effect shows only a few
/// observations later.
const GAIN: f64 = 0.25;
/// The most that the time between two writes grows or shrinks at once.
const LARGEST_STEP: f64 = 1.25;

/// Steers one shard's window.
#[derive(Debug, Default)]
pub(super) struct Steering {
    recent: VecDeque<Observation>,
    /// Seconds.
    window: f64,
}

#[derive(Debug, Clone, Copy)]
struct Observation {
    busy: f64,
    elapsed: f64,
}

impl Steering {
    /// Takes for how long the shard was `busy` of the time `elapsed` since the last call; returns the window from now on.
    pub(super) fn observe(&mut self, busy: Duration, elapsed: Duration) -> Duration {
        self.recent.push_back(Observation { busy: busy.as_secs_f64(), elapsed: elapsed.as_secs_f64() });
        if self.recent.len() > OBSERVATIONS {
            self.recent.pop_front();
        }
        let sum = |of: fn(&Observation) -> f64| self.recent.iter().map(of).sum::<f64>();
        let share = sum(|observation| observation.busy) / sum(|observation| observation.elapsed).max(f64::EPSILON);
        // Writes are as many as fit into the time between two of them, and the time they take goes with their number.
        let step = (share / TARGET).powf(GAIN).clamp(1.0 / LARGEST_STEP, LARGEST_STEP);
        self.window = ((self.window + GAP) * step - GAP).clamp(0.0, WIDEST.as_secs_f64());
        self.window()
    }

    /// Whole milliseconds, as timers have them.
    fn window(&self) -> Duration {
        Duration::from_millis((self.window * 1e3) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(250);

    /// A shard on which sending every packet by itself would take `load` of its core, and bytes alone a tenth of that.
    struct Shard {
        load: f64,
        steering: Steering,
        window: Duration,
    }

    impl Shard {
        fn new(load: f64) -> Self {
            Self { load, steering: Steering::default(), window: Duration::ZERO }
        }

        fn share(&self) -> f64 {
            let writes = GAP / (GAP + self.window.as_secs_f64());
            (self.load * (0.1 + 0.9 * writes)).min(1.0)
        }

        /// The windows of `seconds`.
        fn run(&mut self, seconds: u32) -> Vec<Duration> {
            let windows = (0..seconds * 4).map(|_| {
                self.window = self.steering.observe(EVERY.mul_f64(self.share()), EVERY);
                self.window
            });
            windows.collect()
        }
    }

    #[test]
    fn nothing_is_added_while_the_load_is_small() {
        let mut shard = Shard::new(0.4);
        assert!(shard.run(60).iter().all(Duration::is_zero));
    }

    #[test]
    fn as_players_come_the_window_widens_until_the_target_is_met() {
        for load in [0.8, 1.0, 1.7, 3.0] {
            let mut shard = Shard::new(load);
            shard.run(30);
            assert!((shard.share() - TARGET).abs() < 0.03, "{load}: busy for {}", shard.share());
        }
    }

    #[test]
    fn the_window_is_never_wider_than_350_ms() {
        let mut shard = Shard::new(100.0);
        assert_eq!(shard.run(60).iter().max(), Some(&WIDEST));
    }

    #[test]
    fn the_window_moves_smoothly_and_does_not_swing() {
        let mut shard = Shard::new(1.7);
        let windows = shard.run(30);
        for pair in windows.windows(2) {
            let step = (pair[1].as_secs_f64() + GAP) / (pair[0].as_secs_f64() + GAP);
            assert!(step < LARGEST_STEP + 0.1, "{pair:?}");
        }
        let settled = windows[windows.len() - 1];
        let most = windows.iter().max().copied().unwrap_or_default();
        assert!(most < settled.mul_f64(1.2), "went to {most:?} on its way to {settled:?}");
    }

    #[test]
    fn when_players_leave_the_window_closes() {
        let mut shard = Shard::new(3.0);
        shard.run(30);
        assert!(shard.window > Duration::from_millis(50));
        shard.load = 0.1;
        assert_eq!(shard.run(30).last(), Some(&Duration::ZERO));
    }

    #[test]
    fn a_burst_of_one_observation_hardly_moves_it() {
        let mut shard = Shard::new(0.2);
        shard.run(5);
        let window = shard.steering.observe(EVERY, EVERY);
        assert!(window <= Duration::from_millis(2), "{window:?}");
    }
}
