//! An origin or an edge as a process of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Response};
use super::metrics::Metrics;
use super::process::Process;
use super::small_disk::SmallDisk;
use super::wait_for;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// SIGTERM ends a server at once, unless a test is about the time it takes.
const NO_DRAIN: &str = "[drain]\npropagation_delay = 0\nsoft_timeout = 0\nwindow = 0\nhard_timeout = 0\n";

/// An address of this host, where nothing listens and which the kernel gives to no outgoing connection.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run side by side start at different places.
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).expect("smaller than the count");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((LOOPBACK, FIRST + (offset + step % COUNT) % COUNT));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A running server; killed when dropped.
pub struct Server {
    role: &'static str,
    directory: TempDir,
    upstream: Vec<SocketAddr>,
    process: Process,
    /// Where it takes RTMP.
    pub rtmp: SocketAddr,
    /// Where it serves HTTP-FLV.
    pub http: SocketAddr,
    /// Its admin port.
    pub admin: SocketAddr,
}

impl Server {
    /// Starts an origin with the given TOML on top of free loopback ports.
    #[track_caller]
    pub fn origin(config: &str) -> Self {
        Self::start("origin", &[], config, [any_port(); 3])
    }

    /// Starts an origin on addresses that it can be restarted on, so that its edges find it again.
    #[track_caller]
    pub fn origin_on_fixed_ports(config: &str) -> Self {
        Self::start("origin", &[], config, [free_address(), free_address(), free_address()])
    }

    /// Starts an origin that takes RTMP, HTTP and operators at these addresses.
    #[track_caller]
    pub fn origin_at(listen: [SocketAddr; 3], config: &str) -> Self {
        Self::start("origin", &[], config, listen)
    }

    /// Starts an origin that finds a small disk at its place.
    #[track_caller]
    pub fn origin_on_disk(disk: &SmallDisk, config: &str) -> Self {
        Self::start_under(&disk.prefix(), "origin", &[], config, [any_port(); 3])
    }

    /// Starts an edge in front of the given origins.
    #[track_caller]
    pub fn edge(origins: &[SocketAddr], config: &str) -> Self {
        Self::start("edge", origins, config, [any_port(); 3])
    }

    /// Starts an origin and an edge in front of it.
    #[track_caller]
    pub fn origin_and_edge(origin_config: &str, edge_config: &str) -> (Self, Self) {
        let origin = Self::origin(origin_config);
        let edge = Self::edge(&[origin.rtmp], edge_config);
        (origin, edge)
    }

    /// Starts an origin that also reads the configuration at `more`, a file or a directory, and has these variables in its
    /// environment, each written `NAME=value`.
    #[track_caller]
    pub fn origin_reading(more: &Path, variables: &[&str], config: &str) -> Self {
        let prefix: Vec<String> = ["env"].iter().chain(variables).map(|word| (*word).to_owned()).collect();
        Self::start_reading(&prefix, &[more], "origin", &[], config, [any_port(); 3])
    }

    /// Starts an edge that the system allows so many open files and no more.
    #[track_caller]
    pub fn edge_with_files(files: usize, origins: &[SocketAddr]) -> Self {
        Self::start_under(&with_files(files), "edge", origins, "", [any_port(); 3])
    }

    /// Writes another configuration in the place of the one it was started with, on top of its ports.
    #[track_caller]
    pub fn write_config(&self, config: &str) {
        fs::write(self.directory.path().join("test.toml"), config).expect("test.toml is written");
    }

    #[track_caller]
    fn start(role: &'static str, upstream: &[SocketAddr], config: &str, listen: [SocketAddr; 3]) -> Self {
        Self::start_under(&[], role, upstream, config, listen)
    }

    #[track_caller]
    fn start_under(
        prefix: &[String],
        role: &'static str,
        upstream: &[SocketAddr],
        config: &str,
        listen: [SocketAddr; 3],
    ) -> Self {
        Self::start_reading(prefix, &[], role, upstream, config, listen)
    }

    #[track_caller]
    fn start_reading(
        prefix: &[String],
        more: &[&Path],
        role: &'static str,
        upstream: &[SocketAddr],
        config: &str,
        listen: [SocketAddr; 3],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("base.toml"), base_config(upstream, listen)).expect("base.toml is written");
        fs::write(directory.path().join("test.toml"), config).expect("test.toml is written");
        let (process, [rtmp, http, admin]) = launch(prefix, role, &directory, more);
        Self { role, directory, upstream: upstream.to_vec(), process, rtmp, http, admin }
    }

    /// Starts the server again, on the same addresses and with the same configuration, after its end.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.process.exit().is_some(), "the server is still running");
        let listen = [self.rtmp, self.http, self.admin];
        fs::write(self.directory.path().join("base.toml"), base_config(&self.upstream, listen))
            .expect("base.toml is written");
        (self.process, _) = launch(&[], self.role, &self.directory, &[]);
    }

    /// Ends the server without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.exit().is_none()
    }

    /// Waits for the end of the process and gives its exit code.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        self.process.wait_for_exit()
    }

    /// Where it listens for a protocol, as its log calls it: "rtmps", "https", "admin-tls".
    #[track_caller]
    pub fn listens_for(&self, protocol: &str) -> SocketAddr {
        let place = || self.process.stderr.find(|line| listening_address(line, protocol));
        wait_for(&format!("the server listens for {protocol}"), place)
    }

    /// `rtmp://HOST:PORT/STREAM`.
    pub fn rtmp_url(&self, stream: &str) -> String {
        format!("rtmp://{}/{stream}", self.rtmp)
    }

    /// `http://HOST:PORT/STREAM.flv`.
    pub fn flv_url(&self, stream: &str) -> String {
        format!("http://{}/{stream}.flv", self.http)
    }

    /// What a player of HLS gets for a stream's playlist.
    #[track_caller]
    pub fn hls(&self, stream: &str) -> Response {
        http::get(self.http, &format!("/{stream}.m3u8"))
    }

    /// An answer of the admin port.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Response {
        http::get(self.admin, path)
    }

    /// Asks the admin port for something, with these headers and this body.
    #[track_caller]
    pub fn ask_admin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        http::send(self.admin, method, path, headers, body)
    }

    /// The configuration in force, as `/api/v1/config` shows it.
    #[track_caller]
    pub fn config(&self) -> Value {
        let answer = self.admin("/api/v1/config");
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        answer.json()["data"].clone()
    }

    /// The value in force of a key, `section.key`.
    #[track_caller]
    pub fn setting(&self, key: &str) -> Value {
        let (section, key) = key.split_once('.').expect("section.key");
        self.config()["settings"][section][key]["value"].clone()
    }

    /// The upstream that a stream is pulled from.
    #[track_caller]
    pub fn upstream(&self, stream: &str) -> Option<SocketAddr> {
        self.stream(stream)?["upstream"]["address"].as_str()?.parse().ok()
    }

    /// All metrics as they are now.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin("/metrics").text())
    }

    /// The entry of a stream in `/api/v1/streams`.
    #[track_caller]
    pub fn stream(&self, stream: &str) -> Option<Value> {
        let (app, name) = stream.rsplit_once('/').expect("app/stream");
        self.streams().into_iter().find(|entry| entry["app"] == app && entry["name"] == name)
    }

    /// The entries of `/api/v1/streams`.
    #[track_caller]
    pub fn streams(&self) -> Vec<Value> {
        let body = self.admin("/api/v1/streams").json();
        body["streams"].as_array().expect("streams is an array").clone()
    }

    /// The log lines so far.
    pub fn log(&self) -> Vec<Value> {
        self.process.stderr.all().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Everything that it has logged so far, line by line.
    pub fn log_lines(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Open file descriptors of the process.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("the process runs").count()
    }

    /// What the process has taken of the processors so far.
    pub fn processor_time(&self) -> Duration {
        const TICKS_PER_SECOND: u64 = 100;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the process runs");
        // Behind the name, which may hold anything: state and eleven others, then user and system time (proc_pid_stat(5)).
        let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = rest.split_whitespace().skip(11).take(2).map(|word| word.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory of the process in bytes.
    pub fn resident_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS is there");
        let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        kibibytes * 1024
    }
}

/// What runs a program with so many open files at most.
pub fn with_files(files: usize) -> Vec<String> {
    ["bash", "-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")].map(str::to_owned).to_vec()
}

fn any_port() -> SocketAddr {
    SocketAddr::from((LOOPBACK, 0))
}

fn base_config(upstream: &[SocketAddr], [rtmp, http, admin]: [SocketAddr; 3]) -> String {
    let origins: Vec<String> = upstream.iter().map(|address| format!("\"{address}\"")).collect();
    let upstream =
        if origins.is_empty() { String::new() } else { format!("[upstream]\norigins = [{}]\n", origins.join(", ")) };
    format!(
        "[log]\nlevel = \"info,rillcast=debug\"\nformat = \"json\"\n[rtmp]\nlisten = \"{rtmp}\"\n\
         [http]\nlisten = \"{http}\"\n[admin]\nlisten = \"{admin}\"\n{upstream}{NO_DRAIN}"
    )
}

/// Starts the process and reads from its log where it listens.
#[track_caller]
fn launch(prefix: &[String], role: &str, directory: &TempDir, more: &[&Path]) -> (Process, [SocketAddr; 3]) {
    let [base, test] = ["base.toml", "test.toml"].map(|name| directory.path().join(name).display().to_string());
    let more: Vec<String> = more.iter().map(|path| path.display().to_string()).collect();
    let sources = [&base, &test].into_iter().chain(&more).flat_map(|path| ["-c", path.as_str()]);
    let arguments: Vec<&str> = [role].into_iter().chain(sources).collect();
    let mut process = Process::rillcast_under(prefix, &arguments);
    let addresses = ["rtmp", "http", "admin"].map(|protocol| {
        wait_for(&format!("the {role} listens for {protocol}"), || {
            let found = process.stderr.find(|line| listening_address(line, protocol));
            if found.is_none() {
                assert!(process.exit().is_none(), "the {role} ended at once: {:#?}", process.stderr.all());
            }
            found
        })
    });
    (process, addresses)
}

fn listening_address(line: &str, protocol: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    if fields["message"] != "listening" || fields["protocol"] != protocol {
        return None;
    }
    fields["address"].as_str()?.parse().ok()
}
