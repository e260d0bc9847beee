//! Players: one thread connects them and parses what a sample of them gets, others only drain the rest.
//!
//! Owns the course of a run: ramp, settle, measure. Nothing here waits for ever: every step has a deadline, and the run
//! ends when the server does.

mod drain;
mod front;
mod http;
mod slot;
mod tracker;
mod websocket;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;

use crate::clock::wait_until;
use crate::progress::Progress;
use crate::report::{Distribution, Run, Tick};
use crate::target::Target;
use crate::usage::{CpuMeter, resident_bytes};

use front::Front;
use slot::{Phase, Shared, State};

/// What to load a server with.
#[derive(Debug, Clone)]
pub(crate) struct Play {
    /// The stream, or the first part of all streams' names.
    pub(crate) target: Target,
    /// Where to connect.
    pub(crate) address: SocketAddr,
    /// Over how many streams players are spread.
    pub(crate) streams: usize,
    /// How many players.
    pub(crate) players: usize,
    /// How many of them parse what they get.
    pub(crate) sample: usize,
    /// How many of them stop reading once they have started.
    pub(crate) stalled: usize,
    /// New players a second.
    pub(crate) ramp: u32,
    /// How long nothing is measured after the last player has started.
    pub(crate) settle: Duration,
    /// How long is measured.
    pub(crate) duration: Duration,
    /// How long a player may take to its first frame.
    pub(crate) start_timeout: Duration,
    /// How many threads drain.
    pub(crate) threads: usize,
    /// The server's process, if its CPU time and memory are to be measured.
    pub(crate) pid: Option<u32>,
}

impl Play {
    /// Whether a player parses what it gets. The sample is spread over all that read, so that it is served neither before
    /// nor after the others, and over the streams.
    fn is_sampled(&self, player: usize) -> bool {
        let readers = self.players.saturating_sub(self.stalled);
        let mut stride = (readers / self.sample.max(1)).max(1);
        while gcd(stride, self.streams) > 1 {
            stride -= 1;
        }
        player < readers && player.is_multiple_of(stride) && player / stride < self.sample
    }
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// How often a run is looked at.
const TICK: Duration = Duration::from_millis(250);
/// What the kernel's ephemeral ports allow to one address.
const PLAYERS_PER_SOURCE: usize = 20_000;

/// Loads the server and measures.
pub(crate) fn run(play: &Play, progress: &Progress) -> anyhow::Result<Run> {
    crate::limits::check(play.players)?;
    let shared = Arc::new(Shared::new(play)?);
    let mut observer = Observer::new(play, &shared)?;
    let drains: Vec<_> = (0..play.threads)
        .map(|index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("drain-{index}")).spawn(move || drain::run(&shared, index))
        })
        .collect::<Result<_, _>>()?;
    let front = Front::new(play.clone(), Arc::clone(&shared))?;
    let front = std::thread::Builder::new().name("front".to_owned()).spawn(move || front.run())?;

    let measured = observer.watch(play, progress);
    shared.set_phase(Phase::Over);
    progress.finish();
    let front = front.join().map_err(|_| anyhow::anyhow!("the front thread panicked"))??;
    for drain in drains {
        drain.join().map_err(|_| anyhow::anyhow!("a drain thread panicked"))??;
    }
    let window = measured.map_err(|error| match front.failures.first() {
        Some(failure) => error.context(format!("a player said: {failure}")),
        None => error,
    })?;
    Ok(observer.report(window, front))
}

/// What was read at both ends of the measured time.
struct Window {
    seconds: f64,
    delivered: u64,
    reading: usize,
    silent: usize,
    least: u64,
    cpu: Option<Duration>,
    driver_cpu: Duration,
    ended_early: bool,
}

struct Observer {
    shared: Arc<Shared>,
    server: Option<(u32, CpuMeter)>,
    driver: CpuMeter,
    resident_before: Option<u64>,
    began: Instant,
    timeline: Vec<Tick>,
    last: Reading,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    bytes: u64,
    cpu: Option<Duration>,
}

impl Observer {
    fn new(play: &Play, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let server = match play.pid {
            Some(pid) => Some((pid, CpuMeter::new(pid).with_context(|| format!("there is no process {pid}"))?)),
            None => None,
        };
        let now = Instant::now();
        let mut observer = Self {
            shared: Arc::clone(shared),
            resident_before: play.pid.and_then(|pid| resident_bytes(pid).ok()),
            server,
            driver: CpuMeter::new(std::process::id())?,
            began: now,
            timeline: Vec::new(),
            last: Reading { at: now, bytes: 0, cpu: None },
        };
        observer.last = observer.read();
        Ok(observer)
    }

    fn read(&mut self) -> Reading {
        let cpu = self.server.as_mut().and_then(|(_, meter)| meter.read().ok());
        Reading { at: Instant::now(), bytes: self.shared.bytes(), cpu }
    }

    fn watch(&mut self, play: &Play, progress: &Progress) -> anyhow::Result<Window> {
        progress.begin("players", play.players as u64);
        let ramp = Duration::from_secs_f64(play.players as f64 / f64::from(play.ramp.max(1)));
        let deadline = Instant::now() + ramp + play.start_timeout + Duration::from_secs(5);
        while self.shared.started() + self.shared.failed() < play.players && Instant::now() < deadline {
            self.tick(progress);
            progress.set(self.shared.started() as u64);
        }
        if self.shared.started() == 0 {
            bail!("none of {} players got a picture", play.players);
        }
        progress.begin("settling", play.settle.as_secs());
        self.repeat_for(play.settle, progress);
        progress.begin("measuring", play.duration.as_secs());
        self.measure(play, progress)
    }

    fn measure(&mut self, play: &Play, progress: &Progress) -> anyhow::Result<Window> {
        let driver = self.driver.read()?;
        self.shared.set_phase(Phase::Measuring);
        let (before, first) = (self.shared.each_bytes(), self.read());
        let whole = self.repeat_for(play.duration, progress);
        let (after, last) = (self.shared.each_bytes(), self.read());
        let (mut reading, mut silent, mut least) = (0, 0, u64::MAX);
        let mut delivered = 0;
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            delivered += after - before;
            if self.shared.state(index) == State::Playing {
                reading += 1;
                silent += usize::from(before == after);
                least = least.min(after - before);
            }
        }
        Ok(Window {
            seconds: (last.at - first.at).as_secs_f64(),
            delivered,
            reading,
            silent,
            least: if least == u64::MAX { 0 } else { least },
            cpu: last.cpu.zip(first.cpu).map(|(last, first)| last.saturating_sub(first)),
            driver_cpu: self.driver.read()?.saturating_sub(driver),
            ended_early: !whole,
        })
    }

    /// Looks on for a while; says whether somebody was still playing at its end.
    fn repeat_for(&mut self, duration: Duration, progress: &Progress) -> bool {
        let began = Instant::now();
        while began.elapsed() < duration {
            self.tick(progress);
            progress.set(began.elapsed().as_secs());
            if self.shared.playing() == 0 {
                return false;
            }
        }
        true
    }

    fn tick(&mut self, progress: &Progress) {
        wait_until(self.last.at + TICK);
        let last = std::mem::replace(&mut self.last, Reading { at: Instant::now(), bytes: 0, cpu: None });
        let now = self.read();
        self.last = now;
        let seconds = (now.at - last.at).as_secs_f64().max(1e-9);
        let cpu = now.cpu.zip(last.cpu).map(|(now, last)| now.saturating_sub(last).as_secs_f64() / seconds);
        let gigabits = (now.bytes - last.bytes) as f64 * 8e-9 / seconds;
        let tick = Tick {
            at: (now.at - self.began).as_secs_f64(),
            players: self.shared.playing(),
            gigabits_per_second: gigabits,
            cores: cpu,
            measured: self.shared.phase() == Phase::Measuring,
        };
        progress.say(match cpu {
            Some(cpu) => format!("{} players  {gigabits:.2} Gbit/s  {cpu:.2} cores", tick.players),
            None => format!("{} players  {gigabits:.2} Gbit/s", tick.players),
        });
        self.timeline.push(tick);
    }

    fn report(self, window: Window, front: front::Outcome) -> Run {
        let gigabits = window.delivered as f64 * 8e-9;
        let cpu_ms = window.cpu.map(|cpu| cpu.as_secs_f64() * 1e3);
        let resident = self.server.as_ref().and_then(|(pid, _)| resident_bytes(*pid).ok());
        let started = self.shared.started();
        let per_player = |bytes: u64| bytes as f64 / started.max(1) as f64;
        let expected = front.expectation.map(|expectation| expectation.bytes);
        let share = |bytes: f64, expected: f64| if expected > 0.0 { bytes / expected } else { 0.0 };
        Run {
            connected: started,
            failed: self.shared.failed(),
            dropped: self.shared.dropped(),
            silent: window.silent,
            ended_early: window.ended_early,
            seconds: window.seconds,
            delivered_gigabits: gigabits,
            delivered_share: expected.map(|each| share(window.delivered as f64, each * window.reading as f64)),
            least_share: expected.map(|each| share(window.least as f64, each)),
            pace: front.expectation.map(|expectation| expectation.pace),
            cpu_ms,
            cpu_ms_per_gigabit: cpu_ms.filter(|_| gigabits > 0.0).map(|cpu_ms| cpu_ms / gigabits),
            cores: cpu_ms.map(|cpu_ms| cpu_ms / 1e3 / window.seconds),
            driver_cores: window.driver_cpu.as_secs_f64() / window.seconds,
            resident_per_player: resident
                .zip(self.resident_before)
                .map(|(after, before)| per_player(after.saturating_sub(before))),
            delay: Distribution::of(&front.delay, 1e-3),
            first_frame: Distribution::of(&front.first_frame, 1e-3),
            sampled_messages: front.sampled_messages,
            missing_messages: front.missing_messages,
            failures: front.failures,
            timeline: self.timeline,
            delay_histogram: Some(front.delay),
            first_frame_histogram: Some(front.first_frame),
        }
    }
}

/// Microseconds up to a minute.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).context("histogram")
}

/// Waits until somebody can play all of `streams`, and so fills the caches of an edge.
pub(crate) fn wait_until_playable(play: &Play, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let probe = Play {
        players: play.streams,
        sample: play.streams,
        stalled: 0,
        ramp: 1_000,
        settle: Duration::ZERO,
        duration: Duration::ZERO,
        threads: 0,
        pid: None,
        ..play.clone()
    };
    loop {
        let silent = Progress::hidden();
        match run(&probe, &silent) {
            Ok(run) if run.failed == 0 => return Ok(()),
            Ok(run) if Instant::now() > deadline => {
                bail!("{} of {} streams cannot be played", run.failed, play.streams)
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Ok(_) | Err(_) => wait_until(Instant::now() + TICK),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sampled(players: usize, streams: usize, stalled: usize) -> Vec<usize> {
        let play = Play {
            target: "rtmp://127.0.0.1/live/x".parse().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], 1935)),
            streams,
            players,
            sample: 16,
            stalled,
            ramp: 1,
            settle: Duration::ZERO,
            duration: Duration::ZERO,
            start_timeout: Duration::ZERO,
            threads: 1,
            pid: None,
        };
        (0..players).filter(|player| play.is_sampled(*player)).collect()
    }

    #[test]
    fn the_sample_is_spread_over_players_and_streams() {
        let players = sampled(1_000, 8, 0);
        assert_eq!((players.len(), players[0]), (16, 0));
        assert!(players[15] > 900);
        let streams: HashSet<usize> = players.iter().map(|player| player % 8).collect();
        assert_eq!(streams.len(), 8);
    }

    #[test]
    fn those_that_stop_reading_are_not_in_it() {
        assert!(sampled(100, 1, 50).iter().all(|player| *player < 50));
        assert_eq!(sampled(4, 4, 0).len(), 4);
        assert!(sampled(10, 1, 10).is_empty());
    }
}
