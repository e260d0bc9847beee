//! The streams of one HTTP/2 connection: each a task, from its request until its answer has left.
//!
//! Owns their end. hyper waits for a peer's room for as long as the peer likes, and asks nobody meanwhile. So each task is
//! watched from outside: one whose peer takes nothing for too long is dropped, which resets its stream and no other.

use std::sync::Arc;

use hyper::rt::Executor;

use crate::metrics::Reason;
use crate::net::progress::Progress;

use super::Multiplexed;

tokio::task_local! {
    /// Of the stream that is answered.
    static PROGRESS: Arc<Progress>;
}

/// The progress of the stream that the caller answers.
pub(super) fn progress() -> Arc<Progress> {
    PROGRESS.try_with(Arc::clone).unwrap_or_else(|_| Progress::new())
}

/// Runs what hyper makes of a request. It ends with the connection, whose stream it is.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Arc<Multiplexed>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let open = Open::begin(&self.0);
        let progress = Progress::new();
        let answered = PROGRESS.scope(Arc::clone(&progress), stream);
        tokio::spawn(async move {
            tokio::select! {
                () = answered => {}
                () = progress.overdue() => {
                    tracing::debug!("an answer is not taken");
                    open.0.requests.lock().reason = Some(Reason::SlowPlayer);
                }
            }
            drop(open);
        });
    }
}

/// A stream for as long as it is open.
struct Open(Arc<Multiplexed>);

impl Open {
    fn begin(shared: &Arc<Multiplexed>) -> Self {
        shared.accepted.handshake.complete();
        let mut requests = shared.requests.lock();
        requests.open += 1;
        requests.have_begun = true;
        drop(requests);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut requests = self.0.requests.lock();
        requests.open -= 1;
        requests.last_at = tokio::time::Instant::now();
    }
}
