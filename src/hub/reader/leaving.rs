//! When a player is let go though its stream goes on, as the hub's release says.
//!
//! A player goes before a keyframe, so that the last picture that it shows is whole and the next server begins where this
//! one ended. Where no keyframe comes it is not waited for without end.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::super::block::Block;
use super::super::now;
use super::super::release::Departure;
use super::super::state::{KEYFRAME_WAIT, Source, State};
use super::{End, Reader};

impl Reader {
    /// Completes when the player ends whether it takes media or not, as one that is paused.
    pub fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let stream = Arc::clone(&self.handle.stream);
        loop {
            let state = stream.state();
            if let Some(end) = self.end(&state, now()) {
                return Poll::Ready(end);
            }
            self.waker.register(context, false);
            let deadline = self.deadline(&state);
            drop(state);
            ready!(self.poll_timer(context, deadline));
        }
    }

    /// When the player is let go, if it is.
    fn departure(&self, state: &State) -> Option<Departure> {
        if self.tap.is_some() {
            // A forward goes with its publisher.
            return None;
        }
        let is_bound = || {
            let source = state.live.as_ref().map(|live| &live.source);
            self.request.is_pull && !source.is_some_and(Source::is_pull)
        };
        self.handle.shared.releases.departure(self.share, is_bound)
    }

    /// Whether the player is let go instead of getting `block`: at a keyframe, where there are any.
    pub(super) fn goes_before(&self, block: &Block, state: &State, now: Instant) -> bool {
        match self.departure(state) {
            None => false,
            Some(Departure::Now) => true,
            Some(Departure::From(moment)) => {
                let fits = block.starts_with_keyframe() || block.headers().tracks.video.is_none();
                now >= moment && (fits || now >= moment + KEYFRAME_WAIT)
            }
        }
    }

    /// When the player is let go without a block to go before. Where one may come, it is waited for.
    pub(super) fn departs_at(&self, state: &State) -> Option<Instant> {
        match self.departure(state)? {
            Departure::Now => Some(self.since),
            Departure::From(moment) if state.live.is_some() && self.has_begun() => Some(moment + KEYFRAME_WAIT),
            Departure::From(moment) => Some(moment),
        }
    }

    /// Until when the player waits while nobody publishes.
    pub(super) fn publisher_deadline(&self, state: &State) -> Option<Instant> {
        if state.live.as_ref().is_some_and(|live| self.may_have(live)) {
            return None;
        }
        if let Some(waiting) = self.waiting {
            return Some(waiting.deadline());
        }
        if self.has_begun() {
            return state.absent_until;
        }
        let wait = self.handle.stream.settings.play_wait;
        (!wait.is_zero()).then(|| self.since + wait)
    }

    /// Until when a player that must know the tracks waits for a publisher that is there and sends no media.
    pub(super) fn media_deadline(&self, state: &State) -> Option<Instant> {
        let wait = self.handle.stream.settings.play_wait;
        let is_mute = state.live.as_ref().is_some_and(|live| live.first_media.is_none());
        (is_mute && !wait.is_zero()).then(|| self.since + wait)
    }
}
