//! A cluster: its pods, and what the control plane does with them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::harness::dns::Reply;
use crate::harness::wait_until;

use super::addresses::Block;
use super::balancer::Balancer;
use super::book::{Book, Target, Tier};
use super::control_plane::ControlPlane;
use super::pod::Pod;

/// One scenario at a time: what it measures is about times, and the machine is small.
static ALONE: Mutex<()> = Mutex::new(());

/// Running pods; all end when it is dropped.
pub struct Cluster {
    pods: Vec<Pod>,
    plane: Arc<ControlPlane>,
    book: Arc<Book>,
    block: Block,
    /// Probes, load balancers and publishers.
    runtime: Runtime,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// No pods yet, one view of DNS.
    pub fn start() -> Self {
        Self::with_views(1)
    }

    /// The same with several views of DNS, which agree until [`Cluster::hide`].
    pub fn with_views(views: usize) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = one_thread("cluster");
        let block = Block::take();
        let book = Arc::new(Book::new(block.ports));
        let plane = Arc::new(ControlPlane::new(Arc::clone(&book), views));
        Self { pods: Vec::new(), plane, book, block, runtime, _alone: alone }
    }

    /// Starts so many pods of a tier, with the given TOML, and waits until DNS has them: `origin-0`, `origin-1` and so on.
    #[track_caller]
    pub fn start_pods(&mut self, tier: Tier, count: usize, config: &str) {
        let first = self.pods.iter().filter(|pod| pod.tier == tier).count();
        for number in first..first + count {
            self.start_pod(&format!("{}-{number}", tier.pod_prefix()), tier, 0, config);
        }
        self.wait_until_ready();
    }

    /// Starts one pod, which sees one view of DNS.
    #[track_caller]
    pub fn start_pod(&mut self, name: &str, tier: Tier, view: usize, config: &str) {
        let address = self.block.next_address();
        let nameserver = self.plane.view(view).address();
        let pod = Pod::start(name, tier, (address, self.block.ports), nameserver, config);
        self.book.add(name, tier, address);
        self.plane.watch(address, self.runtime.handle());
        self.pods.push(pod);
    }

    /// Waits until every pod that is not told to end is ready.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_until("all pods are ready", || {
            let entries = self.book.entries();
            self.pods.iter().all(|pod| entries.iter().any(|entry| entry.address == pod.address && entry.ready))
        });
    }

    /// A pod by its name.
    #[track_caller]
    pub fn pod(&self, name: &str) -> &Pod {
        self.pods.iter().find(|pod| pod.name == name).unwrap_or_else(|| panic!("there is no pod {name}"))
    }

    /// The pods of a tier.
    pub fn pods(&self, tier: Tier) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(move |pod| pod.tier == tier)
    }

    /// SIGKILL; the pod does not come back by itself.
    #[track_caller]
    pub fn kill(&mut self, name: &str) {
        let mut pod = self.take(name);
        pod.kill();
        self.book.remove(pod.address);
        self.plane.publish();
    }

    /// Deletes a pod: it leaves DNS, gets SIGTERM, and is waited for; it has to end properly. Gives how long that took.
    #[track_caller]
    pub fn delete(&mut self, name: &str) -> Duration {
        let begin = Instant::now();
        let mut pod = self.take(name);
        self.book.terminate(pod.address);
        self.plane.publish();
        pod.signal(Signal::TERM);
        assert_eq!(pod.wait_for_exit(), Some(0), "the exit code of {name}");
        self.book.remove(pod.address);
        begin.elapsed()
    }

    #[track_caller]
    fn take(&mut self, name: &str) -> Pod {
        let at = self.pods.iter().position(|pod| pod.name == name);
        self.pods.remove(at.unwrap_or_else(|| panic!("there is no pod {name}")))
    }

    /// Takes a pod out of one view of DNS, or puts it back.
    pub fn hide(&self, name: &str, view: usize, hidden: bool) {
        self.book.set_hidden(name, view, hidden);
        self.plane.publish();
    }

    /// From now on every question to DNS is replied to so; `None` ends the outage.
    pub fn dns_outage(&self, reply: Option<&Reply>) {
        self.plane.views().iter().for_each(|view| view.set_outage(reply.cloned()));
    }

    /// One pod as a target.
    #[track_caller]
    pub fn target(&self, name: &str) -> Target {
        Target::Address(self.pod(name).address, self.block.ports)
    }

    /// The tier's ready pods in turn, as a Service gives them.
    pub fn service(&self, tier: Tier) -> Target {
        Target::Service(tier, Arc::clone(&self.book))
    }

    /// A TCP load balancer in front of a tier's ready pods, for RTMP.
    pub fn balancer(&mut self, tier: Tier) -> Balancer {
        let address = self.block.next_address();
        Balancer::start(address, self.block.ports, self.service(tier), self.runtime.handle())
    }

    /// The TOML of an edge that pulls from the headless Service of the origins, in the form of its A records.
    pub fn edge_by_name(&self) -> String {
        edge_config(&format!("{}.:{}", Tier::Origins.host(), self.block.ports.rtmp))
    }

    /// The same in the form of its SRV records.
    pub fn edge_by_service(&self) -> String {
        edge_config(&format!("{}.", Tier::Origins.service()))
    }

    /// The same for an edge that takes publishers.
    pub fn forwarding_edge(&self) -> String {
        format!("{}[publish]\nenabled = true\n", self.edge_by_service())
    }

    /// The TOML of an origin that knows the other ones.
    pub fn origin_with_peers() -> String {
        format!("[cluster]\npeers = [\"{}.\"]\n", Tier::Origins.service())
    }

    /// Where publishers run.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }
}

/// The TOML of an edge that pulls from one origin, or one name of them.
pub fn edge_config(origin: &str) -> String {
    format!("[upstream]\norigins = [\"{origin}\"]\n")
}

/// The names of so many streams.
pub fn streams(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("live/stream-{number}")).collect()
}

/// A runtime with one thread of its own.
pub fn one_thread(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().expect("a runtime")
}
