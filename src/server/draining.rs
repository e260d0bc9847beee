//! The drain put into effect: readiness, listeners, players, and the end of the process.
//!
//! Owns one task that compares what holds with what the order and the clock ask for, and brings it about. It has no
//! memory of the steps: an order that is taken back at any time undoes whatever had been done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::config;
use crate::drain::{self, Drain, Order, Phase, Times};
use crate::hub::{Hub, Release};

use super::doors::Doors;

/// When listening again is tried again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a drain acts on.
pub(super) struct Draining {
    pub(super) drain: Drain,
    pub(super) doors: Doors,
    pub(super) hub: Hub,
    pub(super) health: Arc<Health>,
    /// Cancelled when the order was to exit, and nobody is left or the time is up.
    pub(super) finished: CancellationToken,
}

/// The times as configured.
pub(super) fn times(settings: &config::Drain) -> Times {
    Times {
        propagation_delay: settings.propagation_delay,
        soft_timeout: settings.soft_timeout,
        window: settings.window,
        hard_timeout: settings.hard_timeout,
    }
}

impl Draining {
    /// Follows the orders until `stop`, and then closes the doors.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => stop.cancelled().await,
        }
        self.doors.close().await;
    }

    /// Completes when the process is to end.
    async fn follow(&mut self) {
        let mut orders = self.drain.orders();
        let mut phase = Phase::Serving;
        loop {
            let order = *orders.borrow_and_update();
            let now = drain::now();
            let wanted = order.map_or(Phase::Serving, |order| self.drain.schedule(order).phase(now));
            let in_place = self.put_doors(wanted).await;
            if wanted != phase {
                phase = wanted;
                self.enter(phase, order);
            }
            let exits = order.is_some_and(|order| order.exits()) && phase >= Phase::Closed;
            if exits && (phase == Phase::Over || self.drain.guests() == 0) {
                self.finished.cancel();
                return;
            }
            let next = match in_place {
                true => order.and_then(|order| self.drain.schedule(order).next_change(now)),
                false => Some(now + RETRY_AFTER),
            };
            tokio::select! {
                // The drain is held here, so orders may always come.
                _ = orders.changed() => {}
                () = until(next) => {}
                () = self.drain.all_gone(), if exits => {}
            }
        }
    }

    /// Has the doors open or closed, as it has to be in `phase`, and the process ready where they are open. Returns whether
    /// that is so now.
    async fn put_doors(&mut self, phase: Phase) -> bool {
        if phase != Phase::Serving {
            self.health.stopping();
        }
        if phase >= Phase::Closed {
            self.doors.close().await;
            return true;
        }
        if let Err(error) = self.doors.open() {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "cannot listen again; trying on");
            return false;
        }
        if phase == Phase::Serving {
            self.health.ready();
        }
        true
    }

    fn enter(&self, phase: Phase, order: Option<Order>) {
        let release = match (phase, order) {
            (Phase::Releasing, Some(order)) => Some(Release::Gradual(self.drain.schedule(order).releases)),
            (Phase::Over, _) => Some(Release::Everyone),
            _ => None,
        };
        self.hub.release(release);
        let connections = self.drain.guests();
        match phase {
            Phase::Serving => tracing::info!(connections, "the drain is taken back"),
            _ => {
                tracing::info!(phase = phase.label(), connections, purpose = ?order.map(|order| order.purpose), "draining")
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
