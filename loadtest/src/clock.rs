//! Time: the wall clock of stamps, and waiting until a moment.

use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;
use rustix::thread::{ClockId, NanosleepRelativeResult, clock_nanosleep_relative};
use rustix::time::Timespec;

/// Nanoseconds since 1970.
pub(crate) fn unix_nanoseconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// Waits until `moment`, to the fraction of a millisecond. Only threads that do nothing else call it.
pub(crate) fn wait_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match clock_nanosleep_relative(ClockId::Monotonic, &timespec(left)) {
            NanosleepRelativeResult::Ok | NanosleepRelativeResult::Interrupted(_) => {}
            NanosleepRelativeResult::Err(Errno::INTR) => {}
            NanosleepRelativeResult::Err(_) => return,
        }
    }
}

/// The same duration as system calls take it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
