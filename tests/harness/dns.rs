//! An authoritative DNS server whose answers a test sets while it runs, and which counts what it is asked.
//!
//! Speaks UDP and TCP on one loopback port, from a thread of its own, so that it serves processes as well as the
//! library's own tests. Names are absolute, with or without their final dot, in any case.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

pub use hickory_server::proto::rr::RecordType;

/// How many ports are tried until one is free for both UDP and TCP.
const PORTS_TO_TRY: usize = 100;
const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const TCP_RESPONSE_BUFFER: usize = 16;

/// What the server does when it is asked for a name and a type.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with these records of the name asked for, and adds records of other names.
    Records {
        /// Seconds to live.
        ttl: u32,
        /// The answer.
        records: Vec<RData>,
        /// The additional section.
        additional: Vec<(String, IpAddr)>,
    },
    /// Over UDP says only that the answer does not fit, over TCP gives the reply.
    Truncated(Box<Self>),
    /// The name exists and has no such records (NODATA).
    Empty,
    /// The name does not exist (NXDOMAIN).
    NoName,
    /// SERVFAIL.
    Failure,
    /// Says nothing.
    Silence,
}

impl Reply {
    /// A and AAAA records.
    pub fn addresses(ttl: u32, addresses: &[&str]) -> Self {
        let records = addresses.iter().map(|address| RData::from(parse_ip(address))).collect();
        Self::Records { ttl, records, additional: Vec::new() }
    }

    /// SRV records: targets and their ports.
    pub fn services(ttl: u32, targets: &[(&str, u16)]) -> Self {
        let records =
            targets.iter().map(|(target, port)| RData::SRV(SRV::new(0, 0, *port, parse_name(target)))).collect();
        Self::Records { ttl, records, additional: Vec::new() }
    }

    /// A CNAME record.
    pub fn alias(ttl: u32, target: &str) -> Self {
        Self::Records { ttl, records: vec![RData::CNAME(CNAME(parse_name(target)))], additional: Vec::new() }
    }

    /// The same, with addresses of other names in the additional section.
    pub fn with_additional(mut self, more: &[(&str, &str)]) -> Self {
        if let Self::Records { additional, .. } = &mut self {
            additional.extend(more.iter().map(|(name, address)| ((*name).to_owned(), parse_ip(address))));
        }
        self
    }
}

/// The running server; stopped when dropped.
pub struct DnsServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Script {
    replies: HashMap<(Name, RecordType), Reply>,
    /// What every question gets, whatever the replies say.
    outage: Option<Reply>,
    questions: HashMap<(Name, RecordType), usize>,
    over_tcp: usize,
    /// The last message id by name, type and whether it came over TCP.
    last_ids: HashMap<(Name, RecordType, bool), u16>,
}

impl DnsServer {
    /// Starts a server on 127.0.0.1 that knows no name.
    pub fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let (stop, stopped) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let handler = Handler(Arc::clone(&script));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (address, datagrams, connections) = bind().await;
                let mut server = Server::new(handler);
                server.register_socket(datagrams);
                server.register_listener(connections, TCP_IDLE_TIMEOUT, TCP_RESPONSE_BUFFER);
                started.send(address).expect("the test waits for it");
                // Ends when the test's side is dropped, too.
                let _ = stopped.await;
            });
        });
        let address = address.recv().expect("the server starts");
        Self { address, script, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on replies so to questions for this name and type. A name that has a reply for some type exists and has
    /// no records of other types; any other name does not exist.
    pub fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.script().replies.insert((parse_name(name), kind), reply);
    }

    /// From now on every question gets this reply; `None` ends the outage.
    pub fn set_outage(&self, reply: Option<Reply>) {
        self.script().outage = reply;
    }

    /// Sets the A records of a name.
    pub fn set_addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        self.set(name, RecordType::A, Reply::addresses(ttl, addresses));
    }

    /// Sets the SRV records of a name: targets and their ports.
    pub fn set_services(&self, name: &str, ttl: u32, targets: &[(&str, u16)]) {
        self.set(name, RecordType::SRV, Reply::services(ttl, targets));
    }

    /// How often this was asked. A datagram that is sent again, because the machine is slow, is no other question; asking
    /// over TCP after a truncated answer is.
    pub fn questions(&self, name: &str, kind: RecordType) -> usize {
        self.script().questions.get(&(parse_name(name), kind)).copied().unwrap_or(0)
    }

    /// How often anything was asked.
    pub fn questions_in_all(&self) -> usize {
        self.script().questions.values().sum()
    }

    /// How many of the questions came over TCP.
    pub fn questions_over_tcp(&self) -> usize {
        self.script().over_tcp
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Handler(Arc<Mutex<Script>>);

impl Handler {
    fn reply(&self, name: Name, kind: RecordType, id: u16, over_tcp: bool) -> Reply {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if script.last_ids.insert((name.clone(), kind, over_tcp), id) != Some(id) {
            *script.questions.entry((name.clone(), kind)).or_insert(0) += 1;
            script.over_tcp += usize::from(over_tcp);
        }
        if let Some(outage) = &script.outage {
            return outage.clone();
        }
        match script.replies.get(&(name.clone(), kind)) {
            Some(reply) => reply.clone(),
            None if script.replies.keys().any(|(known, _)| *known == name) => Reply::Empty,
            None => Reply::NoName,
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let nothing_sent = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let Ok(info) = request.request_info() else { return nothing_sent };
        let name = Name::from(info.query.name());
        let over_tcp = info.protocol == Protocol::Tcp;
        let mut reply = self.reply(name.clone(), info.query.query_type(), metadata.id, over_tcp);
        if let Reply::Truncated(whole) = reply {
            metadata.truncation = !over_tcp;
            reply = if over_tcp { *whole } else { Reply::Empty };
        }
        let mut answers = Vec::new();
        let mut more = Vec::new();
        match reply {
            Reply::Records { ttl, records, additional } => {
                answers.extend(records.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data)));
                let records = additional.into_iter();
                more.extend(records.map(|(name, ip)| Record::from_rdata(parse_name(&name), ttl, RData::from(ip))));
            }
            Reply::Empty | Reply::Truncated(_) => {}
            Reply::NoName => metadata.response_code = ResponseCode::NXDomain,
            Reply::Failure => metadata.response_code = ResponseCode::ServFail,
            Reply::Silence => return nothing_sent,
        }
        let builder = MessageResponseBuilder::from_message_request(request);
        let message = builder.build(metadata, &answers, [], [], &more);
        response.send_response(message).await.unwrap_or(nothing_sent)
    }
}

async fn bind() -> (SocketAddr, UdpSocket, TcpListener) {
    for _ in 0..PORTS_TO_TRY {
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port for UDP");
        let address = datagrams.local_addr().expect("a bound socket has an address");
        if let Ok(connections) = TcpListener::bind(address).await {
            return (address, datagrams, connections);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn parse_name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name").to_lowercase();
    name.set_fqdn(true);
    name
}

fn parse_ip(text: &str) -> IpAddr {
    text.parse().expect("an IP address")
}
