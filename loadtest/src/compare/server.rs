//! The servers that are compared, each started afresh for each run, with a publisher beside it.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::child::{Guarded, ONE_CORE, free_address};
use super::{Comparison, START_TIMEOUT};
use crate::report::load::Load;
use crate::target::{Protocol, Target};

/// A server and its setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// Ours, published to directly.
    Origin(MergeWindow),
    /// Ours, behind an origin.
    Edge(MergeWindow),
    /// No server.
    Floor(Duration),
    /// nginx with its RTMP module.
    Nginx,
    /// npm's node-media-server.
    NodeMedia,
}

/// `mw_latency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeWindow {
    Auto,
    Fixed(Duration),
}

impl fmt::Display for MergeWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Fixed(window) => write!(formatter, "{}", window.as_millis()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(window) => write!(formatter, "origin-{window}"),
            Self::Edge(window) => write!(formatter, "edge-{window}"),
            Self::Floor(window) => write!(formatter, "floor-{}", window.as_millis()),
            Self::Nginx => formatter.write_str("nginx-rtmp"),
            Self::NodeMedia => formatter.write_str("node-media-server"),
        }
    }
}

impl FromStr for Server {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, setting) = match text {
            "nginx-rtmp" => return Ok(Self::Nginx),
            "node-media-server" => return Ok(Self::NodeMedia),
            _ => text.split_once('-').unwrap_or((text, "")),
        };
        let milliseconds = || setting.parse().map(Duration::from_millis).ok();
        let window = match setting {
            "" | "auto" => Some(MergeWindow::Auto),
            _ => milliseconds().map(MergeWindow::Fixed),
        };
        let server = match name {
            "origin" => window.map(Self::Origin),
            "edge" => window.map(Self::Edge),
            "floor" => milliseconds().map(Self::Floor),
            _ => None,
        };
        server.with_context(|| {
            format!(
                "{text:?} is no server: origin-MS, origin-auto, edge-MS, edge-auto, floor-MS, nginx-rtmp or \
                 node-media-server"
            )
        })
    }
}

impl Server {
    /// What it serves players with; the first is the usual one.
    pub(crate) const fn protocols(&self) -> &'static [Protocol] {
        match self {
            Self::Origin(_) | Self::Edge(_) => &[Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv],
            Self::Floor(_) => &[Protocol::HttpFlv],
            Self::Nginx => &[Protocol::Rtmp],
            Self::NodeMedia => &[Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv],
        }
    }
}

const NGINX: &str = "/usr/sbin/nginx";
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
const PACKAGE: &str = "node-media-server";

/// A server that runs, and what it needs. Fields are dropped in this order: publishers go before their servers.
pub(crate) struct Running {
    _publisher: Option<Guarded>,
    server: Guarded,
    _origin: Option<Guarded>,
    ports: Ports,
    _directory: TempDir,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    rtmp: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        Ok(Self { rtmp: free_address()?, http: free_address()?, admin: free_address()? })
    }
}

impl Running {
    /// Starts `server` for `load`, and whatever publishes to it; nothing of it lives longer than `life`, if it is ours.
    pub(crate) fn start(comparison: &Comparison, server: &Server, load: Load, life: Duration) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let ports = Ports::free()?;
        let (origin, server) = match server {
            Server::Floor(window) => {
                let floor = start_floor(comparison, *window, ports.http, life, at)?;
                return Ok(Self { _publisher: None, server: floor, _origin: None, ports, _directory: directory });
            }
            Server::Origin(window) => (None, start_rillcast(comparison, "origin", *window, None, ports, at)?),
            Server::Edge(window) => {
                let behind = Ports::free()?;
                let origin =
                    start_rillcast(comparison, "origin", MergeWindow::Fixed(Duration::ZERO), None, behind, at)?;
                let edge = start_rillcast(comparison, "edge", *window, Some(behind.rtmp), ports, at)?;
                (Some((origin, behind.rtmp)), edge)
            }
            Server::Nginx => (None, start_nginx(comparison, load, ports, at)?),
            Server::NodeMedia => (None, start_node_media_server(comparison, ports, at)?),
        };
        let publish_to = origin.as_ref().map_or(ports.rtmp, |(_, address)| *address);
        let publisher = start_publisher(comparison, load.streams, publish_to, life, at)?;
        let origin = origin.map(|(origin, _)| origin);
        Ok(Self { _publisher: Some(publisher), server, _origin: origin, ports, _directory: directory })
    }

    /// The process that serves the players.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where players find the stream.
    pub(crate) fn target(&self, protocol: Protocol) -> anyhow::Result<Target> {
        let Ports { rtmp, http, .. } = self.ports;
        match protocol {
            Protocol::Rtmp => format!("rtmp://{rtmp}/live/x").parse(),
            Protocol::HttpFlv => format!("http://{http}/live/x.flv").parse(),
            Protocol::WsFlv => format!("ws://{http}/live/x.flv").parse(),
            Protocol::Hls => format!("http://{http}/live/x.m3u8").parse(),
        }
    }
}

/// What tells a server how many cores it has.
fn cores(comparison: &Comparison) -> Vec<(&'static str, String)> {
    if comparison.one_core { vec![(ONE_CORE, "1".to_owned())] } else { Vec::new() }
}

fn ourselves() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program's path")
}

fn start_floor(
    comparison: &Comparison,
    window: Duration,
    address: SocketAddr,
    life: Duration,
    at: &Path,
) -> anyhow::Result<Guarded> {
    let arguments = [
        "floor-server".to_owned(),
        address.to_string(),
        format!("--bitrate={}", comparison.bitrate),
        format!("--window={}ms", window.as_millis()),
        format!("--duration={}s", life.as_secs()),
    ];
    let mut floor = Guarded::start("floor", &ourselves()?, arguments, &cores(comparison), at)?;
    floor.wait_for(address, START_TIMEOUT)?;
    Ok(floor)
}

fn start_publisher(
    comparison: &Comparison,
    streams: usize,
    to: SocketAddr,
    life: Duration,
    at: &Path,
) -> anyhow::Result<Guarded> {
    let arguments = [
        "publish".to_owned(),
        format!("rtmp://{to}/live/x"),
        format!("--streams={streams}"),
        format!("--bitrate={}", comparison.bitrate),
        format!("--duration={}s", life.as_secs()),
    ];
    Guarded::start("publisher", &ourselves()?, arguments, &[], at)
}

fn start_rillcast(
    comparison: &Comparison,
    role: &'static str,
    window: MergeWindow,
    origin: Option<SocketAddr>,
    ports: Ports,
    at: &Path,
) -> anyhow::Result<Guarded> {
    let latency = match window {
        MergeWindow::Auto => "auto".to_owned(),
        MergeWindow::Fixed(window) => format!("{}ms", window.as_millis()),
    };
    let mut environment = vec![
        ("RILLCAST_RTMP__LISTEN", ports.rtmp.to_string()),
        ("RILLCAST_HTTP__LISTEN", ports.http.to_string()),
        ("RILLCAST_ADMIN__LISTEN", ports.admin.to_string()),
        ("RILLCAST_PLAY__MW_LATENCY", latency),
        ("RILLCAST_LOG__LEVEL", "warn".to_owned()),
    ];
    environment.extend(cores(comparison));
    environment.extend(origin.map(|origin| ("RILLCAST_UPSTREAM__ORIGINS", origin.to_string())));
    let program = &comparison.rillcast;
    ensure!(program.exists(), "{} is missing: build it, or say --rillcast PATH", program.display());
    let mut server = Guarded::start(role, program, [role], &environment, at)?;
    server.wait_for(ports.rtmp, START_TIMEOUT)?;
    Ok(server)
}

/// As Debian ships it, with one process so that its CPU is one process's.
fn start_nginx(comparison: &Comparison, load: Load, ports: Ports, at: &Path) -> anyhow::Result<Guarded> {
    ensure!(
        Path::new(NGINX).exists() && Path::new(NGINX_MODULE).exists(),
        "nginx with its RTMP module is not installed"
    );
    // Each stream has a publisher, and at first a player that waits for it.
    let connections = load.players + 2 * load.streams + 64;
    let (directory, rtmp) = (at.display(), ports.rtmp);
    let config = format!(
        "load_module {NGINX_MODULE};\ndaemon off;\nmaster_process off;\npid {directory}/nginx.pid;\n\
         error_log stderr warn;\nevents {{ worker_connections {connections}; }}\n\
         rtmp {{ access_log off; server {{ listen {rtmp}; application live {{ live on; }} }} }}\n"
    );
    let file = at.join("nginx.conf");
    fs::write(&file, config)?;
    let prefix = format!("{directory}/");
    let arguments = ["-e", "stderr", "-p", prefix.as_str(), "-c", "nginx.conf"];
    let mut server = Guarded::start("nginx", Path::new(NGINX), arguments, &cores(comparison), at)?;
    server.wait_for(rtmp, START_TIMEOUT)?;
    Ok(server)
}

fn start_node_media_server(comparison: &Comparison, ports: Ports, at: &Path) -> anyhow::Result<Guarded> {
    let package = comparison.node_modules.join(PACKAGE);
    if !package.exists() {
        bail!("{} is missing: make compare installs it", package.display());
    }
    let package = fs::canonicalize(package)?;
    let config = json!({
        "bind": ports.rtmp.ip().to_string(),
        "rtmp": { "port": ports.rtmp.port() },
        "http": { "port": ports.http.port() },
        "store": { "path": at },
    });
    let script = format!("new (require({}))(JSON.parse(process.argv[1])).run()", json!(package));
    let node = Path::new("/usr/bin/env");
    let arguments = ["node", "-e", script.as_str(), &config.to_string()].map(str::to_owned);
    let mut server = Guarded::start(PACKAGE, node, arguments, &cores(comparison), at)?;
    server.wait_for(ports.rtmp, START_TIMEOUT)?;
    server.wait_for(ports.http, START_TIMEOUT)?;
    Ok(server)
}
