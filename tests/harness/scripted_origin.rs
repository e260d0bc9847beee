//! An origin that does what a test tells it: takes publishers or refuses them, sends them away, reads slowly.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rillcast::auth::{Acknowledgement, PROPERTY};
use rillcast::media::Tag;
use rillcast::rtmp::{ServerEvent, ServerSession, ServerSettings, Status};

use super::paced::{Pace, PacedReader};
use super::{let_pass, pause};

/// What an origin answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Script {
    /// Whether it acknowledges marks, as one of our own kind does.
    pub is_ours: bool,
    /// The status and its description that it refuses publishers with.
    pub refusal: Option<(Status, &'static str)>,
}

/// One publish that an origin was asked for.
#[derive(Debug, Clone)]
pub struct Published {
    /// The app as it stood on the wire.
    pub app: String,
    /// The name as it stood on the wire.
    pub name: String,
    /// The session that the mark told.
    pub session: Option<String>,
}

/// A running origin; ends with all its connections when dropped.
pub struct ScriptedOrigin {
    /// Where it takes RTMP.
    pub rtmp: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    script: Mutex<Script>,
    pace: Arc<Pace>,
    stopped: AtomicBool,
    published: Mutex<Vec<Published>>,
    tags: Mutex<Vec<Tag>>,
    connections: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    session: Mutex<ServerSession>,
    socket: Arc<TcpStream>,
    publishing: AtomicBool,
    /// Whether the publisher has said that it is done.
    said_goodbye: AtomicBool,
}

impl ScriptedOrigin {
    /// Starts an origin.
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be polled");
        let rtmp = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            node: format!("scripted-{}", rtmp.port()),
            script: Mutex::new(script),
            pace: Pace::unlimited(),
            stopped: AtomicBool::new(false),
            published: Mutex::default(),
            tags: Mutex::default(),
            connections: Mutex::default(),
        });
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            while !listening.stopped.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    pause();
                    continue;
                };
                let shared = Arc::clone(&listening);
                // Clients that go away in the middle are none of its business.
                thread::spawn(move || serve(client, &shared).ok());
            }
        });
        Self { rtmp, shared }
    }

    /// Answers otherwise from now on.
    pub fn follow(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// At which speed it reads.
    pub fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// What it was asked to take.
    pub fn published(&self) -> Vec<Published> {
        self.shared.published.lock().unwrap().clone()
    }

    /// All media and data so far.
    pub fn tags(&self) -> Vec<Tag> {
        self.shared.tags.lock().unwrap().clone()
    }

    /// How many connections have come so far.
    pub fn connections(&self) -> usize {
        self.count(|_| true)
    }

    /// How many publishers it has.
    pub fn publishers(&self) -> usize {
        self.count(|connection| connection.publishing.load(Ordering::Relaxed))
    }

    /// How many publishers have said that they are done.
    pub fn goodbyes(&self) -> usize {
        self.count(|connection| connection.said_goodbye.load(Ordering::Relaxed))
    }

    fn count(&self, which: impl Fn(&Connection) -> bool) -> usize {
        self.shared.connections.lock().unwrap().iter().filter(|connection| which(connection)).count()
    }

    /// Asks its publishers to go elsewhere.
    pub fn ask_to_leave(&self) {
        self.say(|session| session.request_reconnect(None, "a test"));
    }

    /// Ends its publishers.
    pub fn end(&self, status: Status) {
        self.say(|session| session.end_publish(status, "a test"));
    }

    fn say(&self, word: impl Fn(&mut ServerSession)) {
        for connection in self.shared.connections.lock().unwrap().iter() {
            if connection.publishing.load(Ordering::Relaxed) {
                word(&mut connection.session.lock().unwrap());
                connection.flush().expect("the publisher is there");
            }
        }
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.pace.stop();
        for connection in self.shared.connections.lock().unwrap().iter() {
            connection.socket.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Connection {
    fn flush(&self) -> io::Result<()> {
        let mut session = self.session.lock().unwrap();
        // Under the lock: what two threads have to say must not mix.
        self.socket.as_ref().write_all(&session.take_output())
    }
}

fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let socket = Arc::new(client);
    let settings = ServerSettings { chunk_size: 4_096, window_acknowledgement: 2_500_000 };
    let connection = Arc::new(Connection {
        session: Mutex::new(ServerSession::new(settings)),
        socket: Arc::clone(&socket),
        publishing: AtomicBool::new(false),
        said_goodbye: AtomicBool::new(false),
    });
    shared.connections.lock().unwrap().push(Arc::clone(&connection));
    let mut reader = PacedReader::new(socket, Arc::clone(&shared.pace))?;
    reader.wait_for_ever();
    let ended = converse(&mut reader, &connection, shared);
    connection.publishing.store(false, Ordering::Relaxed);
    ended
}

/// Each second, as origins of our own kind do, until the connection is gone.
fn ask_for_signs_of_life(connection: &Arc<Connection>) {
    let connection = Arc::downgrade(connection);
    thread::spawn(move || {
        loop {
            let_pass(Duration::from_secs(1));
            let Some(connection) = connection.upgrade() else { return };
            connection.session.lock().unwrap().ping(0);
            if connection.flush().is_err() {
                return;
            }
        }
    });
}

fn converse(reader: &mut PacedReader, connection: &Arc<Connection>, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let (mut app, mut mark) = (String::new(), None);
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut session = connection.session.lock().unwrap();
        session.feed(&buffer[..count]).map_err(io::Error::other)?;
        let script = *shared.script.lock().unwrap();
        while let Some(event) = session.next_event() {
            match event {
                ServerEvent::Connect(request) => {
                    if script.is_ours {
                        ask_for_signs_of_life(connection);
                    }
                    (app, mark) = (request.app, request.mark);
                    let acknowledgement = Acknowledgement::of(&shared.node).to_text();
                    let ours = [(PROPERTY, acknowledgement.as_str())];
                    session.accept_connect(if script.is_ours { &ours } else { &[] });
                }
                ServerEvent::Publish(request) => {
                    let told = mark
                        .as_deref()
                        .and_then(|mark: &str| mark.split(';').find_map(|field| field.strip_prefix("session=")));
                    let published =
                        Published { app: app.clone(), name: request.name, session: told.map(str::to_owned) };
                    shared.published.lock().unwrap().push(published);
                    match script.refusal {
                        Some((status, description)) => session.reject_publish(status, description),
                        None => {
                            session.accept_publish();
                            connection.publishing.store(true, Ordering::Relaxed);
                        }
                    }
                }
                ServerEvent::Media(tag) => shared.tags.lock().unwrap().push(tag),
                ServerEvent::StreamClosed => {
                    connection.publishing.store(false, Ordering::Relaxed);
                    connection.said_goodbye.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        drop(session);
        connection.flush()?;
    }
}
