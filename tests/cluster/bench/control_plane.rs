//! Readiness probes, and the DNS records that follow them as those of headless Services do.
//!
//! Every pod is probed by itself; when one becomes ready or stops being so, every view of DNS is written anew: the A
//! records of the Service, the SRV records with the pods' names, and those names.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::harness::dns::{DnsServer, RecordType, Reply};

use super::book::{Book, Entry, Probe, Tier};

/// Seconds to live of all records, as cluster DNS has it by default.
const TTL: u32 = 5;
const PROBE_EVERY: Duration = Duration::from_millis(250);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Probes pods and writes DNS.
pub struct ControlPlane {
    book: Arc<Book>,
    views: Vec<DnsServer>,
    /// Held while DNS is written, so that an older state never overwrites a newer one.
    written: Mutex<()>,
}

impl ControlPlane {
    /// With so many views of DNS.
    pub fn new(book: Arc<Book>, views: usize) -> Self {
        let plane = Self { book, views: (0..views).map(|_| DnsServer::start()).collect(), written: Mutex::default() };
        plane.publish();
        plane
    }

    /// The server of a view.
    pub fn view(&self, view: usize) -> &DnsServer {
        &self.views[view]
    }

    /// All views.
    pub fn views(&self) -> &[DnsServer] {
        &self.views
    }

    /// Probes a pod until it is taken from the book.
    pub fn watch(self: &Arc<Self>, address: Ipv4Addr, runtime: &Handle) {
        let plane = Arc::clone(self);
        runtime.spawn(async move {
            let admin = SocketAddr::from((address, plane.book.ports.admin));
            let mut before = None;
            loop {
                let probed = probe(admin).await;
                if !plane.book.note(address, probed) {
                    return;
                }
                // Silence becomes unreadiness only after several probes.
                if before != Some(probed) || probed == Probe::Silent {
                    plane.publish();
                }
                before = Some(probed);
                sleep(PROBE_EVERY).await;
            }
        });
    }

    /// Writes all records of every view.
    pub fn publish(&self) {
        let _written = self.written.lock().unwrap();
        let entries = self.book.entries();
        for (number, view) in self.views.iter().enumerate() {
            let visible: Vec<&Entry> = entries.iter().filter(|entry| entry.is_visible_in(number)).collect();
            for tier in [Tier::Origins, Tier::Edges] {
                self.publish_tier(view, tier, &visible, &entries);
            }
        }
    }

    fn publish_tier(&self, view: &DnsServer, tier: Tier, visible: &[&Entry], all: &[Entry]) {
        let members: Vec<&&Entry> = visible.iter().filter(|entry| entry.tier == tier).collect();
        let addresses: Vec<String> = members.iter().map(|entry| entry.address.to_string()).collect();
        let hosts: Vec<String> = members.iter().map(|entry| pod_host(&entry.name, tier)).collect();
        for entry in all.iter().filter(|entry| entry.tier == tier) {
            view.set(&pod_host(&entry.name, tier), RecordType::A, Reply::Empty);
        }
        for (host, address) in hosts.iter().zip(&addresses) {
            view.set_addresses(host, TTL, &[address]);
        }
        let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
        view.set_addresses(tier.host(), TTL, &texts);
        let targets: Vec<(&str, u16)> = hosts.iter().map(|host| (host.as_str(), self.book.ports.rtmp)).collect();
        view.set_services(&tier.service(), TTL, &targets);
    }
}

/// The name of a pod in DNS.
pub fn pod_host(name: &str, tier: Tier) -> String {
    format!("{name}.{}", tier.host())
}

async fn probe(admin: SocketAddr) -> Probe {
    match timeout(PROBE_TIMEOUT, ask(admin)).await {
        Ok(Ok(true)) => Probe::Ready,
        Ok(_) => Probe::Unready,
        Err(_) => Probe::Silent,
    }
}

async fn ask(admin: SocketAddr) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(admin).await?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
