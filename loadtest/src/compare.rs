//! Servers side by side: every case in every round, so that a machine that changes its mind changes it for all.

pub(crate) mod child;
pub(crate) mod server;
pub(crate) mod verdict;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::play::{self, Play};
use crate::progress::Progress;
use crate::report::load::Load;
use crate::report::{Case, Run};
use crate::target::Protocol;

use server::{Running, Server};

/// What to compare, under which load.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    /// The cases, in the order in which they are run.
    pub(crate) cases: Vec<CaseName>,
    /// What each case is run with.
    pub(crate) loads: Vec<Load>,
    /// Bits a second of each stream.
    pub(crate) bitrate: u64,
    /// How often everything is run.
    pub(crate) rounds: usize,
    /// Whether servers have one core each, and so our own one shard.
    pub(crate) one_core: bool,
    /// Players that parse.
    pub(crate) sample: usize,
    /// New players a second.
    pub(crate) ramp: u32,
    /// From the last player's start to the measurement.
    pub(crate) settle: Duration,
    /// How long each run is measured.
    pub(crate) duration: Duration,
    /// Threads that drain.
    pub(crate) threads: usize,
    /// Our server.
    pub(crate) rillcast: PathBuf,
    /// Where npm put Node-Media-Server.
    pub(crate) node_modules: PathBuf,
}

/// A server and how its players are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaseName {
    /// Which server, set up how.
    pub(crate) server: Server,
    /// What the players speak.
    pub(crate) protocol: Protocol,
}

impl FromStr for CaseName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (server, protocol) =
            text.split_once('/').map_or((text, None), |(server, protocol)| (server, Some(protocol)));
        let server: Server = server.parse()?;
        let protocol = match protocol {
            None => server.protocols().first().copied(),
            Some("rtmp") => Some(Protocol::Rtmp),
            Some("flv") => Some(Protocol::HttpFlv),
            Some("ws") => Some(Protocol::WsFlv),
            Some(other) => bail!("{other:?} is no protocol: rtmp, flv or ws"),
        };
        let served = protocol.filter(|protocol| server.protocols().contains(protocol));
        let protocol = served.with_context(|| format!("{server} does not serve that"))?;
        Ok(Self { server, protocol })
    }
}

/// How long servers and publishers outlive what they are needed for, should this process not end them.
const MARGIN: Duration = Duration::from_secs(60);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs everything. What cannot run is told, and left out.
pub(crate) fn run(comparison: &Comparison) -> anyhow::Result<(Vec<Case>, Vec<String>)> {
    let cases = &comparison.cases;
    let steps: Vec<(&CaseName, Load)> =
        comparison.loads.iter().flat_map(|load| cases.iter().map(move |case| (case, *load))).collect();
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); steps.len()];
    let mut notes = Vec::new();
    for round in 1..=comparison.rounds {
        for (number, ((case, load), runs)) in steps.iter().zip(&mut runs).enumerate() {
            let CaseName { server, protocol } = case;
            let step = format!("{round}/{} {}/{} {server} {protocol}", comparison.rounds, number + 1, steps.len());
            match run_case(comparison, case, *load, &Progress::new(step)) {
                Ok(run) => runs.push(run),
                Err(error) => note(&mut notes, format!("{server} {protocol}, {load}: {error:#}")),
            }
        }
    }
    let measured = steps.into_iter().zip(runs).filter(|(_, runs)| !runs.is_empty());
    let cases: Vec<Case> =
        measured.map(|((case, load), runs)| Case::new(case.server.to_string(), case.protocol, load, runs)).collect();
    if cases.is_empty() {
        bail!("nothing could be measured:\n{}", notes.join("\n"));
    }
    Ok((cases, notes))
}

fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        eprintln!("{text}");
        notes.push(text);
    }
}

fn run_case(comparison: &Comparison, case: &CaseName, load: Load, progress: &Progress) -> anyhow::Result<Run> {
    let Load { players, streams, stalled } = load;
    progress.begin("starting", 0);
    let ramp = Duration::from_secs_f64(players as f64 / f64::from(comparison.ramp.max(1)));
    let life = 2 * START_TIMEOUT + ramp + comparison.settle + comparison.duration + MARGIN;
    let running = Running::start(comparison, &case.server, load, life)?;
    let target = running.target(case.protocol)?;
    let mut play = Play {
        address: target.resolve(None)?,
        target,
        streams,
        players,
        sample: comparison.sample.clamp(1, players),
        stalled: stalled.min(players),
        ramp: comparison.ramp,
        settle: comparison.settle,
        duration: comparison.duration,
        start_timeout: START_TIMEOUT,
        threads: comparison.threads,
        pid: None,
    };
    play::wait_until_playable(&play, START_TIMEOUT)?;
    play.pid = Some(running.pid());
    play::run(&play, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_named_by_server_setting_and_protocol() {
        let name = |text: &str| {
            let case: CaseName = text.parse().unwrap();
            (case.server.to_string(), case.protocol)
        };
        assert_eq!(name("edge-350"), ("edge-350".to_owned(), Protocol::Rtmp));
        assert_eq!(name("edge/flv"), ("edge-auto".to_owned(), Protocol::HttpFlv));
        assert_eq!(name("origin-0/ws"), ("origin-0".to_owned(), Protocol::WsFlv));
        assert_eq!(name("floor-100"), ("floor-100".to_owned(), Protocol::HttpFlv));
        assert!("nginx-rtmp/flv".parse::<CaseName>().is_err());
        assert!("apache".parse::<CaseName>().is_err());
        assert!("edge-fast".parse::<CaseName>().is_err());
    }
}
