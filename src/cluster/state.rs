//! The directory, and who waits for what it decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

use super::directory::{Action, AskId, Directory, HoldId, SearchId, Ticket};
use super::lease::{Claim, NodeId};
use super::message::{Answer, Item};
use super::place::Place;
use super::session::Calls;

/// Everything behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) directory: Directory,
    /// Where others reach this node.
    pub(super) place: Place,
    pub(super) publishers: HashMap<HoldId, Publisher>,
    pub(super) searches: HashMap<SearchId, oneshot::Sender<Option<Place>>>,
    pub(super) sessions: HashMap<u64, Calls>,
    /// The way to each linked node; of two links the newer one last.
    links: HashMap<NodeId, Vec<(SocketAddr, Questions)>>,
    last_session: u64,
}

/// Where the questions for a node go.
pub(super) type Questions = mpsc::UnboundedSender<(AskId, Item)>;

/// A publisher that waits for a name or has one.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) verdict: Option<oneshot::Sender<bool>>,
    pub(super) revoked: CancellationToken,
}

impl State {
    pub(super) fn new(directory: Directory, place: Place) -> Self {
        Self {
            directory,
            place,
            publishers: HashMap::new(),
            searches: HashMap::new(),
            sessions: HashMap::new(),
            links: HashMap::new(),
            last_session: 0,
        }
    }

    /// Asks for a name.
    pub(super) fn hold(&mut self, claim: Claim, now: Instant) -> HoldId {
        self.directory.hold(claim, now)
    }

    /// Takes note of where this node is reached from now on.
    pub(super) fn move_to(&mut self, place: Place, now: Instant) {
        if self.place != place {
            self.directory.move_to(&place, now);
            self.place = place;
        }
    }

    pub(super) fn next_session(&mut self) -> u64 {
        self.last_session += 1;
        self.last_session
    }

    pub(super) fn link_up(&mut self, address: SocketAddr, node: &NodeId, questions: Questions, now: Instant) {
        self.links.entry(node.clone()).or_default().push((address, questions));
        self.directory.link_up(address, node, now);
    }

    pub(super) fn link_down(&mut self, address: SocketAddr, node: &NodeId, now: Instant) {
        if let Some(links) = self.links.get_mut(node) {
            links.retain(|(other, _)| *other != address);
            if links.is_empty() {
                self.links.remove(node);
            }
        }
        self.directory.link_down(address, node, now);
    }

    /// Does what the directory has decided. Nothing of it waits.
    pub(super) fn act(&mut self, metrics: &Metrics) {
        for action in self.directory.take_actions() {
            match action {
                Action::Send { to, ask, item } => self.send(&to, ask, item),
                Action::Reply { ticket, answer } => self.reply(ticket, &answer),
                Action::Granted(id) => {
                    let verdict = self.publishers.get_mut(&id).and_then(|publisher| publisher.verdict.take());
                    // Who has left meanwhile gives the name back.
                    verdict.map(|verdict| verdict.send(true));
                }
                Action::Denied(id) => {
                    metrics.stream_conflicts.inc();
                    let verdict = self.publishers.remove(&id).and_then(|publisher| publisher.verdict);
                    verdict.map(|verdict| verdict.send(false));
                }
                Action::Revoked(id) => {
                    metrics.stream_conflicts.inc();
                    if let Some(publisher) = self.publishers.remove(&id) {
                        publisher.revoked.cancel();
                    }
                }
                Action::Located { search, place } => {
                    self.searches.remove(&search).map(|found| found.send(place));
                }
            }
        }
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.leases.set(gauge(self.directory.leases()));
        metrics.peers.set(gauge(self.directory.linked_peers()));
    }

    /// A link that ends at this moment loses what is sent: the directory hears of its end.
    fn send(&self, to: &NodeId, ask: AskId, item: Item) {
        if let Some((_, questions)) = self.links.get(to).and_then(|links| links.last()) {
            let _ = questions.send((ask, item));
        }
    }

    fn reply(&mut self, ticket: Ticket, answer: &Answer) {
        if let Some(calls) = self.sessions.get_mut(&ticket.session) {
            calls.answer(ticket.call, ticket.index, Some(answer));
        }
    }
}
