//! The set of origins, and which of them can be talked to.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use crate::cluster::lease::NodeId;
use crate::cluster::rank::rank;
use crate::media::stream_key::StreamKey;

use super::{Directory, HOME_PATIENCE, Purpose, UNCERTAIN_FOR};

/// One address of the set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Where it is.
    pub address: SocketAddr,
    /// What ranks it.
    pub rank_key: String,
}

/// Where a name is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// Here.
    Us,
    /// At a peer that can be asked.
    Peer(NodeId),
    /// At an address that cannot be asked, for so long.
    Unlinked(Instant),
    /// There is no set.
    Nowhere,
}

/// The members of the set, the links to them and the sessions with them.
#[derive(Debug)]
pub(super) struct Peers {
    me: NodeId,
    /// Whether the set has been resolved at all.
    is_resolved: bool,
    members: Vec<Known>,
    nodes: HashMap<NodeId, Contact>,
}

#[derive(Debug)]
struct Known {
    member: Member,
    /// Who answered there last.
    node: Option<NodeId>,
    /// Since when it is as it is.
    since: Instant,
}

/// How a node is in touch with us.
#[derive(Debug, Default)]
struct Contact {
    /// Connections of ours, by the address they lead to.
    links: HashSet<SocketAddr>,
    /// Connections of theirs.
    sessions: usize,
}

impl Peers {
    pub(super) fn new(me: NodeId) -> Self {
        Self { me, is_resolved: false, members: Vec::new(), nodes: HashMap::new() }
    }

    /// The nodes that can be asked.
    pub(super) fn linked(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.iter().filter(|(_, contact)| !contact.links.is_empty()).map(|(node, _)| node)
    }

    pub(super) fn is_linked(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|contact| !contact.links.is_empty())
    }

    pub(super) fn home(&self, key: &StreamKey) -> Home {
        match self.ranked(key).first() {
            None => Home::Nowhere,
            Some(Known { node: Some(node), .. }) if *node == self.me => Home::Us,
            Some(Known { node: Some(node), .. }) if self.is_linked(node) => Home::Peer(node.clone()),
            Some(Known { since, .. }) => Home::Unlinked(*since),
        }
    }

    /// The home of a name and the next one, without us and without who cannot be asked.
    pub(super) fn keepers(&self, key: &StreamKey) -> Vec<NodeId> {
        let keepers = self.ranked(key).into_iter().take(2).filter_map(|known| known.node.clone());
        keepers.filter(|node| self.is_linked(node)).collect()
    }

    /// Whether a link may come up at any moment that has not yet.
    pub(super) fn are_on_their_way(&self, now: Instant) -> bool {
        let is_near = |known: &Known| {
            let is_there = known.node.as_ref().is_some_and(|node| *node == self.me || self.is_linked(node));
            !is_there && now < known.since + HOME_PATIENCE
        };
        !self.is_resolved || self.members.iter().any(is_near)
    }

    /// Whether every other member of the set can be asked.
    pub(super) fn are_all_linked(&self) -> bool {
        let is_there = |node: &NodeId| *node == self.me || self.is_linked(node);
        self.is_resolved && self.members.iter().all(|known| known.node.as_ref().is_some_and(is_there))
    }

    fn ranked(&self, key: &StreamKey) -> Vec<&Known> {
        let mut members: Vec<&Known> = self.members.iter().collect();
        rank(key.as_str(), &mut members, |known| &known.member.rank_key);
        members
    }

    fn is_present(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|contact| !contact.links.is_empty() || contact.sessions > 0)
    }
}

impl Directory {
    /// Takes the set as it is resolved now.
    pub fn set_members(&mut self, members: Vec<Member>, now: Instant) {
        let known: HashSet<&Member> = self.peers.members.iter().map(|known| &known.member).collect();
        let is_same = members.len() == known.len() && members.iter().all(|member| known.contains(member));
        let was_resolved = std::mem::replace(&mut self.peers.is_resolved, true);
        if is_same && was_resolved {
            return;
        }
        let mut before: HashMap<SocketAddr, Known> =
            self.peers.members.drain(..).map(|known| (known.member.address, known)).collect();
        self.peers.members = members
            .into_iter()
            .map(|member| match before.remove(&member.address) {
                Some(known) => Known { member, ..known },
                None => Known { member, node: None, since: now },
            })
            .collect();
        self.uncertain_until = now + UNCERTAIN_FOR;
        self.announce_everything(now);
        self.pursue_waiting_holds(now);
    }

    /// Notes that `node` answers at `address`, be it ourselves, and can be asked from now on.
    pub fn link_up(&mut self, address: SocketAddr, node: &NodeId, now: Instant) {
        if let Some(known) = self.peers.members.iter_mut().find(|known| known.member.address == address) {
            known.node = Some(node.clone());
            known.since = now;
        }
        if *node != self.me {
            self.peers.nodes.entry(node.clone()).or_default().links.insert(address);
            self.ask_newcomer(node, now);
        }
        self.announce_everything(now);
        self.pursue_waiting_holds(now);
    }

    /// Notes that the link to `address` is gone.
    pub fn link_down(&mut self, address: SocketAddr, node: &NodeId, now: Instant) {
        if let Some(known) = self.peers.members.iter_mut().find(|known| known.member.address == address) {
            known.since = now;
        }
        if let Some(contact) = self.peers.nodes.get_mut(node) {
            contact.links.remove(&address);
        }
        if !self.peers.is_linked(node) {
            let to_it = self.asks.iter().filter(|(_, ask)| ask.to == *node);
            let lost: Vec<_> = to_it.map(|(id, _)| *id).collect();
            lost.into_iter().for_each(|ask| self.answered(ask, None, now));
        }
        self.forget_if_absent(node);
    }

    /// Notes that `node` has a session with us.
    pub fn joined(&mut self, node: &NodeId) {
        self.peers.nodes.entry(node.clone()).or_default().sessions += 1;
    }

    /// Notes that a session of `node` with us is over.
    pub fn left(&mut self, node: &NodeId) {
        if let Some(contact) = self.peers.nodes.get_mut(node) {
            contact.sessions = contact.sessions.saturating_sub(1);
        }
        self.forget_if_absent(node);
    }

    /// The address at which we are one of the set.
    pub fn own_address(&self) -> Option<SocketAddr> {
        let is_us = |node: &NodeId| *node == self.me;
        self.peers.members.iter().find(|known| known.node.as_ref().is_some_and(is_us)).map(|known| known.member.address)
    }

    /// What a node that is gone has leased counts for nothing: it may have gone with its streams. If not, it comes back and
    /// says so at once.
    fn forget_if_absent(&mut self, node: &NodeId) {
        if !self.peers.is_present(node) {
            self.peers.nodes.remove(node);
            self.leases.retain(|_, noted| noted.lease.node != *node);
            self.withdraw_claims_of(node);
        }
    }

    /// Whether a question is worth repeating to a node.
    pub(super) fn is_asked(&self, node: &NodeId, purpose: &Purpose) -> bool {
        self.asks.values().any(|ask| ask.to == *node && ask.purpose == *purpose)
    }
}
