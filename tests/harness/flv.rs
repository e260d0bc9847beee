//! The FLV container, read from any byte source (Adobe FLV specification 10.1, annex E).

use std::io::{self, Read};

use rillcast::media::{Kind, Tag};

const AUDIO_FLAG: u8 = 0x04;
const VIDEO_FLAG: u8 = 0x01;

/// The flags of an FLV file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// There are audio tags.
    pub audio: bool,
    /// There are video tags.
    pub video: bool,
}

/// Reads the file header and the first `PreviousTagSize`.
pub fn read_header(source: &mut impl Read) -> io::Result<Flags> {
    let mut header = [0; 13];
    source.read_exact(&mut header)?;
    let [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0] = header else {
        return Err(invalid(&format!("not an FLV header: {header:02x?}")));
    };
    Ok(Flags { audio: flags & AUDIO_FLAG != 0, video: flags & VIDEO_FLAG != 0 })
}

/// Reads the next tag; `None` at the end of the body, which may only come between two tags.
pub fn read_tag(source: &mut impl Read) -> io::Result<Option<Tag>> {
    let mut header = [0; 11];
    if source.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    source.read_exact(&mut header[1..])?;
    let [kind, s0, s1, s2, t0, t1, t2, t3, 0, 0, 0] = header else {
        return Err(invalid(&format!("a stream id that is not 0: {header:02x?}")));
    };
    let size = u32::from_be_bytes([0, s0, s1, s2]);
    let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
    let mut payload = vec![0; size as usize];
    source.read_exact(&mut payload)?;
    let mut previous_size = [0; 4];
    source.read_exact(&mut previous_size)?;
    if u32::from_be_bytes(previous_size) != size + 11 {
        return Err(invalid("PreviousTagSize is not the tag's size"));
    }
    let kind = Kind::from_type_id(kind).ok_or_else(|| invalid(&format!("tag type {kind}")))?;
    Ok(Some(Tag { kind, timestamp, payload: payload.into() }))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}
