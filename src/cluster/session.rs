//! A peer that asks us: its calls, and our answers to them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::rtmp::amf0::Value;
use crate::rtmp::server::Call;

use super::Shared;
use super::directory::Ticket;
use super::lease::NodeId;
use super::message::Answer;
use super::wire;

/// An answer on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The transaction of the call.
    pub transaction: f64,
    /// The argument; `None` if the call could not be read.
    pub argument: Option<Value>,
}

/// One connection of a peer. Dropping it ends the session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    id: u64,
    node: NodeId,
    last_call: u64,
    replies: mpsc::UnboundedReceiver<Reply>,
}

/// The calls of one session that are not fully answered.
#[derive(Debug)]
pub(super) struct Calls {
    open: HashMap<u64, OpenCall>,
    replies: mpsc::UnboundedSender<Reply>,
}

#[derive(Debug)]
struct OpenCall {
    transaction: f64,
    answers: Vec<Option<Value>>,
}

impl Session {
    pub(super) fn begin(shared: Arc<Shared>, node: NodeId) -> Self {
        let (sender, replies) = mpsc::unbounded_channel();
        let id = shared.with(|state, _| {
            let id = state.next_session();
            state.sessions.insert(id, Calls { open: HashMap::new(), replies: sender });
            state.directory.joined(&node);
            id
        });
        tracing::info!(peer = %node, "a peer has come");
        Self { shared, id, node, last_call: 0, replies }
    }

    /// Takes a call. Its reply follows once all of its items are answered.
    pub fn take(&mut self, call: &Call) {
        self.last_call += 1;
        let Some(values) = wire::items_of(&call.argument) else {
            tracing::debug!(peer = %self.node, call = call.name, "a call cannot be read");
            self.shared.with(|state, _| {
                if let Some(calls) = state.sessions.get(&self.id) {
                    calls.send(Reply { transaction: call.transaction, argument: None });
                }
            });
            return;
        };
        let items: Vec<_> = values.iter().map(|value| wire::read_item(&call.name, value)).collect();
        self.shared.with(|state, now| {
            if let Some(calls) = state.sessions.get_mut(&self.id) {
                calls.begin(self.last_call, call.transaction, items.len());
            }
            for (index, item) in items.into_iter().enumerate() {
                match item {
                    Some(item) => {
                        let ticket = Ticket { session: self.id, call: self.last_call, index };
                        state.directory.asked(&self.node, ticket, item, now);
                    }
                    None => {
                        if let Some(calls) = state.sessions.get_mut(&self.id) {
                            calls.answer(self.last_call, index, None);
                        }
                    }
                }
            }
        });
    }

    /// The next answer to be sent. Dropping the future loses nothing.
    pub async fn next_reply(&mut self) -> Reply {
        match self.replies.recv().await {
            Some(reply) => reply,
            // Only the end of the session ends them.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.with(|state, _| {
            state.sessions.remove(&self.id);
            state.directory.left(&self.node);
        });
        tracing::info!(peer = %self.node, "a peer has gone");
    }
}

impl Calls {
    fn begin(&mut self, call: u64, transaction: f64, items: usize) {
        if items == 0 {
            self.send(Reply { transaction, argument: Some(wire::batch(Vec::new())) });
        } else {
            self.open.insert(call, OpenCall { transaction, answers: vec![None; items] });
        }
    }

    pub(super) fn answer(&mut self, call: u64, index: usize, answer: Option<&Answer>) {
        let Some(open) = self.open.get_mut(&call) else { return };
        if let Some(slot) = open.answers.get_mut(index) {
            *slot = Some(wire::write_answer(answer));
        }
        if open.answers.iter().any(Option::is_none) {
            return;
        }
        if let Some(OpenCall { transaction, answers }) = self.open.remove(&call) {
            self.send(Reply { transaction, argument: Some(wire::batch(answers.into_iter().flatten().collect())) });
        }
    }

    fn send(&self, reply: Reply) {
        // A session that ends at this moment needs no answer.
        let _ = self.replies.send(reply);
    }
}
