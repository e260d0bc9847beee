//! A child process whose output lines are collected, and which never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{wait_for, wait_until};

/// The binary under test.
pub const RILLCAST: &str = env!("CARGO_BIN_EXE_rillcast");

const SHOWN_ON_FAILURE: usize = 60;

/// The lines that a process has written to one of its outputs so far.
#[derive(Clone, Default)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Lines {
    fn collect(source: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let sink = collected.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                sink.lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
            sink.ended.store(true, Ordering::Release);
        });
        collected
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What the first line with a value gives.
    pub fn find<T>(&self, look: impl FnMut(&String) -> Option<T>) -> Option<T> {
        self.lines.lock().unwrap().iter().find_map(look)
    }

    fn have_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// A running child process; killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    /// Whether it leads a process group, which ends with it.
    leads_group: bool,
    /// Standard output.
    pub stdout: Lines,
    /// Standard error.
    pub stderr: Lines,
}

impl Process {
    /// Starts a program. The name is for messages.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = Lines::collect(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::collect(child.stderr.take().expect("stderr is piped"));
        Self { name: name.to_owned(), child, leads_group: false, stdout, stderr }
    }

    /// Starts a program that starts others: all of them are killed with it.
    pub fn spawn_group(name: &str, command: &mut Command) -> Self {
        let mut process = Self::spawn(name, command.process_group(0));
        process.leads_group = true;
        process
    }

    /// Starts the binary under test.
    pub fn rillcast(arguments: &[&str]) -> Self {
        Self::rillcast_under(&[], arguments)
    }

    /// The same behind other commands that run it in their place, with its arguments behind theirs.
    pub fn rillcast_under(prefix: &[String], arguments: &[&str]) -> Self {
        let words: Vec<&str> =
            prefix.iter().map(String::as_str).chain([RILLCAST]).chain(arguments.iter().copied()).collect();
        Self::spawn(&format!("rillcast {}", arguments.join(" ")), Command::new(words[0]).args(&words[1..]))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// The exit code, once the process has ended by itself; `None` inside when a signal ended it.
    pub fn exit(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child can be waited for").map(|status| status.code())
    }

    /// Waits for the end of the process and of its outputs, and gives its exit code.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let name = self.name.clone();
        let code = wait_for(&format!("{name} exits"), || self.exit());
        wait_until(&format!("{name} closes its outputs"), || self.stdout.have_ended() && self.stderr.have_ended());
        code
    }

    /// Ends the process with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        if self.leads_group {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = self.stderr.all();
            let skipped = lines.len().saturating_sub(SHOWN_ON_FAILURE);
            println!("--- {} wrote, after {skipped} other lines:", self.name);
            lines.iter().skip(skipped).for_each(|line| println!("{line}"));
        }
    }
}
