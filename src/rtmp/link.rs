//! What both ends of a connection do alike below commands and media.
//!
//! Owns the handshake, the chunk reader, the outgoing bytes and the bookkeeping that no session decides about:
//! acknowledgements, pings, chunk sizes. Both session machines are built on it; it knows no stream and no state of theirs.

use std::fmt;

use bytes::Bytes;

use crate::rtmp::Error;
use crate::rtmp::amf0::Value;
use crate::rtmp::chunk_reader::{ChunkReader, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, RawMessage};
use crate::rtmp::handshake::Handshake;
use crate::rtmp::message::{Command, Message};
use crate::rtmp::message_writer::{self, Control};

/// The window in bytes that a peer gets acknowledgements for if it never names one: what encoders and servers use.
pub(super) const DEFAULT_WINDOW: u32 = 2_500_000;

/// How many bytes of replies a peer may leave unread while it goes on asking.
pub(super) const MAX_UNREAD_REPLIES: usize = 256 << 10;

/// What a session has to act on.
#[derive(Debug)]
pub(super) enum Incoming {
    HandshakeDone,
    Command(Command),
    Media(RawMessage),
    Pong(u32),
    StreamEof,
}

pub(super) struct Link {
    /// Dropped as soon as it is done: a session lives long after it.
    handshake: Option<Box<Handshake>>,
    reader: ChunkReader,
    output: Vec<u8>,
    /// How many bytes of `output` are commands and control messages, as opposed to media.
    unread_replies: usize,
    chunk_size: u32,
    /// Running total of bytes behind the handshake, wrapping as the acknowledgement's field does (5.4.3).
    received: u32,
    acknowledged: u32,
    window: u32,
    received_any: bool,
}

impl Link {
    pub(super) fn server() -> Self {
        Self::new(Handshake::server(), Vec::new())
    }

    /// The connecting side: its opening bytes wait in the output.
    pub(super) fn client() -> Result<Self, Error> {
        let (handshake, opening) = Handshake::client()?;
        let mut link = Self::new(handshake, opening);
        // Whom we connect to we have chosen ourselves.
        link.expect_media();
        Ok(link)
    }

    fn new(handshake: Handshake, output: Vec<u8>) -> Self {
        Self {
            handshake: Some(Box::new(handshake)),
            reader: ChunkReader::new(),
            output,
            unread_replies: 0,
            chunk_size: DEFAULT_CHUNK_SIZE,
            received: 0,
            acknowledged: 0,
            window: DEFAULT_WINDOW,
            received_any: false,
        }
    }

    /// The peer is to send media: from now on its messages may be large.
    pub(super) fn expect_media(&mut self) {
        self.reader.expect_media();
    }

    /// Takes bytes off `input` up to the next thing to act on, or all of them.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Error> {
        self.received_any |= !input.is_empty();
        if self.unread_replies > MAX_UNREAD_REPLIES {
            return Err(Error::RepliesUnread);
        }
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(input, &mut self.output)? {
                return Ok(None);
            }
            self.handshake = None;
            return Ok(Some(Incoming::HandshakeDone));
        }
        while let Some(message) = self.read_message(input)? {
            match message {
                Message::Command(command) => return Ok(Some(Incoming::Command(command))),
                Message::Media(message) => return Ok(Some(Incoming::Media(message))),
                Message::PingResponse(timestamp) => return Ok(Some(Incoming::Pong(timestamp))),
                Message::StreamEof => return Ok(Some(Incoming::StreamEof)),
                Message::PingRequest(timestamp) => self.answer_ping(timestamp)?,
                // Nobody can want an acknowledgement for no bytes.
                Message::WindowAcknowledgementSize(window) if window > 0 => self.window = window,
                Message::WindowAcknowledgementSize(_) | Message::Ignored => {}
            }
        }
        self.acknowledge();
        Ok(None)
    }

    fn read_message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let before = input.len();
        let message = self.reader.read(input)?;
        let taken = u32::try_from(before - input.len()).unwrap_or(u32::MAX);
        self.received = self.received.wrapping_add(taken);
        message.map(Message::parse).transpose()
    }

    /// Acknowledges at half the window, so that the peer never has to stop for it.
    fn acknowledge(&mut self) {
        if self.received.wrapping_sub(self.acknowledged) >= self.window.div_ceil(2) {
            self.acknowledged = self.received;
            self.send(Control::Acknowledgement(self.received));
        }
    }

    pub(super) fn send(&mut self, control: Control) {
        let chunk_size = self.chunk_size;
        self.write_reply(|output| message_writer::write_control(output, chunk_size, control));
    }

    pub(super) fn send_command(&mut self, stream_id: u32, values: &[Value]) {
        let chunk_size = self.chunk_size;
        self.write_reply(|output| message_writer::write_command(output, chunk_size, stream_id, values));
    }

    pub(super) fn send_data(&mut self, stream_id: u32, values: &[Value]) {
        let chunk_size = self.chunk_size;
        self.write_reply(|output| message_writer::write_data(output, chunk_size, stream_id, values));
    }

    /// The one reply that `read` makes on its way through many messages, so it has to mind the limit itself.
    fn answer_ping(&mut self, timestamp: u32) -> Result<(), Error> {
        self.send(Control::PingResponse(timestamp));
        if self.unread_replies > MAX_UNREAD_REPLIES { Err(Error::RepliesUnread) } else { Ok(()) }
    }

    fn write_reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.output.len();
        write(&mut self.output);
        self.unread_replies += self.output.len() - before;
    }

    /// Announces the size of our chunks and uses it from here on. A size below the protocol's default is not used: it
    /// would only cut our own replies into more pieces.
    pub(super) fn set_chunk_size(&mut self, chunk_size: u32) {
        let chunk_size = chunk_size.clamp(DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE);
        self.send(Control::SetChunkSize(chunk_size));
        self.chunk_size = chunk_size;
    }

    /// The size of our chunks in bytes, as announced.
    pub(super) const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The outgoing bytes, for media to be appended.
    pub(super) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        self.unread_replies = 0;
        Bytes::from(std::mem::take(&mut self.output))
    }

    pub(super) const fn handshake_done(&self) -> bool {
        self.handshake.is_none()
    }

    pub(super) const fn received_any(&self) -> bool {
        self.received_any
    }

    /// The memory in bytes that messages take which have partly arrived.
    pub(super) const fn partial_bytes(&self) -> usize {
        self.reader.partial_bytes()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("handshake_done", &self.handshake_done())
            .field("received", &self.received)
            .field("output", &self.output.len())
            .finish_non_exhaustive()
    }
}
