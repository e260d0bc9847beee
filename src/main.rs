//! The command line: reads arguments and configuration, starts a role, waits for a signal.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use rillcast::config::{self, Config, ConfigError, Log, LogFormat, Role};
use rillcast::demo::{self, RtmpUrl};

use rillcast::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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
        /// Where to: rtmp://host[:port]/app/stream
        url: RtmpUrl,
    },
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
        Command::Origin(sources) => serve(load(Role::Origin, &sources)?),
        Command::Edge(sources) => serve(load(Role::Edge, &sources)?),
        Command::Demo => {
            start_log(&Log { level: "warn".to_owned(), ..Log::default() })?;
            control_runtime()?.block_on(async { demo::run(stop_signal()?).await })
        }
        Command::Publish { demo: _, url } => {
            start_log(&Log::default())?;
            control_runtime()?.block_on(async {
                let stop = stop_signal()?;
                let started = || demo::say(&format!("publishing to {url}; Ctrl-C stops"));
                tokio::select! {
                    () = stop => Ok(()),
                    ended = demo::publish(&url, started) => ended,
                }
            })
        }
    }
}

fn load(role: Role, sources: &Sources) -> Result<Config, ConfigError> {
    let environment = std::env::vars_os()
        .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    config::load(role, &sources.config, environment)
}

fn serve(config: Config) -> anyhow::Result<()> {
    start_log(&config.log)?;
    control_runtime()?.block_on(async {
        let stop = stop_signal()?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), role = %config.role, "starting");
        let server = Server::start(config).await?;
        stop.await;
        tracing::info!("stopping");
        let again = stop_signal()?;
        tokio::select! {
            () = server.stop() => {}
            () = again => tracing::warn!("stopping at once"),
        }
        Ok(())
    })
}

/// The runtime of everything that is not media: accepting, the admin port, signals.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Completes at the first SIGTERM or SIGINT after this call.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
