//! A client of HTTP/2 that sends whatever frames a test wants, and takes no more than a test wants (RFC 9113).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// What every connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Of DATA and HEADERS: nothing follows on the stream.
pub const END_STREAM: u8 = 1;
/// Of SETTINGS and PING: an answer.
const ACK: u8 = 1;
/// Of HEADERS and CONTINUATION: the fields are complete.
pub const END_HEADERS: u8 = 4;
/// The setting that says how much of each answer may be sent before more is asked for.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Http2 {
    socket: TcpStream,
    next_stream: u32,
}

impl Http2 {
    /// Connects, and lets so much of each answer come by itself.
    pub fn connect(server: SocketAddr, window: u32) -> Self {
        let socket = TcpStream::connect(server).expect("the server listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        socket.set_write_timeout(Some(PATIENCE)).expect("it can be set");
        let mut client = Self { socket, next_stream: 1 };
        client.socket.write_all(PREFACE).expect("it is connected");
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        client.send(kind::SETTINGS, 0, 0, &setting).expect("it is connected");
        client
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.socket.write_all(&frame(kind, flags, stream, payload))
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The number of the next stream.
    pub fn next_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Asks for a path, and tells on which stream.
    pub fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> io::Result<u32> {
        let stream = self.next_stream();
        self.send(kind::HEADERS, END_STREAM | END_HEADERS, stream, &head(path, fields))?;
        Ok(stream)
    }

    /// Lets so much more of an answer come; of all together for stream 0.
    pub fn give_room(&mut self, stream: u32, bytes: u32) -> io::Result<()> {
        self.send(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
    }

    /// The next frame; `None` at the end. Shows a sign of life where one is asked for.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let mut header = [0; 9];
        match self.socket.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload)?;
        let frame = Frame { kind: header[3], flags: header[4], stream, payload };
        match frame.kind {
            kind::SETTINGS if frame.flags & ACK == 0 => self.send(kind::SETTINGS, ACK, 0, &[])?,
            kind::PING if frame.flags & ACK == 0 => self.send(kind::PING, ACK, 0, &frame.payload)?,
            _ => {}
        }
        Ok(Some(frame))
    }
}

/// A frame in bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of a request, none of them in a table (RFC 7541, section 6.2.2).
pub fn head(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let begins = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "server.example")];
    let mut bytes = Vec::new();
    for (name, value) in begins.iter().chain(fields) {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}
