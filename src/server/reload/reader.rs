//! Reading files beside everything else, and not for ever.
//!
//! Owns the limit. A file system that has stopped to answer keeps the one thread that asked it; nobody else waits behind
//! that, and no second thread is given to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::config::{ConfigError, Mistake};

/// One reads at a time.
#[derive(Debug)]
pub(super) struct Reader {
    limit: Duration,
    free: Arc<Semaphore>,
}

impl Reader {
    /// Waits for so long for what is read.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(1)) }
    }

    /// What `read` returns, which may block; or that this took too long.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ConfigError> {
        let deadline = Instant::now() + self.limit;
        let Ok(Ok(turn)) = timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(self.took_too_long());
        };
        let reading = spawn_blocking(move || {
            let content = read();
            drop(turn);
            content
        });
        match timeout_at(deadline, reading).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(_)) => Err(failure("the configuration could not be read: the process is ending".to_owned())),
            Err(_) => Err(self.took_too_long()),
        }
    }

    fn took_too_long(&self) -> ConfigError {
        let limit = self.limit.as_secs_f64();
        failure(format!(
            "the files of the configuration could not be read within {limit} s: a file system does not answer"
        ))
    }
}

fn failure(message: String) -> ConfigError {
    ConfigError { mistakes: vec![Mistake { source: None, key: None, message }] }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_is_read_comes_back() {
        let reader = Reader::new(Duration::from_secs(600));
        assert_eq!((reader.read(|| 1).await, reader.read(|| 2).await), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_for_what_does_not_end_and_it_takes_one_thread_only() {
        let reader = Reader::new(Duration::from_millis(20));
        let (let_go, blocked) = mpsc::channel::<()>();
        assert!(reader.read(move || blocked.recv()).await.is_err());
        let (begun, has_begun) = mpsc::channel();
        assert!(reader.read(move || begun.send(())).await.is_err());
        assert!(has_begun.recv().is_err(), "the second one has not begun to read");
        drop(let_go);
        while reader.read(|| ()).await.is_err() {}
    }
}
