//! What a server makes of a mark that a peer has sent.

use std::time::SystemTime;

use parking_lot::Mutex;

use super::cluster_key::ClusterKey;
use super::mark::{Mark, ReceivedMark, Signature, seconds};
use super::nonces::Nonces;

/// How far the clock of a peer may be from ours, either way, in seconds.
const MAX_SKEW: u64 = 60;

/// How long a nonce is remembered, in seconds: as long as a mark with it could be taken, which may have come from a
/// clock that is as far ahead as it may be.
const NONCE_LIFETIME: u64 = 2 * MAX_SKEW;

/// How many nonces are remembered at most: more than five hundred verified connections a second.
const MAX_NONCES: usize = 1 << 16;

/// What a peer that has sent a mark is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A server that has our key.
    Verified(Mark),
    /// Says that it is a server, where nobody can prove it for want of a key. It is served as a pull, and may do what any
    /// client may.
    Unsigned(Mark),
    /// As if it had sent no mark.
    Refused(Refusal),
}

impl Standing {
    /// What the peer says of itself, unless that counts for nothing.
    pub const fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Verified(mark) | Self::Unsigned(mark) => Some(mark),
            Self::Refused(_) => None,
        }
    }
}

/// Why a mark counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is no mark, or its signature none.
    #[error("it is malformed")]
    Malformed,
    /// It is not signed, and we have a key that it could be signed with.
    #[error("it is not signed: cluster.key is not set there")]
    Unsigned,
    /// It was not signed with our key, or changed since.
    #[error("its signature is wrong: cluster.key is another one there")]
    Wrong,
    /// It was signed too long ago.
    #[error("it is older than {MAX_SKEW} s by our clock")]
    Old,
    /// It was signed in our future.
    #[error("it is from more than {MAX_SKEW} s ahead of our clock")]
    Future,
    /// It has been used before.
    #[error("it has been used before")]
    Replayed,
}

/// Judges marks, and remembers those that are good for one connection only.
#[derive(Debug)]
pub struct Verifier {
    key: Option<ClusterKey>,
    nonces: Mutex<Nonces>,
}

impl Verifier {
    /// A verifier for a server with this `cluster.key`; without one it verifies nothing and takes every mark as
    /// unsigned.
    pub fn new(key: Option<ClusterKey>) -> Self {
        Self { key, nonces: Mutex::new(Nonces::new(NONCE_LIFETIME, MAX_NONCES)) }
    }

    /// What the sender of the mark `text` is, by our clock at `now`. A mark that is verified has been used from then
    /// on.
    pub fn judge(&self, text: &str, now: SystemTime) -> Standing {
        let Some(ReceivedMark { mark, signature }) = ReceivedMark::parse(text) else {
            return Standing::Refused(Refusal::Malformed);
        };
        let Some(key) = &self.key else { return Standing::Unsigned(mark) };
        let Some(signature) = signature else { return Standing::Refused(Refusal::Unsigned) };
        match self.verify(key, &signature, seconds(now)) {
            Ok(()) => Standing::Verified(mark),
            Err(refusal) => Standing::Refused(refusal),
        }
    }

    /// The signature comes first: who has no key learns nothing else, and fills no memory.
    fn verify(&self, key: &ClusterKey, signature: &Signature<'_>, now: u64) -> Result<(), Refusal> {
        if !key.verifies(signature.text, &signature.mac) {
            return Err(Refusal::Wrong);
        }
        if now.saturating_sub(signature.signed_at) > MAX_SKEW {
            return Err(Refusal::Old);
        }
        if signature.signed_at.saturating_sub(now) > MAX_SKEW {
            return Err(Refusal::Future);
        }
        if !self.nonces.lock().insert(signature.nonce, now) {
            return Err(Refusal::Replayed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
