//! Whether the process has started, and whether it should get new connections.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// How far below its threshold the use of the limits has to fall before there is room again.
const HYSTERESIS: f64 = 0.05;

/// The process's own word on its health: it starts, and from then on is ready or not.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
    full: AtomicBool,
}

impl Health {
    /// Every listener listens.
    pub fn ready(&self) {
        self.state.store(READY, Ordering::Release);
    }

    /// No new connection should come here any more.
    pub fn stopping(&self) {
        self.state.store(STOPPING, Ordering::Release);
    }

    pub(super) fn has_started(&self) -> bool {
        self.state.load(Ordering::Acquire) != STARTING
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state.load(Ordering::Acquire) == READY
    }

    /// Whether there is room for more, given how much of the limits is `used` and from which part of them on there is none.
    pub(super) fn has_room(&self, used: f64, unready_at: f64) -> bool {
        let threshold = if self.full.load(Ordering::Relaxed) { unready_at - HYSTERESIS } else { unready_at };
        let full = used >= threshold;
        self.full.store(full, Ordering::Relaxed);
        !full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_back_only_well_below_the_threshold() {
        let health = Health::default();
        let found = [0.5, 0.89, 0.9, 0.89, 0.86, 0.84, 0.89].map(|used| health.has_room(used, 0.9));
        assert_eq!(found, [true, true, false, false, false, true, true]);
    }
}
