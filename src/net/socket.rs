//! What every media connection's socket is set to.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Bytes that the kernel takes ahead of what it can send: more would hide a slow player from the ring's lag policy.
const UNSENT_BYTES: u32 = 128 << 10;
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// What may wait in a socket whose reader is in no hurry: as much as players get in one write.
const WAITING_BYTES: u32 = 128 << 10;

/// Whether what comes in may wait in the socket for its reader, who is then told only when much has, or when it ends.
pub fn let_input_wait(socket: &impl AsFd, may_wait: bool) -> io::Result<()> {
    rillcast_lowat::set_receive_low_water_mark(socket, if may_wait { WAITING_BYTES } else { 1 })
}

/// Makes writes leave at once, keeps the send queue short and notices peers that are gone without a word.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)
}
