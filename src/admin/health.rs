//! Whether the process has started, and whether it should get new connections.

use std::sync::atomic::{AtomicU8, Ordering};

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// The process's own word on its health: it starts, is ready, stops, in this order.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
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
}
