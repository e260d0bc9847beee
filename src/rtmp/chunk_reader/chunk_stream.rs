//! One chunk stream: the header in force and the message that is arriving on it (RTMP 1.0 specification 5.3.1.2).
//!
//! Owns header compression, the limits of a message and the growth of its buffer. Called by the chunk reader only.

use bytes::Bytes;

use super::header::Header;
use super::{ChunkError, MAX_COMMAND_BYTES, MAX_MEDIA_BYTES, RawMessage, to_usize};
use crate::rtmp::message::type_id;

#[derive(Debug)]
pub(super) struct ChunkStream {
    pub(super) id: u32,
    /// The last header's timestamp or delta as it stood there: type 3 chunks repeat it.
    pub(super) timestamp_field: u32,
    /// Whether that field was an extended one.
    pub(super) extended: bool,
    timestamp: u32,
    message_stream_id: u32,
    length: u32,
    type_id: u8,
    in_message: bool,
    payload: Vec<u8>,
}

impl ChunkStream {
    /// A chunk stream that `header` opens. By the specification that takes a full header; librtmp opens its control
    /// chunk stream with one of type 1, which lacks nothing but the message stream.
    pub(super) fn new(id: u32, header: &Header) -> Result<Self, ChunkError> {
        if header.chunk_type() > 1 {
            return Err(ChunkError::NoEarlierHeader);
        }
        Ok(Self {
            id,
            timestamp_field: 0,
            extended: false,
            timestamp: 0,
            message_stream_id: 0,
            length: 0,
            type_id: 0,
            in_message: false,
            payload: Vec::new(),
        })
    }

    /// Takes over a chunk's header: it starts the next message, or continues the one that is arriving.
    pub(super) fn apply(&mut self, header: &Header) -> Result<(), ChunkError> {
        if self.in_message {
            return self.check_continuation(header);
        }
        if !header.is_type_3() {
            self.timestamp_field = header.timestamp_field();
            self.extended = header.is_extended();
        }
        if let Some((length, type_id)) = header.length_and_type() {
            self.length = length;
            self.type_id = type_id;
        }
        if let Some(message_stream_id) = header.message_stream_id() {
            self.message_stream_id = message_stream_id;
            self.timestamp = self.timestamp_field;
        } else {
            // A type 3 chunk behind a type 0 takes that one's timestamp for its delta (5.3.1.2.4).
            self.timestamp = self.timestamp.wrapping_add(self.timestamp_field);
        }
        if self.length > max_length(self.type_id) {
            return Err(ChunkError::MessageTooLarge { type_id: self.type_id, length: self.length });
        }
        self.in_message = true;
        Ok(())
    }

    /// Continuations have type 3; some encoders repeat the message's own header instead, which does no harm.
    fn check_continuation(&self, header: &Header) -> Result<(), ChunkError> {
        match header.length_and_type() {
            Some(repeated) if repeated != (self.length, self.type_id) => Err(ChunkError::Interrupted),
            _ => Ok(()),
        }
    }

    /// How many bytes of the arriving message are still to come.
    pub(super) fn missing(&self) -> usize {
        to_usize(self.length).saturating_sub(self.payload.len())
    }

    /// Appends to the arriving message; returns by how much its memory grew. It grows by doubling what has arrived, up
    /// to the announced length, and never beyond `budget`.
    pub(super) fn append(&mut self, bytes: &[u8], budget: usize) -> Result<usize, ChunkError> {
        let before = self.payload.capacity();
        let needed = self.payload.len() + bytes.len();
        if needed > before {
            let target = needed.max(to_usize(self.length).min(before * 2));
            if target - before > budget {
                return Err(ChunkError::PartialBytes);
            }
            self.payload.reserve_exact(target - self.payload.len());
        }
        self.payload.extend_from_slice(bytes);
        Ok(self.payload.capacity() - before)
    }

    /// The message that is now complete, and how much memory it takes along.
    pub(super) fn take_message(&mut self) -> (RawMessage, usize) {
        self.in_message = false;
        let payload = std::mem::take(&mut self.payload);
        let freed = payload.capacity();
        let message = RawMessage {
            type_id: self.type_id,
            stream_id: self.message_stream_id,
            timestamp: self.timestamp,
            payload: Bytes::from(payload),
        };
        (message, freed)
    }

    /// Forgets the arriving message; returns how much memory that frees.
    pub(super) fn discard_message(&mut self) -> usize {
        self.in_message = false;
        std::mem::take(&mut self.payload).capacity()
    }
}

const fn max_length(type_id: u8) -> u32 {
    match type_id {
        type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF3 | type_id::DATA_AMF0 | type_id::AGGREGATE => {
            MAX_MEDIA_BYTES
        }
        _ => MAX_COMMAND_BYTES,
    }
}
