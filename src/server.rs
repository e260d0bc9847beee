//! A server: one role, put together.
//!
//! The only place that knows all layers. It binds, starts shards, hands accepted sockets to them, joins hub and pull, and
//! takes everything down in order. It holds no logic of its own about media.

mod arrival;
mod doors;
mod draining;
mod packaging;
mod recording;
mod reload;
mod settings;
mod shards;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Access, AdminContext, Health};
use crate::auth::{ClusterKey, Verifier};
use crate::cluster::place::TlsPorts;
use crate::cluster::{Cluster, ClusterSettings};
use crate::config::{
    CertificateError, CertificatePair, Config, ConfigError, ListenAddress, Live, Loaded, RTMP_PORT, Role, Sources,
};
use crate::drain::Drain;
use crate::hls::{Library, OriginLibrary};
use crate::hooks::{self, Hooks};
use crate::hub::{Hub, Identity, OnSession};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, Protocol};
use crate::net::admission::Admission;
use crate::net::dns::{Names, SetUpError};
use crate::net::handshakes::Handshakes;
use crate::net::listener::{self, BindError};
use crate::net::tls::{self, ClientTlsError, ServerTls};
use crate::pull::{Forwarder, HlsRelay, PullContext, Puller, SpawnOnShard};
use crate::serve::ServeContext;
use crate::serve::marks::Marks;
use crate::sessions::Sessions;

use doors::{Doors, Gate};
use draining::Draining;
use recording::Recording;
pub use reload::SetLogLevel;
use reload::{Parts, Reload};
pub use settings::too_few_files;
use settings::{player_limits, room_for_connections, stream_settings};
use shards::Shards;

/// How long connections have to end when the server stops: together with the admin port's, less than the five seconds
/// that lie between `drain.hard_timeout` and the killing of the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long connections of the admin port have.
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take until those are gone that were cut off.
const CUT_OFF_TIMEOUT: Duration = Duration::from_millis(200);
/// How long hooks have at least to be told what has ended.
const HOOKS_STOP_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the disk has for the last files of HLS.
const HLS_STOP_TIMEOUT: Duration = Duration::from_millis(500);

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
    /// The thread that writes files of HLS could not be made.
    #[error("cannot start to write files of HLS: {0}")]
    Hls(io::Error),
    /// The recorder's threads could not be made.
    #[error("cannot start the recorder: {0}")]
    Recorder(io::Error),
    /// Hooks cannot be asked.
    #[error(transparent)]
    Hooks(#[from] hooks::SetUpError),
    /// The system has no random bytes to give.
    #[error("cannot get random bytes: {0}")]
    Random(getrandom::Error),
    /// A certificate has become useless since it was checked.
    #[error("tls.certificates: {0}")]
    Certificate(#[from] CertificateError),
    /// Upstreams cannot prove over TLS who they are.
    #[error("upstream.tls: {0}")]
    UpstreamTls(#[from] ClientTlsError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(rustls::Error),
    /// The system's DNS settings cannot be used.
    #[error("cannot set up DNS: {0}")]
    Dns(#[from] SetUpError),
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Publishers and players over RTMP.
    Rtmp,
    /// The same over TLS.
    Rtmps,
    /// Players over HTTP.
    Http,
    /// The same over TLS.
    Https,
    /// Operators.
    Admin,
    /// The same over TLS.
    AdminTls,
}

impl Service {
    const fn label(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Http => "http",
            Self::Https => "https",
            Self::Admin => "admin",
            Self::AdminTls => "admin-tls",
        }
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Rtmps | Self::Https | Self::AdminTls)
    }

    /// What its connections count as before they have said more.
    const fn protocol(self) -> Protocol {
        match self {
            Self::Rtmp | Self::Rtmps => Protocol::Rtmp,
            Self::Http | Self::Https | Self::Admin | Self::AdminTls => Protocol::HttpFlv,
        }
    }

    const fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::AdminTls)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<(Service, SocketAddr)>,
    hub: Hub,
    health: Arc<Health>,
    drain: Drain,
    /// Cancelled when a drain has come to the end of the process.
    drained: CancellationToken,
    shards: Arc<Shards>,
    /// Connections of clients, and pulls.
    connections: TaskTracker,
    sessions: Sessions,
    /// The one task that owns the listeners.
    draining: TaskTracker,
    cluster: TaskTracker,
    /// Told of what ends, too.
    hooks: Hooks,
    /// What an origin packages.
    hls: Option<OriginLibrary>,
    admin: TaskTracker,
    reload: Reload,
    /// One after the other cancelled when the server stops.
    stop_accepting: CancellationToken,
    stop_connections: CancellationToken,
    stop_cluster: CancellationToken,
    stop_admin: CancellationToken,
}

impl Server {
    /// Binds every address and starts to serve what was `loaded` from `sources`, which it loads from again when they change.
    /// What is logged then is set by `log_level`. Either all of it works, or nothing is left behind.
    pub async fn start(sources: Sources, loaded: Loaded, log_level: Option<SetLogLevel>) -> Result<Self, StartError> {
        let bound = bind(&loaded.config)?;
        let live = Live::new(loaded.config.clone());
        let config = live.current();
        let node = node_id(&config);
        let metrics = Arc::new(Metrics::new());
        let hooks = start_hooks(&live, &metrics, &node)?;
        let (shards, dispatchers) = Shards::start(shards::count()).map_err(StartError::Shard)?;
        let settings_from = live.clone();
        let settings = Box::new(move |key: &StreamKey| stream_settings(&settings_from.current(), key));
        let hub = Hub::new(settings, config.limits.ring_bytes as u64, Arc::clone(&metrics), dispatchers);
        hub.limit(player_limits(&config));
        let shards = Arc::new(shards);
        let (connections, stop_connections) = (TaskTracker::new(), CancellationToken::new());
        let (weak, stop) = (hub.downgrade(), stop_connections.clone());
        let hls =
            packaging::library(&live, weak, &metrics, &hooks, &shards, &connections, stop).map_err(StartError::Hls)?;
        let stop = stop_connections.clone();
        let told = hooks.clone();
        let recording = Recording::new(live.clone(), Arc::clone(&metrics), told, &shards, connections.clone(), stop);
        recording.begin_if_wanted(&config).map_err(StartError::Recorder)?;
        let packages = hls.iter().map(|library| Arc::new(library.clone()) as Arc<dyn OnSession>);
        let records: Arc<dyn OnSession> = Arc::new(recording.clone());
        hub.tell_of_sessions(packages.chain([records]).collect());
        let limits = &config.limits;
        let admission = Admission::new(limits.max_connections, limits.max_connections_per_address);
        let admission = Arc::new(admission.within(room_for_connections(limits.max_connections)));
        let drain = Drain::new(draining::times(&config.drain));
        let parts = Parts {
            log_level,
            admission: Arc::clone(&admission),
            hub: hub.clone(),
            drain: drain.clone(),
            hls: hls.clone(),
            recording: recording.clone(),
        };
        let server = Self {
            addresses: addresses(&bound).map_err(StartError::Address)?,
            hub: hub.clone(),
            health: Arc::default(),
            drain,
            drained: CancellationToken::new(),
            shards,
            connections,
            hooks: hooks.clone(),
            sessions: Sessions::new(),
            hls,
            cluster: TaskTracker::new(),
            draining: TaskTracker::new(),
            admin: TaskTracker::new(),
            reload: Reload::new(sources, loaded, live.clone(), parts, Arc::clone(&metrics)),
            stop_accepting: CancellationToken::new(),
            stop_connections,
            stop_cluster: CancellationToken::new(),
            stop_admin: CancellationToken::new(),
        };
        let relay = match config.role {
            Role::Origin => None,
            Role::Edge => {
                let upstream = server.join_upstream(&live, &metrics, &node)?;
                Some(HlsRelay::new(upstream, config.hls().cache_bytes as u64))
            }
        };
        let packaged = server.hls.clone().map(|library| Arc::new(library) as Arc<dyn Library>);
        let relayed = relay.clone().map(|relay| Arc::new(relay) as Arc<dyn Library>);
        let cluster =
            if config.cluster.peers.is_empty() { None } else { Some(server.join_cluster(&live, &metrics, &node)?) };
        let tls_port = |service| server.address(service).map(|address| address.port());
        let tls_ports = TlsPorts { rtmp: tls_port(Service::Rtmps), http: tls_port(Service::Https) };
        let context = Arc::new(ServeContext {
            hub: hub.clone(),
            config: live.clone(),
            metrics: Arc::clone(&metrics),
            node: node.clone(),
            marks: Marks::new(Verifier::new(cluster_key(&config)), Arc::clone(&metrics)),
            cluster,
            tls_ports,
            hls: packaged.or(relayed),
            hooks: hooks.clone(),
            sessions: server.sessions.clone(),
            drain: server.drain.clone(),
            stop: server.stop_connections.clone(),
        });
        let handshakes = Arc::new(Handshakes::new(context.config.clone(), Arc::clone(&context.metrics)));
        let tls = server.present_certificates(&config, &context)?;
        let admin = Arc::new(AdminContext {
            hub,
            metrics,
            health: Arc::clone(&server.health),
            drain: server.drain.clone(),
            sessions: server.sessions.clone(),
            admission: Arc::clone(&admission),
            config: live,
            configuration: Arc::new(server.reload.clone()),
            access: Access::new().map_err(StartError::Random)?,
            recordings: recording.library(),
            node,
            started: Instant::now(),
            usage: Mutex::default(),
        });
        let (hub, sessions) = (server.hub.clone(), server.sessions.clone());
        server.admin.spawn(upkeep::run(hub, sessions, relay, server.stop_admin.clone()));
        server.admin.spawn(reload::watch(server.reload.clone(), server.stop_admin.clone()));
        server.listen(bound, context, (admission, handshakes), tls, &admin).map_err(StartError::Address)?;
        server.health.ready();
        Ok(server)
    }

    /// Serves what was bound.
    fn listen(
        &self,
        bound: Vec<(Service, ListenAddress, TcpListener)>,
        context: Arc<ServeContext>,
        (admission, handshakes): (Arc<Admission>, Arc<Handshakes>),
        tls: Option<ServerTls>,
        admin: &Arc<AdminContext>,
    ) -> io::Result<()> {
        let (admins, clients): (Vec<_>, Vec<_>) = bound.into_iter().partition(|(service, ..)| service.is_admin());
        let shards = Arc::clone(&self.shards);
        let (connections, of_clients) = (self.connections.clone(), tls.clone());
        let gate = Gate { context, admission, handshakes, shards, tls: of_clients, connections };
        let draining = Draining {
            drain: self.drain.clone(),
            doors: Doors::new(gate, clients)?,
            hub: self.hub.clone(),
            health: Arc::clone(&self.health),
            finished: self.drained.clone(),
        };
        self.draining.spawn(draining.run(self.stop_accepting.clone()));
        for (service, _, listener) in admins {
            let tls = tls.clone().filter(|_| service.is_tls());
            self.admin.spawn(admin::serve(listener, tls, Arc::clone(admin), self.stop_admin.clone()));
        }
        for (service, address) in &self.addresses {
            tracing::info!(protocol = service.label(), %address, "listening");
        }
        Ok(())
    }

    /// The first address that `service` listens on.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.addresses.iter().find(|(other, _)| *other == service).map(|(_, address)| *address)
    }

    /// Loads the configuration again, and puts into force what changed. What is wrong with it is logged, too.
    pub async fn reload(&self, cause: &'static str) -> Result<Vec<String>, ConfigError> {
        self.reload.again(cause).await
    }

    /// The way to have the server take leave of its clients.
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Completes when an order to drain and to exit has been carried out. The server is then to be stopped.
    pub async fn drained(&self) {
        self.drained.cancelled().await;
    }

    /// Ends everything in order: readiness, listeners, players at a block border, publishers, pulls, the admin port.
    pub async fn stop(self) {
        self.health.stopping();
        self.stop_accepting.cancel();
        self.draining.close();
        self.draining.wait().await;
        self.hub.shut_down();
        self.stop_connections.cancel();
        self.hub.forget_all_viewers();
        self.connections.close();
        let deadline = Instant::now() + STOP_TIMEOUT;
        if timeout(STOP_TIMEOUT, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections were cut off");
        }
        if let Some(hls) = &self.hls {
            hls.stop(HLS_STOP_TIMEOUT).await;
        }
        // The ends of those that were cut off are told with the others.
        self.shards.cut_off();
        let _ = timeout(CUT_OFF_TIMEOUT, self.connections.wait()).await;
        // What has ended is told in the time that connections have left over, or the drain, if it was not broken off.
        let drained = self.drain.order().filter(|_| self.drained.is_cancelled());
        let deadline = deadline.max(drained.map_or(deadline, |order| self.drain.schedule(order).ends));
        let left = deadline.saturating_duration_since(Instant::now());
        self.hooks.flush(left.max(HOOKS_STOP_TIMEOUT)).await;
        self.stop_cluster.cancel();
        self.cluster.close();
        self.cluster.wait().await;
        self.stop_admin.cancel();
        self.admin.close();
        if timeout(ADMIN_STOP_TIMEOUT, self.admin.wait()).await.is_err() {
            tracing::warn!("admin connections were cut off");
        }
        drop((self.hub, self.reload));
        match Arc::try_unwrap(self.shards) {
            Ok(shards) => shards.stop(),
            // A task that was cut off still holds them; the process is about to end.
            Err(shards) => drop(shards),
        }
        tracing::info!("stopped");
    }

    /// Makes ready what listeners of TLS present, if there are any, and keeps it fresh.
    fn present_certificates(&self, config: &Config, context: &ServeContext) -> Result<Option<ServerTls>, StartError> {
        let pairs = &config.tls.certificates;
        if pairs.is_empty() {
            return Ok(None);
        }
        let loaded = pairs.iter().map(CertificatePair::load).collect::<Result<_, _>>()?;
        let tls = ServerTls::new(loaded).map_err(StartError::Tls)?;
        let (live, metrics) = (context.config.clone(), Arc::clone(&context.metrics));
        self.admin.spawn(tls::keep_fresh(tls.clone(), live, metrics, self.stop_admin.clone()));
        Ok(Some(tls))
    }

    /// Fetches from upstream what players want, and passes on to it what is published here.
    fn join_upstream(&self, live: &Live, metrics: &Arc<Metrics>, node: &str) -> Result<Arc<PullContext>, StartError> {
        let config = live.current();
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let context = PullContext::new(
            live.clone(),
            names,
            Arc::clone(metrics),
            node.to_owned(),
            cluster_key(&config),
            self.stop_connections.clone(),
        );
        context.load_authorities()?;
        let context = Arc::new(context.entering(self.sessions.clone()).telling(self.hooks.clone()));
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
        self.hub.ask_before_publishing(Arc::new(Forwarder::new(Arc::clone(&context), self.hub.downgrade(), spawn)));
        Ok(context)
    }

    /// Has names granted by the other origins, and finds streams there.
    fn join_cluster(&self, live: &Live, metrics: &Arc<Metrics>, node: &str) -> Result<Cluster, StartError> {
        let config = live.current();
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let unbound = SocketAddr::from(([0, 0, 0, 0], RTMP_PORT));
        let settings = ClusterSettings {
            config: live.clone(),
            node: node.to_owned(),
            key: cluster_key(&config),
            rtmp: self.address(Service::Rtmp).unwrap_or(unbound),
            http: self.address(Service::Http),
        };
        let cluster = Cluster::new(settings, Arc::clone(metrics));
        self.hub.ask_before_publishing(Arc::new(cluster.clone()));
        self.cluster.spawn(cluster.clone().run(names, self.stop_cluster.clone()));
        Ok(cluster)
    }
}

/// Those that are asked about clients. A process has one name and, each time that it starts, another id.
fn start_hooks(live: &Live, metrics: &Arc<Metrics>, node: &str) -> Result<Hooks, StartError> {
    let names = Names::new(&live.current().dns.nameservers, Arc::clone(metrics))?;
    let service = Identity::random().to_string();
    Ok(Hooks::new(live.clone(), Arc::clone(metrics), names, node.to_owned(), service)?)
}

/// Binds what is configured; nothing is accepted yet.
fn bind(config: &Config) -> Result<Vec<(Service, ListenAddress, TcpListener)>, BindError> {
    let each: [(Service, &[ListenAddress]); 6] = [
        (Service::Rtmp, &config.rtmp.listen),
        (Service::Rtmps, &config.rtmp.tls_listen),
        (Service::Http, &config.http.listen),
        (Service::Https, &config.http.tls_listen),
        (Service::Admin, &config.admin.listen),
        (Service::AdminTls, &config.admin.tls_listen),
    ];
    let mut bound = Vec::new();
    for (service, addresses) in each {
        for address in addresses {
            bound.push((service, *address, listener::bind(*address)?));
        }
    }
    Ok(bound)
}

/// Where the system has bound what.
fn addresses(bound: &[(Service, ListenAddress, TcpListener)]) -> io::Result<Vec<(Service, SocketAddr)>> {
    bound.iter().map(|(service, _, listener)| Ok((*service, listener.local_addr()?))).collect()
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
