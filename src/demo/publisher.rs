//! A publisher that loops the clip to any RTMP server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};

use crate::net::dial::{Transport, dial};
use crate::net::scratch;
use crate::net::stream::Stream;
use crate::rtmp::url::RtmpUrl;
use crate::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::clip::Clip;

/// How long the server may take for anything it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far apart attempts begin at least.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The size in bytes of the chunks sent.
const CHUNK_SIZE: u32 = 4_096;

/// Publishes the clip to `url`, in real time and without end, until the server or the connection ends it.
///
/// Over TLS the server has to prove its name by an authority in `ca_file`, or else by one that the system knows. Calls `started` when the server has let us begin.
pub async fn publish(url: &RtmpUrl, ca_file: Option<&Path>, started: impl FnOnce()) -> anyhow::Result<()> {
    let clip = Clip::load().context("the clip")?;
    let stream = timeout(PATIENCE, dial(&url.host, url.port, Transport::of(url.tls, ca_file)))
        .await
        .with_context(|| format!("{} does not answer", url.authority()))?
        .with_context(|| format!("cannot reach {}", url.authority()))?;
    let client = ClientSession::new(ClientSettings {
        tc_url: url.tc_url(),
        app: url.app.clone(),
        goal: Goal::Publish { name: url.stream.clone() },
        mark: None,
        chunk_size: CHUNK_SIZE,
        four_cc: true,
        reconnects: false,
    })?;
    let mut connection = Connection { stream, client };
    timeout(PATIENCE, connection.begin())
        .await
        .with_context(|| format!("{} does not let us publish", url.authority()))?
        .with_context(|| format!("cannot publish to {}", url.authority()))?;
    started();
    connection.send(&clip).await
}

/// [`publish`], and again whenever the server or the connection ends it, until it has not begun again for as long as
/// `patience`: at once, but not before a second after the attempt before. Calls `started` at each beginning, and `lost` at the
/// end of what had begun.
pub async fn publish_again(
    url: &RtmpUrl,
    ca_file: Option<&Path>,
    patience: Duration,
    started: impl Fn(),
    lost: impl Fn(&anyhow::Error),
) -> anyhow::Result<()> {
    let mut give_up_at = Instant::now() + patience;
    loop {
        let attempt = Instant::now();
        let mut has_begun = false;
        let begin = || {
            has_begun = true;
            started();
        };
        let Err(error) = publish(url, ca_file, begin).await else { return Ok(()) };
        let ended = Instant::now();
        if has_begun {
            give_up_at = ended + patience;
            lost(&error);
        }
        let next = ended.max(attempt + RETRY_AFTER);
        if next > give_up_at {
            return Err(error.context(format!("not publishing again within {} s", patience.as_secs())));
        }
        sleep_until(next).await;
    }
}

struct Connection {
    stream: Stream,
    client: ClientSession,
}

impl Connection {
    async fn begin(&mut self) -> anyhow::Result<()> {
        while !self.started()? {
            self.flush().await?;
            self.read().await?;
        }
        Ok(())
    }

    async fn send(&mut self, clip: &Clip) -> anyhow::Result<()> {
        for header in clip.headers() {
            self.client.write_tag(header);
        }
        let began = Instant::now();
        for (due, tag) in clip.frames() {
            self.wait_until(began + Duration::from_millis(due)).await?;
            self.client.write_tag(&tag);
            self.flush().await?;
        }
        Ok(())
    }

    /// Listens to the server until `moment`.
    async fn wait_until(&mut self, moment: Instant) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(moment) => return Ok(()),
                read = self.read() => read?,
            }
            self.started()?;
        }
    }

    /// Whether the server said that publishing may begin; an error if it said otherwise.
    fn started(&mut self) -> anyhow::Result<bool> {
        let mut started = false;
        while let Some(event) = self.client.next_event() {
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

    async fn read(&mut self) -> anyhow::Result<()> {
        let Self { stream, client } = self;
        let mut fed = Ok(());
        if scratch::read(stream, |bytes| fed = client.feed(bytes)).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(fed?)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let output = self.client.take_output();
        let send = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, send).await.context("the server takes nothing more")??;
        Ok(())
    }
}
