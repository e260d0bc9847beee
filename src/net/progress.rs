//! A stream that gives up on a peer who takes too long to take what it asked for.
//!
//! Between hyper and the socket there is no place to see whether a body's bytes leave. This wrapper closes the gap: the
//! body tells when it hands out bytes, and if the socket then stays blocked for too long, writing fails.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How often it is looked whether there is a limit.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// When the body last had room to hand out bytes: as long as it has, the peer keeps up.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// Milliseconds since `started`.
    last: AtomicU64,
    /// Milliseconds; 0 is no limit.
    limit: AtomicU64,
    /// Set once the limit was passed.
    stalled: AtomicU64,
}

impl Progress {
    /// Without a limit until a body sets one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            last: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        })
    }

    /// From now on a write may be blocked for `limit`; zero takes the limit away.
    pub fn limit(&self, limit: Duration) {
        self.advance();
        self.limit.store(limit.as_millis() as u64, Ordering::Relaxed);
    }

    /// Notes that there was room.
    pub fn advance(&self) {
        self.last.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether writing failed for want of progress.
    pub fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) != 0
    }

    /// Completes once there has been no room for longer than the limit. A limit that is set meanwhile is noticed in a while.
    pub async fn overdue(&self) {
        loop {
            let (now, deadline) = (Instant::now(), self.deadline());
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.stalled.store(1, Ordering::Relaxed);
                return;
            }
            sleep_until(deadline.unwrap_or(now + LOOK_AGAIN_AFTER)).await;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != 0).then(|| self.started + Duration::from_millis(self.last.load(Ordering::Relaxed) + limit))
    }
}

/// A byte stream under the watch of a [`Progress`].
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    progress: Arc<Progress>,
    /// Whether every write that is taken is progress, and not what a body says.
    counts_writes: bool,
    /// Only while a write is blocked.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self { stream, progress, counts_writes: false, timer: None }
    }

    /// Watches `stream`, where no one body can tell whether the peer keeps up: it does as long as it takes something.
    pub const fn as_written(stream: S, progress: Arc<Progress>) -> Self {
        Self { stream, progress, counts_writes: true, timer: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.counts_writes && (written.is_ready() || self.timer.is_none()) {
            self.progress.advance();
        }
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        while let Some(deadline) = self.progress.deadline() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.progress.deadline().is_none_or(|now| now <= deadline) {
                self.progress.stalled.store(1, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_blocked_write_fails_once_the_limit_has_passed() {
        let (one, _other) = duplex(16);
        let progress = Progress::new();
        let mut watched = Watched::new(one, Arc::clone(&progress));
        progress.limit(Duration::from_secs(5));
        let error = watched.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(progress.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn where_writes_count_only_one_that_is_blocked_for_long_fails() {
        let (one, mut other) = duplex(16);
        let progress = Progress::new();
        let mut watched = Watched::as_written(one, Arc::clone(&progress));
        progress.limit(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let write = tokio::spawn(async move { watched.write_all(&[0; 64]).await });
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            other.read_exact(&mut [0; 16]).await.unwrap();
        }
        assert!(!progress.has_stalled());
        tokio::time::sleep(Duration::from_secs(6)).await;
        write.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_it_is_told_when_it_is_overdue_and_not_before() {
        let progress = Progress::new();
        let began = Instant::now();
        let told = Arc::clone(&progress);
        let overdue = tokio::spawn(async move { told.overdue().await });
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(!overdue.is_finished(), "there is no limit");
        progress.limit(Duration::from_secs(5));
        overdue.await.unwrap();
        assert!(progress.has_stalled());
        assert!(began.elapsed() < Duration::from_secs(3_620));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_write_may_take_for_ever() {
        let (one, mut other) = duplex(16);
        let mut watched = Watched::new(one, Progress::new());
        let write = tokio::spawn(async move { watched.write_all(&[0; 64]).await });
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        other.read_exact(&mut [0; 64]).await.unwrap();
        write.await.unwrap().unwrap();
    }
}
