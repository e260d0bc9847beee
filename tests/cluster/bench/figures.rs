//! What was measured at players, as one line of a table.

use std::fmt;
use std::time::Duration;

/// Prints a row of the table in docs/reliability.md.
pub fn row(scenario: &str, figures: impl fmt::Display) {
    println!("| {scenario} | {figures} |");
}

/// What players noticed since the last mark.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many there are.
    pub players: usize,
    /// How many connections ended, or were refused.
    pub disconnects: usize,
    /// How many of these connections never brought a frame.
    pub refused: usize,
    /// The longest time between two frames, of each player, sorted; a silence that goes on counts up to now.
    pub gaps: Vec<Duration>,
    /// Frames that were published and never came, within one publish session and one connection.
    pub lost: u64,
    /// Frames that came again, or later than a frame behind them.
    pub repeated: u64,
    /// Timestamps smaller than the one before, on their track.
    pub backwards: u64,
}

impl Figures {
    /// The gap that so many percent of the players did not exceed.
    pub fn gap(&self, percent: usize) -> Duration {
        let rank = (self.gaps.len() * percent).div_ceil(100);
        self.gaps.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Fails if a frame came twice or a timestamp went back.
    #[track_caller]
    pub fn assert_in_order(&self) {
        assert_eq!((self.repeated, self.backwards), (0, 0), "{self:?}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, longest] = [50, 99, 100].map(|percent| self.gap(percent).as_secs_f64());
        let Self { players, disconnects, lost, .. } = self;
        write!(
            formatter,
            "{players} players, {disconnects} disconnects; gap p50 {median:.2} s, p99 {p99:.2} s, longest {longest:.2} s; \
             {lost} frames lost"
        )
    }
}
