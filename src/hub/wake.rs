//! Waking the players of a stream: once a block and shard, not once a player.
//!
//! A publisher may run on another thread than the players. Waking a task across threads costs a lock and often a system
//! call, so the publisher only tells each shard that a stream has something new, and the shard wakes its own players.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardId(pub usize);

/// Reaches the dispatcher of every shard.
#[derive(Debug, Clone)]
pub struct Dispatchers {
    senders: Arc<[UnboundedSender<Arc<ShardWakers>>]>,
}

/// What runs on a shard to wake its players.
#[derive(Debug)]
pub struct Dispatcher {
    receiver: UnboundedReceiver<Arc<ShardWakers>>,
}

impl Dispatchers {
    /// Makes the dispatchers of `shards` shards; each is to be [`run`](Dispatcher::run) on its own.
    pub fn new(shards: usize) -> (Self, Vec<Dispatcher>) {
        // A stream is in a shard's channel at most once, so the channels are bounded by the number of streams.
        let (senders, dispatchers): (Vec<_>, _) = (0..shards.max(1))
            .map(|_| {
                let (sender, receiver) = unbounded_channel();
                (sender, Dispatcher { receiver })
            })
            .unzip();
        (Self { senders: senders.into() }, dispatchers)
    }
}

impl Dispatcher {
    /// Wakes players until the last [`Dispatchers`] is gone.
    pub async fn run(mut self) {
        while let Some(wakers) = self.receiver.recv().await {
            wakers.wake_all();
        }
    }
}

/// The waiting players of one stream, by shard.
#[derive(Debug)]
pub(super) struct StreamWakers {
    dispatchers: Dispatchers,
    shards: Box<[Arc<ShardWakers>]>,
}

#[derive(Debug, Default)]
struct ShardWakers {
    queued: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Wakers by slot; a slot that is free names itself in `free`.
#[derive(Debug, Default)]
struct Waiting {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl StreamWakers {
    pub(super) fn new(dispatchers: Dispatchers) -> Self {
        let shards = dispatchers.senders.iter().map(|_| Arc::default()).collect();
        Self { dispatchers, shards }
    }

    /// Takes a slot for a player that runs on `shard`.
    pub(super) fn enter(&self, shard: ShardId) -> WakerSlot {
        let wakers = Arc::clone(&self.shards[shard.0 % self.shards.len()]);
        let mut waiting = wakers.waiting.lock();
        let slot = waiting.free.pop().unwrap_or_else(|| {
            waiting.slots.push(None);
            waiting.slots.len() - 1
        });
        drop(waiting);
        WakerSlot { wakers, slot }
    }

    /// Has every waiting player woken by its own shard.
    pub(super) fn wake(&self) {
        for (sender, wakers) in self.dispatchers.senders.iter().zip(&self.shards) {
            if wakers.has_players() && !wakers.queued.swap(true, Ordering::AcqRel) {
                // A shard that is gone has no players left to wake.
                let _ = sender.send(Arc::clone(wakers));
            }
        }
    }
}

impl ShardWakers {
    fn has_players(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.slots.len() > waiting.free.len()
    }

    fn wake_all(&self) {
        // Before the wakers are taken: who registers from now on is queued again.
        self.queued.store(false, Ordering::Release);
        self.waiting.lock().slots.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}

/// A player's place among those who wait.
#[derive(Debug)]
pub(super) struct WakerSlot {
    wakers: Arc<ShardWakers>,
    slot: usize,
}

impl WakerSlot {
    /// Asks to be woken once. To be called under the lock of what is waited for, so that no change is missed.
    pub(super) fn register(&self, context: &Context<'_>) {
        let mut waiting = self.wakers.waiting.lock();
        let waker = &mut waiting.slots[self.slot];
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        let mut waiting = self.wakers.waiting.lock();
        waiting.slots[self.slot] = None;
        waiting.free.push(self.slot);
        if waiting.free.len() == waiting.slots.len() {
            *waiting = Waiting::default();
        }
    }
}
