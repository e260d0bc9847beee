//! Transport stream packets (ISO/IEC 13818-1, 2.4.3): 188 bytes each, counted on every PID.

use bytes::{BufMut, BytesMut};

use super::PACKET_BYTES;

const SYNC_BYTE: u8 = 0x47;
const HEADER_BYTES: usize = 4;
const PAYLOAD_BYTES: usize = PACKET_BYTES - HEADER_BYTES;
const STUFFING: u8 = 0xff;
/// Clock references in their packets: 33 bits in 90 kHz, 6 reserved, 9 in 27 MHz.
const CLOCK_BYTES: usize = 6;

/// The packet identifiers in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pid {
    /// The program association table.
    Association,
    /// The program map table.
    Map,
    /// The video.
    Video,
    /// The audio.
    Audio,
}

impl Pid {
    /// The number on the wire.
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Association => 0,
            Self::Map => 0x1000,
            Self::Video => 0x100,
            Self::Audio => 0x101,
        }
    }
}

/// A packetised elementary stream packet, to be cut into transport packets.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    /// The clock reference to go with it, in 90 kHz.
    pub(super) clock: Option<u64>,
    /// Whether decoding can begin here.
    pub(super) is_random_access: bool,
    pub(super) bytes: &'a [u8],
}

/// Writes packets, and counts them.
#[derive(Debug, Default)]
pub(super) struct PacketWriter {
    /// The next continuity counter of each PID.
    counters: [u8; 4],
}

impl PacketWriter {
    /// Writes a table in a packet of its own.
    pub(super) fn write_section(&mut self, pid: Pid, section: &[u8], out: &mut BytesMut) {
        debug_assert!(section.len() < PAYLOAD_BYTES, "tables are small");
        let end = out.len() + PACKET_BYTES;
        self.put_header(pid, true, Content::Payload, out);
        // pointer_field: the section begins at once.
        out.put_u8(0);
        out.put_slice(section);
        out.resize(end, STUFFING);
    }

    /// Writes a unit in as many packets as it needs.
    pub(super) fn write_unit(&mut self, pid: Pid, unit: &Unit<'_>, out: &mut BytesMut) {
        out.reserve((unit.bytes.len() / PAYLOAD_BYTES + 2) * PACKET_BYTES);
        let mut rest = unit.bytes;
        let mut field = AdaptationField { clock: unit.clock, is_random_access: unit.is_random_access };
        let mut is_first = true;
        while !rest.is_empty() {
            let space = PAYLOAD_BYTES - field.least_bytes();
            let (now, later) = rest.split_at(space.min(rest.len()));
            let field_bytes = PAYLOAD_BYTES - now.len();
            self.put_header(pid, is_first, if field_bytes > 0 { Content::Both } else { Content::Payload }, out);
            field.put(field_bytes, out);
            out.put_slice(now);
            rest = later;
            field = AdaptationField { clock: None, is_random_access: false };
            is_first = false;
        }
    }

    /// Writes a packet with nothing but a clock reference.
    pub(super) fn write_clock(&mut self, pid: Pid, clock: u64, out: &mut BytesMut) {
        self.put_header(pid, false, Content::Field, out);
        AdaptationField { clock: Some(clock), is_random_access: false }.put(PAYLOAD_BYTES, out);
    }

    fn put_header(&mut self, pid: Pid, begins_unit: bool, content: Content, out: &mut BytesMut) {
        let counter = &mut self.counters[pid as usize];
        let number = match content {
            // Without a payload the counter stands still.
            Content::Field => counter.wrapping_sub(1) & 0x0f,
            Content::Payload | Content::Both => {
                let number = *counter;
                *counter = (number + 1) & 0x0f;
                number
            }
        };
        out.put_u8(SYNC_BYTE);
        out.put_u16(u16::from(begins_unit) << 14 | pid.number());
        out.put_u8((content as u8) << 4 | number);
    }
}

/// What follows a packet's header (`adaptation_field_control`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Payload = 0b01,
    Field = 0b10,
    Both = 0b11,
}

/// What a packet says beside its payload (ISO/IEC 13818-1, 2.4.3.4).
#[derive(Debug, Clone, Copy)]
struct AdaptationField {
    clock: Option<u64>,
    is_random_access: bool,
}

impl AdaptationField {
    /// The bytes it takes without stuffing: none if it has nothing to say.
    const fn least_bytes(self) -> usize {
        match (self.clock, self.is_random_access) {
            (None, false) => 0,
            (None, true) => 2,
            (Some(_), _) => 2 + CLOCK_BYTES,
        }
    }

    /// Writes it with stuffing, `bytes` in all.
    fn put(self, bytes: usize, out: &mut BytesMut) {
        if bytes == 0 {
            return;
        }
        let end = out.len() + bytes;
        out.put_u8((bytes - 1) as u8);
        if bytes > 1 {
            out.put_u8(u8::from(self.is_random_access) << 6 | u8::from(self.clock.is_some()) << 4);
        }
        if let Some(clock) = self.clock {
            out.put_uint(clock << 15 | 0x3f << 9, CLOCK_BYTES);
        }
        out.resize(end, STUFFING);
    }
}
