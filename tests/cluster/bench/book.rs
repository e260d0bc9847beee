//! What the cluster knows of its pods: which there are, and which of them are ready.
//!
//! The prober writes it, DNS and the services read it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::addresses::Ports;

/// After so many probes without an answer a pod is not ready (the default of Kubernetes). A refusal counts at once: it is
/// how the bench sees that a process has ended, of which Kubernetes is told.
const SILENT_PROBES: u32 = 3;

/// Which pods a Service selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Those that take publishers.
    Origins,
    /// Those that serve players.
    Edges,
}

impl Tier {
    /// The name of the headless Service, without a final dot.
    pub const fn host(self) -> &'static str {
        match self {
            Self::Origins => "origins.media.test",
            Self::Edges => "edges.media.test",
        }
    }

    /// The name with its SRV records.
    pub fn service(self) -> String {
        format!("_rtmp._tcp.{}", self.host())
    }

    /// What its pods' names begin with.
    pub const fn pod_prefix(self) -> &'static str {
        match self {
            Self::Origins => "origin",
            Self::Edges => "edge",
        }
    }

    /// What the server's command line calls it.
    pub const fn role(self) -> &'static str {
        self.pod_prefix()
    }
}

/// How a pod answered a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It is ready.
    Ready,
    /// It says that it is not, or nobody listens.
    Unready,
    /// It says nothing.
    Silent,
}

/// One pod, as the control plane sees it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name: `origin-0`.
    pub name: String,
    /// Its Service.
    pub tier: Tier,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether connections are sent to it.
    pub ready: bool,
    /// Told to end: never ready again.
    terminating: bool,
    silent_probes: u32,
    /// The views of DNS in which it does not appear.
    hidden_in: Vec<usize>,
}

impl Entry {
    /// Whether a view of DNS shows it.
    pub fn is_visible_in(&self, view: usize) -> bool {
        self.ready && !self.hidden_in.contains(&view)
    }
}

/// The pods of one cluster.
#[derive(Debug)]
pub struct Book {
    /// The ports of every pod.
    pub ports: Ports,
    entries: Mutex<Vec<Entry>>,
    next: AtomicUsize,
}

impl Book {
    /// No pods yet.
    pub fn new(ports: Ports) -> Self {
        Self { ports, entries: Mutex::default(), next: AtomicUsize::new(0) }
    }

    /// A pod is started: not ready yet.
    pub fn add(&self, name: &str, tier: Tier, address: Ipv4Addr) {
        let entry = Entry {
            name: name.to_owned(),
            tier,
            address,
            ready: false,
            terminating: false,
            silent_probes: 0,
            hidden_in: Vec::new(),
        };
        self.entries.lock().unwrap().push(entry);
    }

    /// A pod is gone.
    pub fn remove(&self, address: Ipv4Addr) {
        self.entries.lock().unwrap().retain(|entry| entry.address != address);
    }

    /// A pod is told to end.
    pub fn terminate(&self, address: Ipv4Addr) {
        self.change(address, |entry| (entry.terminating, entry.ready) = (true, false));
    }

    /// Takes a pod out of a view of DNS, or puts it back.
    pub fn set_hidden(&self, name: &str, view: usize, hidden: bool) {
        for entry in self.entries.lock().unwrap().iter_mut().filter(|entry| entry.name == name) {
            entry.hidden_in.retain(|other| *other != view);
            if hidden {
                entry.hidden_in.push(view);
            }
        }
    }

    /// Notes a probe; false if the pod is gone.
    pub fn note(&self, address: Ipv4Addr, probe: Probe) -> bool {
        self.change(address, |entry| {
            entry.silent_probes = if probe == Probe::Silent { entry.silent_probes + 1 } else { 0 };
            match probe {
                Probe::Ready => entry.ready = !entry.terminating,
                Probe::Unready => entry.ready = false,
                Probe::Silent if entry.silent_probes >= SILENT_PROBES => entry.ready = false,
                Probe::Silent => {}
            }
        })
    }

    fn change(&self, address: Ipv4Addr, change: impl FnOnce(&mut Entry)) -> bool {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.iter_mut().find(|entry| entry.address == address);
        entry.map(change).is_some()
    }

    /// All pods as they are now.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// The addresses of a tier's ready pods.
    pub fn ready(&self, tier: Tier) -> Vec<Ipv4Addr> {
        let entries = self.entries.lock().unwrap();
        entries.iter().filter(|entry| entry.tier == tier && entry.ready).map(|entry| entry.address).collect()
    }
}

/// Who is connected to.
#[derive(Debug, Clone)]
pub enum Target {
    /// One address: a pod, or a load balancer.
    Address(Ipv4Addr, Ports),
    /// One ready pod of the tier after the other, as a Service with a virtual IP gives them. There is no byte copied in
    /// between, as there is none with kube-proxy.
    Service(Tier, Arc<Book>),
}

impl Target {
    /// Where the next connection goes; nowhere while no pod is ready.
    pub fn next(&self) -> Option<(Ipv4Addr, Ports)> {
        match self {
            Self::Address(address, ports) => Some((*address, *ports)),
            Self::Service(tier, book) => {
                let ready = book.ready(*tier);
                let turn = book.next.fetch_add(1, Ordering::Relaxed);
                Some((*ready.get(turn.checked_rem(ready.len())?)?, book.ports))
            }
        }
    }

    /// The same for RTMP.
    pub fn next_rtmp(&self) -> Option<SocketAddr> {
        self.next().map(|(address, ports)| (address, ports.rtmp).into())
    }
}
