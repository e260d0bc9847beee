//! What all threads of a run share: a slot for each player, and the phase.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use rustix::event::epoll;

use super::Play;
use crate::target::Protocol;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Players are connecting, or settling.
    Before,
    /// What happens now counts.
    Measuring,
    /// Everybody stops.
    Over,
}

/// How far a player is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Not there yet.
    Waiting,
    /// It gets the stream.
    Playing,
    /// It got the stream, and stopped reading on purpose.
    Stalled,
    /// It never got a frame.
    Failed,
    /// The server or the connection ended it.
    Dropped,
}

/// A player, as far as more than one thread needs it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    socket: OnceLock<OwnedFd>,
    bytes: AtomicU64,
    state: AtomicU8,
}

/// The slots of all players, and their sums.
#[derive(Debug)]
pub(super) struct Shared {
    slots: Vec<Slot>,
    /// One for each drain thread.
    drains: Vec<OwnedFd>,
    phase: AtomicU8,
    bytes: AtomicU64,
    started: AtomicUsize,
    failed: AtomicUsize,
    dropped: AtomicUsize,
    stalled: AtomicUsize,
    /// What players speak.
    pub(super) protocol: Protocol,
}

impl Shared {
    pub(super) fn new(play: &Play) -> anyhow::Result<Self> {
        let create = |_| epoll::create(epoll::CreateFlags::CLOEXEC);
        Ok(Self {
            slots: (0..play.players).map(|_| Slot::default()).collect(),
            drains: (0..play.threads).map(create).collect::<Result<_, _>>()?,
            phase: AtomicU8::new(Phase::Before as u8),
            bytes: AtomicU64::new(0),
            started: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            protocol: play.target.protocol,
        })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Before,
            1 => Phase::Measuring,
            _ => Phase::Over,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    pub(super) fn drain(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.drains.get(index).map(|epoll| epoll.as_fd())
    }

    /// How many threads drain.
    pub(super) fn drains(&self) -> usize {
        self.drains.len()
    }

    pub(super) fn players(&self) -> usize {
        self.slots.len()
    }

    /// The socket of a player that was handed over.
    pub(super) fn socket(&self, player: usize) -> Option<BorrowedFd<'_>> {
        self.slots.get(player)?.socket.get().map(|socket| socket.as_fd())
    }

    /// Keeps a player's socket, and lets its drain thread read it.
    pub(super) fn hand_over(&self, player: usize, socket: OwnedFd) -> rustix::io::Result<()> {
        let Some(slot) = self.slots.get(player) else { return Ok(()) };
        let socket = slot.socket.get_or_init(|| socket);
        let Some(drain) = self.drain(player % self.drains().max(1)) else { return Ok(()) };
        epoll::add(drain, socket, epoll::EventData::new_u64(player as u64), super::drain::INTEREST)
    }

    /// Keeps a player's socket, and reads it no more.
    pub(super) fn keep_unread(&self, player: usize, socket: OwnedFd) {
        if let Some(slot) = self.slots.get(player) {
            slot.socket.get_or_init(|| socket);
        }
        self.enter(player, State::Stalled);
        self.stalled.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self, player: usize, bytes: usize) {
        if let Some(slot) = self.slots.get(player) {
            slot.bytes.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// Adds to the sum of all players; drain threads do so once a batch.
    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn state(&self, player: usize) -> State {
        match self.slots.get(player).map_or(0, |slot| slot.state.load(Relaxed)) {
            0 => State::Waiting,
            1 => State::Playing,
            2 => State::Stalled,
            3 => State::Failed,
            _ => State::Dropped,
        }
    }

    fn enter(&self, player: usize, state: State) {
        if let Some(slot) = self.slots.get(player) {
            slot.state.store(state as u8, Relaxed);
        }
    }

    /// The first frame has come.
    pub(super) fn start(&self, player: usize) {
        self.enter(player, State::Playing);
        self.started.fetch_add(1, Relaxed);
    }

    /// There never was a frame.
    pub(super) fn fail(&self, player: usize) {
        self.enter(player, State::Failed);
        self.failed.fetch_add(1, Relaxed);
    }

    /// There will be no more frames.
    pub(super) fn drop_out(&self, player: usize) {
        self.enter(player, State::Dropped);
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn started(&self) -> usize {
        self.started.load(Relaxed)
    }

    pub(super) fn failed(&self) -> usize {
        self.failed.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> usize {
        self.dropped.load(Relaxed)
    }

    /// Players that get the stream now.
    pub(super) fn playing(&self) -> usize {
        self.started().saturating_sub(self.dropped() + self.stalled.load(Relaxed))
    }

    /// What all players have received.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// What each player has received.
    pub(super) fn each_bytes(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.bytes.load(Relaxed)).collect()
    }
}
