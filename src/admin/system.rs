//! The process and its machine, as /proc tells of them. What cannot be read is 0.

use std::fs;
use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI};

/// How long two looks at the use of the cores are apart at least: a shorter time tells nothing.
const USAGE_OVER: Duration = Duration::from_secs(1);

/// The process at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Process {
    /// The id of the process that started it.
    pub(super) parent: u32,
    /// What it holds of the memory.
    pub(super) resident_kilobytes: u64,
}

impl Process {
    /// Looks at it.
    pub(super) fn read() -> Self {
        let Ok(status) = procfs::process::Process::myself().and_then(|process| process.status()) else {
            return Self::default();
        };
        Self {
            parent: u32::try_from(status.ppid).unwrap_or_default(),
            resident_kilobytes: status.vmrss.unwrap_or_default(),
        }
    }
}

/// The memory of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) total_kilobytes: u64,
    pub(super) used_kilobytes: u64,
    pub(super) swap_kilobytes: u64,
    pub(super) used_swap_kilobytes: u64,
}

impl Memory {
    /// Looks at it.
    pub(super) fn read() -> Self {
        let Ok(memory) = procfs::Meminfo::current() else { return Self::default() };
        let available = memory.mem_available.unwrap_or(memory.mem_free);
        // The crate gives bytes.
        Self {
            total_kilobytes: memory.mem_total / 1024,
            used_kilobytes: memory.mem_total.saturating_sub(available) / 1024,
            swap_kilobytes: memory.swap_total / 1024,
            used_swap_kilobytes: memory.swap_total.saturating_sub(memory.swap_free) / 1024,
        }
    }
}

/// The machine, or what a container is shown of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Machine {
    pub(super) cores: usize,
    /// Seconds.
    pub(super) uptime: f64,
    /// Seconds, of all cores together.
    pub(super) idle: f64,
    /// Over 1, 5 and 15 minutes.
    pub(super) load: [f64; 3],
    /// Over all interfaces but the loopback.
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) sockets: u64,
    pub(super) tcp_sockets: u64,
    /// TCP connections that are over and not forgotten yet.
    pub(super) tcp_waiting: u64,
    pub(super) udp_sockets: u64,
}

impl Machine {
    /// Looks at it.
    pub(super) fn read() -> Self {
        let uptime = procfs::Uptime::current().ok();
        let load = procfs::LoadAverage::current().ok();
        let interfaces = procfs::net::dev_status().unwrap_or_default();
        let interfaces = || interfaces.values().filter(|interface| interface.name != "lo");
        let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            uptime: uptime.as_ref().map_or(0.0, |uptime| uptime.uptime),
            idle: uptime.as_ref().map_or(0.0, |uptime| uptime.idle),
            load: load.map_or([0.0; 3], |load| [load.one, load.five, load.fifteen].map(f64::from)),
            received_bytes: interfaces().map(|interface| interface.recv_bytes).sum(),
            sent_bytes: interfaces().map(|interface| interface.sent_bytes).sum(),
            sockets: socket_count(&sockets, "sockets:", "used"),
            tcp_sockets: socket_count(&sockets, "TCP:", "inuse"),
            tcp_waiting: socket_count(&sockets, "TCP:", "tw"),
            udp_sockets: socket_count(&sockets, "UDP:", "inuse"),
        }
    }
}

/// The number behind `name` in the line that begins with `kind`.
fn socket_count(sockets: &str, kind: &str, name: &str) -> u64 {
    let line = sockets.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
    let mut words = line.split_whitespace();
    words.by_ref().find(|word| *word == name);
    words.next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// How busy cores are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    /// What the process takes of one core: 1 is all of it, and more than one core is more.
    pub(super) process: f64,
    /// What everybody takes of all cores: 1 is everything.
    pub(super) machine: f64,
}

/// Measures the use of cores from one question to the next.
#[derive(Debug, Default)]
pub struct UsageMeter {
    before: Option<(Instant, Ticks)>,
    usage: Usage,
}

/// Totals since the machine started, in the clock ticks of the kernel.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    process: u64,
    busy: u64,
    all: u64,
    cores: u64,
}

impl UsageMeter {
    /// The use since the last question, or since the start of it all for the first one. Questions that follow each other
    /// too closely have the same answer.
    pub(super) fn measure(&mut self) -> Usage {
        let now = Instant::now();
        if self.before.is_none_or(|(at, _)| now.saturating_duration_since(at) >= USAGE_OVER) {
            let (before, ticks) = (self.before.map(|(_, ticks)| ticks).unwrap_or_default(), Ticks::read());
            self.usage = ticks.since(before);
            self.before = Some((now, ticks));
        }
        self.usage
    }
}

impl Ticks {
    fn read() -> Self {
        let process = procfs::process::Process::myself().and_then(|process| process.stat());
        let Ok(kernel) = procfs::KernelStats::current() else { return Self::default() };
        let total = &kernel.total;
        let waiting = total.idle + total.iowait.unwrap_or(0);
        let busy = total.user + total.nice + total.system + total.irq.unwrap_or(0) + total.softirq.unwrap_or(0);
        let busy = busy + total.steal.unwrap_or(0);
        Self {
            process: process.map_or(0, |process| process.utime + process.stime),
            busy,
            all: busy + waiting,
            cores: kernel.cpu_time.len() as u64,
        }
    }

    fn since(self, before: Self) -> Usage {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        Usage {
            process: self.process.saturating_sub(before.process) as f64 * self.cores as f64 / all,
            machine: self.busy.saturating_sub(before.busy) as f64 / all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_by_kind() {
        let text = "sockets: used 73\nTCP: inuse 26 orphan 0 tw 17 alloc 30 mem 5\nUDP: inuse 9 mem 1\nTCP6: inuse 4\n";
        assert_eq!(socket_count(text, "sockets:", "used"), 73);
        assert_eq!(socket_count(text, "TCP:", "tw"), 17);
        assert_eq!(socket_count(text, "UDP:", "inuse"), 9);
        assert_eq!(socket_count("", "UDP:", "inuse"), 0);
    }

    #[test]
    fn a_process_that_takes_a_whole_core_of_two_uses_one_core_and_half_of_the_machine() {
        let before = Ticks { process: 10, busy: 100, all: 1_000, cores: 2 };
        let after = Ticks { process: 110, busy: 200, all: 1_200, cores: 2 };
        assert_eq!(after.since(before), Usage { process: 1.0, machine: 0.5 });
    }

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let (process, memory) = (Process::read(), Memory::read());
        assert!(process.parent > 0 && process.resident_kilobytes > 0);
        assert!(memory.total_kilobytes >= memory.used_kilobytes && memory.used_kilobytes > 0);
    }
}
