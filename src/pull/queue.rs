//! Upstreams that stand in line to be asked: when the next one is due.
//!
//! Owns the order and the moments. `race` and `forward::open` ask it whom to connect to and until when to wait; it opens
//! no connection itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an only upstream may take to accept a connection before it is tried again: there may be several nodes behind one
/// address, and the next connection may lead to one that lives.
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(1);
/// How many connections to it are tried at a time.
const MAX_TRIES_OF_ONE: usize = 3;

/// Candidates in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<T>,
    /// The candidate, if there has never been another.
    only: Option<T>,
    stagger: Duration,
    /// When the last one was asked.
    asked_at: Option<Instant>,
    /// Whether the next one is due, though its time has not come.
    is_hurried: bool,
}

impl<T: Clone> Queue<T> {
    /// Asks `candidates` in their order, the next one each time that `stagger` has passed since the one before.
    pub(super) fn new(candidates: Vec<T>, stagger: Duration) -> Self {
        let only = match &candidates[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        Self { waiting: candidates.into(), only, stagger, asked_at: None, is_hurried: false }
    }

    /// Whether there are candidates that have not been asked.
    pub(super) fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// One has failed, or does not have what is wanted: the next is asked at once. An only candidate is not hurried.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = self.has_more();
    }

    /// The candidate that is to be asked now, while `under_way` connections are. `is_silent`: none of them has led to anybody
    /// yet.
    pub(super) fn take_due(&mut self, under_way: usize, is_silent: bool, now: Instant) -> Option<T> {
        let is_due = self.next_at(under_way, is_silent).is_some_and(|next_at| now >= next_at);
        let due = match self.waiting.is_empty() {
            false if under_way == 0 || self.is_hurried || is_due => self.waiting.pop_front(),
            true if is_due => self.only.clone(),
            _ => None,
        };
        if due.is_some() {
            self.asked_at = Some(now);
            self.is_hurried = false;
        }
        due
    }

    /// When the next one is to be asked, if nothing happens before; `None` if nobody is.
    pub(super) fn next_at(&self, under_way: usize, is_silent: bool) -> Option<Instant> {
        let asked_at = self.asked_at?;
        if self.has_more() {
            return Some(asked_at + self.stagger);
        }
        let is_tried_again = self.only.is_some() && is_silent && (1..MAX_TRIES_OF_ONE).contains(&under_way);
        is_tried_again.then(|| asked_at + PATIENCE_WITH_ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGGER: Duration = Duration::from_millis(250);

    fn after(begin: Instant, milliseconds: u64) -> Instant {
        begin + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_next_one_is_due_when_the_stagger_has_passed() {
        let (mut queue, begin) = (Queue::new(vec!["a", "b", "c"], STAGGER), Instant::now());
        assert_eq!(queue.take_due(0, true, begin), Some("a"));
        assert_eq!(queue.next_at(1, true), Some(after(begin, 250)));
        assert_eq!(queue.take_due(1, true, after(begin, 249)), None);
        assert_eq!(queue.take_due(1, true, after(begin, 250)), Some("b"));
        assert_eq!(queue.next_at(2, true), Some(after(begin, 500)));
    }

    #[test]
    fn the_next_one_is_due_at_once_when_one_has_failed_or_none_is_under_way() {
        let (mut queue, begin) = (Queue::new(vec!["a", "b", "c", "d"], STAGGER), Instant::now());
        assert_eq!(queue.take_due(0, true, begin), Some("a"));
        queue.hurry();
        assert_eq!(queue.take_due(1, true, begin), Some("b"));
        assert_eq!(queue.take_due(1, true, begin), None, "one failure hurries one");
        assert_eq!(queue.take_due(0, true, begin), Some("c"));
    }

    #[test]
    fn when_all_have_been_asked_nobody_is_due() {
        let (mut queue, begin) = (Queue::new(vec!["a", "b"], STAGGER), Instant::now());
        queue.take_due(0, true, begin);
        queue.take_due(0, true, begin);
        queue.hurry();
        assert!(!queue.has_more());
        assert_eq!(queue.next_at(2, true), None);
        assert_eq!(queue.take_due(0, true, after(begin, 60_000)), None);
    }

    #[test]
    fn an_only_one_is_tried_again_each_second_as_long_as_it_is_silent_and_not_too_often() {
        let (mut queue, begin) = (Queue::new(vec!["a"], STAGGER), Instant::now());
        assert_eq!(queue.take_due(0, true, begin), Some("a"));
        assert_eq!(queue.next_at(1, true), Some(after(begin, 1_000)));
        assert_eq!(queue.next_at(1, false), None);
        assert_eq!(queue.take_due(1, true, after(begin, 999)), None);
        assert_eq!(queue.take_due(1, true, after(begin, 1_000)), Some("a"));
        queue.hurry();
        assert_eq!(queue.take_due(1, true, after(begin, 1_001)), None);
        assert_eq!(queue.take_due(2, true, after(begin, 2_000)), Some("a"));
        assert_eq!(queue.take_due(3, true, after(begin, 9_000)), None);
    }

    #[test]
    fn an_only_one_that_has_failed_is_not_asked_again() {
        let (mut queue, begin) = (Queue::new(vec!["a"], STAGGER), Instant::now());
        assert_eq!(queue.take_due(0, true, begin), Some("a"));
        queue.hurry();
        assert_eq!(queue.take_due(0, true, after(begin, 9_000)), None);
    }
}
