//! How much a publisher may send.

use std::time::{Duration, Instant};

/// What a publisher may have sent beyond its rate: so much of the rate's own time. A keyframe, or what an encoder has saved
/// up while the network stood still, is no offence.
const SPARE: Duration = Duration::from_secs(5);

/// What one publisher has sent, held against a rate.
#[derive(Debug)]
pub(super) struct Allowance {
    /// In bytes a second; none is any.
    rate: Option<f64>,
    /// What is too much at the moment, in bytes.
    excess: f64,
    at: Instant,
}

impl Allowance {
    /// So many bits a second; none is any.
    pub(super) fn new(bits: Option<u64>, now: Instant) -> Self {
        Self { rate: bits.map(|bits| bits as f64 / 8.0), excess: 0.0, at: now }
    }

    /// Takes note of `bytes` more. Whether that is still allowed.
    pub(super) fn note(&mut self, bytes: usize, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.excess = (self.excess - rate * passed).max(0.0) + bytes as f64;
        self.at = now;
        self.excess <= rate * SPARE.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps of a tenth of a second it takes until a publisher of `bits` a second is stopped, of at most 1,000.
    fn lives(limit: Option<u64>, bits: usize) -> usize {
        let began = Instant::now();
        let mut allowance = Allowance::new(limit, began);
        let step = Duration::from_millis(100);
        (1..=1_000).find(|count| !allowance.note(bits / 80, began + step * *count as u32)).unwrap_or(1_000)
    }

    #[test]
    fn who_keeps_to_the_rate_may_send_for_ever() {
        assert_eq!(lives(Some(1_000_000), 1_000_000), 1_000);
        assert_eq!(lives(None, 1_000_000_000), 1_000);
    }

    #[test]
    fn who_sends_twice_as_fast_is_stopped_after_some_seconds() {
        assert!((48..=53).contains(&lives(Some(1_000_000), 2_000_000)), "{}", lives(Some(1_000_000), 2_000_000));
    }

    #[test]
    fn a_burst_is_forgiven_and_forgotten() {
        let began = Instant::now();
        let mut allowance = Allowance::new(Some(8_000), began);
        assert!(allowance.note(5_000, began));
        assert!(!Allowance::new(Some(8_000), began).note(5_001, began));
        assert!(!allowance.note(1, began));
        assert!(allowance.note(4_000, began + Duration::from_secs(5)));
    }
}
