//! Hooks: servers of somebody else that are asked about clients, and told of them, in the form that SRS has made common.
//!
//! Owns what they are asked and told, and when that is given up. Whoever has a client asks here before it lets the client
//! in, and gets something to hold: when that is dropped the end is told, whatever the way out was, so that each beginning that
//! a hook has heard of is paired with its end. Everything runs on the runtime that hooks were made on, never on that of media;
//! what is only told waits in queues of bounded length, one for each server, and nobody waits for it.

mod answer;
mod asking;
mod attendance;
mod caller;
mod event;
mod heard;
mod known;
mod lane;
mod poster;
mod queue;
mod telling;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::{self, HookFailure, HookUrl, Live};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Hook, HookResult, Metrics};
use crate::net::dns::Names;
use crate::seldom::warn_seldom;

pub use attendance::{Attendance, Beginning};
pub use caller::{Caller, Subject};
pub use event::{Recording, Segment};
pub use poster::SetUpError;

use answer::Answer;
use asking::{Asking, Said};
use event::Event;
use heard::Heard;
use known::Known;
use lane::{Lane, Lanes};
use poster::{Attempts, Poster};
use telling::Telling;

/// How many publish sessions are remembered.
const MAX_PUBLISHERS: u64 = 1 << 16;

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A hook says so.
    #[error("the application refuses it")]
    Refused,
    /// A hook could not be asked, and `hooks.fail` is `"closed"`.
    #[error("the application cannot be asked")]
    Failed,
}

/// Asks and tells. Clones share it.
#[derive(Clone)]
pub struct Hooks {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    config: Live,
    metrics: Arc<Metrics>,
    /// This node's id.
    server: String,
    /// This process.
    service: String,
    runtime: Handle,
    poster: Poster,
    lanes: Lanes,
    /// Requests that somebody waits for, or did before it left.
    asked: TaskTracker,
    known: Known,
    /// Who publishes, by publish session.
    publishers: Cache<String, (Arc<Caller>, Subject)>,
}

impl Hooks {
    /// Asks and tells whom `config` names at the time, as the process `service` of the node `server`, on the runtime that this
    /// is called on. Hosts are resolved by `names`.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up, or the file of authorities is no use.
    pub fn new(
        config: Live,
        metrics: Arc<Metrics>,
        names: Names,
        server: String,
        service: String,
    ) -> Result<Self, SetUpError> {
        let shared = Shared {
            lanes: Lanes::new(Arc::clone(&metrics)),
            metrics,
            server,
            service,
            runtime: Handle::current(),
            poster: Poster::new(names, config.current().hooks_for("").ca_file.as_deref())?,
            config,
            asked: TaskTracker::new(),
            known: Known::default(),
            publishers: Cache::new(MAX_PUBLISHERS),
        };
        Ok(Self { shared: Some(Arc::new(shared)) })
    }

    /// Asks and tells nobody.
    pub const fn none() -> Self {
        Self { shared: None }
    }

    /// Tells that a segment of HLS is complete.
    pub fn segment(&self, key: &StreamKey, session: &str, segment: &Segment<'_>) {
        self.of_session(Hook::Hls, key, session, |event| event.with_segment(segment));
    }

    /// Tells that a recording is complete.
    pub fn recording(&self, key: &StreamKey, session: &str, recording: &Recording<'_>) {
        self.of_session(Hook::Dvr, key, session, |event| event.with_recording(recording));
    }

    /// Tells that a publisher is passed on to `upstream`.
    pub fn forward(&self, key: &StreamKey, session: &str, upstream: &str) {
        self.of_session(Hook::Forward, key, session, |event| event.with_upstream(upstream));
    }

    /// Tells of something that belongs to a publish session, if anybody wants to know.
    fn of_session(&self, hook: Hook, key: &StreamKey, session: &str, complete: impl FnOnce(Event<'_>) -> Event<'_>) {
        let Some(shared) = &self.shared else { return };
        let settings = shared.config.current().hooks_for(key.app());
        let (urls, attempts) = (urls(&settings, hook), Attempts::of(&settings));
        if urls.is_empty() {
            return;
        }
        let unknown = || (Arc::new(Caller::unknown(key)), Subject::of(key.clone()));
        let (caller, subject) = shared.publishers.get(session).unwrap_or_else(unknown);
        let body = complete(Event::new(shared, hook, &caller).with_subject(&subject)).into_body();
        shared.tell(Telling { hook, urls, attempts, caller: &caller, body, heard: None, learns: None });
    }

    /// Waits until everything is told, for `patience` at most. To be called when nobody begins or ends anything any more.
    pub async fn flush(&self, patience: Duration) {
        let Some(shared) = &self.shared else { return };
        let told = async {
            shared.asked.close();
            shared.asked.wait().await;
            shared.lanes.drained().await;
        };
        if timeout(patience, told).await.is_err() {
            tracing::warn!(events = shared.lanes.waiting(), "not all hooks were told what has ended");
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hooks").field("is_used", &self.shared.is_some()).finish()
    }
}

/// Whom `settings` name for a hook.
fn urls(settings: &config::Hooks, hook: Hook) -> &[HookUrl] {
    match hook {
        Hook::Connect => &settings.on_connect,
        Hook::Close => &settings.on_close,
        Hook::Publish => &settings.on_publish,
        Hook::Unpublish => &settings.on_unpublish,
        Hook::Play => &settings.on_play,
        Hook::Stop => &settings.on_stop,
        Hook::Hls => &settings.on_hls,
        Hook::Dvr => &settings.on_dvr,
        Hook::Pull => &settings.on_pull,
        Hook::PullEnd => &settings.on_pull_end,
        Hook::Forward => &settings.on_forward,
    }
}

impl Shared {
    async fn post(&self, lane: &Lane, hook: Hook, url: &HookUrl, body: &Bytes, attempts: Attempts) -> Answer {
        let answer = self.poster.post(url, body, attempts, &self.metrics.hooks.duration).await;
        lane.note(answer);
        let result = match &answer {
            Answer::Ok => HookResult::Ok,
            Answer::Refused => HookResult::Refused,
            Answer::Failed => HookResult::Failed,
        };
        self.metrics.hooks.requests(hook, result).inc();
        match answer {
            Answer::Failed => {
                warn_seldom!(key = (hook, url.to_string()), hook = hook.label(), %url, "a hook did not answer");
            }
            _ => tracing::debug!(hook = hook.label(), %url, result = result.label(), "a hook has answered"),
        }
        answer
    }

    /// Asks on the runtime of hooks. The future may be dropped: what the caller does next is told behind what has been asked by
    /// then.
    async fn ask_for(
        self: &Arc<Self>,
        settings: &config::Hooks,
        hook: Hook,
        urls: Vec<HookUrl>,
        caller: &Caller,
        body: Bytes,
        heard: &Arc<Heard>,
    ) -> Said {
        let goes_on = settings.fail == HookFailure::Open;
        let (turns, attempts) = (caller.next_turns(&urls), Attempts::of(settings));
        let asking = Asking { hook, urls, body, attempts, goes_on, heard: Arc::clone(heard), turns };
        let (waiting, said) = oneshot::channel();
        self.runtime.spawn(self.asked.track_future(Arc::clone(self).ask(asking, waiting)));
        said.await.unwrap_or(Said::Answer(Answer::Failed))
    }
}
