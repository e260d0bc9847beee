//! The tables that tell what is in a transport stream (ISO/IEC 13818-1, 2.4.4).

use bytes::{BufMut, BytesMut};

use super::packet::Pid;
use crate::mux::tracks::{AudioCodec, Tracks};

const PROGRAM_NUMBER: u16 = 1;
const TRANSPORT_STREAM_ID: u16 = 1;
const ASSOCIATION_TABLE: u8 = 0;
const MAP_TABLE: u8 = 2;

/// `stream_type` (ISO/IEC 13818-1, table 2-34; ATSC A/53 for AC-3).
mod stream_type {
    pub(super) const MPEG1_AUDIO: u8 = 0x03;
    pub(super) const MPEG2_AUDIO: u8 = 0x04;
    pub(super) const AAC_IN_ADTS: u8 = 0x0f;
    pub(super) const AVC: u8 = 0x1b;
    pub(super) const AC3: u8 = 0x81;
}

/// The registration descriptor with which ATSC marks AC-3.
const AC3_REGISTRATION: &[u8] = b"\x05\x04AC-3";

/// What the program map says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    version: u8,
    has_video: bool,
    audio: Option<u8>,
}

impl Program {
    /// The program of tracks that fit.
    pub(super) fn of(tracks: &Tracks, version: u8) -> Self {
        let audio = tracks.audio.as_ref().map(|audio| match audio.codec {
            AudioCodec::Mp3 if audio.sample_rate >= 32_000 => stream_type::MPEG1_AUDIO,
            AudioCodec::Mp3 => stream_type::MPEG2_AUDIO,
            AudioCodec::Ac3 => stream_type::AC3,
            _ => stream_type::AAC_IN_ADTS,
        });
        Self { version: version & 0x1f, has_video: tracks.video.is_some(), audio }
    }

    pub(super) const fn version(&self) -> u8 {
        self.version
    }

    /// Where the clock references are.
    pub(super) const fn clock(&self) -> Pid {
        if self.has_video { Pid::Video } else { Pid::Audio }
    }

    /// The program map table.
    pub(super) fn section(&self) -> BytesMut {
        let mut body = BytesMut::new();
        body.put_u16(0xe000 | self.clock().number());
        body.put_u16(0xf000);
        if self.has_video {
            put_stream(stream_type::AVC, Pid::Video, &[], &mut body);
        }
        if let Some(audio) = self.audio {
            let descriptors = if audio == stream_type::AC3 { AC3_REGISTRATION } else { &[] };
            put_stream(audio, Pid::Audio, descriptors, &mut body);
        }
        section(MAP_TABLE, PROGRAM_NUMBER, self.version, &body)
    }
}

/// The program association table: one program.
pub(super) fn association() -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(PROGRAM_NUMBER);
    body.put_u16(0xe000 | Pid::Map.number());
    section(ASSOCIATION_TABLE, TRANSPORT_STREAM_ID, 0, &body)
}

fn put_stream(stream_type: u8, pid: Pid, descriptors: &[u8], out: &mut BytesMut) {
    out.put_u8(stream_type);
    out.put_u16(0xe000 | pid.number());
    out.put_u16(0xf000 | descriptors.len() as u16);
    out.put_slice(descriptors);
}

fn section(table: u8, id: u16, version: u8, body: &[u8]) -> BytesMut {
    const BEHIND_LENGTH_BYTES: usize = 5;
    const CHECKSUM_BYTES: usize = 4;
    let mut out = BytesMut::new();
    out.put_u8(table);
    out.put_u16(0xb000 | (BEHIND_LENGTH_BYTES + body.len() + CHECKSUM_BYTES) as u16);
    out.put_u16(id);
    // Reserved bits, the version, in force now.
    out.put_u8(0xc0 | version << 1 | 1);
    out.put_u16(0);
    out.put_slice(body);
    let checksum = checksum(&out);
    out.put_u32(checksum);
    out
}

/// CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A).
fn checksum(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x04c1_1db7;
    let step = |sum: u32| if sum & 1 << 31 == 0 { sum << 1 } else { sum << 1 ^ POLYNOMIAL };
    bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| step(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(checksum(b"123456789"), 0x0376_e6e7);
    }
}
