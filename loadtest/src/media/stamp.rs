//! The stamp in each message: when it was sent, which one it is, and how much was published before it.
//!
//! All of it is text, so that it can stand in a H.264 NAL unit without any escaping.

/// The first 16 bytes of a stamp; to a decoder, the UUID of an unregistered SEI message.
const MAGIC: &[u8; 16] = b"RILLCAST-STAMP-1";
const NUMBER_BYTES: usize = 16;
/// The size of a stamp.
pub(crate) const BYTES: usize = MAGIC.len() + 3 * NUMBER_BYTES;
/// How far into a message a stamp may begin.
const SEARCHED_BYTES: usize = 128;

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    /// The message's number on its track, from 0.
    pub(crate) sequence: u64,
    /// Nanoseconds since 1970 on the publisher's clock.
    pub(crate) sent_at: u64,
    /// The bytes of all message bodies of the stream up to the end of this one.
    pub(crate) published: u64,
}

impl Stamp {
    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        let numbers = [self.sequence, self.sent_at, self.published];
        for (number, place) in numbers.into_iter().zip(bytes[MAGIC.len()..].chunks_exact_mut(NUMBER_BYTES)) {
            for (index, digit) in place.iter_mut().enumerate() {
                let nibble = (number >> (4 * (NUMBER_BYTES - 1 - index))) as u8 & 0xf;
                *digit = b"0123456789abcdef"[usize::from(nibble)];
            }
        }
        bytes
    }

    /// The stamp near the beginning of a message body, if there is one.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        let searched = &body[..body.len().min(SEARCHED_BYTES + BYTES)];
        let at = searched.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let (digits, _) = searched.get(at + MAGIC.len()..)?.split_at_checked(3 * NUMBER_BYTES)?;
        let number = |index: usize| {
            let text = std::str::from_utf8(digits.get(index * NUMBER_BYTES..(index + 1) * NUMBER_BYTES)?).ok()?;
            u64::from_str_radix(text, 16).ok()
        };
        Some(Self { sequence: number(0)?, sent_at: number(1)?, published: number(2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_where_it_was_put() {
        let stamp = Stamp { sequence: 7, sent_at: u64::MAX, published: 1 << 40 };
        let mut body = vec![0; 28];
        body.extend(stamp.to_bytes());
        body.extend([0xff; 100]);
        assert_eq!(Stamp::find(&body), Some(stamp));
    }

    #[test]
    fn what_is_cut_off_or_absent_is_no_stamp() {
        let bytes = Stamp::default().to_bytes();
        assert_eq!(Stamp::find(&bytes[..BYTES - 1]), None);
        assert_eq!(Stamp::find(b"ordinary media"), None);
        assert_eq!(Stamp::find(&[]), None);
    }

    #[test]
    fn a_stamp_needs_no_escaping_in_a_nal_unit() {
        assert!(Stamp { sequence: 0, sent_at: 0, published: 0 }.to_bytes().iter().all(|byte| *byte > 3));
    }
}
