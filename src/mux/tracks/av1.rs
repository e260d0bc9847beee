//! AV1's configuration record and sequence header (AV1 bitstream specification, 5.5.1).

use crate::mux::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;

/// Reads the size from the sequence header in a record, if there is one.
pub(super) fn size_in_record(record: &[u8]) -> Result<Option<(u32, u32)>, &'static str> {
    match record.split_first_chunk::<4>() {
        // A marker and version 1.
        Some(([0x81, _, _, _], units)) => Ok(size_in_units(units)),
        _ => Err("its AV1CodecConfigurationRecord is broken"),
    }
}

/// Reads the size from the first sequence header among open bitstream units.
pub(super) fn size_in_units(mut units: &[u8]) -> Option<(u32, u32)> {
    loop {
        let (&head, mut rest) = units.split_first()?;
        if head & 0b100 != 0 {
            rest = rest.get(1..)?;
        }
        let size;
        if head & 0b10 != 0 {
            (size, rest) = leb128(rest)?;
        } else {
            size = rest.len();
        }
        let (unit, behind) = rest.split_at_checked(size)?;
        if head >> 3 & 0b1111 == SEQUENCE_HEADER {
            return size_in_sequence_header(unit);
        }
        units = behind;
    }
}

/// A number in groups of 7 bits, the lowest first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

fn size_in_sequence_header(header: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(header);
    bits.skip(3 + 1)?;
    if bits.flag()? {
        // reduced_still_picture_header
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let width_bits = bits.take(4)? as usize + 1;
    let height_bits = bits.take(4)? as usize + 1;
    Some((bits.take(width_bits)? + 1, bits.take(height_bits)? + 1))
}

fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut model_bits = None;
    if bits.flag()? {
        skip_timing_info(bits)?;
        if bits.flag()? {
            model_bits = Some(bits.take(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        if bits.take(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(model_bits) = model_bits
            && bits.flag()?
        {
            bits.skip(2 * model_bits + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

fn skip_timing_info(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(32 + 32)?;
    if bits.flag()? {
        // num_ticks_per_picture_minus_1, coded as Exp-Golomb numbers are.
        bits.unsigned()?;
    }
    Some(())
}
