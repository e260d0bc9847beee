//! A client, as hooks are told of it.

use std::net::IpAddr;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::media::stream_key::StreamKey;

/// Who connects, publishes or plays. What it does is told in the order in which it does it.
#[derive(Debug)]
pub struct Caller {
    /// The id of its connection.
    pub id: String,
    /// Where it comes from; none if that is not known.
    pub address: Option<IpAddr>,
    /// The app that it connected to.
    pub app: String,
    /// The URL that it connected to.
    pub tc_url: String,
    /// The page that it is on; empty if it names none.
    pub page_url: String,
    /// Completes when what was last told or asked is over.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Caller {
    /// A client that has done nothing yet.
    pub fn new(id: String, address: IpAddr, app: String, tc_url: String, page_url: Option<String>) -> Self {
        let page_url = page_url.unwrap_or_default();
        Self { id, address: Some(address), app, tc_url, page_url, last: Mutex::default() }
    }

    /// Whoever publishes a stream, where that is not known.
    pub(super) fn unknown(key: &StreamKey) -> Self {
        let (app, empty) = (key.app().to_owned(), String::new);
        Self { id: empty(), address: None, app, tc_url: empty(), page_url: empty(), last: Mutex::default() }
    }

    /// What the next thing has to wait for, and what says, when it is dropped, that it is over itself.
    pub(super) fn next_turn(&self) -> (Option<oneshot::Receiver<()>>, oneshot::Sender<()>) {
        let (done, is_done) = oneshot::channel();
        (self.last.lock().replace(is_done), done)
    }
}

/// A stream, as a client names it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The stream.
    pub key: StreamKey,
    /// The parameters that the client gave, without the leading `?`.
    pub query: String,
    /// The stream's id in the API, if it is there.
    pub stream_id: Option<String>,
}

impl Subject {
    /// A stream that nobody has named.
    pub(super) const fn of(key: StreamKey) -> Self {
        Self { key, query: String::new(), stream_id: None }
    }
}
