//! The handle by which a session's own task counts, listens for a kick, and ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::metrics::Reason;

use super::client::Client;
use super::{ClientId, Sessions, access};

/// One session, owned by the task that serves it. Dropping it without [`end`](Self::end) is being cut off.
#[derive(Debug)]
pub struct Session {
    sessions: Sessions,
    client: Arc<Client>,
    delay: Option<Delay>,
    reason: Option<&'static str>,
}

/// How a player kept up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delay {
    /// How far behind the newest media it was at its end.
    pub(super) behind: Duration,
    /// Packets that it was not sent.
    pub(super) skipped: u64,
}

/// Counts the bytes of a session, and listens for its kick. Of all clones the one that has begun to listen last is woken.
#[derive(Debug)]
pub struct Count {
    client: Arc<Client>,
    /// Set by the first look for a kick: the task that it wakes stays the same.
    is_listening: bool,
}

impl Session {
    pub(super) fn new(sessions: Sessions, client: Arc<Client>) -> Self {
        Self { sessions, client, delay: None, reason: None }
    }

    /// Its id.
    pub fn id(&self) -> ClientId {
        self.client.id
    }

    /// What counts its bytes.
    pub fn count(&self) -> Count {
        Count { client: Arc::clone(&self.client), is_listening: false }
    }

    /// Notes that it publishes its stream from now on.
    pub fn has_name(&self) {
        self.sessions.has_name(&self.client);
    }

    /// Notes how long it took until the first media was written.
    pub fn note_first_frame(&self, after: Duration) {
        self.client.set_first_frame(after);
    }

    /// Notes, at the end, how far behind the newest media a player was and how many packets it was not sent.
    pub fn note_delay(&mut self, behind: Duration, skipped: u64) {
        self.delay = Some(Delay { behind, skipped });
    }

    /// Whether it is to end.
    pub fn is_kicked(&self) -> bool {
        self.client.is_kicked()
    }

    /// Ends it, for a reason that is the same in log and metric.
    pub fn end(mut self, reason: &'static str) {
        self.reason = Some(reason);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.leave(&self.client);
        access::log(&self.client, self.delay, self.reason.unwrap_or(Reason::Shutdown.label()));
    }
}

impl Clone for Count {
    fn clone(&self) -> Self {
        Self { client: Arc::clone(&self.client), is_listening: false }
    }
}

impl Count {
    /// Adds bytes that were sent.
    pub fn sent(&self, bytes: u64) {
        self.client.add_sent(bytes);
    }

    /// Adds bytes that were received.
    pub fn received(&self, bytes: u64) {
        self.client.add_received(bytes);
    }

    /// Ready once the session is kicked. The task that asks first is woken; each call looks.
    pub fn poll_kicked(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_listening {
            return if self.client.is_kicked() { Poll::Ready(()) } else { Poll::Pending };
        }
        self.is_listening = true;
        self.client.poll_kicked(context)
    }

    /// Completes once the session is kicked. Dropping the future loses nothing.
    pub async fn kicked(&mut self) {
        poll_fn(|context| self.poll_kicked(context)).await;
    }
}
