//! Finding the holder of a name, for a pull that asks here.

use std::collections::HashSet;
use std::time::Instant;

use crate::cluster::lease::{Lease, NodeId};
use crate::cluster::message::{Answer, How, Item, Known};
use crate::media::stream_key::StreamKey;

use super::{ASK_PATIENCE, Action, AskId, Directory, HOME_PATIENCE, Home, Purpose, SearchId, Ticket};

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    key: StreamKey,
    asker: Asker,
    open: HashSet<AskId>,
    /// Who does not hold it.
    absent: HashSet<NodeId>,
    /// A holder by hearsay.
    hint: Option<Lease>,
}

/// Who waits for what a search finds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// Somebody here.
    Here,
    /// A peer.
    Peer(Ticket),
}

impl Directory {
    /// Looks for another origin that holds `key`. `Located` follows.
    pub fn locate(&mut self, key: &StreamKey, now: Instant) -> SearchId {
        let id = self.begin_search(key, Asker::Here);
        match self.peers.home(key) {
            Home::Peer(home) => {
                let item = Item::Lookup { key: key.clone(), deep: true, claim: None };
                self.ask(&home, item, Purpose::SearchAtHome(id), HOME_PATIENCE, now);
            }
            Home::Us | Home::Unlinked(_) | Home::Nowhere => self.search_here(id, now),
        }
        id
    }

    /// Finds out for a peer who holds `key`.
    pub(super) fn locate_for(&mut self, key: &StreamKey, ticket: Ticket, now: Instant) {
        let id = self.begin_search(key, Asker::Peer(ticket));
        self.search_here(id, now);
    }

    /// What is known here of `key`, without asking anybody.
    pub(super) fn known(&self, key: &StreamKey, now: Instant) -> Answer {
        let own = self.own_lease(key).map(|lease| Known { lease: lease.clone(), how: How::Held });
        let noted = || self.noted(key, now).map(|lease| Known { lease: lease.clone(), how: How::Leased });
        own.or_else(noted).map_or(Answer::Absent, Answer::Found)
    }

    fn begin_search(&mut self, key: &StreamKey, asker: Asker) -> SearchId {
        let id = SearchId(self.number());
        let search = Search { key: key.clone(), asker, open: HashSet::new(), absent: HashSet::new(), hint: None };
        self.searches.insert(id, search);
        id
    }

    pub(super) fn home_searched(&mut self, id: SearchId, answer: Option<Answer>, now: Instant) {
        match answer {
            Some(Answer::Found(known)) => self.end_search(id, Some(known)),
            Some(_) => self.end_search(id, None),
            None => self.search_here(id, now),
        }
    }

    /// Looks into what is known here, and asks everybody if that need not be everything.
    fn search_here(&mut self, id: SearchId, now: Instant) {
        let Some(search) = self.searches.get(&id) else { return };
        let key = search.key.clone();
        if let Answer::Found(known) = self.known(&key, now) {
            return self.end_search(id, Some(known));
        }
        if self.is_uncertain(&key, now) {
            let peers: Vec<NodeId> = self.peers.linked().cloned().collect();
            for peer in peers {
                let item = Item::Lookup { key: key.clone(), deep: false, claim: None };
                let ask = self.ask(&peer, item, Purpose::Search(id), ASK_PATIENCE, now);
                if let Some(search) = self.searches.get_mut(&id) {
                    search.open.insert(ask);
                }
            }
        }
        self.end_search_if_nobody_is_left(id);
    }

    pub(super) fn searched(&mut self, id: SearchId, ask: AskId, from: NodeId, answer: Option<Answer>) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        search.open.remove(&ask);
        match answer {
            Some(Answer::Found(known)) if known.how == How::Held => return self.end_search(id, Some(known)),
            Some(Answer::Found(known)) => {
                search.hint.get_or_insert(known.lease);
                search.absent.insert(from);
            }
            _ => {
                search.absent.insert(from);
            }
        }
        self.end_search_if_nobody_is_left(id);
    }

    fn end_search_if_nobody_is_left(&mut self, id: SearchId) {
        let Some(search) = self.searches.get(&id).filter(|search| search.open.is_empty()) else { return };
        let hint = search.hint.clone().filter(|lease| !search.absent.contains(&lease.node));
        self.end_search(id, hint.map(|lease| Known { lease, how: How::Leased }));
    }

    fn end_search(&mut self, id: SearchId, found: Option<Known>) {
        let Some(search) = self.searches.remove(&id) else { return };
        match search.asker {
            Asker::Here => {
                // What we are said to hold and do not have is on its way or gone.
                let elsewhere = found.filter(|known| known.lease.node != self.me);
                let place = elsewhere.map(|known| known.lease.place);
                self.actions.push(Action::Located { search: id, place });
            }
            Asker::Peer(ticket) => self.reply(ticket, found.map_or(Answer::Absent, Answer::Found)),
        }
    }
}
