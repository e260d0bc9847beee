//! Which recordings are deleted, and why.
//!
//! Owns the rules: first what is too old, then the oldest until all together are small enough, then the oldest until enough
//! is left free of each disk. Pure: the library tells what there is and what time it is, and deletes.

use std::collections::HashMap;

use crate::metrics::RecordingDeletion;

/// A complete recording, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// When it ended, in milliseconds since 1970.
    pub(super) end_ms: u64,
    pub(super) bytes: u64,
    /// For how long it is kept after its end, in milliseconds; for ever if unset.
    pub(super) retention_ms: Option<u64>,
    /// The disk that it is on.
    pub(super) device: u64,
}

/// What is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// What all recordings may take together, in bytes.
    pub(super) max_bytes: Option<u64>,
    /// What those take that are being written, in bytes.
    pub(super) open_bytes: u64,
    /// How many bytes each disk has too few.
    pub(super) missing: HashMap<u64, u64>,
}

/// The positions in `kept`, which has the oldest first, of what is to be deleted.
pub(super) fn excess(kept: &[Kept], bounds: &Bounds, now_ms: u64) -> Vec<(usize, RecordingDeletion)> {
    let mut deleted = Vec::new();
    let mut rest = Vec::new();
    let mut missing = bounds.missing.clone();
    let mut total = kept.iter().fold(bounds.open_bytes, |total, one| total.saturating_add(one.bytes));
    let mut delete = |at: usize, one: &Kept, reason, total: &mut u64, missing: &mut HashMap<u64, u64>| {
        *total = total.saturating_sub(one.bytes);
        if let Some(missing) = missing.get_mut(&one.device) {
            *missing = missing.saturating_sub(one.bytes);
        }
        deleted.push((at, reason));
    };
    for (at, one) in kept.iter().enumerate() {
        // A clock that went back makes nothing old.
        match one.retention_ms.is_some_and(|retention| now_ms.saturating_sub(one.end_ms) > retention) {
            true => delete(at, one, RecordingDeletion::Age, &mut total, &mut missing),
            false => rest.push((at, one)),
        }
    }
    for (at, one) in rest {
        if bounds.max_bytes.is_some_and(|most| total > most) {
            delete(at, one, RecordingDeletion::Size, &mut total, &mut missing);
        } else if missing.get(&one.device).is_some_and(|missing| *missing > 0) {
            delete(at, one, RecordingDeletion::Space, &mut total, &mut missing);
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn kept(end_ms: u64, bytes: u64) -> Kept {
        Kept { end_ms, bytes, retention_ms: Some(HOUR), device: 1 }
    }

    #[test]
    fn what_is_older_than_its_retention_goes_and_nothing_else() {
        let all = [kept(0, 1), Kept { retention_ms: None, ..kept(0, 1) }, kept(HOUR, 1), kept(2 * HOUR, 1)];
        assert_eq!(excess(&all, &Bounds::default(), HOUR), []);
        assert_eq!(excess(&all, &Bounds::default(), HOUR + 1), [(0, RecordingDeletion::Age)]);
        let later = [(0, RecordingDeletion::Age), (2, RecordingDeletion::Age)];
        assert_eq!(excess(&all, &Bounds::default(), 2 * HOUR + 1), later);
        assert_eq!(excess(&all[3..], &Bounds::default(), 0), [], "the clock went back");
    }

    #[test]
    fn the_oldest_go_until_all_together_fit_with_those_being_written() {
        let all = [kept(1, 40), kept(2, 40), kept(3, 40)];
        let bounds = |open_bytes| Bounds { max_bytes: Some(100), open_bytes, ..Bounds::default() };
        assert_eq!(excess(&all, &bounds(0), 0), [(0, RecordingDeletion::Size)]);
        assert_eq!(excess(&all, &bounds(25), 0), [(0, RecordingDeletion::Size), (1, RecordingDeletion::Size)]);
        assert_eq!(excess(&all[..2], &bounds(20), 0), []);
        assert_eq!(excess(&[], &bounds(1_000), 0), [], "what is being written stays");
    }

    #[test]
    fn the_oldest_of_a_disk_go_until_enough_of_it_is_free() {
        let other = Kept { device: 2, ..kept(1, 40) };
        let all = [other, kept(2, 40), kept(3, 40), kept(4, 40)];
        let bounds = Bounds { missing: HashMap::from([(1, 50)]), ..Bounds::default() };
        assert_eq!(excess(&all, &bounds, 0), [(1, RecordingDeletion::Space), (2, RecordingDeletion::Space)]);
    }

    #[test]
    fn what_one_rule_deletes_counts_for_the_next() {
        let all = [kept(0, 60), kept(2 * HOUR, 30), kept(2 * HOUR, 30)];
        let bounds = Bounds { max_bytes: Some(60), missing: HashMap::from([(1, 60)]), ..Bounds::default() };
        assert_eq!(excess(&all, &bounds, 2 * HOUR), [(0, RecordingDeletion::Age)]);
    }

    proptest! {
        #[test]
        fn afterwards_every_bound_holds_or_nothing_is_left_and_nothing_too_much_went(
            recordings in proptest::collection::vec((0..100_u64, 0..3_u64), 0..20),
            most in 0..500_u64,
            missing in 0..300_u64,
        ) {
            let all: Vec<Kept> = recordings
                .iter()
                .enumerate()
                .map(|(at, (bytes, device))| {
                    Kept { end_ms: at as u64, bytes: *bytes, retention_ms: None, device: *device }
                })
                .collect();
            let bounds = Bounds { max_bytes: Some(most), missing: HashMap::from([(1, missing)]), ..Bounds::default() };
            let gone = excess(&all, &bounds, 0);
            let is_gone = |at: usize| gone.iter().any(|(gone, _)| *gone == at);
            let left: Vec<&Kept> = all.iter().enumerate().filter(|(at, _)| !is_gone(*at)).map(|(_, one)| one).collect();
            prop_assert!(left.iter().map(|one| one.bytes).sum::<u64>() <= most);
            let freed: u64 = gone.iter().map(|(at, _)| all[*at]).filter(|one| one.device == 1).map(|one| one.bytes).sum();
            prop_assert!(freed >= missing || left.iter().all(|one| one.device != 1));
            // Without the last one that went, a bound would not hold.
            if let Some((at, reason)) = gone.last() {
                let total = left.iter().map(|one| one.bytes).sum::<u64>() + all[*at].bytes;
                let needed = match reason {
                    RecordingDeletion::Space => freed - all[*at].bytes < missing,
                    _ => total > most,
                };
                prop_assert!(needed);
            }
        }
    }
}
