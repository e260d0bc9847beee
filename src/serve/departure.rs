//! When a publisher is asked to go elsewhere, and when it is sent away: what a drain means to it.
//!
//! Players are let go by the hub, at keyframes. Publishers are few, and each looks at the order itself.

use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::config::Role;
use crate::drain::spread::Share;
use crate::drain::{Drain, Order, Schedule};

/// What is due for a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It is to be asked to reconnect.
    Request,
    /// It is to be closed.
    Close,
}

/// One publisher's view of the drain.
#[derive(Debug)]
pub(super) struct Departure {
    drain: Drain,
    orders: watch::Receiver<Option<Order>>,
    role: Role,
    can_reconnect: bool,
    share: Share,
    /// The order that it has been asked to go by.
    requested: Option<Instant>,
}

impl Departure {
    /// For a publisher of a process in this role.
    pub(super) fn new(drain: &Drain, role: Role, can_reconnect: bool) -> Self {
        let (orders, share) = (drain.orders(), drain.next_share());
        Self { drain: drain.clone(), orders, role, can_reconnect, share, requested: None }
    }

    /// Completes when something is due, each once for an order. Dropping the future loses nothing.
    pub(super) async fn due(&mut self) -> Due {
        loop {
            let order = *self.orders.borrow_and_update();
            let next = order.map(|order| self.next(order));
            let changed = async {
                if self.orders.changed().await.is_err() {
                    // The drain is held here, so somebody may always order.
                    std::future::pending::<()>().await;
                }
            };
            match (order, next) {
                (Some(order), Some((due, moment))) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(moment.into()) => {
                        if due == Due::Request {
                            self.requested = Some(order.since);
                        }
                        return due;
                    }
                },
                _ => changed.await,
            }
        }
    }

    /// What is due next by an order, and when.
    fn next(&self, order: Order) -> (Due, Instant) {
        let schedule = self.drain.schedule(order);
        if self.can_reconnect && self.requested != Some(order.since) {
            return (Due::Request, self.request_at(order, schedule));
        }
        (Due::Close, self.close_at(schedule))
    }

    /// An origin asks at once: a forwarding edge goes to another origin by itself. From an edge an encoder comes back to
    /// the same name, which may lead here again as long as connections are taken.
    fn request_at(&self, order: Order, schedule: Schedule) -> Instant {
        match self.role {
            Role::Origin => order.since,
            Role::Edge => schedule.closes,
        }
    }

    /// An origin has no use for a publisher that cannot find its way to another one by itself: it is closed as soon as it
    /// can come back elsewhere. All others have time until they are let go like players.
    fn close_at(&self, schedule: Schedule) -> Instant {
        match self.role {
            Role::Origin if !self.can_reconnect => schedule.closes,
            _ => schedule.releases.moment(self.share).min(schedule.ends),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use crate::drain::{Purpose, Times};

    use super::*;

    fn drain() -> Drain {
        let seconds = Duration::from_secs;
        Drain::new(Times {
            propagation_delay: seconds(10),
            soft_timeout: seconds(15),
            window: seconds(60),
            hard_timeout: seconds(90),
        })
    }

    /// What becomes due after an order, and after how many seconds.
    async fn dues(role: Role, can_reconnect: bool) -> Vec<(Due, u64)> {
        let drain = drain();
        let mut departure = Departure::new(&drain, role, can_reconnect);
        let start = Instant::now();
        assert!(timeout(Duration::from_secs(3_600), departure.due()).await.is_err(), "nothing is due without an order");
        let waited = start.elapsed();
        drain.begin(Purpose::Stay);
        let mut dues = Vec::new();
        while dues.last().is_none_or(|(due, _)| *due != Due::Close) {
            let due = departure.due().await;
            dues.push((due, (start.elapsed() - waited).as_secs()));
        }
        dues
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_closes_a_publisher_that_cannot_reconnect_when_it_is_known_to_be_gone() {
        assert_eq!(dues(Role::Origin, false).await, [(Due::Close, 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_asks_who_can_reconnect_at_once_and_closes_it_within_the_window() {
        let dues = dues(Role::Origin, true).await;
        assert_eq!(dues[0], (Due::Request, 0));
        assert!(matches!(dues[1..], [(Due::Close, 15..=75)]), "{dues:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_closes_publishers_within_the_window_and_asks_first_who_can_reconnect() {
        let dues_of_others = dues(Role::Edge, false).await;
        assert!(matches!(dues_of_others[..], [(Due::Close, 15..=75)]), "{dues_of_others:?}");
        let dues = dues(Role::Edge, true).await;
        assert_eq!(dues[0], (Due::Request, 10));
        assert!(matches!(dues[1..], [(Due::Close, 15..=75)]), "{dues:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_is_taken_back_closes_nobody_and_the_next_one_asks_again() {
        let drain = drain();
        let mut departure = Departure::new(&drain, Role::Origin, true);
        for _ in 0..2 {
            drain.begin(Purpose::Stay);
            assert_eq!(departure.due().await, Due::Request);
            drain.take_back().unwrap();
            assert!(timeout(Duration::from_secs(3_600), departure.due()).await.is_err());
        }
    }
}
