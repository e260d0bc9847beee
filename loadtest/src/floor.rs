//! The floor: what the kernel alone takes to send a stream to so many players, with no server around it.
//!
//! One thread builds each window's bytes once, in one buffer, and writes that buffer to every connection by a plain
//! non-blocking send. It speaks just enough HTTP for a FLV player to begin, which no cost is counted for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rillcast::media::{Tag, flv};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::clock::{unix_nanoseconds, wait_until};
use crate::media::script::{Position, Script};

/// What to serve.
#[derive(Debug)]
pub(crate) struct Floor {
    /// Where to listen; loopback.
    pub(crate) address: SocketAddr,
    /// What to send.
    pub(crate) script: Script,
    /// What is sent together; zero sends every message on its own.
    pub(crate) window: Duration,
    /// When to stop.
    pub(crate) duration: Duration,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REQUEST_BYTES: usize = 16 << 10;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n";
/// How far a player may lag before it is dropped.
const MAX_LAG: Duration = Duration::from_secs(10);

/// Serves until the time is over.
pub(crate) fn run(floor: &Floor) -> anyhow::Result<()> {
    ensure!(floor.address.ip().is_loopback(), "the floor serves this machine only");
    let listener = TcpListener::bind(floor.address).with_context(|| format!("cannot listen on {}", floor.address))?;
    rustix::net::listen(&listener, 4_096).context("listen")?;
    let (sender, newcomers) = channel();
    let headers = opening(&floor.script);
    std::thread::Builder::new().name("accept".to_owned()).spawn(move || accept(&listener, &headers, &sender))?;
    serve(floor, &newcomers);
    Ok(())
}

/// What every player gets first.
fn opening(script: &Script) -> Vec<u8> {
    let mut bytes = RESPONSE.to_vec();
    bytes.extend(flv::header(true, true));
    for Tag { kind, timestamp, payload } in &script.headers {
        flv::write_tag(&mut bytes, *kind, *timestamp, payload);
    }
    bytes
}

fn accept(listener: &TcpListener, opening: &[u8], sender: &Sender<TcpStream>) {
    for stream in listener.incoming() {
        // Whoever is not quick with its request is not one of our players.
        if let Ok(stream) = stream.and_then(|stream| greet(stream, opening))
            && sender.send(stream).is_err()
        {
            return;
        }
    }
}

fn greet(mut stream: TcpStream, opening: &[u8]) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..count]);
        if count == 0 || request.len() > MAX_REQUEST_BYTES {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    stream.write_all(opening)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

struct Player {
    stream: TcpStream,
    /// What it has not taken yet, oldest first; empty for all but slow ones.
    behind: Vec<(Rc<[u8]>, usize)>,
    behind_since: Instant,
}

fn serve(floor: &Floor, newcomers: &Receiver<TcpStream>) {
    let began = Instant::now();
    let wall_clock = unix_nanoseconds();
    let mut position = floor.script.begin();
    let mut players: Vec<Player> = Vec::new();
    let mut window_end = floor.window;
    while began.elapsed() < floor.duration {
        let due = Duration::from_nanos(floor.script.next_due(&position));
        let until = if floor.window.is_zero() { due } else { window_end };
        wait_until(began + until);
        window_end += floor.window;
        let newcomers = newcomers.try_iter();
        players.extend(newcomers.map(|stream| Player { stream, behind: Vec::new(), behind_since: began }));
        let block = block(&floor.script, &mut position, until, wall_clock);
        if !block.is_empty() {
            players.retain_mut(|player| player.send(&block));
        }
    }
}

/// All messages due up to `until`, each stamped with the moment at which it was due.
fn block(script: &Script, position: &mut Position, until: Duration, wall_clock: u64) -> Rc<[u8]> {
    let mut bytes = Vec::new();
    loop {
        let due = script.next_due(position);
        if Duration::from_nanos(due) > until {
            break;
        }
        let Some(tag) = script.take(position, wall_clock + due) else { break };
        flv::write_tag(&mut bytes, tag.kind, tag.timestamp, &tag.payload);
    }
    bytes.into()
}

impl Player {
    /// Sends a block, or keeps what is not taken; `false` drops the player.
    fn send(&mut self, block: &Rc<[u8]>) -> bool {
        if self.behind.is_empty() {
            return match self.write(block) {
                Ok(written) if written == block.len() => true,
                Ok(written) => {
                    self.behind_since = Instant::now();
                    self.behind.push((Rc::clone(block), written));
                    true
                }
                Err(_) => false,
            };
        }
        self.behind.push((Rc::clone(block), 0));
        self.catch_up() && (self.behind.is_empty() || self.behind_since.elapsed() < MAX_LAG)
    }

    fn catch_up(&mut self) -> bool {
        while let Some((block, at)) = self.behind.first().map(|(block, at)| (Rc::clone(block), *at)) {
            match self.write(&block[at..]) {
                Ok(written) if at + written == block.len() => drop(self.behind.remove(0)),
                Ok(written) => {
                    if let Some(first) = self.behind.first_mut() {
                        first.1 += written;
                    }
                    return true;
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            sent => sent,
        }
    }
}
