//! A server: one role, put together.
//!
//! The only place that knows all layers. It binds, starts shards, hands accepted sockets to them, joins hub and pull, and
//! takes everything down in order. It holds no logic of its own about media.

mod shards;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminContext, Health};
use crate::auth::{ClusterKey, Verifier};
use crate::cluster::{Cluster, ClusterSettings};
use crate::config::{Config, ListenAddress, MergeWindow, OnConflict, RTMP_PORT, Role};
use crate::hub::{self, Hub, Identity, RingLimits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::metrics::{ConnectionResult, Metrics, Protocol};
use crate::net::admission::Admission;
use crate::net::dns::{Names, SetUpError};
use crate::net::listener::{self, BindError};
use crate::pull::{Forwarder, PullContext, Puller, SpawnOnShard};
use crate::serve::marks::Marks;
use crate::serve::{Accepted, ServeContext, http, rtmp};

use shards::Shards;

/// How long connections have to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system does not tell what a listener is bound to.
    #[error("cannot tell a listener's address: {0}")]
    Address(io::Error),
    /// A thread or runtime could not be made.
    #[error("cannot start a shard: {0}")]
    Shard(io::Error),
    /// The system's DNS settings cannot be used.
    #[error("cannot set up DNS: {0}")]
    Dns(#[from] SetUpError),
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Publishers and players over RTMP.
    Rtmp,
    /// Players over HTTP.
    Http,
    /// Operators.
    Admin,
}

impl Service {
    const fn label(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<(Service, SocketAddr)>,
    hub: Hub,
    health: Arc<Health>,
    shards: Arc<Shards>,
    connections: TaskTracker,
    listeners: TaskTracker,
    cluster: TaskTracker,
    admin: TaskTracker,
    /// One after the other cancelled when the server stops.
    stop_accepting: CancellationToken,
    stop_connections: CancellationToken,
    stop_cluster: CancellationToken,
    stop_admin: CancellationToken,
}

impl Server {
    /// Binds every address and starts to serve. Either all of it works, or nothing is left behind.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config)?;
        let config = Arc::new(config);
        let node = node_id(&config);
        let metrics = Arc::new(Metrics::new());
        let (shards, dispatchers) = Shards::start(shards::count()).map_err(StartError::Shard)?;
        let settings_from = Arc::clone(&config);
        let settings = Box::new(move |key: &StreamKey| stream_settings(&settings_from, key));
        let hub = Hub::new(settings, config.limits.ring_bytes as u64, Arc::clone(&metrics), dispatchers);
        let mut server = Self {
            addresses: Vec::new(),
            hub: hub.clone(),
            health: Arc::default(),
            shards: Arc::new(shards),
            connections: TaskTracker::new(),
            listeners: TaskTracker::new(),
            cluster: TaskTracker::new(),
            admin: TaskTracker::new(),
            stop_accepting: CancellationToken::new(),
            stop_connections: CancellationToken::new(),
            stop_cluster: CancellationToken::new(),
            stop_admin: CancellationToken::new(),
        };
        if config.role == Role::Edge {
            server.join_upstream(&config, &metrics, &node)?;
        }
        let cluster = if config.cluster.peers.is_empty() {
            None
        } else {
            Some(server.join_cluster(&config, &metrics, &node, &listeners)?)
        };
        let context = Arc::new(ServeContext {
            hub: hub.clone(),
            config: Arc::clone(&config),
            metrics: Arc::clone(&metrics),
            node: node.clone(),
            marks: Marks::new(Verifier::new(cluster_key(&config)), Arc::clone(&metrics)),
            cluster,
            stop: server.stop_connections.clone(),
        });
        let admin = Arc::new(AdminContext { hub, metrics, health: Arc::clone(&server.health), node });
        let limits = &config.limits;
        let admission = Arc::new(Admission::new(limits.max_connections, limits.max_connections_per_address));
        for (service, listener) in listeners.bound {
            let address = listener.local_addr().map_err(StartError::Address)?;
            server.addresses.push((service, address));
            match service {
                Service::Admin => server.serve_admin(listener, Arc::clone(&admin)),
                Service::Rtmp | Service::Http => server.accept(service, listener, &context, &admission),
            }
            tracing::info!(protocol = service.label(), %address, "listening");
        }
        server.health.ready();
        Ok(server)
    }

    /// The first address that `service` listens on.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.addresses.iter().find(|(other, _)| *other == service).map(|(_, address)| *address)
    }

    /// Ends everything in order: readiness, listeners, players at a block border, publishers, pulls, the admin port.
    pub async fn stop(self) {
        self.health.stopping();
        self.stop_accepting.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.hub.shut_down();
        self.stop_connections.cancel();
        self.connections.close();
        if timeout(STOP_TIMEOUT, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections were cut off");
        }
        self.stop_cluster.cancel();
        self.cluster.close();
        self.cluster.wait().await;
        self.stop_admin.cancel();
        self.admin.close();
        if timeout(STOP_TIMEOUT, self.admin.wait()).await.is_err() {
            tracing::warn!("admin connections were cut off");
        }
        drop(self.hub);
        match Arc::try_unwrap(self.shards) {
            Ok(shards) => shards.stop(),
            // A task that was cut off still holds them; the process is about to end.
            Err(shards) => drop(shards),
        }
        tracing::info!("stopped");
    }

    /// Fetches from upstream what players want, and passes on to it what is published here.
    fn join_upstream(&self, config: &Config, metrics: &Arc<Metrics>, node: &str) -> Result<(), StartError> {
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let context = Arc::new(PullContext::new(
            config.upstream.clone(),
            names,
            Arc::clone(metrics),
            node.to_owned(),
            cluster_key(config),
            config.rtmp.chunk_size,
            self.stop_connections.clone(),
        ));
        let (shards, connections) = (Arc::downgrade(&self.shards), self.connections.clone());
        let spawn = Box::new(move |pull| {
            if let Some(shards) = shards.upgrade() {
                shards.spawn(|_| connections.track_future(pull));
            }
        });
        self.hub.fetch_from(Arc::new(Puller::new(Arc::clone(&context), spawn)));
        let (shards, connections) = (Arc::downgrade(&self.shards), self.connections.clone());
        let spawn: SpawnOnShard = Box::new(move |forward| {
            if let Some(shards) = shards.upgrade() {
                shards.spawn(|shard| connections.track_future(forward(shard)));
            }
        });
        self.hub.ask_before_publishing(Arc::new(Forwarder::new(context, self.hub.downgrade(), spawn)));
        Ok(())
    }

    /// Has names granted by the other origins, and finds streams there.
    fn join_cluster(
        &self,
        config: &Arc<Config>,
        metrics: &Arc<Metrics>,
        node: &str,
        listeners: &Listeners,
    ) -> Result<Cluster, StartError> {
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let unbound = SocketAddr::from(([0, 0, 0, 0], RTMP_PORT));
        let settings = ClusterSettings {
            config: Arc::clone(config),
            node: node.to_owned(),
            key: cluster_key(config),
            rtmp: listeners.address(Service::Rtmp)?.unwrap_or(unbound),
            http: listeners.address(Service::Http)?,
        };
        let cluster = Cluster::new(settings, Arc::clone(metrics));
        self.hub.ask_before_publishing(Arc::new(cluster.clone()));
        self.cluster.spawn(cluster.clone().run(names, self.stop_cluster.clone()));
        Ok(cluster)
    }

    /// Hands what comes in to the shards, until the server stops accepting.
    fn accept(&self, service: Service, listener: TcpListener, context: &Arc<ServeContext>, admission: &Arc<Admission>) {
        let gate = Gate {
            service,
            context: Arc::clone(context),
            admission: Arc::clone(admission),
            shards: Arc::clone(&self.shards),
            connections: self.connections.clone(),
        };
        let stop = self.stop_accepting.clone();
        self.listeners.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    (socket, peer) = listener::accept(&listener) => gate.enter(socket, peer),
                }
            }
        });
    }

    fn serve_admin(&self, listener: TcpListener, context: Arc<AdminContext>) {
        let stop = self.stop_admin.clone();
        self.admin.spawn(admin::serve(listener, context, stop));
    }
}

/// Bound and not yet accepting.
struct Listeners {
    bound: Vec<(Service, TcpListener)>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, BindError> {
        let each: [(Service, &[ListenAddress]); 3] = [
            (Service::Rtmp, &config.rtmp.listen),
            (Service::Http, &config.http.listen),
            (Service::Admin, &config.admin.listen),
        ];
        let mut bound = Vec::new();
        for (service, addresses) in each {
            for address in addresses {
                bound.push((service, listener::bind(*address)?));
            }
        }
        Ok(Self { bound })
    }

    /// The first address that is bound for `service`.
    fn address(&self, service: Service) -> Result<Option<SocketAddr>, StartError> {
        let bound = self.bound.iter().find(|(other, _)| *other == service);
        bound.map(|(_, listener)| listener.local_addr().map_err(StartError::Address)).transpose()
    }
}

/// Between a listener and the shards.
struct Gate {
    service: Service,
    context: Arc<ServeContext>,
    admission: Arc<Admission>,
    shards: Arc<Shards>,
    connections: TaskTracker,
}

impl Gate {
    fn enter(&self, socket: TcpStream, peer: SocketAddr) {
        // IPv4 by its own name, also on a socket for both families.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let protocol = if self.service == Service::Rtmp { Protocol::Rtmp } else { Protocol::HttpFlv };
        let count = |result| self.context.metrics.connections(protocol, result).inc();
        let Some(admitted) = self.admission.admit(peer.ip()) else {
            count(ConnectionResult::Refused);
            tracing::debug!(%peer, "no room for another connection");
            return;
        };
        count(ConnectionResult::Accepted);
        // The socket moves from the listener's runtime to a shard's.
        let Ok(socket) = socket.into_std() else { return };
        let (context, service) = (Arc::clone(&self.context), self.service);
        self.shards.spawn(|shard| {
            let accepted = Accepted { peer, shard, admitted };
            self.connections.track_future(async move {
                let Ok(socket) = TcpStream::from_std(socket) else { return };
                // Boxed: within another future each would take the room of the largest, and every layer around it again.
                match service {
                    Service::Rtmp => Box::pin(rtmp::serve(context, socket, accepted)).await,
                    Service::Http | Service::Admin => Box::pin(http::serve(context, socket, accepted)).await,
                }
            })
        });
    }
}

fn stream_settings(config: &Config, key: &StreamKey) -> StreamSettings {
    let (play, publish) = (config.play_for(key.app()), config.publish_for(key.app()));
    StreamSettings {
        ring: RingLimits {
            gop_cache: play.gop_cache,
            max_bytes: play.gop_max_bytes,
            max_packets: play.gop_max_packets,
            max_duration: play.gop_max_duration,
            queue_length: play.queue_length,
        },
        merge_window: match play.mw_latency {
            MergeWindow::Auto => None,
            MergeWindow::Fixed(window) => Some(window),
        },
        hard_lag: play.hard_lag,
        play_wait: play.play_wait,
        on_conflict: match publish.on_conflict {
            OnConflict::Reject => hub::OnConflict::Reject,
            OnConflict::Replace => hub::OnConflict::Replace,
        },
    }
}

fn cluster_key(config: &Config) -> Option<ClusterKey> {
    config.cluster.key.as_ref().map(ClusterKey::new)
}

/// The configured name, or the host's, and something that no other process has.
fn node_id(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = config.node.name.clone().or_else(host).unwrap_or_default();
    let harmless = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_');
    let name: String = name.trim().chars().filter(harmless).collect();
    let unique = Identity::random();
    format!("{}-{}", if name.is_empty() { "rillcast" } else { &name }, &unique.as_str()[..8])
}
