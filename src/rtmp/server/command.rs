//! What the server does with each command (RTMP 1.0 specification 7.2).
//!
//! Owns the answers that need no decision, and turns the others into events. The session's feed calls it; commands that
//! nobody knows are answered with `_error` if they ask for an answer, and never end a connection.

use super::request::{Call, ConnectRequest, PlayRequest, PublishRequest};
use super::{Activity, Phase, STREAM_ID, ServerEvent, ServerSession};
use crate::rtmp::Error;
use crate::rtmp::amf0::Value;
use crate::rtmp::message::Command;
use crate::rtmp::status::Status;

impl ServerSession {
    pub(super) fn handle_command(&mut self, command: &Command) -> Result<(), Error> {
        match (self.phase, command.name.as_str()) {
            (Phase::Fresh, "connect") => return self.connect(command),
            (Phase::Fresh, _) => return Err(Error::Protocol("a command before connect")),
            (_, "connect") => return Err(Error::Protocol("a second connect")),
            // The caller is about to close the connection.
            (Phase::Rejected, _) => return Ok(()),
            (Phase::Deciding { .. } | Phase::Connected, _) => {}
        }
        match command.name.as_str() {
            "lease" | "release" | "lookup" if self.takes_calls => {
                return self.request(ServerEvent::Call(Box::new(Call::parse(command))));
            }
            "createStream" => self.result(command, Value::Number(f64::from(STREAM_ID))),
            "publish" => return self.publish(command),
            "play" => return self.play(command),
            "pause" | "pauseRaw" => return self.pause(command),
            "seek" => self.send_status(Status::SeekFailed, "a live stream cannot be sought in", &[]),
            "deleteStream" | "closeStream" => return self.close_stream(),
            "FCUnpublish" => {
                self.result(command, Value::Undefined);
                self.stream_notice("onFCUnpublish", Status::UnpublishSuccess, "publishing has ended");
                return self.close_stream();
            }
            "FCPublish" => {
                self.result(command, Value::Undefined);
                self.stream_notice("onFCPublish", Status::PublishStart, "the name is noted");
            }
            "FCSubscribe" => {
                self.result(command, Value::Undefined);
                self.stream_notice("onFCSubscribe", Status::PlayStart, "the name is noted");
            }
            "getStreamLength" | "checkBandwidth" | "_checkbw" => self.result(command, Value::Number(0.0)),
            "releaseStream" | "FCUnsubscribe" => self.result(command, Value::Undefined),
            // What players and encoders tell us about themselves, and answers to questions we never asked.
            "receiveAudio" | "receiveVideo" | "setPeerInfo" | "set" | "bufferTime" | "onStatus" | "_result"
            | "_error" => {}
            _ => self.unknown(command),
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        let request = ConnectRequest::parse(command)?;
        let offers = |name| command.object().get(name).is_some();
        let enhanced = offers("fourCcList") || offers("capsEx");
        self.phase = Phase::Deciding { transaction: command.transaction, enhanced };
        self.request(ServerEvent::Connect(Box::new(request)))
    }

    fn publish(&mut self, command: &Command) -> Result<(), Error> {
        let Some(request) = PublishRequest::parse(command) else {
            return self.stop_or_refuse(command, Status::PublishBadName);
        };
        if self.activity != Activity::Idle {
            self.send_status(Status::PublishBadName, "this connection already publishes or plays", &[]);
            return Ok(());
        }
        self.activity = Activity::PublishPending;
        self.request(ServerEvent::Publish(request))
    }

    fn play(&mut self, command: &Command) -> Result<(), Error> {
        let Some(request) = PlayRequest::parse(command) else {
            return self.stop_or_refuse(command, Status::PlayFailed);
        };
        if self.activity != Activity::Idle {
            self.send_status(Status::PlayFailed, "this connection already publishes or plays", &[]);
            return Ok(());
        }
        self.activity = Activity::PlayPending;
        self.request(ServerEvent::Play(request))
    }

    /// `publish(false)` and `play(false)` are Flash's way to stop; any other lack of a name is a mistake.
    fn stop_or_refuse(&mut self, command: &Command, refusal: Status) -> Result<(), Error> {
        if command.argument(0).as_bool() == Some(false) {
            return self.close_stream();
        }
        self.send_status(refusal, "the stream has no name", &[]);
        Ok(())
    }

    fn pause(&mut self, command: &Command) -> Result<(), Error> {
        if self.activity != Activity::Playing {
            return Ok(());
        }
        let paused = command.argument(0).as_bool().unwrap_or(true);
        if paused {
            self.send_status(Status::PauseNotify, "paused", &[]);
        } else {
            self.send_status(Status::UnpauseNotify, "playing on", &[]);
        }
        self.request(ServerEvent::Pause(paused))
    }

    /// There is one stream, so whichever the peer names is meant; encoders end it twice and are heard once.
    fn close_stream(&mut self) -> Result<(), Error> {
        if self.activity == Activity::Publishing {
            self.send_status(Status::UnpublishSuccess, "publishing has ended", &[]);
        }
        if self.activity == Activity::Idle {
            return Ok(());
        }
        self.activity = Activity::Idle;
        self.request(ServerEvent::StreamClosed)
    }

    fn unknown(&mut self, command: &Command) {
        if command.transaction > 0.0 {
            let information = vec![
                ("level".to_owned(), Value::string("error")),
                ("code".to_owned(), Value::string("NetConnection.Call.Failed")),
                ("description".to_owned(), Value::string("the method is not known")),
            ];
            self.answer("_error", command.transaction, Value::Null, Value::Object(information));
        }
    }

    /// Answers a command that asked for an answer.
    fn result(&mut self, command: &Command, value: Value) {
        if command.transaction > 0.0 {
            self.answer("_result", command.transaction, Value::Null, value);
        }
    }

    /// What Adobe's server says on FCPublish and its like, beside the result; librtmp and its descendants wait for it.
    fn stream_notice(&mut self, name: &str, status: Status, description: &str) {
        self.answer(name, 0.0, Value::Null, Value::Object(status.information(description)));
    }
}
