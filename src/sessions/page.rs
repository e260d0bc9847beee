//! Looking at the sessions: a page of them, or one.

use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::media::stream_key::StreamKey;

use super::Sessions;
use super::client::{Client, Kind};
use super::id::ClientId;

/// How many sessions are looked at before others have the list: who joins waits no longer than for these.
const AT_ONCE: usize = 512;

/// One session at one moment.
#[derive(Debug, Clone)]
pub struct ClientView {
    /// Its id.
    pub id: ClientId,
    /// What it is.
    pub kind: Kind,
    /// Its stream.
    pub key: StreamKey,
    /// The other end's address.
    pub peer: SocketAddr,
    /// Whether that is another server.
    pub is_server: bool,
    /// The program at the other end, as it calls itself.
    pub agent: Box<str>,
    /// The URL that it connected to, without what stands behind a question mark.
    pub url: Box<str>,
    /// The page that it plays on.
    pub page: Box<str>,
    /// For how long it goes on.
    pub age: Duration,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Kilobits a second sent over half a minute to a minute.
    pub sent_kilobits: u64,
    /// Kilobits a second received over half a minute to a minute.
    pub received_kilobits: u64,
}

impl Sessions {
    /// Those behind the first `start`, at most `count`, in the order of their connections.
    pub fn page(&self, start: usize, count: usize) -> Vec<ClientView> {
        let mut views = Vec::new();
        let mut skip = start;
        self.each_part(|part| {
            let wanted = part.iter().skip(skip).take(count - views.len());
            views.extend(wanted.map(|client| client.view()));
            skip = skip.saturating_sub(part.len());
            views.len() < count
        });
        views
    }

    /// The session with that id.
    pub fn view(&self, id: ClientId) -> Option<ClientView> {
        self.find(id).map(|client| client.view())
    }

    /// Notes the totals of all, from which their rates are taken. To be called about every half minute.
    pub fn sample(&self) {
        self.each_part(|part| {
            part.iter().for_each(|client| client.sample());
            true
        });
    }

    /// Shows all sessions to `look`, some at a time, as long as it says so; nobody waits while it looks.
    fn each_part(&self, mut look: impl FnMut(&[Arc<Client>]) -> bool) {
        let mut from = Bound::Unbounded;
        loop {
            let part: Vec<_> = {
                let clients = self.shared.clients.lock();
                clients.range((from, Bound::Unbounded)).take(AT_ONCE).map(|(_, client)| Arc::clone(client)).collect()
            };
            let Some(last) = part.last() else { return };
            from = Bound::Excluded(last.id.number);
            if !look(&part) {
                return;
            }
        }
    }
}

impl Client {
    fn view(&self) -> ClientView {
        let (received_kilobits, sent_kilobits) = self.kilobits();
        ClientView {
            id: self.id,
            kind: self.kind,
            key: self.key.clone(),
            peer: self.peer,
            is_server: self.is_server,
            agent: self.agent.clone(),
            url: self.url.clone(),
            page: self.page.clone(),
            age: self.since.elapsed(),
            sent_bytes: self.sent(),
            received_bytes: self.received(),
            sent_kilobits,
            received_kilobits,
        }
    }
}
