//! From a configured origin to the endpoints behind it.
//!
//! Owns the names: every pull asks [`Names`] before each attempt and gets every address there is, or the last ones known while
//! DNS is in trouble. However many ask for a name at the same time, one question goes out, and it goes on when they leave.
//! How long an answer holds is decided in `kept`, what is asked in `questions`, whom in `servers` and `settings`.
//! Nothing is connected to here, and no endpoint is preferred to another.

mod endpoint;
mod kept;
mod local;
mod questions;
mod servers;
mod settings;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::config::OriginAddress;
use crate::metrics::{LookupResult, Metrics};

pub use endpoint::Endpoint;

use kept::{Failure, Kept, Look};
use local::Local;
use questions::{Answer, Questions};
use settings::Settings;

/// How long a question may take before the last addresses known are given while it goes on.
const STALE_AFTER: Duration = Duration::from_millis(250);
/// How many names are remembered. Those in the configuration are few; others come from upstreams that redirect.
const MAX_NAMES: usize = 1_024;

/// The endpoints of one origin, at least one, sorted by address.
type Endpoints = Arc<[Endpoint]>;
/// Asks DNS about an origin. Returns at least one endpoint.
type Asker = Box<dyn Fn(OriginAddress) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> + Send + Sync>;

/// Why an origin has no endpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// DNS says that there is no such name, or no address for it.
    #[error("{name} has no address")]
    NotFound {
        /// The origin asked for.
        name: String,
    },
    /// No server gave an answer.
    #[error("cannot resolve {name}: {reason}")]
    Failed {
        /// The origin asked for.
        name: String,
        /// What went wrong.
        reason: Arc<str>,
    },
}

impl ResolveError {
    fn new(origin: &OriginAddress, failure: Failure) -> Self {
        let name = origin.to_string();
        match failure {
            Failure::NotFound => Self::NotFound { name },
            Failure::Failed(reason) => Self::Failed { name, reason },
        }
    }
}

/// DNS queries cannot be made at all.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SetUpError(#[from] Box<NetError>);

/// Resolves origins. Clones share what is known.
#[derive(Clone)]
pub struct Names {
    shared: Arc<Shared>,
}

struct Shared {
    local: Arc<Local>,
    /// Whom to ask, or why there is nobody.
    asker: Result<Asker, Arc<str>>,
    /// Where questions live: not with those who asked first, who may leave.
    runtime: Handle,
    known: Mutex<HashMap<OriginAddress, Known>>,
    metrics: Arc<Metrics>,
}

/// What is known of one origin.
struct Known {
    kept: Kept<Endpoints>,
    /// The question under way, or the last one.
    question: watch::Receiver<Option<Outcome>>,
    used: Instant,
}

type Outcome = Result<Endpoints, Failure>;

impl Names {
    /// Asks `nameservers`, or those of the system (resolv.conf) if there are none; search list and options are the system's.
    /// Without any server names fail to resolve, one by one, while addresses and local names work.
    ///
    /// # Panics
    ///
    /// Outside a runtime, which is the one that questions are asked on.
    pub fn new(nameservers: &[SocketAddr], metrics: Arc<Metrics>) -> Result<Self, SetUpError> {
        let local = Arc::new(Local::of_system());
        let asker = match Settings::of_system(nameservers) {
            Ok(settings) => Ok(asker(Questions::new(settings, Arc::clone(&local))?)),
            Err(error) => {
                tracing::warn!(%error, "names cannot be resolved");
                Err(error.to_string().into())
            }
        };
        Ok(Self::with(local, asker, metrics))
    }

    fn with(local: Arc<Local>, asker: Result<Asker, Arc<str>>, metrics: Arc<Metrics>) -> Self {
        let known = Mutex::new(HashMap::new());
        Self { shared: Arc::new(Shared { local, asker, runtime: Handle::current(), known, metrics }) }
    }

    /// Every endpoint of `origin`, at least one, sorted by address. May be cancelled at any time.
    pub async fn resolve(&self, origin: &OriginAddress) -> Result<Endpoints, ResolveError> {
        if let Some(endpoints) = self.shared.without_asking(origin) {
            return Ok(endpoints);
        }
        let outcome = match &self.shared.asker {
            Ok(_) => self.look_up(origin).await,
            Err(reason) => Err(Failure::Failed(Arc::clone(reason))),
        };
        outcome.map_err(|failure| ResolveError::new(origin, failure))
    }

    /// The endpoints of `origin` do not answer: the next [`resolve`](Self::resolve) asks for it at once, whatever its time
    /// to live, though not more than four times a second.
    pub fn doubt(&self, origin: &OriginAddress) {
        if let Some(known) = self.shared.known.lock().get_mut(origin) {
            known.kept.doubt();
        }
    }

    async fn look_up(&self, origin: &OriginAddress) -> Outcome {
        let (mut question, last_good) = {
            let now = Instant::now();
            let mut all = self.shared.known.lock();
            make_room(&mut all, origin);
            let known = all.entry(origin.clone()).or_insert_with(|| Known::new(now));
            known.used = now;
            match known.kept.look(now) {
                Look::Known(outcome) => return outcome,
                Look::Ask => known.question = self.ask(origin.clone()),
                Look::Asking => {}
            }
            let stale_at = known.kept.asked().unwrap_or(now) + STALE_AFTER;
            let last_good = known.kept.last_good(now).map(|endpoints| (Arc::clone(endpoints), stale_at));
            (known.question.clone(), last_good)
        };
        let outcome = async {
            match question.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone()) {
                Some(outcome) => outcome,
                // It died with its runtime.
                None => self.shared.complete(origin, Err(Failure::Failed("the question was given up".into()))),
            }
        };
        match last_good {
            Some((endpoints, stale_at)) => timeout_at(stale_at, outcome).await.unwrap_or(Ok(endpoints)),
            None => outcome.await,
        }
    }

    /// Begins to ask.
    fn ask(&self, origin: OriginAddress) -> watch::Receiver<Option<Outcome>> {
        let (sender, receiver) = watch::channel(None);
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            if let Ok(asker) = &shared.asker {
                let found = asker(origin.clone()).await;
                sender.send_replace(Some(shared.complete(&origin, found)));
            }
        });
        receiver
    }
}

impl Shared {
    /// Addresses and local names.
    fn without_asking(&self, origin: &OriginAddress) -> Option<Endpoints> {
        match origin {
            OriginAddress::Address(address) => Some([Endpoint::of_address(*address)].into()),
            OriginAddress::Name { host, port } => {
                let addresses: Vec<IpAddr> = self.local.addresses(host)?;
                Some(Endpoint::of_name(host, *port, &addresses).into())
            }
            OriginAddress::Service(_) => None,
        }
    }

    /// Keeps what came of a question, and tells what is to be given for it.
    fn complete(&self, origin: &OriginAddress, found: Result<Answer, Failure>) -> Outcome {
        let result = match &found {
            Ok(_) => LookupResult::Found,
            Err(Failure::NotFound) => LookupResult::NotFound,
            Err(Failure::Failed(_)) => LookupResult::Failed,
        };
        self.metrics.dns_lookups(result).inc();
        let found = found.map(|(endpoints, ttl)| (Endpoints::from(endpoints), ttl));
        let now = Instant::now();
        let mut all = self.known.lock();
        // Forgotten in the meantime: whoever waits still gets it.
        let Some(known) = all.get_mut(origin) else { return found.map(|(endpoints, _)| endpoints) };
        let before = known.kept.last_good(now).cloned();
        let was_failing = known.kept.is_failing();
        known.kept.complete(now, found.clone());
        let outcome = known.kept.answer(now);
        drop(all);
        match &found {
            Ok((endpoints, ttl)) if was_failing || before.as_ref() != Some(endpoints) => {
                let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
                tracing::info!(%origin, ?addresses, ?ttl, "resolved");
            }
            Err(failure) if !was_failing => {
                tracing::warn!(%origin, ?failure, last_good = outcome.is_ok(), "cannot resolve");
            }
            _ => {}
        }
        outcome
    }
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { kept: Kept::new(), question: watch::channel(None).1, used: now }
    }
}

/// Forgets the name that was not asked for the longest, if there are too many with one more.
fn make_room(all: &mut HashMap<OriginAddress, Known>, origin: &OriginAddress) {
    if all.len() < MAX_NAMES || all.contains_key(origin) {
        return;
    }
    let oldest = all.iter().min_by_key(|(_, known)| known.used).map(|(origin, _)| origin.clone());
    if let Some(oldest) = oldest {
        all.remove(&oldest);
    }
}

fn asker(questions: Questions) -> Asker {
    let questions = Arc::new(questions);
    Box::new(move |origin| Box::pin(Arc::clone(&questions).ask(origin)))
}

impl std::fmt::Debug for Names {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Names").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
