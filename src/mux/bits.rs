//! Reading bits: what configuration records and frame headers are made of.

/// Reads bits from the most significant on; `None` behind the end.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let mut value: u32 = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.position = self.position.checked_add(count)?;
        (self.position <= self.bytes.len().checked_mul(8)?).then_some(())
    }

    /// An unsigned Exp-Golomb number (ITU-T H.264, 9.1), of 32 bits at most.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// A signed Exp-Golomb number (ITU-T H.264, 9.1.1).
    pub(super) fn signed(&mut self) -> Option<i32> {
        let number = i64::from(self.unsigned()?);
        let magnitude = (number + 1) / 2;
        i32::try_from(if number % 2 == 1 { magnitude } else { -magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_numbers_are_read() {
        // 1, 010, 011, 00100, and signed 00101 (-2).
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([(); 4].map(|()| bits.unsigned()), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(bits.signed(), Some(-2));
    }

    #[test]
    fn a_number_that_never_ends_is_none() {
        assert_eq!(Bits::new(&[0; 100]).unsigned(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 1]).unsigned(), None);
    }

    #[test]
    fn nothing_lies_behind_the_end() {
        let mut bits = Bits::new(&[0xff]);
        assert_eq!((bits.skip(8), bits.take(1), bits.skip(1)), (Some(()), None, None));
        assert_eq!(Bits::new(&[]).skip(usize::MAX), None);
    }
}
