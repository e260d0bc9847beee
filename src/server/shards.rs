//! Shards: one single-threaded runtime for each core, on which connections live from accept to close.
//!
//! A task that never changes threads is woken without a lock and shares its caches with its neighbours on the shard.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::hub::{Dispatcher, Dispatchers, ShardId};

/// How many shards the process should have: one for each core that the cgroup's quota allows.
pub(super) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// All shards of a server.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Vec<Shard>,
    /// Ends the threads when it is cancelled.
    cut: CancellationToken,
    /// Dropping it does so.
    stop: DropGuard,
}

#[derive(Debug)]
struct Shard {
    runtime: Handle,
    thread: JoinHandle<()>,
    tasks: Arc<AtomicUsize>,
}

impl Shards {
    /// Starts a thread for each dispatcher, and the way to reach them.
    pub(super) fn start(count: usize) -> io::Result<(Self, Dispatchers)> {
        let (dispatchers, each) = Dispatchers::new(count);
        let stop = CancellationToken::new();
        let shards = each.into_iter().enumerate().map(|(number, dispatcher)| Shard::start(number, dispatcher, &stop));
        let shards = shards.collect::<io::Result<_>>();
        let (cut, stop) = (stop.clone(), stop.drop_guard());
        Ok((Self { shards: shards?, cut, stop }, dispatchers))
    }

    /// Runs the task that `make` makes for the shard that has the fewest.
    pub(super) fn spawn<F>(&self, make: impl FnOnce(ShardId) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let load = |shard: &Shard| shard.tasks.load(Ordering::Relaxed);
        let least = self.shards.iter().enumerate().min_by_key(|(_, shard)| load(shard));
        let Some((number, shard)) = least else { return };
        let task = make(ShardId(number));
        let counted = Counted::new(&shard.tasks);
        shard.runtime.spawn(async move {
            task.await;
            drop(counted);
        });
    }

    /// Drops whatever still runs there. Nothing can be run there from now on.
    pub(super) fn cut_off(&self) {
        self.cut.cancel();
    }

    /// Ends the threads, and with them whatever still runs there.
    pub(super) fn stop(self) {
        drop(self.stop);
        for shard in self.shards {
            if shard.thread.join().is_err() {
                tracing::error!("a shard has panicked");
            }
        }
    }
}

impl Shard {
    fn start(number: usize, dispatcher: Dispatcher, stop: &CancellationToken) -> io::Result<Self> {
        let rests = dispatcher.rests();
        let runtime = Builder::new_current_thread().enable_all().on_thread_park(move || rests.rest()).build()?;
        let handle = runtime.handle().clone();
        let stop = stop.clone();
        let thread = std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = dispatcher.run() => {}
                }
            });
        })?;
        Ok(Self { runtime: handle, thread, tasks: Arc::default() })
    }
}

/// Counts a task for as long as it lives, however it ends.
struct Counted {
    tasks: Arc<AtomicUsize>,
}

impl Counted {
    fn new(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self { tasks: Arc::clone(tasks) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
