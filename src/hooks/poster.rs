//! One request to one URL: connecting, sending, waiting for the answer, and trying again.
//!
//! Owns the connections, which are used again. Hosts are resolved as everywhere in the program, because a static binary has no
//! resolver of the system's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prometheus_client::metrics::histogram::Histogram;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::config::{self, AuthoritiesError, HookUrl, OriginAddress, add_authorities};
use crate::net::dns::Names;

use super::answer::Answer;

/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long an unused connection is kept, and how many to one host.
const IDLE_FOR: Duration = Duration::from_secs(20);
const MAX_IDLE: usize = 16;
/// How long is paused before the first retry; each time twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why requests cannot be made over TLS.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The library refuses.
    #[error("TLS for hooks cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// `hooks.ca_file` is no use.
    #[error("hooks.ca_file: {0}")]
    Authorities(#[from] AuthoritiesError),
}

/// How patient one is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    /// How long each may take.
    pub(super) timeout: Duration,
    /// How many follow the first.
    pub(super) retries: u32,
}

impl Attempts {
    pub(super) const fn of(settings: &config::Hooks) -> Self {
        Self { timeout: settings.timeout, retries: settings.retries }
    }
}

/// Posts.
pub(super) struct Poster {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

impl Poster {
    /// Resolves by `names`, and believes the authorities in a file beside the public ones.
    pub(super) fn new(names: Names, authorities: Option<&Path>) -> Result<Self, SetUpError> {
        let mut http = HttpConnector::new_with_resolver(Resolver(names));
        http.set_nodelay(true);
        http.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authorities)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(https);
        Ok(Self { client })
    }

    /// Posts `body` until there is an answer, or it has been tried often enough.
    pub(super) async fn post(&self, url: &HookUrl, body: &Bytes, attempts: Attempts, durations: &Histogram) -> Answer {
        let mut pause = FIRST_PAUSE;
        for attempt in 0..=attempts.retries {
            if attempt > 0 {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            let began = Instant::now();
            let answer = timeout(attempts.timeout, self.try_once(url, body)).await;
            durations.observe(began.elapsed().as_secs_f64());
            match answer {
                Ok(Ok(Answer::Failed)) => tracing::debug!(%url, "a hook answers with an error of its own"),
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => tracing::debug!(%url, %error, "a hook cannot be reached"),
                Err(_) => tracing::debug!(%url, "a hook does not answer in time"),
            }
        }
        Answer::Failed
    }

    async fn try_once(&self, url: &HookUrl, body: &Bytes) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::post(url.reveal())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Rillcast/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body.clone()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
        Ok(Answer::read(head.status, &body))
    }
}

/// How hooks prove to be who they are.
fn tls(authorities: Option<&Path>) -> Result<ClientConfig, SetUpError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authorities {
        add_authorities(&mut roots, path)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Resolves as the rest of the program does.
#[derive(Clone)]
pub(super) struct Resolver(Names);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            // The port that the URL has takes the place of this one.
            let text = if host.contains(':') { format!("[{host}]:80") } else { format!("{host}:80") };
            let origin: OriginAddress = text.parse()?;
            let endpoints = names.resolve(&origin).await?;
            Ok(endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>().into_iter())
        })
    }
}
