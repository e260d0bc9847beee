//! FLV, the format: a header, then tags.
//!
//! Owns writing tags (for HTTP players) and reading them back (for files and for upstreams that speak HTTP-FLV). The hub
//! calls the writer; it knows nothing of connections.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Kind, Tag};

/// The size of the file header together with the first `PreviousTagSize`.
pub const HEADER_BYTES: usize = 13;
/// What a tag adds to its body: an 11 byte header before it, a 4 byte `PreviousTagSize` behind it.
pub const TAG_OVERHEAD_BYTES: usize = 15;
/// The largest tag body that is read: the same bound as for an RTMP media message.
pub const MAX_BODY_BYTES: usize = 8 << 20;

const TAG_HEADER_BYTES: usize = 11;

/// Why bytes are not FLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// The file header is missing.
    #[error("the FLV signature is missing")]
    Signature,
    /// The header's `DataOffset` is not 9.
    #[error("the FLV header has an unknown size")]
    HeaderSize,
    /// A tag announced more than [`MAX_BODY_BYTES`].
    #[error("an FLV tag announces {0} bytes, more than {MAX_BODY_BYTES}")]
    TooLarge(usize),
    /// A tag is of a type that does not exist, or is encrypted.
    #[error("an FLV tag has the unknown type {0}")]
    TagType(u8),
}

/// The file header (FLV specification E.2) with the first `PreviousTagSize` (E.3).
pub const fn header(audio: bool, video: bool) -> [u8; HEADER_BYTES] {
    let flags = (audio as u8) << 2 | video as u8;
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// A script tag without a body: it means nothing, and shows a peer that one is still there.
pub fn sign_of_life(timestamp: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(TAG_OVERHEAD_BYTES);
    write_tag(&mut out, Kind::Data, timestamp, &[]);
    out.freeze()
}

/// The timestamp of the last of `tags`, whole tags as [`write_tag`] appends them; `None` if they are not.
pub fn last_timestamp(tags: &[u8]) -> Option<u32> {
    let (tags, size) = tags.split_last_chunk::<4>()?;
    let begin = tags.len().checked_sub(u32::from_be_bytes(*size) as usize)?;
    match tags.get(begin..)? {
        [_, _, _, _, time_2, time_1, time_0, time_3, ..] => {
            Some(u32::from_be_bytes([*time_3, *time_2, *time_1, *time_0]))
        }
        _ => None,
    }
}

/// Appends one tag (FLV specification E.4.1) with its `PreviousTagSize`.
pub fn write_tag(out: &mut impl BufMut, kind: Kind, timestamp: u32, payload: &[u8]) {
    let size = payload.len() as u32;
    out.put_u8(kind.type_id());
    out.put_uint(u64::from(size), 3);
    out.put_uint(u64::from(timestamp & 0x00ff_ffff), 3);
    out.put_u8((timestamp >> 24) as u8);
    out.put_uint(0, 3);
    out.put_slice(payload);
    out.put_u32(size + TAG_HEADER_BYTES as u32);
}

/// Reads FLV from pieces of any size.
///
/// Holds at most one incomplete tag; memory follows what arrived, not what was announced.
#[derive(Debug, Default)]
pub struct FlvReader {
    buffer: BytesMut,
    header_seen: bool,
}

impl FlvReader {
    /// Takes the next piece.
    pub fn feed(&mut self, input: &[u8]) {
        self.buffer.extend_from_slice(input);
    }

    /// The next whole tag, or `None` until more is fed. Script tags without a body ([`sign_of_life`]) are passed over.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        if !self.header_seen && !self.read_header()? {
            return Ok(None);
        }
        loop {
            match self.read_tag()? {
                Some(tag) if tag.kind == Kind::Data && tag.payload.is_empty() => {}
                tag => return Ok(tag),
            }
        }
    }

    /// Whether it stands between two tags, or has had nothing at all.
    pub fn is_at_border(&self) -> bool {
        self.buffer.is_empty()
    }

    fn read_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        let Some(&[kind, size_2, size_1, size_0, time_2, time_1, time_0, time_3, _, _, _]) =
            self.buffer.first_chunk::<TAG_HEADER_BYTES>()
        else {
            return Ok(None);
        };
        // Bit 5 marks encryption; the two above it are reserved.
        let kind = Kind::from_type_id(kind).ok_or(FlvError::TagType(kind))?;
        let size = u32::from_be_bytes([0, size_2, size_1, size_0]) as usize;
        if size > MAX_BODY_BYTES {
            return Err(FlvError::TooLarge(size));
        }
        if self.buffer.len() < size + TAG_OVERHEAD_BYTES {
            return Ok(None);
        }
        self.buffer.advance(TAG_HEADER_BYTES);
        let payload: Bytes = self.buffer.split_to(size).freeze();
        // PreviousTagSize: writers get it wrong, and nothing depends on it.
        self.buffer.advance(TAG_OVERHEAD_BYTES - TAG_HEADER_BYTES);
        Ok(Some(Tag { kind, timestamp: u32::from_be_bytes([time_3, time_2, time_1, time_0]), payload }))
    }

    fn read_header(&mut self) -> Result<bool, FlvError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(false) };
        if !header.starts_with(b"FLV") {
            return Err(FlvError::Signature);
        }
        if header[5..9] != [0, 0, 0, 9] {
            return Err(FlvError::HeaderSize);
        }
        self.buffer.advance(HEADER_BYTES);
        self.header_seen = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(reader: &mut FlvReader) -> Vec<Tag> {
        std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
    }

    #[test]
    fn the_header_flags_tell_the_tracks() {
        assert_eq!(header(true, true)[4], 5);
        assert_eq!(header(true, false)[4], 4);
        assert_eq!(header(false, true)[4], 1);
    }

    #[test]
    fn the_upper_byte_of_a_timestamp_stands_behind_its_lower_three() {
        let mut out = Vec::new();
        write_tag(&mut out, Kind::Audio, 0x0102_0304, b"x");
        assert_eq!(out[..11], [8, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0]);
        assert_eq!(out[11..], [b'x', 0, 0, 0, 12]);
    }

    #[test]
    fn what_is_not_flv_is_refused() {
        let error_of = |bytes: &[u8]| {
            let mut reader = FlvReader::default();
            reader.feed(bytes);
            reader.next_tag().unwrap_err()
        };
        assert_eq!(error_of(b"<html><body>404"), FlvError::Signature);
        assert_eq!(error_of(&[&header(true, true)[..], &[3; 11]].concat()), FlvError::TagType(3));
        let huge = [9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(error_of(&[&header(true, true)[..], &huge].concat()), FlvError::TooLarge(0x00ff_ffff));
    }

    #[test]
    fn a_sign_of_life_is_passed_over_wherever_it_stands() {
        let mut bytes = [&header(true, true)[..], &sign_of_life(7), &sign_of_life(7)].concat();
        write_tag(&mut bytes, Kind::Video, 8, b"picture");
        bytes.extend(sign_of_life(8));
        for piece in [1, 5, 15, bytes.len()] {
            let mut reader = FlvReader::default();
            let mut tags = Vec::new();
            for piece in bytes.chunks(piece) {
                reader.feed(piece);
                tags.extend(read_all(&mut reader));
            }
            assert_eq!(tags.iter().map(|tag| (tag.kind, tag.timestamp)).collect::<Vec<_>>(), [(Kind::Video, 8)]);
            assert!(reader.is_at_border());
        }
    }

    #[test]
    fn the_last_timestamp_of_a_block_is_found_from_its_end() {
        let mut tags = Vec::new();
        write_tag(&mut tags, Kind::Audio, 5, b"sound");
        write_tag(&mut tags, Kind::Video, 0x8000_0001, b"a longer picture");
        assert_eq!(last_timestamp(&tags), Some(0x8000_0001));
        assert_eq!(last_timestamp(&sign_of_life(3)), Some(3));
        for no_tag in [&b""[..], b"abc", &[0, 0, 0, 9], &[0xff; 40], &header(true, true)] {
            assert_eq!(last_timestamp(no_tag), None, "{no_tag:?}");
        }
    }

    #[test]
    fn an_announced_tag_that_never_comes_takes_no_memory() {
        let mut reader = FlvReader::default();
        reader.feed(&header(true, true));
        reader.feed(&[9, 0x70, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reader.next_tag(), Ok(None));
        assert!(reader.buffer.capacity() < 4_096);
    }

    proptest! {
        #[test]
        fn tags_survive_writing_and_reading_in_pieces(
            tags in proptest::collection::vec(
                (0..3_usize, any::<u32>(), proptest::collection::vec(any::<u8>(), 1..300)), 0..20),
            piece in 1..400_usize,
        ) {
            let tags: Vec<Tag> = tags
                .into_iter()
                .map(|(kind, timestamp, payload)| Tag {
                    kind: [Kind::Audio, Kind::Video, Kind::Data][kind],
                    timestamp,
                    payload: payload.into(),
                })
                .collect();
            let mut bytes = header(true, true).to_vec();
            for tag in &tags {
                write_tag(&mut bytes, tag.kind, tag.timestamp, &tag.payload);
            }
            let mut reader = FlvReader::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(piece) {
                reader.feed(piece);
                read.extend(read_all(&mut reader));
            }
            prop_assert_eq!(read, tags);
        }

        #[test]
        fn no_bytes_can_harm_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FlvReader::default();
            reader.feed(&header(true, true));
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next_tag() {}
        }
    }
}
