//! The caller's decisions, put on the wire (RTMP 1.0 specification 7.2.1.1, 7.2.2).
//!
//! Owns what is sent when a request is accepted, refused or ended. A decision that comes too late, because the peer took
//! its request back, sends nothing.

use super::{Activity, Phase, STREAM_ID, ServerSession};
use crate::rtmp::amf0::Value;
use crate::rtmp::four_cc;
use crate::rtmp::message_writer::Control;
use crate::rtmp::status::{Status, information, text_properties};

/// What we call ourselves: encoders and Flash look for Adobe's form, and some compare the number.
const FMS_VERSION: &str = "FMS/3,5,7,7009";

/// The code that SRS puts into a refusal that leads elsewhere.
const REDIRECT: f64 = 302.0;

/// The status of a call that cannot be answered.
const CALL_FAILED: &str = "NetConnection.Call.Failed";

/// Adobe's capability bits, which nobody reads any more and some expect.
const CAPABILITIES: f64 = 31.0;

impl ServerSession {
    /// Accepts the connect. `properties` are added to the information object of its result.
    pub fn accept_connect(&mut self, properties: &[(&str, &str)]) {
        let Phase::Deciding { transaction, enhanced } = self.phase else { return };
        self.phase = Phase::Connected;
        self.link.send(Control::WindowAcknowledgementSize(self.settings.window_acknowledgement));
        self.link.send(Control::SetPeerBandwidth(self.settings.window_acknowledgement));
        self.link.set_chunk_size(self.settings.chunk_size);

        let server = Value::Object(vec![
            ("fmsVer".to_owned(), Value::string(FMS_VERSION)),
            ("capabilities".to_owned(), Value::Number(CAPABILITIES)),
            ("mode".to_owned(), Value::Number(1.0)),
        ]);
        let mut information = Status::ConnectSuccess.information("the connection is accepted");
        information.push(("objectEncoding".to_owned(), Value::Number(0.0)));
        if enhanced {
            information.extend(four_cc::properties(true));
        }
        information.extend(text_properties(properties));
        self.answer("_result", transaction, server, Value::Object(information));
    }

    /// Refuses the connect with `NetConnection.Connect.Rejected`. The caller then closes the connection.
    pub fn reject_connect(&mut self, description: &str) {
        let Phase::Deciding { transaction, .. } = self.phase else { return };
        self.phase = Phase::Rejected;
        let information = Status::ConnectRejected.information(description);
        self.answer("_error", transaction, Value::Null, Value::Object(information));
    }

    /// Asks the peer to make its connection again, at `tc_url` or where it made this one, and to close this one then. Only
    /// peers that [can](super::ConnectRequest::can_reconnect) are to be asked. Nothing else changes.
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, description: &str) {
        if self.phase != Phase::Connected {
            return;
        }
        let mut information = Status::ConnectReconnectRequest.information(description);
        information.extend(tc_url.map(|url| ("tcUrl".to_owned(), Value::string(url))));
        self.answer("onStatus", 0.0, Value::Null, Value::Object(information));
    }

    /// Accepts the publish: media events follow.
    pub fn accept_publish(&mut self) {
        if self.activity == Activity::PublishPending {
            self.activity = Activity::Publishing;
            self.link.expect_media();
            self.send_status(Status::PublishStart, "publishing begins", &[]);
        }
    }

    /// Refuses the publish. The connection may ask again.
    pub fn reject_publish(&mut self, status: Status, description: &str) {
        self.reject_publish_as(status.code(), description);
    }

    /// Refuses the publish with a code that another server has given as its refusal.
    pub fn reject_publish_as(&mut self, code: &str, description: &str) {
        if self.activity == Activity::PublishPending {
            self.activity = Activity::Idle;
            self.send_information(information("error", code, description));
        }
    }

    /// Ends the accepted publish: media that still arrives is dropped.
    pub fn end_publish(&mut self, status: Status, description: &str) {
        if matches!(self.activity, Activity::PublishPending | Activity::Publishing) {
            self.activity = Activity::Idle;
            self.send_status(status, description, &[]);
        }
    }

    /// Accepts the play: media may be written behind the output this makes, on [`STREAM_ID`]. `properties` are added to
    /// the information object of `NetStream.Play.Start`.
    pub fn accept_play(&mut self, properties: &[(&str, &str)]) {
        if self.activity != Activity::PlayPending {
            return;
        }
        self.activity = Activity::Playing;
        self.link.send(Control::StreamBegin(STREAM_ID));
        self.send_status(Status::PlayReset, "playing resets", &[]);
        self.send_status(Status::PlayStart, "playing begins", properties);
        // Lets Flash players touch the media's samples; others ignore it.
        let sample_access = [Value::string("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)];
        self.link.send_data(STREAM_ID, &sample_access);
    }

    /// Takes the questions of a server of the cluster from now on. Until then the peer is told that they are not known.
    pub const fn take_calls(&mut self) {
        self.takes_calls = true;
    }

    /// Answers a call, with an error if there is no argument.
    pub fn answer_call(&mut self, transaction: f64, argument: Option<Value>) {
        match argument {
            Some(argument) => self.answer("_result", transaction, Value::Null, argument),
            None => {
                let information = information("error", CALL_FAILED, "the call cannot be read");
                self.answer("_error", transaction, Value::Null, Value::Object(information));
            }
        }
    }

    /// Refuses the play, and says where the stream is: `redirect` is its URL. The connection may ask again.
    pub fn redirect_play(&mut self, redirect: &str) {
        if self.activity == Activity::PlayPending {
            self.activity = Activity::Idle;
            let mut information = Status::PlayFailed.information("the stream is at another origin");
            let extra = [("code", Value::Number(REDIRECT)), ("redirect", Value::string(redirect))];
            let extra = extra.map(|(name, value)| (name.to_owned(), value)).into();
            information.push(("ex".to_owned(), Value::Object(extra)));
            self.send_information(information);
        }
    }

    /// Refuses the play. The connection may ask again.
    pub fn reject_play(&mut self, status: Status, description: &str) {
        if self.activity == Activity::PlayPending {
            self.activity = Activity::Idle;
            self.send_status(status, description, &[]);
        }
    }

    /// Ends the accepted play. No media may be written behind the output this makes.
    pub fn end_play(&mut self, status: Status) {
        if matches!(self.activity, Activity::PlayPending | Activity::Playing) {
            self.activity = Activity::Idle;
            self.send_status(status, "playing has ended", &[]);
            self.link.send(Control::StreamEof(STREAM_ID));
        }
    }

    /// Asks for a sign of life: the `Pong` event brings `timestamp` back.
    pub fn ping(&mut self, timestamp: u32) {
        self.link.send(Control::PingRequest(timestamp));
    }

    /// Sends `onStatus` on the stream.
    pub(super) fn send_status(&mut self, status: Status, description: &str, properties: &[(&str, &str)]) {
        let mut information = status.information(description);
        information.extend(text_properties(properties));
        self.send_information(information);
    }

    fn send_information(&mut self, information: Vec<(String, Value)>) {
        let values = [Value::string("onStatus"), Value::Number(0.0), Value::Null, Value::Object(information)];
        self.link.send_command(STREAM_ID, &values);
    }

    /// Sends a command about the connection.
    pub(super) fn answer(&mut self, name: &str, transaction: f64, object: Value, argument: Value) {
        self.link.send_command(0, &[Value::string(name), Value::Number(transaction), object, argument]);
    }
}
