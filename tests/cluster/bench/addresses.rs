//! Loopback addresses for pods: a block of 127.0.0.0/8 for each cluster, so that every pod has the standard ports.
//!
//! Clusters of other processes on this machine take other blocks: who has a block listens on a port of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The port whose listener holds a block.
const LOCK_PORT: u16 = 1984;
/// The address of a block that no pod gets.
const LOCK_HOST: u8 = 254;
/// By how much all ports are higher where somebody listens on the standard ones on every address.
const PORT_STEPS: [u16; 4] = [0, 10_000, 11_000, 12_000];

/// The ports of every pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// RTMP.
    pub rtmp: u16,
    /// HTTP-FLV.
    pub http: u16,
    /// Health, metrics and the API.
    pub admin: u16,
}

impl Ports {
    fn raised_by(step: u16) -> Self {
        Self { rtmp: 1935 + step, http: 8080 + step, admin: 1985 + step }
    }

    fn are_free_on(self, address: Ipv4Addr) -> bool {
        [self.rtmp, self.http, self.admin].iter().all(|port| TcpListener::bind((address, *port)).is_ok())
    }
}

/// 127.0.N.0/24, held until it is dropped.
#[derive(Debug)]
pub struct Block {
    number: u8,
    next_host: u8,
    /// The ports that are free on its addresses.
    pub ports: Ports,
    _lock: TcpListener,
}

impl Block {
    /// Takes the first block that nobody has.
    pub fn take() -> Self {
        let (number, lock) = (1..=250)
            .find_map(|number| {
                let address = SocketAddr::from(([127, 0, number, LOCK_HOST], LOCK_PORT));
                Some((number, TcpListener::bind(address).ok()?))
            })
            .expect("a block of loopback addresses is free");
        let first = Ipv4Addr::new(127, 0, number, 1);
        let ports = PORT_STEPS.into_iter().map(Ports::raised_by).find(|ports| ports.are_free_on(first));
        let ports = ports.expect("the ports of RTMP, HTTP and the API are free on some step");
        Self { number, next_host: 1, ports, _lock: lock }
    }

    /// An address that nobody had before, because a pod that is replaced gets another one, and where nobody listens: pods
    /// of a bench that was killed may still be there.
    pub fn next_address(&mut self) -> Ipv4Addr {
        let free = (self.next_host..LOCK_HOST)
            .find(|host| self.ports.are_free_on(Ipv4Addr::new(127, 0, self.number, *host)))
            .expect("the block has a free address");
        self.next_host = free + 1;
        Ipv4Addr::new(127, 0, self.number, free)
    }
}
