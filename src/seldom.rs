//! Warnings that would come again and again: each is logged once in a while, with how often it has come meanwhile.
//!
//! Owns the rule. Whoever tries the same thing every second, or for thousands of streams at once, warns with
//! [`warn_seldom!`]; what it is told apart by it says itself.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// For how long the same warning is not logged again.
pub(crate) const QUIET_FOR: Duration = Duration::from_secs(10);
/// How many warnings of one place are told apart. Others share one line.
const MAX_KEYS: usize = 64;

/// The warnings of one place in the code.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    told: Mutex<BTreeMap<u64, Told>>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    /// How many have gone unlogged since.
    unlogged: u64,
}

impl Seldom {
    /// A place that has not warned yet.
    pub(crate) const fn new() -> Self {
        Self { told: Mutex::new(BTreeMap::new()) }
    }

    /// How many warnings with this key have gone unlogged, if this one is to be logged.
    pub(crate) fn note(&self, key: &impl Hash, now: Instant) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut told = self.told.lock();
        let mut key = hasher.finish();
        let is_quiet = |told: &Told| now.saturating_duration_since(told.at) < QUIET_FOR;
        if told.len() >= MAX_KEYS && !told.contains_key(&key) {
            told.retain(|_, told| is_quiet(told));
            if told.len() >= MAX_KEYS {
                key = u64::MAX;
            }
        }
        match told.get_mut(&key) {
            Some(told) if is_quiet(told) => {
                told.unlogged = told.unlogged.saturating_add(1);
                None
            }
            known => {
                let unlogged = known.map_or(0, |told| told.unlogged);
                told.insert(key, Told { at: now, unlogged: 0 });
                Some(unlogged)
            }
        }
    }
}

/// Warns as `tracing::warn!` does, but of what has the same key once in [`QUIET_FOR`] only; `unlogged` tells how many
/// warnings were left out before.
macro_rules! warn_seldom {
    (key = $key:expr, $($warning:tt)+) => {{
        static SELDOM: $crate::seldom::Seldom = $crate::seldom::Seldom::new();
        if let Some(unlogged) = SELDOM.note(&$key, ::std::time::Instant::now()) {
            tracing::warn!(unlogged = (unlogged > 0).then_some(unlogged), $($warning)+);
        }
    }};
}
pub(crate) use warn_seldom;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_warning_is_logged_once_in_a_while_and_counted_meanwhile() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.note(&"a", start), Some(0));
        assert_eq!(seldom.note(&"a", start + QUIET_FOR / 2), None);
        assert_eq!(seldom.note(&"b", start + QUIET_FOR / 2), Some(0), "another one is not the same");
        assert_eq!(seldom.note(&"a", start + QUIET_FOR * 9 / 10), None);
        assert_eq!(seldom.note(&"a", start + QUIET_FOR), Some(2));
        assert_eq!(seldom.note(&"a", start + QUIET_FOR * 2), Some(0));
    }

    #[test]
    fn any_number_of_different_warnings_takes_little_room_and_few_lines() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let logged = (0..10_000).filter(|number| seldom.note(number, start).is_some()).count();
        assert_eq!(logged, MAX_KEYS + 1);
        assert!(seldom.told.lock().len() <= MAX_KEYS + 1);
        // Those that are as good as forgotten make room again.
        assert_eq!(seldom.note(&"another", start + QUIET_FOR), Some(0));
        assert_eq!(seldom.note(&"another", start + QUIET_FOR), None);
    }

    #[test]
    fn a_clock_that_stands_still_is_no_problem() {
        let (seldom, now) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.note(&1, now + QUIET_FOR), Some(0));
        assert_eq!(seldom.note(&1, now), None);
    }
}
