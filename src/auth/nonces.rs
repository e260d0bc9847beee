//! The nonces of late: what makes a signed mark good for one connection only.

use std::collections::{HashSet, VecDeque};

/// Remembers nonces for a time, and at most so many of them.
#[derive(Debug)]
pub(super) struct Nonces {
    /// The seconds after which a nonce is forgotten.
    lifetime: u64,
    capacity: usize,
    known: HashSet<u128>,
    /// The known ones as they came, each with the second it came in.
    order: VecDeque<(u64, u128)>,
}

impl Nonces {
    pub(super) fn new(lifetime: u64, capacity: usize) -> Self {
        Self { lifetime, capacity, known: HashSet::new(), order: VecDeque::new() }
    }

    /// Remembers a nonce from second `now` on, and says whether it is new. When there are too many, the oldest go.
    pub(super) fn insert(&mut self, nonce: u128, now: u64) -> bool {
        while self.order.front().is_some_and(|(since, _)| since.saturating_add(self.lifetime) < now) {
            self.forget_oldest();
        }
        if !self.known.insert(nonce) {
            return false;
        }
        self.order.push_back((now, nonce));
        if self.order.len() > self.capacity {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_nonce_is_new_once_in_its_lifetime() {
        let mut nonces = Nonces::new(120, 10);
        assert!(nonces.insert(7, 1_000));
        assert!(!nonces.insert(7, 1_000));
        assert!(!nonces.insert(7, 1_120));
        assert!(nonces.insert(7, 1_121));
    }

    #[test]
    fn to_be_asked_for_again_does_not_make_a_nonce_younger() {
        let mut nonces = Nonces::new(120, 10);
        assert!(nonces.insert(7, 1_000));
        assert!(!nonces.insert(7, 1_100));
        assert!(nonces.insert(7, 1_121));
    }

    #[test]
    fn when_there_are_too_many_the_oldest_go() {
        let mut nonces = Nonces::new(120, 3);
        assert!((1..=4).all(|nonce| nonces.insert(nonce, 1_000)));
        assert!(![2, 3, 4].into_iter().any(|nonce| nonces.insert(nonce, 1_000)));
        assert!(nonces.insert(1, 1_000));
    }

    proptest! {
        #[test]
        fn they_are_never_more_than_fit_whatever_the_clock_does(
            steps in prop::collection::vec((0_u128..20, prop_oneof![0_u64..1_000, Just(u64::MAX)]), 0..200),
        ) {
            let mut nonces = Nonces::new(120, 8);
            for (nonce, now) in steps {
                nonces.insert(nonce, now);
                prop_assert!(nonces.order.len() <= 8);
                prop_assert_eq!(nonces.order.len(), nonces.known.len());
            }
        }
    }
}
