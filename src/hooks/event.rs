//! What hooks are sent: JSON with the fields that SRS has.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::metrics::Hook;

use super::Shared;
use super::caller::{Caller, Subject};

/// The name of the virtual host that everything is in, where there are none.
const VHOST: &str = "__defaultVhost__";

/// A segment of HLS that is complete.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// How much of the stream it holds.
    pub duration: Duration,
    /// The file that it is in, if it is in one.
    pub file: Option<&'a Path>,
    /// Its path on the HTTP port.
    pub url: &'a str,
    /// The file that its playlist is in, if it is in one.
    pub playlist: Option<&'a Path>,
    /// The path of its playlist on the HTTP port.
    pub playlist_url: &'a str,
    /// Its number.
    pub number: u64,
}

/// A recording that is complete.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    /// The file that it is in.
    pub file: &'a Path,
}

/// The body of one request, as it is put together.
#[derive(Debug)]
pub(super) struct Event<'a> {
    caller: &'a Caller,
    fields: Map<String, Value>,
}

impl<'a> Event<'a> {
    /// What stands in every body.
    pub(super) fn new(shared: &Shared, hook: Hook, caller: &'a Caller) -> Self {
        let address = caller.address.map(|address| address.to_string()).unwrap_or_default();
        Self { caller, fields: Map::new() }
            .with("server_id", shared.server.as_str())
            .with("service_id", shared.service.as_str())
            .with("action", hook.label())
            .with("client_id", caller.id.as_str())
            .with("ip", address)
            .with("vhost", VHOST)
            .with("app", caller.app.as_str())
            .with("tcUrl", caller.tc_url.as_str())
            .with_page(hook)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    fn with_page(self, hook: Hook) -> Self {
        let page = self.caller.page_url.as_str();
        if matches!(hook, Hook::Connect | Hook::Play) { self.with("pageUrl", page) } else { self }
    }

    /// The stream that it is about.
    pub(super) fn with_subject(self, subject: &Subject) -> Self {
        let question_mark = if subject.query.is_empty() { "" } else { "?" };
        // The app of a stream is what its name makes of it, wherever the client put the slash.
        let named = self
            .with("app", subject.key.app())
            .with("stream", subject.key.stream())
            .with("param", format!("{question_mark}{}", subject.query))
            .with("stream_url", format!("/{}", subject.key));
        match &subject.stream_id {
            Some(id) => named.with("stream_id", id.as_str()),
            None => named,
        }
    }

    /// What went over the connection, in bytes.
    pub(super) fn with_bytes(self, sent: u64, received: u64) -> Self {
        self.with("send_bytes", sent).with("recv_bytes", received)
    }

    /// The server that the stream comes from, or goes to.
    pub(super) fn with_upstream(self, upstream: &str) -> Self {
        self.with("upstream", upstream)
    }

    pub(super) fn with_segment(self, segment: &Segment<'_>) -> Self {
        self.with("duration", segment.duration.as_secs_f64())
            .with("cwd", working_directory())
            .with("file", shown(segment.file))
            .with("url", segment.url)
            .with("m3u8", shown(segment.playlist))
            .with("m3u8_url", segment.playlist_url)
            .with("seq_no", segment.number)
    }

    pub(super) fn with_recording(self, recording: &Recording<'_>) -> Self {
        self.with("cwd", working_directory()).with("file", shown(Some(recording.file)))
    }

    /// The text of it.
    pub(super) fn into_body(self) -> Bytes {
        Value::Object(self.fields).to_string().into()
    }
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn working_directory() -> String {
    std::env::current_dir().map(|directory| directory.display().to_string()).unwrap_or_default()
}
