//! What a process uses: CPU from the scheduler's own account, and resident memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// Adds up a process's CPU time over its threads, those that have ended since included.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    pid: u32,
    threads: HashMap<String, u64>,
}

impl CpuMeter {
    /// A meter for a running process.
    pub(crate) fn new(pid: u32) -> io::Result<Self> {
        let mut meter = Self { pid, threads: HashMap::new() };
        meter.read()?;
        Ok(meter)
    }

    /// All CPU time that has been seen. A thread is missed only from its last reading to its end.
    pub(crate) fn read(&mut self) -> io::Result<Duration> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let entry = entry?;
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let on_cpu = text.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok());
            if let Some(on_cpu) = on_cpu {
                self.threads.insert(entry.file_name().to_string_lossy().into_owned(), on_cpu);
            }
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }
}

/// The resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: Option<u64> = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    let pages = pages.ok_or_else(|| io::Error::other("statm has no resident pages"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn work_is_seen_as_cpu_time() {
        let mut meter = CpuMeter::new(std::process::id()).unwrap();
        let before = meter.read().unwrap();
        while meter.read().unwrap() < before + Duration::from_millis(20) {
            black_box((0..10_000).sum::<u64>());
        }
    }

    #[test]
    fn a_process_has_memory_and_one_that_is_not_there_has_none() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert!(resident_bytes(0).is_err());
    }
}
