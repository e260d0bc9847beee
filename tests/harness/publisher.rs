//! A publisher of numbered frames that does what a test tells it: push, fall silent, leave in any way.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast::media::Kind;
use rml_rtmp::rml_amf0::Amf0Value;
use socket2::SockRef;

use super::numbered::{audio_frame, audio_header, metadata, video_frame, video_header};
use super::paced::Pace;
use super::player::split;
use super::rtmp::{Message, RtmpClient, RtmpSink, text};
use super::server::Server;
use super::{wait_for, wait_until};

/// Media time from one push to the next.
pub const TICK: Duration = Duration::from_millis(40);

/// What is published.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// An audio frame each tick.
    pub audio: bool,
    /// A video frame each tick.
    pub video: bool,
    /// Ticks from keyframe to keyframe.
    pub gop: u32,
    /// Bytes of a video frame.
    pub frame_size: usize,
    /// The first timestamp in milliseconds.
    pub first_timestamp: u32,
}

impl Default for Content {
    fn default() -> Self {
        Self { audio: true, video: true, gop: 25, frame_size: 400, first_timestamp: 0 }
    }
}

/// A publisher whose publishing was accepted.
pub struct Publisher {
    content: Content,
    sink: RtmpSink,
    stream_id: u32,
    stream_name: String,
    pace: Arc<Pace>,
    reader: Option<JoinHandle<()>>,
    statuses: Arc<Mutex<Vec<String>>>,
    closed: Arc<AtomicBool>,
    ticks: u32,
    next_timestamp: u32,
    step: Duration,
    pushed: Arc<AtomicU32>,
    /// What its frames are marked with; every publisher has its own.
    pub session: u32,
}

impl Publisher {
    /// Publishes `app/stream` with both tracks.
    #[track_caller]
    pub fn start(server: &Server, stream: &str) -> Self {
        Self::start_with(server, stream, Content::default())
    }

    /// Publishes `app/stream`.
    #[track_caller]
    pub fn start_with(server: &Server, stream: &str, content: Content) -> Self {
        Self::attempt(server.rtmp, stream, content).unwrap_or_else(|refusal| panic!("{stream} is refused: {refusal}"))
    }

    /// Asks to publish until it is accepted, as an encoder that reconnects does.
    #[track_caller]
    pub fn start_when_free(server: &Server, stream: &str) -> Self {
        wait_for(&format!("{stream} may be published"), || Self::attempt(server.rtmp, stream, Content::default()).ok())
    }

    /// Publishes `app/stream` with both tracks to any server.
    #[track_caller]
    pub fn start_at(server: SocketAddr, stream: &str) -> Self {
        Self::attempt(server, stream, Content::default())
            .unwrap_or_else(|refusal| panic!("{stream} is refused: {refusal}"))
    }

    /// Asks once; a refusal gives its status code. Nothing is sent before the first push.
    pub fn attempt(server: SocketAddr, stream: &str, content: Content) -> Result<Self, String> {
        static SESSIONS: AtomicU32 = AtomicU32::new(1);
        let pace = Pace::unlimited();
        let (app, name) = split(stream);
        let request = || -> io::Result<(RtmpClient, u32)> {
            let mut client = RtmpClient::handshake(std::net::TcpStream::connect(server)?, pace.clone())?;
            client.connect(app, &[])?;
            let stream_id = client.publish(name)?;
            Ok((client, stream_id))
        };
        let (mut client, stream_id) = request().map_err(|error| error.to_string())?;
        loop {
            let message = client.receive().map_err(|error| error.to_string())?.ok_or("the connection was closed")?;
            match message.status().as_deref() {
                Some("NetStream.Publish.Start") => break,
                Some(refusal) => return Err(refusal.to_owned()),
                None => {}
            }
        }
        client.wait_for_ever();
        let sink = client.sink.clone();
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (statuses.clone(), closed.clone());
        let reader = thread::spawn(move || {
            while let Ok(Some(message)) = client.receive() {
                seen.lock().unwrap().extend(message.status());
            }
            ended.store(true, Ordering::Relaxed);
        });
        Ok(Self {
            content,
            sink,
            stream_id,
            stream_name: name.to_owned(),
            pace,
            reader: Some(reader),
            statuses,
            closed,
            ticks: 0,
            next_timestamp: content.first_timestamp,
            step: TICK,
            pushed: Arc::new(AtomicU32::new(0)),
            session: SESSIONS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Pushes so many ticks of media at once; headers come before the first.
    pub fn push(&mut self, ticks: u32) {
        self.try_push(ticks).expect("the connection takes media");
    }

    /// The same, for a publisher that may have been closed.
    pub fn try_push(&mut self, ticks: u32) -> io::Result<()> {
        if self.ticks == 0 {
            self.send_headers()?;
        }
        for _ in 0..ticks {
            self.push_tick()?;
        }
        Ok(())
    }

    /// Sets the clock: the next tick has this timestamp.
    pub fn set_clock(&mut self, timestamp: u32) {
        self.next_timestamp = timestamp;
    }

    /// The timestamp of the next tick.
    pub fn clock(&self) -> u32 {
        self.next_timestamp
    }

    /// Sets by how much the clock goes on with each tick.
    pub fn set_clock_step(&mut self, step: Duration) {
        self.step = step;
    }

    /// Metadata and sequence headers of the content's tracks.
    fn send_headers(&self) -> io::Result<()> {
        let timestamp = self.content.first_timestamp;
        let mut values = b"\x02\x00\x0d@setDataFrame".to_vec();
        values.extend(metadata(self.session));
        self.send(Kind::Data, timestamp, values.into())?;
        if self.content.video {
            self.send(Kind::Video, timestamp, video_header(self.session))?;
        }
        if self.content.audio {
            self.send(Kind::Audio, timestamp, audio_header())?;
        }
        Ok(())
    }

    fn push_tick(&mut self) -> io::Result<()> {
        let timestamp = self.next_timestamp;
        self.next_timestamp = timestamp.wrapping_add(self.step.as_millis() as u32);
        let key = self.ticks.is_multiple_of(self.content.gop);
        self.ticks += 1;
        if self.content.video {
            let number = self.next_number();
            self.send(Kind::Video, timestamp, video_frame(self.session, number, key, self.content.frame_size))?;
        }
        if self.content.audio {
            let number = self.next_number();
            self.send(Kind::Audio, timestamp, audio_frame(self.session, number, 60))?;
        }
        Ok(())
    }

    fn next_number(&self) -> u32 {
        self.pushed.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends one message of media or data.
    pub fn send(&self, kind: Kind, timestamp: u32, payload: Bytes) -> io::Result<()> {
        self.sink.send(&Message { type_id: kind.type_id(), stream_id: self.stream_id, timestamp, payload })
    }

    /// The writing side of its connection.
    pub fn sink(&self) -> &RtmpSink {
        &self.sink
    }

    /// The number of the frame pushed last.
    #[track_caller]
    pub fn last_number(&self) -> u32 {
        self.pushed.load(Ordering::Relaxed).checked_sub(1).expect("something was pushed")
    }

    /// The `onStatus` codes since its publishing was accepted.
    pub fn statuses(&self) -> Vec<String> {
        self.statuses.lock().unwrap().clone()
    }

    /// Whether the server has ended the connection.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Waits until the server has ended the connection.
    #[track_caller]
    pub fn wait_for_close(&self) {
        wait_until(&format!("the publisher of {} is closed", self.stream_name), || self.is_closed());
    }

    /// Pushes in real time on a thread of its own.
    pub fn feed(mut self) -> Feed {
        let (session, pushed, closed) = (self.session, self.pushed.clone(), self.closed.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut due = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                if start.elapsed() >= due {
                    due += TICK;
                    if self.try_push(1).is_err() {
                        break;
                    }
                } else {
                    super::pause();
                }
            }
            self
        });
        Feed { session, pushed, closed, stop, thread: Some(thread) }
    }

    /// Ends publishing as encoders do, and keeps the connection.
    pub fn unpublish(&self) {
        let name = text(&self.stream_name);
        self.sink.send(&Message::command(0, "FCUnpublish", 90.0, &[Amf0Value::Null, name])).expect("it is sent");
        let stream_id = Amf0Value::Number(f64::from(self.stream_id));
        self.sink.send(&Message::command(0, "deleteStream", 91.0, &[Amf0Value::Null, stream_id])).expect("it is sent");
    }

    /// Closes the connection with no word about the stream.
    pub fn close(self) {
        self.sink.stream().shutdown(Shutdown::Both).ok();
    }

    /// Lets the connection break: the server gets a TCP reset.
    pub fn reset(mut self) {
        SockRef::from(self.sink.stream().as_ref()).set_linger(Some(Duration::ZERO)).expect("linger can be set");
        self.pace.stop();
        // The reset goes out when the last handle is dropped, and the reader has one.
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.pace.stop();
    }
}

/// A publisher in real time; stops and closes when dropped.
pub struct Feed {
    /// The publisher's session.
    pub session: u32,
    pushed: Arc<AtomicU32>,
    closed: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Publisher>>,
}

impl Feed {
    /// The number of the frame pushed last.
    #[track_caller]
    pub fn last_number(&self) -> u32 {
        wait_for("the feed has begun", || self.pushed.load(Ordering::Relaxed).checked_sub(1))
    }

    /// Whether the server has ended the connection.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Stops pushing; the connection stays open.
    pub fn stop(mut self) -> Publisher {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is stopped once").join().expect("the feed ends without a panic")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
