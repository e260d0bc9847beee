//! A socket's receive low-water mark.
//!
//! The one system call that Rillcast needs and that no safe crate offers. It stands in a crate of its own, so that the
//! server itself can forbid unsafe code.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Has whoever waits to read from `socket` be woken only once `bytes` can be read, or the connection ends. At most half of
/// the socket's receive buffer counts; on Linux that grows with the mark. What is there can be read at any time.
pub fn set_receive_low_water_mark(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    let value = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    let (socket, length) = (socket.as_fd().as_raw_fd(), size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the descriptor is open for as long as it is borrowed, and the value, of the length that is told, outlives the
    // call, which keeps nothing of it.
    let result =
        unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn is_readable(socket: &TcpStream) -> bool {
        let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor is polled, and one is told.
        unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
    }

    #[test]
    fn below_the_mark_nobody_is_woken_and_what_is_there_can_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut reader, _) = listener.accept().unwrap();
        set_receive_low_water_mark(&reader, 1_000).unwrap();
        writer.write_all(&[7; 999]).unwrap();
        assert!(!is_readable(&reader));
        writer.write_all(&[7; 1]).unwrap();
        assert!(is_readable(&reader));
        let mut received = [0; 600];
        assert_eq!(reader.read(&mut received).unwrap(), 600);
        assert!(!is_readable(&reader));
        reader.set_nonblocking(true).unwrap();
        assert_eq!(reader.read(&mut received).unwrap(), 400);
    }

    #[test]
    fn the_end_wakes_whatever_the_mark() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (reader, _) = listener.accept().unwrap();
        set_receive_low_water_mark(&reader, 1_000).unwrap();
        drop(writer);
        assert!(is_readable(&reader));
    }
}
