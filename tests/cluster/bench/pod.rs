//! One pod: a process of the built binary with an address of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::http;
use crate::harness::metrics::Metrics;
use crate::harness::process::Process;
use crate::harness::{wait_at_most, wait_until};

use super::addresses::Ports;
use super::book::Tier;

/// After which a pod would be killed (`terminationGracePeriodSeconds`).
const GRACE_PERIOD: Duration = Duration::from_secs(95);

/// Names a directory where the logs of all pods are kept, with what is logged for debugging.
const LOGS: &str = "RILLCAST_POD_LOGS";

/// What a process holds of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open sockets and files.
    pub files: usize,
    /// Threads.
    pub threads: u64,
}

/// A running pod; killed when dropped.
pub struct Pod {
    /// `origin-0`.
    pub name: String,
    /// Its Service.
    pub tier: Tier,
    /// Its address.
    pub address: Ipv4Addr,
    ports: Ports,
    process: Process,
    _directory: TempDir,
}

impl Pod {
    /// Starts a process and waits until its ports are open.
    #[track_caller]
    pub fn start(
        name: &str,
        tier: Tier,
        (address, ports): (Ipv4Addr, Ports),
        nameserver: SocketAddr,
        config: &str,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = base_config(name, address, ports, nameserver);
        let files = [("base.toml", base.as_str()), ("test.toml", config)].map(|(file, text)| {
            let path = directory.path().join(file);
            fs::write(&path, text).expect("the configuration is written");
            path.display().to_string()
        });
        let mut process = Process::rillcast(&[tier.role(), "-c", &files[0], "-c", &files[1]]);
        wait_until(&format!("{name} listens"), || {
            let ports = process.stderr.all().iter().filter(|line| line.contains("\"listening\"")).count();
            assert!(ports == 3 || process.exit().is_none(), "{name} ended at once: {:#?}", process.stderr.all());
            ports == 3
        });
        let name = name.to_owned();
        Self { name, tier, address, ports, process, _directory: directory }
    }

    /// Where it takes RTMP.
    pub fn rtmp(&self) -> SocketAddr {
        (self.address, self.ports.rtmp).into()
    }

    fn admin(&self) -> SocketAddr {
        (self.address, self.ports.admin).into()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for the end of the process, as long as a drain may take, and gives its exit code.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let mut code = None;
        wait_at_most(GRACE_PERIOD, &format!("{} exits", self.name), || {
            code = self.process.exit();
            code.is_some()
        });
        code.flatten()
    }

    /// All metrics as they are now.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&http::get(self.admin(), "/metrics").text())
    }

    /// The sum over all label values of a metric.
    #[track_caller]
    pub fn count(&self, metric: &str) -> u64 {
        self.metrics().sum(metric) as u64
    }

    /// The entries of `/api/v1/streams`.
    #[track_caller]
    pub fn streams(&self) -> Vec<Value> {
        let body = http::get(self.admin(), "/api/v1/streams").json();
        body["streams"].as_array().expect("streams is an array").clone()
    }

    /// The streams that clients publish here, as `app/stream`.
    #[track_caller]
    pub fn published(&self) -> Vec<String> {
        let is_published = |stream: &&Value| stream["publish"]["ip"].is_string();
        let url = |stream: &Value| stream["url"].as_str().map(|url| url.trim_start_matches('/').to_owned());
        self.streams().iter().filter(is_published).filter_map(url).collect()
    }

    /// Where a stream is pulled from.
    #[track_caller]
    pub fn upstream(&self, stream: &str) -> Option<SocketAddr> {
        let url = format!("/{stream}");
        let entry = self.streams().into_iter().find(|entry| entry["url"] == url.as_str())?;
        entry["upstream"]["address"].as_str()?.parse().ok()
    }

    /// Memory, sockets and threads of the process.
    pub fn usage(&self) -> Usage {
        let id = self.process.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
        let number = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).expect("it is there");
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
        };
        let files = fs::read_dir(format!("/proc/{id}/fd")).expect("the process runs").count();
        Usage { memory: number("VmRSS:") * 1024, files, threads: number("Threads:") }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let Some(directory) = std::env::var_os(LOGS) else { return };
        let file = std::path::Path::new(&directory).join(format!("{}-{}.log", self.name, self.address));
        let log = self.process.stderr.all().join("\n");
        if let Err(error) = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, log)) {
            println!("{} is not written: {error}", file.display());
        }
    }
}

/// Players wait as long as the bench does: that a busy machine starts a cluster slowly is not what is measured.
fn base_config(name: &str, address: Ipv4Addr, ports: Ports, nameserver: SocketAddr) -> String {
    let Ports { rtmp, http, admin } = ports;
    let level = if std::env::var_os(LOGS).is_some() { "info,rillcast=debug" } else { "info" };
    format!(
        "[node]\nname = \"{name}\"\n[log]\nlevel = \"{level}\"\nformat = \"json\"\n[rtmp]\nlisten = \"{address}:{rtmp}\"\n\
         [http]\nlisten = \"{address}:{http}\"\n[admin]\nlisten = \"{address}:{admin}\"\n\
         [play]\nplay_wait = \"1m\"\n[dns]\nnameservers = [\"{nameserver}\"]\n[cluster]\nkey = \"the key of the test bench\"\n"
    )
}
