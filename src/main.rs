//! The command line: reads arguments and configuration, starts a role, waits for a signal.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rillcast::auth::Action;
use rillcast::config::{self, Config, ConfigError, Log, Network, Role, Secret};
use rillcast::demo::{self, RtmpUrl};
use rillcast::drain::Purpose;
use rillcast::logging::start as start_log;
use rillcast::probe::{self, ProbeUrl, Watch};
use rillcast::server::{Server, too_few_files};
use rillcast::sign::SignTarget;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A live streaming server for clusters.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take publishers in, and serve players and edges.
    Origin(Sources),
    /// Serve players with streams that are pulled from origins.
    Edge(Sources),
    /// Run an origin, an edge and a publisher in one process, and print what to play.
    Demo,
    /// Publish to an RTMP server.
    Publish {
        /// Loop the clip that ships with the program: what there is to publish.
        #[arg(long, required = true)]
        demo: bool,
        /// For how long: without it until Ctrl-C, or until the server ends it.
        #[arg(long)]
        seconds: Option<u64>,
        /// The file with the certificates of authorities that rtmps:// is believed of, instead of the system's.
        #[arg(long)]
        ca_file: Option<PathBuf>,
        /// Publish again whenever the server or the connection ends it, with a line each time; give up, with exit code 1, when
        /// that does not succeed for so many seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        reconnect: Option<u64>,
        /// Where to: rtmp://host[:port]/app/stream, or rtmps://
        url: RtmpUrl,
    },
    /// Play some seconds, and say whether media flows: exit code 0 if it does, 1 with the reason if not.
    Probe {
        /// What to play: rtmp://host[:port]/app/stream or http://host[:port]/app/stream.flv, or rtmps:// or https://
        url: ProbeUrl,
        /// The file with the certificates of authorities that rtmps:// and https:// are believed of, instead of the system's.
        #[arg(long)]
        ca_file: Option<PathBuf>,
        /// For how long, from the first picture or sound on.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
        /// How many seconds to keep trying while the server or the stream is not there.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
        wait: u64,
        /// Play again whenever the server sends the player away, the connection breaks or media stops, with a line each time, until
        /// the time is up or a signal comes; give up, with exit code 1, when media is missing for so many seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        reconnect: Option<u64>,
    },
    /// Read a configuration as a server would at its start, and say what is wrong with it, or else what is set by which file
    /// or variable, and what is open to whom: exit code 0 if it is valid, 78 if not.
    Check {
        /// The role that it is for.
        #[arg(long, value_enum)]
        role: CheckedRole,
        #[command(flatten)]
        sources: Sources,
    },
    /// Make a URL that lets whoever has it play or publish one stream, for a time.
    Sign(SignArguments),
}

#[derive(Debug, Args)]
struct SignArguments {
    /// rtmp://host/app/stream, http://host/app/stream.flv or .m3u8; of app/stream only the parameters are made.
    target: SignTarget,
    /// What the URL is for.
    #[arg(long, value_enum, default_value_t = SignedAction::Play)]
    action: SignedAction,
    /// For how long it is good: "90s", "10m", "1h", "7d".
    #[arg(long, default_value = "1h", value_parser = config::parse_duration)]
    valid_for: Duration,
    /// The second since 1970 (UTC) at which it ends instead.
    #[arg(long, conflicts_with = "valid_for")]
    expires: Option<u64>,
    /// The address or network that it is for, such as 192.0.2.7 or 2001:db8::/64; by default any.
    #[arg(long)]
    client: Option<Network>,
    /// A file that holds the key, as auth.play_key_file and auth.publish_key_file do.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

/// What a signed URL may be for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SignedAction {
    Play,
    Publish,
}

impl From<SignedAction> for Action {
    fn from(action: SignedAction) -> Self {
        match action {
            SignedAction::Play => Self::Play,
            SignedAction::Publish => Self::Publish,
        }
    }
}

/// The roles that have a configuration.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CheckedRole {
    Origin,
    Edge,
}

impl From<CheckedRole> for Role {
    fn from(role: CheckedRole) -> Self {
        match role {
            CheckedRole::Origin => Self::Origin,
            CheckedRole::Edge => Self::Edge,
        }
    }
}

#[derive(Debug, Args)]
struct Sources {
    /// A configuration file, or a directory whose *.toml are read in name order; may be given several times, the later
    /// wins. Environment variables RILLCAST_SECTION__KEY win over all files.
    #[arg(short, long = "config", value_name = "FILE_OR_DIR")]
    config: Vec<PathBuf>,
}

/// The configuration cannot be used (EX_CONFIG of sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// How long threads that read files have to end when everything else has.
const LAST_THREADS_TIMEOUT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast::<ConfigError>() {
            Ok(mistakes) => {
                eprintln!("{mistakes}");
                ExitCode::from(EXIT_CONFIG)
            }
            Err(error) => {
                eprintln!("rillcast: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Origin(sources) => serve(Role::Origin, &sources),
        Command::Edge(sources) => serve(Role::Edge, &sources),
        Command::Demo => {
            drop(start_log(&Log { level: "warn".to_owned(), ..Log::default() })?);
            on_control_runtime(async {
                let mut signals = Signals::listen()?;
                let stop = async move {
                    signals.next().await;
                };
                demo::run(stop).await
            })
        }
        Command::Publish { demo: _, seconds, ca_file, reconnect, url } => {
            drop(start_log(&Log::default())?);
            on_control_runtime(async {
                let mut signals = Signals::listen()?;
                tokio::select! {
                    _ = signals.next() => Ok(()),
                    () = time_is_up(seconds) => Ok(()),
                    ended = publish(&url, ca_file.as_deref(), reconnect) => ended,
                }
            })
        }
        Command::Probe { url, ca_file, seconds, wait, reconnect: Some(patience) } => {
            drop(start_log(&Log { level: "error".to_owned(), ..Log::default() })?);
            let [duration, wait, patience] = [seconds, wait, patience].map(Duration::from_secs);
            let watch = Watch { url: &url, ca_file: ca_file.as_deref(), duration, wait, patience };
            let watched = on_control_runtime(async {
                let mut signals = Signals::listen()?;
                let stop = async move {
                    signals.next().await;
                };
                watch.run(stop, |event| demo::say(&event.to_string())).await.with_context(|| url.to_string())
            })?;
            demo::say(&watched.to_string());
            Ok(())
        }
        Command::Probe { url, ca_file, seconds, wait, reconnect: None } => {
            drop(start_log(&Log { level: "error".to_owned(), ..Log::default() })?);
            let (duration, wait) = (Duration::from_secs(seconds), Duration::from_secs(wait));
            let played = probe::play_when_there(&url, ca_file.as_deref(), duration, wait);
            let seen = on_control_runtime(async { played.await.with_context(|| url.to_string()) })?;
            demo::say(&seen.to_string());
            Ok(())
        }
        Command::Check { role, sources } => check(role.into(), &sources),
        Command::Sign(arguments) => sign(&arguments),
    }
}

/// Publishes the clip once, or again and again with so many seconds for each new beginning.
async fn publish(url: &RtmpUrl, ca_file: Option<&Path>, reconnect: Option<u64>) -> anyhow::Result<()> {
    let started = || demo::say(&format!("publishing to {url}; Ctrl-C stops"));
    let lost = |error: &anyhow::Error| demo::say(&format!("lost: {error:#}"));
    match reconnect.map(Duration::from_secs) {
        Some(patience) => demo::publish_again(url, ca_file, patience, started, lost).await,
        None => demo::publish(url, ca_file, started).await,
    }
}

/// Completes after so many seconds; never without a number.
async fn time_is_up(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn check(role: Role, sources: &Sources) -> anyhow::Result<()> {
    for source in config::sources(&sources.config, environment()) {
        demo::say(&format!("read {source}"));
    }
    let explanation = config::explain(role, &sources.config, environment())?;
    demo::say(explanation.to_string().trim_end());
    if let Some(warning) = too_few_files(&load(role, sources)?) {
        demo::say(&warning);
    }
    demo::say(&format!("this is a valid configuration of an {role}"));
    Ok(())
}

fn sign(arguments: &SignArguments) -> anyhow::Result<()> {
    let action = Action::from(arguments.action);
    let key = match &arguments.key_file {
        Some(file) => config::read_secret(file).with_context(|| file.display().to_string())?,
        None => key_in(&arguments.sources, action, &arguments.target)?,
    };
    let from_now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|now| (now + arguments.valid_for).as_secs());
    let expires = match arguments.expires {
        Some(expires) => expires,
        None => from_now().context("the clock is before 1970")?,
    };
    demo::say(&arguments.target.signed(&key, action, expires, arguments.client));
    Ok(())
}

/// The key that the servers of a configuration, be it an origin's or an edge's, have for the stream.
fn key_in(sources: &Sources, action: Action, target: &SignTarget) -> anyhow::Result<Secret> {
    let config = load(Role::Origin, sources).or_else(|of_origin| load(Role::Edge, sources).map_err(|_| of_origin))?;
    let auth = config.auth_for(target.key().app());
    let (key, name) = match action {
        Action::Publish => (auth.publish_key, "publish_key"),
        Action::Play => (auth.play_key, "play_key"),
    };
    key.with_context(|| {
        format!("auth.{name} is not set: name the servers' configuration by -c, or the key by --key-file")
    })
}

fn load(role: Role, sources: &Sources) -> Result<Config, ConfigError> {
    config::load(role, &sources.config, environment())
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn serve(role: Role, sources: &Sources) -> anyhow::Result<()> {
    let sources = config::Sources::new(role, &sources.config, environment());
    let loaded = sources.load(None).result?;
    let log_level = start_log(&loaded.config.log)?;
    on_control_runtime(async {
        let mut signals = Signals::listen()?;
        // From here on it no longer ends the process.
        let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %role, "starting");
        let server = Server::start(sources, loaded, Some(log_level)).await?;
        tokio::select! {
            () = until_stopped(&server, &mut signals) => {}
            () = reload_at(hangups, &server) => {}
        }
        tracing::info!("stopping");
        tokio::select! {
            () = server.stop() => {}
            _ = signals.next() => tracing::warn!("stopping at once"),
        }
        Ok(())
    })
}

/// Loads the configuration again at each SIGHUP, and never completes.
async fn reload_at(mut hangups: Signal, server: &Server) {
    while hangups.recv().await.is_some() {
        // What is wrong has been said.
        let _ = server.reload("SIGHUP").await;
    }
    std::future::pending().await
}

/// Completes when the server is to be stopped: it has drained, or there was a signal that does not wait for that.
async fn until_stopped(server: &Server, signals: &mut Signals) {
    tokio::select! {
        () = server.drained() => return,
        signal = signals.next() => if signal == SignalKind::interrupt() { return },
    }
    server.drain().begin(Purpose::Terminate);
    tokio::select! {
        () = server.drained() => {}
        _ = signals.next() => {}
    }
}

/// Runs what is not media on a runtime of its own: accepting, the admin port, signals.
fn on_control_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(work);
    // A thread that waits for a file system which does not answer ends with the process.
    runtime.shutdown_timeout(LAST_THREADS_TIMEOUT);
    done
}

/// SIGTERM and SIGINT, which no longer end the process by themselves.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    /// The next of them.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
