//! The events that a session has made and its caller has not taken yet.
//!
//! Owns their order. Both session machines use it. It gives its memory back whenever it runs empty, because thousands of
//! players sit idle on sessions that had their last event long ago.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct EventQueue<E>(VecDeque<E>);

impl<E> EventQueue<E> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn push(&mut self, event: E) {
        self.0.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<E> {
        let event = self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        event
    }
}
