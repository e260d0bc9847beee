//! Every section and key there is, with its type, its bounds and its default.
//!
//! Owns the list. The rest of the crate takes its settings from these structs; `conf/*.toml` explain the same keys to
//! users, and a test holds the two together. What must hold between keys is checked in `check`.

mod auth;
mod hooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::certificate::{CertificatePair, Pair};
use super::credentials::{Credentials, LoginAndPassword};
use super::duration::Span;
use super::form::{List, Optional, Switch, Whole, Written, choice};
use super::hls_path::{Directory, PlaylistPath, SegmentPath};
use super::latency::MergeWindow;
use super::listen::ListenAddress;
use super::nameserver::Nameserver;
use super::network::Network;
use super::percentage::Percentage;
use super::rate::Rate;
use super::ratio::{Ratio, Times};
use super::recording_path::RecordingPath;
use super::secret::{Hidden, Secret, SecretFile};
use super::section::{Schema, section};
use super::size::Size;
use super::text::{HostName, LogFilter, NodeName, Text, WebOrigin};
use super::upstream::OriginAddress;

pub use auth::{Auth, AuthPatch};
pub use hooks::{HookFailure, Hooks, HooksPatch};

const MEBIBYTE: usize = 1 << 20;

/// The schemas of all sections, in the order in which mistakes in them are reported.
pub const SCHEMAS: [Schema; 18] = [
    Node::SCHEMA,
    Log::SCHEMA,
    Rtmp::SCHEMA,
    Http::SCHEMA,
    Admin::SCHEMA,
    Net::SCHEMA,
    Tls::SCHEMA,
    Play::SCHEMA,
    Publish::SCHEMA,
    Upstream::SCHEMA,
    Cluster::SCHEMA,
    Dns::SCHEMA,
    Drain::SCHEMA,
    Limits::SCHEMA,
    Hls::SCHEMA,
    Dvr::SCHEMA,
    Auth::SCHEMA,
    Hooks::SCHEMA,
];

/// At least one address to listen on.
type Listen = List<Written<ListenAddress>, 1>;

section! {
    /// Who this process is.
    "node" Node NodePatch {
        /// The name shown in logs, in the API and to other nodes; the host's name if unset.
        name: Option<String> as Optional<Text<NodeName>> = None,
        /// How the other servers reach this origin over RTMP: a name or an address, and a port; as found among the peers
        /// if unset.
        address: Option<OriginAddress> as Optional<Written<OriginAddress>> = None,
    }
}

choice! {
    /// How a line of the log is laid out.
    LogFormat, "\"text\" or \"json\"" {
        /// For reading.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// The log.
    "log" Log LogPatch {
        /// What is logged: a level, or directives of `tracing_subscriber::EnvFilter`.
        level: String as Text<LogFilter> = "info".to_owned(),
        /// How it is laid out.
        format: LogFormat as Written<LogFormat> = LogFormat::Text,
    }
}

section! {
    /// The RTMP server.
    "rtmp" Rtmp RtmpPatch {
        /// Where it listens; never empty.
        listen: Vec<ListenAddress> as Listen = vec![ListenAddress::Any(1935)],
        /// Where it listens for RTMP over TLS.
        tls_listen: Vec<ListenAddress> as List<Written<ListenAddress>> = Vec::new(),
        /// The size of outgoing chunks in bytes, 128 to 65,536 (RTMP specification 1.0, section 5.4.1).
        chunk_size: u32 as Whole<128, 65_536> = 60_000,
    }
}

section! {
    /// The HTTP server for players.
    "http" Http HttpPatch {
        /// Where it listens; never empty.
        listen: Vec<ListenAddress> as Listen = vec![ListenAddress::Any(8080)],
        /// Where it listens for HTTP over TLS.
        tls_listen: Vec<ListenAddress> as List<Written<ListenAddress>> = Vec::new(),
        /// The web origins whose pages may play; `*` is every one, none turns cross-origin playing off.
        cors_origins: Vec<String> as List<Text<WebOrigin>> = vec!["*".to_owned()],
    }
}

section! {
    /// The HTTP server for operators.
    "admin" Admin AdminPatch {
        /// Where it listens; never empty.
        listen: Vec<ListenAddress> as Listen = vec![ListenAddress::Any(1985)],
        /// Who may change something over the API; only clients on the same host if unset.
        edit_auth: Option<Credentials> as Optional<LoginAndPassword> = None,
        /// The file that holds `edit_auth` instead.
        edit_auth_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// Who may look at the API, beside who may change something.
        view_auth: Option<Credentials> as Optional<LoginAndPassword> = None,
        /// The file that holds `view_auth` instead.
        view_auth_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// Where it listens for HTTP over TLS.
        tls_listen: Vec<ListenAddress> as List<Written<ListenAddress>> = Vec::new(),
    }
}

section! {
    /// What stands between this process and its clients.
    "net" Net NetPatch {
        /// The proxies that are believed who their clients are.
        trusted_proxies: Vec<Network> as List<Written<Network>> = Vec::new(),
    }
}

section! {
    /// What listeners of TLS present.
    "tls" Tls TlsPatch {
        /// Certificates with their keys; a client that names none of them gets the first. Never empty where there is a
        /// listener.
        certificates: Vec<CertificatePair> as List<Pair> = Vec::new(),
    }
}

section! {
    /// How players are served.
    "play" Play PlayPatch {
        /// Whether a player starts at the newest keyframe instead of at the live end.
        gop_cache: bool as Switch = true,
        /// What a stream keeps of its last group of pictures, in bytes; at least 1.
        gop_max_bytes: usize as Size<1> = 16 * MEBIBYTE,
        /// The same in packets; at least 1.
        gop_max_packets: usize as Whole<1, { u64::MAX }> = 10_000,
        /// The same in time; longer than zero.
        gop_max_duration: Duration as Span<1> = Duration::from_secs(30),
        /// How long media is gathered before it goes out in one write.
        mw_latency: MergeWindow as Written<MergeWindow> = MergeWindow::Auto,
        /// The soft lag: a player further behind jumps to the newest keyframe; longer than zero.
        queue_length: Duration as Span<1> = Duration::from_secs(10),
        /// A player further behind is closed; at least `queue_length`.
        hard_lag: Duration as Span<1> = Duration::from_secs(30),
        /// How long a player of an absent stream is kept waiting; zero is for ever.
        play_wait: Duration as Span = Duration::from_secs(5),
        /// How many times as fast as the stream a player gets what was sent before it came; 0 is all at once.
        join_speed: u32 as Whole<0, 1_000> = 20,
        /// Whether the flags of an FLV header are the tracks that the stream turns out to have.
        guess_has_av: bool as Switch = true,
        /// The audio flag, where it is not guessed.
        has_audio: bool as Switch = true,
        /// The video flag, where it is not guessed.
        has_video: bool as Switch = true,
    }
}

choice! {
    /// What becomes of a second publisher of the same stream.
    OnConflict, "\"reject\" or \"replace\"" {
        /// The second is refused.
        Reject = "reject",
        /// The first is closed.
        Replace = "replace",
    }
}

section! {
    /// How publishers are taken in. The default is that of an origin: an edge takes none unless it is told to.
    "publish" Publish PublishPatch {
        /// Whether publishers are taken at all.
        enabled: bool as Switch = true,
        /// What becomes of a second publisher.
        on_conflict: OnConflict as Written<OnConflict> = OnConflict::Reject,
        /// How long a publisher may take until its first packet; longer than zero.
        firstpkt_timeout: Duration as Span<1> = Duration::from_secs(20),
        /// How long a publisher may then be silent; longer than zero.
        normal_timeout: Duration as Span<1> = Duration::from_secs(5),
        /// How long players are kept for a publisher that is gone; zero ends them with it.
        resume_timeout: Duration as Span = Duration::from_secs(15),
    }
}

choice! {
    /// What an edge pulls with.
    UpstreamProtocol, "\"rtmp\" or \"http-flv\"" {
        /// RTMP.
        Rtmp = "rtmp",
        /// FLV in an HTTP body.
        HttpFlv = "http-flv",
    }
}

section! {
    /// Where an edge pulls its streams from.
    "upstream" Upstream UpstreamPatch {
        /// The origins; never empty at an edge, always empty at an origin.
        origins: Vec<OriginAddress> as List<Written<OriginAddress>> = Vec::new(),
        /// The origins that are pulled from only while none of `origins` answers; always empty at an origin.
        backup_origins: Vec<OriginAddress> as List<Written<OriginAddress>> = Vec::new(),
        /// The edges of its own tier through which an edge pulls; unset at an origin.
        shield: Option<OriginAddress> as Optional<Written<OriginAddress>> = None,
        /// What is spoken with all of them.
        protocol: UpstreamProtocol as Written<UpstreamProtocol> = UpstreamProtocol::Rtmp,
        /// The port of every address over HTTP; the ports of the origins are those of RTMP.
        http_port: u16 as Whole<1, 65_535> = 8080,
        /// Whether all of them are spoken with over TLS, other edges excepted.
        tls: bool as Switch = false,
        /// The port of every address for RTMP over TLS; the ports of the origins if unset.
        rtmps_port: Option<u16> as Optional<Whole<1, 65_535>> = None,
        /// The authorities that are believed; those that the system knows if unset.
        ca_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// Whom all of them have to prove to be; each what it is configured as if unset.
        server_name: Option<String> as Optional<Text<HostName>> = None,
        /// Connects under way at a time to one address; at least 1.
        max_connects: usize as Whole<1, { u64::MAX }> = 16,
        /// How long a pull goes on after its last player; zero ends it with that player.
        linger: Duration as Span = Duration::from_secs(10),
        /// How long players are kept while their stream's upstream is lost; zero ends them with it.
        resume_timeout: Duration as Span = Duration::from_secs(60),
        /// How long connecting to one address may take; longer than zero.
        connect_timeout: Duration as Span<1> = Duration::from_secs(3),
        /// How long an upstream may be silent; longer than zero.
        read_timeout: Duration as Span<1> = Duration::from_secs(5),
    }
}

/// The shortest key of a cluster, in bytes: fewer could be guessed.
const MIN_KEY_BYTES: usize = 16;

section! {
    /// What makes the processes of one cluster know each other.
    "cluster" Cluster ClusterPatch {
        /// What they sign their marks with, the same for all; unsigned if unset.
        key: Option<Secret> as Optional<Hidden<MIN_KEY_BYTES>> = None,
        /// The file that holds `key` instead.
        key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// The origins of the cluster, this one among them, in the form of `upstream.origins`; always empty at an edge.
        peers: Vec<OriginAddress> as List<Written<OriginAddress>> = Vec::new(),
    }
}

section! {
    /// How names are resolved.
    "dns" Dns DnsPatch {
        /// The servers to ask; those of `/etc/resolv.conf` if empty.
        nameservers: Vec<SocketAddr> as List<Nameserver> = Vec::new(),
    }
}

section! {
    /// How the process takes leave of its clients when it is told to end, each time counted from then on.
    "drain" Drain DrainPatch {
        /// For how long connections are still accepted.
        propagation_delay: Duration as Span = Duration::from_secs(10),
        /// When clients begin to be released; at least `propagation_delay`.
        soft_timeout: Duration as Span = Duration::from_secs(15),
        /// Over how long, from then on, their releases are spread.
        window: Duration as Span = Duration::from_secs(60),
        /// When whoever is left is ended; at least `soft_timeout` and `window` together.
        hard_timeout: Duration as Span = Duration::from_secs(90),
    }
}

section! {
    /// What the process as a whole may take.
    "limits" Limits LimitsPatch {
        /// Connections of all protocols together; at least 1.
        max_connections: usize as Whole<1, { u64::MAX }> = 100_000,
        /// Connections from one IP address; 0 is any number.
        max_connections_per_address: usize as Whole<0, { u64::MAX }> = 0,
        /// Connections that have not said yet what they want, at a time; 0 is any number.
        max_handshakes: usize as Whole<0, { u64::MAX }> = 10_000,
        /// Connections that begin in a second; 0 is any number.
        max_handshakes_per_second: usize as Whole<0, { u64::MAX }> = 0,
        /// The head of a request over HTTP, in bytes; at least one kibibyte.
        max_header_bytes: usize as Size<1024> = 16 << 10,
        /// The body of a request over HTTP for a stream, in bytes.
        max_body_bytes: usize as Size<0> = 64 << 10,
        /// What one publisher may send, in bits a second; any if unset.
        publish_bitrate: Option<u64> as Optional<Rate> = None,
        /// Players, pulls by other servers not counted; 0 is any number.
        max_players: usize as Whole<0, { u64::MAX }> = 0,
        /// What is sent over all protocols together, in bits a second, from which on no player is let in; any if unset.
        max_egress: Option<u64> as Optional<Rate> = None,
        /// The share of any of these limits, from which on the process is not ready; never if unset.
        unready_at: Option<Percentage> as Optional<Written<Percentage>> = None,
        /// The media that all streams together hold, in bytes; at least one mebibyte.
        ring_bytes: usize as Size<MEBIBYTE> = 1024 * MEBIBYTE,
    }
}

choice! {
    /// What segments are written as.
    HlsFormat, "\"auto\", \"mpegts\" or \"fmp4\"" {
        /// MPEG-TS where it carries the codecs, else fragmented MP4.
        Auto = "auto",
        /// MPEG-TS, or nothing.
        Mpegts = "mpegts",
        /// Fragmented MP4.
        Fmp4 = "fmp4",
    }
}

choice! {
    /// What recordings are written as.
    DvrFormat, "\"flv\" or \"fmp4\"" {
        /// FLV, whatever the codecs.
        Flv = "flv",
        /// Fragmented MP4.
        Fmp4 = "fmp4",
    }
}

section! {
    /// Streams as playlists and segments.
    "hls" Hls HlsPatch {
        /// Whether there is HLS at all.
        enabled: bool as Switch = true,
        /// Whether a stream is packaged only while somebody asks for it; where a directory is named, always anyway.
        on_demand: bool as Switch = true,
        /// For how long a stream is packaged after somebody has asked for it; at least a second.
        idle: Duration as Span<1000> = Duration::from_secs(60),
        /// What segments are written as.
        format: HlsFormat as Written<HlsFormat> = HlsFormat::Auto,
        /// From which length on a segment ends at the next keyframe; at least half a second.
        fragment: Duration as Span<500> = Duration::from_secs(2),
        /// The length of a playlist; at least three times `fragment`.
        window: Duration as Span<1> = Duration::from_secs(30),
        /// How many times `fragment` the target duration is at least.
        td_ratio: Ratio as Times = Ratio::from_thousandths(1_500),
        /// How many times `fragment` a segment is at most; at least `td_ratio`.
        aof_ratio: Ratio as Times = Ratio::from_thousandths(5_000),
        /// Whether a segment waits for a keyframe to end.
        wait_keyframe: bool as Switch = true,
        /// How long playlist and segments stay when the publisher is gone.
        dispose: Duration as Span = Duration::from_secs(120),
        /// Whether files are removed that no playlist names any more.
        cleanup: bool as Switch = true,
        /// The directory that segments are written to as well; none if unset.
        path: Option<PathBuf> as Optional<Directory> = None,
        /// Where below it playlists are.
        m3u8_file: PlaylistPath as Written<PlaylistPath> = PlaylistPath::beside_streams(),
        /// Where below it segments are.
        ts_file: SegmentPath as Written<SegmentPath> = SegmentPath::below_streams(),
        /// What all segments in memory take together, in bytes; at least one mebibyte.
        memory_bytes: usize as Size<MEBIBYTE> = 512 * MEBIBYTE,
        /// What an edge keeps of segments that it has fetched, in bytes; at least one mebibyte.
        cache_bytes: usize as Size<MEBIBYTE> = 512 * MEBIBYTE,
    }
}

choice! {
    /// Where one recording ends and the next begins.
    DvrPlan, "\"session\" or \"segment\"" {
        /// A recording is a publish session.
        Session = "session",
        /// A session is cut into recordings of about the same length.
        Segment = "segment",
    }
}

section! {
    /// The recordings of an origin.
    "dvr" Dvr DvrPatch {
        /// Whether streams are recorded.
        enabled: bool as Switch = false,
        /// What recordings are written as.
        format: DvrFormat as Written<DvrFormat> = DvrFormat::Flv,
        /// Where one ends and the next begins.
        plan: DvrPlan as Written<DvrPlan> = DvrPlan::Session,
        /// Where they go.
        path: RecordingPath as Written<RecordingPath> = RecordingPath::default(),
        /// How long one is, if sessions are cut; at least a second.
        duration: Duration as Span<1000> = Duration::from_secs(30),
        /// Whether each begins with a keyframe, where there is video.
        wait_keyframe: bool as Switch = true,
        /// How long one is kept after its end, at least a second; for ever if unset.
        retention: Option<Duration> as Optional<Span<1000>> = None,
        /// What all of them may take together, in bytes; the oldest go. Any if unset. For the whole process.
        max_bytes: Option<usize> as Optional<Size<1>> = None,
        /// What is left free of a disk, in bytes: the oldest go, then nothing is recorded. For the whole process.
        min_free: Option<usize> as Optional<Size<1>> = None,
    }
}
