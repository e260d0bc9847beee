//! Publishers by the dozen: 25 small numbered pictures a second, sound between them, a keyframe each second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast::media::{Kind, Tag};
use rillcast::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::numbered::{audio_frame, audio_header, metadata, video_frame, video_header};
use crate::harness::player::split;
use crate::harness::wait_until;

use super::book::Target;

/// From one picture to the next.
const TICK: Duration = Duration::from_millis(40);
/// Pictures from keyframe to keyframe.
const GOP: u32 = 25;
const PICTURE_BYTES: usize = 400;
const SOUND_BYTES: usize = 60;
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a server may take to accept, or to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);
const CHUNK_SIZE: u32 = 60_000;

/// What an encoder does when its server is gone.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    /// After which time it connects again.
    pub reconnect_after: Duration,
    /// For how long its server may say nothing although it is asked each second. Most encoders never ask.
    pub silence: Option<Duration>,
}

impl Habit {
    /// As OBS does it, with a short pause.
    pub const USUAL: Self = Self { reconnect_after: Duration::from_secs(1), silence: None };
}

/// What an encoder noticed.
#[derive(Debug, Default)]
struct Notes {
    /// Whether it publishes now.
    publishing: bool,
    /// How many times it was accepted.
    accepted: u32,
    /// When it was accepted last.
    accepted_at: Option<Instant>,
    /// When connections ended and why, refusals included, since the last mark.
    endings: Vec<(Instant, String)>,
}

#[derive(Debug)]
struct Encoder {
    stream: String,
    target: Target,
    habit: Habit,
    notes: Mutex<Notes>,
}

/// Running encoders; all are gone when it is dropped, with no word about their streams.
pub struct Encoders {
    encoders: Vec<Arc<Encoder>>,
    stop: CancellationToken,
}

impl Encoders {
    /// One encoder for each stream, all to the same target.
    pub fn start(runtime: &Handle, streams: &[String], target: &Target, habit: Habit) -> Self {
        let stop = CancellationToken::new();
        let start = |stream: &String| {
            let (stream, notes) = (stream.clone(), Mutex::default());
            let encoder = Arc::new(Encoder { stream, target: target.clone(), habit, notes });
            let (running, stop) = (Arc::clone(&encoder), stop.clone());
            runtime.spawn(async move {
                stop.run_until_cancelled(running.run()).await;
            });
            encoder
        };
        Self { encoders: streams.iter().map(start).collect(), stop }
    }

    /// The same, and waits until all are accepted.
    #[track_caller]
    pub fn start_all(runtime: &Handle, streams: &[String], target: &Target, habit: Habit) -> Self {
        let encoders = Self::start(runtime, streams, target, habit);
        wait_until("all encoders publish", || encoders.all_publish());
        encoders
    }

    /// Whether every encoder publishes now.
    pub fn all_publish(&self) -> bool {
        self.encoders.iter().all(|encoder| encoder.notes.lock().unwrap().publishing)
    }

    /// How many publish now.
    pub fn publishing(&self) -> usize {
        self.encoders.iter().filter(|encoder| encoder.notes.lock().unwrap().publishing).count()
    }

    /// Begins to count disconnects anew.
    pub fn mark(&self) {
        self.encoders.iter().for_each(|encoder| encoder.notes.lock().unwrap().endings.clear());
    }

    /// The streams, and why connections of theirs ended since the mark, refusals included.
    pub fn disconnects(&self) -> Vec<(String, String)> {
        let of_one = |encoder: &Arc<Encoder>| {
            let endings = encoder.notes.lock().unwrap().endings.clone();
            let stream = encoder.stream.clone();
            endings.into_iter().map(move |(_, reason)| (stream.clone(), reason)).collect::<Vec<_>>()
        };
        self.encoders.iter().flat_map(of_one).collect()
    }

    /// All leave, with no word about their streams.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Encoder {
    async fn run(&self) {
        loop {
            let Err(reason) = self.publish().await;
            {
                let mut notes = self.notes.lock().unwrap();
                notes.publishing = false;
                notes.endings.push((Instant::now(), reason));
            }
            sleep(self.habit.reconnect_after).await;
        }
    }

    /// One connection; it only ends with a reason.
    async fn publish(&self) -> Result<std::convert::Infallible, String> {
        let server = self.target.next_rtmp().ok_or("no pod is ready")?;
        let connect = timeout(PATIENCE, TcpStream::connect(server)).await;
        let socket = connect.map_err(|_| "connecting takes too long")?.map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut connection = Connection::new(socket, &self.stream, &server.to_string())?;
        timeout(PATIENCE, connection.wait_for_start()).await.map_err(|_| "no answer to publish")??;
        {
            let mut notes = self.notes.lock().unwrap();
            notes.publishing = true;
            notes.accepted += 1;
            notes.accepted_at = Some(Instant::now());
        }
        connection.feed(self.habit.silence).await
    }
}

struct Connection {
    socket: TcpStream,
    session: ClientSession,
    /// What its frames are marked with; every connection has its own.
    number: u32,
    next_frame: u32,
    last_byte: Instant,
}

impl Connection {
    fn new(socket: TcpStream, stream: &str, host: &str) -> Result<Self, String> {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        let (app, name) = split(stream);
        let session = ClientSession::new(ClientSettings {
            tc_url: format!("rtmp://{host}/{app}"),
            app: app.to_owned(),
            goal: Goal::Publish { name: name.to_owned() },
            mark: None,
            chunk_size: CHUNK_SIZE,
            four_cc: false,
            reconnects: false,
        });
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let session = session.map_err(|error| error.to_string())?;
        Ok(Self { socket, session, number, next_frame: 0, last_byte: Instant::now() })
    }

    async fn wait_for_start(&mut self) -> Result<(), String> {
        loop {
            self.flush().await?;
            if self.read().await? {
                return Ok(());
            }
        }
    }

    /// Sends frames in real time. What a slow machine did not get to send it sends later.
    async fn feed(&mut self, silence: Option<Duration>) -> Result<std::convert::Infallible, String> {
        let (mut pictures, mut pings) = (interval(TICK), interval(PING_EVERY));
        let mut ticks = 0;
        self.send_headers();
        loop {
            self.flush().await?;
            tokio::select! {
                heard = self.read() => { heard?; }
                _ = pictures.tick() => {
                    self.send_frames(ticks);
                    ticks += 1;
                }
                _ = pings.tick(), if silence.is_some() => {
                    if silence.is_some_and(|silence| self.last_byte.elapsed() > silence) {
                        return Err("the server is silent".to_owned());
                    }
                    self.session.ping(0);
                }
            }
        }
    }

    fn send_headers(&mut self) {
        let number = self.number;
        self.send(Kind::Data, 0, metadata(number));
        self.send(Kind::Video, 0, video_header(number));
        self.send(Kind::Audio, 0, audio_header());
    }

    fn send_frames(&mut self, tick: u32) {
        let timestamp = tick * u32::try_from(TICK.as_millis()).unwrap_or(u32::MAX);
        let (session, number) = (self.number, self.next_frame);
        self.next_frame += 2;
        self.send(Kind::Video, timestamp, video_frame(session, number, tick.is_multiple_of(GOP), PICTURE_BYTES));
        self.send(Kind::Audio, timestamp, audio_frame(session, number + 1, SOUND_BYTES));
    }

    fn send(&mut self, kind: Kind, timestamp: u32, payload: Bytes) {
        self.session.write_tag(&Tag { kind, timestamp, payload });
    }

    async fn flush(&mut self) -> Result<(), String> {
        let output = self.session.take_output();
        let written = timeout(PATIENCE, self.socket.write_all(&output)).await;
        written.map_err(|_| "the server takes no more")?.map_err(|error| error.to_string())
    }

    /// Reads what there is; true when publishing begins. Dropping the future loses nothing.
    async fn read(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 1024];
        let count = self.socket.read(&mut buffer).await.map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("closed".to_owned());
        }
        self.last_byte = Instant::now();
        self.session.feed(&buffer[..count]).map_err(|error| error.to_string())?;
        let mut started = false;
        while let Some(event) = self.session.next_event() {
            match event {
                ClientEvent::Started { .. } => started = true,
                ClientEvent::Refused { code, .. } | ClientEvent::Ended { code } => return Err(code),
                _ => {}
            }
        }
        Ok(started)
    }
}
