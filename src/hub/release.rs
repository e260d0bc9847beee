//! Letting players go though their streams go on: those of a process that drains.
//!
//! Owns which players are to go by now. The server says over which time; readers ask, each for its own share of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use crate::drain::spread::{Share, Shares, Spread};

/// Which players are let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Each at a moment of its own within a time, or at the next keyframe. Pulls of a publisher that is connected to this
    /// process stay with it.
    Gradual(Spread),
    /// All of them, at once.
    Everyone,
}

/// What is in force.
#[derive(Debug)]
pub(super) struct Releases {
    /// Whether there is anything to look at: read for every block of every player.
    in_force: AtomicBool,
    release: RwLock<Option<Release>>,
    shares: Shares,
}

/// When one player is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// From then on, at a keyframe.
    From(Instant),
    /// At once.
    Now,
}

impl Releases {
    pub(super) fn new() -> Self {
        Self { in_force: AtomicBool::new(false), release: RwLock::default(), shares: Shares::new() }
    }

    pub(super) fn set(&self, release: Option<Release>) {
        *self.release.write() = release;
        self.in_force.store(release.is_some(), Ordering::Release);
    }

    /// The share of one more player.
    pub(super) fn next_share(&self) -> Share {
        self.shares.next()
    }

    /// When a player with this share is to go, if at all. `is_bound` says that it is a pull of a publisher that is
    /// connected here.
    pub(super) fn departure(&self, share: Share, is_bound: impl FnOnce() -> bool) -> Option<Departure> {
        if !self.in_force.load(Ordering::Acquire) {
            return None;
        }
        match (*self.release.read())? {
            Release::Everyone => Some(Departure::Now),
            Release::Gradual(_) if is_bound() => None,
            Release::Gradual(spread) => Some(Departure::From(spread.moment(share))),
        }
    }
}
