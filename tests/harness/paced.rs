//! A socket's reading side whose speed a test sets, and which it can stop from outside.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{PATIENCE, pause};

const UNLIMITED: u64 = u64::MAX;

/// How often a blocked read looks whether it should stop.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// The test's side: sets the pace, ends the reading.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: AtomicU64,
    stopped: AtomicBool,
}

impl Pace {
    /// Reads as fast as bytes come.
    pub fn unlimited() -> Arc<Self> {
        Arc::new(Self { bytes_per_second: AtomicU64::new(UNLIMITED), stopped: AtomicBool::new(false) })
    }

    /// Reads at most so much a second from now on; 0 reads nothing.
    pub fn limit(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Takes the limit away.
    pub fn release(&self) {
        self.limit(UNLIMITED);
    }

    /// Lets the reader see the end of its input at once, whatever the peer does.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// The reader's side.
pub struct PacedReader {
    stream: Arc<TcpStream>,
    pace: Arc<Pace>,
    patience: Option<Duration>,
    budget_since: Instant,
    taken: u64,
}

impl PacedReader {
    /// Reads from the stream at the given pace.
    pub fn new(stream: Arc<TcpStream>, pace: Arc<Pace>) -> io::Result<Self> {
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self { stream, pace, patience: Some(PATIENCE), budget_since: Instant::now(), taken: 0 })
    }

    /// Waits for bytes without a limit from now on; until then a read fails after [`PATIENCE`].
    pub fn wait_for_ever(&mut self) {
        self.patience = None;
    }

    /// How many bytes may be read now.
    fn allowance(&mut self) -> usize {
        let rate = self.pace.bytes_per_second.load(Ordering::Relaxed);
        if rate == UNLIMITED {
            return usize::MAX;
        }
        let elapsed = self.budget_since.elapsed();
        let budget = u128::from(rate) * elapsed.as_millis() / 1000;
        let left = usize::try_from(budget).unwrap_or(usize::MAX).saturating_sub(self.taken as usize);
        if elapsed > Duration::from_secs(1) {
            (self.budget_since, self.taken) = (Instant::now(), 0);
        }
        left
    }
}

impl Read for PacedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = Instant::now();
        loop {
            if self.patience.is_some_and(|patience| asked.elapsed() > patience) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if self.pace.stopped.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let limit = self.allowance().min(buffer.len());
            if limit == 0 {
                pause();
                continue;
            }
            match self.stream.as_ref().read(&mut buffer[..limit]) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Ok(count) => {
                    self.taken += count as u64;
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
