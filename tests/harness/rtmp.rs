//! A minimal RTMP client, blocking and message by message: light enough for hundreds of players, and free to send what
//! a polite client would not. rml_rtmp does the handshake and reads chunks; chunks are written here.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkDeserializer;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::rml_amf0::{self, Amf0Value};

use super::PATIENCE;
use super::paced::{Pace, PacedReader};

/// Message type ids (RTMP specification 1.0, sections 5.4 and 7.1).
pub mod message_type {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const USER_CONTROL: u8 = 4;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
}

/// User control events (RTMP specification 1.0, section 7.1.7).
pub mod user_control {
    pub const STREAM_EOF: u16 = 1;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

const CHUNK_SIZE: u32 = 60_000;
const DEFAULT_CHUNK_SIZE: usize = 128;

/// One RTMP message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message type id.
    pub type_id: u8,
    /// The message stream id.
    pub stream_id: u32,
    /// Milliseconds.
    pub timestamp: u32,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    /// A command message.
    pub fn command(stream_id: u32, name: &str, transaction: f64, arguments: &[Amf0Value]) -> Self {
        let mut values = vec![text(name), Amf0Value::Number(transaction)];
        values.extend_from_slice(arguments);
        let payload = rml_amf0::serialize(&values).expect("short values are encoded").into();
        Self { type_id: message_type::COMMAND, stream_id, timestamp: 0, payload }
    }

    /// The AMF0 values of a command; empty for other messages.
    pub fn values(&self) -> Vec<Amf0Value> {
        if self.type_id != message_type::COMMAND {
            return Vec::new();
        }
        rml_amf0::deserialize(&mut self.payload.as_ref()).unwrap_or_default()
    }

    /// The code of an `onStatus` command.
    pub fn status(&self) -> Option<String> {
        let values = self.values();
        let is_status = values.first() == Some(&text("onStatus"));
        values.into_iter().nth(3).filter(|_| is_status).and_then(|information| property(information, "code"))
    }

    /// The event type and the first word of a user control message.
    pub fn user_control(&self) -> Option<(u16, u32)> {
        let [a, b, rest @ ..] = self.payload.as_ref() else { return None };
        let word = rest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        (self.type_id == message_type::USER_CONTROL).then_some((u16::from_be_bytes([*a, *b]), word))
    }
}

/// An AMF0 string.
pub fn text(value: &str) -> Amf0Value {
    Amf0Value::Utf8String(value.to_owned())
}

fn property(object: Amf0Value, key: &str) -> Option<String> {
    object.get_object_properties()?.remove(key)?.get_string()
}

/// One message as chunks: a type 0 header, then type 3 continuations (RTMP specification 1.0, section 5.3.1).
pub fn chunks(chunk_stream: u8, message: &Message, chunk_size: usize) -> Vec<Vec<u8>> {
    let extended = message.timestamp >= 0xff_ffff;
    let short_timestamp = message.timestamp.min(0xff_ffff).to_be_bytes();
    let length = (message.payload.len() as u32).to_be_bytes();
    let mut header = vec![chunk_stream];
    header.extend(&short_timestamp[1..]);
    header.extend(&length[1..]);
    header.push(message.type_id);
    header.extend(message.stream_id.to_le_bytes());
    let mut chunks = Vec::new();
    let mut pieces = message.payload.chunks(chunk_size);
    let mut piece = pieces.next().unwrap_or_default();
    loop {
        if extended {
            header.extend(message.timestamp.to_be_bytes());
        }
        header.extend(piece);
        chunks.push(std::mem::replace(&mut header, vec![0xc0 | chunk_stream]));
        match pieces.next() {
            Some(next) => piece = next,
            None => return chunks,
        }
    }
}

/// The writing side; clones write to the same connection, message by message.
#[derive(Clone)]
pub struct RtmpSink {
    stream: Arc<TcpStream>,
    chunk_size: Arc<Mutex<usize>>,
}

impl RtmpSink {
    /// Writes to a connection whose handshake is done.
    pub fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, chunk_size: Arc::new(Mutex::new(DEFAULT_CHUNK_SIZE)) }
    }

    /// Sends one message.
    pub fn send(&self, message: &Message) -> io::Result<()> {
        let chunk_stream = match message.type_id {
            message_type::AUDIO => 4,
            message_type::VIDEO => 6,
            message_type::DATA => 5,
            message_type::COMMAND => 3,
            _ => 2,
        };
        let chunk_size = self.chunk_size.lock().unwrap();
        self.stream.as_ref().write_all(&chunks(chunk_stream, message, *chunk_size).concat())
    }

    /// Announces a chunk size and uses it from then on.
    pub fn set_chunk_size(&self, size: u32) -> io::Result<()> {
        let payload = Bytes::copy_from_slice(&size.to_be_bytes());
        self.send(&Message { type_id: message_type::SET_CHUNK_SIZE, stream_id: 0, timestamp: 0, payload })?;
        *self.chunk_size.lock().unwrap() = size as usize;
        Ok(())
    }

    /// Sends bytes as they are.
    pub fn send_raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.as_ref().write_all(bytes)
    }

    /// The connection itself.
    pub fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }
}

/// A connection after its handshake.
pub struct RtmpClient {
    source: PacedReader,
    /// The writing side.
    pub sink: RtmpSink,
    deserializer: ChunkDeserializer,
    next_transaction: f64,
}

impl RtmpClient {
    /// Connects and shakes hands.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::handshake(TcpStream::connect(address)?, Pace::unlimited())
    }

    /// Shakes hands on a connected socket.
    pub fn handshake_on(stream: TcpStream) -> io::Result<Self> {
        Self::handshake(stream, Pace::unlimited())
    }

    /// The same at a pace of reading.
    pub fn handshake(stream: TcpStream, pace: Arc<Pace>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = Arc::new(stream);
        let mut source = PacedReader::new(stream.clone(), pace)?;
        let mut deserializer = ChunkDeserializer::new();
        let mut handshake = Handshake::new(PeerType::Client);
        let invalid = |error| io::Error::other(format!("handshake: {error}"));
        stream.as_ref().write_all(&handshake.generate_outbound_p0_and_p1().map_err(invalid)?)?;
        let mut buffer = [0; 4096];
        loop {
            let count = read_some(&mut source, &mut buffer)?;
            match handshake.process_bytes(&buffer[..count]).map_err(invalid)? {
                HandshakeProcessResult::InProgress { response_bytes } => stream.as_ref().write_all(&response_bytes)?,
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    stream.as_ref().write_all(&response_bytes)?;
                    // Nothing can be complete yet: a server speaks first after `connect`.
                    deserializer
                        .get_next_message(&remaining_bytes)
                        .map_err(|error| io::Error::other(error.to_string()))?;
                    return Ok(Self { source, sink: RtmpSink::new(stream), deserializer, next_transaction: 1.0 });
                }
            }
        }
    }

    /// Waits for messages without a limit from now on; until then a wait fails in the end.
    pub fn wait_for_ever(&mut self) {
        self.source.wait_for_ever();
    }

    /// Sends `connect` with further properties and waits for its result.
    pub fn connect(&mut self, app: &str, properties: &[(&str, &str)]) -> io::Result<()> {
        self.sink.set_chunk_size(CHUNK_SIZE)?;
        let url = format!("rtmp://{}/{app}", self.sink.stream.peer_addr()?);
        let mut object = HashMap::from([
            ("app".to_owned(), text(app)),
            ("tcUrl".to_owned(), text(&url)),
            ("flashVer".to_owned(), text("LNX 9,0,124,2")),
        ]);
        object.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), text(value))));
        self.call(0, "connect", &[Amf0Value::Object(object)]).map(drop)
    }

    /// Creates a message stream and starts playing.
    pub fn play(&mut self, name: &str) -> io::Result<()> {
        let stream_id = self.create_stream()?;
        self.sink.send(&Message::command(stream_id, "play", 0.0, &[Amf0Value::Null, text(name)]))
    }

    /// Reserves a name as encoders do, creates a message stream, and asks to publish. Gives the stream's id.
    pub fn publish(&mut self, name: &str) -> io::Result<u32> {
        for command in ["releaseStream", "FCPublish"] {
            let transaction = self.transaction();
            self.sink.send(&Message::command(0, command, transaction, &[Amf0Value::Null, text(name)]))?;
        }
        let stream_id = self.create_stream()?;
        let arguments = [Amf0Value::Null, text(name), text("live")];
        self.sink.send(&Message::command(stream_id, "publish", 0.0, &arguments))?;
        Ok(stream_id)
    }

    fn create_stream(&mut self) -> io::Result<u32> {
        let result = self.call(0, "createStream", &[Amf0Value::Null])?;
        match result.get(3) {
            Some(Amf0Value::Number(id)) => Ok(*id as u32),
            other => Err(io::Error::other(format!("createStream answered {other:?}"))),
        }
    }

    /// Sends a command and waits for its result; other messages on the way are dropped.
    pub fn call(&mut self, stream_id: u32, name: &str, arguments: &[Amf0Value]) -> io::Result<Vec<Amf0Value>> {
        let transaction = self.transaction();
        self.sink.send(&Message::command(stream_id, name, transaction, arguments))?;
        while let Some(message) = self.receive()? {
            let values = message.values();
            if values.get(1) != Some(&Amf0Value::Number(transaction)) {
                continue;
            }
            if values.first() == Some(&text("_result")) {
                return Ok(values);
            }
            let code = values.into_iter().nth(3).and_then(|information| property(information, "code"));
            return Err(io::Error::other(code.unwrap_or_else(|| format!("{name} failed"))));
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn transaction(&mut self) -> f64 {
        let transaction = self.next_transaction;
        self.next_transaction += 1.0;
        transaction
    }

    /// The next message, or `None` when the server has closed. Chunk sizes are applied and pings answered on the way.
    pub fn receive(&mut self) -> io::Result<Option<Message>> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut buffer = vec![0; 64 * 1024];
        let mut count = 0;
        loop {
            let next =
                self.deserializer.get_next_message(&buffer[..count]).map_err(|error| invalid(error.to_string()))?;
            if let Some(payload) = next {
                let (type_id, stream_id) = (payload.type_id, payload.message_stream_id);
                let message = Message { type_id, stream_id, timestamp: payload.timestamp.value, payload: payload.data };
                self.react(&message)?;
                return Ok(Some(message));
            }
            count = self.source.read(&mut buffer)?;
            if count == 0 {
                return Ok(None);
            }
        }
    }

    fn react(&mut self, message: &Message) -> io::Result<()> {
        if message.type_id == message_type::SET_CHUNK_SIZE {
            let size = message.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            let result = self.deserializer.set_max_chunk_size(size as usize);
            result.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        }
        if let Some((user_control::PING_REQUEST, timestamp)) = message.user_control() {
            let mut payload = user_control::PING_RESPONSE.to_be_bytes().to_vec();
            payload.extend(timestamp.to_be_bytes());
            let pong =
                Message { type_id: message_type::USER_CONTROL, stream_id: 0, timestamp: 0, payload: payload.into() };
            self.sink.send(&pong)?;
        }
        Ok(())
    }
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    match source.read(buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
