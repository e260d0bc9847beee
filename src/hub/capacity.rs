//! How many players there may be, and how much may be sent to them.
//!
//! Owns the limits on players and egress, and what is used of them. The hub asks here before it lets a player in; the
//! server has the egress measured and tells the share that is in use. Players that are in are never touched by it, and
//! pulls by other servers are not counted: behind each of them stand many players.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::egress::EgressMeter;

/// The limits; none is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Players, pulls by other servers not counted.
    pub players: Option<usize>,
    /// Bits a second sent over all protocols.
    pub egress: Option<u64>,
}

/// Why there is no room for a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Players,
    Egress,
}

/// The limits, and what is used of them.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    limits: Mutex<Limits>,
    players: AtomicUsize,
    meter: Mutex<EgressMeter>,
    /// Bits a second, as measured last.
    egress: AtomicU64,
    /// Bits a second that one player got then.
    egress_of_one: AtomicU64,
    /// Players let in since: their share of the egress cannot be measured yet.
    unmeasured: AtomicUsize,
}

impl Capacity {
    /// Changes the limits. Who is in stays, whatever they are.
    pub(super) fn limit(&self, limits: Limits) {
        *self.limits.lock() = limits;
    }

    fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Takes a place for a player, which [`leave`](Self::leave) gives back.
    pub(super) fn enter(&self) -> Result<(), Full> {
        let limits = self.limits();
        if limits.egress.is_some_and(|most| self.expected_egress() >= most) {
            return Err(Full::Egress);
        }
        if self.players.fetch_add(1, Ordering::AcqRel) >= limits.players.unwrap_or(usize::MAX) {
            self.leave();
            return Err(Full::Players);
        }
        self.unmeasured.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn leave(&self) {
        self.players.fetch_sub(1, Ordering::AcqRel);
    }

    /// What is sent, and what the players who came since it was measured will add to it.
    fn expected_egress(&self) -> u64 {
        let unmeasured = self.unmeasured.load(Ordering::Relaxed) as u64;
        let to_come = self.egress_of_one.load(Ordering::Relaxed).saturating_mul(unmeasured);
        self.egress.load(Ordering::Relaxed).saturating_add(to_come)
    }

    /// Takes the total of bytes sent so far into account.
    pub(super) fn measure(&self, sent_bytes: u64, now: Instant) {
        let egress = self.meter.lock().measure(sent_bytes, now);
        let players = self.players.load(Ordering::Relaxed) as u64;
        self.egress.store(egress, Ordering::Relaxed);
        self.egress_of_one.store(egress / players.max(1), Ordering::Relaxed);
        self.unmeasured.store(0, Ordering::Relaxed);
    }

    /// The share of the limit that is used most, 1 being all of it; 0 without limits.
    pub(super) fn used(&self) -> f64 {
        let limits = self.limits();
        let share = |used: u64, most: Option<u64>| most.map_or(0.0, |most| used as f64 / most.max(1) as f64);
        let players = share(self.players.load(Ordering::Relaxed) as u64, limits.players.map(|most| most as u64));
        players.max(share(self.egress.load(Ordering::Relaxed), limits.egress))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn capacity(limits: Limits) -> Capacity {
        let capacity = Capacity::default();
        capacity.limit(limits);
        capacity
    }

    #[test]
    fn players_are_let_in_up_to_the_limit_and_places_come_back() {
        let capacity = capacity(Limits { players: Some(2), egress: None });
        assert_eq!([capacity.enter(), capacity.enter(), capacity.enter()], [Ok(()), Ok(()), Err(Full::Players)]);
        assert_eq!(capacity.used(), 1.0);
        capacity.leave();
        assert_eq!(capacity.enter(), Ok(()));
    }

    #[test]
    fn new_limits_hold_for_who_comes_then() {
        let capacity = capacity(Limits { players: Some(2), egress: None });
        assert_eq!([capacity.enter(), capacity.enter(), capacity.enter()], [Ok(()), Ok(()), Err(Full::Players)]);
        capacity.limit(Limits { players: Some(1), egress: None });
        capacity.leave();
        assert_eq!(capacity.enter(), Err(Full::Players));
        capacity.limit(Limits::default());
        assert_eq!(capacity.enter(), Ok(()));
    }

    #[test]
    fn without_limits_there_is_always_room_and_nothing_is_used() {
        let capacity = capacity(Limits::default());
        assert!((0..1_000).all(|_| capacity.enter().is_ok()));
        assert_eq!(capacity.used(), 0.0);
    }

    #[test]
    fn at_the_egress_limit_nobody_is_let_in() {
        let capacity = capacity(Limits { players: None, egress: Some(8_000) });
        let start = Instant::now();
        capacity.measure(0, start);
        assert_eq!(capacity.enter(), Ok(()));
        capacity.measure(1_000, start + Duration::from_secs(1));
        assert_eq!((capacity.enter(), capacity.used()), (Err(Full::Egress), 1.0));
        capacity.measure(1_000, start + Duration::from_secs(2));
        assert_eq!(capacity.enter(), Ok(()));
    }

    #[test]
    fn a_crowd_between_two_measurements_does_not_pass_the_egress_limit() {
        let capacity = capacity(Limits { players: None, egress: Some(10_000) });
        let start = Instant::now();
        capacity.measure(0, start);
        assert_eq!(capacity.enter(), Ok(()));
        // One player gets 2,000 bit/s, so four more fit.
        capacity.measure(250, start + Duration::from_secs(1));
        let entered = (0..100).filter(|_| capacity.enter().is_ok()).count();
        assert_eq!(entered, 4);
    }
}
