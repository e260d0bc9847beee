//! A client made of the server's own client session: for what the foreign peers of the other helpers do not say, marks
//! and enhanced RTMP's request to reconnect.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::SystemTime;

use rillcast::auth::{Acknowledgement, ClusterKey, Mark};
use rillcast::config::Secret;
use rillcast::media::{Kind, Tag};
use rillcast::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::PATIENCE;
use super::numbered::{video_frame, video_header};
use super::player::split;

/// What a client comes for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// To publish, and to reconnect when it is asked to.
    PublishWithReconnect,
    /// To publish as a server that is not verified.
    PublishMarked,
    /// To publish as a server with the cluster's key, in somebody's session.
    Forward {
        /// `cluster.key`.
        key: &'a str,
        /// The publish session.
        session: &'a str,
    },
    /// To pull as a server that is not verified.
    Pull,
}

/// A client on its connection.
pub struct Client {
    socket: TcpStream,
    session: ClientSession,
    /// What the server said of itself when it acknowledged the mark.
    pub acknowledgement: Option<Acknowledgement>,
}

impl Client {
    /// Connects to `app` with a mark or without, waits until the server has accepted that, and asks for what it came for.
    #[track_caller]
    pub fn connected(server: SocketAddr, app: &str, goal: Goal, mark: Option<&str>) -> Self {
        let mut client = Self::dial(server, app, goal, mark.map(str::to_owned), false).expect("the server is there");
        match client.next_event().expect("the server answers") {
            ClientEvent::Connected { acknowledgement } => {
                client.acknowledgement = acknowledgement.map(|text| Acknowledgement::parse(&text).expect("it is one"));
                client
            }
            other => panic!("connect was answered by {other:?}"),
        }
    }

    /// Gets what it came for.
    #[track_caller]
    pub fn start(server: SocketAddr, stream: &str, purpose: Purpose<'_>) -> Self {
        Self::attempt(server, stream, purpose).unwrap_or_else(|refusal| panic!("{stream} is refused: {refusal}"))
    }

    /// Asks once; a refusal gives its status code.
    pub fn attempt(server: SocketAddr, stream: &str, purpose: Purpose<'_>) -> Result<Self, String> {
        let mut client = Self::connect(server, stream, purpose).map_err(|error| error.to_string())?;
        client.await_start()?;
        Ok(client)
    }

    /// Connects and sends the first bytes; the rest is up to [`await_start`](Self::await_start).
    pub fn connect(server: SocketAddr, stream: &str, purpose: Purpose<'_>) -> io::Result<Self> {
        let (app, name) = split(stream);
        let name = name.to_owned();
        let goal = if matches!(purpose, Purpose::Pull) { Goal::Play { name } } else { Goal::Publish { name } };
        Self::dial(server, app, goal, mark(purpose), matches!(purpose, Purpose::PublishWithReconnect))
    }

    fn dial(server: SocketAddr, app: &str, goal: Goal, mark: Option<String>, reconnects: bool) -> io::Result<Self> {
        let session = ClientSession::new(ClientSettings {
            tc_url: format!("rtmp://{server}/{app}"),
            app: app.to_owned(),
            goal,
            mark,
            chunk_size: 4096,
            four_cc: true,
            reconnects,
        });
        let socket = TcpStream::connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { socket, session: session.map_err(io::Error::other)?, acknowledgement: None };
        client.flush()?;
        Ok(client)
    }

    /// Waits until it has begun; a refusal gives its status code.
    pub fn await_start(&mut self) -> Result<(), String> {
        loop {
            match self.next_event().map_err(|error| error.to_string())? {
                ClientEvent::Started { .. } => return Ok(()),
                ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => return Err(code),
                _ => {}
            }
        }
    }

    /// The next thing that the server said.
    pub fn next_event(&mut self) -> io::Result<ClientEvent> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(event) = self.session.next_event() {
                return Ok(event);
            }
            self.flush()?;
            let count = self.socket.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.session.feed(&buffer[..count]).map_err(io::Error::other)?;
        }
    }

    /// Publishes a sequence header and a keyframe.
    pub fn push_keyframe(&mut self) {
        for payload in [video_header(1), video_frame(1, 0, true, 400)] {
            self.session.write_tag(&Tag { kind: Kind::Video, timestamp: 0, payload });
        }
        self.flush().expect("the connection takes media");
    }

    /// Waits until the server asks for another connection, and gives the URL that it names.
    #[track_caller]
    pub fn wait_for_reconnect_request(&mut self) -> Option<String> {
        loop {
            match self.next_event().expect("the connection is there") {
                ClientEvent::ReconnectRequested { tc_url } => return tc_url,
                ClientEvent::Pong(_) => {}
                other => panic!("the server said {other:?}"),
            }
        }
    }

    /// Says goodbye and goes.
    pub fn close(mut self) {
        self.session.close();
        self.flush().expect("the connection is there");
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.session.take_output())
    }
}

fn mark(purpose: Purpose<'_>) -> Option<String> {
    let mark = Mark::of_pull("a-test");
    match purpose {
        Purpose::PublishWithReconnect => None,
        Purpose::PublishMarked | Purpose::Pull => Some(mark.to_text(None, SystemTime::now())),
        Purpose::Forward { key, session } => {
            let mark = Mark { session: Some(session.to_owned()), ..mark };
            Some(mark.to_text(Some(&ClusterKey::new(&Secret::new(key))), SystemTime::now()))
        }
    }
}
