//! Looking at the first bytes of a connection without taking them.
//!
//! A few bytes may have to be there before they tell anything. Until then the socket wakes nobody: a peer that sends them one
//! by one, or never, costs nothing.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Looks until `least` bytes are there, and no longer than that. Gives how many there are; fewer only where the peer has
/// closed and no more will come.
pub async fn at_least(stream: &TcpStream, buffer: &mut [u8], least: usize) -> io::Result<usize> {
    let count = stream.peek(buffer).await?;
    if count == 0 || count >= least {
        return Ok(count);
    }
    set_low_water_mark(stream, least)?;
    let count = wait(stream, buffer, least).await;
    set_low_water_mark(stream, 1)?;
    count
}

async fn wait(stream: &TcpStream, buffer: &mut [u8], least: usize) -> io::Result<usize> {
    loop {
        let is_over = stream.ready(Interest::READABLE).await?.is_read_closed();
        let looked = stream.try_io(Interest::READABLE, || {
            let (count, _) = recv(stream, &mut *buffer, RecvFlags::PEEK)?;
            // Too few: what the runtime knows of the socket was from before the mark.
            if count == 0 || count >= least || is_over { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

fn set_low_water_mark(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    rillcast_lowat::set_receive_low_water_mark(stream, u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn too_few_bytes_wake_nobody_and_enough_do() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"PR").await.unwrap();
        let mut buffer = [0; 8];
        {
            let looking = at_least(&server, &mut buffer, 4);
            let mut looking = pin!(counted(looking));
            assert!(timeout(Duration::from_millis(300), looking.as_mut()).await.is_err());
            client.write_all(b"I").await.unwrap();
            assert!(timeout(Duration::from_millis(300), looking.as_mut()).await.is_err());
            client.write_all(b" *").await.unwrap();
            let (count, polls) = looking.await;
            assert_eq!(count.unwrap(), 5);
            // Once to begin with, once for each limit of the time here, and for what came.
            assert!(polls <= 8, "{polls} polls");
        }
        assert_eq!(&buffer[..5], b"PRI *");
        // The mark is no hindrance to who reads then.
        let mut read = [0; 6];
        client.write_all(b"!").await.unwrap();
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"PRI *!");
        client.write_all(b"?").await.unwrap();
        server.read_exact(&mut read[..1]).await.unwrap();
    }

    #[tokio::test]
    async fn who_closes_before_that_is_not_waited_for() {
        let (mut client, server) = pair().await;
        client.write_all(b"PR").await.unwrap();
        let looking = tokio::spawn(async move { at_least(&server, &mut [0; 8], 4).await });
        client.shutdown().await.unwrap();
        assert_eq!(looking.await.unwrap().unwrap(), 2);
    }

    /// A future's output, and how often it was polled.
    async fn counted<F: Future>(future: F) -> (F::Output, usize) {
        let mut future = pin!(future);
        let mut polls = 0;
        let output = std::future::poll_fn(|context| {
            polls += 1;
            future.as_mut().poll(context)
        });
        let output = output.await;
        (output, polls)
    }
}
