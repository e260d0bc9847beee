//! Whether a client may publish a name, where somebody else has a say in it.
//!
//! Owns the question and the answer. At an origin of several the home of the name is asked, at an edge the origin that the
//! stream is forwarded to; the server hands the hub who asks them. A process of its own asks nobody.

use std::any::Any;
use std::fmt;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::media::stream_key::StreamKey;

use super::state::{PublishError, PublishRequest};

/// Asked before a name is given to a client that publishes.
pub trait OnPublish: Send + Sync + 'static {
    /// Asks for `key` on behalf of a client. The future is dropped when the client leaves meanwhile; what it has got by
    /// then, it gives back.
    fn admit(&self, key: &StreamKey, request: &PublishRequest) -> BoxFuture<'static, Result<Permit, PublishError>>;
}

/// The right to publish a name. Dropping it gives the name back.
pub struct Permit {
    revoked: CancellationToken,
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Permit {
    /// The right where nobody has to be asked. It is never revoked.
    pub fn free() -> Self {
        Self { revoked: CancellationToken::new(), _held: None }
    }

    /// A right that ends, at the latest, when `revoked` is cancelled; `held` is dropped with it.
    pub fn new(revoked: CancellationToken, held: Box<dyn Any + Send + Sync>) -> Self {
        Self { revoked, _held: Some(held) }
    }

    /// Cancelled when another publisher turned out to have the better right.
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").field("revoked", &self.revoked.is_cancelled()).finish_non_exhaustive()
    }
}
