//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::compare::CaseName;
use crate::target::Target;

/// Measures what a live streaming server costs for each player, and how late its pictures are.
///
/// All load stays on this machine unless another host is named, is bounded in count and time, and stops by itself.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish synthetic streams, or a FLV file, each message with a stamp.
    Publish(PublishArguments),
    /// Play streams with many players, and measure.
    Play(PlayArguments),
    /// Measure what the kernel alone takes: the same bytes from one buffer, with no server around.
    Floor(FloorArguments),
    /// Measure servers side by side, in turns, at equal load.
    Compare(CompareArguments),
    /// From what was measured to what a cluster needs.
    Plan(PlanArguments),
    /// The sending side of `floor`.
    #[command(hide = true)]
    FloorServer {
        address: SocketAddr,
        #[arg(long, value_parser = bitrate)]
        bitrate: u64,
        #[arg(long, value_parser = duration)]
        window: Duration,
        #[arg(long, value_parser = duration)]
        duration: Duration,
    },
    /// Runs a program that ends with whoever started it.
    #[command(hide = true)]
    Guard {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// Where to: rtmp://HOST:PORT/APP/STREAM; of several streams each has a number behind its name
    pub(crate) url: Target,
    /// How many streams
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) streams: u16,
    /// Bits a second of each stream, such as 500k or 2M
    #[arg(long, default_value = "2M", value_parser = bitrate)]
    pub(crate) bitrate: u64,
    /// A FLV file to loop instead
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// How long
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Another host than this one that may be loaded
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_remote: Option<String>,
    /// Where to write what was published as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlayArguments {
    /// What to play: rtmp://HOST:PORT/APP/STREAM, or http:// or ws:// with .flv behind it, or http:// with .m3u8 for --hls;
    /// of several streams each has a number behind its name
    pub(crate) url: Target,
    /// Watch playlists and segments, as players of HLS do
    #[arg(long)]
    pub(crate) hls: bool,
    /// How many connections the viewers of HLS share
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// The admin port of the origin behind an edge, on this machine: fails if it was asked for an HLS segment twice
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) origin_metrics: Option<SocketAddr>,
    /// How many players
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) players: u32,
    /// Over how many streams they are spread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) streams: u16,
    /// How many of them stop reading once they have started
    #[arg(long, default_value_t = 0)]
    pub(crate) stalled: u32,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    /// How long a player may take to its first frame
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) start_timeout: Duration,
    /// The server's process, for its CPU time and memory
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Another host than this one that may be loaded
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_remote: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PaceArguments {
    /// New players a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) ramp: u32,
    /// How long to wait after the last player has started
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) settle: Duration,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How many players parse what they get; the others only drain
    #[arg(long, default_value_t = 16)]
    pub(crate) sample: u32,
    /// How many threads drain
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// Where to write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where to write a page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FloorArguments {
    /// What is sent together, in milliseconds; 0 sends every message on its own
    #[arg(long, value_delimiter = ',', default_value = "0,100,350", value_parser = clap::value_parser!(u16).range(0..=2_000))]
    pub(crate) window: Vec<u16>,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// How many players; several numbers make a sweep
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) players: Vec<u32>,
    /// Bits a second of each stream, such as 500k or 2M
    #[arg(long, default_value = "2M", value_parser = bitrate)]
    pub(crate) bitrate: u64,
    /// How many of the players stop reading once they have started; several numbers make a sweep
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub(crate) stalled: Vec<u32>,
    /// Gives each server a single core
    #[arg(long)]
    pub(crate) one_core: bool,
    /// How often everything is run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// origin-MS, edge-MS (milliseconds of mw_latency, or auto), floor-MS, nginx-rtmp, node-media-server; with /rtmp, /flv
    /// or /ws behind it
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "floor-0,floor-100,floor-350,edge-0,edge-350,edge-auto,edge-0/flv,edge-350/flv,edge-auto/flv,\
                         origin-auto,nginx-rtmp,node-media-server,node-media-server/flv"
    )]
    pub(crate) cases: Vec<CaseName>,
    /// Over how many streams players are spread; several numbers make a sweep
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) streams: Vec<u16>,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Our server; by default the one beside this program
    #[arg(long, value_name = "PATH")]
    pub(crate) rillcast: Option<PathBuf>,
    /// Where npm put node-media-server
    #[arg(long, value_name = "PATH", default_value = "target/tools/node_modules")]
    pub(crate) node_modules: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// How many viewers at once; a row for each number
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) viewers: Vec<u64>,
    /// How many live streams
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) streams: u64,
    /// Bits a second of each stream
    #[arg(long, default_value = "2M", value_parser = bitrate)]
    pub(crate) bitrate: u64,
    /// What compare or play wrote with --json: the cost and the memory of its first edge are taken from there
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// CPU milliseconds of an edge for each gigabit that it delivers
    #[arg(long, value_parser = positive)]
    pub(crate) cpu_ms_per_gigabit: Option<f64>,
    /// Kilobytes of memory for each player
    #[arg(long, value_parser = positive)]
    pub(crate) kilobytes_per_player: Option<f64>,
    /// How many times more a gigabit costs that comes in than one that goes out
    #[arg(long, default_value = "4", value_parser = positive)]
    pub(crate) ingest_factor: f64,
    /// Cores of a pod
    #[arg(long, default_value = "4", value_parser = positive)]
    pub(crate) cores: f64,
    /// Gigabits a second of a pod's network
    #[arg(long, default_value = "10", value_parser = positive)]
    pub(crate) network: f64,
    /// The share of cores and network to use, in per cent: real networks cost more than loopback
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) utilisation: u8,
    /// Connections of a pod
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connections: u64,
    /// Whether few streams have most of the viewers (Zipf's law), or all have equally many
    #[arg(long)]
    pub(crate) zipf: bool,
}

/// The longest that anything runs.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3_600);
const MAX_BITRATE: f64 = 1e9;
/// Stamps and the least valid media take about so much.
const MIN_BITRATE: f64 = 100e3;

/// `"350ms"`, `"10s"`, `"5m"`, `"1h"`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a duration is a whole number and ms, s, m or h, such as 10s".to_owned()),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let duration = milliseconds.map(Duration::from_millis).filter(|duration| *duration <= MAX_DURATION);
    duration.ok_or_else(|| "at most 24h".to_owned())
}

/// `"500k"`, `"2M"`, `"1.5M"`, bits a second.
pub(crate) fn bitrate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    let bits = number.parse::<f64>().map(|number| number * factor).ok();
    let bits = bits.filter(|bits| (MIN_BITRATE..=MAX_BITRATE).contains(bits));
    bits.map(|bits| bits as u64)
        .ok_or_else(|| "a bitrate is a number such as 500k or 2M, from 100k to 1000M".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above zero".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_and_bitrates_have_units_and_bounds() {
        assert_eq!(duration("350ms"), Ok(Duration::from_millis(350)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("10").is_err() && duration("25h").is_err() && duration("s").is_err());
        assert_eq!(bitrate("500k"), Ok(500_000));
        assert_eq!(bitrate("1.5M"), Ok(1_500_000));
        assert!(bitrate("1").is_err() && bitrate("2G").is_err() && bitrate("NaN").is_err());
    }
}
