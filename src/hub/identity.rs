//! Names that are unique across a cluster without anybody handing them out.

use std::fmt;
use std::sync::Arc;

/// The longest identity that is accepted from a peer, in bytes.
const MAX_BYTES: usize = 64;

/// Identifies a publish session, a stream's life, a connection or a node.
///
/// Two publishers of one name, one after the other, have two sessions; a pull carries the session of the publisher at its
/// far end, so that whoever pulls again knows whether it is still the same one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// A new one, 96 random bits in hexadecimal.
    pub fn random() -> Self {
        let mut bytes = [0; 12];
        if getrandom::fill(&mut bytes).is_err() {
            // No randomness at all: the address of a fresh allocation, the clock and the process still tell apart.
            let unique = Box::new(0_u8);
            let address = std::ptr::from_ref(&*unique).addr() as u64;
            let nanoseconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64);
            bytes[..8].copy_from_slice(&(address ^ nanoseconds.rotate_left(20)).to_be_bytes());
            bytes[8..].copy_from_slice(&std::process::id().to_be_bytes());
        }
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// One that a peer sent, if it is short and of harmless characters.
    pub fn from_peer(text: &str) -> Option<Self> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (!text.is_empty() && text.len() <= MAX_BYTES && text.bytes().all(harmless)).then(|| Self(text.into()))
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_equal() {
        assert_ne!(Identity::random(), Identity::random());
        assert_eq!(Identity::random().as_str().len(), 24);
    }

    #[test]
    fn what_a_peer_sends_is_checked() {
        assert!(Identity::from_peer("rillcast-origin-0.a_b").is_some());
        assert!(Identity::from_peer("").is_none());
        assert!(Identity::from_peer("a;b").is_none());
        assert!(Identity::from_peer(&"a".repeat(65)).is_none());
    }
}
