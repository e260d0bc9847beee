//! Reading without a buffer of one's own.
//!
//! Thousands of players send a few bytes now and then. Each thread has one buffer to read into, and whoever reads takes
//! what it needs out of it before anybody else can run.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Reads once and hands what came to `take`. Returns how many bytes that were: 0 at the end of the stream.
pub fn poll_read<R>(reader: &mut R, context: &mut Context<'_>, mut take: impl FnMut(&[u8])) -> Poll<io::Result<usize>>
where
    R: AsyncRead + Unpin,
{
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(reader).poll_read(context, &mut buffer))?;
        let filled = buffer.filled();
        take(filled);
        Poll::Ready(Ok(filled.len()))
    })
}

/// Reads what waits in the socket, whether or not the runtime was told of it, and hands it to `take`. Returns how many
/// bytes that were: 0 at the end of the stream, `None` if nothing waits.
pub fn read_waiting(socket: &TcpStream, take: impl FnOnce(&[u8])) -> io::Result<Option<usize>> {
    SCRATCH.with_borrow_mut(|scratch| match (&*SockRef::from(socket)).read(scratch) {
        Ok(count) => {
            take(&scratch[..count]);
            Ok(Some(count))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    })
}

/// Whether a read that brought `count` bytes may have left some behind.
pub const fn is_full(count: usize) -> bool {
    count >= SCRATCH_BYTES
}

/// [`poll_read`] as a future. Dropping it loses nothing: either nothing was read, or `take` has run.
pub async fn read<R>(reader: &mut R, mut take: impl FnMut(&[u8])) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    poll_fn(|context| poll_read(reader, context, &mut take)).await
}
