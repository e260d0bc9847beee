//! One file from one origin over HTTP.
//!
//! Owns the connections, which are used again, and the bounds of an answer: how long it may be silent and how large it may be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use http::header::{ACCEPT, ETAG, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::auth::{Acknowledgement, MARK_HEADER};
use crate::hls::Absent;

use crate::pull::dial::Way;

use super::connector::Connector;

/// How long an origin may be silent: before the head of an answer that it has, and within the body.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(3);
/// How many files one origin is asked for at a time.
const FETCHES_PER_ORIGIN: usize = 64;
/// How long an unused connection is kept, and how many.
const IDLE_FOR: Duration = Duration::from_secs(20);
const MAX_IDLE: usize = 16;
/// What is said of a file that is not there, at most.
const MAX_LINE_BYTES: usize = 1 << 10;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The origin says that it does not have it.
    #[error("it does not have it: {0}")]
    Absent(Absent),
    /// The same, and that none of its peers has the stream.
    #[error("neither it nor a peer of it has the stream")]
    Nowhere,
    /// It says who has it.
    #[error("it redirects to {0}")]
    Redirected(String),
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Broken(String),
    /// Nothing came for too long.
    #[error("it is silent")]
    Silent,
    /// It is larger than it may be.
    #[error("its answer has more than {0} bytes")]
    TooLarge(usize),
    /// It answered with an error of its own.
    #[error("it refuses: {0}")]
    Refused(StatusCode),
    /// It is not what was asked for.
    #[error("it sends what makes no sense: {0}")]
    Invalid(&'static str),
}

impl FetchError {
    /// Whether the origin did what an origin does that does not have the file. All else is a failure of it.
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::Nowhere | Self::Redirected(_))
    }
}

/// A file as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
    /// For how long it may be kept, in whole seconds, if the origin says so.
    pub(super) max_age: Option<Duration>,
    /// Whether the origin has acknowledged our mark.
    pub(super) is_ours: bool,
}

/// What is asked for, and of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) way: &'a Way,
    /// `host:port`, as the origin is called.
    pub(super) host: &'a str,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) mark: &'a str,
    /// The most bytes that the file may have.
    pub(super) limit: usize,
    /// How long it may be silent before it answers.
    pub(super) patience: Duration,
}

/// The connections to all origins.
pub(super) struct Client {
    client: legacy::Client<Connector, Empty<Bytes>>,
    connector: Connector,
    gates: DashMap<SocketAddr, Arc<Semaphore>>,
}

impl Client {
    pub(super) fn new() -> Self {
        let connector = Connector::default();
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector.clone());
        Self { client, connector, gates: DashMap::new() }
    }

    /// Asks once; connecting may take `connect_timeout`. The answer is complete, or it is none.
    pub(super) async fn get(&self, ask: Ask<'_>, connect_timeout: Duration) -> Result<Answer, FetchError> {
        let address = ask.way.address;
        self.connector.expect(ask.way, connect_timeout);
        let scheme = if ask.way.tls.is_some() { "https" } else { "http" };
        let uri: Uri = format!("{scheme}://{address}{}", ask.path)
            .parse()
            .map_err(|_| FetchError::Invalid("a name that cannot stand in a URL"))?;
        let request = Request::get(uri)
            .header(HOST, ask.host)
            .header(USER_AGENT, concat!("Rillcast/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .header(MARK_HEADER, ask.mark)
            .body(Empty::new())
            .map_err(|_| FetchError::Invalid("a name that cannot stand in a header"))?;
        let gate = self.gate(address);
        // The time spent in front of the gate is not the origin's. It is never closed.
        let _permit = gate.acquire().await;
        let answer = timeout(connect_timeout + ask.patience, self.client.request(request)).await;
        let response = answer.map_err(|_| FetchError::Silent)?.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            FetchError::Broken(format!("{error}{cause}"))
        })?;
        read(response, ask.limit).await
    }

    /// Lets a bounded number of requests to one address be under way. Addresses that nobody asks any more are forgotten.
    fn gate(&self, address: SocketAddr) -> Arc<Semaphore> {
        if !self.gates.contains_key(&address) {
            self.gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        Arc::clone(&self.gates.entry(address).or_insert_with(|| Arc::new(Semaphore::new(FETCHES_PER_ORIGIN))))
    }
}

/// Takes an answer for what it is.
async fn read(response: Response<Incoming>, limit: usize) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    let acknowledgement = text(&head.headers, MARK_HEADER).and_then(Acknowledgement::parse);
    let is_ours = acknowledgement.is_some();
    match head.status {
        StatusCode::OK => Ok(Answer {
            bytes: collect(body, limit).await?,
            etag: text(&head.headers, ETAG.as_str()).filter(|tag| is_strong(tag)).map(str::to_owned),
            max_age: max_age(&head.headers),
            is_ours,
        }),
        status if status.is_redirection() => match text(&head.headers, LOCATION.as_str()) {
            Some(location) => Err(FetchError::Redirected(location.to_owned())),
            None => Err(FetchError::Refused(status)),
        },
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::SERVICE_UNAVAILABLE if is_ours => {
            let line = collect(body, MAX_LINE_BYTES).await?;
            match absent(head.status, String::from_utf8_lossy(&line).trim()) {
                Some(Absent::NoStream) if acknowledgement.is_some_and(|ours| ours.has_peers) => {
                    Err(FetchError::Nowhere)
                }
                Some(absent) => Err(FetchError::Absent(absent)),
                None => Err(FetchError::Refused(head.status)),
            }
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::Absent(Absent::NoStream)),
        status => Err(FetchError::Refused(status)),
    }
}

/// What one of ours says of a file that it does not have.
fn absent(status: StatusCode, line: &str) -> Option<Absent> {
    let known = [Absent::NoStream, Absent::NotYet, Absent::Gone, Absent::Full];
    match known.into_iter().find(|absent| absent.to_string() == line) {
        Some(absent) => Some(absent),
        None if status == StatusCode::SERVICE_UNAVAILABLE => None,
        None => Some(Absent::Unsupported(line.to_owned())),
    }
}

/// All of a body, if that is not too much and comes without long silence.
async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, FetchError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(FetchError::TooLarge(limit));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = timeout(SILENT_FOR, body.frame()).await.map_err(|_| FetchError::Silent)? {
        let frame = frame.map_err(|error| FetchError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.len() <= 128 && tag.starts_with('"') && tag.ends_with('"')
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = text(headers, "cache-control")?.split(',');
    let seconds = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")).next()?;
    seconds.parse().ok().map(Duration::from_secs)
}
