//! For how long caches and players may keep an answer.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};

use crate::hls::Freshness;

/// What never changes may be kept as long as anybody likes: a year, as that is usually said.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The same, by nobody but who asked.
const FOR_EVER_PRIVATELY: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// An answer that there is nothing may have another one in a moment.
const BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// `Cache-Control` of a file; of one that not everybody may have, if it `is_private`.
pub(super) fn cache_control(freshness: Freshness, is_private: bool) -> (HeaderName, HeaderValue) {
    let value = match freshness {
        Freshness::Immutable if is_private => FOR_EVER_PRIVATELY,
        Freshness::Immutable => FOR_EVER,
        Freshness::Changing { max_age, .. } => in_seconds(max_age, is_private),
    };
    (CACHE_CONTROL, value)
}

/// `Cache-Control` of an answer that there is no file.
pub(super) const fn brief() -> (HeaderName, HeaderValue) {
    (CACHE_CONTROL, BRIEFLY)
}

/// HTTP knows whole seconds only, and a playlist that may not be kept at all would come from here for every viewer.
fn in_seconds(max_age: Duration, is_private: bool) -> HeaderValue {
    let seconds = max_age.as_secs().max(1);
    let by_whom = if is_private { "private" } else { "public" };
    HeaderValue::try_from(format!("{by_whom}, max-age={seconds}")).unwrap_or(BRIEFLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_are_kept_for_whole_seconds_and_never_not_at_all() {
        for (milliseconds, expected) in [(0, 1), (500, 1), (1_999, 1), (2_500, 2), (5_000, 5)] {
            let max_age = Duration::from_millis(milliseconds);
            let (_, value) = cache_control(Freshness::Changing { max_age, target: max_age * 2 }, false);
            assert_eq!(value, format!("public, max-age={expected}"));
        }
    }
}
