//! Granting a name: at its home, and wherever the home cannot be asked.

use std::collections::HashSet;
use std::time::Instant;

use crate::cluster::lease::{Claim, Lease, NodeId};
use crate::cluster::message::{Answer, How, Item, Known};
use crate::media::stream_key::StreamKey;

use super::{ASK_PATIENCE, AskId, CONTESTED_FOR, Directory, HOME_PATIENCE, HoldId, Purpose, Ticket};

/// A claim that is being decided upon.
#[derive(Debug)]
pub(super) struct Decision {
    number: u64,
    claim: Claim,
    askers: Vec<Asker>,
    stage: Stage,
    /// Whether everybody is asked, and not only a holder who is known.
    is_broad: bool,
    open: HashSet<AskId>,
    /// Who has been asked.
    asked: HashSet<NodeId>,
    /// Who has answered, or will not, and has not said that it holds the name.
    heard: HashSet<NodeId>,
    rivals: Vec<Known>,
    deadline: Instant,
    /// The accept time that the lease must be beyond, so that it wins over whom it replaces.
    not_before: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Peers are asked whether they know a rival.
    Asking,
    /// Rivals are told to go.
    Displacing,
}

/// Who waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asker {
    /// A publisher here.
    Hold(HoldId),
    /// A peer.
    Peer(Ticket),
}

impl Directory {
    /// Finds out whether `claim` can be granted, and tells `asker`.
    pub(super) fn decide(&mut self, claim: Claim, asker: Asker, now: Instant) {
        let key = claim.lease.key.clone();
        let mut not_before = claim.lease.accepted;
        // Another publisher of ours may step into the place of one that is refused.
        while let Some(pending) = self.decisions.get_mut(&key) {
            if pending.claim.lease.node == claim.lease.node {
                pending.askers.push(asker);
                return;
            }
            if !claim.is_ahead_of(&pending.claim) {
                let ahead = pending.claim.lease.clone();
                return self.deny(&asker, ahead, now);
            }
            if claim.lease.replaces && pending.stage == Stage::Displacing {
                // Whom the other one has sent away already, this one replaces.
                not_before = not_before.max(pending.not_before);
            }
            self.abandon(&key, &claim.lease, now);
        }
        let decision = Decision {
            number: self.number(),
            not_before,
            askers: vec![asker],
            stage: Stage::Asking,
            is_broad: self.is_uncertain(&key, now),
            open: HashSet::new(),
            asked: HashSet::new(),
            heard: HashSet::new(),
            rivals: Vec::new(),
            deadline: now + if self.peers.are_on_their_way(now) { HOME_PATIENCE } else { ASK_PATIENCE },
            claim,
        };
        let whom: Vec<NodeId> = match decision.is_broad {
            true => self.peers.linked().cloned().collect(),
            false => self.noted(&key, now).map(|lease| lease.node.clone()).into_iter().collect(),
        };
        self.decisions.insert(key.clone(), decision);
        whom.iter().for_each(|node| self.ask_about(&key, node, now));
        self.conclude_if_ready(&key, now);
    }

    /// Asks a node that can be asked only now about everything that everybody is asked about.
    pub(super) fn ask_newcomer(&mut self, node: &NodeId, now: Instant) {
        let broad = self.decisions.iter().filter(|(_, decision)| decision.is_broad && decision.stage == Stage::Asking);
        let keys: Vec<StreamKey> = broad.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.ask_about(key, node, now));
    }

    fn ask_about(&mut self, key: &StreamKey, node: &NodeId, now: Instant) {
        let is_linked = self.peers.is_linked(node);
        let Some(decision) = self.decisions.get_mut(key) else { return };
        if !is_linked || decision.claim.lease.node == *node || !decision.asked.insert(node.clone()) {
            return;
        }
        let purpose = Purpose::Decide { key: key.clone(), decision: decision.number };
        let item = Item::Lookup { key: key.clone(), deep: false, claim: Some(decision.claim.clone()) };
        let ask = self.ask(node, item, purpose, ASK_PATIENCE, now);
        if let Some(decision) = self.decisions.get_mut(key) {
            decision.open.insert(ask);
        }
    }

    /// Takes what a peer says about a claim.
    pub(super) fn heard(
        &mut self,
        key: &StreamKey,
        number: u64,
        ask: AskId,
        from: NodeId,
        answer: Option<Answer>,
        now: Instant,
    ) {
        let is_noted = self.noted(key, now).is_some_and(|lease| lease.node == from);
        let Some(decision) = self.decisions.get_mut(key).filter(|decision| decision.number == number) else { return };
        decision.open.remove(&ask);
        match answer {
            // What it has asked us for is noted here if it was granted, and counts as that; else it is decided upon when it comes.
            Some(Answer::Found(Known { how: How::Requested, .. })) if is_noted => {}
            Some(Answer::Found(Known { how: How::Requested, .. })) => {
                decision.heard.insert(from);
            }
            Some(Answer::Found(rival)) => {
                if rival.how != How::Held {
                    decision.heard.insert(from);
                }
                decision.rivals.push(rival);
            }
            _ => {
                decision.heard.insert(from);
            }
        }
        self.conclude_if_ready(key, now);
    }

    /// Takes that a rival has gone, or does not answer, or has been followed by another on its node.
    pub(super) fn displaced(&mut self, key: &StreamKey, number: u64, ask: AskId, answer: Option<Answer>, now: Instant) {
        let Some(decision) = self.decisions.get_mut(key).filter(|decision| decision.number == number) else { return };
        decision.open.remove(&ask);
        if let Some(Answer::Rival(next)) = answer {
            decision.rivals.retain(|rival| rival.lease.node != next.lease.node);
            decision.rivals.push(next.clone());
            decision.stage = Stage::Asking;
            self.note(next.lease, now);
        }
        self.conclude_if_ready(key, now);
    }

    /// Decides once everybody who was asked has answered, or has had the time to.
    pub(super) fn conclude_if_ready(&mut self, key: &StreamKey, now: Instant) {
        let Some(decision) = self.decisions.get(key) else { return };
        let may_hear_more = decision.is_broad && self.peers.are_on_their_way(now) && now < decision.deadline;
        match decision.stage {
            Stage::Asking if decision.open.is_empty() && !may_hear_more => self.weigh_rivals(key, now),
            Stage::Displacing if decision.open.is_empty() => self.grant(key, now),
            _ => {}
        }
    }

    fn weigh_rivals(&mut self, key: &StreamKey, now: Instant) {
        let own = self.own_lease(key).map(|lease| Known { lease: lease.clone(), how: How::Held });
        let noted = self.noted(key, now).map(|lease| Known { lease: lease.clone(), how: How::Leased });
        let Some(decision) = self.decisions.get_mut(key) else { return };
        let Decision { claim, heard, .. } = &*decision;
        let counts = |rival: &Known| {
            // A holder that answers for itself knows better than who has heard of it.
            let is_denied = rival.how == How::Leased && heard.contains(&rival.lease.node);
            // So do we.
            let is_gone = rival.how != How::Held && rival.lease.node == self.me;
            rival.lease.node != claim.lease.node && !is_denied && !is_gone
        };
        let rivals: Vec<Known> =
            own.iter().chain(&noted).chain(&decision.rivals).filter(|rival| counts(rival)).cloned().collect();
        let stays = rivals.iter().find(|rival| rival.how == How::Asked || !claim.displaces(&rival.lease));
        if let Some(stays) = stays {
            return self.abandon(key, &stays.lease.clone(), now);
        }
        decision.stage = Stage::Displacing;
        let number = decision.number;
        for rival in rivals.iter().filter(|rival| !decision.claim.lease.wins_over(&rival.lease)) {
            decision.not_before = decision.not_before.max(rival.lease.accepted.saturating_add(1));
        }
        let mut told = HashSet::new();
        for Known { lease, .. } in rivals {
            if lease.node == self.me {
                self.lose(key);
            } else if self.peers.is_linked(&lease.node) && told.insert(lease.node.clone()) {
                let item = Item::Release { key: key.clone(), node: lease.node.clone(), session: lease.session };
                let purpose = Purpose::Displace { key: key.clone(), decision: number };
                let ask = self.ask(&lease.node, item, purpose, ASK_PATIENCE, now);
                if let Some(decision) = self.decisions.get_mut(key) {
                    decision.open.insert(ask);
                }
            }
        }
        self.conclude_if_ready(key, now);
    }

    fn grant(&mut self, key: &StreamKey, now: Instant) {
        let Some(decision) = self.decisions.remove(key) else { return };
        let accepted = decision.not_before;
        if decision.claim.lease.node != self.me {
            self.note(Lease { accepted, ..decision.claim.lease }, now);
        }
        for asker in decision.askers {
            match asker {
                Asker::Hold(hold) => self.granted(hold, accepted, now),
                Asker::Peer(ticket) => self.reply(ticket, Answer::Leased { accepted }),
            }
        }
    }

    /// Another node's claim than `claim` that is decided upon here, or that we have asked the home for.
    fn pending_rival(&self, claim: &Claim) -> Option<&Claim> {
        let (key, claimant) = (&claim.lease.key, &claim.lease.node);
        let asking = self.asking_claim(key).filter(|_| *claimant != self.me);
        let pending = self.decisions.get(key).map(|decision| &decision.claim);
        let rivals = [asking, pending].into_iter().flatten().filter(|rival| rival.lease.node != *claimant);
        // One that is ahead of it counts more than one that is not.
        rivals.min_by_key(|rival| claim.is_ahead_of(rival))
    }

    /// Refuses a claim that is being decided upon, if it is another node's and `winner` is ahead of it.
    fn abandon_behind(&mut self, winner: &Claim, now: Instant) {
        let (key, node) = (&winner.lease.key, &winner.lease.node);
        let pending = self.decisions.get(key).map(|decision| &decision.claim);
        if pending.is_some_and(|pending| pending.lease.node != *node && winner.is_ahead_of(pending)) {
            self.abandon(key, &winner.lease, now);
        }
    }

    /// Refuses a claim that is being decided upon, in favour of `winner`.
    fn abandon(&mut self, key: &StreamKey, winner: &Lease, now: Instant) {
        if let Some(decision) = self.decisions.remove(key) {
            decision.askers.iter().for_each(|asker| self.deny(asker, winner.clone(), now));
        }
    }

    fn deny(&mut self, asker: &Asker, winner: Lease, now: Instant) {
        match asker {
            Asker::Hold(hold) => self.denied(*hold, now),
            Asker::Peer(ticket) => self.reply(*ticket, Answer::Denied(winner)),
        }
    }

    /// Takes a request back that is being decided upon.
    pub(super) fn withdraw(&mut self, key: &StreamKey, asker: &Asker) {
        if let Some(decision) = self.decisions.get_mut(key) {
            decision.askers.retain(|other| other != asker);
            if decision.askers.is_empty() {
                self.decisions.remove(key);
            }
        }
    }

    /// Takes back what a node has asked for that has ended.
    pub(super) fn withdraw_claim_of(&mut self, key: &StreamKey, node: &NodeId) {
        if self.decisions.get(key).is_some_and(|decision| decision.claim.lease.node == *node) {
            self.decisions.remove(key);
        }
    }

    /// Takes back whatever a node has asked for that is gone: nobody would tell us when what it was granted ends.
    pub(super) fn withdraw_claims_of(&mut self, node: &NodeId) {
        self.decisions.retain(|_, decision| decision.claim.lease.node != *node);
    }

    /// What speaks against a claim that a peer decides upon, as far as is known here.
    pub(super) fn opinion(&mut self, from: &NodeId, claim: &Claim, now: Instant) -> Answer {
        let (key, claimant) = (&claim.lease.key, &claim.lease.node);
        if let Some(own) = self.own_lease(key).filter(|_| *claimant != self.me) {
            return Answer::Found(Known { lease: own.clone(), how: How::Held });
        }
        if let Some(asking) = self.asking_claim(key).filter(|_| self.has_asked(from, key)) {
            return Answer::Found(Known { lease: asking.lease.clone(), how: How::Requested });
        }
        // Both of us see both claims, and find the same one ahead. Whoever is behind stands back, here as where it was asked
        // for, since the grant may be on its way; and another publisher of ours may step into its place.
        while let Some(rival) = self.pending_rival(claim) {
            if !claim.is_ahead_of(rival) {
                return Answer::Found(Known { lease: rival.lease.clone(), how: How::Asked });
            }
            self.stand_back(claim, now);
            self.abandon_behind(claim, now);
        }
        // Until the other has decided, we decide nothing about this name without asking it.
        self.contested.insert(key.clone(), now + CONTESTED_FOR);
        match self.noted(key, now).filter(|lease| lease.node != *claimant) {
            Some(lease) => Answer::Found(Known { lease: lease.clone(), how: How::Leased }),
            None => Answer::Absent,
        }
    }
}
