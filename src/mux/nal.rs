//! NAL units: H.264's parameter sets, and the two ways to say where a unit begins.

use bytes::BufMut;

/// The types of H.264's units (ITU-T H.264, table 7-1).
pub(super) mod avc_type {
    pub(in crate::mux) const SEQUENCE_PARAMETER_SET: u8 = 7;
    pub(in crate::mux) const ACCESS_UNIT_DELIMITER: u8 = 9;

    /// The type of a unit.
    pub(in crate::mux) fn of(unit: &[u8]) -> u8 {
        unit.first().map_or(0, |head| head & 0x1f)
    }
}

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The parameter sets in an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParameterSets<'a> {
    pub(super) sequence: Vec<&'a [u8]>,
    pub(super) picture: Vec<&'a [u8]>,
}

impl<'a> ParameterSets<'a> {
    /// Reads them, or `None` from a record that is broken before their end.
    pub(super) fn read(record: &'a [u8]) -> Option<Self> {
        let (&[1, _, _, _, _, count], rest) = record.split_first_chunk::<6>()? else { return None };
        let (sequence, rest) = sets(rest, count & 0x1f)?;
        let (&count, rest) = rest.split_first()?;
        let (picture, _) = sets(rest, count)?;
        Some(Self { sequence, picture })
    }
}

fn sets(mut rest: &[u8], count: u8) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (size, behind) = rest.split_first_chunk::<2>()?;
        let (set, behind) = behind.split_at_checked(u16::from_be_bytes(*size).into())?;
        sets.push(set);
        rest = behind;
    }
    Some((sets, rest))
}

/// A unit announces more than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The units of a frame with a length of `length_bytes` (1 to 4) before each; empty ones are left out.
pub(super) fn units(mut frame: &[u8], length_bytes: usize) -> impl Iterator<Item = Result<&[u8], Broken>> {
    let next = move || {
        if frame.is_empty() {
            return None;
        }
        let unit = split_unit(frame, length_bytes);
        frame = unit.map_or(&[][..], |(_, rest)| rest);
        Some(unit.map(|(unit, _)| unit).ok_or(Broken))
    };
    std::iter::from_fn(next).filter(|unit| !matches!(unit, Ok([])))
}

fn split_unit(frame: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = frame.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// Appends one unit behind a start code (ITU-T H.264, annex B).
pub(super) fn put_behind_start_code(unit: &[u8], out: &mut impl BufMut) {
    out.put_slice(&START_CODE);
    out.put_slice(unit);
}

/// The unit's content: without the bytes that keep start codes out of it (ITU-T H.264, 7.3.1).
pub(super) fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        content.push(byte);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(frame: &[u8], length_bytes: usize) -> Vec<Result<&[u8], Broken>> {
        units(frame, length_bytes).collect()
    }

    #[test]
    fn units_are_found_behind_lengths_of_any_size() {
        assert_eq!(split(b"\x01a\x02bc", 1), [Ok(&b"a"[..]), Ok(b"bc")]);
        assert_eq!(split(b"\0\x01a\0\x02bc", 2), [Ok(&b"a"[..]), Ok(b"bc")]);
        assert_eq!(split(b"\0\0\x01a", 3), [Ok(&b"a"[..])]);
        assert_eq!(split(b"\0\0\0\x01a\0\0\0\0", 4), [Ok(&b"a"[..])]);
    }

    #[test]
    fn a_unit_that_announces_too_much_is_broken_and_ends_the_frame() {
        assert_eq!(split(b"\x01a\x09bc", 1), [Ok(&b"a"[..]), Err(Broken)]);
        assert_eq!(split(b"\xff\xff\xff\xffa", 4), [Err(Broken)]);
        assert_eq!(split(b"\0\0", 4), [Err(Broken)]);
    }

    #[test]
    fn emulation_prevention_is_undone() {
        assert_eq!(without_emulation_prevention(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(without_emulation_prevention(&[0, 3, 0, 0, 0, 3]), [0, 3, 0, 0, 0]);
    }

    #[test]
    fn a_record_cut_anywhere_gives_no_sets() {
        let record = b"\x01\x64\0\x0d\xff\xe1\0\x02ab\x01\0\x01c";
        let sets = ParameterSets::read(record).unwrap();
        assert_eq!((sets.sequence, sets.picture), (vec![&b"ab"[..]], vec![&b"c"[..]]));
        for end in 0..record.len() {
            assert_eq!(ParameterSets::read(&record[..end]), None);
        }
    }
}
