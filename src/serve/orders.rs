//! What others want of a publisher while it publishes: that it gives its name up, goes elsewhere, or ends.
//!
//! Packets come a hundred times a second, orders hardly ever. So they are waited for under a waker of their own: until one
//! of them comes, a publisher's task that looks for packets looks at a single flag instead of all of them.

use std::fmt;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::metrics::Reason;
use crate::sessions::Count;

use super::departure::{Departure, Due};

/// The tokens by which one publisher is told to end.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    /// The server stops.
    pub(super) stop: CancellationToken,
    /// Another publisher has taken the name over.
    pub(super) replaced: CancellationToken,
    /// The right to the name is gone.
    pub(super) revoked: CancellationToken,
    /// Of its session, which an operator may kick.
    pub(super) count: Count,
}

/// The orders to one publisher.
pub(super) struct Orders {
    tokens: Tokens,
    /// One future, or none for a moment.
    waiting: FuturesUnordered<BoxFuture<'static, (Departure, Result<Due, Reason>)>>,
}

impl Orders {
    /// Waits for those that come by `tokens` and those that a drain gives.
    pub(super) fn new(tokens: Tokens, departure: Departure) -> Self {
        let orders = Self { tokens, waiting: FuturesUnordered::new() };
        orders.wait(departure);
        orders
    }

    /// Completes with what a drain wants, or with why the publisher is to end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Due, Reason> {
        match self.waiting.next().await {
            Some((departure, order)) => {
                self.wait(departure);
                order
            }
            None => std::future::pending().await,
        }
    }

    fn wait(&self, mut departure: Departure) {
        let mut tokens = self.tokens.clone();
        self.waiting.push(Box::pin(async move {
            let order = tokio::select! {
                biased;
                () = tokens.stop.cancelled() => Err(Reason::Shutdown),
                () = tokens.replaced.cancelled() => Err(Reason::PublishReplaced),
                () = tokens.revoked.cancelled() => Err(Reason::PublishReplaced),
                () = tokens.count.kicked() => Err(Reason::Kicked),
                due = departure.due() => Ok(due),
            };
            (departure, order)
        }));
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Orders").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::config::Role;
    use crate::drain::{Drain, Purpose, Times};
    use crate::media::stream_key::StreamKey;
    use crate::sessions::{About, Kind, Session, Sessions};

    use super::*;

    fn orders(drain: &Drain) -> (Orders, Tokens) {
        let (orders, tokens, _) = orders_of_session(drain);
        (orders, tokens)
    }

    fn orders_of_session(drain: &Drain) -> (Orders, Tokens, (Sessions, Session)) {
        let token = CancellationToken::new;
        let sessions = Sessions::new();
        let (key, about) = (StreamKey::from_path("live/x").unwrap(), About::peer("192.0.2.1:1".parse().unwrap()));
        let session = sessions.enter(sessions.next_id(), Kind::Publish, &key, about);
        let tokens = Tokens { stop: token(), replaced: token(), revoked: token(), count: session.count() };
        let departure = Departure::new(drain, Role::Origin, true);
        (Orders::new(tokens.clone(), departure), tokens, (sessions, session))
    }

    fn drain() -> Drain {
        let seconds = Duration::from_secs;
        Drain::new(Times {
            propagation_delay: seconds(10),
            soft_timeout: seconds(15),
            window: seconds(60),
            hard_timeout: seconds(90),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_order_comes_with_its_reason_and_none_without_one() {
        let drain = drain();
        let (mut waiting, _) = orders(&drain);
        assert!(timeout(Duration::from_secs(3_600), waiting.next()).await.is_err());
        let (mut stopped, tokens) = orders(&drain);
        tokens.stop.cancel();
        assert_eq!(stopped.next().await, Err(Reason::Shutdown));
        let (mut replaced, tokens) = orders(&drain);
        tokens.replaced.cancel();
        assert_eq!(replaced.next().await, Err(Reason::PublishReplaced));
        let (mut revoked, tokens) = orders(&drain);
        tokens.revoked.cancel();
        assert_eq!(revoked.next().await, Err(Reason::PublishReplaced));
        let (mut kicked, _, (sessions, session)) = orders_of_session(&drain);
        assert!(timeout(Duration::from_secs(1), kicked.next()).await.is_err());
        assert!(sessions.kick(session.id()));
        assert_eq!(kicked.next().await, Err(Reason::Kicked));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_drain_wants_comes_in_order_and_a_stop_still_comes_behind_it() {
        let drain = drain();
        let (mut orders, tokens) = orders(&drain);
        drain.begin(Purpose::Stay);
        assert_eq!(orders.next().await, Ok(Due::Request));
        assert!(timeout(Duration::from_secs(5), orders.next()).await.is_err());
        tokens.stop.cancel();
        assert_eq!(orders.next().await, Err(Reason::Shutdown));
    }
}
