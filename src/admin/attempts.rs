//! How often an address may present wrong credentials.
//!
//! Owns the count. An address has so many attempts, and gets them back one after the other; each is counted for itself, so that
//! nobody else notices.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many wrong attempts an address has at once.
const BURST: u32 = 10;
/// How long until it gets one of them back.
const RECOVERY: Duration = Duration::from_secs(6);
/// How many addresses are counted at most.
const MAX_ADDRESSES: usize = 10_000;

/// The wrong attempts of all addresses.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When each will have all its attempts again.
    recovered_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Attempts {
    /// Whether an address may make another attempt, or else how long it has to wait.
    pub(super) fn may_try(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let recovered_at = self.recovered_at.lock().get(&network(address)).copied();
        let missing = recovered_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        // Below one whole attempt there is none.
        match missing.checked_sub(RECOVERY * (BURST - 1)) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// Counts a wrong attempt.
    pub(super) fn note_failure(&self, address: IpAddr, now: Instant) {
        let address = network(address);
        let mut recovered_at = self.recovered_at.lock();
        if recovered_at.len() >= MAX_ADDRESSES && !recovered_at.contains_key(&address) {
            recovered_at.retain(|_, at| *at > now);
            // Who would flood this has more addresses than can be told apart; another of them gives way.
            let first = recovered_at.keys().next().copied().filter(|_| recovered_at.len() >= MAX_ADDRESSES);
            first.map(|first| recovered_at.remove(&first));
        }
        let at = recovered_at.entry(address).or_insert(now);
        *at = (*at).max(now) + RECOVERY;
    }
}

/// Who counts as one: an IPv4 address, or the 64 bits of IPv6 that one host has all addresses of.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn after_a_burst_one_attempt_comes_back_after_the_other() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for _ in 0..BURST {
            assert_eq!(attempts.may_try(ONE, now), Ok(()));
            attempts.note_failure(ONE, now);
        }
        assert_eq!(attempts.may_try(ONE, now), Err(RECOVERY));
        assert_eq!(attempts.may_try(OTHER, now), Ok(()), "nobody else is concerned");
        let later = now + RECOVERY;
        assert_eq!(attempts.may_try(ONE, later), Ok(()));
        attempts.note_failure(ONE, later);
        assert_eq!(attempts.may_try(ONE, later), Err(RECOVERY));
        assert_eq!(attempts.may_try(ONE, now + RECOVERY * (BURST + 2)), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_a_mapped_address_is_what_it_maps() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for host in 0..BURST {
            attempts.note_failure(format!("2001:db8::{host:x}").parse().unwrap(), now);
            attempts.note_failure("::ffff:192.0.2.1".parse().unwrap(), now);
        }
        assert!(attempts.may_try("2001:db8::ffff".parse().unwrap(), now).is_err());
        assert!(attempts.may_try("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
        assert!(attempts.may_try(ONE, now).is_err());
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for number in 0..MAX_ADDRESSES as u32 + 100 {
            attempts.note_failure(IpAddr::V4(number.into()), now);
        }
        assert_eq!(attempts.recovered_at.lock().len(), MAX_ADDRESSES);
    }
}
