//! What `onMetaData` says of a stream before its media is there.

/// The tracks that a stream's metadata promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// There will be audio.
    pub audio: bool,
    /// There will be video.
    pub video: bool,
}

/// Reads the promise of an `onMetaData` body, or `None` if it says nothing of tracks.
///
/// Looks for the customary keys as bytes (a property is a 16-bit length, the name, a marker and the value, AMF0 2.5): the
/// body belongs to the players, and one that is odd elsewhere is still worth a hint.
pub fn promise(body: &[u8]) -> Option<Promise> {
    let audio = track(body, b"\x00\x08hasAudio", b"\x00\x0caudiocodecid");
    let video = track(body, b"\x00\x08hasVideo", b"\x00\x0cvideocodecid");
    if audio.is_none() && video.is_none() {
        return None;
    }
    Some(Promise { audio: audio.unwrap_or(false), video: video.unwrap_or(false) })
}

fn track(body: &[u8], flag: &[u8], codec: &[u8]) -> Option<bool> {
    match (value_behind(body, flag), value_behind(body, codec)) {
        // A boolean (marker 1).
        (Some([1, present, ..]), _) => Some(*present != 0),
        // A codec number or name (markers 0 and 2); null or undefined stand for none.
        (_, Some([marker, ..])) => Some(matches!(marker, 0 | 2)),
        _ => None,
    }
}

fn value_behind<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(key.len()).position(|window| window == key)?;
    body.get(at + key.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_ids_promise_their_tracks_and_their_absence_promises_none() {
        let body =
            b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x0cvideocodecid\x00\x40\x1c\0\0\0\0\0\0\x00\x00\x09";
        assert_eq!(promise(body), Some(Promise { audio: false, video: true }));
    }

    #[test]
    fn flags_win_over_codec_ids() {
        let body = b"\x00\x08hasAudio\x01\x00\x00\x0caudiocodecid\x00\x40\x24\0\0\0\0\0\0\x00\x08hasVideo\x01\x01";
        assert_eq!(promise(body), Some(Promise { audio: false, video: true }));
    }

    #[test]
    fn metadata_without_a_word_of_tracks_promises_nothing() {
        assert_eq!(promise(b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"), None);
        assert_eq!(promise(b"\x00\x08hasAudio"), None);
    }
}
