//! Players over both protocols that record all they get, each on a thread of its own.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast::media::{Kind, Tag};
use socket2::{Domain, Socket, Type};

use super::flv::{self, Flags};
use super::http::{Body, Head};
use super::numbered::{Frame, is_sequence_header};
use super::paced::{Pace, PacedReader};
use super::rtmp::{RtmpClient, user_control};
use super::server::Server;
use super::{wait_for, wait_until, ws};

/// Of a player whose reading speed is to be felt soon.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// How a player fetches its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `rtmp://`
    Rtmp,
    /// `http://....flv`, HTTP/1.1
    HttpFlv,
    /// `ws://....flv`
    WsFlv,
}

impl Protocol {
    /// The two that most tests are about.
    pub const ALL: [Self; 2] = [Self::Rtmp, Self::HttpFlv];
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the terminating chunk of an FLV body, the end of an RTMP connection between two reads, or the closing
    /// handshake of a WebSocket.
    Proper,
    /// In any other way.
    Broken(String),
}

/// What a player has seen so far.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// The status of a refusal, over WebSocket.
    pub refusal: Option<u16>,
    /// Whether the connection has become a WebSocket.
    pub upgraded: bool,
    /// The code of the closing frame, over WebSocket.
    pub close_code: Option<u16>,
    /// The response head, over HTTP.
    pub head: Option<Head>,
    /// The flags in the FLV header.
    pub flags: Option<Flags>,
    /// `onStatus` codes, and `StreamEOF`, over RTMP.
    pub statuses: Vec<String>,
    /// All media and data in order of arrival.
    pub tags: Vec<Tag>,
    /// When each of them arrived.
    pub arrivals: Vec<Instant>,
    /// The end, once it has come.
    pub ending: Option<Ending>,
}

impl Recording {
    fn push(&mut self, tag: Tag) {
        self.tags.push(tag);
        self.arrivals.push(Instant::now());
    }
}

/// Metadata and sequence headers as they first arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// The body of `onMetaData`.
    pub metadata: Option<Bytes>,
    /// The video sequence header.
    pub video: Option<Bytes>,
    /// The audio sequence header.
    pub audio: Option<Bytes>,
}

/// One player; leaves when dropped.
pub struct Player {
    recording: Arc<Mutex<Recording>>,
    pace: Arc<Pace>,
    name: String,
}

/// Where a server speaks a protocol.
fn place(protocol: Protocol, server: &Server) -> SocketAddr {
    if protocol == Protocol::Rtmp { server.rtmp } else { server.http }
}

impl Player {
    /// Asks a server for `app/stream`.
    #[track_caller]
    pub fn join(protocol: Protocol, server: &Server, stream: &str) -> Self {
        Self::start(protocol, place(protocol, server), stream, Pace::unlimited(), None)
    }

    /// Asks whoever is at an address for `app/stream`.
    #[track_caller]
    pub fn join_at(protocol: Protocol, address: SocketAddr, stream: &str) -> Self {
        Self::start(protocol, address, stream, Pace::unlimited(), None)
    }

    /// The same with a reading speed, and a small receive buffer, so that the speed is felt by the server soon.
    #[track_caller]
    pub fn join_paced(protocol: Protocol, server: &Server, stream: &str, pace: Arc<Pace>) -> Self {
        Self::start(protocol, place(protocol, server), stream, pace, Some(RECEIVE_BUFFER))
    }

    /// The same at an address.
    #[track_caller]
    pub fn join_paced_at(protocol: Protocol, address: SocketAddr, stream: &str, pace: Arc<Pace>) -> Self {
        Self::start(protocol, address, stream, pace, Some(RECEIVE_BUFFER))
    }

    #[track_caller]
    fn start(
        protocol: Protocol,
        address: SocketAddr,
        stream: &str,
        pace: Arc<Pace>,
        receive_buffer: Option<usize>,
    ) -> Self {
        let socket = connect(address, receive_buffer).unwrap_or_else(|error| panic!("{address}: {error}"));
        let recording = Arc::new(Mutex::new(Recording::default()));
        let player = Self { recording, pace, name: format!("{protocol:?} player of {stream}") };
        let (recording, pace, stream) = (player.recording.clone(), player.pace.clone(), stream.to_owned());
        thread::spawn(move || {
            let played = match protocol {
                Protocol::Rtmp => play_rtmp(socket, pace, &stream, &recording),
                Protocol::HttpFlv => play_flv(socket, pace, &stream, &recording),
                Protocol::WsFlv => ws::play(socket, pace, &stream, &recording),
            };
            let ending = played.map_or_else(|error| Ending::Broken(error.to_string()), |()| Ending::Proper);
            recording.lock().unwrap().ending = Some(ending);
        });
        player
    }

    /// A look at the recording.
    pub fn see<T>(&self, look: impl FnOnce(&Recording) -> T) -> T {
        look(&self.recording.lock().unwrap())
    }

    /// The numbered frames so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.see(|recording| recording.tags.iter().filter_map(Frame::of).collect())
    }

    /// The newest numbered frame.
    pub fn last_frame(&self) -> Option<Frame> {
        self.see(|recording| recording.tags.iter().rev().find_map(Frame::of))
    }

    /// Waits for the server's answer: playing, or the refusal's status code.
    #[track_caller]
    pub fn answer(&self) -> Result<(), String> {
        wait_for(&format!("{} is answered", self.name), || self.see(answer_in))
    }

    /// Waits until this frame has arrived, or a later one of the same session.
    #[track_caller]
    pub fn wait_for_frame(&self, session: u32, number: u32) {
        let description = format!("{} gets frame {number} of session {session}", self.name);
        wait_until(&description, || {
            if let Some(ending) = self.ending() {
                let statuses = self.see(|recording| recording.statuses.clone());
                assert!(self.has(session, number), "{description}: it ended before, {ending:?}, {statuses:?}");
            }
            self.has(session, number)
        });
    }

    fn has(&self, session: u32, number: u32) -> bool {
        self.last_frame().is_some_and(|frame| frame.session == session && frame.number >= number)
    }

    /// Waits for the first numbered frame.
    #[track_caller]
    pub fn wait_for_media(&self) -> Frame {
        wait_for(&format!("{} gets media", self.name), || {
            let frame = self.frames().first().copied();
            assert!(
                frame.is_some() || self.ending().is_none(),
                "{} ended: {:?}",
                self.name,
                self.see(Recording::clone)
            );
            frame
        })
    }

    /// The same, where only its coming matters.
    #[track_caller]
    pub fn expect_media(&self) {
        self.wait_for_media();
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<Ending> {
        self.see(|recording| recording.ending.clone())
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_for_end(&self) -> Ending {
        wait_for(&format!("{} ends", self.name), || self.ending())
    }

    /// Metadata and sequence headers as they first arrived.
    pub fn headers(&self) -> Headers {
        self.see(|recording| {
            let first = |matches: &dyn Fn(&Tag) -> bool| {
                recording.tags.iter().find(|tag| matches(tag)).map(|tag| tag.payload.clone())
            };
            Headers {
                metadata: first(&|tag| tag.kind == Kind::Data),
                video: first(&|tag| tag.kind == Kind::Video && is_sequence_header(tag)),
                audio: first(&|tag| tag.kind == Kind::Audio && is_sequence_header(tag)),
            }
        })
    }

    /// Fails if a frame is missing after the first, or one came twice, within each publisher's session.
    #[track_caller]
    pub fn assert_no_frame_missing(&self) {
        for pair in self.frames().windows(2) {
            let [before, after] = pair else { continue };
            let follows = after.session != before.session || after.number == before.number + 1;
            assert!(follows, "{}: {after:?} follows {before:?}", self.name);
        }
    }

    /// Fails if a track's timestamps ever go back.
    #[track_caller]
    pub fn assert_monotonic(&self) {
        for kind in [Kind::Audio, Kind::Video] {
            let frames: Vec<Frame> = self.frames().into_iter().filter(|frame| frame.kind == kind).collect();
            for pair in frames.windows(2) {
                let [before, after] = pair else { continue };
                assert!(after.timestamp >= before.timestamp, "{}: {after:?} follows {before:?}", self.name);
            }
        }
    }

    /// Fails if a frame came twice, or if frames are missing other than before a keyframe, within each publisher's
    /// session. (After an interruption video goes on from a keyframe; audio does not wait for it.)
    #[track_caller]
    pub fn assert_only_gaps_before_keyframes(&self) {
        let frames = self.frames();
        for (at, pair) in frames.windows(2).enumerate() {
            let [before, after] = pair else { continue };
            let follows = after.session != before.session || after.number == before.number + 1;
            let resumes = after.number > before.number && after.key;
            let next_video = frames[at + 1..].iter().find(|frame| frame.kind == Kind::Video);
            let video_waits = after.number > before.number
                && after.kind == Kind::Audio
                && next_video.is_none_or(|frame| frame.key || frame.session != after.session);
            assert!(follows || resumes || video_waits, "{}: {after:?} follows {before:?}", self.name);
        }
    }

    /// The longest time between two arrivals since `since`.
    pub fn longest_gap_since(&self, since: Instant) -> Duration {
        self.see(|recording| {
            let later = recording.arrivals.windows(2).filter(|pair| pair[1] >= since);
            later.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
        })
    }

    /// Leaves; what it has got can still be looked at.
    pub fn leave(&self) {
        self.pace.stop();
        wait_until("the player has left", || self.ending().is_some());
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.pace.stop();
    }
}

fn answer_in(recording: &Recording) -> Option<Result<(), String>> {
    if let Some(head) = &recording.head {
        return Some(if head.status == 200 { Ok(()) } else { Err(head.status.to_string()) });
    }
    if recording.upgraded {
        return Some(Ok(()));
    }
    if let Some(status) = recording.refusal {
        return Some(Err(status.to_string()));
    }
    for status in &recording.statuses {
        match status.as_str() {
            "NetStream.Play.Start" => return Some(Ok(())),
            "NetStream.Play.Reset" => {}
            refusal => return Some(Err(refusal.to_owned())),
        }
    }
    recording.ending.as_ref().map(|ending| Err(format!("{ending:?}")))
}

fn connect(address: SocketAddr, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.connect(&address.into())?;
    Ok(socket.into())
}

fn play_rtmp(socket: TcpStream, pace: Arc<Pace>, stream: &str, recording: &Mutex<Recording>) -> io::Result<()> {
    let (app, name) = split(stream);
    let mut client = RtmpClient::handshake(socket, pace)?;
    client.connect(app, &[])?;
    client.play(name)?;
    client.wait_for_ever();
    while let Some(message) = client.receive()? {
        let mut recording = recording.lock().unwrap();
        if let Some(kind) = Kind::from_type_id(message.type_id) {
            // `|RtmpSampleAccess` is addressed to the Flash player, not part of the stream.
            if kind != Kind::Data || !message.payload[3..].starts_with(b"|RtmpSampleAccess") {
                recording.push(Tag { kind, timestamp: message.timestamp, payload: message.payload });
            }
        } else if let Some(status) = message.status() {
            recording.statuses.push(status);
        } else if let Some((user_control::STREAM_EOF, _)) = message.user_control() {
            recording.statuses.push("StreamEOF".to_owned());
        }
    }
    client.sink.stream().shutdown(Shutdown::Both).ok();
    Ok(())
}

fn play_flv(socket: TcpStream, pace: Arc<Pace>, stream: &str, recording: &Mutex<Recording>) -> io::Result<()> {
    let (path, query) =
        stream.split_once('?').map_or((stream, String::new()), |(path, query)| (path, format!("?{query}")));
    let host = socket.peer_addr()?;
    let socket = Arc::new(socket);
    socket.as_ref().write_all(format!("GET /{path}.flv{query} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let mut source = PacedReader::new(socket.clone(), pace)?;
    source.wait_for_ever();
    let mut source = BufReader::new(source);
    let head = Head::read(&mut source)?;
    recording.lock().unwrap().head = Some(head.clone());
    if head.status != 200 {
        return Ok(());
    }
    let mut body = Body::new(source, &head);
    let flags = flv::read_header(&mut body)?;
    recording.lock().unwrap().flags = Some(flags);
    while let Some(tag) = flv::read_tag(&mut body)? {
        recording.lock().unwrap().push(tag);
    }
    socket.shutdown(Shutdown::Both).ok();
    Ok(())
}

/// An `app/stream` in its parts; the app may contain slashes, the stream's query too.
pub fn split(stream: &str) -> (&str, &str) {
    let path_end = stream.find('?').unwrap_or(stream.len());
    let slash = stream[..path_end].rfind('/').expect("app/stream");
    (&stream[..slash], &stream[slash + 1..])
}
