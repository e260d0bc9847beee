//! Cuts media into chunks (RTMP 1.0 specification 5.3).
//!
//! Owns the wire form of audio, video and data messages: each starts with a full (type 0) header on the fixed chunk
//! stream of its kind and continues with type 3 chunks, so the bytes depend on nothing sent before and are the same for
//! every player. The ring and the publishing client call it. It never writes commands or control messages, whose chunk
//! streams (2, 3, 5 and 6) it leaves alone.

use bytes::BufMut;

use crate::media::Kind;

/// The chunk stream of audio messages.
pub const AUDIO_CHUNK_STREAM: u8 = 8;

/// The chunk stream of video messages.
pub const VIDEO_CHUNK_STREAM: u8 = 9;

/// The chunk stream of data messages.
pub const DATA_CHUNK_STREAM: u8 = 10;

/// The largest payload in bytes that a message header can express; nothing is written for a larger one.
pub const MAX_PAYLOAD_BYTES: usize = 0xFF_FFFF;

const FULL_HEADER_BYTES: usize = 12;
const EXTENDED_TIMESTAMP_BYTES: usize = 4;
const EXTENDED: u32 = 0xFF_FFFF;
const TYPE_3: u8 = 3 << 6;

/// Appends one media message: `timestamp` in milliseconds, `stream_id` the message stream, in chunks of at most
/// `chunk_size` bytes (0 counts as 1). `out` must grow on demand, as `Vec` and `BytesMut` do.
pub fn write_media(
    out: &mut impl BufMut,
    kind: Kind,
    timestamp: u32,
    stream_id: u32,
    payload: &[u8],
    chunk_size: usize,
) {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return;
    }
    let chunk_stream = chunk_stream(kind);
    let extended = timestamp >= EXTENDED;
    let (first, mut rest) = payload.split_at(payload.len().min(chunk_size.max(1)));

    out.put_u8(chunk_stream);
    out.put_uint(u64::from(timestamp.min(EXTENDED)), 3);
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind.type_id());
    out.put_u32_le(stream_id);
    if extended {
        out.put_u32(timestamp);
    }
    out.put_slice(first);
    while !rest.is_empty() {
        let (chunk, remainder) = rest.split_at(rest.len().min(chunk_size.max(1)));
        out.put_u8(TYPE_3 | chunk_stream);
        if extended {
            out.put_u32(timestamp);
        }
        out.put_slice(chunk);
        rest = remainder;
    }
}

/// Exactly how many bytes [`write_media`] appends for such a message.
pub const fn media_wire_len(payload_len: usize, timestamp: u32, chunk_size: usize) -> usize {
    if payload_len > MAX_PAYLOAD_BYTES {
        return 0;
    }
    let chunk_size = if chunk_size == 0 { 1 } else { chunk_size };
    let continuations = payload_len.saturating_sub(1) / chunk_size;
    let extended = if timestamp >= EXTENDED { EXTENDED_TIMESTAMP_BYTES } else { 0 };
    FULL_HEADER_BYTES + extended + payload_len + continuations * (1 + extended)
}

const fn chunk_stream(kind: Kind) -> u8 {
    match kind {
        Kind::Audio => AUDIO_CHUNK_STREAM,
        Kind::Video => VIDEO_CHUNK_STREAM,
        Kind::Data => DATA_CHUNK_STREAM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, timestamp: u32, stream_id: u32, payload: &[u8], chunk_size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_media(&mut out, kind, timestamp, stream_id, payload, chunk_size);
        assert_eq!(out.len(), media_wire_len(payload.len(), timestamp, chunk_size));
        out
    }

    #[test]
    fn a_message_starts_with_a_full_header() {
        let bytes = written(Kind::Video, 0x010203, 0x0A0B, &[7, 8], 60_000);
        assert_eq!(bytes, [9, 1, 2, 3, 0, 0, 2, 9, 0x0B, 0x0A, 0, 0, 7, 8]);
    }

    #[test]
    fn a_long_message_continues_with_type_3_chunks() {
        let bytes = written(Kind::Audio, 0, 1, &[1, 2, 3, 4, 5], 2);
        assert_eq!(bytes[12..], [1, 2, 0xC8, 3, 4, 0xC8, 5]);
    }

    #[test]
    fn a_message_of_exactly_one_chunk_has_no_continuation() {
        assert_eq!(written(Kind::Data, 0, 1, &[1, 2], 2).len(), 14);
    }

    #[test]
    fn an_empty_message_is_a_header() {
        assert_eq!(written(Kind::Audio, 0, 1, &[], 128).len(), 12);
    }

    #[test]
    fn extended_timestamps_stand_in_every_chunk() {
        let bytes = written(Kind::Audio, 0xFF_FFFF, 1, &[1, 2, 3], 2);
        assert_eq!(bytes[1..4], [0xFF, 0xFF, 0xFF]);
        assert_eq!(bytes[12..], [0, 0xFF, 0xFF, 0xFF, 1, 2, 0xC8, 0, 0xFF, 0xFF, 0xFF, 3]);
    }

    #[test]
    fn a_payload_that_no_header_can_express_is_not_written() {
        assert!(written(Kind::Data, 0, 1, &vec![0; MAX_PAYLOAD_BYTES + 1], 60_000).is_empty());
    }
}
