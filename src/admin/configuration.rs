//! The configuration over the API: shown, loaded again, and changed until the process ends.
//!
//! Owns the shapes of questions and answers. What is in force, and what becomes of a change, is known to whoever the server
//! hands in as [`Configuration`]. No secret is ever part of an answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::{ConfigError, Loaded, Mistake, OverlayFormat, Place, Setting};

use super::AdminContext;
use super::api::{Envelope, Failure};

/// The longest text that may be laid over the configuration, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long it may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The owner of the configuration in force.
pub trait Configuration: fmt::Debug + Send + Sync {
    /// What is in force now, and what is to come.
    fn show(&self) -> BoxFuture<'_, InForce>;
    /// Loads the sources again.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>>;
    /// Lays what is written in `text` over the sources, in the place of what was laid there before.
    fn lay_over(&self, text: Bytes, format: OverlayFormat) -> BoxFuture<'_, Result<Reloaded, ConfigError>>;
    /// Takes away what was laid over the sources, if anything was.
    fn take_away(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>>;
}

/// The configuration in force.
#[derive(Debug)]
pub struct InForce {
    /// Its values and their sources.
    pub loaded: Loaded,
    /// Tells it from others, as hexadecimal digits.
    pub hash: String,
    /// Whether something is laid over the sources.
    pub is_overlaid: bool,
    /// What differs in the sources, and takes a restart.
    pub pending: Vec<Pending>,
    /// When it was put into force.
    pub since: SystemTime,
    /// Why the sources could not be loaded the last time, if they could not.
    pub failure: Option<ConfigError>,
}

/// A value that the next process will have.
#[derive(Debug)]
pub struct Pending {
    /// Its key, as `section.key`.
    pub key: String,
    /// As written in TOML; secrets are masked.
    pub wanted: String,
    /// Where it comes from.
    pub source: String,
}

/// What came of a change.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What is in force then, as hexadecimal digits.
    pub hash: String,
    /// The keys whose values have changed.
    pub changed: Vec<String>,
    /// The keys whose values would have changed, but for a restart.
    pub pending: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Answer<T: Serialize> {
    data: T,
}

#[derive(Debug, Serialize)]
struct Shown {
    hash: String,
    role: String,
    since_ms: u64,
    /// Whether a `PUT` is part of it.
    overlaid: bool,
    /// By section and key.
    settings: BTreeMap<&'static str, BTreeMap<&'static str, Shared>>,
    apps: Vec<App>,
    pending_restart: Vec<PendingKey>,
    last_reload: LastReload,
}

/// A value, and who set it.
#[derive(Debug, Serialize)]
struct Shared {
    value: Value,
    source: String,
}

#[derive(Debug, Serialize)]
struct App {
    #[serde(rename = "match")]
    pattern: String,
    source: String,
    settings: BTreeMap<&'static str, BTreeMap<&'static str, Value>>,
}

#[derive(Debug, Serialize)]
struct PendingKey {
    key: String,
    value: Value,
    source: String,
}

#[derive(Debug, Serialize)]
struct LastReload {
    successful: bool,
    mistakes: Vec<WrongKey>,
}

#[derive(Debug, Serialize)]
struct WrongKey {
    source: Option<String>,
    key: Option<String>,
    message: String,
}

#[derive(Debug, Serialize)]
struct Changed {
    hash: String,
    changed: Vec<String>,
    pending_restart: Vec<String>,
}

/// Why a change was not made.
#[derive(Debug, Serialize)]
struct Invalid {
    error: String,
    mistakes: Vec<WrongKey>,
}

pub(super) async fn show(State(context): State<Arc<AdminContext>>) -> Response {
    let in_force = context.configuration.show().await;
    Envelope::of(&context, Answer { data: Shown::from(in_force) }).into_response()
}

pub(super) async fn reload(State(context): State<Arc<AdminContext>>) -> Response {
    answer(&context, context.configuration.reload().await)
}

pub(super) async fn put(State(context): State<Arc<AdminContext>>, headers: HeaderMap, body: Body) -> Response {
    let Some(format) = format(&headers) else {
        let text = "the Content-Type must be application/toml or application/json".to_owned();
        return Failure::of(&context, StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    };
    let text = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            let text = format!("the body is cut short, or longer than {MAX_BODY_BYTES} bytes");
            return Failure::of(&context, StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(_) => return Failure::of(&context, StatusCode::REQUEST_TIMEOUT, "the body took too long".to_owned()),
    };
    answer(&context, context.configuration.lay_over(text, format).await)
}

pub(super) async fn delete(State(context): State<Arc<AdminContext>>) -> Response {
    answer(&context, context.configuration.take_away().await)
}

/// How a body is written, by its media type without parameters.
fn format(headers: &HeaderMap) -> Option<OverlayFormat> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/toml" | "text/x-toml" | "text/toml" => Some(OverlayFormat::Toml),
        "application/json" => Some(OverlayFormat::Json),
        _ => None,
    }
}

fn answer(context: &AdminContext, done: Result<Reloaded, ConfigError>) -> Response {
    match done {
        Ok(Reloaded { hash, changed, pending }) => {
            let data = Changed { hash, changed, pending_restart: pending };
            Envelope::of(context, Answer { data }).into_response()
        }
        Err(error) => {
            let content = Invalid { error: error.to_string(), mistakes: wrong_keys(&error) };
            Failure::with(context, StatusCode::BAD_REQUEST, content)
        }
    }
}

fn wrong_keys(error: &ConfigError) -> Vec<WrongKey> {
    let wrong = |mistake: &Mistake| WrongKey {
        source: mistake.source.clone(),
        key: mistake.key.clone(),
        message: mistake.message.clone(),
    };
    error.mistakes.iter().map(wrong).collect()
}

impl From<InForce> for Shown {
    fn from(in_force: InForce) -> Self {
        let Loaded { config, provenance, .. } = in_force.loaded;
        let mut settings: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for Setting { section, key, value } in config.settings() {
            let source = provenance.source_of(section, key);
            settings.entry(section).or_default().insert(key, Shared { value: json(&value), source });
        }
        let apps = config.apps().into_iter().enumerate().map(|(index, app)| {
            let mut settings: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
            for Setting { section, key, value } in app.settings {
                settings.entry(section).or_default().insert(key, json(&value));
            }
            App {
                pattern: app.pattern,
                source: provenance.of_apps().get(index).map_or_else(String::new, Place::to_string),
                settings,
            }
        });
        let pending = in_force.pending.into_iter().map(|pending| PendingKey {
            key: pending.key,
            value: json(&pending.wanted),
            source: pending.source,
        });
        Self {
            hash: in_force.hash,
            role: config.role.to_string(),
            since_ms: in_force.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            overlaid: in_force.is_overlaid,
            settings,
            apps: apps.collect(),
            pending_restart: pending.collect(),
            last_reload: LastReload {
                successful: in_force.failure.is_none(),
                mistakes: in_force.failure.as_ref().map(wrong_keys).unwrap_or_default(),
            },
        }
    }
}

/// A value as written in TOML, in JSON; nothing is `null`.
fn json(written: &str) -> Value {
    match written {
        "" => Value::Null,
        // What strings have in common in both is all that settings use; whatever else there may be is shown as it is.
        _ => serde_json::from_str(written).unwrap_or_else(|_| Value::String(written.to_owned())),
    }
}
