//! Processes that we start: they end with us, whatever happens.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::clock::wait_until;

/// The hidden command by which a child is started.
pub(crate) const GUARD: &str = "guard";
/// In a child's environment: it is to have a single core.
pub(crate) const ONE_CORE: &str = "RILLCAST_LOADTEST_ONE_CORE";

/// A process; killed when dropped, and by the kernel when this thread ends.
#[derive(Debug)]
pub(crate) struct Guarded {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

const POLL: Duration = Duration::from_millis(20);
/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

impl Guarded {
    /// Starts a program; what it says goes to a file in `directory`.
    pub(crate) fn start<I, S>(
        name: &'static str,
        program: &Path,
        arguments: I,
        environment: &[(&str, String)],
        directory: &Path,
    ) -> anyhow::Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg(GUARD)
            .arg(program)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (*key, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// The process, which the program has taken over from the guard.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something listens.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while TcpStream::connect_timeout(&address, patience).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {address}: {}", self.name, self.last_words());
            }
            wait_until(Instant::now() + POLL);
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A process that has ended by itself needs none of this.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            wait_until(Instant::now() + POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes `program`, which then ends with the process that started us.
pub(crate) fn guard(program: &Path, arguments: &[std::ffi::OsString]) -> anyhow::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if std::env::var_os(ONE_CORE).is_some()
        && let Err(error) = take_one_core()
    {
        return anyhow::Error::from(error).context("cannot keep to one core");
    }
    let error = Command::new(program).args(arguments).exec();
    anyhow::Error::from(error).context(format!("cannot start {}", program.display()))
}

/// Keeps to the first core that this process may use.
fn take_one_core() -> rustix::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    if let Some(core) = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)) {
        one.set(core);
    }
    sched_setaffinity(None, &one)
}

/// A loopback address where nothing listens and from which the kernel makes no outgoing connections.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], FIRST + (offset + step) % COUNT));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}
