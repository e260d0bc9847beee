//! Who is connected: every publisher, player and pull from its command to its end.
//!
//! Owns the list that the API shows, the way to kick one of them, and the line that the log gets when one has ended. The
//! sessions of `serve` and `pull` enter themselves and count what they move; the admin port looks and kicks. Nothing
//! here touches media: a session costs a few words of memory, and each of its writes one addition.

mod access;
mod client;
mod id;
mod page;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::hub::Identity;
use crate::media::stream_key::StreamKey;

use client::Client;
pub use client::{About, Kind};
pub use id::{ClientId, IdError};
pub use page::ClientView;
pub use session::{Count, Session};

/// All sessions of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What the ids of this process begin with.
    process: u64,
    /// The number of the next connection.
    next: AtomicU64,
    /// By the number in their id, which is the order of their connections.
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// Who publishes a stream here: the client, or the pull.
    publishers: DashMap<StreamKey, u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

impl Sessions {
    /// Without anybody.
    pub fn new() -> Self {
        let random = Identity::random();
        let process = random.as_str().get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            shared: Arc::new(Shared {
                process: process.unwrap_or_default(),
                next: AtomicU64::new(1),
                clients: Mutex::default(),
                publishers: DashMap::new(),
            }),
        }
    }

    /// An id for a connection, whether it comes to a session or not: no other has it, in this process or in others.
    pub fn next_id(&self) -> ClientId {
        ClientId { process: self.shared.process, number: self.shared.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Enters what the connection with that id does with a stream, until the session is ended or dropped.
    pub fn enter(&self, id: ClientId, kind: Kind, key: &StreamKey, about: About) -> Session {
        let client = Arc::new(Client::new(id, kind, key.clone(), about));
        self.shared.clients.lock().insert(id.number, Arc::clone(&client));
        Session::new(self.clone(), client)
    }

    /// Notes that a session has been given its stream's name.
    fn has_name(&self, client: &Client) {
        self.shared.publishers.insert(client.key.clone(), client.id.number);
    }

    fn leave(&self, client: &Arc<Client>) {
        let mut clients = self.shared.clients.lock();
        // A connection may have begun its next session before this one has gone.
        let is_last = clients.get(&client.id.number).is_some_and(|entered| Arc::ptr_eq(entered, client));
        if is_last {
            clients.remove(&client.id.number);
        }
        drop(clients);
        if is_last && client.kind.publishes() {
            self.shared.publishers.remove_if(&client.key, |_, number| *number == client.id.number);
        }
    }

    /// Ends a session as soon as its task looks. `false` if there is none with that id.
    pub fn kick(&self, id: ClientId) -> bool {
        let client = self.find(id);
        if let Some(client) = &client {
            client.kick();
        }
        client.is_some()
    }

    /// Who publishes a stream here, be it a pull.
    pub fn publisher_of(&self, key: &StreamKey) -> Option<ClientId> {
        let number = *self.shared.publishers.get(key)?;
        Some(ClientId { process: self.shared.process, number })
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.shared.clients.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, id: ClientId) -> Option<Arc<Client>> {
        if id.process != self.shared.process {
            return None;
        }
        self.shared.clients.lock().get(&id.number).cloned()
    }
}

#[cfg(test)]
mod tests;
