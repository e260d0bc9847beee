//! What origins ask each other, one name at a time; the wire carries many in one command.

use crate::hub::Identity;
use crate::media::stream_key::StreamKey;

use super::lease::{Claim, Lease, NodeId};

/// A question, or news that wants an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `lease`: the sender holds the name, and says so again.
    Lease(Lease),
    /// `lease` with `ask`: the sender wants to hold the name, and waits for the grant.
    Grant(Claim),
    /// `release`: the lease of `node` ends. Said by `node` itself, or to it.
    Release {
        /// The name.
        key: StreamKey,
        /// Whose lease.
        node: NodeId,
        /// The publish session that the lease is about.
        session: Identity,
    },
    /// `lookup`: who holds the name?
    Lookup {
        /// The name.
        key: StreamKey,
        /// Whether whoever does not know is to ask others. Who is asked without it says what it knows.
        deep: bool,
        /// The claim for which the sender asks.
        claim: Option<Claim>,
    },
}

/// The answer to an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The lease is noted, or granted.
    Leased {
        /// The time that the lease carries from now on ([`Lease::accepted`]).
        accepted: u64,
    },
    /// The grant is refused: this one has the name.
    Denied(Lease),
    /// The lease is not noted: this one has the name, as far as is known here.
    Rival(Known),
    /// The release is noted.
    Released,
    /// This one has the name.
    Found(Known),
    /// Nobody is known here to have the name.
    Absent,
}

/// A lease, and how it is known to who tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The lease.
    pub lease: Lease,
    /// How it is known.
    pub how: How,
}

/// How a lease is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Who tells it is the holder.
    Held,
    /// The holder has told it.
    Leased,
    /// Who tells it is deciding whether to grant it, or has asked another to.
    Asked,
    /// Who tells it has asked the receiver for it, who may have granted it already.
    Requested,
}

impl Item {
    /// The name that it is about.
    pub fn key(&self) -> &StreamKey {
        match self {
            Self::Lease(lease) => &lease.key,
            Self::Grant(claim) => &claim.lease.key,
            Self::Release { key, .. } | Self::Lookup { key, .. } => key,
        }
    }
}
