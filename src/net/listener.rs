//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::ListenAddress;
use crate::seldom::warn_seldom;

/// Connections that the kernel may hold for us until we accept them; it caps this at its own limit.
const BACKLOG: i32 = 4_096;
/// How long to wait after an error that trying again at once would only repeat, such as too many open files.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address as configured.
    pub address: ListenAddress,
    /// What the system said.
    pub source: io::Error,
}

/// Binds and listens, within a runtime.
pub fn bind(address: ListenAddress) -> Result<TcpListener, BindError> {
    let listener = match address {
        ListenAddress::Address(address) => listen(address, false),
        // One socket for both families, or for IPv4 alone where the host has no IPv6.
        ListenAddress::Any(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into(), true) {
            Err(error) if error.raw_os_error().is_some_and(is_no_ipv6) => {
                listen((Ipv4Addr::UNSPECIFIED, port).into(), false)
            }
            bound => bound,
        },
    };
    listener.map_err(|source| BindError { address, source })
}

fn listen(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    // A restarted server must not wait for the connections of its predecessor to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// EAFNOSUPPORT and EADDRNOTAVAIL (Linux): no IPv6 in the kernel, or no IPv6 address.
const fn is_no_ipv6(code: i32) -> bool {
    matches!(code, 97 | 99)
}

/// The connections that wait to be accepted, of a listener that is then closed: those that come later are refused by the
/// system, those that came before it are not.
pub fn accept_waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut waiting = Vec::new();
    // Past the runtime, which may not know yet of the latest ones.
    let Ok(listener) = listener.into_std() else { return waiting };
    while let Ok((socket, peer)) = listener.accept() {
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        waiting.extend(socket.ok().map(|socket| (socket, peer)));
    }
    waiting
}

/// Accepts the next connection. Whatever goes wrong is logged and tried again: a listener does not end by itself.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                warn_seldom!(key = error.to_string(), %error, "cannot accept a connection");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waited_when_a_listener_was_closed_is_accepted_and_who_came_later_is_refused() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let mut accepted: Vec<_> = accept_waiting(listener).into_iter().map(|(_, peer)| peer).collect();
        let mut expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        accepted.sort();
        expected.sort();
        assert_eq!(accepted, expected);
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_listener_that_was_closed_is_bound_again_though_its_connections_live_on() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let accepted = accept_waiting(listener);
        let listener = bind(ListenAddress::Address(address)).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        drop((client, accepted));
    }
}
