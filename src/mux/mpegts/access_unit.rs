//! H.264 pictures as transport streams have them: start codes, a delimiter first, parameter sets before keyframes.

use bytes::BytesMut;

use crate::mux::frame::{Frame, FrameError};
use crate::mux::nal::{self, Broken, ParameterSets, avc_type};
use crate::mux::tracks::VideoTrack;

/// An access unit delimiter that promises nothing of the slices behind it (ITU-T H.264, 7.3.2.4).
const DELIMITER: &[u8] = &[avc_type::ACCESS_UNIT_DELIMITER, 0xf0];

/// Appends a frame of length-prefixed NAL units.
pub(super) fn put(frame: &Frame, track: &VideoTrack, out: &mut BytesMut) -> Result<(), FrameError> {
    nal::put_behind_start_code(DELIMITER, out);
    let length_bytes = track.nal_length_bytes();
    if frame.is_keyframe
        && !brings_parameter_sets(frame, length_bytes)
        && let Some(sets) = ParameterSets::read(&track.configuration)
    {
        sets.sequence.iter().chain(&sets.picture).for_each(|set| nal::put_behind_start_code(set, out));
    }
    for unit in nal::units(&frame.data, length_bytes) {
        let unit = unit.map_err(|Broken| FrameError::Unit)?;
        if avc_type::of(unit) != avc_type::ACCESS_UNIT_DELIMITER {
            nal::put_behind_start_code(unit, out);
        }
    }
    Ok(())
}

/// Whether a frame has parameter sets of its own; they are newer than the record's.
fn brings_parameter_sets(frame: &Frame, length_bytes: usize) -> bool {
    nal::units(&frame.data, length_bytes)
        .any(|unit| unit.is_ok_and(|unit| avc_type::of(unit) == avc_type::SEQUENCE_PARAMETER_SET))
}
