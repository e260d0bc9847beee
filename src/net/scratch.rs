//! Reading without a buffer of one's own.
//!
//! Thousands of players send a few bytes now and then. Each thread has one buffer to read into, and whoever reads takes
//! what it needs out of it before anybody else can run.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

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

/// [`poll_read`] as a future. Dropping it loses nothing: either nothing was read, or `take` has run.
pub async fn read<R>(reader: &mut R, mut take: impl FnMut(&[u8])) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    poll_fn(|context| poll_read(reader, context, &mut take)).await
}
