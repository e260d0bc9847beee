//! Publishers that are on their way to a name: somebody else is being asked about them.
//!
//! Who looks for a stream at that moment finds it here if it waits a little, and looks in vain everywhere if it does not.

use dashmap::{DashMap, Entry};
use tokio_util::sync::CancellationToken;

use crate::media::stream_key::StreamKey;

/// The names that publishers are on their way to.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    names: DashMap<StreamKey, Arriving>,
}

#[derive(Debug, Default)]
struct Arriving {
    publishers: usize,
    /// Cancelled when the last of them has arrived, or has not.
    over: CancellationToken,
}

impl Arrivals {
    pub(super) fn begin(&self, key: &StreamKey) {
        self.names.entry(key.clone()).or_default().publishers += 1;
    }

    pub(super) fn end(&self, key: &StreamKey) {
        let Entry::Occupied(mut name) = self.names.entry(key.clone()) else { return };
        name.get_mut().publishers -= 1;
        if name.get().publishers == 0 {
            name.remove().over.cancel();
        }
    }

    /// What is cancelled when nobody is on the way to `key` any more; `None` if nobody is.
    pub(super) fn over(&self, key: &StreamKey) -> Option<CancellationToken> {
        self.names.get(key).map(|name| name.over.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_awaited_until_the_last_publisher_has_arrived() {
        let (arrivals, key) = (Arrivals::default(), StreamKey::from_path("live/x").unwrap());
        assert!(arrivals.over(&key).is_none());
        arrivals.begin(&key);
        arrivals.begin(&key);
        let over = arrivals.over(&key).unwrap();
        arrivals.end(&key);
        assert!(!over.is_cancelled());
        arrivals.end(&key);
        assert!(over.is_cancelled());
        assert!(arrivals.names.is_empty(), "what is over leaves nothing behind");
    }
}
