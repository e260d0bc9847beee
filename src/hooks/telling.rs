//! Telling: what nobody waits for.
//!
//! Owns an event from when it happens until everybody who wants to know has been told, each server in a queue of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::config::HookUrl;
use crate::metrics::Hook;

use super::Shared;
use super::answer::Answer;
use super::caller::Caller;
use super::heard::Heard;
use super::known::Question;
use super::lane::Lane;
use super::poster::Attempts;
use super::queue::Job;

/// One event.
pub(super) struct Telling<'a> {
    pub(super) hook: Hook,
    pub(super) urls: &'a [HookUrl],
    pub(super) attempts: Attempts,
    pub(super) caller: &'a Caller,
    pub(super) body: Bytes,
    /// Of an end: who has heard of the beginning.
    pub(super) heard: Option<Arc<Heard>>,
    /// What the answer is to be remembered as.
    pub(super) learns: Option<Question>,
}

/// What is learned once all have answered. Of an event that is given up nothing is.
#[derive(Debug)]
pub(super) struct Lesson {
    question: Question,
    answer: Mutex<Answer>,
    missing: AtomicUsize,
}

impl Shared {
    /// Puts an event into the queues, behind the last one of the same caller.
    pub(super) fn tell(self: &Arc<Self>, telling: Telling<'_>) {
        let Telling { hook, urls, attempts, caller, body, heard, learns } = telling;
        let turns = caller.next_turns(urls);
        let lesson = learns.map(|question| {
            let (answer, missing) = (Mutex::new(Answer::Ok), AtomicUsize::new(turns.len()));
            Arc::new(Lesson { question, answer, missing })
        });
        for mut turn in turns {
            let urls: Vec<HookUrl> = urls.iter().filter(|url| turn.is_at(url)).cloned().collect();
            let Some(lane) = urls.first().map(|url| self.lanes.to(url)) else { continue };
            let (after, body, heard) = (turn.after.take(), body.clone(), heard.clone());
            let job = Job { hook, urls, body, attempts, after, heard, lesson: lesson.clone(), _turn: turn };
            if lane.queue.push(job) {
                self.runtime.spawn(Arc::clone(self).work(lane));
            }
        }
    }

    /// Tells what waits for one server until nothing does.
    async fn work(self: Arc<Self>, lane: Arc<Lane>) {
        while let Some(job) = lane.queue.next() {
            self.deliver(&lane, job).await;
        }
    }

    /// Tells one event. What is answered is nobody's business, unless it is to be learned.
    async fn deliver(&self, lane: &Lane, job: Job) {
        if let Some(after) = job.after {
            // Whether it was told or given up: it is over.
            let _ = after.await;
        }
        let urls = match &job.heard {
            Some(heard) => heard.owed(job.urls),
            None => job.urls,
        };
        let mut answer = Answer::Ok;
        for url in &urls {
            answer = answer.worse(self.post(lane, job.hook, url, &job.body, job.attempts).await);
        }
        if let Some(lesson) = job.lesson {
            self.learn(&lesson, answer);
        }
    }

    fn learn(&self, lesson: &Lesson, answer: Answer) {
        let mut all = lesson.answer.lock();
        *all = all.worse(answer);
        if lesson.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.known.learn(lesson.question.clone(), *all);
        }
    }
}
