//! What a player says and hears, by protocol: bytes in, tags and bytes out.

use anyhow::bail;
use bytes::Bytes;
use rillcast::media::Tag;
use rillcast::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::http::HttpFlv;
use super::websocket::WebSocketFlv;
use crate::target::{Protocol, Target};

/// One player's conversation.
pub(super) enum Wire {
    Rtmp(Box<ClientSession>),
    HttpFlv(HttpFlv),
    WsFlv(WebSocketFlv),
}

impl Wire {
    /// A player of stream `index` of `count` that has just connected; what it says first is in the output.
    pub(super) fn new(target: &Target, index: usize, count: usize) -> anyhow::Result<Self> {
        Ok(match target.protocol {
            Protocol::Rtmp => Self::Rtmp(Box::new(ClientSession::new(ClientSettings {
                tc_url: target.tc_url(),
                app: target.app().to_owned(),
                goal: Goal::Play { name: target.stream(index, count) },
                mark: None,
                chunk_size: 4_096,
                four_cc: false,
                reconnects: false,
            })?)),
            Protocol::HttpFlv => Self::HttpFlv(HttpFlv::new(&target.authority(), &target.path(index, count))),
            Protocol::WsFlv => Self::WsFlv(WebSocketFlv::new(&target.authority(), &target.path(index, count))),
            Protocol::Hls => anyhow::bail!("HLS is watched, not played"),
        })
    }

    /// Takes in what the server sent.
    pub(super) fn feed(&mut self, input: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Rtmp(session) => Ok(session.feed(input)?),
            Self::HttpFlv(body) => body.feed(input),
            Self::WsFlv(body) => body.feed(input),
        }
    }

    /// What to send now.
    pub(super) fn take_output(&mut self) -> Bytes {
        match self {
            Self::Rtmp(session) => session.take_output(),
            Self::HttpFlv(body) => body.take_output(),
            Self::WsFlv(body) => body.take_output(),
        }
    }

    /// The next tag of the stream.
    pub(super) fn next_tag(&mut self) -> anyhow::Result<Option<Tag>> {
        match self {
            Self::Rtmp(session) => next_media(session),
            Self::HttpFlv(body) => body.next_tag(),
            Self::WsFlv(body) => body.next_tag(),
        }
    }
}

fn next_media(session: &mut ClientSession) -> anyhow::Result<Option<Tag>> {
    while let Some(event) = session.next_event() {
        match event {
            ClientEvent::Media(tag) => return Ok(Some(tag)),
            ClientEvent::Refused { code, description, .. } => bail!("refused: {code} {description}"),
            ClientEvent::Ended { code } => bail!("ended: {code}"),
            ClientEvent::Connected { .. }
            | ClientEvent::Started { .. }
            | ClientEvent::ReconnectRequested { .. }
            | ClientEvent::Pong(_)
            | ClientEvent::Answered { .. } => {}
        }
    }
    Ok(None)
}
