//! Which addresses have failed lately, and are left alone for a while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dashmap::DashMap;

/// The first rest is at most this long; each further failure doubles it.
const FIRST_REST: Duration = Duration::from_millis(250);
/// The longest rest, while nobody waits.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(5);
/// The longest rest, while players wait.
pub(super) const LONGEST_REST_WHILE_WAITED_FOR: Duration = Duration::from_secs(1);
/// Addresses remembered before those that have rested are forgotten.
const MANY_ADDRESSES: usize = 1_024;

/// The failures of every address, shared by all pulls.
#[derive(Debug, Default)]
pub(super) struct Health {
    troubles: DashMap<SocketAddr, Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    failures: u32,
    rests_until: Instant,
}

impl Health {
    /// Leaves an address alone for a random time up to a bound that doubles with each failure, up to `longest`.
    ///
    /// The whole time is random, so that a crowd that failed together does not return together.
    pub(super) fn note_failure(&self, address: SocketAddr, longest: Duration, now: Instant) {
        if self.troubles.len() >= MANY_ADDRESSES {
            self.troubles.retain(|_, trouble| trouble.rests_until > now);
        }
        let mut trouble = self.troubles.entry(address).or_insert(Trouble { failures: 0, rests_until: now });
        let bound = FIRST_REST.saturating_mul(1 << trouble.failures.min(10)).min(longest);
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.rests_until = now + bound.mul_f64(random_fraction());
    }

    /// Forgets an address's failures: it has answered.
    pub(super) fn note_success(&self, address: SocketAddr) {
        self.troubles.remove(&address);
    }

    /// Whether an address is to be left alone.
    pub(super) fn rests(&self, address: SocketAddr, now: Instant) -> bool {
        self.troubles.get(&address).is_some_and(|trouble| trouble.rests_until > now)
    }
}

/// From 0 up to, and not including, 1. Half where there is no randomness.
pub(super) fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_rest_never_passes_its_bound_and_a_success_ends_it() {
        let (health, now) = (Health::default(), Instant::now());
        for failure in 0..40 {
            health.note_failure(address(1), LONGEST_REST, now);
            let bound = FIRST_REST.saturating_mul(1 << failure.min(10)).min(LONGEST_REST);
            assert!(!health.rests(address(1), now + bound));
        }
        health.note_success(address(1));
        assert!(!health.rests(address(1), now));
    }

    #[test]
    fn rests_are_spread_over_their_whole_bound() {
        let (health, now) = (Health::default(), Instant::now());
        let (mut short, mut long) = (0, 0);
        for port in 1..=1_000 {
            health.note_failure(address(port), LONGEST_REST, now);
            let half = now + FIRST_REST / 2;
            if health.rests(address(port), half) { long += 1 } else { short += 1 }
        }
        assert!(short > 350 && long > 350, "{short} short, {long} long");
    }

    #[test]
    fn one_address_s_failures_are_not_another_s() {
        let (health, now) = (Health::default(), Instant::now());
        health.note_failure(address(1), LONGEST_REST, now);
        assert!(!health.rests(address(2), now));
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_fail() {
        let (health, start) = (Health::default(), Instant::now());
        for port in 0..=u16::MAX {
            let now = start + Duration::from_millis(u64::from(port) * 10);
            health.note_failure(address(port), LONGEST_REST, now);
        }
        assert!(health.troubles.len() <= MANY_ADDRESSES + 1);
    }
}
