//! One publisher's connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rillcast::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::Publish;
use crate::media::script::{Position, Script};

/// How long the server may take to let us publish.
const PATIENCE: Duration = Duration::from_secs(10);
const CHUNK_SIZE: u32 = 60_000;
/// What may wait for a server that does not read, before its stream counts as lost.
const MAX_PENDING_BYTES: usize = 8 << 20;
/// Messages between two looks at what the server says.
const LISTEN_EVERY: u32 = 32;

/// A publisher that the server has accepted.
pub(super) struct Publisher {
    stream: TcpStream,
    session: ClientSession,
    position: Position,
    pending: Vec<u8>,
    sent: u32,
}

impl Publisher {
    /// Connects, publishes, and sends the headers.
    pub(super) fn connect(publish: &Publish, index: usize) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&publish.address, PATIENCE).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let session = ClientSession::new(ClientSettings {
            tc_url: publish.target.tc_url(),
            app: publish.target.app().to_owned(),
            goal: Goal::Publish { name: publish.target.stream(index, publish.streams) },
            mark: None,
            chunk_size: CHUNK_SIZE,
            four_cc: false,
            reconnects: false,
        })?;
        let position = publish.script.begin();
        let mut publisher = Self { stream, session, position, pending: Vec::new(), sent: 0 };
        publisher.begin(&publish.script)?;
        Ok(publisher)
    }

    fn begin(&mut self, script: &Script) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 8192];
        while !self.started()? {
            ensure!(Instant::now() < deadline, "the server does not let us publish");
            self.stream.write_all(&self.session.take_output())?;
            match self.stream.read(&mut buffer).context("the server does not answer")? {
                0 => bail!("the server closed the connection"),
                count => self.session.feed(&buffer[..count])?,
            }
        }
        for header in &script.headers {
            self.session.write_tag(header);
        }
        self.stream.write_all(&self.session.take_output())?;
        self.stream.set_nonblocking(true)?;
        Ok(())
    }

    /// When the next message is due, from the beginning of the stream.
    pub(super) fn next_due(&self, script: &Script) -> Duration {
        Duration::from_nanos(script.next_due(&self.position))
    }

    /// Sends the next message and gives the size of its body.
    pub(super) fn send_next(&mut self, script: &Script, now: u64) -> anyhow::Result<usize> {
        let tag = script.take(&mut self.position, now).context("the script is empty")?;
        self.session.write_tag(&tag);
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(LISTEN_EVERY) {
            self.listen()?;
        }
        self.flush()?;
        Ok(tag.payload.len())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let output = self.session.take_output();
        let bytes = if self.pending.is_empty() {
            &output[..]
        } else {
            self.pending.extend_from_slice(&output);
            &self.pending
        };
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(0) => bail!("the connection takes nothing more"),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.pending = bytes[written..].to_vec();
        ensure!(self.pending.len() <= MAX_PENDING_BYTES, "the server does not read");
        Ok(())
    }

    fn listen(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => self.session.feed(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        self.started().map(drop)
    }

    fn started(&mut self) -> anyhow::Result<bool> {
        let mut started = false;
        while let Some(event) = self.session.next_event() {
            match event {
                ClientEvent::Started { .. } => started = true,
                ClientEvent::Refused { code, description, .. } => bail!("the server refuses: {code} {description}"),
                ClientEvent::Ended { code } => bail!("the server ended it: {code}"),
                ClientEvent::Connected { .. }
                | ClientEvent::Media(_)
                | ClientEvent::ReconnectRequested { .. }
                | ClientEvent::Pong(_)
                | ClientEvent::Answered { .. } => {}
            }
        }
        Ok(started)
    }

    /// Says goodbye.
    pub(super) fn close(mut self) {
        self.session.close();
        // A server that is gone needs no goodbye.
        let _ = self.flush();
    }
}
