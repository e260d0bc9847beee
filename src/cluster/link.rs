//! A connection to one address of the set, over which we ask whoever answers there.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::auth::Acknowledgement;
use crate::media::stream_key::StreamKey;
use crate::net::dns::Endpoint;
use crate::net::{scratch, socket};
use crate::rtmp::amf0::Value;
use crate::rtmp::{self, ClientEvent, ClientSession, ClientSettings, Goal};

use super::directory::AskId;
use super::lease::NodeId;
use super::message::Item;
use super::{Shared, own_place, wire};

/// How long connecting may take, until the peer has acknowledged us.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the peer may take to take what we send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the peer is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long it may give none.
const DEAD_AFTER: Duration = Duration::from_secs(3);
/// The shortest pause between two attempts; up to three times as long, by chance.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The pause before somebody who is no peer is tried again.
const STRANGER_RETRY_AFTER: Duration = Duration::from_secs(5);
/// How many calls may be unanswered: what else there is to ask gathers into larger ones.
const MAX_CALLS: usize = 32;
/// The app that a link connects to; it names no streams.
const APP: &str = "rillcast";

/// Why a link is not there.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("it does not speak RTMP as it should: {0}")]
    Protocol(#[from] rtmp::Error),
    #[error("it gives no sign of life")]
    Silent,
    #[error("it closed the connection")]
    Closed,
    #[error("it is no peer: it does not take our mark, whose cluster.key may be another, or whose clock is far off")]
    Stranger,
    #[error("it refuses: {code} {description}")]
    Refused { code: String, description: String },
}

/// Keeps a link to an address as long as it is listed; one that lives goes on until it breaks.
pub(super) async fn keep(shared: Arc<Shared>, endpoint: Endpoint, mut listed: watch::Receiver<bool>) {
    let mut last_complaint = String::new();
    while *listed.borrow_and_update() {
        let error = match Connection::open(&shared, &endpoint).await {
            Ok((connection, node)) if node == shared.node => {
                drop(connection);
                tracing::info!(address = %endpoint.address, "this is us among the peers");
                shared.with(|state, now| {
                    state.directory.link_up(endpoint.address, &node, now);
                    state.move_to(own_place(&shared.settings, Some(endpoint.address)), now);
                });
                // Nobody else comes to our address as long as we have it.
                let _ = listed.wait_for(|is_listed| !is_listed).await;
                return;
            }
            Ok((connection, node)) => {
                last_complaint.clear();
                let error = connection.serve(&shared, &endpoint, &node).await;
                tracing::warn!(peer = %node, address = %endpoint.address, %error, "lost a peer");
                shared.doubt.notify_one();
                error
            }
            Err(error) => {
                // Once for each new reason: attempts follow each other closely.
                let complaint = error.to_string();
                if complaint != last_complaint {
                    tracing::warn!(address = %endpoint.address, %error, "cannot link to a peer");
                    last_complaint = complaint;
                }
                error
            }
        };
        let pause = match error {
            LinkError::Stranger | LinkError::Protocol(_) | LinkError::Refused { .. } => STRANGER_RETRY_AFTER,
            _ => RETRY_AFTER.mul_f64(1.0 + 2.0 * random_fraction()),
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = listed.changed() => if changed.is_err() { return },
        }
    }
}

/// From 0 up to, and not including, 1. Half where there is no randomness.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

struct Connection {
    socket: TcpStream,
    client: ClientSession,
    last_byte: Instant,
    last_ping: Instant,
}

/// Takes the link out of the state, whatever the way out was.
struct Up<'a> {
    shared: &'a Shared,
    address: SocketAddr,
    node: &'a NodeId,
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.link_down(self.address, self.node, now));
    }
}

impl Connection {
    /// Connects, and finds out who answers.
    async fn open(shared: &Shared, endpoint: &Endpoint) -> Result<(Self, NodeId), LinkError> {
        let open = async {
            let socket = TcpStream::connect(endpoint.address).await?;
            socket::prepare(&socket)?;
            let client = ClientSession::new(ClientSettings {
                tc_url: format!("rtmp://{}/{APP}", endpoint.name),
                app: APP.to_owned(),
                goal: Goal::Ask,
                mark: Some(shared.mark()),
                chunk_size: shared.settings.config.current().rtmp.chunk_size,
                four_cc: false,
                reconnects: false,
            })?;
            let now = Instant::now();
            let mut connection = Self { socket, client, last_byte: now, last_ping: now };
            loop {
                connection.flush().await?;
                connection.read().await?;
                while let Some(event) = connection.client.next_event() {
                    match event {
                        ClientEvent::Connected { acknowledgement } => {
                            let acknowledged = acknowledgement.as_deref().and_then(Acknowledgement::parse);
                            let node = acknowledged.ok_or(LinkError::Stranger)?.node;
                            return Ok((connection, node.into()));
                        }
                        ClientEvent::Refused { code, description, .. } => {
                            return Err(LinkError::Refused { code, description });
                        }
                        _ => {}
                    }
                }
            }
        };
        timeout(CONNECT_TIMEOUT, open).await.map_err(|_| LinkError::Silent)?
    }

    /// Asks what there is to be asked, until the link breaks.
    async fn serve(mut self, shared: &Shared, endpoint: &Endpoint, node: &NodeId) -> LinkError {
        let (sender, questions) = mpsc::unbounded_channel();
        tracing::info!(peer = %node, address = %endpoint.address, "linked to a peer");
        let local = self.socket.local_addr().ok();
        shared.with(|state, now| {
            state.link_up(endpoint.address, node, sender, now);
            if state.directory.own_address().is_none()
                && shared.settings.rtmp.ip().is_unspecified()
                && let Some(local) = local
            {
                // Not among the peers, and listening everywhere: others find us where we come from.
                let found = SocketAddr::new(local.ip().to_canonical(), shared.settings.rtmp.port());
                state.move_to(own_place(&shared.settings, Some(found)), now);
            }
        });
        let _up = Up { shared, address: endpoint.address, node };
        self.ask_and_listen(shared, questions).await.err().unwrap_or(LinkError::Closed)
    }

    async fn ask_and_listen(
        &mut self,
        shared: &Shared,
        mut questions: mpsc::UnboundedReceiver<(AskId, Item)>,
    ) -> Result<(), LinkError> {
        let mut open = OpenCalls::default();
        let mut waiting = VecDeque::new();
        // Says that we are here even if there is nothing to ask.
        open.begin(self.client.call("lease", wire::batch(Vec::new())), Vec::new());
        loop {
            while let Ok(question) = questions.try_recv() {
                waiting.push_back(question);
            }
            while open.has_room()
                && let Some(batch) = Batch::take(&mut waiting)
            {
                open.begin(self.client.call(batch.command, wire::batch(batch.values)), batch.asks);
            }
            self.flush().await?;
            let dead_at = self.last_byte + DEAD_AFTER;
            let alarm = dead_at.min(self.last_ping + PING_EVERY);
            tokio::select! {
                read = self.read() => read?,
                Some(question) = questions.recv() => waiting.push_back(question),
                () = sleep_until(alarm) => {
                    if Instant::now() >= dead_at {
                        return Err(LinkError::Silent);
                    }
                    self.last_ping = Instant::now();
                    self.client.ping(0);
                }
            }
            while let Some(event) = self.client.next_event() {
                match event {
                    ClientEvent::Answered { call, argument } => open.end(shared, call, argument.as_ref()),
                    ClientEvent::Ended { .. } | ClientEvent::Refused { .. } => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), LinkError> {
        let Self { socket, client, .. } = self;
        let mut fed = Ok(());
        let count = scratch::read(socket, |bytes| fed = client.feed(bytes)).await?;
        if count == 0 {
            return Err(LinkError::Closed);
        }
        self.last_byte = Instant::now();
        Ok(fed?)
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        let output = self.client.take_output();
        match timeout(WRITE_TIMEOUT, self.socket.write_all(&output)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(LinkError::Silent),
        }
    }
}

/// Questions that go out in one call.
struct Batch {
    command: &'static str,
    values: Vec<Value>,
    asks: Vec<(AskId, StreamKey)>,
}

impl Batch {
    /// Takes as many questions as fit one call, in their order.
    fn take(waiting: &mut VecDeque<(AskId, Item)>) -> Option<Self> {
        let command = wire::command(&waiting.front()?.1);
        let mut batch = Self { command, values: Vec::new(), asks: Vec::new() };
        let mut name_bytes = 0;
        while let Some((_, item)) = waiting.front() {
            name_bytes += item.key().as_str().len();
            let is_full = batch.values.len() >= wire::MAX_ITEMS || name_bytes > wire::MAX_NAME_BYTES;
            if wire::command(item) != command || (is_full && !batch.values.is_empty()) {
                break;
            }
            if let Some((ask, item)) = waiting.pop_front() {
                batch.values.push(wire::write_item(&item));
                batch.asks.push((ask, item.key().clone()));
            }
        }
        Some(batch)
    }
}

/// The calls that are not answered yet, with the questions in each.
#[derive(Default)]
struct OpenCalls(HashMap<u32, Vec<(AskId, StreamKey)>>);

impl OpenCalls {
    fn has_room(&self) -> bool {
        self.0.len() < MAX_CALLS
    }

    fn begin(&mut self, call: u32, asks: Vec<(AskId, StreamKey)>) {
        self.0.insert(call, asks);
    }

    /// Hands the answers on. What cannot be read counts as no answer.
    fn end(&mut self, shared: &Shared, call: u32, argument: Option<&Value>) {
        let Some(asks) = self.0.remove(&call) else { return };
        let values = argument.and_then(wire::items_of).unwrap_or_default();
        shared.with(|state, now| {
            for (index, (ask, key)) in asks.iter().enumerate() {
                let answer = values.get(index).and_then(|value| wire::read_answer(key, value));
                state.directory.answered(*ask, answer, now);
            }
        });
    }
}
