//! HAProxy (Debian's package) before a server: it says who its clients are, or it speaks TLS in their place.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::wait_until;

/// What HAProxy does with a connection besides passing it on.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// A header of the PROXY protocol, version 1.
    ProxyV1,
    /// The same, version 2.
    ProxyV2,
    /// TLS towards the server, which has to be `name` by a certificate of this authority.
    Tls {
        /// The authority's file.
        ca_file: &'a Path,
        /// Whom the server has to be.
        name: &'a str,
    },
    /// Plain text towards the server, and TLS towards clients, with the certificate and key in this file.
    EndsTls(&'a Path),
    /// Requests over HTTP, with X-Forwarded-For.
    Http,
}

/// A running HAProxy; killed when dropped.
pub struct HaProxy {
    /// Where it listens, in the order of its servers.
    pub addresses: Vec<SocketAddr>,
    _process: Process,
    _directory: TempDir,
}

impl HaProxy {
    /// One listener before each server.
    #[track_caller]
    pub fn before(servers: &[SocketAddr], way: Way<'_>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let certificate = match way {
            Way::EndsTls(file) => format!("ssl crt {}", file.display()),
            _ => String::new(),
        };
        let (mode, options, extra) = match way {
            Way::EndsTls(_) => ("tcp", String::new(), ""),
            Way::ProxyV1 => ("tcp", "send-proxy".to_owned(), ""),
            Way::ProxyV2 => ("tcp", "send-proxy-v2".to_owned(), ""),
            Way::Tls { ca_file, name } => (
                "tcp",
                format!("ssl ca-file {} verify required sni str({name}) verifyhost {name}", ca_file.display()),
                "",
            ),
            Way::Http => ("http", String::new(), "option forwardfor"),
        };
        let addresses: Vec<SocketAddr> = servers.iter().map(|_| free_address()).collect();
        let mut config =
            "defaults\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n timeout tunnel 1m\n".to_owned();
        for (index, (address, server)) in addresses.iter().zip(servers).enumerate() {
            config += &format!(
                "listen at{index}\n mode {mode}\n {extra}\n bind {address} {certificate}\n server s {server} {options}\n"
            );
        }
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, config).expect("haproxy.cfg is written");
        // Outside of a login shell, Debian's PATH may lack sbin.
        let process = Process::spawn("haproxy", Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(&file));
        for address in &addresses {
            wait_until("haproxy listens", || TcpStream::connect(address).is_ok());
        }
        Self { addresses, _process: process, _directory: directory }
    }
}
