//! A server that is asked and told by hooks, and remembers everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::wait_until;

/// What it says.
#[derive(Debug, Clone)]
pub enum Say {
    /// A status and a body.
    This(u16, &'static str),
    /// Nothing, for ever.
    Nothing,
}

/// Consent.
pub const YES: Say = Say::This(200, "0");

type Decide = Box<dyn Fn(&Value) -> Say + Send + Sync>;

/// A running hook server; it refuses connections when dropped.
pub struct HookServer {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
}

struct Shared {
    decide: Decide,
    heard: Mutex<Vec<Value>>,
    stopped: AtomicBool,
}

impl HookServer {
    /// A server that consents to everything.
    pub fn consenting() -> Self {
        Self::start(|_| YES)
    }

    /// The same over TLS, with this certificate and key in PEM files.
    pub fn consenting_over_tls(certificate: &Path, key: &Path) -> Self {
        let certificates = CertificateDer::pem_file_iter(certificate).expect("a PEM file");
        let certificates = certificates.map(|certificate| certificate.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("the key is the certificate's");
        Self::listen(Box::new(|_| YES), Some(Arc::new(config)))
    }

    /// A server that says what `decide` makes of each event.
    pub fn start(decide: impl Fn(&Value) -> Say + Send + Sync + 'static) -> Self {
        Self::listen(Box::new(decide), None)
    }

    fn listen(decide: Decide, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (heard, stopped) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { decide, heard, stopped });
        let (serving, is_tls) = (Arc::clone(&shared), tls.is_some());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that breaks off in the middle of a request is no trouble.
                let tls = tls.clone();
                thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("a connection can be made");
                        serving.serve(StreamOwned::new(connection, stream))
                    }
                    None => serving.serve(stream),
                });
            }
        });
        Self { address, is_tls, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}/hooks", self.address)
    }

    /// `[hooks]` with all hooks that there are.
    pub fn config(&self) -> String {
        let names = [
            "on_connect",
            "on_close",
            "on_publish",
            "on_unpublish",
            "on_play",
            "on_stop",
            "on_hls",
            "on_dvr",
            "on_pull",
            "on_pull_end",
            "on_forward",
        ];
        let keys: Vec<String> = names.iter().map(|name| format!("{name} = {:?}\n", self.url())).collect();
        format!("[hooks]\n{}", keys.concat())
    }

    /// What it has heard so far.
    pub fn heard(&self) -> Vec<Value> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// What it has heard of one kind.
    pub fn heard_of(&self, action: &str) -> Vec<Value> {
        self.heard().into_iter().filter(|event| event["action"] == action).collect()
    }

    /// Waits until it has heard `action` so many times; gives all of them.
    #[track_caller]
    pub fn wait_for(&self, action: &str, count: usize) -> Vec<Value> {
        wait_until(&format!("{action} is heard {count} times; heard {:?}", self.actions()), || {
            self.heard_of(action).len() >= count
        });
        self.heard_of(action)
    }

    /// The kinds of what it has heard, in order.
    pub fn actions(&self) -> Vec<String> {
        self.heard().iter().filter_map(|event| Some(event["action"].as_str()?.to_owned())).collect()
    }
}

impl Drop for HookServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then goes.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: impl Read + Write) -> Option<()> {
        let mut source = BufReader::new(stream);
        loop {
            let event = read_request(&mut source)?;
            let said = (self.decide)(&event);
            self.heard.lock().unwrap().push(event);
            let Say::This(status, body) = said else { return source.read_to_end(&mut Vec::new()).ok().map(drop) };
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
            let stream = source.get_mut();
            stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
            stream.flush().ok()?;
        }
    }
}

/// The body of one POST.
fn read_request(source: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    let mut is_json = false;
    let mut line = String::new();
    source.read_line(&mut line).ok().filter(|count| *count > 0)?;
    assert!(line.starts_with("POST /hooks"), "{line}");
    loop {
        let mut line = String::new();
        source.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        match name {
            "content-length" => length = value.parse().ok()?,
            "content-type" => is_json = value == "application/json",
            _ => {}
        }
    }
    assert!(is_json, "a hook is sent JSON");
    let mut body = vec![0; length];
    source.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
