//! The rate at which bytes leave, from a total that only grows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time over which the rate is taken: several merge windows, so that their bursts do not show.
const PERIOD: Duration = Duration::from_secs(1);

/// Totals as they were, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EgressMeter {
    samples: VecDeque<(Instant, u64)>,
}

impl EgressMeter {
    /// Takes the total at `now` and gives the bits a second since [`PERIOD`] ago, or since the first total.
    pub(super) fn measure(&mut self, bytes: u64, now: Instant) -> u64 {
        self.samples.push_back((now, bytes));
        // The newest of those that are old enough is the one to compare with.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= PERIOD) {
            self.samples.pop_front();
        }
        let Some((at, before)) = self.samples.front() else { return 0 };
        let elapsed = now.saturating_duration_since(*at).as_secs_f64();
        if elapsed == 0.0 {
            return 0;
        }
        (bytes.saturating_sub(*before) as f64 * 8.0 / elapsed) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_period() {
        let (mut meter, start) = (EgressMeter::default(), Instant::now());
        assert_eq!(meter.measure(500, start), 0);
        assert_eq!(meter.measure(1_000, start + PERIOD / 2), 8_000);
        assert_eq!(meter.measure(1_500, start + PERIOD), 8_000);
        for step in 3..10 {
            meter.measure(1_500, start + PERIOD / 2 * step);
        }
        assert_eq!(meter.measure(1_500, start + PERIOD * 5), 0);
    }

    #[test]
    fn little_is_remembered_however_often_it_is_measured() {
        let (mut meter, start) = (EgressMeter::default(), Instant::now());
        for step in 0..1_000 {
            meter.measure(0, start + PERIOD / 2 * step);
        }
        assert!(meter.samples.len() <= 3);
    }
}
