//! One player: a task that plays a stream of numbered frames and keeps no frame, only what it noticed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast::media::flv::FlvReader;
use rillcast::media::{Kind, Tag};
use rillcast::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::numbered::Frame;
use crate::harness::player::{Protocol, split};

use super::book::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER: usize = 16 * 1024;
const CHUNK_SIZE: u32 = 60_000;

/// What a player noticed.
#[derive(Debug, Default)]
pub struct Notes {
    /// Frames of all connections so far.
    pub frames: u64,
    /// The newest frame of the connection.
    pub last: Option<Frame>,
    /// When the newest frame came, whatever the connection.
    pub last_arrival: Option<Instant>,
    /// The longest time between two frames since the last mark.
    pub longest_gap: Duration,
    /// Frames missing since the last mark.
    pub lost: u64,
    /// Frames that came again since the last mark.
    pub repeated: u64,
    /// Timestamps that went back since the last mark.
    pub backwards: u64,
    /// When connections ended and why, since the last mark.
    pub endings: Vec<(Instant, String)>,
    /// How many of these connections never brought a frame, since the last mark.
    pub refused: usize,
    /// The newest timestamps of video and audio, of the connection.
    timestamps: [Option<u32>; 2],
}

impl Notes {
    /// Begins to measure anew.
    pub fn mark(&mut self) {
        (self.longest_gap, self.lost, self.repeated, self.backwards) = (Duration::ZERO, 0, 0, 0);
        self.endings.clear();
        self.refused = 0;
    }

    fn take_frame(&mut self, frame: Frame, now: Instant) {
        self.frames += 1;
        if let Some(before) = self.last_arrival.replace(now) {
            self.longest_gap = self.longest_gap.max(now - before);
        }
        if let Some(before) = self.last.replace(frame)
            && before.session == frame.session
        {
            self.repeated += u64::from(frame.number <= before.number);
            self.lost += u64::from(frame.number.saturating_sub(before.number + 1));
        }
        let track = &mut self.timestamps[usize::from(frame.kind == Kind::Audio)];
        let before = track.replace(frame.timestamp);
        self.backwards += u64::from(before.is_some_and(|before| frame.timestamp < before));
    }

    fn end(&mut self, reason: String) {
        self.refused += usize::from(self.last.is_none());
        (self.last, self.timestamps) = (None, [None; 2]);
        self.endings.push((Instant::now(), reason));
    }
}

/// A player and what it has noticed.
#[derive(Debug)]
pub struct Player {
    /// `app/stream`.
    pub stream: String,
    /// How it plays.
    pub protocol: Protocol,
    /// Whom it asks.
    pub target: Target,
    /// After which time it connects again when it is closed; never, if there is none.
    pub reconnect_after: Option<Duration>,
    /// What it noticed.
    pub notes: Mutex<Notes>,
}

impl Player {
    /// Plays until the task is dropped, or until the connection ends and it does not reconnect.
    pub async fn run(&self) {
        loop {
            let Err(reason) = self.play().await;
            self.notes.lock().unwrap().end(reason);
            let Some(pause) = self.reconnect_after else { return };
            sleep(pause).await;
        }
    }

    /// One connection; it only ends with a reason.
    async fn play(&self) -> Result<std::convert::Infallible, String> {
        let (address, ports) = self.target.next().ok_or("no pod is ready")?;
        let port = if self.protocol == Protocol::Rtmp { ports.rtmp } else { ports.http };
        let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect((address, port))).await;
        let mut socket = connect.map_err(|_| "connecting takes too long")?.map_err(|error| error.to_string())?;
        let mut wire = Wire::open(self.protocol, &self.stream, &format!("{address}:{port}"))?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let output = wire.take_output();
            socket.write_all(&output).await.map_err(|error| error.to_string())?;
            let count = socket.read(&mut buffer).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("closed".to_owned());
            }
            let (mut notes, now) = (self.notes.lock().unwrap(), Instant::now());
            wire.feed(&buffer[..count], |tag| {
                if let Some(frame) = Frame::of(&tag) {
                    notes.take_frame(frame, now);
                }
            })?;
        }
    }
}

/// A protocol from the player's side.
enum Wire {
    Rtmp(Box<ClientSession>),
    HttpFlv {
        request: Bytes,
        /// The response head as far as it has come; none behind it.
        head: Option<Vec<u8>>,
        body: FlvReader,
    },
}

impl Wire {
    fn open(protocol: Protocol, stream: &str, host: &str) -> Result<Self, String> {
        if protocol != Protocol::Rtmp {
            // HTTP/1.0, so that the body is FLV and nothing else.
            let request = format!("GET /{stream}.flv HTTP/1.0\r\nHost: {host}\r\n\r\n").into();
            return Ok(Self::HttpFlv { request, head: Some(Vec::new()), body: FlvReader::default() });
        }
        let (app, name) = split(stream);
        let settings = ClientSettings {
            tc_url: format!("rtmp://{host}/{app}"),
            app: app.to_owned(),
            goal: Goal::Play { name: name.to_owned() },
            mark: None,
            chunk_size: CHUNK_SIZE,
            four_cc: false,
            reconnects: false,
        };
        ClientSession::new(settings).map(|session| Self::Rtmp(Box::new(session))).map_err(|error| error.to_string())
    }

    fn take_output(&mut self) -> Bytes {
        match self {
            Self::Rtmp(session) => session.take_output(),
            Self::HttpFlv { request, .. } => std::mem::take(request),
        }
    }

    fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Tag)) -> Result<(), String> {
        match self {
            Self::Rtmp(session) => {
                session.feed(bytes).map_err(|error| error.to_string())?;
                while let Some(event) = session.next_event() {
                    match event {
                        ClientEvent::Media(tag) => take(tag),
                        ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => return Err(code),
                        _ => {}
                    }
                }
            }
            Self::HttpFlv { head, body, .. } => {
                match head {
                    None => body.feed(bytes),
                    Some(received) => {
                        received.extend_from_slice(bytes);
                        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
                            return Ok(());
                        };
                        let status = String::from_utf8_lossy(&received[..end]).lines().next().map(str::to_owned);
                        let status = status.unwrap_or_default();
                        if !status.contains(" 200 ") {
                            return Err(status);
                        }
                        body.feed(&received[end + 4..]);
                        *head = None;
                    }
                }
                while let Some(tag) = body.next_tag().map_err(|error| error.to_string())? {
                    take(tag);
                }
            }
        }
        Ok(())
    }
}

/// A bench that counted nothing would find every cluster perfect.
mod tests {
    use super::*;

    fn frame(session: u32, number: u32, kind: Kind, timestamp: u32) -> Frame {
        Frame { session, number, kind, key: false, timestamp }
    }

    fn notes_of(frames: &[Frame]) -> Notes {
        let mut notes = Notes::default();
        frames.iter().for_each(|frame| notes.take_frame(*frame, Instant::now()));
        notes
    }

    #[test]
    fn frames_that_are_missing_are_lost_and_those_that_come_again_are_repeated() {
        let numbers = [3, 4, 7, 7, 8, 6];
        let notes = notes_of(&numbers.map(|number| frame(1, number, Kind::Video, 0)));
        assert_eq!((notes.frames, notes.lost, notes.repeated), (6, 2, 2));
    }

    #[test]
    fn another_publish_session_or_another_connection_begins_to_count_anew() {
        let mut notes = notes_of(&[frame(1, 50, Kind::Video, 0), frame(2, 3, Kind::Video, 0)]);
        notes.end("closed".to_owned());
        notes.take_frame(frame(2, 1, Kind::Video, 0), Instant::now());
        assert_eq!((notes.lost, notes.repeated, notes.endings.len()), (0, 0, 1));
    }

    #[test]
    fn timestamps_go_back_on_their_own_track_only() {
        let track = [(Kind::Video, 80), (Kind::Audio, 60), (Kind::Video, 79), (Kind::Audio, 61)];
        let notes = notes_of(&track.map(|(kind, timestamp)| frame(1, 0, kind, timestamp)));
        assert_eq!(notes.backwards, 1);
    }

    #[test]
    fn the_gap_is_the_longest_since_the_mark() {
        let (mut notes, begin) = (Notes::default(), Instant::now());
        let take = |notes: &mut Notes, seconds| {
            notes.take_frame(frame(1, 0, Kind::Video, 0), begin + Duration::from_secs(seconds));
        };
        [5, 6, 9, 10].iter().for_each(|seconds| take(&mut notes, *seconds));
        assert_eq!(notes.longest_gap, Duration::from_secs(3));
        notes.mark();
        take(&mut notes, 12);
        assert_eq!(notes.longest_gap, Duration::from_secs(2));
    }
}
