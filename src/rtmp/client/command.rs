//! What the client says to reach its goal, and what it makes of the answers (RTMP 1.0 specification 7.2).
//!
//! Owns the sequence connect, createStream, play or publish, and the reading of results and statuses. The session's feed
//! calls it; commands it has no use for are ignored, as servers send many.

use super::{ClientEvent, ClientSession, FIRST_CALL, Goal, Progress};
use crate::rtmp::Error;
use crate::rtmp::amf0::Value;
use crate::rtmp::four_cc;
use crate::rtmp::link::DEFAULT_WINDOW;
use crate::rtmp::message::Command;
use crate::rtmp::message_writer::Control;
use crate::rtmp::status::Status;

/// The transactions, in the order in which they are sent.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PLAY_OR_PUBLISH: f64 = 5.0;

/// What we call ourselves: servers look for the forms that Flash and Adobe's encoder used.
const PLAYER_VERSION: &str = "LNX 9,0,124,2";
const ENCODER_VERSION: &str = "FMLE/3.0 (compatible; Rillcast)";

/// The buffer that we announce as a player, in milliseconds; servers send the first so much as fast as they can.
const BUFFER_MILLISECONDS: u32 = 3_000;

impl ClientSession {
    pub(super) fn send_connect(&mut self) {
        let settings = &self.settings;
        let version = if self.publishes() { ENCODER_VERSION } else { PLAYER_VERSION };
        let mut object = vec![
            ("app".to_owned(), Value::string(settings.app.as_str())),
            ("flashVer".to_owned(), Value::string(version)),
            ("tcUrl".to_owned(), Value::string(settings.tc_url.as_str())),
            ("fpad".to_owned(), Value::Boolean(false)),
            ("capabilities".to_owned(), Value::Number(15.0)),
            ("audioCodecs".to_owned(), Value::Number(4071.0)),
            ("videoCodecs".to_owned(), Value::Number(252.0)),
            ("videoFunction".to_owned(), Value::Number(1.0)),
            ("objectEncoding".to_owned(), Value::Number(0.0)),
        ];
        if self.publishes() {
            object.push(("type".to_owned(), Value::string("nonprivate")));
        }
        if settings.four_cc {
            object.extend(four_cc::properties(settings.reconnects));
        }
        if let Some(mark) = &settings.mark {
            object.push(("rillcast".to_owned(), Value::string(mark.as_str())));
        }
        self.link.send_command(0, &[Value::string("connect"), Value::Number(CONNECT), Value::Object(object)]);
    }

    pub(super) fn handle_command(&mut self, command: &Command) -> Result<(), Error> {
        match command.name.as_str() {
            "_result" if command.transaction == CONNECT => self.connected(command),
            "_result" if command.transaction == CREATE_STREAM => return self.stream_created(command),
            "_result" | "_error" if self.settings.goal == Goal::Ask && command.transaction > FIRST_CALL => {
                self.answered(command);
            }
            // Old servers know neither releaseStream nor FCPublish, and need not; rml_rtmp refuses under transaction 0.
            "_error" if self.progress < Progress::Started && !courtesy(command.transaction) => {
                self.refused(information(command));
            }
            "onStatus" => self.status(information(command)),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, command: &Command) {
        if self.progress != Progress::Connecting {
            return;
        }
        self.progress = Progress::CreatingStream;
        let acknowledgement = text(information(command), "rillcast");
        if let (Some(_), Some(name)) = (&acknowledgement, self.name_for_ours.take())
            && self.publishes()
        {
            self.settings.goal = Goal::Publish { name };
        }
        self.events.push(ClientEvent::Connected { acknowledgement });

        self.link.send(Control::WindowAcknowledgementSize(DEFAULT_WINDOW));
        self.link.set_chunk_size(self.settings.chunk_size);
        if self.settings.goal == Goal::Ask {
            self.progress = Progress::Started;
            return;
        }
        if let Goal::Publish { name } = &self.settings.goal {
            let name = Value::string(name.as_str());
            self.link.send_command(0, &call("releaseStream", RELEASE_STREAM, [name.clone()]));
            self.link.send_command(0, &call("FCPublish", FC_PUBLISH, [name]));
        }
        self.link.send_command(0, &call("createStream", CREATE_STREAM, []));
    }

    fn stream_created(&mut self, command: &Command) -> Result<(), Error> {
        if self.progress != Progress::CreatingStream {
            return Ok(());
        }
        let stream_id = information(command).as_number().and_then(stream_id);
        let stream_id = stream_id.ok_or(Error::Message("the result of createStream is no stream"))?;
        self.progress = Progress::Requested;
        self.stream_id = Some(stream_id);
        match &self.settings.goal {
            Goal::Play { name } => {
                // Without a start: peers disagree on its unit, and its default is the live stream.
                let arguments = [Value::string(name.as_str())];
                self.link.send_command(stream_id, &call("play", PLAY_OR_PUBLISH, arguments));
                self.link.send(Control::SetBufferLength { stream_id, milliseconds: BUFFER_MILLISECONDS });
            }
            Goal::Publish { name } => {
                let arguments = [Value::string(name.as_str()), Value::string("live")];
                self.link.send_command(stream_id, &call("publish", PLAY_OR_PUBLISH, arguments));
            }
            // Asks for no stream.
            Goal::Ask => {}
        }
        Ok(())
    }

    fn answered(&mut self, command: &Command) {
        let call = command.transaction - FIRST_CALL;
        // Answers to what was never asked are none.
        if call.fract() == 0.0 && call <= f64::from(u32::MAX) {
            let argument = (command.name == "_result").then(|| command.argument(0).clone());
            self.events.push(ClientEvent::Answered { call: call as u32, argument });
        }
    }

    fn status(&mut self, information: &Value) {
        let code = information.get("code").and_then(Value::as_str).unwrap_or_default();
        let is_error = information.get("level").and_then(Value::as_str) == Some("error");
        if code == Status::ConnectReconnectRequest.code() {
            self.events.push(ClientEvent::ReconnectRequested { tc_url: text(information, "tcUrl") });
        } else if code == Status::PlayStart.code() || code == Status::PublishStart.code() {
            self.started(information);
        } else if self.progress == Progress::Started && (is_error || ends_stream(code)) {
            self.end(code);
        } else if is_error || ends_stream(code) {
            self.refused(information);
        }
    }

    fn started(&mut self, information: &Value) {
        if self.progress == Progress::Requested {
            self.progress = Progress::Started;
            self.events.push(ClientEvent::Started { session: text(information, "session") });
        }
    }

    fn refused(&mut self, information: &Value) {
        if self.progress == Progress::Over {
            return;
        }
        self.progress = Progress::Over;
        self.events.push(ClientEvent::Refused {
            code: text(information, "code").unwrap_or_default(),
            description: text(information, "description").unwrap_or_default(),
            redirect: information.get("ex").and_then(|extra| text(extra, "redirect")),
        });
    }

    const fn publishes(&self) -> bool {
        matches!(self.settings.goal, Goal::Publish { .. })
    }
}

/// Whether a transaction is one that only some servers need.
fn courtesy(transaction: f64) -> bool {
    transaction == RELEASE_STREAM || transaction == FC_PUBLISH
}

/// What a result or status says: the first argument behind the command object.
fn information(command: &Command) -> &Value {
    command.argument(0)
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn call<const COUNT: usize>(name: &str, transaction: f64, arguments: [Value; COUNT]) -> Vec<Value> {
    let mut values = vec![Value::string(name), Value::Number(transaction), Value::Null];
    values.extend(arguments);
    values
}

/// Statuses of level `status` that end a stream all the same. Seeking and pausing we never ask for.
fn ends_stream(code: &str) -> bool {
    [
        Status::PlayUnpublishNotify.code(),
        Status::PlayStop.code(),
        Status::UnpublishSuccess.code(),
        "NetStream.Play.Complete",
        "NetConnection.Connect.Closed",
    ]
    .contains(&code)
}

/// Message streams are whole numbers of 32 bits that travel as doubles; 0 is the connection itself.
fn stream_id(number: f64) -> Option<u32> {
    let in_range = number >= 1.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0;
    in_range.then_some(number as u32)
}
