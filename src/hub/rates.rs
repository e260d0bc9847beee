//! Bit rates of a stream over the last half minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(30);
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Totals at a few moments of the last half minute.
#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: VecDeque<Sample>,
}

/// Totals at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

impl Rates {
    /// Whether it is time for the next sample.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.samples.back().is_none_or(|last| now.saturating_duration_since(last.at) >= SAMPLE_EVERY)
    }

    pub(super) fn add(&mut self, sample: Sample) {
        while self.samples.len() > 1 && sample.at.saturating_duration_since(self.samples[1].at) >= WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Kilobits a second, received and sent, from the oldest sample to `now`.
    pub(super) fn kilobits(&self, now: Sample) -> (u64, u64) {
        let Some(oldest) = self.samples.front() else { return (0, 0) };
        let milliseconds = now.at.saturating_duration_since(oldest.at).as_millis().max(1) as u64;
        let rate = |now: u64, then: u64| now.saturating_sub(then).saturating_mul(8) / milliseconds;
        (rate(now.received_bytes, oldest.received_bytes), rate(now.sent_bytes, oldest.sent_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_half_minute() {
        let (start, mut rates) = (Instant::now(), Rates::default());
        let sample = |seconds: u64, bytes| Sample {
            at: start + Duration::from_secs(seconds),
            received_bytes: bytes,
            sent_bytes: bytes * 2,
        };
        for seconds in 0..100 {
            // 1,000 bytes a second, then 2,000.
            let now = sample(seconds, if seconds < 50 { seconds * 1_000 } else { seconds * 2_000 - 50_000 });
            if rates.is_due(now.at) {
                rates.add(now);
            }
            match seconds {
                40 => assert_eq!(rates.kilobits(now), (8, 16)),
                99 => assert_eq!(rates.kilobits(now), (16, 32)),
                _ => {}
            }
        }
        assert!(rates.samples.len() <= 8);
    }
}
