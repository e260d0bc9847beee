//! The thread that connects players, waits for their first frames, and parses what the sample gets.
//!
//! A player that is not in the sample is handed to a drain thread after its first frame.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use hdrhistogram::Histogram;
use rillcast::media::Kind;
use rillcast::media::class::{Class, classify};
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_error};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, connect, recv, send, socket_with};

use super::slot::{Phase, Shared};
use super::tracker::{Expectation, Tracker};
use super::wire::Wire;
use super::{PLAYERS_PER_SOURCE, Play, histogram};
use crate::clock::{timespec, unix_nanoseconds};

const EVENTS: usize = 256;
const SCRATCH_BYTES: usize = 256 << 10;
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// How many different failures are told.
const MAX_FAILURES: usize = 5;
/// Players that may be on their way to their first frame at once; the ramp waits for them.
const MAX_STARTING: usize = 512;

/// What the thread found out.
#[derive(Debug)]
pub(super) struct Outcome {
    /// From stamp to arrival, in microseconds.
    pub(super) delay: Histogram<u64>,
    /// From connect to the first frame, in microseconds.
    pub(super) first_frame: Histogram<u64>,
    pub(super) sampled_messages: u64,
    pub(super) missing_messages: u64,
    pub(super) expectation: Option<Expectation>,
    pub(super) failures: Vec<String>,
}

struct Player {
    socket: OwnedFd,
    wire: Wire,
    tracker: Tracker,
    began: Instant,
    connected: bool,
    playing: bool,
    sampled: bool,
}

/// What became of a player that could be read.
enum Next {
    Stays,
    /// Its first frame has come, and it is not in the sample.
    HandOver,
}

pub(super) struct Front {
    play: Play,
    shared: Arc<Shared>,
    players: HashMap<usize, Player>,
    starting: usize,
    measured: Option<Instant>,
    outcome: Outcome,
}

impl Front {
    pub(super) fn new(play: Play, shared: Arc<Shared>) -> anyhow::Result<Self> {
        let outcome = Outcome {
            delay: histogram()?,
            first_frame: histogram()?,
            sampled_messages: 0,
            missing_messages: 0,
            expectation: None,
            failures: Vec::new(),
        };
        Ok(Self { play, shared, players: HashMap::new(), starting: 0, measured: None, outcome })
    }

    /// Runs until the phase is over.
    pub(super) fn run(mut self) -> anyhow::Result<Outcome> {
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let mut scratch = vec![0; SCRATCH_BYTES];
        let interval = Duration::from_secs(1) / self.play.ramp.max(1);
        let (mut next_player, mut next_connect) = (0, Instant::now());
        let mut next_check = Instant::now();
        while self.shared.phase() != Phase::Over {
            let now = Instant::now();
            while next_player < self.play.players && now >= next_connect && self.starting < MAX_STARTING {
                self.begin(&poller, next_player);
                next_player += 1;
                next_connect += interval;
            }
            if now >= next_check {
                self.fail_late_ones(now);
                next_check = now + Duration::from_millis(250);
            }
            let ramping = next_player < self.play.players && self.starting < MAX_STARTING;
            let wait =
                if ramping { next_connect.saturating_duration_since(now).min(LONGEST_WAIT) } else { LONGEST_WAIT };
            let count = match epoll::wait(&poller, &mut events[..], Some(&timespec(wait))) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            if self.shared.phase() == Phase::Measuring {
                self.measured.get_or_insert_with(Instant::now);
            }
            for event in events.iter().take(count) {
                let data = event.data;
                self.handle(&poller, data.u64() as usize, &mut scratch);
            }
        }
        Ok(self.finish())
    }

    fn begin(&mut self, poller: &OwnedFd, index: usize) {
        match self.connect(poller, index) {
            Ok(player) => {
                self.players.insert(index, player);
                self.starting += 1;
            }
            Err(error) => {
                self.shared.fail(index);
                self.note(&error);
            }
        }
    }

    fn connect(&self, poller: &OwnedFd, index: usize) -> anyhow::Result<Player> {
        let wire = Wire::new(&self.play.target, index % self.play.streams, self.play.streams)?;
        let began = Instant::now();
        let address = self.play.address;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None).context("socket")?;
        set_tcp_nodelay(&socket, true)?;
        if let Some(source) = source(address, index) {
            bind(&socket, &source).with_context(|| format!("cannot bind {source}"))?;
        }
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).context("cannot connect"),
        }
        // Told once of each change: first that it is connected.
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poller, &socket, EventData::new_u64(index as u64), interest)?;
        let sampled = self.play.is_sampled(index);
        let tracker = Tracker::default();
        Ok(Player { socket, wire, tracker, began, connected: false, playing: false, sampled })
    }

    fn handle(&mut self, poller: &OwnedFd, index: usize, scratch: &mut [u8]) {
        match self.advance(index, scratch) {
            Ok(Next::Stays) => {}
            Ok(Next::HandOver) => {
                let Some(player) = self.players.remove(&index) else { return };
                // It can only fail for a player that has just been dropped; the drain thread finds that out.
                let _ = epoll::delete(poller, &player.socket);
                if index >= self.play.players - self.play.stalled {
                    self.shared.keep_unread(index, player.socket);
                } else if let Err(error) = self.shared.hand_over(index, player.socket) {
                    self.note(&error.into());
                    self.shared.drop_out(index);
                }
            }
            Err(error) => {
                self.note(&error);
                self.remove(index);
            }
        }
    }

    fn remove(&mut self, index: usize) {
        let Some(player) = self.players.remove(&index) else { return };
        if player.playing {
            self.shared.drop_out(index);
        } else {
            self.shared.fail(index);
            self.starting -= 1;
        }
        self.account(&player);
    }

    fn advance(&mut self, index: usize, scratch: &mut [u8]) -> anyhow::Result<Next> {
        let Some(player) = self.players.get_mut(&index) else { return Ok(Next::Stays) };
        if !player.connected {
            socket_error(&player.socket)?.context("cannot connect")?;
            player.connected = true;
        }
        flush(player)?;
        loop {
            let count = match recv(&player.socket, &mut *scratch, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => bail!("the server closed the connection"),
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return Ok(Next::Stays),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let now = unix_nanoseconds();
            self.shared.received(index, count);
            self.shared.add_bytes(count as u64);
            player.tracker.received(count);
            player.wire.feed(&scratch[..count])?;
            flush(player)?;
            let measuring = self.measured.is_some();
            while let Some(tag) = player.wire.next_tag()? {
                let stamp = player.tracker.take(&tag, measuring);
                if let Some(stamp) = stamp.filter(|_| measuring) {
                    self.outcome.delay.saturating_record(now.saturating_sub(stamp.sent_at) / 1_000);
                }
                let frame = tag.kind != Kind::Data && matches!(classify(&tag).0, Class::Keyframe | Class::Frame);
                if frame && !player.playing {
                    player.playing = true;
                    self.starting -= 1;
                    self.outcome.first_frame.saturating_record(player.began.elapsed().as_micros() as u64);
                    self.shared.start(index);
                }
            }
            if player.playing && !player.sampled {
                return Ok(Next::HandOver);
            }
        }
    }

    fn fail_late_ones(&mut self, now: Instant) {
        let patience = self.play.start_timeout;
        let is_late = |player: &Player| !player.playing && now.saturating_duration_since(player.began) > patience;
        let late: Vec<usize> =
            self.players.iter().filter(|(_, player)| is_late(player)).map(|(index, _)| *index).collect();
        for index in late {
            self.note(&anyhow!("no frame within {} s", patience.as_secs()));
            self.remove(index);
        }
    }

    fn note(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if self.outcome.failures.len() < MAX_FAILURES && !self.outcome.failures.contains(&text) {
            self.outcome.failures.push(text);
        }
    }

    fn account(&mut self, player: &Player) {
        self.outcome.sampled_messages += player.tracker.messages;
        self.outcome.missing_messages += player.tracker.missing;
    }

    fn finish(mut self) -> Outcome {
        let seconds = self.measured.map_or(0.0, |measured| measured.elapsed().as_secs_f64());
        let players: Vec<Player> = std::mem::take(&mut self.players).into_values().collect();
        let mut expectations = Vec::new();
        for player in players.iter().filter(|player| player.sampled) {
            self.account(player);
            expectations.extend(player.tracker.expectation(seconds));
        }
        let count = expectations.len() as f64;
        let mean = |value: fn(&Expectation) -> f64| expectations.iter().map(value).sum::<f64>() / count;
        self.outcome.expectation = (!expectations.is_empty()).then(|| Expectation {
            bytes: mean(|expectation| expectation.bytes),
            pace: mean(|expectation| expectation.pace),
        });
        self.outcome
    }
}

/// Commands are small, and sent while nothing else waits: a socket that does not take one is broken.
fn flush(player: &mut Player) -> anyhow::Result<()> {
    let output = player.wire.take_output();
    if output.is_empty() {
        return Ok(());
    }
    let sent = send(&player.socket, &output, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    if sent < output.len() { bail!("the server does not read") } else { Ok(()) }
}

/// More players than one address has ports for come from several loopback addresses.
fn source(target: SocketAddr, index: usize) -> Option<SocketAddr> {
    let group = u8::try_from(index / PLAYERS_PER_SOURCE).ok().filter(|group| *group > 0)?;
    let is_loopback = matches!(target.ip(), IpAddr::V4(address) if address.is_loopback());
    is_loopback.then(|| SocketAddr::from((Ipv4Addr::new(127, 0, 1, group), 0)))
}
