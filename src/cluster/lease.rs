//! A lease: one origin's word that it holds a stream, and the order among those who say so of the same name.

use std::sync::Arc;

use crate::hub::Identity;
use crate::media::stream_key::StreamKey;

use super::place::Place;

/// A node's id, as its marks and acknowledgements say it.
pub type NodeId = Arc<str>;

/// That a node holds the publisher of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The name.
    pub key: StreamKey,
    /// The holder.
    pub node: NodeId,
    /// Where the holder serves it.
    pub place: Place,
    /// The publish session.
    pub session: Identity,
    /// When the publisher was accepted, in milliseconds since 1970 by the holder's clock; later than whom it replaced.
    pub accepted: u64,
    /// Whether a second publisher replaces the first where this one was accepted (`publish.on_conflict`).
    pub replaces: bool,
}

/// Asks for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The lease that is to be granted.
    pub lease: Lease,
    /// Whether it takes the name from a holder of the same session.
    pub takes_over: bool,
    /// Whether the claimant is a holder already: one of two, of whom one has to go.
    pub is_held: bool,
}

impl Lease {
    /// Whether this one keeps the name when both hold it. Of any two different leases exactly one wins.
    ///
    /// The earlier wins, unless the later one comes from where publishers replace each other, or is the same publish session
    /// that has moved on.
    pub fn wins_over(&self, other: &Self) -> bool {
        let is_later = self.age_order() > other.age_order();
        let later = if is_later { self } else { other };
        is_later == (later.replaces || self.session == other.session)
    }

    fn age_order(&self) -> (u64, &str, &str) {
        (self.accepted, self.session.as_str(), &self.node)
    }
}

impl Claim {
    /// Whether it is decided in favour of this one when neither is yet. Of any two claims of different nodes exactly one is
    /// ahead, wherever both are seen; so one of them is never refused for the other's sake.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        match (self.is_held, other.is_held) {
            (true, false) => !other.displaces(&self.lease),
            (false, true) => self.displaces(&other.lease),
            _ if self.lease.session == other.lease.session && self.takes_over != other.takes_over => self.takes_over,
            _ => self.lease.wins_over(&other.lease),
        }
    }

    /// Whether it is granted although `holder` has the name.
    pub fn displaces(&self, holder: &Lease) -> bool {
        if self.is_held {
            return self.lease.wins_over(holder);
        }
        self.lease.replaces || (self.takes_over && self.lease.session == holder.session)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::cluster) fn lease(node: &str, session: &str, accepted: u64, replaces: bool) -> Lease {
        Lease {
            key: StreamKey::from_path("live/x").unwrap(),
            node: node.into(),
            place: Place { rtmp: format!("{node}:1935"), http: None },
            session: Identity::from_peer(session).unwrap(),
            accepted,
            replaces,
        }
    }

    #[test]
    fn the_earlier_of_two_publishers_keeps_the_name() {
        let (early, late) = (lease("b", "s1", 1, false), lease("a", "s2", 2, false));
        assert!(early.wins_over(&late) && !late.wins_over(&early));
    }

    #[test]
    fn the_later_keeps_the_name_where_publishers_replace_each_other() {
        let (early, late) = (lease("b", "s1", 1, true), lease("a", "s2", 2, true));
        assert!(late.wins_over(&early) && !early.wins_over(&late));
    }

    #[test]
    fn a_session_that_has_moved_on_wins_over_its_ghost() {
        let (ghost, moved) = (lease("a", "s", 1, false), lease("b", "s", 2, false));
        assert!(moved.wins_over(&ghost) && !ghost.wins_over(&moved));
        let claim = Claim { lease: lease("b", "s", 0, false), takes_over: true, is_held: false };
        assert!(claim.displaces(&ghost));
        assert!(!Claim { takes_over: false, ..claim }.displaces(&ghost));
    }

    fn any_claim(node: &'static str) -> impl Strategy<Value = Claim> {
        (0..3_u64, 0..3_u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(accepted, session, replaces, takes_over, is_held)| Claim {
                lease: lease(node, &format!("s{session}"), accepted, replaces),
                takes_over,
                is_held,
            },
        )
    }

    proptest! {
        #[test]
        fn of_any_two_exactly_one_wins_and_one_is_ahead(one in any_claim("a"), other in any_claim("b")) {
            prop_assert_ne!(one.lease.wins_over(&other.lease), other.lease.wins_over(&one.lease));
            prop_assert_ne!(one.is_ahead_of(&other), other.is_ahead_of(&one));
        }
    }
}
