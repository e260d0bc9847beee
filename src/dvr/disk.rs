//! Threads that wait for disks, so that nobody else has to.
//!
//! Owns a few threads and the queue of jobs before them. Recordings are written by one such pool and read by another: what
//! is asked of a disk that does not answer stands in a queue here, and neither media nor the end of the process waits for
//! it. A job's order among others of its kind is the business of who hands it in.

use std::io;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The threads have ended, or the job has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job was not carried out")]
pub(super) struct NotDone;

/// A pool of threads for work that blocks. They end when the last clone is gone and the queue is empty; nobody waits for that.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    jobs: mpsc::Sender<Job>,
}

impl Disk {
    /// Starts so many threads, called `name`.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Has `job` done as soon as a thread is free. It is done even if nobody waits for its result.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        self.begin(job).await.map_err(|_| NotDone)
    }

    /// The same, begun at once; the result is to be waited for.
    pub(super) fn begin<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        // Without threads the job is dropped, and with it the way to its result.
        let _ = self.jobs.send(Box::new(move || drop(done.send(job()))));
        result
    }
}

/// Does one job after the other. The lock is held while there is none: whoever holds it gets the next.
fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = queue.lock().recv();
        match next {
            Ok(job) => job(),
            Err(mpsc::RecvError) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_hangs_holds_up_no_other_as_long_as_there_are_threads() {
        let disk = Disk::start("test", 2).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let hanging = disk.begin(move || held.recv().is_ok());
        for number in 0..10 {
            assert_eq!(disk.run(move || number).await, Ok(number));
        }
        release.send(()).unwrap();
        assert_eq!(hanging.await, Ok(true));
    }

    #[tokio::test]
    async fn what_was_handed_in_is_done_though_nobody_waits() {
        let disk = Disk::start("test", 1).unwrap();
        let (done, seen) = mpsc::channel();
        drop(disk.begin(move || done.send(7)));
        drop(disk);
        assert_eq!(seen.recv(), Ok(7));
    }
}
