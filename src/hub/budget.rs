//! The bytes that all rings of the process hold together, and their limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The process-wide account: rings shorten when it runs out, and new streams are refused.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Gauge,
    limit: Arc<AtomicU64>,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// Rings may hold what their own caps allow.
    None,
    /// Little is left: rings hold their newest GOP and no more.
    High,
    /// The limit is passed: rings hold what is being sent right now.
    Exceeded,
}

impl Budget {
    /// An account of `limit` bytes that shows what is used in `used`.
    pub fn new(limit: u64, used: Gauge) -> Self {
        Self { used, limit: Arc::new(AtomicU64::new(limit)) }
    }

    /// Changes the limit. What is held already is let go of as rings shorten.
    pub(super) fn limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn pressure(&self) -> Pressure {
        let used = u64::try_from(self.used.get()).unwrap_or(0);
        let limit = self.limit.load(Ordering::Relaxed);
        match used {
            used if used > limit => Pressure::Exceeded,
            used if used > limit / 10 * 9 => Pressure::High,
            _ => Pressure::None,
        }
    }

    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let charge = Charge { budget: Arc::clone(self), bytes: AtomicU64::new(0) };
        charge.add(bytes);
        charge
    }
}

/// Bytes charged to the account until they are dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Charge {
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.budget.used.inc_by(bytes as i64);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.dec_by(*self.bytes.get_mut() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_given_back_when_dropped() {
        let gauge = Gauge::default();
        let budget = Arc::new(Budget::new(100, gauge.clone()));
        let charge = budget.charge(50);
        charge.add(41);
        assert_eq!((gauge.get(), budget.pressure()), (91, Pressure::High));
        let another = budget.charge(10);
        assert_eq!(budget.pressure(), Pressure::Exceeded);
        drop((charge, another));
        assert_eq!((gauge.get(), budget.pressure()), (0, Pressure::None));
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let budget = Arc::new(Budget::new(100, Gauge::default()));
        let _charge = budget.charge(50);
        budget.limit(40);
        assert_eq!(budget.pressure(), Pressure::Exceeded);
        budget.limit(1_000);
        assert_eq!(budget.pressure(), Pressure::None);
    }
}
