//! Writing bit by bit, as H.264 and AAC want it.

/// Bits, the highest of each byte first.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`.
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        for index in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> index & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    /// Appends an unsigned number as Exp-Golomb code (H.264 9.1).
    pub(crate) fn put_ue(&mut self, value: u32) {
        let bits = u32::BITS - (value + 1).leading_zeros();
        self.put(0, bits - 1);
        self.put(value + 1, bits);
    }

    /// Ends a NAL unit's payload: a one, then zeros up to the byte's end (H.264 7.3.2.11).
    pub(crate) fn into_rbsp(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }

    /// The bytes, the last filled with zeros.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        let mut bits = BitWriter::default();
        for value in [0, 1, 2, 3, 7] {
            bits.put_ue(value);
        }
        // 1 010 011 00100 0001000 and the stop bit
        assert_eq!(bits.into_rbsp(), [0b1010_0110, 0b0100_0001, 0b0001_0000]);
    }
}
