//! Viewers of HLS: each asks for playlists and segments as players do, over a bounded number of connections.
//!
//! Owns the course of such a run and what is counted of it. One thread does all of it, so that what it can drive is known;
//! nothing is decoded. Every request has a deadline, and the run ends with the time it was given.

mod connection;
mod playlist;
mod viewer;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::progress::Progress;
use crate::report::Distribution;
use crate::target::Target;
use crate::usage::CpuMeter;

use connection::Connection;
use viewer::Viewer;

/// Failures that are told in words; all are counted.
const MAX_TOLD: usize = 5;
/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(250);
/// What an origin counts of the segments that it was asked for.
const ORIGIN_SEGMENTS: &str = "rillcast_hls_requests_total{file=\"segment\",result=\"sent\"}";

/// What to load a server with.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) target: Target,
    /// Where to connect.
    pub(crate) address: SocketAddr,
    /// Over how many streams viewers are spread.
    pub(crate) streams: usize,
    pub(crate) viewers: usize,
    /// How many connections they share.
    pub(crate) connections: usize,
    /// New viewers a second.
    pub(crate) ramp: u32,
    /// How long is measured after the last viewer has come.
    pub(crate) duration: Duration,
    /// The server's process, if its CPU time is to be measured.
    pub(crate) pid: Option<u32>,
    /// The admin port of the origin behind an edge, if its requests are to be counted.
    pub(crate) origin: Option<SocketAddr>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Watched {
    pub(crate) viewers: usize,
    /// Viewers that got a segment.
    pub(crate) started: usize,
    pub(crate) seconds: f64,
    pub(crate) playlist_requests: u64,
    pub(crate) segment_requests: u64,
    /// Requests without the answer that was asked for.
    pub(crate) failed_requests: u64,
    pub(crate) failures: Vec<String>,
    /// How often a viewer had nothing left to show, and for how many seconds in all.
    pub(crate) stalls: u64,
    pub(crate) stalled_seconds: f64,
    /// Segments that a viewer was too late for.
    pub(crate) missed_segments: u64,
    /// Different segments that were fetched.
    pub(crate) segments: usize,
    pub(crate) gigabits: f64,
    /// From the end of a segment, as its playlist dates it, until a viewer had it, in milliseconds.
    pub(crate) delay: Distribution,
    /// From asking for a playlist to the first segment, in milliseconds.
    pub(crate) startup: Distribution,
    /// The server's CPU time for each gigabit.
    pub(crate) cpu_ms_per_gigabit: Option<f64>,
    pub(crate) cores: Option<f64>,
    pub(crate) driver_cores: f64,
    /// What the origin was asked for meanwhile, in segments.
    pub(crate) origin_segment_requests: Option<u64>,
}

/// What all viewers count together.
pub(crate) struct Counts {
    measuring: bool,
    started: usize,
    playlist_requests: u64,
    segment_requests: u64,
    failed_requests: u64,
    failures: Vec<String>,
    stalls: u64,
    stalled: Duration,
    missed_segments: u64,
    /// All of the run: the origin is asked for segments before anything is measured, too.
    segments: HashSet<String>,
    bytes: u64,
    delay: Histogram<u64>,
    startup: Histogram<u64>,
}

impl Counts {
    fn new() -> anyhow::Result<Self> {
        // Microseconds up to five minutes.
        let histogram = || Histogram::new_with_bounds(1, 300_000_000, 3).context("histogram");
        Ok(Self {
            measuring: false,
            started: 0,
            playlist_requests: 0,
            segment_requests: 0,
            failed_requests: 0,
            failures: Vec::new(),
            stalls: 0,
            stalled: Duration::ZERO,
            missed_segments: 0,
            segments: HashSet::new(),
            bytes: 0,
            delay: histogram()?,
            startup: histogram()?,
        })
    }

    fn fail(&mut self, what: String) {
        self.failed_requests += 1;
        if self.failures.len() < MAX_TOLD {
            self.failures.push(what);
        }
    }
}

/// Loads the server and measures.
pub(crate) fn run(watch: &Watch, progress: &Progress) -> anyhow::Result<Watched> {
    crate::limits::check(watch.connections)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = LocalSet::new().block_on(&runtime, drive(watch, progress));
    progress.finish();
    watched
}

async fn drive(watch: &Watch, progress: &Progress) -> anyhow::Result<Watched> {
    let counts = Rc::new(RefCell::new(Counts::new()?));
    let asked_before = requests_of_origin(watch).await?;
    let connections: Vec<_> = (0..watch.connections).map(|_| Rc::new(Connection::new(watch.address))).collect();
    let mut viewers = Vec::with_capacity(watch.viewers);
    progress.begin("viewers", watch.viewers as u64);
    let began = Instant::now();
    for index in 0..watch.viewers {
        let due = began + Duration::from_secs_f64(index as f64 / f64::from(watch.ramp.max(1)));
        sleep(due.saturating_duration_since(Instant::now())).await;
        let path = watch.target.path(index % watch.streams, watch.streams);
        let connection = Rc::clone(&connections[index % connections.len()]);
        let viewer = Viewer::new(index, path, watch.target.authority(), connection, Rc::clone(&counts));
        viewers.push(tokio::task::spawn_local(viewer.run()));
        progress.set(index as u64);
    }
    let mut server = watch.pid.map(CpuMeter::new).transpose().context("there is no such process")?;
    let mut driver = CpuMeter::new(std::process::id())?;
    let read = |meter: &mut Option<CpuMeter>| meter.as_mut().and_then(|meter| meter.read().ok());
    let (cpu_before, driver_before, first) = (read(&mut server), driver.read()?, Instant::now());
    let bytes_before = {
        let mut counts = counts.borrow_mut();
        counts.measuring = true;
        counts.bytes
    };
    progress.begin("measuring", watch.duration.as_secs());
    while first.elapsed() < watch.duration {
        sleep(TICK).await;
        progress.set(first.elapsed().as_secs());
        let counts = counts.borrow();
        progress
            .say(format!("{} started  {} failures  {} stalls", counts.started, counts.failed_requests, counts.stalls));
    }
    let seconds = first.elapsed().as_secs_f64();
    let cpu = read(&mut server).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let driver_cores = driver.read()?.saturating_sub(driver_before).as_secs_f64() / seconds;
    viewers.iter().for_each(tokio::task::JoinHandle::abort);
    let asked = requests_of_origin(watch).await?.zip(asked_before).map(|(after, before)| after - before);
    let counts = counts.borrow();
    ensure!(counts.started > 0, "no viewer got a segment: {}", counts.failures.join("; "));
    let gigabits = (counts.bytes - bytes_before) as f64 * 8e-9;
    let cpu_ms = cpu.map(|cpu| cpu.as_secs_f64() * 1e3);
    Ok(Watched {
        viewers: watch.viewers,
        started: counts.started,
        seconds,
        playlist_requests: counts.playlist_requests,
        segment_requests: counts.segment_requests,
        failed_requests: counts.failed_requests,
        failures: counts.failures.clone(),
        stalls: counts.stalls,
        stalled_seconds: counts.stalled.as_secs_f64(),
        missed_segments: counts.missed_segments,
        segments: counts.segments.len(),
        gigabits,
        delay: Distribution::of(&counts.delay, 1e-3),
        startup: Distribution::of(&counts.startup, 1e-3),
        cpu_ms_per_gigabit: cpu_ms.filter(|_| gigabits > 0.0).map(|cpu_ms| cpu_ms / gigabits),
        cores: cpu_ms.map(|cpu_ms| cpu_ms / 1e3 / seconds),
        driver_cores,
        origin_segment_requests: asked,
    })
}

/// What the origin says that it was asked for, if there is one to ask.
async fn requests_of_origin(watch: &Watch) -> anyhow::Result<Option<u64>> {
    let Some(origin) = watch.origin else { return Ok(None) };
    let answer = Connection::new(origin).get(&origin.to_string(), "/metrics", "loadtest").await?;
    let text = String::from_utf8(answer.to_vec()).context("the origin's metrics are no text")?;
    let value = text.lines().find_map(|line| line.strip_prefix(ORIGIN_SEGMENTS)?.trim().parse::<f64>().ok());
    value.map(|value| Some(value as u64)).with_context(|| format!("{origin} tells no {ORIGIN_SEGMENTS}"))
}

impl Watched {
    /// Whether the origin was asked for a segment more than once.
    pub(crate) fn origin_was_asked_twice(&self) -> bool {
        self.origin_segment_requests.is_some_and(|requests| requests > self.segments as u64)
    }

    /// The findings in words and numbers.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} of {} viewers got segments, {:.3} Gbit in {:.1} s",
                self.started, self.viewers, self.gigabits, self.seconds
            ),
            format!(
                "{} playlists and {} segments asked for, {} failed, {} stalls of {:.1} s in all, {} segments missed",
                self.playlist_requests,
                self.segment_requests,
                self.failed_requests,
                self.stalls,
                self.stalled_seconds,
                self.missed_segments
            ),
            format!(
                "a segment was had {:.0} ms (p50), {:.0} ms (p99) after its end; the first one {:.0} ms (p50), {:.0} ms (p99) after asking",
                self.delay.p50, self.delay.p99, self.startup.p50, self.startup.p99
            ),
        ];
        if let (Some(cost), Some(cores)) = (self.cpu_ms_per_gigabit, self.cores) {
            lines.push(format!(
                "the server took {cores:.2} cores, {cost:.0} ms for each Gbit; viewers took {:.2}",
                self.driver_cores
            ));
        }
        if let Some(requests) = self.origin_segment_requests {
            lines.push(format!("the origin was asked {requests} times for {} segments", self.segments));
        }
        lines.extend(self.failures.iter().map(|failure| format!("a viewer said: {failure}")));
        lines
    }
}
