//! A client, as hooks are told of it.

use std::net::IpAddr;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::HookUrl;
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
    /// For each server: completes when what it was last told or asked is over.
    last: Mutex<Vec<(String, oneshot::Receiver<()>)>>,
}

/// The turn of one thing that a client does, at one server. Dropping it says that it is over.
#[derive(Debug)]
pub(super) struct Turn {
    authority: String,
    /// What it has to wait for.
    pub(super) after: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Turn {
    /// Whether it is at the server of that URL.
    pub(super) fn is_at(&self, url: &HookUrl) -> bool {
        self.authority == url.authority()
    }
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

    /// The turns of the next thing, one at each server of `urls`.
    pub(super) fn next_turns(&self, urls: &[HookUrl]) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        let mut last = self.last.lock();
        for url in urls {
            if !turns.iter().any(|turn| turn.is_at(url)) {
                turns.push(next_turn(&mut last, url.authority()));
            }
        }
        turns
    }
}

fn next_turn(last: &mut Vec<(String, oneshot::Receiver<()>)>, authority: String) -> Turn {
    let (done, is_done) = oneshot::channel();
    let after = match last.iter_mut().find(|(of, _)| *of == authority) {
        Some((_, before)) => Some(std::mem::replace(before, is_done)),
        None => {
            last.push((authority.clone(), is_done));
            None
        }
    };
    Turn { authority, after, _done: done }
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
