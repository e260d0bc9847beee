//! Changes that break parsers: bits, lengths, pieces that are missing, there twice, or of another input.

/// Numbers from a seed, the same on every machine (splitmix64).
pub struct Random(u64);

/// Numbers at which lengths and counters go wrong.
const INTERESTING: [u32; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x00ff_ffff,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Pieces of text that mean something to one of the readers.
const WORDS: [&[u8]; 24] = [
    b"/",
    b"..",
    b"?",
    b"&",
    b"=",
    b"%",
    b"%2f",
    b"%00",
    b";",
    b";mac=",
    b"v=1",
    b"nonce=",
    b"path=",
    b"\0",
    b"\r\n",
    b"\"",
    b"[[apps]]",
    b"[",
    b"]",
    b"FLV\x01\x05",
    b"\x02\x00\x07connect",
    b"\x03\x00\x00\x09",
    b"@setDataFrame",
    b"*",
];

impl Random {
    /// The numbers that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// One of `pool`, changed in a few places.
    pub fn mutate(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = if pool.is_empty() { Vec::new() } else { self.one_of(pool).clone() };
        for _ in 0..=self.below(6) {
            self.change(&mut input, pool);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            // A number in the place of one that was there: lengths are of one to four bytes, in either order.
            2 => {
                let number = *self.one_of(&INTERESTING);
                let width = 1 + self.below(4);
                let mut bytes = number.to_be_bytes()[4 - width..].to_vec();
                if self.below(4) == 0 {
                    bytes.reverse();
                }
                let end = (at + width).min(input.len());
                input.splice(at..end, bytes);
            }
            3 => input.truncate(at),
            4 => {
                let end = at + self.below(input.len() - at + 1);
                input.drain(at..end);
            }
            // A piece twice, or many times: depth and numbers of things.
            5 => {
                let end = at + self.below((input.len() - at).min(64) + 1);
                let piece = input[at..end].to_vec();
                let times = 1 << self.below(8);
                input.splice(at..at, piece.repeat(times));
            }
            6 => {
                let word = *self.one_of(&WORDS);
                input.splice(at..at, word.iter().copied());
            }
            7 if !pool.is_empty() => {
                let other = self.one_of(pool);
                let from = self.below(other.len() + 1);
                let end = from + self.below(other.len() - from + 1);
                input.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let bytes: Vec<u8> = (0..1 + self.below(16)).map(|_| self.next() as u8).collect();
                input.splice(at..at, bytes);
            }
        }
    }
}
