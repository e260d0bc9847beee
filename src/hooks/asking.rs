//! Asking: what somebody waits for the answer to.
//!
//! Owns a question from its turn to its answer. Who waits may leave at any time: what has not been asked by then is not asked
//! any more, and what has been goes on in a place that keeps nobody else waiting.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::config::HookUrl;
use crate::metrics::Hook;
use crate::seldom::warn_seldom;

use super::Shared;
use super::answer::Answer;
use super::caller::Turn;
use super::heard::Heard;
use super::poster::Attempts;

/// What there is to say to who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// What was answered.
    Answer(Answer),
    /// Too many others are asked about, by somebody that does answer.
    Busy,
}

/// One question to one or several URLs.
pub(super) struct Asking {
    pub(super) hook: Hook,
    pub(super) urls: Vec<HookUrl>,
    pub(super) body: Bytes,
    pub(super) attempts: Attempts,
    /// Whether the next one is asked when one cannot be.
    pub(super) goes_on: bool,
    pub(super) heard: Arc<Heard>,
    /// One for each server. They end with the question.
    pub(super) turns: Vec<Turn>,
}

impl Shared {
    /// Asks one after the other whether something may be, until one says that it may not, or nobody waits any more.
    pub(super) async fn ask(self: Arc<Self>, mut asking: Asking, mut waiting: oneshot::Sender<Said>) {
        let mut answer = Answer::Ok;
        for url in std::mem::take(&mut asking.urls) {
            match self.ask_one(&mut asking, &url, &mut waiting).await {
                Some(Said::Answer(one)) => answer = answer.worse(one),
                Some(Said::Busy) => {
                    let _ = waiting.send(Said::Busy);
                    return;
                }
                None => return,
            }
            let is_final = answer == Answer::Refused || (answer == Answer::Failed && !asking.goes_on);
            if is_final {
                break;
            }
        }
        let _ = waiting.send(Said::Answer(answer));
    }

    /// `None` if nobody waits any more.
    async fn ask_one(&self, asking: &mut Asking, url: &HookUrl, waiting: &mut oneshot::Sender<Said>) -> Option<Said> {
        let lane = self.lanes.to(url);
        let (patience, hook) = (asking.attempts.timeout, asking.hook);
        let turn = asking.turns.iter_mut().find(|turn| turn.is_at(url)).and_then(|turn| turn.after.take());
        let place = async {
            if let Some(after) = turn {
                // What this client did before comes first, but it does not have to wait for ever.
                let _ = timeout(patience, after).await;
            }
            timeout(patience, lane.place(hook)).await.ok().flatten()
        };
        let place = tokio::select! {
            biased;
            () = waiting.closed() => return None,
            place = place => place,
        };
        let Some(place) = place else {
            warn_seldom!(key = (hook, url.to_string()), hook = hook.label(), %url, "too many wait for an answer already");
            // Where nothing is answered it cannot be asked, as others could not. Where others are, it is one too many: a crowd
            // must not open what is open only for want of an answer.
            return Some(if lane.is_answering() { Said::Busy } else { Said::Answer(Answer::Failed) });
        };
        asking.heard.note_asked();
        let posted = async {
            let answer = self.post(&lane, hook, url, &asking.body, asking.attempts).await;
            if answer == Answer::Refused {
                asking.heard.note_refused_by(url);
            }
            answer
        };
        let mut posted = pin!(posted);
        tokio::select! {
            biased;
            answer = posted.as_mut() => return Some(Said::Answer(answer)),
            () = waiting.closed() => {}
        }
        // It has been heard of, or will be, and what is told of the end is to come behind it.
        let behind = lane.place_behind()?;
        drop(place);
        posted.await;
        drop(behind);
        None
    }
}
