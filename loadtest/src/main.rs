//! The load tester: publishers and players on one machine, and what a server takes to serve them.
//!
//! [`publish`] and [`play`] drive a server, [`floor`] is none, [`compare`] runs them all in turns, [`plan`] counts pods,
//! [`mod@report`] shows what was found. Everything is bounded in count and time.
#![forbid(unsafe_code)]

mod arguments;
mod clock;
mod compare;
mod floor;
mod hls;
mod limits;
mod media;
mod plan;
mod play;
mod progress;
mod publish;
mod report;
mod target;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser as _;

use arguments::{
    Arguments, Command, CompareArguments, FloorArguments, LoadArguments, OutputArguments, PaceArguments, PlanArguments,
    PlayArguments, PublishArguments,
};
use compare::server::Server;
use compare::{CaseName, Comparison, verdict};
use floor::Floor;
use hls::Watch;
use media::synthetic;
use plan::Demand;
use play::Play;
use progress::Progress;
use publish::Publish;
use report::load::Load;
use report::machine::Machine;
use report::table::{self, Table, number};
use report::{Case, Report, html};
use target::Protocol;

/// Seconds of a stream that a Rillcast edge holds: ten of queue, two of GOP.
const RING_SECONDS: f64 = 12.0;

fn main() -> ExitCode {
    limits::raise();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rillcast-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Publish(arguments) => publish_streams(arguments),
        Command::Play(arguments) => play_streams(&arguments),
        Command::Floor(arguments) => measure_floor(&arguments),
        Command::Compare(arguments) => compare_servers(&arguments),
        Command::Plan(arguments) => plan_cluster(&arguments),
        Command::FloorServer { address, bitrate, window, duration } => {
            floor::run(&Floor { address, script: synthetic::script(bitrate), window, duration })
        }
        Command::Guard { program, arguments } => Err(compare::child::guard(&program, &arguments)),
    }
}

fn publish_streams(arguments: PublishArguments) -> anyhow::Result<()> {
    let PublishArguments { url, streams, bitrate, file, duration, allow_remote, json } = arguments;
    ensure!(url.protocol == Protocol::Rtmp, "publishing goes over RTMP");
    let script = match file {
        Some(file) => media::file::script(&file)?,
        None => synthetic::script(bitrate),
    };
    let rate = script.bits_per_second();
    let address = url.resolve(allow_remote.as_deref())?;
    let publish = Publish { target: url, address, streams: streams.into(), script, duration };
    let published = publish::run(&publish, &Progress::new(""))?;
    println!(
        "published {} of {streams} streams of {} Mbit/s to the end: {} messages, {} Gbit; sent late by {} ms (p50), {} ms (p99), {} ms (max)",
        published.streams,
        number(rate * 1e-6),
        published.messages,
        number(published.gigabits),
        number(published.lateness.p50),
        number(published.lateness.p99),
        number(published.lateness.max),
    );
    write(json.as_deref(), || Ok(serde_json::to_string_pretty(&published)?))
}

fn play_streams(arguments: &PlayArguments) -> anyhow::Result<()> {
    ensure!(
        arguments.hls == (arguments.url.protocol == Protocol::Hls),
        "--hls is for URLs that end with .m3u8, and they for it"
    );
    if arguments.hls {
        return watch_streams(arguments);
    }
    let PlayArguments { url, players, streams, stalled, pace, start_timeout, pid, allow_remote, output, .. } =
        arguments;
    let play = Play {
        address: url.resolve(allow_remote.as_deref())?,
        target: url.clone(),
        streams: usize::from(*streams),
        players: *players as usize,
        sample: (pace.sample as usize).min(players.saturating_sub(*stalled) as usize),
        stalled: *stalled as usize,
        ramp: pace.ramp,
        settle: pace.settle,
        duration: pace.duration,
        start_timeout: *start_timeout,
        threads: pace.threads.into(),
        pid: *pid,
    };
    ensure!(play.stalled <= play.players, "there are not so many players to stall");
    let mut report = report(format!("{players} players over {}", url.protocol));
    let run = play::run(&play, &Progress::new(""))?;
    let server_is_gone = run.ended_early;
    report.notes.extend(run.failures.iter().map(|failure| format!("a player said: {failure}")));
    let load = Load { players: play.players, streams: play.streams, stalled: play.stalled };
    report.cases.push(Case::new(url.authority(), url.protocol, load, vec![run]));
    finish(&report, &[], output)?;
    ensure!(!server_is_gone, "every player was dropped before the time was over");
    Ok(())
}

fn watch_streams(arguments: &PlayArguments) -> anyhow::Result<()> {
    let watch = Watch {
        address: arguments.url.resolve(arguments.allow_remote.as_deref())?,
        target: arguments.url.clone(),
        streams: usize::from(arguments.streams),
        viewers: arguments.players as usize,
        connections: arguments.connections.min(arguments.players) as usize,
        ramp: arguments.pace.ramp,
        duration: arguments.pace.duration,
        pid: arguments.pid,
        origin: arguments.origin_metrics,
    };
    ensure!(watch.origin.is_none_or(|origin| origin.ip().is_loopback()), "--origin-metrics is for this machine");
    let watched = hls::run(&watch, &Progress::new(""))?;
    for line in watched.lines() {
        println!("{line}");
    }
    write(arguments.output.json.as_deref(), || Ok(serde_json::to_string_pretty(&watched)?))?;
    ensure!(watched.started == watched.viewers, "{} viewers got no segment", watched.viewers - watched.started);
    ensure!(watched.failed_requests == 0, "{} requests failed", watched.failed_requests);
    ensure!(!watched.origin_was_asked_twice(), "the origin was asked for a segment more than once");
    Ok(())
}

fn measure_floor(arguments: &FloorArguments) -> anyhow::Result<()> {
    let window = |window: &u16| Server::Floor(Duration::from_millis((*window).into()));
    let cases = arguments.window.iter().map(|one| CaseName { server: window(one), protocol: Protocol::HttpFlv });
    let comparison = comparison(&arguments.load, cases.collect(), &[1], PathBuf::new(), PathBuf::new())?;
    let mut report = report("The floor: what the kernel alone takes".to_owned());
    (report.cases, report.notes) = compare::run(&comparison)?;
    finish(&report, &[], &arguments.load.output)
}

fn compare_servers(arguments: &CompareArguments) -> anyhow::Result<()> {
    let CompareArguments { cases, streams, load, rillcast, node_modules } = arguments;
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("rillcast"));
    let rillcast = rillcast.clone().map_or_else(beside, std::path::absolute)?;
    let node_modules = std::path::absolute(node_modules)?;
    let comparison = comparison(load, cases.clone(), streams, rillcast, node_modules)?;
    let rate = number(load.bitrate as f64 * 1e-6);
    let cores = if load.one_core { ", one core each" } else { "" };
    let streams = counted_streams(streams);
    let mut report = report(format!("Servers side by side: {streams} of {rate} Mbit/s{cores}"));
    (report.cases, report.notes) = compare::run(&comparison)?;
    report.notes.extend(verdict::warnings(&report.cases));
    let (ratios, targets) = (verdict::ratios(&report.cases), verdict::targets(&report.cases));
    finish(&report, &[("Ratios", &ratios), ("Targets", &targets)], &load.output)
}

fn counted_streams(numbers: &[u16]) -> String {
    match (numbers.iter().min(), numbers.iter().max()) {
        (Some(1), Some(1)) => "one stream".to_owned(),
        (Some(fewest), Some(most)) if fewest < most => format!("{fewest} to {most} streams"),
        (_, most) => format!("{} streams", most.copied().unwrap_or(0)),
    }
}

fn comparison(
    load: &LoadArguments,
    cases: Vec<CaseName>,
    streams: &[u16],
    rillcast: PathBuf,
    node_modules: PathBuf,
) -> anyhow::Result<Comparison> {
    let LoadArguments { players, bitrate, stalled, one_core, rounds, pace, .. } = load;
    let PaceArguments { ramp, settle, duration, sample, threads } = pace;
    let load = |streams: u16, players: u32, stalled: u32| Load {
        players: players as usize,
        streams: streams.into(),
        stalled: stalled as usize,
    };
    let mut loads = Vec::new();
    for (streams, players) in streams.iter().flat_map(|streams| players.iter().map(move |players| (streams, players))) {
        loads.extend(stalled.iter().map(|stalled| load(*streams, *players, *stalled)));
    }
    for load in &loads {
        limits::check(load.players)?;
        ensure!(load.stalled <= load.players, "there are not {} players to stall", load.stalled);
    }
    Ok(Comparison {
        cases,
        loads,
        bitrate: *bitrate,
        rounds: (*rounds).into(),
        one_core: *one_core,
        sample: *sample as usize,
        ramp: *ramp,
        settle: *settle,
        duration: *duration,
        threads: (*threads).into(),
        rillcast,
        node_modules,
    })
}

fn plan_cluster(arguments: &PlanArguments) -> anyhow::Result<()> {
    let measured = arguments.from.as_deref().map(read_measured).transpose()?;
    let cost = arguments.cpu_ms_per_gigabit.or(measured.map(|measured| measured.0));
    let kilobytes = arguments.kilobytes_per_player.or(measured.and_then(|measured| measured.1));
    let demand = Demand {
        streams: arguments.streams,
        bitrate: arguments.bitrate as f64,
        cpu_ms_per_gigabit: cost.context("measure first: --from FILE, or --cpu-ms-per-gigabit")?,
        ingest_factor: arguments.ingest_factor,
        cores: arguments.cores,
        utilisation: f64::from(arguments.utilisation) / 100.0,
        network: arguments.network * 1e9,
        connections: arguments.connections,
        bytes_per_player: kilobytes.context("measure first: --from FILE, or --kilobytes-per-player")? * 1024.0,
        ring_seconds: RING_SECONDS,
        zipf: arguments.zipf,
    };
    println!(
        "{} streams of {} Mbit/s; pods of {} cores and {} Gbit/s, used to {} %; {} ms CPU per Gbit\n",
        table::grouped(demand.streams),
        number(demand.bitrate * 1e-6),
        demand.cores,
        arguments.network,
        arguments.utilisation,
        number(demand.cpu_ms_per_gigabit)
    );
    print!("{}", demand.table(&arguments.viewers).render());
    Ok(())
}

/// The cost, and the kilobytes for each player, of the first case that is an edge, else of the first that has a cost.
fn read_measured(path: &Path) -> anyhow::Result<(f64, Option<f64>)> {
    let context = || format!("cannot use {}", path.display());
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).with_context(context)?).with_context(context)?;
    let cases = report.get("cases").and_then(serde_json::Value::as_array).with_context(context)?;
    let median = |case: &serde_json::Value, name: &str| {
        let runs = case.get("runs")?.as_array()?;
        let mut values: Vec<f64> = runs.iter().filter_map(|run| run.get(name)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let measured: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let is_edge = case.get("name")?.as_str()?.starts_with("edge");
            let kilobytes = median(case, "resident_per_player").map(|bytes| bytes / 1024.0);
            Some((is_edge, (median(case, "cpu_ms_per_gigabit")?, kilobytes)))
        })
        .collect();
    let best = measured.iter().find(|(is_edge, _)| *is_edge).or(measured.first());
    best.map(|(_, measured)| *measured).with_context(|| format!("{} has no CPU figures", path.display()))
}

fn report(title: String) -> Report {
    let command: Vec<String> = std::env::args().skip(1).collect();
    Report {
        title,
        command: format!("rillcast-loadtest {}", command.join(" ")),
        began: clock::unix_nanoseconds() / 1_000_000_000,
        machine: Machine::here(),
        cases: Vec::new(),
        notes: Vec::new(),
    }
}

/// Prints the tables and writes the files that are wanted.
fn finish(report: &Report, tables: &[(&str, &Table)], output: &OutputArguments) -> anyhow::Result<()> {
    let Machine { processor, cores, kernel, load } = &report.machine;
    println!("{}\n{processor}, {cores} cores, Linux {kernel}, load {load:.1} before\n", report.title);
    println!("{}", table::of(report).render());
    for (_, table) in tables.iter().filter(|(_, table)| table.rows().len() > 1) {
        println!("{}", table.render());
    }
    for note in &report.notes {
        println!("{note}");
    }
    let shown: Vec<_> = tables.iter().filter(|(_, table)| table.rows().len() > 1).copied().collect();
    write(output.json.as_deref(), || Ok(serde_json::to_string_pretty(report)?))?;
    write(output.html.as_deref(), || Ok(html::page(report, &shown)))
}

fn write(path: Option<&Path>, content: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, content()?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
