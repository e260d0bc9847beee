//! What peers ask, and what they are told.

use std::time::Instant;

use crate::cluster::lease::{Lease, NodeId};
use crate::cluster::message::{Answer, How, Item, Known};
use crate::hub::Identity;
use crate::media::stream_key::StreamKey;

use super::decisions::Asker;
use super::{Directory, Noted, Ticket};

impl Directory {
    /// Takes a question of the peer `from`. A `Reply` with the ticket follows, at once or later.
    pub fn asked(&mut self, from: &NodeId, ticket: Ticket, item: Item, now: Instant) {
        match item {
            // Nobody speaks for another.
            Item::Lease(Lease { node, .. }) if node != *from => self.reply(ticket, Answer::Absent),
            Item::Grant(claim) if claim.lease.node != *from => self.reply(ticket, Answer::Absent),
            Item::Lease(lease) => {
                let answer = self.take_lease(lease, now);
                self.reply(ticket, answer);
            }
            Item::Grant(claim) => self.decide(claim, Asker::Peer(ticket), now),
            Item::Release { key, node, session } => {
                if node == self.me {
                    let answer = self.give_up(&key, &session, now);
                    return self.reply(ticket, answer);
                }
                if node == *from {
                    let is_it = |noted: &mut Noted| noted.lease.node == node && noted.lease.session == session;
                    if self.leases.get_mut(&key).is_some_and(is_it) {
                        self.leases.remove(&key);
                    }
                    self.withdraw_claim_of(&key, &node);
                }
                self.reply(ticket, Answer::Released);
            }
            Item::Lookup { claim: Some(claim), .. } => {
                let answer = self.opinion(from, &claim, now);
                self.reply(ticket, answer);
            }
            Item::Lookup { key, deep: true, .. } => self.locate_for(&key, ticket, now),
            Item::Lookup { key, .. } => {
                let answer = self.known(&key, now);
                self.reply(ticket, answer);
            }
        }
    }

    /// Gives a name up that a decision elsewhere gives to another; not to a publisher that the decision did not know.
    fn give_up(&mut self, key: &StreamKey, session: &Identity, now: Instant) -> Answer {
        match self.own_lease(key) {
            Some(own) if own.session != *session => Answer::Rival(Known { lease: own.clone(), how: How::Held }),
            Some(_) => {
                self.lose(key);
                Answer::Released
            }
            None => {
                // The word that it was granted may be on its way.
                self.take_back(key, session, now);
                Answer::Released
            }
        }
    }

    /// Notes that a peer holds a name, unless another does. Which of the two goes is found out when the peer asks for it: its
    /// word may be older than its release that came on another way.
    fn take_lease(&mut self, lease: Lease, now: Instant) -> Answer {
        if let Some(own) = self.own_lease(&lease.key) {
            return Answer::Rival(Known { lease: own.clone(), how: How::Held });
        }
        if let Some(other) = self.noted(&lease.key, now).filter(|other| other.node != lease.node) {
            return Answer::Rival(Known { lease: other.clone(), how: How::Leased });
        }
        let accepted = lease.accepted;
        self.note(lease, now);
        Answer::Leased { accepted }
    }
}
