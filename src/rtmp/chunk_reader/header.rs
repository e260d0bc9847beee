//! A chunk's header, gathered byte by byte as it arrives (RTMP 1.0 specification 5.3.1).
//!
//! Owns the three variable parts: basic header, message header and extended timestamp. Called by the chunk reader; it
//! never looks at earlier headers, so the extended timestamp of a type 3 chunk is not part of it.

/// The longest header: 3 bytes basic, 11 bytes message header, 4 bytes extended timestamp.
const MAX_HEADER_BYTES: usize = 18;

/// The timestamp field that says that an extended timestamp follows (5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

#[derive(Debug, Default)]
pub(super) struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    filled: usize,
}

impl Header {
    /// Takes from `input` what is missing; says whether the header is complete.
    pub(super) fn fill(&mut self, input: &mut &[u8]) -> bool {
        loop {
            let length = self.length();
            if self.filled == length {
                return true;
            }
            let (taken, rest) = input.split_at(input.len().min(length - self.filled));
            if taken.is_empty() {
                return false;
            }
            for (slot, byte) in self.bytes.iter_mut().skip(self.filled).zip(taken) {
                *slot = *byte;
            }
            self.filled += taken.len();
            *input = rest;
        }
    }

    /// The chunk type: 0 for a full header, up to 3 for none (5.3.1.2).
    pub(super) const fn chunk_type(&self) -> u8 {
        self.bytes[0] >> 6
    }

    pub(super) const fn is_type_3(&self) -> bool {
        self.chunk_type() == 3
    }

    pub(super) fn chunk_stream_id(&self) -> u32 {
        let [first, second, third, ..] = self.bytes;
        match first & 0x3F {
            0 => 64 + u32::from(second),
            1 => 64 + u32::from(second) + 256 * u32::from(third),
            id => u32::from(id),
        }
    }

    /// The timestamp (type 0) or delta (types 1 and 2), extended or not, in milliseconds.
    pub(super) fn timestamp_field(&self) -> u32 {
        if self.is_extended() {
            u32::from_be_bytes(self.message_header(self.message_header_length()))
        } else {
            self.short_timestamp()
        }
    }

    pub(super) fn is_extended(&self) -> bool {
        !self.is_type_3() && self.short_timestamp() == EXTENDED
    }

    /// The message's length in bytes and its type (types 0 and 1).
    pub(super) fn length_and_type(&self) -> Option<(u32, u8)> {
        let [a, b, c, type_id] = self.message_header(3);
        (self.chunk_type() <= 1).then_some((u32::from_be_bytes([0, a, b, c]), type_id))
    }

    /// The message stream (type 0), the only little-endian field of the protocol.
    pub(super) fn message_stream_id(&self) -> Option<u32> {
        let id = self.message_header(7);
        (self.chunk_type() == 0).then_some(u32::from_le_bytes(id))
    }

    /// How long the header is, as far as the bytes at hand tell: the answer grows with them up to the true length.
    fn length(&self) -> usize {
        if self.filled == 0 {
            return 1;
        }
        let short = self.basic_length() + self.message_header_length();
        if self.filled < short || !self.is_extended() { short } else { short + 4 }
    }

    const fn basic_length(&self) -> usize {
        match self.bytes[0] & 0x3F {
            0 => 2,
            1 => 3,
            _ => 1,
        }
    }

    const fn message_header_length(&self) -> usize {
        match self.chunk_type() {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => 0,
        }
    }

    fn short_timestamp(&self) -> u32 {
        let [a, b, c, _] = self.message_header(0);
        u32::from_be_bytes([0, a, b, c])
    }

    /// Four bytes at `offset` into the message header.
    fn message_header(&self, offset: usize) -> [u8; 4] {
        let start = self.basic_length() + offset;
        self.bytes.get(start..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default()
    }
}
