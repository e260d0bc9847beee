//! Draining: how a process takes leave of its clients before it ends, or for as long as an operator wants it to.
//!
//! Owns the order to drain, the times that follow from it, and the count of the clients that are still there. A signal or
//! the admin port gives the order; the server closes listeners and releases players by it, the sessions of publishers
//! look at it themselves. It touches no socket and no stream, and depends on no other layer.
//!
//! The order is one value that everybody watches: there is no sequence of messages that could be missed. What holds at a
//! moment follows from the order and the clock alone ([`Phase`]), so an order can be given, raised and taken back at any
//! time.

mod guests;
pub mod spread;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

pub use guests::Guest;
use guests::Guests;
use spread::{Share, Shares, Spread};

/// When what happens, each counted from the order. Each is at least as long as the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For how long connections are still accepted: until nobody sends any here.
    pub propagation_delay: Duration,
    /// When clients begin to be released.
    pub soft_timeout: Duration,
    /// Over how long, from then on, their releases are spread.
    pub window: Duration,
    /// When all that is left is ended.
    pub hard_timeout: Duration,
}

/// What an order is for; the later win over the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The process stays, empty in the end, until the order is taken back.
    Stay,
    /// The process ends when nobody is left.
    Exit,
    /// The same, by the system's order, which cannot be taken back: who sent it will not wait for ever.
    Terminate,
}

/// An order to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// When it was given.
    pub since: Instant,
    /// The same by the wall clock, to be shown.
    pub given_at: SystemTime,
    /// What it is for.
    pub purpose: Purpose,
    /// The times that held when it was given.
    pub times: Times,
}

/// What an order has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// There is no order.
    Serving,
    /// The process says that it is not ready, and still takes connections.
    Announced,
    /// No new connection is taken; those that are there go on.
    Closed,
    /// Clients are released one after the other.
    Releasing,
    /// Whoever is left is ended.
    Over,
}

/// When the phases of one order begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// [`Phase::Closed`].
    pub closes: Instant,
    /// [`Phase::Releasing`]: when, and over how long.
    pub releases: Spread,
    /// [`Phase::Over`].
    pub ends: Instant,
}

/// The system ordered the process to end: that is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process was told to end by a signal, which cannot be taken back")]
pub struct Irrevocable;

/// The drain of one server. Clones share it.
#[derive(Debug, Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    times: Mutex<Times>,
    order: watch::Sender<Option<Order>>,
    guests: Guests,
    shares: Shares,
}

impl Phase {
    /// The phase as the API names it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Announced => "announced",
            Self::Closed => "closed",
            Self::Releasing => "releasing",
            Self::Over => "over",
        }
    }
}

impl Order {
    /// Whether the process ends once nobody is left.
    pub const fn exits(&self) -> bool {
        !matches!(self.purpose, Purpose::Stay)
    }
}

impl Times {
    /// When an order that was given at `since` comes to what.
    pub fn schedule(&self, since: Instant) -> Schedule {
        Schedule {
            closes: since + self.propagation_delay,
            releases: Spread { from: since + self.soft_timeout, window: self.window },
            ends: since + self.hard_timeout,
        }
    }
}

impl Schedule {
    /// The phase at `now`.
    pub fn phase(&self, now: Instant) -> Phase {
        if now >= self.ends {
            Phase::Over
        } else if now >= self.releases.from {
            Phase::Releasing
        } else if now >= self.closes {
            Phase::Closed
        } else {
            Phase::Announced
        }
    }

    /// When the next phase begins, if there is one.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        [self.closes, self.releases.from, self.ends].into_iter().find(|moment| *moment > now)
    }
}

impl Drain {
    /// No order yet, and no client.
    pub fn new(times: Times) -> Self {
        let (times, order) = (Mutex::new(times), watch::Sender::new(None));
        Self { shared: Arc::new(Shared { times, order, guests: Guests::default(), shares: Shares::new() }) }
    }

    /// Changes the times, for orders that are given from now on.
    pub fn set_times(&self, times: Times) {
        *self.shared.times.lock() = times;
    }

    /// Gives the order to drain. One that is in force goes on counting from when it was given, and may change its
    /// purpose for a later one only.
    pub fn begin(&self, purpose: Purpose) {
        self.shared.order.send_if_modified(|order| match order {
            Some(order) if order.purpose >= purpose => false,
            Some(order) => {
                order.purpose = purpose;
                true
            }
            None => {
                *order = Some(Order {
                    since: now(),
                    given_at: SystemTime::now(),
                    purpose,
                    times: *self.shared.times.lock(),
                });
                true
            }
        });
    }

    /// Takes the order back; there need not be one.
    pub fn take_back(&self) -> Result<(), Irrevocable> {
        let mut irrevocable = false;
        self.shared.order.send_if_modified(|order| {
            irrevocable = order.is_some_and(|order| order.purpose == Purpose::Terminate);
            !irrevocable && order.take().is_some()
        });
        if irrevocable { Err(Irrevocable) } else { Ok(()) }
    }

    /// The order in force.
    pub fn order(&self) -> Option<Order> {
        *self.shared.order.borrow()
    }

    /// Whether there is an order.
    pub fn is_ordered(&self) -> bool {
        self.order().is_some()
    }

    /// The order in force and those to come.
    pub fn orders(&self) -> watch::Receiver<Option<Order>> {
        self.shared.order.subscribe()
    }

    /// When `order` comes to what.
    pub fn schedule(&self, order: Order) -> Schedule {
        order.times.schedule(order.since)
    }

    /// What holds now.
    pub fn phase(&self) -> Phase {
        self.order().map_or(Phase::Serving, |order| self.schedule(order).phase(now()))
    }

    /// The share of one more publisher in the window.
    pub fn next_share(&self) -> Share {
        self.shared.shares.next()
    }

    /// Counts one more client until the guest is dropped.
    pub fn welcome(&self) -> Guest {
        Guests::welcome(&self.shared)
    }

    /// The clients that are there.
    pub fn guests(&self) -> usize {
        self.shared.guests.count()
    }

    /// Completes once no client is there.
    pub async fn all_gone(&self) {
        self.shared.guests.all_gone().await;
    }
}

/// The clock of a drain: tokio's, so that tests can turn it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
