//! Puts messages together again from the chunks of a connection (RTMP 1.0 specification 5.3).
//!
//! Owns the state of each chunk stream, the messages that have partly arrived, the peer's chunk size and Abort. Both
//! session machines call it with whatever bytes came; it keeps no input beyond a cut-off header and the partial
//! messages, copies each payload byte once into its message, and allocates by what arrived, not by what was announced.
//! It knows nothing of what messages mean, apart from the two (Set Chunk Size, Abort) that are about chunks.

mod chunk_stream;
mod header;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::rtmp::message::type_id;
use chunk_stream::ChunkStream;
use header::Header;

/// The chunk size before any Set Chunk Size (5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// No chunk can be larger than a message (5.4.1): larger announcements mean this.
pub const MAX_CHUNK_SIZE: u32 = 0xFF_FFFF;

/// The largest command or control message in bytes.
pub const MAX_COMMAND_BYTES: u32 = 64 << 10;

/// The largest audio, video, data or aggregate message in bytes.
pub const MAX_MEDIA_BYTES: u32 = 8 << 20;

/// How many chunk streams a peer may use.
pub const MAX_CHUNK_STREAMS: usize = 64;

/// How much memory in bytes the partial messages of one connection may take, once it is trusted with media.
pub const MAX_PARTIAL_BYTES: usize = 16 << 20;

/// How much they may take before: enough for any command, and for media that is sent a little early.
pub const MAX_PARTIAL_BYTES_BEFORE_MEDIA: usize = 256 << 10;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// The message type (5.4, 7.1).
    pub type_id: u8,
    /// The message stream.
    pub stream_id: u32,
    /// Milliseconds on the sender's clock, wrapping at 2^32.
    pub timestamp: u32,
    /// The body.
    pub payload: Bytes,
}

/// Why a chunk stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A compressed header on a chunk stream that had no full one.
    #[error("a chunk header leans on an earlier one that never came")]
    NoEarlierHeader,
    /// A header that starts another message before the last of its chunk stream was complete.
    #[error("a message starts inside another one of the same chunk stream")]
    Interrupted,
    /// More chunk streams than [`MAX_CHUNK_STREAMS`].
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyChunkStreams,
    /// A chunk size that is 0 or has its reserved bit set.
    #[error("chunk size {0} is invalid")]
    ChunkSize(u32),
    /// A message above the limit of its type.
    #[error("a message of type {type_id} announces {length} bytes")]
    MessageTooLarge {
        /// The message type.
        type_id: u8,
        /// The announced length in bytes.
        length: u32,
    },
    /// Partial messages above [`MAX_PARTIAL_BYTES`], or [`MAX_PARTIAL_BYTES_BEFORE_MEDIA`].
    #[error("unfinished messages take too much memory")]
    PartialBytes,
    /// A Set Chunk Size or Abort without its four bytes.
    #[error("a chunk control message is cut off")]
    Truncated,
}

/// The reader of one connection's incoming chunks.
#[derive(Debug)]
pub struct ChunkReader {
    chunk_size: u32,
    streams: Vec<ChunkStream>,
    allocated: usize,
    max_allocated: usize,
    state: State,
    header: Header,
    replay: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Inside a chunk header.
    Header,
    /// Behind a type 3 header where an extended timestamp may or may not stand: this many bytes looked like it.
    Probe { stream: usize, matched: usize },
    /// Inside a chunk's payload, with this many bytes to come.
    Payload { stream: usize, left: usize },
}

enum Step {
    Progress,
    NeedInput,
    Message(RawMessage),
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkReader {
    /// A reader at the start of a connection, behind the handshake.
    pub fn new() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            allocated: 0,
            max_allocated: MAX_PARTIAL_BYTES_BEFORE_MEDIA,
            state: State::Header,
            header: Header::default(),
            replay: Vec::new(),
        }
    }

    /// Lets unfinished messages take [`MAX_PARTIAL_BYTES`] from now on: the peer is to send media.
    pub fn expect_media(&mut self) {
        self.max_allocated = MAX_PARTIAL_BYTES;
    }

    /// Takes bytes off `input` up to the end of the next message, or all of them if none ends there.
    ///
    /// A message whose last bytes look like the start of an extended timestamp comes with the next byte behind it.
    /// After an error the position in the chunk stream is lost: the connection is to be closed.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<RawMessage>, ChunkError> {
        loop {
            let step = if self.replay.is_empty() { self.step(input)? } else { self.step_through_replay()? };
            match step {
                Step::Progress => {}
                Step::NeedInput if self.replay.is_empty() && input.is_empty() => return Ok(None),
                Step::NeedInput => {}
                Step::Message(message) => return Ok(Some(message)),
            }
        }
    }

    /// The memory in bytes that unfinished messages take at present.
    pub const fn partial_bytes(&self) -> usize {
        self.allocated
    }

    /// Bytes that were taken for the start of an extended timestamp, and are not one, are read again as what they are.
    fn step_through_replay(&mut self) -> Result<Step, ChunkError> {
        let replay = std::mem::take(&mut self.replay);
        let mut rest = replay.as_slice();
        let step = self.step(&mut rest)?;
        self.replay.extend_from_slice(rest);
        Ok(step)
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Step, ChunkError> {
        match self.state {
            State::Header => {
                if !self.header.fill(input) {
                    return Ok(Step::NeedInput);
                }
                let header = std::mem::take(&mut self.header);
                self.begin_chunk(&header)
            }
            State::Probe { stream, matched } => self.probe(stream, matched, input),
            State::Payload { stream, left } => self.take_payload(stream, left, input),
        }
    }

    fn begin_chunk(&mut self, header: &Header) -> Result<Step, ChunkError> {
        let index = self.stream_index(header)?;
        let Some(stream) = self.streams.get_mut(index) else { return Err(ChunkError::NoEarlierHeader) };
        stream.apply(header)?;
        if header.is_type_3() && stream.extended {
            self.state = State::Probe { stream: index, matched: 0 };
            return Ok(Step::Progress);
        }
        self.begin_payload(index)
    }

    /// Type 3 chunks repeat the extended timestamp by the specification (5.3.1.3), but not by every encoder: whatever
    /// differs from the value in force is payload.
    fn probe(&mut self, index: usize, matched: usize, input: &mut &[u8]) -> Result<Step, ChunkError> {
        let Some(stream) = self.streams.get(index) else { return Err(ChunkError::NoEarlierHeader) };
        let expected = stream.timestamp_field.to_be_bytes();
        let (before, missing) = expected.split_at(matched.min(expected.len()));
        let count = missing.len().min(input.len());
        let (candidate, rest) = input.split_at(count);
        if !missing.starts_with(candidate) {
            self.replay.extend_from_slice(before);
            return self.begin_payload(index);
        }
        *input = rest;
        if count == missing.len() {
            return self.begin_payload(index);
        }
        self.state = State::Probe { stream: index, matched: matched + count };
        Ok(Step::NeedInput)
    }

    fn begin_payload(&mut self, index: usize) -> Result<Step, ChunkError> {
        let Some(stream) = self.streams.get_mut(index) else { return Err(ChunkError::NoEarlierHeader) };
        let missing = stream.missing();
        if missing == 0 {
            return self.finish_message(index);
        }
        self.state = State::Payload { stream: index, left: missing.min(to_usize(self.chunk_size)) };
        Ok(Step::Progress)
    }

    fn take_payload(&mut self, index: usize, left: usize, input: &mut &[u8]) -> Result<Step, ChunkError> {
        let Some(stream) = self.streams.get_mut(index) else { return Err(ChunkError::NoEarlierHeader) };
        let (bytes, rest) = input.split_at(left.min(input.len()));
        let budget = self.max_allocated.saturating_sub(self.allocated);
        self.allocated += stream.append(bytes, budget)?;
        *input = rest;
        let missing = stream.missing();
        let left = left - bytes.len();
        if missing == 0 {
            self.finish_message(index)
        } else if left == 0 {
            self.state = State::Header;
            Ok(Step::Progress)
        } else {
            self.state = State::Payload { stream: index, left };
            Ok(Step::NeedInput)
        }
    }

    fn finish_message(&mut self, index: usize) -> Result<Step, ChunkError> {
        self.state = State::Header;
        let Some(stream) = self.streams.get_mut(index) else { return Err(ChunkError::NoEarlierHeader) };
        let (message, freed) = stream.take_message();
        self.allocated -= freed;
        match message.type_id {
            type_id::SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
            type_id::ABORT => self.abort(&message.payload)?,
            _ => return Ok(Step::Message(message)),
        }
        Ok(Step::Progress)
    }

    /// Set Chunk Size (5.4.1).
    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), ChunkError> {
        let size = first_u32(payload)?;
        if size == 0 || size > i32::MAX.unsigned_abs() {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE);
        Ok(())
    }

    /// Abort (5.4.2): the partial message of a chunk stream will not be finished.
    fn abort(&mut self, payload: &[u8]) -> Result<(), ChunkError> {
        let id = first_u32(payload)?;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            self.allocated -= stream.discard_message();
        }
        Ok(())
    }

    fn stream_index(&mut self, header: &Header) -> Result<usize, ChunkError> {
        let id = header.chunk_stream_id();
        if let Some(index) = self.streams.iter().position(|stream| stream.id == id) {
            return Ok(index);
        }
        if self.streams.len() >= MAX_CHUNK_STREAMS {
            return Err(ChunkError::TooManyChunkStreams);
        }
        self.streams.push(ChunkStream::new(id, header)?);
        Ok(self.streams.len() - 1)
    }
}

fn first_u32(payload: &[u8]) -> Result<u32, ChunkError> {
    payload.first_chunk().copied().map(u32::from_be_bytes).ok_or(ChunkError::Truncated)
}

/// Chunk sizes and message lengths have 24 bits, and `usize` has at least 32 where this runs.
fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
