//! The names that publishers of this node have, or ask for.

use std::collections::HashSet;
use std::time::Instant;

use crate::cluster::lease::{Claim, Lease, NodeId};
use crate::cluster::message::{Answer, How, Item, Known};
use crate::cluster::place::Place;
use crate::hub::Identity;
use crate::media::stream_key::StreamKey;
use crate::seldom::warn_seldom;

use super::decisions::Asker;
use super::{Action, AskId, Directory, HOME_PATIENCE, HoldId, Home, Purpose};

/// One publisher's hold on a name, or its way to it.
#[derive(Debug)]
pub(super) struct Hold {
    claim: Claim,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Another publisher here asks for the same name, and the answer is for both.
    Following,
    /// The home cannot be asked yet.
    Waiting { until: Instant },
    /// The home is asked.
    Asking(AskId),
    /// It is decided here.
    Deciding,
    /// It has the name.
    Granted,
}

/// A name that publishers of this node have or ask for.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// Its publishers here, the latest last: while one replaces the other there are two.
    holds: Vec<HoldId>,
    /// Who has been told that it is here.
    told: HashSet<NodeId>,
}

impl Directory {
    /// Asks for a name on behalf of a publisher here. `Granted` or `Denied` follows, unless it is released before.
    pub fn hold(&mut self, claim: Claim, now: Instant) -> HoldId {
        let id = HoldId(self.number());
        let key = claim.lease.key.clone();
        // Later than whom it replaces, whatever the clock says: else an older word of somebody else would win over it.
        let held_since = self.own_lease(&key).map(|held| held.accepted.max(claim.lease.accepted));
        let name = self.names.entry(key).or_default();
        let is_first = name.holds.is_empty();
        name.holds.push(id);
        let stage = if is_first { Stage::Waiting { until: now + HOME_PATIENCE } } else { Stage::Following };
        self.holds.insert(id, Hold { claim, stage });
        match held_since {
            // The name is here already. Who of our own publishers has it is none of the others' business.
            Some(accepted) => self.granted(id, accepted, now),
            None => self.pursue(id, now),
        }
        id
    }

    /// Gives a name back, or takes a request for it back.
    pub fn release(&mut self, id: HoldId, now: Instant) {
        let Some(Hold { claim, stage }) = self.forget(id) else { return };
        let key = claim.lease.key.clone();
        match stage {
            Stage::Following => {}
            Stage::Waiting { .. } => self.let_next_ask(&key, now),
            Stage::Asking(ask) => {
                if let Some(ask) = self.asks.remove(&ask) {
                    self.tell_release(&ask.to, &claim.lease, now);
                }
                self.let_next_ask(&key, now);
            }
            Stage::Deciding => {
                self.withdraw(&key, &Asker::Hold(id));
                self.let_next_ask(&key, now);
            }
            Stage::Granted if self.own_lease(&key).is_some() => self.announce(&key, now),
            Stage::Granted => self.end_name(&key, &claim.lease, now),
        }
    }

    /// Takes note of where this node is reached from now on, and tells.
    pub fn move_to(&mut self, place: &Place, now: Instant) {
        self.holds.values_mut().for_each(|hold| hold.claim.lease.place = place.clone());
        self.announce_everything(now);
    }

    /// The lease of this node on a name, if it holds it.
    pub(super) fn own_lease(&self, key: &StreamKey) -> Option<&Lease> {
        let holds = self.names.get(key)?.holds.iter().rev().filter_map(|id| self.holds.get(id));
        holds.filter(|hold| matches!(hold.stage, Stage::Granted)).map(|hold| &hold.claim.lease).next()
    }

    /// What a publisher here has asked the home for.
    pub(super) fn asking_claim(&self, key: &StreamKey) -> Option<&Claim> {
        let mut holds = self.names.get(key)?.holds.iter().filter_map(|id| self.holds.get(id));
        holds.find(|hold| matches!(hold.stage, Stage::Asking(_))).map(|hold| &hold.claim)
    }

    /// Whether `node` is who was asked for the name.
    pub(super) fn has_asked(&self, node: &NodeId, key: &StreamKey) -> bool {
        let Some(name) = self.names.get(key) else { return false };
        let asks = name.holds.iter().filter_map(|id| match self.holds.get(id)?.stage {
            Stage::Asking(ask) => self.asks.get(&ask),
            _ => None,
        });
        asks.into_iter().any(|ask| ask.to == *node)
    }

    /// Takes back what publishers here ask for, or would next, if `winner` is ahead of them.
    pub(super) fn stand_back(&mut self, winner: &Claim, now: Instant) {
        let key = &winner.lease.key;
        self.retract(key, |claim| winner.is_ahead_of(claim), now);
    }

    /// Takes back what the publisher of a session asks for.
    pub(super) fn take_back(&mut self, key: &StreamKey, session: &Identity, now: Instant) {
        self.retract(key, |claim| claim.lease.session == *session, now);
    }

    fn retract(&mut self, key: &StreamKey, is_meant: impl Fn(&Claim) -> bool, now: Instant) {
        let Some(name) = self.names.get(key) else { return };
        for id in name.holds.clone() {
            let Some(Hold { claim, stage }) = self.holds.get(&id).filter(|hold| is_meant(&hold.claim)) else {
                continue;
            };
            let lease = claim.lease.clone();
            match *stage {
                Stage::Deciding | Stage::Granted => continue,
                Stage::Following | Stage::Waiting { .. } => {}
                Stage::Asking(ask) => {
                    if let Some(asked) = self.asks.remove(&ask) {
                        self.tell_release(&asked.to, &lease, now);
                    }
                }
            }
            self.forget(id);
            self.actions.push(Action::Denied(id));
        }
        self.let_next_ask(key, now);
    }

    pub(super) fn pursue_waiting_holds(&mut self, now: Instant) {
        let is_waiting = |hold: &Hold| matches!(hold.stage, Stage::Waiting { .. });
        let waiting: Vec<HoldId> = self.holds.iter().filter(|(_, hold)| is_waiting(hold)).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.pursue(id, now));
    }

    /// Asks the home, or decides without it if it cannot be asked for so long.
    fn pursue(&mut self, id: HoldId, now: Instant) {
        let Some(hold) = self.holds.get(&id) else { return };
        let Stage::Waiting { until } = hold.stage else { return };
        let claim = hold.claim.clone();
        let stage = match self.peers.home(&claim.lease.key) {
            Home::Peer(home) => {
                Stage::Asking(self.ask(&home, Item::Grant(claim), Purpose::Grant(id), HOME_PATIENCE, now))
            }
            Home::Unlinked(since) if now < until.min(since + HOME_PATIENCE) => return,
            Home::Us => return self.decide_for(id, claim, now),
            Home::Unlinked(_) | Home::Nowhere => {
                warn_seldom!(
                    key = (),
                    stream = claim.lease.key.as_str(),
                    "the home cannot be asked: deciding without it"
                );
                return self.decide_for(id, claim, now);
            }
        };
        self.set_stage(id, stage);
    }

    fn decide_for(&mut self, id: HoldId, claim: Claim, now: Instant) {
        self.set_stage(id, Stage::Deciding);
        self.decide(claim, Asker::Hold(id), now);
    }

    fn set_stage(&mut self, id: HoldId, stage: Stage) {
        if let Some(hold) = self.holds.get_mut(&id) {
            hold.stage = stage;
        }
    }

    pub(super) fn home_answered(&mut self, id: HoldId, answer: Option<Answer>, now: Instant) {
        match answer {
            Some(Answer::Leased { accepted }) => self.granted(id, accepted, now),
            Some(Answer::Denied(_)) => self.denied(id, now),
            _ => {
                if let Some(claim) = self.holds.get(&id).map(|hold| hold.claim.clone()) {
                    warn_seldom!(
                        key = (),
                        stream = claim.lease.key.as_str(),
                        "the home does not answer: deciding without it"
                    );
                    self.decide_for(id, claim, now);
                }
            }
        }
    }

    pub(super) fn granted(&mut self, id: HoldId, accepted: u64, now: Instant) {
        let Some(hold) = self.holds.get_mut(&id) else { return };
        hold.stage = Stage::Granted;
        hold.claim.lease.accepted = accepted;
        let key = hold.claim.lease.key.clone();
        self.leases.remove(&key);
        self.actions.push(Action::Granted(id));
        match self.next_follower(&key) {
            Some((next, since)) => self.granted(next, since.max(accepted), now),
            None => self.announce(&key, now),
        }
    }

    pub(super) fn denied(&mut self, id: HoldId, now: Instant) {
        if let Some(hold) = self.forget(id) {
            self.actions.push(Action::Denied(id));
            self.let_next_ask(&hold.claim.lease.key, now);
        }
    }

    /// Takes a hold out, and the name with its last one.
    fn forget(&mut self, id: HoldId) -> Option<Hold> {
        let hold = self.holds.remove(&id)?;
        if let Some(name) = self.names.get_mut(&hold.claim.lease.key) {
            name.holds.retain(|other| *other != id);
        }
        if !matches!(hold.stage, Stage::Granted) {
            self.drop_unused_name(&hold.claim.lease.key);
        }
        Some(hold)
    }

    /// The first publisher behind another, and when it was accepted.
    fn next_follower(&self, key: &StreamKey) -> Option<(HoldId, u64)> {
        let mut holds = self.names.get(key)?.holds.iter().filter_map(|id| Some((*id, self.holds.get(id)?)));
        let follower = holds.find(|(_, hold)| matches!(hold.stage, Stage::Following));
        follower.map(|(id, hold)| (id, hold.claim.lease.accepted))
    }

    /// Whoever asked for the name behind one that no longer does asks for itself.
    fn let_next_ask(&mut self, key: &StreamKey, now: Instant) {
        let Some(name) = self.names.get(key) else { return };
        let mut holds = name.holds.iter().filter_map(|id| self.holds.get(id));
        if !holds.all(|hold| matches!(hold.stage, Stage::Following)) {
            return;
        }
        if let Some((id, _)) = self.next_follower(key) {
            self.set_stage(id, Stage::Waiting { until: now + HOME_PATIENCE });
            self.pursue(id, now);
        }
    }

    /// Says of every name that it is here.
    pub(super) fn announce_everything(&mut self, now: Instant) {
        let keys: Vec<StreamKey> = self.names.keys().cloned().collect();
        keys.iter().for_each(|key| self.announce(key, now));
    }

    fn announce(&mut self, key: &StreamKey, now: Instant) {
        let Some(lease) = self.own_lease(key).cloned() else { return };
        for keeper in self.peers.keepers(key) {
            if let Some(name) = self.names.get_mut(key) {
                name.told.insert(keeper.clone());
            }
            let purpose = Purpose::Refresh(key.clone());
            self.ask(&keeper, Item::Lease(lease.clone()), purpose, HOME_PATIENCE, now);
        }
    }

    /// Somebody knows another holder: whoever told it finds out, from that one, which of the two goes.
    pub(super) fn meet_rival(&mut self, key: &StreamKey, from: &NodeId, rival: Known, now: Instant) {
        let Some(lease) = self.own_lease(key).cloned() else { return };
        let purpose = Purpose::Settle(key.clone());
        if rival.lease.node == self.me || self.is_asked(from, &purpose) {
            return;
        }
        if rival.how == How::Held && rival.lease.wins_over(&lease) {
            return self.lose(key);
        }
        let claim = Claim { lease, takes_over: false, is_held: true };
        self.ask(from, Item::Grant(claim), purpose, HOME_PATIENCE, now);
    }

    /// Gives up a name that another holder has the better right to.
    pub(super) fn lose_to(&mut self, key: &StreamKey, rival: &Lease) {
        if self.own_lease(key).is_some_and(|lease| rival.node != self.me && rival.wins_over(lease)) {
            self.lose(key);
        }
    }

    /// Revokes every hold on a name. What was told of it ends with the next word of the other holder.
    pub(super) fn lose(&mut self, key: &StreamKey) {
        let Some(name) = self.names.get(key) else { return };
        let is_granted = |id: &HoldId| self.holds.get(id).is_some_and(|hold| matches!(hold.stage, Stage::Granted));
        let lost: Vec<HoldId> = name.holds.iter().filter(|id| is_granted(id)).copied().collect();
        for id in lost {
            self.forget(id);
            self.actions.push(Action::Revoked(id));
        }
        self.drop_unused_name(key);
    }

    fn end_name(&mut self, key: &StreamKey, lease: &Lease, now: Instant) {
        let told = self.names.get_mut(key).map(|name| std::mem::take(&mut name.told)).unwrap_or_default();
        told.iter().for_each(|node| self.tell_release(node, lease, now));
        self.drop_unused_name(key);
    }

    fn drop_unused_name(&mut self, key: &StreamKey) {
        if self.names.get(key).is_some_and(|name| name.holds.is_empty()) {
            self.names.remove(key);
        }
    }

    fn tell_release(&mut self, to: &NodeId, lease: &Lease, now: Instant) {
        if self.peers.is_linked(to) {
            let (key, session) = (lease.key.clone(), lease.session.clone());
            let item = Item::Release { key, node: self.me.clone(), session };
            self.ask(to, item, Purpose::Notice, HOME_PATIENCE, now);
        }
    }
}
