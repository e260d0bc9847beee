//! Names that were asked for in vain a moment ago.
//!
//! Only a wait that ended empty counts, so a burst of plays of a name that nobody publishes waits once, not each.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::media::stream_key::StreamKey;

/// For how long a name is answered as absent without waiting.
const MISS_DURATION: Duration = Duration::from_secs(1);
/// The most names remembered; the oldest are forgotten first.
const MAX_MISSES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Misses {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    since: HashMap<StreamKey, Instant>,
    order: VecDeque<(Instant, StreamKey)>,
}

impl Misses {
    /// Remembers that waiting for `key` was in vain.
    pub(super) fn note(&self, key: &StreamKey, now: Instant) {
        let mut inner = self.inner.lock();
        inner.forget_old(now);
        inner.since.insert(key.clone(), now);
        inner.order.push_back((now, key.clone()));
    }

    /// Whether `key` was missed a moment ago.
    pub(super) fn contains(&self, key: &StreamKey, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        inner.forget_old(now);
        inner.since.contains_key(key)
    }

    /// Forgets `key`: it is being published.
    pub(super) fn clear(&self, key: &StreamKey) {
        self.inner.lock().since.remove(key);
    }
}

impl Inner {
    fn forget_old(&mut self, now: Instant) {
        while let Some((since, key)) = self.order.front() {
            if now.saturating_duration_since(*since) < MISS_DURATION && self.order.len() < MAX_MISSES {
                return;
            }
            // A newer miss of the same name has an entry of its own further back.
            if self.since.get(key) == Some(since) {
                self.since.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> StreamKey {
        StreamKey::from_path(&format!("live/{name}")).unwrap()
    }

    #[test]
    fn a_miss_is_forgotten_after_a_second() {
        let (misses, now) = (Misses::default(), Instant::now());
        misses.note(&key("x"), now);
        assert!(misses.contains(&key("x"), now + Duration::from_millis(999)));
        assert!(!misses.contains(&key("x"), now + Duration::from_millis(1_000)));
        assert!(misses.inner.lock().order.is_empty());
    }

    #[test]
    fn publishing_clears_a_miss() {
        let (misses, now) = (Misses::default(), Instant::now());
        misses.note(&key("x"), now);
        misses.clear(&key("x"));
        assert!(!misses.contains(&key("x"), now));
    }

    #[test]
    fn a_renewed_miss_lasts_from_its_renewal() {
        let (misses, now) = (Misses::default(), Instant::now());
        misses.note(&key("x"), now);
        misses.note(&key("x"), now + Duration::from_millis(800));
        assert!(misses.contains(&key("x"), now + Duration::from_millis(1_500)));
    }

    #[test]
    fn memory_is_bounded_however_many_names_are_asked_for() {
        let (misses, now) = (Misses::default(), Instant::now());
        for name in 0..MAX_MISSES * 2 {
            misses.note(&key(&name.to_string()), now);
        }
        assert!(misses.inner.lock().since.len() <= MAX_MISSES);
    }
}
