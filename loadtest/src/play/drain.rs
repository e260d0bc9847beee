//! A thread that takes what players are sent off their sockets, and nothing else.
//!
//! The kernel discards the bytes (`MSG_TRUNC` on a TCP socket copies nothing), so that one core drains many more players
//! than a server on another can feed.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::slot::{Phase, Shared, State};
use crate::clock::timespec;
use crate::target::Protocol;

/// Told of arrivals, not of what lies there: a short read has taken all, and the next arrival is another event.
pub(super) const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

const EVENTS: usize = 1024;
/// Never written to: only its size counts.
const SCRATCH_BYTES: usize = 1 << 20;
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// How often each player says that it is alive: some servers close those that are not heard of for long.
const ALIVE_EVERY: Duration = Duration::from_secs(20);
const SWEEPS: usize = 20;

/// Drains until the run is over.
pub(super) fn run(shared: &Shared, index: usize) -> anyhow::Result<()> {
    let Some(poller) = shared.drain(index) else { return Ok(()) };
    let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
    let mut scratch = vec![0; SCRATCH_BYTES];
    let (mut sweep, mut next_sweep) = (0, Instant::now() + ALIVE_EVERY / SWEEPS as u32);
    while shared.phase() != Phase::Over {
        let count = match epoll::wait(poller, &mut events[..], Some(&timespec(LONGEST_WAIT))) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut received = 0;
        for event in events.iter().take(count) {
            let (flags, data) = (event.flags, event.data);
            let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            received += drain(shared, data.u64() as usize, poller, ending, &mut scratch);
        }
        shared.add_bytes(received);
        if Instant::now() >= next_sweep {
            next_sweep += ALIVE_EVERY / SWEEPS as u32;
            sweep = (sweep + 1) % SWEEPS;
            say_alive(shared, index, sweep);
        }
    }
    Ok(())
}

/// Takes what is there. With `ending`, the end is among it, and no other event will tell.
fn drain(shared: &Shared, player: usize, poller: BorrowedFd<'_>, ending: bool, scratch: &mut [u8]) -> u64 {
    let Some(socket) = shared.socket(player) else { return 0 };
    let mut received = 0;
    loop {
        match recv(socket, &mut *scratch, RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => break,
            Ok((_, count)) => {
                shared.received(player, count);
                received += count as u64;
                if count < SCRATCH_BYTES && !ending {
                    return received;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => return received,
            Err(_) => break,
        }
    }
    // Both fail only on a connection that is gone already, which is what they are for.
    let _ = epoll::delete(poller, socket);
    let _ = shutdown(socket, Shutdown::Both);
    shared.drop_out(player);
    received
}

/// One of every `SWEEPS` players of this thread sends what a player sends now and then.
fn say_alive(shared: &Shared, index: usize, sweep: usize) {
    let message: &[u8] = match shared.protocol {
        Protocol::Rtmp => RTMP_ALIVE,
        Protocol::WsFlv => WEBSOCKET_PONG,
        Protocol::HttpFlv | Protocol::Hls => return,
    };
    let mine = (index..shared.players()).step_by(shared.drains().max(1));
    for player in mine.skip(sweep).step_by(SWEEPS).filter(|player| shared.state(*player) == State::Playing) {
        if let Some(socket) = shared.socket(player) {
            // A player that cannot send notices its end when it reads.
            let _ = send(socket, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }
}

/// A ping response (user control event 7, RTMP 1.0 specification 7.1.7) on chunk stream 2.
const RTMP_ALIVE: &[u8] = &[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
/// A masked, empty pong that nobody asked for (RFC 6455 5.5.3).
const WEBSOCKET_PONG: &[u8] = &[0x8A, 0x80, 1, 2, 3, 4];
