//! The id of a connection: unique in a cluster, and found at once in the process that it belongs to.

use std::fmt;
use std::str::FromStr;

/// Names a connection in logs and API: 64 random bits of the process, then the connection's number, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId {
    pub(super) process: u64,
    pub(super) number: u64,
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of a client")]
pub struct IdError;

/// The digits of the process.
const PROCESS_DIGITS: usize = 16;

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:08x}", self.process, self.number)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` itself would read a sign, and capitals.
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !text.bytes().all(is_digit) {
            return Err(IdError);
        }
        let (process, number) = text.split_at_checked(PROCESS_DIGITS).ok_or(IdError)?;
        let parse = |digits| u64::from_str_radix(digits, 16).map_err(|_| IdError);
        let id = Self { process: parse(process)?, number: parse(number)? };
        if id.to_string() == text { Ok(id) } else { Err(IdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_the_same() {
        for (process, number) in [(0, 0), (1, 2), (u64::MAX, u64::MAX), (0xdead_beef, u64::from(u32::MAX) + 1)] {
            let id = ClientId { process, number };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = "0".repeat(40);
        for text in ["", "abc", "0123456789abcdef", "0123456789ABCDEF00000001", "+123456789abcdef00000001", "é", &long]
        {
            assert_eq!(text.parse::<ClientId>(), Err(IdError), "{text:?}");
        }
    }
}
