//! A server: one role, put together.
//!
//! The only place that knows all layers. It binds, starts shards, hands accepted sockets to them, joins hub and pull, and
//! takes everything down in order. It holds no logic of its own about media.

mod doors;
mod draining;
mod packaging;
mod recording;
mod shards;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminContext, Health};
use crate::auth::{ClusterKey, Verifier};
use crate::cluster::{Cluster, ClusterSettings};
use crate::config::{Config, ListenAddress, Live, MergeWindow, OnConflict, Percentage, RTMP_PORT, Role};
use crate::drain::Drain;
use crate::hls::{Library, OriginLibrary};
use crate::hooks::{self, Hooks};
use crate::hub::{self, Hub, Identity, OnSession, RingLimits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::metrics::Metrics;
use crate::net::admission::Admission;
use crate::net::dns::{Names, SetUpError};
use crate::net::listener::{self, BindError};
use crate::pull::{Forwarder, HlsRelay, PullContext, Puller, SpawnOnShard};
use crate::serve::ServeContext;
use crate::serve::marks::Marks;

use doors::{Doors, Gate};
use draining::Draining;
use shards::Shards;

/// How long connections have to end when the server stops: together with the admin port's, less than the five seconds
/// that lie between `drain.hard_timeout` and the killing of the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long connections of the admin port have.
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);
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
    drain: Drain,
    /// Cancelled when a drain has come to the end of the process.
    drained: CancellationToken,
    shards: Arc<Shards>,
    /// Connections of clients, and pulls.
    connections: TaskTracker,
    /// The one task that owns the listeners.
    draining: TaskTracker,
    cluster: TaskTracker,
    /// Told of what ends, too.
    hooks: Hooks,
    /// What an origin packages.
    hls: Option<OriginLibrary>,
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
        let bound = bind(&config)?;
        let live = Live::new(config);
        let config = live.current();
        let node = node_id(&config);
        let metrics = Arc::new(Metrics::new());
        let hooks = start_hooks(&live, &metrics, &node)?;
        let (shards, dispatchers) = Shards::start(shards::count()).map_err(StartError::Shard)?;
        let settings_from = Arc::clone(&config);
        let settings = Box::new(move |key: &StreamKey| stream_settings(&settings_from, key));
        let hub = Hub::new(settings, config.limits.ring_bytes as u64, Arc::clone(&metrics), dispatchers);
        hub.limit(player_limits(&config));
        let shards = Arc::new(shards);
        let (connections, stop_connections) = (TaskTracker::new(), CancellationToken::new());
        let (weak, stop) = (hub.downgrade(), stop_connections.clone());
        let hls = packaging::library(&config, weak, &metrics, &hooks, &shards, &connections, stop)
            .map_err(StartError::Hls)?;
        let stop = stop_connections.clone();
        let recorder = recording::recorder(&config, &metrics, &hooks, &shards, &connections, stop)
            .map_err(StartError::Recorder)?;
        let packages = hls.iter().map(|library| Arc::new(library.clone()) as Arc<dyn OnSession>);
        let records = recorder.iter().map(|recorder| Arc::new(recorder.clone()) as Arc<dyn OnSession>);
        hub.tell_of_sessions(packages.chain(records).collect());
        let server = Self {
            addresses: addresses(&bound).map_err(StartError::Address)?,
            hub: hub.clone(),
            health: Arc::default(),
            drain: Drain::new(draining::times(&config.drain)),
            drained: CancellationToken::new(),
            shards,
            connections,
            hooks: hooks.clone(),
            hls,
            cluster: TaskTracker::new(),
            draining: TaskTracker::new(),
            admin: TaskTracker::new(),
            stop_accepting: CancellationToken::new(),
            stop_connections,
            stop_cluster: CancellationToken::new(),
            stop_admin: CancellationToken::new(),
        };
        let relay = match config.role {
            Role::Origin => None,
            Role::Edge => {
                let upstream = server.join_upstream(&config, &metrics, &node)?;
                config.has_hls().then(|| HlsRelay::new(upstream, config.hls().cache_bytes as u64))
            }
        };
        let packaged = server.hls.clone().map(|library| Arc::new(library) as Arc<dyn Library>);
        let relayed = relay.clone().map(|relay| Arc::new(relay) as Arc<dyn Library>);
        let cluster =
            if config.cluster.peers.is_empty() { None } else { Some(server.join_cluster(&config, &metrics, &node)?) };
        let context = Arc::new(ServeContext {
            hub: hub.clone(),
            config: live,
            metrics: Arc::clone(&metrics),
            node: node.clone(),
            marks: Marks::new(Verifier::new(cluster_key(&config)), Arc::clone(&metrics)),
            cluster,
            hls: packaged.or(relayed),
            hooks: hooks.clone(),
            drain: server.drain.clone(),
            stop: server.stop_connections.clone(),
        });
        let limits = &config.limits;
        let admission = Arc::new(Admission::new(limits.max_connections, limits.max_connections_per_address));
        let admin = Arc::new(AdminContext {
            hub,
            metrics,
            health: Arc::clone(&server.health),
            drain: server.drain.clone(),
            admission: Arc::clone(&admission),
            unready_at: limits.unready_at.map(Percentage::fraction),
            recordings: recorder.map(|recorder| recorder.library().clone()),
            node,
        });
        let is_limited = limits.max_egress.is_some();
        server.admin.spawn(upkeep::run(server.hub.clone(), relay, is_limited, server.stop_admin.clone()));
        server.listen(bound, context, admission, &admin).map_err(StartError::Address)?;
        server.health.ready();
        Ok(server)
    }

    /// Serves what was bound.
    fn listen(
        &self,
        bound: Vec<(Service, ListenAddress, TcpListener)>,
        context: Arc<ServeContext>,
        admission: Arc<Admission>,
        admin: &Arc<AdminContext>,
    ) -> io::Result<()> {
        let (admins, clients): (Vec<_>, Vec<_>) =
            bound.into_iter().partition(|(service, ..)| *service == Service::Admin);
        let shards = Arc::clone(&self.shards);
        let gate = Gate { context, admission, shards, connections: self.connections.clone() };
        let draining = Draining {
            drain: self.drain.clone(),
            doors: Doors::new(gate, clients)?,
            hub: self.hub.clone(),
            health: Arc::clone(&self.health),
            finished: self.drained.clone(),
        };
        self.draining.spawn(draining.run(self.stop_accepting.clone()));
        for (_, _, listener) in admins {
            self.admin.spawn(admin::serve(listener, Arc::clone(admin), self.stop_admin.clone()));
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
        self.connections.close();
        let deadline = Instant::now() + STOP_TIMEOUT;
        if timeout(STOP_TIMEOUT, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections were cut off");
        }
        if let Some(hls) = &self.hls {
            hls.stop(HLS_STOP_TIMEOUT).await;
        }
        // What has ended is told in the time that connections have left over.
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
        drop(self.hub);
        match Arc::try_unwrap(self.shards) {
            Ok(shards) => shards.stop(),
            // A task that was cut off still holds them; the process is about to end.
            Err(shards) => drop(shards),
        }
        tracing::info!("stopped");
    }

    /// Fetches from upstream what players want, and passes on to it what is published here.
    fn join_upstream(
        &self,
        config: &Config,
        metrics: &Arc<Metrics>,
        node: &str,
    ) -> Result<Arc<PullContext>, StartError> {
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let context = PullContext::new(
            config.upstream.clone(),
            names,
            Arc::clone(metrics),
            node.to_owned(),
            cluster_key(config),
            config.rtmp.chunk_size,
            self.stop_connections.clone(),
        );
        let context = Arc::new(context.telling(self.hooks.clone()));
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
    fn join_cluster(&self, config: &Arc<Config>, metrics: &Arc<Metrics>, node: &str) -> Result<Cluster, StartError> {
        let names = Names::new(&config.dns.nameservers, Arc::clone(metrics))?;
        let unbound = SocketAddr::from(([0, 0, 0, 0], RTMP_PORT));
        let settings = ClusterSettings {
            config: Arc::clone(config),
            node: node.to_owned(),
            key: cluster_key(config),
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
    let each: [(Service, &[ListenAddress]); 3] = [
        (Service::Rtmp, &config.rtmp.listen),
        (Service::Http, &config.http.listen),
        (Service::Admin, &config.admin.listen),
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

fn player_limits(config: &Config) -> hub::Limits {
    let limits = &config.limits;
    hub::Limits { players: (limits.max_players != 0).then_some(limits.max_players), egress: limits.max_egress }
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
