//! Lanes: what is under way to one server of somebody else, apart from what is under way to others.
//!
//! Owns how much that may be. A server that is silent keeps its own lane busy, and those that are asked and told of other apps
//! do not wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::HookUrl;
use crate::metrics::{Hook, Metrics};

use super::answer::Answer;
use super::queue::Queue;

/// How many requests to one server are under way at a time that somebody waits for.
const MAX_ASKING: usize = 96;
/// How many more, of which each is about a publisher: no crowd of players keeps it out.
const MAX_ASKING_FOR_PUBLISHERS: usize = 32;
/// How many more that nobody waits for any longer.
const MAX_LEFT_BEHIND: usize = 64;
/// How many servers there are lanes for, besides those that are in use. Each stands in a configuration.
const MAX_LANES: usize = 64;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Lane {
    /// What is to be told.
    pub(super) queue: Queue,
    for_all: Semaphore,
    for_publishers: Semaphore,
    left_behind: Semaphore,
    /// Whether what was asked last was answered.
    is_answering: AtomicBool,
}

impl Lane {
    fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            queue: Queue::new(Arc::clone(metrics)),
            for_all: Semaphore::new(MAX_ASKING),
            for_publishers: Semaphore::new(MAX_ASKING_FOR_PUBLISHERS),
            left_behind: Semaphore::new(MAX_LEFT_BEHIND),
            is_answering: AtomicBool::new(true),
        }
    }

    /// Waits for a place among the requests that are under way. `None` is never: nobody closes them.
    pub(super) async fn place(&self, hook: Hook) -> Option<SemaphorePermit<'_>> {
        if hook != Hook::Publish {
            return self.for_all.acquire().await.ok();
        }
        tokio::select! {
            biased;
            place = self.for_all.acquire() => place.ok(),
            place = self.for_publishers.acquire() => place.ok(),
        }
    }

    /// A place for a request that nobody waits for any longer, if there is one.
    pub(super) fn place_behind(&self) -> Option<SemaphorePermit<'_>> {
        self.left_behind.try_acquire().ok()
    }

    /// Notes what became of a request.
    pub(super) fn note(&self, answer: Answer) {
        self.is_answering.store(answer != Answer::Failed, Ordering::Relaxed);
    }

    /// Whether the server answers, as far as is known.
    pub(super) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Relaxed)
    }
}

/// All lanes, by host and port.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    metrics: Arc<Metrics>,
}

impl Lanes {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { lanes: Mutex::default(), metrics }
    }

    /// The way to the server of a URL.
    pub(super) fn to(&self, url: &HookUrl) -> Arc<Lane> {
        let authority = url.authority();
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(&authority) {
            return Arc::clone(lane);
        }
        if lanes.len() >= MAX_LANES {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.queue.is_idle());
        }
        Arc::clone(lanes.entry(authority).or_insert_with(|| Arc::new(Lane::new(&self.metrics))))
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.lock().values().map(|lane| lane.queue.len()).sum()
    }

    /// Completes when nothing waits and nothing is being told.
    pub(super) async fn drained(&self) {
        let lanes: Vec<Arc<Lane>> = self.lanes.lock().values().cloned().collect();
        for lane in lanes {
            lane.queue.drained().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lanes() -> Lanes {
        Lanes::new(Arc::default())
    }

    fn to(lanes: &Lanes, url: &str) -> Arc<Lane> {
        lanes.to(&url.parse().unwrap())
    }

    #[test]
    fn each_server_has_a_lane_whatever_the_path() {
        let lanes = lanes();
        assert!(Arc::ptr_eq(&to(&lanes, "http://a:80/x"), &to(&lanes, "http://a/y?z=1")));
        for other in ["http://a:81/x", "https://a/x", "http://b/x"] {
            assert!(!Arc::ptr_eq(&to(&lanes, "http://a/x"), &to(&lanes, other)), "{other}");
        }
    }

    #[test]
    fn lanes_that_nobody_uses_are_given_up_when_there_are_many() {
        let lanes = lanes();
        let used = to(&lanes, "http://used/");
        for number in 0..MAX_LANES * 3 {
            to(&lanes, &format!("http://{number}/"));
        }
        assert!(lanes.lanes.lock().len() <= MAX_LANES);
        assert!(Arc::ptr_eq(&used, &to(&lanes, "http://used/")));
    }

    #[test]
    fn publishers_have_places_that_no_crowd_of_players_takes() {
        let lanes = lanes();
        let lane = to(&lanes, "http://a/");
        let crowd: Vec<_> = std::iter::from_fn(|| lane.place(Hook::Play).now_or_never()).collect();
        assert_eq!(crowd.len(), MAX_ASKING);
        let publishers: Vec<_> = std::iter::from_fn(|| lane.place(Hook::Publish).now_or_never()).collect();
        assert_eq!(publishers.len(), MAX_ASKING_FOR_PUBLISHERS);
        drop(crowd);
        assert!(lane.place(Hook::Play).now_or_never().is_some() && lane.place(Hook::Publish).now_or_never().is_some());
    }
}
