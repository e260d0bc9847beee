//! A TCP load balancer with a virtual IP: accepts, connects to one ready pod after the other, and passes bytes both ways.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::addresses::Ports;
use super::book::Target;

struct Shared {
    pods: Target,
    /// Counts the times that open connections became half open.
    frozen: watch::Sender<u32>,
}

/// A running load balancer; stops accepting when dropped.
pub struct Balancer {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    address: Ipv4Addr,
    ports: Ports,
}

impl Balancer {
    /// Listens for RTMP on the address.
    pub fn start(address: Ipv4Addr, ports: Ports, pods: Target, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared { pods, frozen: watch::Sender::new(0) });
        let listen = SocketAddr::from((address, ports.rtmp));
        let listener = runtime.block_on(TcpListener::bind(listen)).expect("the balancer's address is free");
        let task = runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, task, address, ports }
    }

    /// The virtual IP.
    pub fn target(&self) -> Target {
        Target::Address(self.address, self.ports)
    }

    /// The virtual IP with its RTMP port, as a configuration names it.
    pub fn rtmp(&self) -> SocketAddr {
        (self.address, self.ports.rtmp).into()
    }

    /// From now on no byte passes on the connections that are open, and they are not closed either. New ones work.
    pub fn freeze(&self) {
        self.shared.frozen.send_modify(|times| *times += 1);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, Arc::clone(&shared)));
    }
}

async fn pass(mut client: TcpStream, shared: Arc<Shared>) {
    let mut frozen = shared.frozen.subscribe();
    let Some(mut pod) = connect(&shared.pods).await else {
        return;
    };
    // Merged writes of a server are not to be merged again.
    if client.set_nodelay(true).and_then(|()| pod.set_nodelay(true)).is_err() {
        return;
    }
    tokio::select! {
        // A side that breaks ends the other one too.
        _ = copy_bidirectional(&mut client, &mut pod) => {}
        Ok(()) = frozen.changed() => std::future::pending().await,
    }
}

async fn connect(pods: &Target) -> Option<TcpStream> {
    TcpStream::connect(pods.next_rtmp()?).await.ok()
}
