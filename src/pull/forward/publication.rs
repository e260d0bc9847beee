//! What is forwarded: one publish session of one stream, under the names that an origin knows it by.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use crate::auth::Mark;
use crate::hub::{Identity, PublishRequest, Source};
use crate::media::stream_key::StreamKey;
use crate::pull::PullContext;
use crate::pull::target::Target;

/// Parameters with which publishers prove who they are, in lower case. They are for the server that the publisher is
/// connected to; one of our own kind behind it believes the mark. (SRS, nginx and the big CDNs use these.)
const AUTHENTICATION: [&str; 39] = [
    "token",
    "access_token",
    "auth",
    "auth_key",
    "authmod",
    "jwt",
    "key",
    "secret",
    "sign",
    "signature",
    "hash",
    "md5",
    "st",
    "e",
    "exp",
    "expire",
    "expires",
    "user",
    "username",
    "pass",
    "password",
    "txsecret",
    "txtime",
    "nonce",
    "auth_token",
    "authorization",
    "bearer",
    "api_key",
    "apikey",
    "sig",
    "policy",
    "passwd",
    "pwd",
    "wssecret",
    "wstime",
    "hdnts",
    "hdnea",
    "streamkey",
    "stream_key",
];

/// A publish session on its way to an origin.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    pub(super) key: StreamKey,
    pub(super) session: Identity,
    target: Target,
    query: String,
}

impl Publication {
    pub(super) fn of(key: &StreamKey, request: &PublishRequest) -> Self {
        let query = match &request.source {
            Source::Client { query, .. } => query.clone(),
            Source::Pull | Source::ShieldedPull => String::new(),
        };
        Self { key: key.clone(), session: request.session.clone(), target: Target::of(key), query }
    }

    pub(super) fn app(&self) -> &str {
        &self.target.app
    }

    /// The stream's name for a foreign origin: with the query as the publisher sent it.
    pub(super) fn name(&self) -> String {
        with_query(&self.target.stream, &self.query)
    }

    /// The stream's name for an origin of our own kind.
    pub(super) fn name_for_ours(&self) -> String {
        with_query(&self.target.stream, &without_authentication(&self.query))
    }

    /// What a connection that is made right now says of us: that the session is the publisher's, whichever way it came.
    pub(super) fn mark(&self, context: &PullContext) -> String {
        let mark = Mark { session: Some(self.session.as_str().to_owned()), ..Mark::of_pull(&context.node) };
        mark.to_text(context.key.as_ref(), SystemTime::now())
    }
}

fn with_query(stream: &str, query: &str) -> String {
    if query.is_empty() { stream.to_owned() } else { format!("{stream}?{query}") }
}

/// A query less the parameters that only say who the publisher is; everything else as it was.
fn without_authentication(query: &str) -> String {
    let names_it = |parameter: &str| {
        let name = percent_decode_str(parameter.split('=').next().unwrap_or_default()).decode_utf8_lossy();
        AUTHENTICATION.iter().any(|known| known.eq_ignore_ascii_case(&name))
    };
    // Some servers part parameters by ";" as well: what holds a name behind one goes as a whole.
    let is_kept = |parameter: &&str| !parameter.split(';').any(names_it);
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn publication(query: &str) -> Publication {
        let source = Source::Client { address: [127, 0, 0, 1].into(), query: query.to_owned() };
        let request =
            PublishRequest { source, session: Identity::random(), takes_over: false, resume_timeout: Duration::ZERO };
        Publication::of(&StreamKey::from_path("live/x").unwrap(), &request)
    }

    #[test]
    fn a_foreign_origin_gets_the_query_as_it_came() {
        assert_eq!(publication("token=a%26b&vhost=c").name(), "x?token=a%26b&vhost=c");
        assert_eq!(publication("").name(), "x");
    }

    #[test]
    fn ours_gets_it_without_what_authenticates() {
        for (query, name) in [
            ("", "x"),
            ("token=1", "x"),
            ("Token=1&SIGN=2&expires", "x"),
            ("vhost=c&token=1&record=1", "x?vhost=c&record=1"),
            ("%74oken=1&wsSecret=2&b=3", "x?b=3"),
            ("a=1;token=2&b=3", "x?b=3"),
            ("a=1;b=2", "x?a=1;b=2"),
            ("tokens=1&my-token=2", "x?tokens=1&my-token=2"),
        ] {
            assert_eq!(publication(query).name_for_ours(), name, "{query}");
        }
    }
}
