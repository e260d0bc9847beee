//! Single flight: one answer for everybody who asks the same at the same time.
//!
//! The work is a task of its own. Who leaves takes nothing with it, be it the one who asked first.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What is being found out.
#[derive(Debug)]
pub(super) struct Flights<Question, Answer> {
    under_way: Arc<Mutex<HashMap<Question, watch::Receiver<Option<Answer>>>>>,
}

impl<Question, Answer> Default for Flights<Question, Answer> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<Question, Answer> Flights<Question, Answer>
where
    Question: Clone + Eq + Hash + Send + 'static,
    Answer: Clone + Send + Sync + 'static,
{
    /// Waits for the answer that is on its way, or has `work` find it; tells whether it is the latter. There is no answer if
    /// the work came to no end.
    pub(super) fn join(
        &self,
        question: &Question,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> (bool, BoxFuture<'static, Option<Answer>>) {
        let mut under_way = self.under_way.lock();
        let known = under_way.get(question).cloned();
        let is_first = known.is_none();
        let mut answer = known.unwrap_or_else(|| {
            let (tell, answer) = watch::channel(None);
            under_way.insert(question.clone(), answer.clone());
            let landing = Landing { under_way: Arc::clone(&self.under_way), question: question.clone() };
            tokio::spawn(async move {
                let found = work.await;
                // From here on the question is asked anew.
                drop(landing);
                tell.send_replace(Some(found));
            });
            answer
        });
        let answer = async move { answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone()) };
        (is_first, Box::pin(answer))
    }
}

/// Takes a flight out of the list, however it ends.
struct Landing<Question: Eq + Hash, Answer> {
    under_way: Arc<Mutex<HashMap<Question, watch::Receiver<Option<Answer>>>>>,
    question: Question,
}

impl<Question: Eq + Hash, Answer> Drop for Landing<Question, Answer> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.question);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[derive(Default)]
    struct Bench {
        flights: Flights<&'static str, usize>,
        worked: Arc<AtomicUsize>,
    }

    impl Bench {
        fn ask(&self, question: &'static str) -> (bool, BoxFuture<'static, Option<usize>>) {
            let worked = Arc::clone(&self.worked);
            self.flights.join(&question, async move {
                sleep(Duration::from_secs(1)).await;
                worked.fetch_add(1, Ordering::SeqCst) + 1
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_while_the_work_goes_on_get_its_answer() {
        let bench = Bench::default();
        let asked: Vec<_> = (0..100).map(|_| bench.ask("a")).collect();
        assert_eq!(asked.iter().filter(|(is_first, _)| *is_first).count(), 1);
        for (_, answer) in asked {
            assert_eq!(answer.await, Some(1));
        }
        assert_eq!(bench.ask("a").1.await, Some(2), "it is asked anew");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_leave() {
        let bench = Bench::default();
        let (first, second) = (bench.ask("a").1, bench.ask("a").1);
        assert!(timeout(Duration::from_millis(100), first).await.is_err());
        assert_eq!(second.await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn different_questions_do_not_wait_for_each_other() {
        let bench = Bench::default();
        let (one, other) = (bench.ask("a"), bench.ask("b"));
        assert!(one.0 && other.0);
        assert_eq!((one.1.await.is_some(), other.1.await.is_some()), (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_comes_to_no_end_is_no_answer_and_leaves_nothing_behind() {
        let flights = Flights::<&str, usize>::default();
        let answer = flights.join(&"a", async { panic!("on purpose") }).1;
        assert_eq!(answer.await, None);
        assert!(flights.under_way.lock().is_empty());
    }
}
