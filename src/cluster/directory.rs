//! Who holds which name: the rules by which the origins of a cluster agree, as a state machine.
//!
//! Owns what one origin knows of the streams of all: those it holds itself, those that others have leased here, and the
//! questions under way. Calls and answers of peers, the set of origins, links and the time come in as arguments; what is to
//! be done comes out as [`Action`]s. It does no input or output, reads no clock, and never looks at media.
//!
//! The home of a name (rank 1 among the set) grants it. An origin that is not sure to know every holder asks all others
//! first: one that is not the home, one whose set has changed of late, one that cannot reach the home. Whoever refuses has
//! confirmed with the holder that it still is one. So the same procedure grants names, decides while the home is away, and
//! settles which of two holders goes after a split.

mod calls;
mod decisions;
mod holds;
mod peers;
mod searches;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::media::stream_key::StreamKey;

use super::lease::{Lease, NodeId};
use super::message::{Answer, Item};
use super::place::Place;

pub use peers::Member;

use decisions::Decision;
use holds::{Hold, Name};
use peers::{Home, Peers};
use searches::Search;

/// How often a holder says again what it holds.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
/// How long a lease lasts that is not said again.
const LEASE_LIFETIME: Duration = Duration::from_secs(15);
/// For how long after a change of the set leases may be missing here that others have.
const UNCERTAIN_FOR: Duration = Duration::from_secs(15);
/// How long the home is waited for, to be linked and to answer, before its names are decided upon without it.
const HOME_PATIENCE: Duration = Duration::from_secs(1);
/// How long peers are asked while others wait for us.
const ASK_PATIENCE: Duration = Duration::from_millis(400);
/// For how long a name is known to be decided upon elsewhere.
const CONTESTED_FOR: Duration = Duration::from_secs(1);

/// A local publisher's request for a name, or its hold on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(u64);

/// A local request to find a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchId(u64);

/// A question to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// A question of a peer: where the answer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The peer's session with us.
    pub session: u64,
    /// The call within the session.
    pub call: u64,
    /// The item within the call.
    pub index: usize,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a peer that is linked. To be answered with [`Directory::answered`].
    Send {
        /// Whom.
        to: NodeId,
        /// Which question it is.
        ask: AskId,
        /// The question.
        item: Item,
    },
    /// Answer a peer.
    Reply {
        /// Whose question.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// A local publisher has the name.
    Granted(HoldId),
    /// A local publisher does not get the name.
    Denied(HoldId),
    /// A local publisher has lost the name that it had.
    Revoked(HoldId),
    /// A search is over.
    Located {
        /// Which.
        search: SearchId,
        /// Where the stream is, if another origin holds it.
        place: Option<Place>,
    },
}

/// What one origin knows of the streams of its cluster.
#[derive(Debug)]
pub struct Directory {
    me: NodeId,
    peers: Peers,
    holds: BTreeMap<HoldId, Hold>,
    /// The names that publishers here have or ask for.
    names: HashMap<StreamKey, Name>,
    leases: HashMap<StreamKey, Noted>,
    decisions: HashMap<StreamKey, Decision>,
    searches: BTreeMap<SearchId, Search>,
    /// Names that somebody else decides upon, and until when that is assumed.
    contested: HashMap<StreamKey, Instant>,
    asks: BTreeMap<AskId, Ask>,
    last_number: u64,
    refresh_at: Instant,
    uncertain_until: Instant,
    actions: Vec<Action>,
}

/// A lease that a peer has told.
#[derive(Debug)]
struct Noted {
    lease: Lease,
    expires: Instant,
}

/// A question that is under way.
#[derive(Debug)]
struct Ask {
    to: NodeId,
    purpose: Purpose,
    deadline: Instant,
}

/// What a question is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    /// To say again that we hold a name.
    Refresh(StreamKey),
    /// To be granted a name.
    Grant(HoldId),
    /// To find out which of two holders goes.
    Settle(StreamKey),
    /// To find rivals of a claim.
    Decide { key: StreamKey, decision: u64 },
    /// To have a rival go.
    Displace { key: StreamKey, decision: u64 },
    /// To have the home find a holder.
    SearchAtHome(SearchId),
    /// To find a holder.
    Search(SearchId),
    /// Nobody waits for the answer.
    Notice,
}

impl Directory {
    /// What the node `me` knows when it starts at `now`: nothing.
    pub fn new(me: NodeId, now: Instant) -> Self {
        Self {
            peers: Peers::new(me.clone()),
            me,
            holds: BTreeMap::new(),
            names: HashMap::new(),
            leases: HashMap::new(),
            decisions: HashMap::new(),
            searches: BTreeMap::new(),
            contested: HashMap::new(),
            asks: BTreeMap::new(),
            last_number: 0,
            refresh_at: now + REFRESH_EVERY,
            uncertain_until: now + UNCERTAIN_FOR,
            actions: Vec::new(),
        }
    }

    /// What is to be done since the last call, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// How many leases of others are noted here.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// How many other nodes can be asked.
    pub fn linked_peers(&self) -> usize {
        self.peers.linked().count()
    }

    /// Whether a stream that is not found from here is nowhere in the set.
    pub fn speaks_for_all(&self) -> bool {
        self.peers.are_all_linked()
    }

    /// Lets time pass. To be called several times a second.
    pub fn tick(&mut self, now: Instant) {
        let late: Vec<AskId> = self.asks.iter().filter(|(_, ask)| ask.deadline <= now).map(|(id, _)| *id).collect();
        for ask in late {
            if let Some(Ask { to, purpose, .. }) = self.asks.get(&ask) {
                tracing::debug!(peer = %to, ?purpose, "a peer does not answer in time");
            }
            self.answered(ask, None, now);
        }
        self.pursue_waiting_holds(now);
        let keys: Vec<StreamKey> = self.decisions.keys().cloned().collect();
        keys.iter().for_each(|key| self.conclude_if_ready(key, now));
        if self.refresh_at <= now {
            self.refresh_at = now + REFRESH_EVERY;
            self.leases.retain(|_, noted| noted.expires > now);
            self.contested.retain(|_, until| *until > now);
            self.announce_everything(now);
        }
    }

    /// Takes the answer to a question, or `None` if there is none to come.
    pub fn answered(&mut self, ask: AskId, answer: Option<Answer>, now: Instant) {
        let Some(Ask { to, purpose, .. }) = self.asks.remove(&ask) else { return };
        match purpose {
            Purpose::Refresh(key) => {
                if let Some(Answer::Rival(rival)) = answer {
                    self.meet_rival(&key, &to, rival, now);
                }
            }
            Purpose::Grant(hold) => self.home_answered(hold, answer, now),
            Purpose::Settle(key) => {
                if let Some(Answer::Denied(rival)) = answer {
                    self.lose_to(&key, &rival);
                }
            }
            Purpose::Decide { key, decision } => self.heard(&key, decision, ask, to, answer, now),
            Purpose::Displace { key, decision } => self.displaced(&key, decision, ask, answer, now),
            Purpose::SearchAtHome(search) => self.home_searched(search, answer, now),
            Purpose::Search(search) => self.searched(search, ask, to, answer),
            Purpose::Notice => {}
        }
    }

    /// Whether somebody else may hold or be granted `key` without our knowing.
    fn is_uncertain(&self, key: &StreamKey, now: Instant) -> bool {
        now < self.uncertain_until
            || self.peers.home(key) != Home::Us
            || self.contested.get(key).is_some_and(|until| *until > now)
    }

    /// The lease of another node, as told to us and not expired.
    fn noted(&self, key: &StreamKey, now: Instant) -> Option<&Lease> {
        self.leases.get(key).filter(|noted| noted.expires > now).map(|noted| &noted.lease)
    }

    fn note(&mut self, lease: Lease, now: Instant) {
        self.leases.insert(lease.key.clone(), Noted { lease, expires: now + LEASE_LIFETIME });
    }

    fn ask(&mut self, to: &NodeId, item: Item, purpose: Purpose, patience: Duration, now: Instant) -> AskId {
        let ask = AskId(self.number());
        self.asks.insert(ask, Ask { to: to.clone(), purpose, deadline: now + patience });
        self.actions.push(Action::Send { to: to.clone(), ask, item });
        ask
    }

    fn reply(&mut self, ticket: Ticket, answer: Answer) {
        self.actions.push(Action::Reply { ticket, answer });
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
