//! A WebSocket player's side: tungstenite as the foreign peer, and the messages it got.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Error, HandshakeError, Message, WebSocket};

use super::flv;
use super::paced::{Pace, PacedReader};
use super::player::Recording;

/// A socket that is read at the pace of a test.
pub struct PacedSocket {
    reader: PacedReader,
    writer: Arc<TcpStream>,
}

impl PacedSocket {
    /// Waits for bytes without a limit.
    pub fn new(socket: TcpStream, pace: Arc<Pace>) -> io::Result<Self> {
        let writer = Arc::new(socket);
        let mut reader = PacedReader::new(writer.clone(), pace)?;
        reader.wait_for_ever();
        Ok(Self { reader, writer })
    }
}

impl Read for PacedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Write for PacedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_ref().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks for `/{stream}.flv`, with the query of the stream if it has one. A refusal gives its status.
pub fn open<S: Read + Write>(socket: S, host: &str, stream: &str) -> io::Result<Result<WebSocket<S>, u16>> {
    let (path, query) = stream.split_once('?').unwrap_or((stream, ""));
    match tungstenite::client(format!("ws://{host}/{path}.flv?{query}"), socket) {
        Ok((socket, _)) => Ok(Ok(socket)),
        Err(HandshakeError::Failure(Error::Http(response))) => Ok(Err(response.status().as_u16())),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

/// Plays until the end: proper is only a closing handshake.
pub fn play(socket: TcpStream, pace: Arc<Pace>, stream: &str, recording: &Mutex<Recording>) -> io::Result<()> {
    let host = socket.peer_addr()?.to_string();
    let mut socket = match open(PacedSocket::new(socket, pace)?, &host, stream)? {
        Ok(socket) => socket,
        Err(status) => {
            recording.lock().unwrap().refusal = Some(status);
            return Ok(());
        }
    };
    recording.lock().unwrap().upgraded = true;
    loop {
        match socket.read() {
            Ok(Message::Binary(message)) => {
                let mut message = message.as_ref();
                let mut recording = recording.lock().unwrap();
                if recording.flags.is_none() {
                    recording.flags = Some(flv::read_header(&mut message)?);
                }
                // A message holds whole tags, or the file header and nothing else.
                while let Some(tag) = flv::read_tag(&mut message)? {
                    recording.tags.push(tag);
                }
            }
            Ok(Message::Close(frame)) => {
                recording.lock().unwrap().close_code = frame.map(|frame| close_code(frame.code));
            }
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
    }
}

fn close_code(code: CloseCode) -> u16 {
    code.into()
}
