//! What runs on every shard: it wakes the shard's players and steers the shard's merge window.
//!
//! A publisher may run on another thread than the players. Waking a task across threads costs a lock and often a system
//! call, so a publisher only tells each shard that a stream has something new. Dispatchers are made by the server, one for
//! each shard; streams reach them through [`Dispatchers`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::rests::Rests;
use super::steering::Steering;
use super::wake::ShardWakers;

/// How often a shard's merge window is steered.
const STEER_EVERY: Duration = Duration::from_millis(250);

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardId(pub usize);

/// Reaches the dispatcher of every shard.
#[derive(Debug, Clone)]
pub struct Dispatchers {
    shards: Arc<[ShardHandle]>,
}

/// Reaches the dispatcher of one shard.
#[derive(Debug)]
pub(super) struct ShardHandle {
    sender: UnboundedSender<Arc<ShardWakers>>,
    window: Arc<Window>,
}

/// What runs on a shard.
#[derive(Debug)]
pub struct Dispatcher {
    receiver: UnboundedReceiver<Arc<ShardWakers>>,
    window: Arc<Window>,
    rests: Arc<Rests>,
}

/// The merge window of a shard, in milliseconds.
#[derive(Debug, Default)]
struct Window(AtomicU64);

impl Dispatchers {
    /// Makes the dispatchers of `shards` shards; each is to be [`run`](Dispatcher::run) on its own.
    pub fn new(shards: usize) -> (Self, Vec<Dispatcher>) {
        // A stream is in a shard's channel at most once, so the channels are bounded by the number of streams.
        let (handles, dispatchers): (Vec<_>, _) = (0..shards.max(1))
            .map(|_| {
                let (sender, receiver) = unbounded_channel();
                let window = Arc::new(Window::default());
                (
                    ShardHandle { sender, window: Arc::clone(&window) },
                    Dispatcher { receiver, window, rests: Arc::default() },
                )
            })
            .unzip();
        (Self { shards: handles.into() }, dispatchers)
    }

    /// What steering would lead to, for a test that is no load.
    #[cfg(test)]
    pub(super) fn set_merge_window(&self, window: Duration) {
        self.shards.iter().for_each(|shard| shard.window.set(window));
    }

    pub(super) fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }
}

impl ShardHandle {
    /// Has the shard wake the players of a stream.
    pub(super) fn dispatch(&self, wakers: &Arc<ShardWakers>) {
        // A shard that is gone has no players left to wake.
        let _ = self.sender.send(Arc::clone(wakers));
    }

    /// The merge window that the shard is best off with.
    pub(super) fn merge_window(&self) -> Duration {
        self.window.get()
    }
}

impl Dispatcher {
    /// The rests that the shard's thread is to take.
    pub fn rests(&self) -> Arc<Rests> {
        Arc::clone(&self.rests)
    }

    /// Wakes players until the last [`Dispatchers`] is gone. To be run on the shard's own runtime.
    pub async fn run(mut self) {
        let shard = Handle::current().metrics();
        let rests = Arc::clone(&self.rests);
        let busy = || shard.worker_total_busy_duration(0).saturating_sub(rests.taken());
        let mut steering = Steering::default();
        let (mut steered_at, mut busy_before) = (Instant::now(), busy());
        let mut steered_blocks = 0;
        let mut steer = interval(STEER_EVERY);
        steer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // First: where there is always somebody to wake, steering is needed most.
                _ = steer.tick() => {
                    let (now, busy_now) = (Instant::now(), busy());
                    self.rests.observe(std::mem::take(&mut steered_blocks), now - steered_at);
                    self.window.set(steering.observe(busy_now.saturating_sub(busy_before), now - steered_at));
                    (steered_at, busy_before) = (now, busy_now);
                }
                wakers = self.receiver.recv() => match wakers {
                    Some(wakers) => {
                        steered_blocks += u32::from(wakers.is_steered());
                        wakers.take_turn().await;
                    }
                    None => return,
                },
            }
        }
    }
}

impl Window {
    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, window: Duration) {
        self.0.store(window.as_millis() as u64, Ordering::Relaxed);
    }
}
