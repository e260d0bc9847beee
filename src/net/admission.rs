//! How many connections there may be, in total and from one address.
//!
//! Owns the count. Beyond the total, a few more are let in as surplus: long enough to be told that there is no room, or to
//! prove that they are servers, who are exempt.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

/// How many connections are let in beyond the total, as a share of it: one in so many.
const SURPLUS_SHARE: usize = 16;
/// How many at least.
const SURPLUS_AT_LEAST: usize = 16;

/// Counts connections over all listeners and lets in as many as the limits allow.
#[derive(Debug)]
pub struct Admission {
    max_connections: AtomicUsize,
    max_per_address: AtomicUsize,
    /// The most connections, surplus ones included, whatever the limits say.
    most: usize,
    connections: AtomicUsize,
    /// Also kept without a limit, which may come later; an address without connections has no entry. Of an IPv6 address,
    /// its /64: whoever has one address there has them all.
    by_address: DashMap<IpAddr, usize>,
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    /// Its place among those of its address. A proxy has none.
    of_address: Option<OfAddress>,
    is_surplus: bool,
}

/// One of the places of an address. Dropping it frees the place.
#[derive(Debug)]
pub struct OfAddress {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    /// Lets in `max_connections` in total and `max_per_address` from one address; 0 is no limit on the latter.
    pub fn new(max_connections: usize, max_per_address: usize) -> Self {
        Self {
            max_connections: AtomicUsize::new(max_connections),
            max_per_address: AtomicUsize::new(max_per_address),
            most: usize::MAX,
            connections: AtomicUsize::new(0),
            by_address: DashMap::new(),
        }
    }

    /// Never lets in more than `most`, for which there are files.
    #[must_use]
    pub fn within(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Changes both limits, for connections that come from now on. Who is in stays.
    pub fn limit(&self, max_connections: usize, max_per_address: usize) {
        self.max_connections.store(max_connections, Ordering::Relaxed);
        self.max_per_address.store(max_per_address, Ordering::Relaxed);
    }

    /// The connections that are open.
    pub fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The share of the total that is in use, 1 being all of it.
    pub fn used(&self) -> f64 {
        self.open_connections() as f64 / self.max_connections().max(1) as f64
    }

    /// The limit, or what of it leaves room for some surplus.
    fn max_connections(&self) -> usize {
        let spared = SURPLUS_AT_LEAST.max(self.most / (SURPLUS_SHARE + 1) + 1);
        self.max_connections.load(Ordering::Relaxed).min(self.most.saturating_sub(spared).max(1))
    }

    /// Lets a connection in, or not.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let mut admitted = self.admit_proxy()?;
        admitted.count_for(address).then_some(admitted)
    }

    /// Lets a connection of a proxy in, or not: it is for any number of clients, and is not counted for its own address.
    pub fn admit_proxy(self: &Arc<Self>) -> Option<Admitted> {
        let max_connections = self.max_connections();
        let others = self.connections.fetch_add(1, Ordering::Relaxed);
        let surplus = SURPLUS_AT_LEAST.max(max_connections / SURPLUS_SHARE);
        if others >= max_connections.saturating_add(surplus) {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Admitted { admission: Arc::clone(self), of_address: None, is_surplus: others >= max_connections })
    }

    /// Counts what is done for an address as one connection of it.
    ///
    /// # Errors
    ///
    /// Where it has as many as it may have.
    fn place_of(self: &Arc<Self>, address: IpAddr) -> Result<OfAddress, TooManyOfAddress> {
        let address = counted(address);
        let mut count = self.by_address.entry(address).or_insert(0);
        *count += 1;
        let most = self.max_per_address.load(Ordering::Relaxed);
        let fits = most == 0 || *count <= most;
        // The map's lock is given back before the place may be dropped, which takes it again.
        drop(count);
        let place = OfAddress { admission: Arc::clone(self), address };
        if fits { Ok(place) } else { Err(TooManyOfAddress) }
    }
}

/// What is counted as one address.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// An address has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many connections from one address")]
pub struct TooManyOfAddress;

impl Admitted {
    /// Whether it was let in beyond the total: only a server of ours may stay.
    pub const fn is_surplus(&self) -> bool {
        self.is_surplus
    }

    /// Counts it for the address that it turns out to come from. Whether that is within the limit.
    pub fn count_for(&mut self, address: IpAddr) -> bool {
        match self.admission.place_of(address) {
            Ok(place) => self.of_address = Some(place),
            Err(TooManyOfAddress) => return false,
        }
        true
    }

    /// Counts a client for whom the peer, a proxy, asks, for as long as the place is kept.
    ///
    /// # Errors
    ///
    /// Where that client has as many connections as it may have.
    pub fn place_of(&self, client: IpAddr) -> Result<OfAddress, TooManyOfAddress> {
        self.admission.place_of(client)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let by_address = &self.admission.by_address;
        if let Some(mut count) = by_address.get_mut(&self.address) {
            *count -= 1;
        }
        by_address.remove_if(&self.address, |_, count| *count == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_total_is_limited_and_places_come_back() {
        let admission = Arc::new(Admission::new(2, 0));
        let first = admission.admit(ONE).unwrap();
        let second = admission.admit(ONE).unwrap();
        assert!(!first.is_surplus() && !second.is_surplus());
        assert!(admission.admit(OTHER).unwrap().is_surplus());
        drop(first);
        assert!(!admission.admit(OTHER).unwrap().is_surplus());
    }

    #[test]
    fn beyond_the_total_only_a_few_are_let_in_to_be_told() {
        let admission = Arc::new(Admission::new(2, 0));
        let admitted: Vec<Admitted> = std::iter::from_fn(|| admission.admit(ONE)).collect();
        assert_eq!(admitted.len(), 2 + SURPLUS_AT_LEAST);
        assert_eq!(admitted.iter().filter(|admitted| admitted.is_surplus()).count(), SURPLUS_AT_LEAST);
        drop(admitted);
        assert_eq!(admission.open_connections(), 0);
    }

    #[test]
    fn there_are_never_more_than_there_are_files_for() {
        let admission = Arc::new(Admission::new(100_000, 0).within(100));
        let admitted: Vec<Admitted> = std::iter::from_fn(|| admission.admit(ONE)).collect();
        assert_eq!(admitted.len(), 100);
        assert_eq!(admitted.iter().filter(|admitted| admitted.is_surplus()).count(), SURPLUS_AT_LEAST);
        // Nor after a reload that allows for more.
        admission.limit(200_000, 0);
        assert!(admission.admit(ONE).is_none());
        let admission = Arc::new(Admission::new(100_000, 0).within(10_000));
        let admitted: Vec<Admitted> = std::iter::from_fn(|| admission.admit(ONE)).collect();
        assert!((9_900..=10_000).contains(&admitted.len()), "{}", admitted.len());
        assert!((admission.used() - 1.0).abs() < 0.1);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let admission = Arc::new(Admission::new(10, 1));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = admission.admit(address("2001:db8:0:1::1")).unwrap();
        assert!(admission.admit(address("2001:db8:0:1:ffff::2")).is_none());
        let other = admission.admit(address("2001:db8:0:2::1")).unwrap();
        drop((first, other));
        assert!(admission.by_address.is_empty());
    }

    #[test]
    fn new_limits_hold_for_who_comes_then_and_count_who_is_there() {
        let admission = Arc::new(Admission::new(10, 0));
        let first = admission.admit(ONE).unwrap();
        admission.limit(2, 1);
        assert!(admission.admit(ONE).is_none(), "the first counts");
        let other = admission.admit(OTHER).unwrap();
        admission.limit(2, 0);
        assert!(admission.admit(ONE).unwrap().is_surplus());
        drop((first, other));
        assert!(admission.by_address.is_empty());
    }

    #[test]
    fn one_address_is_limited_without_harm_to_others() {
        let admission = Arc::new(Admission::new(10, 1));
        let first = admission.admit(ONE).unwrap();
        assert!(admission.admit(ONE).is_none());
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert!(admission.admit(mapped).is_none());
        let other = admission.admit(OTHER).unwrap();
        drop((first, other));
        assert!(admission.by_address.is_empty());
        assert_eq!(admission.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_proxys_connection_counts_for_the_client_that_it_names() {
        let admission = Arc::new(Admission::new(10, 1));
        let mut proxied: Vec<Admitted> = (0..3).map(|_| admission.admit_proxy().unwrap()).collect();
        assert!(proxied[0].count_for(ONE));
        assert!(!proxied[1].count_for(ONE));
        assert!(proxied[2].count_for(OTHER));
        assert!(admission.admit(OTHER).is_none());
        proxied.truncate(1);
        assert!(admission.admit(OTHER).is_some());
    }
}
