//! What waits to be told to one server.
//!
//! Owns its bound: when more waits than may, the oldest of what matters least is given up, because the newest says best what
//! is. Workers come when there is something to do, and go when there is nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::config::HookUrl;
use crate::metrics::{Hook, HookResult, Metrics};

use super::caller::Turn;
use super::heard::Heard;
use super::poster::Attempts;
use super::telling::Lesson;

/// How many events wait at most: a server that stops tells the ends of all of its viewers at once.
const MAX_WAITING: usize = 50_000;
/// How many are told at a time.
const MAX_WORKERS: usize = 32;

/// How much it matters that an event is told; the later matter more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// One of many, behind which others come.
    Notice,
    /// Of a player, or a pull.
    Player,
    /// Of a publisher, or a connection, of which something is held elsewhere until it ends; and of a file.
    Publisher,
}

impl Weight {
    const ALL: [Self; 3] = [Self::Notice, Self::Player, Self::Publisher];

    const fn of(hook: Hook) -> Self {
        match hook {
            Hook::Hls | Hook::Forward => Self::Notice,
            Hook::Play | Hook::Stop | Hook::Pull | Hook::PullEnd => Self::Player,
            Hook::Connect | Hook::Close | Hook::Publish | Hook::Unpublish | Hook::Dvr => Self::Publisher,
        }
    }
}

/// One event that is to be told.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) hook: Hook,
    pub(super) urls: Vec<HookUrl>,
    pub(super) body: Bytes,
    pub(super) attempts: Attempts,
    /// Completes when what comes before it is over.
    pub(super) after: Option<oneshot::Receiver<()>>,
    /// Of an end: who has heard of the beginning.
    pub(super) heard: Option<Arc<Heard>>,
    /// What the answer is to be remembered as.
    pub(super) lesson: Option<Arc<Lesson>>,
    /// Dropped with the job: lets what comes behind it begin.
    pub(super) _turn: Turn,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    idle: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many of them have each weight.
    weights: [usize; Weight::ALL.len()],
    workers: usize,
}

impl State {
    fn push(&mut self, job: Job) {
        self.weights[Weight::of(job.hook) as usize] += 1;
        self.jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Job> {
        self.remove(0)
    }

    /// The oldest of what matters least.
    fn give_up(&mut self) -> Option<Job> {
        let least = Weight::ALL.into_iter().find(|weight| self.weights[*weight as usize] > 0)?;
        let index = self.jobs.iter().position(|job| Weight::of(job.hook) == least)?;
        self.remove(index)
    }

    fn remove(&mut self, index: usize) -> Option<Job> {
        let job = self.jobs.remove(index)?;
        self.weights[Weight::of(job.hook) as usize] -= 1;
        Some(job)
    }
}

impl Queue {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), idle: Notify::new(), metrics }
    }

    /// Takes a job. Whether another worker should come: one that takes what is [`next`](Self::next) until there is nothing.
    #[must_use]
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        state.push(job);
        let given_up = if state.jobs.len() > MAX_WAITING { state.give_up() } else { None };
        let needs_worker = state.workers < MAX_WORKERS;
        if needs_worker {
            state.workers += 1;
        }
        drop(state);
        if given_up.is_none() {
            self.metrics.hooks.waiting.inc();
        }
        if let Some(job) = given_up {
            self.metrics.hooks.requests(job.hook, HookResult::Dropped).inc();
            tracing::debug!(hook = job.hook.label(), "too many events wait for hooks; the oldest is given up");
        }
        needs_worker
    }

    /// The oldest job. A worker that gets none has to go.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        let job = state.pop();
        match job {
            Some(_) => drop(self.metrics.hooks.waiting.dec()),
            None => {
                state.workers -= 1;
                self.idle.notify_waiters();
            }
        }
        job
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Whether nothing waits and nothing is being told.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().workers == 0
    }

    /// Completes when that is so.
    pub(super) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.is_idle() {
                return;
            }
            idle.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::media::stream_key::StreamKey;

    use super::super::caller::Caller;
    use super::*;

    fn job(body: &'static str) -> Job {
        job_of(Hook::Stop, body)
    }

    fn job_of(hook: Hook, body: &'static str) -> Job {
        let caller = Caller::unknown(&StreamKey::from_path("live/x").unwrap());
        let turn = caller.next_turns(&["http://a/".parse().unwrap()]).remove(0);
        Job {
            hook,
            urls: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
            attempts: Attempts { timeout: Duration::from_secs(1), retries: 0 },
            after: None,
            heard: None,
            lesson: None,
            _turn: turn,
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

    #[test]
    fn ends_of_publishers_are_given_up_for_nothing_that_matters_less() {
        let metrics = Arc::<Metrics>::default();
        let queue = Queue::new(Arc::clone(&metrics));
        for (hook, body) in [(Hook::Unpublish, "unpublish"), (Hook::Close, "close"), (Hook::Stop, "stop")] {
            let _ = queue.push(job_of(hook, body));
        }
        for _ in 0..MAX_WAITING {
            let _ = queue.push(job_of(Hook::Hls, "segment"));
        }
        assert_eq!(metrics.hooks.requests(Hook::Hls, HookResult::Dropped).get(), 3);
        for _ in 0..MAX_WAITING {
            let _ = queue.push(job_of(Hook::Stop, "another stop"));
        }
        assert_eq!(metrics.hooks.requests(Hook::Stop, HookResult::Dropped).get(), 3);
        assert_eq!(queue.len(), MAX_WAITING);
        let first: Vec<Bytes> = std::iter::from_fn(|| queue.next()).map(|job| job.body).take(3).collect();
        assert_eq!(first, ["unpublish", "close", "another stop"]);
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
