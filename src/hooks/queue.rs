//! What waits to be told.
//!
//! Owns its bound: when more waits than may, the oldest is given up, because the newest says best what is. Workers come when
//! there is something to do, and go when there is nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::config::HookUrl;
use crate::metrics::{Hook, HookResult, Metrics};

use super::known::Question;
use super::poster::Attempts;

/// How many events wait at most.
const MAX_WAITING: usize = 10_000;
/// How many are told at a time.
const MAX_WORKERS: usize = 32;

/// One event that is to be told.
pub(super) struct Job {
    pub(super) hook: Hook,
    pub(super) urls: Vec<HookUrl>,
    pub(super) body: Bytes,
    pub(super) attempts: Attempts,
    /// Completes when what comes before it is over.
    pub(super) after: Option<oneshot::Receiver<()>>,
    /// What the answer is to be remembered as.
    pub(super) learns: Option<Question>,
    /// Dropped with the job: lets what comes behind it begin.
    pub(super) _done: oneshot::Sender<()>,
}

/// The queue.
pub(super) struct Queue {
    state: Mutex<State>,
    idle: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
}

impl Queue {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), idle: Notify::new(), metrics }
    }

    /// Takes a job. Whether another worker should come: one that takes what is [`next`](Self::next) until there is nothing.
    #[must_use]
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        let given_up = if state.jobs.len() >= MAX_WAITING { state.jobs.pop_front() } else { None };
        state.jobs.push_back(job);
        let needs_worker = state.workers < MAX_WORKERS;
        if needs_worker {
            state.workers += 1;
        }
        self.note(&state);
        drop(state);
        if let Some(job) = given_up {
            self.metrics.hooks.requests(job.hook, HookResult::Dropped).inc();
            tracing::debug!(hook = job.hook.label(), "too many events wait for hooks; the oldest is given up");
        }
        needs_worker
    }

    /// The oldest job. A worker that gets none has to go.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.workers -= 1;
            self.idle.notify_waiters();
        }
        self.note(&state);
        job
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Completes when nothing waits and nothing is being told.
    pub(super) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.state.lock().workers == 0 {
                return;
            }
            idle.await;
        }
    }

    fn note(&self, state: &State) {
        self.metrics.hooks.waiting.set(i64::try_from(state.jobs.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn job(body: &'static str) -> Job {
        let (done, _) = oneshot::channel();
        Job {
            hook: Hook::Stop,
            urls: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
            attempts: Attempts { timeout: Duration::from_secs(1), retries: 0 },
            after: None,
            learns: None,
            _done: done,
        }
    }

    #[test]
    fn jobs_come_out_as_they_went_in_and_workers_are_as_many_as_may_be() {
        let queue = Queue::new(Arc::default());
        let workers = (0..MAX_WORKERS * 2).filter(|_| queue.push(job("a"))).count();
        assert_eq!(workers, MAX_WORKERS);
        assert!(!queue.push(job("b")));
        let bodies: Vec<Bytes> = std::iter::from_fn(|| queue.next()).map(|job| job.body).collect();
        assert_eq!(bodies.len(), MAX_WORKERS * 2 + 1);
        assert_eq!(bodies.last(), Some(&Bytes::from_static(b"b")));
        assert!(queue.push(job("c")), "one worker has gone");
    }

    #[test]
    fn when_too_many_wait_the_oldest_is_given_up_and_counted() {
        let metrics = Arc::<Metrics>::default();
        let queue = Queue::new(Arc::clone(&metrics));
        let _ = queue.push(job("oldest"));
        for _ in 0..MAX_WAITING {
            let _ = queue.push(job("newer"));
        }
        assert_eq!(queue.len(), MAX_WAITING);
        assert_eq!(metrics.hooks.requests(Hook::Stop, HookResult::Dropped).get(), 1);
        assert_eq!(metrics.hooks.waiting.get(), MAX_WAITING as i64);
        assert_eq!(queue.next().unwrap().body, "newer");
    }

    #[tokio::test]
    async fn it_is_drained_when_the_last_worker_has_gone() {
        let queue = Arc::new(Queue::new(Arc::default()));
        queue.drained().await;
        assert!(queue.push(job("a")));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.drained().await }
        });
        assert!(queue.next().is_some());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(queue.next().is_none());
        waiting.await.unwrap();
    }
}
