//! When upstream is asked again for a stream that it does not have.

use std::time::Duration;

const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

/// After 0.25 s, 0.5 s, then each second.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    asked: usize,
}

impl Rhythm {
    /// How long to wait before asking again.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = PAUSES[self.asked.min(PAUSES.len() - 1)];
        self.asked += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second() {
        let mut rhythm = Rhythm::default();
        let pauses: Vec<u128> = (0..5).map(|_| rhythm.next_pause().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 1_000, 1_000]);
    }
}
