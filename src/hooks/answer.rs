//! What a hook says.

use http::StatusCode;
use serde_json::Value;

/// A hook's answer, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// Status 200, and `0` or an object whose `code` is 0.
    Ok,
    /// There was none that could be one: no connection, no answer in time, an error of the server's own.
    Failed,
    /// Anything else.
    Refused,
}

impl Answer {
    /// What a response means.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Self::Failed;
        }
        let code = serde_json::from_slice::<Value>(body.trim_ascii()).ok();
        let is_zero = |value: &Value| value.as_i64() == Some(0);
        let consents = match &code {
            Some(Value::Object(object)) => object.get("code").is_some_and(is_zero),
            Some(value) => is_zero(value),
            None => false,
        };
        if status == StatusCode::OK && consents { Self::Ok } else { Self::Refused }
    }

    /// The one of two that matters.
    pub(super) fn worse(self, other: Self) -> Self {
        self.max(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(status: u16, body: &str) -> Answer {
        Answer::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn zero_is_consent_in_both_forms() {
        for body in ["0", " 0\n", r#"{"code":0}"#, r#"{"code": 0, "data": {"urls": []}}"#] {
            assert_eq!(read(200, body), Answer::Ok, "{body}");
        }
    }

    #[test]
    fn everything_else_that_is_answered_is_a_refusal() {
        for body in ["", "1", "-1", "0.5", "00", "ok", "null", "[0]", "{}", r#"{"code":1}"#, r#"{"code":"0"}"#] {
            assert_eq!(read(200, body), Answer::Refused, "{body}");
        }
        for status in [201, 204, 301, 400, 401, 403, 404] {
            assert_eq!(read(status, "0"), Answer::Refused, "{status}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_no_answer() {
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(read(status, "0"), Answer::Failed, "{status}");
        }
    }

    #[test]
    fn a_refusal_matters_more_than_no_answer_and_that_more_than_consent() {
        assert_eq!(Answer::Ok.worse(Answer::Failed), Answer::Failed);
        assert_eq!(Answer::Refused.worse(Answer::Failed), Answer::Refused);
        assert_eq!(Answer::Ok.worse(Answer::Ok), Answer::Ok);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}0-9\":,a-e]{0,40}") {
            Answer::read(StatusCode::OK, &body);
            Answer::read(StatusCode::OK, text.as_bytes());
        }
    }
}
