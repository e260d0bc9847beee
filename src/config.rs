//! What the process was told to do: files and environment, read, checked as a whole, and typed.
//!
//! Owns every setting, its default, and what is said about a wrong one. The command line loads a [`Config`] before
//! anything binds, and the server loads another from the same [`Sources`] when they change; all other layers are handed the
//! parts they need, or ask [`Live`] for what is in force. A configuration never changes after loading, and this layer never
//! resolves, binds or reads the process's environment by itself.

mod apps;
mod authorities;
mod certificate;
mod check;
mod credentials;
mod difference;
mod duration;
mod environment;
mod explanation;
mod exposure;
mod files;
mod fingerprint;
mod form;
mod hls_path;
mod hook_url;
mod latency;
mod layer;
mod listen;
mod live;
mod mistake;
mod nameserver;
mod network;
mod overlay;
mod pattern;
mod percentage;
mod provenance;
mod public_key;
mod rate;
mod ratio;
mod recording_path;
mod secret;
mod secret_file;
mod section;
mod sections;
mod size;
mod source;
mod sources;
mod suggest;
mod text;
mod upstream;
mod web_host;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use apps::AppRule;
use layer::Layer;

pub use authorities::{AuthoritiesError, add_authorities, load_authorities};
pub use certificate::{CertificateError, CertificatePair, LoadedCertificate};
pub use credentials::{Credentials, CredentialsError, Password};
pub use difference::AppSettings;
pub use duration::{DurationError, MAX_DURATION, format_duration, parse_duration};
pub use explanation::{Explanation, explain};
pub use exposure::{Exposure, exposures};
pub use files::Stamp;
pub use fingerprint::Fingerprints;
pub use form::Shape;
pub use hls_path::{HlsPath, HlsPathError, HlsPathPart, PlaylistPath, SegmentPath};
pub use hook_url::HookUrl;
pub use latency::{MAX_MERGE_WINDOW, MergeWindow, MergeWindowError};
pub use listen::{ListenAddress, ListenAddressError};
pub use live::Live;
pub use mistake::{ConfigError, Mistake};
pub use network::{Network, NetworkError};
pub use overlay::{OVERLAY_SOURCE, Overlay, OverlayFormat};
pub use pattern::AppPattern;
pub use percentage::Percentage;
pub use provenance::{DEFAULT, Place, Provenance};
pub use public_key::PublicKey;
pub use rate::{RateError, format_rate, parse_rate};
pub use ratio::Ratio;
pub use recording_path::{PathPart, RecordingPath, RecordingPathError, TimeField};
pub use secret::Secret;
pub use secret_file::{FileError, read_secret};
pub use section::{Key, Schema, Setting};
pub use sections::{
    Admin, AdminPatch, Auth, AuthPatch, Cluster, ClusterPatch, Dns, DnsPatch, Drain, DrainPatch, Dvr, DvrFormat,
    DvrPatch, DvrPlan, Hls, HlsFormat, HlsPatch, HookFailure, Hooks, HooksPatch, Http, HttpPatch, Limits, LimitsPatch,
    Log, LogFormat, LogPatch, Net, NetPatch, Node, NodePatch, OnConflict, Play, PlayPatch, Publish, PublishPatch, Rtmp,
    RtmpPatch, SCHEMAS, Tls, TlsPatch, Upstream, UpstreamPatch, UpstreamProtocol,
};
pub use size::{SizeError, format_size, parse_size};
pub use sources::{Attempt, Loaded, Sources};
pub use upstream::{OriginAddress, OriginAddressError, RTMP_PORT};
pub use web_host::HostPattern;

/// What the process is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes publishers in.
    Origin,
    /// Serves players with streams that it pulls from origins.
    Edge,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Origin => "origin",
            Self::Edge => "edge",
        })
    }
}

/// A complete and consistent configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The role it was loaded for.
    pub role: Role,
    /// Who this process is.
    pub node: Node,
    /// The log.
    pub log: Log,
    /// The RTMP server.
    pub rtmp: Rtmp,
    /// The HTTP server for players.
    pub http: Http,
    /// The HTTP server for operators.
    pub admin: Admin,
    /// What stands between this process and its clients.
    pub net: Net,
    /// What listeners of TLS present.
    pub tls: Tls,
    /// Where an edge pulls its streams from.
    pub upstream: Upstream,
    /// What makes the processes of one cluster know each other.
    pub cluster: Cluster,
    /// How names are resolved.
    pub dns: Dns,
    /// How the process takes leave of its clients.
    pub drain: Drain,
    /// What the process as a whole may take.
    pub limits: Limits,
    play: Play,
    publish: Publish,
    hls: Hls,
    dvr: Dvr,
    auth: Auth,
    hooks: Hooks,
    apps: Vec<AppRule>,
}

/// Loads the configuration of a role.
///
/// `paths` are TOML files, or directories whose `*.toml` are taken by name; of two files the later wins, key by key, and
/// their `[[apps]]` follow each other. `environment` is the process's: variables `RILLCAST_SECTION__KEY` win over all
/// files. No path and empty files are fine. Files that hold secrets (`<key>_file`) are read here, too.
///
/// # Errors
///
/// Every mistake in every source, at once; then nothing of the configuration is usable.
pub fn load(
    role: Role,
    paths: &[PathBuf],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    Sources::new(role, paths, environment).load(None).into_config()
}

/// Does what [`load`] does with one file called `name` that holds `text`, and with nothing else.
///
/// # Errors
///
/// As [`load`] has them.
pub fn load_text(role: Role, name: &str, text: &str) -> Result<Config, ConfigError> {
    sources::load_text(role, name, text)
}

/// What [`load`] would read, in its order: the files that `paths` stand for, then the variables that are settings. Of
/// what cannot be read nothing is told: loading does that.
pub fn sources(paths: &[PathBuf], environment: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let files = source::files(paths, &mut Vec::new()).into_iter().map(|path| path.display().to_string());
    files.chain(environment::names(environment)).collect()
}

impl Config {
    /// What holds where nothing is set. At an edge that is not yet enough: it has no origins.
    pub fn defaults(role: Role) -> Self {
        Self {
            role,
            node: Node::default(),
            log: Log::default(),
            rtmp: Rtmp::default(),
            http: Http::default(),
            admin: Admin::default(),
            net: Net::default(),
            tls: Tls::default(),
            upstream: Upstream::default(),
            cluster: Cluster::default(),
            dns: Dns::default(),
            drain: Drain::default(),
            limits: Limits::default(),
            play: Play::default(),
            publish: Publish { enabled: role == Role::Origin, ..Publish::default() },
            hls: Hls::default(),
            dvr: Dvr::default(),
            auth: Auth::default(),
            hooks: Hooks::default(),
            apps: Vec::new(),
        }
    }

    /// Whether an address is that of a proxy that is believed who its clients are.
    pub fn trusts_proxy(&self, address: IpAddr) -> bool {
        self.net.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// How players of an app's streams are served.
    pub fn play_for(&self, app: &str) -> Play {
        let mut play = self.play.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            play.apply(&rule.play);
        }
        // Entries are checked one by one; two together may still cross.
        play.hard_lag = play.hard_lag.max(play.queue_length);
        play
    }

    /// How publishers of an app's streams are taken in.
    pub fn publish_for(&self, app: &str) -> Publish {
        let mut publish = self.publish.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            publish.apply(&rule.publish);
        }
        publish
    }

    /// How an app's streams become HLS.
    pub fn hls_for(&self, app: &str) -> Hls {
        let mut hls = self.hls.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            hls.apply(&rule.hls);
        }
        // Entries are checked one by one; two together may still cross.
        hls.window = hls.window.max(hls.fragment * 3);
        hls.aof_ratio = hls.aof_ratio.max(hls.td_ratio);
        hls
    }

    /// Whether any stream may be had as HLS.
    pub fn has_hls(&self) -> bool {
        self.hls.enabled || self.apps.iter().any(|rule| rule.hls.enabled == Some(true))
    }

    /// HLS where no app's settings say otherwise, and what holds for the process as a whole.
    pub const fn hls(&self) -> &Hls {
        &self.hls
    }

    /// How an app's streams are recorded.
    pub fn dvr_for(&self, app: &str) -> Dvr {
        let mut dvr = self.dvr.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            dvr.apply(&rule.dvr);
        }
        dvr
    }

    /// Who may publish and play an app's streams.
    pub fn auth_for(&self, app: &str) -> Auth {
        let mut auth = self.auth.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            auth.apply(&rule.auth);
        }
        auth
    }

    /// Who is asked and told about an app's clients.
    pub fn hooks_for(&self, app: &str) -> Hooks {
        let mut hooks = self.hooks.clone();
        for rule in self.apps.iter().filter(|rule| rule.pattern.matches(app)) {
            hooks.apply(&rule.hooks);
        }
        hooks
    }

    /// How streams are recorded where no app's settings say otherwise.
    pub const fn dvr(&self) -> &Dvr {
        &self.dvr
    }

    /// Every path that recordings may go to, with a format that they may have there.
    pub fn recording_paths(&self) -> Vec<(RecordingPath, DvrFormat)> {
        let paths: Vec<_> = self.each_dvr(|dvr| &dvr.path, |patch| patch.path.as_ref());
        let formats: Vec<_> = self.each_dvr(|dvr| &dvr.format, |patch| patch.format.as_ref());
        paths.iter().flat_map(|path| formats.iter().map(|format| (path.clone(), *format))).collect()
    }

    /// Every value that a key of `[dvr]` has anywhere.
    fn each_dvr<T: Clone>(&self, of: impl Fn(&Dvr) -> &T, of_patch: impl Fn(&DvrPatch) -> Option<&T>) -> Vec<T> {
        let others = self.apps.iter().filter_map(|rule| of_patch(&rule.dvr));
        std::iter::once(of(&self.dvr)).chain(others).cloned().collect()
    }

    /// Whether any stream may be recorded.
    pub fn records_anything(&self) -> bool {
        self.dvr.enabled || self.apps.iter().any(|rule| rule.dvr.enabled == Some(true))
    }

    /// Every key of every section with the value in force, in the order of [`SCHEMAS`]; `[[apps]]` are not among them,
    /// and secrets are masked.
    pub fn settings(&self) -> Vec<Setting> {
        [
            self.node.settings(),
            self.log.settings(),
            self.rtmp.settings(),
            self.http.settings(),
            self.admin.settings(),
            self.net.settings(),
            self.tls.settings(),
            self.play.settings(),
            self.publish.settings(),
            self.upstream.settings(),
            self.cluster.settings(),
            self.dns.settings(),
            self.drain.settings(),
            self.limits.settings(),
            self.hls.settings(),
            self.dvr.settings(),
            self.auth.settings(),
            self.hooks.settings(),
        ]
        .concat()
    }

    fn read(&mut self, tree: &Layer, complete: bool, mistakes: &mut Vec<Mistake>) {
        macro_rules! read_sections {
            ($($field:ident: $patch:ident,)+) => {
                $(if let Some(value) = tree.sections.get(stringify!($field)) {
                    self.$field.apply(&$patch::read(value, stringify!($field), mistakes));
                })+
            };
        }
        read_sections! {
            node: NodePatch,
            log: LogPatch,
            rtmp: RtmpPatch,
            http: HttpPatch,
            admin: AdminPatch,
            net: NetPatch,
            tls: TlsPatch,
            play: PlayPatch,
            publish: PublishPatch,
            upstream: UpstreamPatch,
            cluster: ClusterPatch,
            dns: DnsPatch,
            drain: DrainPatch,
            limits: LimitsPatch,
            hls: HlsPatch,
            dvr: DvrPatch,
            auth: AuthPatch,
            hooks: HooksPatch,
        }
        check::sections(self, tree, complete, mistakes);
        for entry in &tree.apps {
            if let Some(rule) = entry.read(mistakes) {
                check::app(self, entry, &rule, mistakes);
                self.apps.push(rule);
            }
        }
    }
}

#[cfg(test)]
mod tests;
