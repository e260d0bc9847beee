//! Whether a client may do what it asks for, and until when.
//!
//! The sessions of every protocol ask here before a client publishes, plays, or has a stream pulled. The decision itself is
//! the part of `auth`, and whom to ask about a client that of `hooks`; here it is put together, counted and logged, and a grant
//! becomes a timer.

use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::{Sleep, sleep};

use crate::auth::{AccessRequest, Action, Denial, Grant, Standing, access};
use crate::hooks::{self, Attendance, Beginning, Caller, Subject};
use crate::media::stream_key::StreamKey;
use crate::metrics::{AccessAction, AccessRefusal};

use super::ServeContext;

/// The longest time that is waited for: a timer takes no longer ones.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Who asks, as far as it matters to what it may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor<'a> {
    pub(super) address: IpAddr,
    /// The parameters behind the stream's name.
    pub(super) query: &'a str,
    /// The token of the header `Authorization: Bearer`.
    pub(super) bearer: Option<&'a str>,
    /// The URL of its page.
    pub(super) page: Option<&'a str>,
}

impl ServeContext {
    /// Whether `visitor` may do `action` with `key`, by what it shows. A server with the cluster's key always may.
    pub(super) fn decide(
        &self,
        action: Action,
        key: &StreamKey,
        visitor: &Visitor<'_>,
        standing: Option<&Standing>,
    ) -> Result<Grant, Denial> {
        if matches!(standing, Some(Standing::Verified(_))) {
            return Ok(Grant::UNLIMITED);
        }
        let settings = self.config.current().auth_for(key.app());
        let Visitor { address, query, bearer, page } = *visitor;
        let request = AccessRequest { action, key, query, bearer, page, address, now: SystemTime::now() };
        match access::decide(&settings, &request) {
            Ok(grant) if settings.end_at_expiry => Ok(grant),
            Ok(_) => Ok(Grant::UNLIMITED),
            Err(denial) => Err(denial),
        }
    }

    /// Asks whom there is to ask whether `caller` may do `action`. A server with the cluster's key always may, and nobody is told
    /// of it. Borrows nothing of the session, which goes on listening to its client.
    pub(super) async fn attend(
        &self,
        action: Action,
        caller: Arc<Caller>,
        key: StreamKey,
        query: String,
        is_verified: bool,
    ) -> Result<Attendance, hooks::Refusal> {
        let beginning = match action {
            Action::Publish => Beginning::Publish,
            Action::Play => Beginning::Play,
        };
        let stream_id = self.hub.stream_id(&key).map(|id| id.to_string());
        let settings = self.config.current().auth_for(key.app());
        let subject = Some(Subject { key, query, stream_id });
        if is_verified {
            return Ok(self.hooks.attend_silently(beginning, &caller, subject));
        }
        let callback = match action {
            Action::Publish => settings.publish_callback.filter(|_| settings.publish),
            Action::Play => settings.play_callback.filter(|_| settings.play),
        };
        self.hooks.begin(beginning, &caller, subject, callback).await
    }

    /// Whether somebody decides about players of `app`, beyond what they show.
    pub(super) fn asks_about_players(&self, app: &str) -> bool {
        let config = self.config.current();
        let settings = config.auth_for(app);
        (settings.play && settings.play_callback.is_some()) || !config.hooks_for(app).on_play.is_empty()
    }

    /// Counts and logs a refusal.
    pub(super) fn note_refusal(&self, action: Action, key: &StreamKey, refusal: &Refusal) {
        self.metrics.access.refusals(label_of(action), refusal.label()).inc();
        tracing::info!(stream = key.as_str(), %action, %refusal, "refused");
    }
}

/// A client that may do what it asked for. Dropping it is the end of that.
#[derive(Debug)]
pub(super) struct Admission {
    /// When it has to end.
    pub(super) expiry: Expiry,
    /// Tells the end.
    pub(super) attendance: Attendance,
}

/// Why a client may not do what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// By what it shows.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// By what was said when it was asked about.
    #[error(transparent)]
    Hook(#[from] hooks::Refusal),
}

impl Refusal {
    pub(super) const fn label(self) -> AccessRefusal {
        match self {
            Self::Denied(denial) => refusal_of(denial),
            Self::Hook(hooks::Refusal::Refused) => AccessRefusal::Hook,
            Self::Hook(hooks::Refusal::Failed) => AccessRefusal::HookFailed,
        }
    }
}

const fn label_of(action: Action) -> AccessAction {
    match action {
        Action::Publish => AccessAction::Publish,
        Action::Play => AccessAction::Play,
    }
}

const fn refusal_of(denial: Denial) -> AccessRefusal {
    match denial {
        Denial::Address => AccessRefusal::Address,
        Denial::Referer => AccessRefusal::Referer,
        Denial::Missing => AccessRefusal::Missing,
        Denial::Malformed => AccessRefusal::Malformed,
        Denial::Wrong => AccessRefusal::Wrong,
        Denial::Expired => AccessRefusal::Expired,
        Denial::Early => AccessRefusal::Early,
        Denial::OtherAction => AccessRefusal::OtherAction,
        Denial::OtherStream => AccessRefusal::OtherStream,
        Denial::OtherAddress => AccessRefusal::OtherAddress,
    }
}

/// When a session has to end. Most never have to, and hold nothing for it.
#[derive(Debug)]
pub(super) struct Expiry(Option<Pin<Box<Sleep>>>);

impl Expiry {
    /// The end of what was granted, by the clock as it is now. To be made within a runtime.
    pub(super) fn of(grant: Grant) -> Self {
        let until = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default().min(FAR_FUTURE);
        Self(grant.expires_at.map(|at| Box::pin(sleep(until(at)))))
    }

    /// Ready when the session has to end.
    pub(super) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Completes when the session has to end. Dropping the future loses nothing.
    pub(super) async fn due(&mut self) {
        match &self.0 {
            Some(_) => poll_fn(|context| self.poll_due(context)).await,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_grant() {
        let now = SystemTime::now();
        let start = Instant::now();
        Expiry::of(Grant { expires_at: Some(now + Duration::from_secs(60)) }).due().await;
        assert!((59..=60).contains(&start.elapsed().as_secs()));
        Expiry::of(Grant { expires_at: Some(UNIX_EPOCH) }).due().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_without_an_end_ends_nothing() {
        for grant in [Grant::UNLIMITED, Grant { expires_at: UNIX_EPOCH.checked_add(Duration::from_secs(1 << 60)) }] {
            let mut expiry = Expiry::of(grant);
            assert!(timeout(Duration::from_secs(3_600), expiry.due()).await.is_err());
        }
    }
}
