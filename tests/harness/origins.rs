//! Two origins that share their names, on the same ports of addresses of their own, as pods have them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::server::{Server, free_address};
use super::wait_until;

const KEY: &str = "correct horse battery staple";

/// The origins. Which of them is at home for a stream, tests need not know.
pub struct Origins {
    /// Both.
    pub each: [Server; 2],
    /// Their HTTP port.
    pub http_port: u16,
}

impl Origins {
    /// Starts both, and waits until they know each other.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let ports = [free_address(), free_address(), free_address()].map(|address| address.port());
        let address = |number: u8, port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 3, number)), port);
        let peers = [1, 2].map(|number| format!("\"{}\"", address(number, ports[0]))).join(", ");
        let config = format!("{config}\n[cluster]\nkey = \"{KEY}\"\npeers = [{peers}]\n");
        let each = [1, 2].map(|number| Server::origin_at(ports.map(|port| address(number, port)), &config));
        for origin in &each {
            wait_until("the origins are linked", || origin.metrics().sum("rillcast_peers") == 1.0);
        }
        Self { each, http_port: ports[1] }
    }

    /// Starts an edge in front of both.
    #[track_caller]
    pub fn edge(&self, config: &str) -> Server {
        let head = format!("[cluster]\nkey = \"{KEY}\"\n[upstream]\nhttp_port = {}\n", self.http_port);
        Server::edge(&[self.each[0].rtmp, self.each[1].rtmp], &format!("{head}{config}"))
    }
}
