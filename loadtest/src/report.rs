//! What a load test found, in the form that the table, the JSON file and the page share.

pub(crate) mod html;
pub(crate) mod load;
pub(crate) mod machine;
mod plot;
mod svg;
pub(crate) mod table;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::target::Protocol;
use load::Load;
use machine::Machine;

/// One invocation.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was done, in a few words.
    pub(crate) title: String,
    /// The command line.
    pub(crate) command: String,
    /// Seconds since 1970.
    pub(crate) began: u64,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What was measured.
    pub(crate) cases: Vec<Case>,
    /// What should be known besides.
    pub(crate) notes: Vec<String>,
}

/// Seconds of stream that come in each second, at least, from a server that keeps up; a merge window moves it a little.
const LEAST_PACE: f64 = 0.95;

/// One server under one load, measured once or more often.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    /// As it is called in tables and plots.
    pub(crate) name: String,
    /// What the players speak.
    pub(crate) protocol: Protocol,
    /// What the server was given to do.
    #[serde(flatten)]
    pub(crate) load: Load,
    /// Each measurement.
    pub(crate) runs: Vec<Run>,
    /// Delay over all runs, in milliseconds.
    pub(crate) delay: Distribution,
    /// From connect to the first frame over all runs, in milliseconds.
    pub(crate) first_frame: Distribution,
}

/// One measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Run {
    /// Players that got a frame.
    pub(crate) connected: usize,
    /// Players that never got one.
    pub(crate) failed: usize,
    /// Players that the server ended.
    pub(crate) dropped: usize,
    /// Players that got nothing while it was measured.
    pub(crate) silent: usize,
    /// Whether the last player was gone before the time was over.
    pub(crate) ended_early: bool,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// What all players got.
    pub(crate) delivered_gigabits: f64,
    /// The same over what was published for them.
    pub(crate) delivered_share: Option<f64>,
    /// The share of the player that got least.
    pub(crate) least_share: Option<f64>,
    /// Seconds of stream that came in each second.
    pub(crate) pace: Option<f64>,
    /// The server's CPU time.
    pub(crate) cpu_ms: Option<f64>,
    /// The server's CPU time for each gigabit that players got.
    pub(crate) cpu_ms_per_gigabit: Option<f64>,
    /// Cores that the server kept busy.
    pub(crate) cores: Option<f64>,
    /// Cores that this program kept busy.
    pub(crate) driver_cores: f64,
    /// Resident memory in bytes that the server took for each player.
    pub(crate) resident_per_player: Option<f64>,
    /// From stamp to arrival, in milliseconds.
    pub(crate) delay: Distribution,
    /// From connect to the first frame, in milliseconds.
    pub(crate) first_frame: Distribution,
    /// Stamped messages that the sample got.
    pub(crate) sampled_messages: u64,
    /// Messages that the sample did not get.
    pub(crate) missing_messages: u64,
    /// What players said that failed.
    pub(crate) failures: Vec<String>,
    /// The course of it.
    pub(crate) timeline: Vec<Tick>,
    /// For merging.
    #[serde(skip)]
    pub(crate) delay_histogram: Option<Histogram<u64>>,
    /// For merging.
    #[serde(skip)]
    pub(crate) first_frame_histogram: Option<Histogram<u64>>,
}

/// A moment of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tick {
    /// Seconds from the beginning.
    pub(crate) at: f64,
    /// Players that got the stream.
    pub(crate) players: usize,
    /// What they got since the last tick.
    pub(crate) gigabits_per_second: f64,
    /// Cores that the server kept busy since then.
    pub(crate) cores: Option<f64>,
    /// Whether this belongs to the measurement.
    pub(crate) measured: bool,
}

/// A distribution in figures and as a curve.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Distribution {
    /// How many values.
    pub(crate) count: u64,
    /// The least.
    pub(crate) min: f64,
    /// Half of them are at most this.
    pub(crate) p50: f64,
    /// 90 %.
    pub(crate) p90: f64,
    /// 99 %.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
    /// Pairs of a share and the value that so many are at most.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Distribution {
    /// That of a histogram whose unit is `scale` times the one wanted.
    pub(crate) fn of(histogram: &Histogram<u64>, scale: f64) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |share: f64| histogram.value_at_quantile(share) as f64 * scale;
        let tail = [0.992, 0.994, 0.996, 0.998, 0.999, 0.9995, 0.9999, 1.0];
        let shares = (0..100).map(|percent| f64::from(percent) / 100.0).chain([0.99]).chain(tail);
        Self {
            count: histogram.len(),
            min: histogram.min() as f64 * scale,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: histogram.max() as f64 * scale,
            curve: shares.map(|share| (share, at(share))).collect(),
        }
    }

    fn of_all<'a>(histograms: impl Iterator<Item = Option<&'a Histogram<u64>>>, scale: f64) -> Self {
        let mut merged: Option<Histogram<u64>> = None;
        for histogram in histograms.flatten() {
            match &mut merged {
                None => merged = Some(histogram.clone()),
                // Both have the same bounds.
                Some(merged) => merged.add(histogram).unwrap_or_default(),
            }
        }
        merged.map(|merged| Self::of(&merged, scale)).unwrap_or_default()
    }
}

impl Case {
    /// A case and its runs.
    pub(crate) fn new(name: String, protocol: Protocol, load: Load, runs: Vec<Run>) -> Self {
        let delay = Distribution::of_all(runs.iter().map(|run| run.delay_histogram.as_ref()), 1e-3);
        let first_frame = Distribution::of_all(runs.iter().map(|run| run.first_frame_histogram.as_ref()), 1e-3);
        Self { name, protocol, load, runs, delay, first_frame }
    }

    /// Whether players got a second of stream in each second; they fall behind if the server, or this machine, cannot.
    pub(crate) fn keeps_up(&self) -> bool {
        self.median(|run| run.pace).is_none_or(|pace| pace >= LEAST_PACE)
    }

    /// The server and what its players speak.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.protocol)
    }

    /// The median over the runs of what is known.
    pub(crate) fn median(&self, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let upper = values.get(values.len() / 2)?;
        let lower = values.get(values.len().saturating_sub(1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    /// The median of the server's CPU milliseconds for each gigabit.
    pub(crate) fn cost(&self) -> Option<f64> {
        self.median(|run| run.cpu_ms_per_gigabit)
    }

    /// The sum over the runs.
    pub(crate) fn sum(&self, value: impl Fn(&Run) -> usize) -> usize {
        self.runs.iter().map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_in_the_wanted_unit() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in 1..=1000_u64 {
            histogram.record(value).unwrap();
        }
        let distribution = Distribution::of(&histogram, 1e-3);
        assert_eq!((distribution.count, distribution.p50, distribution.max), (1000, 0.5, 1.0));
        assert!(distribution.curve.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert_eq!(Distribution::of(&Histogram::new(3).unwrap(), 1.0).count, 0);
    }
}
