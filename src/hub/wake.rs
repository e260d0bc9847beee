//! Waking the players of a stream: by shard, and each in its turn.
//!
//! Within a merge window every player is woken once, but not all at the same moment: each has its own place in the window,
//! as the hands of a clock have. Were all woken at its end, what comes last would wait for thousands of writes on top of
//! the window, and the network would see one burst a window. So a stream seals several blocks within a window, each seal
//! wakes those whose turn has come since the one before, and they take all blocks since their last turn in one write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::yield_now;

use super::dispatcher::{Dispatchers, ShardId};
use super::now;

/// How many players are woken before other tasks of the shard have their turn.
const WOKEN_AT_ONCE: usize = 16;

/// The waiting players of one stream, by shard.
#[derive(Debug)]
pub(super) struct StreamWakers {
    dispatchers: Dispatchers,
    shards: Box<[Arc<ShardWakers>]>,
}

/// The waiting players of one stream on one shard.
#[derive(Debug, Default)]
pub(super) struct ShardWakers {
    /// Whether the stream's merge window follows the load.
    is_steered: bool,
    players: AtomicUsize,
    queued: AtomicBool,
    /// Whether whoever waits is to be woken, whose turn it may be.
    everyone: AtomicBool,
    /// The merge window in milliseconds.
    window: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// Wakers by slot; a slot that is free names itself in `free`.
#[derive(Debug, Default)]
struct Waiting {
    slots: Vec<Slot>,
    free: Vec<usize>,
    turn: Turn,
}

#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    /// Does not wait for its turn.
    eager: bool,
}

/// How far the window has come, as a share of it in units of 2^-32.
#[derive(Debug, Default)]
struct Turn {
    at: Option<Instant>,
    place: u32,
}

/// The places in the window whose turn it is.
#[derive(Debug, Clone, Copy)]
struct Places {
    from: u32,
    width: u64,
}

impl Places {
    const ALL: Self = Self { from: 0, width: 1 << 32 };

    fn contain(self, slot: usize) -> bool {
        // Multiples of the golden ratio: neighbours are far apart, and any number of slots fills the window evenly.
        let place = (slot as u32).wrapping_mul(0x9E37_79B9);
        u64::from(place.wrapping_sub(self.from)) < self.width
    }
}

impl Turn {
    /// The places that a window of `window` has come past since the last call.
    fn advance(&mut self, now: Instant, window: Duration) -> Places {
        let elapsed = self.at.replace(now).map(|at| now.saturating_duration_since(at));
        let Some(elapsed) = elapsed.filter(|elapsed| *elapsed < window) else { return Places::ALL };
        let width = (elapsed.as_secs_f64() / window.as_secs_f64() * (1_u64 << 32) as f64) as u64;
        let places = Places { from: self.place, width };
        self.place = self.place.wrapping_add(width as u32);
        places
    }
}

impl StreamWakers {
    /// For a stream whose merge window follows the load (`is_steered`) or does not.
    pub(super) fn new(dispatchers: Dispatchers, is_steered: bool) -> Self {
        let wakers = || Arc::new(ShardWakers { is_steered, ..ShardWakers::default() });
        let shards = dispatchers.shards().iter().map(|_| wakers()).collect();
        Self { dispatchers, shards }
    }

    /// Takes a slot for a player that runs on `shard`.
    pub(super) fn enter(&self, shard: ShardId) -> WakerSlot {
        let wakers = Arc::clone(&self.shards[shard.0 % self.shards.len()]);
        let mut waiting = wakers.waiting.lock();
        let slot = waiting.free.pop().unwrap_or_else(|| {
            waiting.slots.push(Slot::default());
            waiting.slots.len() - 1
        });
        drop(waiting);
        wakers.players.fetch_add(1, Ordering::Relaxed);
        WakerSlot { wakers, slot }
    }

    /// The widest merge window among the shards that players of this stream are on.
    pub(super) fn merge_window(&self) -> Duration {
        let each = self.dispatchers.shards().iter().zip(&self.shards);
        let windows = each.filter(|(_, wakers)| wakers.has_players()).map(|(shard, _)| shard.merge_window());
        windows.max().unwrap_or_default()
    }

    /// Has those players woken whose turn it is within a merge window of `window`.
    pub(super) fn wake_in_turn(&self, window: Duration) {
        self.dispatch(|wakers| wakers.window.store(window.as_millis() as u64, Ordering::Relaxed));
    }

    /// Has every player woken.
    pub(super) fn wake_everyone(&self) {
        self.dispatch(|wakers| wakers.everyone.store(true, Ordering::Relaxed));
    }

    fn dispatch(&self, prepare: impl Fn(&ShardWakers)) {
        for (shard, wakers) in self.dispatchers.shards().iter().zip(&self.shards) {
            if wakers.has_players() {
                prepare(wakers);
                if !wakers.queued.swap(true, Ordering::AcqRel) {
                    shard.dispatch(wakers);
                }
            }
        }
    }
}

impl ShardWakers {
    pub(super) fn is_steered(&self) -> bool {
        self.is_steered
    }

    fn has_players(&self) -> bool {
        self.players.load(Ordering::Relaxed) > 0
    }

    /// Wakes those whose turn it is, a few at a time: who joins, and the packets that come in, need not wait for thousands
    /// of writes to be over.
    pub(super) async fn take_turn(&self) {
        // Before anything is read: what is asked for from now on is queued again.
        self.queued.swap(false, Ordering::AcqRel);
        let window = Duration::from_millis(self.window.load(Ordering::Relaxed));
        let mut places = self.waiting.lock().turn.advance(now(), window);
        if self.everyone.swap(false, Ordering::Relaxed) {
            places = Places::ALL;
        }
        let mut first = 0;
        while let Some(next) = self.wake_from(first, places) {
            first = next;
            yield_now().await;
        }
    }

    /// Wakes a few of those behind the slot `first`. Returns the slot to go on from, if there is one.
    fn wake_from(&self, first: usize, places: Places) -> Option<usize> {
        let mut waiting = self.waiting.lock();
        let mut woken = 0;
        for (number, slot) in waiting.slots.iter_mut().enumerate().skip(first) {
            if woken == WOKEN_AT_ONCE {
                return Some(number);
            }
            if slot.eager || places.contain(number) {
                woken += usize::from(slot.waker.take().map(Waker::wake).is_some());
            }
        }
        None
    }
}

/// A player's place among those who wait.
#[derive(Debug)]
pub(super) struct WakerSlot {
    wakers: Arc<ShardWakers>,
    slot: usize,
}

impl WakerSlot {
    /// Asks to be woken once: at its turn, or if `eager` as soon as there is anything. To be called under the lock of what
    /// is waited for, so that no change is missed.
    pub(super) fn register(&self, context: &Context<'_>, eager: bool) {
        let mut waiting = self.wakers.waiting.lock();
        let slot = &mut waiting.slots[self.slot];
        slot.eager = eager;
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            slot.waker = Some(context.waker().clone());
        }
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        self.wakers.players.fetch_sub(1, Ordering::Relaxed);
        let mut waiting = self.wakers.waiting.lock();
        waiting.slots[self.slot] = Slot::default();
        waiting.free.push(self.slot);
        if waiting.free.len() == waiting.slots.len() {
            *waiting = Waiting::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);
    const SLOTS: usize = 1_000;

    #[test]
    fn within_a_window_each_player_has_one_turn() {
        let (start, mut turn) = (Instant::now(), Turn::default());
        turn.advance(start, WINDOW);
        let mut turns = vec![0; SLOTS];
        for seal in 1..=10 {
            let places = turn.advance(start + WINDOW / 10 * seal, WINDOW);
            let now: Vec<usize> = (0..SLOTS).filter(|slot| places.contain(*slot)).collect();
            assert!((95..=105).contains(&now.len()), "{} at once", now.len());
            now.into_iter().for_each(|slot| turns[slot] += 1);
        }
        let once = turns.iter().filter(|turns| **turns == 1).count();
        assert!(once >= SLOTS - 1, "only {once} had one turn");
    }

    #[test]
    fn without_a_window_or_after_a_pause_it_is_everyones_turn() {
        let (start, mut turn) = (Instant::now(), Turn::default());
        for (after, window) in [(0, WINDOW), (5, Duration::ZERO), (5, Duration::ZERO), (106, WINDOW)] {
            let places = turn.advance(start + Duration::from_millis(after), window);
            assert!((0..SLOTS).all(|slot| places.contain(slot)), "{after} ms, {window:?}");
        }
    }
}
