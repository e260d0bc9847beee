//! Bytes as hexadecimal digits.

/// The bytes that exactly twice as many hexadecimal digits stand for.
pub(super) fn bytes<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != BYTES * 2 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_read_in_full_or_not_at_all() {
        assert_eq!(bytes("00fF"), Some([0, 255]));
        for text in ["", "00f", "00ff0", "00fg", "+0ff", "é0f"] {
            assert_eq!(bytes::<2>(text), None, "{text}");
        }
    }
}
