//! A TCP proxy that stands between an edge and its upstream and breaks connections in every way that networks know.
//!
//! Faults are of two kinds: standing ones, which hold for every connection until [`Proxy::heal`], and single ones, which
//! strike the connections that are open at the moment.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::server::free_address;
use super::{pause, wait_until};

/// How often a copying thread looks for orders while no bytes come.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const BUFFER: usize = 16 * 1024;
const TRICKLE_INTERVAL: Duration = Duration::from_secs(1);

/// What is done with the bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    /// They are passed on.
    Forward,
    /// They vanish, in both directions, and so does the end of the connection.
    Lose,
    /// From the middle of what comes next from the upstream, one byte a second goes to the edge.
    Trickle,
    /// Half of the next bytes from the upstream goes on, then the connection is reset.
    Cut,
    /// These come first, then things go on as if nothing had been.
    Insert(Vec<u8>),
    /// Both sides get a TCP reset.
    Reset,
}

struct Connection {
    edge: TcpStream,
    upstream: Option<TcpStream>,
    order: Mutex<Order>,
}

struct Shared {
    target: SocketAddr,
    /// What new connections get; `None` while nothing listens.
    standing: Mutex<Option<Order>>,
    listening: AtomicBool,
    stopped: AtomicBool,
    connections: Mutex<Vec<Weak<Connection>>>,
    accepted: AtomicUsize,
    most_open: AtomicUsize,
}

/// A running proxy; ends with all its connections when dropped.
pub struct Proxy {
    /// Where it listens, when it does.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy that passes everything on.
    pub fn to(target: SocketAddr) -> Self {
        let address = free_address();
        let shared = Arc::new(Shared {
            target,
            standing: Mutex::new(Some(Order::Forward)),
            listening: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let proxy = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || listen(address, &shared));
        proxy.wait_until_listening(true);
        proxy
    }

    /// Refuses connections; open ones are reset.
    pub fn refuse(&self) {
        *self.shared.standing.lock().unwrap() = None;
        self.wait_until_listening(false);
        self.shared.order_all(&Order::Reset);
    }

    /// Accepts connections and forwards nothing; open ones fall silent too, for ever.
    pub fn swallow(&self) {
        self.stand(Order::Lose);
    }

    /// Lets one byte a second through.
    pub fn trickle(&self) {
        self.stand(Order::Trickle);
    }

    /// Resets the open connections in the middle of what the upstream sends next.
    pub fn cut(&self) {
        self.shared.order_all(&Order::Cut);
    }

    /// Puts bytes of nobody's into what the open connections' upstream sends.
    pub fn insert(&self, bytes: &[u8]) {
        self.shared.order_all(&Order::Insert(bytes.to_vec()));
    }

    /// Passes on everything again. Connections that lost bytes stay lost.
    pub fn heal(&self) {
        *self.shared.standing.lock().unwrap() = Some(Order::Forward);
        for connection in self.shared.open() {
            let mut order = connection.order.lock().unwrap();
            if *order == Order::Trickle {
                *order = Order::Forward;
            }
        }
        self.wait_until_listening(true);
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.open().len()
    }

    /// The most connections that were open at a time.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::Relaxed)
    }

    fn stand(&self, order: Order) {
        *self.shared.standing.lock().unwrap() = Some(order.clone());
        self.shared.order_all(&order);
    }

    fn wait_until_listening(&self, listening: bool) {
        let description = if listening { "the proxy listens" } else { "the proxy listens no more" };
        wait_until(description, || self.shared.listening.load(Ordering::Acquire) == listening);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.order_all(&Order::Reset);
    }
}

impl Shared {
    fn open(&self) -> Vec<Arc<Connection>> {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    fn order_all(&self, order: &Order) {
        for connection in self.open() {
            *connection.order.lock().unwrap() = order.clone();
        }
    }

    fn accept(&self, edge: TcpStream) {
        let Some(order) = self.standing.lock().unwrap().clone() else { return };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let upstream = if order == Order::Lose { None } else { TcpStream::connect(self.target).ok() };
        let is_useless = upstream.is_none() && order != Order::Lose;
        if is_useless || prepare(&edge).is_err() || upstream.iter().any(|upstream| prepare(upstream).is_err()) {
            return;
        }
        let connection = Arc::new(Connection { edge, upstream, order: Mutex::new(order) });
        self.connections.lock().unwrap().push(Arc::downgrade(&connection));
        if connection.upstream.is_some() {
            let other = Arc::clone(&connection);
            thread::spawn(move || copy_down(&other));
        }
        thread::spawn(move || copy_up(&connection));
        self.most_open.fetch_max(self.open().len(), Ordering::Relaxed);
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_INTERVAL))
}

fn listen(address: SocketAddr, shared: &Shared) {
    let mut listener = None;
    while !shared.stopped.load(Ordering::Relaxed) {
        let refuses = shared.standing.lock().unwrap().is_none();
        if refuses {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok().filter(|listener| listener.set_nonblocking(true).is_ok());
        }
        shared.listening.store(listener.is_some(), Ordering::Release);
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((edge, _))) => shared.accept(edge),
            _ => pause(),
        }
    }
}

/// From the upstream to the edge, until one side ends or an order does.
fn copy_down(connection: &Connection) {
    let Some(upstream) = &connection.upstream else { return };
    let mut buffer = vec![0; BUFFER];
    loop {
        let order = connection.order.lock().unwrap().clone();
        if order == Order::Reset {
            return connection.arm_reset();
        }
        let count = match (&*upstream).read(&mut buffer) {
            Err(error) if is_pause(&error) => continue,
            Ok(count) if count > 0 => count,
            _ if order == Order::Lose => return,
            _ => return connection.end(),
        };
        let sent = match order {
            Order::Lose => Ok(()),
            Order::Cut => {
                let sent = connection.send_down(&buffer[..count.div_ceil(2)]);
                *connection.order.lock().unwrap() = Order::Reset;
                sent
            }
            Order::Insert(bytes) => {
                *connection.order.lock().unwrap() = Order::Forward;
                connection.send_down(&bytes).and_then(|()| connection.send_down(&buffer[..count]))
            }
            Order::Trickle => connection.trickle_down(&buffer[..count]),
            Order::Forward | Order::Reset => connection.send_down(&buffer[..count]),
        };
        if sent.is_err() {
            return connection.end();
        }
    }
}

/// From the edge to the upstream.
fn copy_up(connection: &Connection) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let order = connection.order.lock().unwrap().clone();
        if order == Order::Reset {
            return connection.arm_reset();
        }
        match (&connection.edge).read(&mut buffer) {
            Err(error) if is_pause(&error) => {}
            Ok(count) if count > 0 => {
                let passed_on = match &connection.upstream {
                    Some(upstream) if order != Order::Lose => (&*upstream).write_all(&buffer[..count]),
                    _ => Ok(()),
                };
                if passed_on.is_err() {
                    return connection.end();
                }
            }
            _ => return connection.end(),
        }
    }
}

impl Connection {
    fn send_down(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.edge).write_all(bytes)
    }

    /// Sockets that are closed from now on send a reset; they are when both threads are through.
    fn arm_reset(&self) {
        for stream in [Some(&self.edge), self.upstream.as_ref()].into_iter().flatten() {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
        }
    }

    fn end(&self) {
        for stream in [Some(&self.edge), self.upstream.as_ref()].into_iter().flatten() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// The first half at once, the second half slowly, for as long as the order stands.
    fn trickle_down(&self, bytes: &[u8]) -> io::Result<()> {
        let is_trickling = || *self.order.lock().unwrap() == Order::Trickle;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.send_down(first)?;
        for (at, byte) in second.iter().enumerate() {
            if !is_trickling() {
                return self.send_down(&second[at..]);
            }
            self.send_down(&[*byte])?;
            let begin = Instant::now();
            while begin.elapsed() < TRICKLE_INTERVAL && is_trickling() {
                pause();
            }
        }
        Ok(())
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
