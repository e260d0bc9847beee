//! The bytes that all segments of the process hold together, and their limit.
//!
//! Owns the account. Packagers and shelves charge what they hold and look how much room there is; what to let go of is
//! theirs to decide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The process-wide account.
#[derive(Debug)]
pub(super) struct Memory {
    used: Gauge,
    limit: AtomicU64,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// Streams may hold what their settings allow.
    Plenty,
    /// Little is left: streams hold what players need.
    Little,
    /// The limit is passed: streams hold their newest segment, and no other stream begins.
    None,
}

impl Memory {
    /// An account of `limit` bytes that shows what is used in `used`.
    pub(super) fn new(limit: u64, used: Gauge) -> Arc<Self> {
        Arc::new(Self { used, limit: AtomicU64::new(limit) })
    }

    /// Changes the limit. What is held already is let go of as streams go on.
    pub(super) fn limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn room(&self) -> Room {
        let limit = self.limit.load(Ordering::Relaxed);
        match u64::try_from(self.used.get()).unwrap_or(0) {
            used if used > limit => Room::None,
            used if used > limit / 10 * 9 => Room::Little,
            _ => Room::Plenty,
        }
    }

    /// Charges `bytes` until the charge is dropped.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let mut charge = Charge { memory: Arc::clone(self), bytes: 0 };
        charge.set(bytes);
        charge
    }
}

/// Bytes charged to the account until they are dropped.
#[derive(Debug)]
pub(super) struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Charge {
    /// Changes how much is charged.
    pub(super) fn set(&mut self, bytes: usize) {
        let difference = i64::try_from(bytes).unwrap_or(i64::MAX) - i64::try_from(self.bytes).unwrap_or(i64::MAX);
        self.memory.used.inc_by(difference);
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_given_back_when_dropped() {
        let used = Gauge::default();
        let memory = Memory::new(100, used.clone());
        let mut open = memory.charge(0);
        assert_eq!(memory.room(), Room::Plenty);
        open.set(91);
        assert_eq!((used.get(), memory.room()), (91, Room::Little));
        let another = memory.charge(10);
        assert_eq!(memory.room(), Room::None);
        open.set(5);
        assert_eq!((used.get(), memory.room()), (15, Room::Plenty));
        drop((open, another));
        assert_eq!(used.get(), 0);
    }
}
