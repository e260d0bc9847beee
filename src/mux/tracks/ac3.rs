//! The headers of AC-3 and E-AC-3 frames (ETSI TS 102 366, 4.4 and E.1.2), and the boxes that repeat them (annex F).

use bytes::Bytes;

use crate::mux::bits::Bits;

type Parameters = (Bytes, u32, u8);

const SYNC_WORD: u32 = 0x0b77;
const BROKEN: &str = "a frame of it is broken";
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Main channels by `acmod`.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// E-AC-3's blocks of 256 samples by `numblkscod`.
const BLOCKS: [u32; 4] = [1, 2, 3, 6];

/// Reads an AC-3 frame: what `dac3` holds, hertz, channels.
pub(super) fn read(frame: &[u8]) -> Result<Parameters, &'static str> {
    read_frame(frame).ok_or(BROKEN)
}

fn read_frame(frame: &[u8]) -> Option<Parameters> {
    let mut bits = Bits::new(frame);
    if bits.take(16)? != SYNC_WORD {
        return None;
    }
    bits.skip(16)?;
    let rate_code = bits.take(2)?;
    let size_code = bits.take(6)?;
    let stream_id = bits.take(5)?;
    let mode = bits.take(3)?;
    let layout = bits.take(3)?;
    if stream_id > 10 {
        return None;
    }
    if layout & 1 != 0 && layout != 1 {
        bits.skip(2)?;
    }
    if layout & 4 != 0 {
        bits.skip(2)?;
    }
    if layout == 2 {
        bits.skip(2)?;
    }
    let low_frequency = bits.take(1)?;
    let rate = *RATES.get(rate_code as usize)?;
    let record =
        rate_code << 22 | stream_id << 17 | mode << 14 | layout << 11 | low_frequency << 10 | (size_code >> 1) << 5;
    let record = Bytes::copy_from_slice(&record.to_be_bytes()[1..]);
    Some((record, rate, CHANNELS[layout as usize] + low_frequency as u8))
}

/// Reads an E-AC-3 frame: what `dec3` holds, hertz, channels.
pub(super) fn read_enhanced(frame: &[u8]) -> Result<Parameters, &'static str> {
    let main = Substream::read(frame).ok_or(BROKEN)?;
    if main.kind != 0 || main.id != 0 {
        return Err(BROKEN);
    }
    let behind = frame.get(main.bytes..).unwrap_or_default();
    // More than one substream would need a list of them in the record.
    if Substream::read(behind).is_some_and(|next| next.kind != 0 || next.id != 0) {
        return Err("it has more than one substream");
    }
    // Kilobits a second.
    let data_rate = main.bytes as u32 * 8 * main.rate / (main.blocks * 256) / 1_000;
    let head = data_rate << 3;
    let substream = main.rate_code << 22 | main.stream_id << 17 | main.layout << 9 | main.low_frequency << 8;
    let record = [&(head as u16).to_be_bytes()[..], &substream.to_be_bytes()[1..]].concat();
    let channels = CHANNELS[main.layout as usize] + main.low_frequency as u8;
    Ok((record.into(), main.rate, channels))
}

/// One substream's frame of E-AC-3.
struct Substream {
    /// 0 is independent, 1 depends on the one before.
    kind: u32,
    id: u32,
    /// The frame's size.
    bytes: usize,
    rate: u32,
    rate_code: u32,
    blocks: u32,
    layout: u32,
    low_frequency: u32,
    stream_id: u32,
}

impl Substream {
    fn read(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        if bits.take(16)? != SYNC_WORD {
            return None;
        }
        let kind = bits.take(2)?;
        let id = bits.take(3)?;
        let bytes = (bits.take(11)? as usize + 1) * 2;
        let rate_code = bits.take(2)?;
        let (rate, blocks) = match bits.take(2)? {
            half if rate_code == 3 => (RATES.get(half as usize)? / 2, 6),
            blocks => (RATES[rate_code as usize], BLOCKS[blocks as usize]),
        };
        let layout = bits.take(3)?;
        let low_frequency = bits.take(1)?;
        let stream_id = bits.take(5)?;
        (11..=16).contains(&stream_id).then_some(())?;
        Some(Self { kind, id, bytes, rate, rate_code, blocks, layout, low_frequency, stream_id })
    }
}
