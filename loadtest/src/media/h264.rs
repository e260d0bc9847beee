//! H.264 that any decoder takes: a grey picture that never changes, in as many bytes as are wanted.
//!
//! Owns parameter sets, slices, the SEI message that holds the stamp, and FLV's AVC packets. References are to ITU-T
//! H.264 unless another specification is named.

use super::bits::BitWriter;
use super::stamp;

/// The picture's size in macroblocks: 640 x 352.
const WIDTH: u32 = 40;
const HEIGHT: u32 = 22;
const BASELINE: u8 = 66;
const CONSTRAINTS: u8 = 0xC0;
const LEVEL: u8 = 31;

const NAL_SLICE: u8 = 0x41;
const NAL_IDR: u8 = 0x65;
const NAL_SEI: u8 = 0x06;
const NAL_SEQUENCE_PARAMETERS: u8 = 0x67;
const NAL_PICTURE_PARAMETERS: u8 = 0x68;
const NAL_FILLER: u8 = 0x0C;
const SEI_USER_DATA_UNREGISTERED: u8 = 5;

/// FLV's AVC packet header (FLV E.4.3): frame type and codec, packet type, composition time 0.
const KEYFRAME: [u8; 5] = [0x17, 1, 0, 0, 0];
const INTER_FRAME: [u8; 5] = [0x27, 1, 0, 0, 0];
const SEQUENCE_HEADER: [u8; 5] = [0x17, 0, 0, 0, 0];

const LENGTH_BYTES: usize = 4;
/// The NAL unit of an SEI message with a stamp: header, type, size, stamp, stop bit.
const SEI_BYTES: usize = 3 + stamp::BYTES + 1;
/// Where a stamp begins in the body that [`with_stamp_space`] makes.
pub(crate) const STAMP_AT: usize = KEYFRAME.len() + LENGTH_BYTES + 3;

/// The body of the sequence header: an AVC decoder configuration record (ISO 14496-15, 5.3.3.1).
pub(crate) fn sequence_header() -> Vec<u8> {
    let [sequence, picture] = [sequence_parameters(), picture_parameters()];
    let mut body = SEQUENCE_HEADER.to_vec();
    body.extend([1, BASELINE, CONSTRAINTS, LEVEL, 0xFF, 0xE1]);
    body.extend((sequence.len() as u16).to_be_bytes());
    body.extend(sequence);
    body.push(1);
    body.extend((picture.len() as u16).to_be_bytes());
    body.extend(picture);
    body
}

/// The body of frame `index` of its GOP, about `size` bytes long. Two GOPs that follow each other differ in `parity`.
pub(crate) fn frame(index: u32, parity: u32, size: usize) -> Vec<u8> {
    let (header, slice) = if index == 0 { (KEYFRAME, idr_slice(parity)) } else { (INTER_FRAME, skipped_slice(index)) };
    let mut body = header.to_vec();
    push_nal(&mut body, &slice);
    let body = with_stamp_space(&body);
    fill(body, size)
}

/// Puts an SEI message with room for a stamp in front of the first NAL unit of an AVC packet whose NAL units have lengths
/// of four bytes.
pub(crate) fn with_stamp_space(body: &[u8]) -> Vec<u8> {
    let (header, nals) = body.split_at(KEYFRAME.len().min(body.len()));
    let mut stamped = header.to_vec();
    let mut sei = vec![NAL_SEI, SEI_USER_DATA_UNREGISTERED, stamp::BYTES as u8];
    sei.extend(stamp::Stamp::default().to_bytes());
    sei.push(0x80);
    debug_assert_eq!(sei.len(), SEI_BYTES);
    push_nal(&mut stamped, &sei);
    stamped.extend_from_slice(nals);
    stamped
}

/// Makes a body larger by a NAL unit of filler data (7.3.2.7).
fn fill(mut body: Vec<u8>, size: usize) -> Vec<u8> {
    const LEAST: usize = LENGTH_BYTES + 2;
    if size >= body.len() + LEAST {
        let mut filler = vec![NAL_FILLER];
        filler.resize(size - body.len() - LENGTH_BYTES - 1, 0xFF);
        filler.push(0x80);
        push_nal(&mut body, &filler);
    }
    body
}

fn push_nal(body: &mut Vec<u8>, nal: &[u8]) {
    body.extend((nal.len() as u32).to_be_bytes());
    body.extend_from_slice(nal);
}

/// 7.3.2.1.1
fn sequence_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(0); // seq_parameter_set_id
    bits.put_ue(0); // log2_max_frame_num_minus4
    bits.put_ue(2); // pic_order_cnt_type: output order is decoding order
    bits.put_ue(1); // max_num_ref_frames
    bits.put(0, 1); // gaps_in_frame_num_value_allowed_flag
    bits.put_ue(WIDTH - 1);
    bits.put_ue(HEIGHT - 1);
    bits.put(1, 1); // frame_mbs_only_flag
    bits.put(1, 1); // direct_8x8_inference_flag
    bits.put(0, 1); // frame_cropping_flag
    bits.put(0, 1); // vui_parameters_present_flag
    [vec![NAL_SEQUENCE_PARAMETERS, BASELINE, CONSTRAINTS, LEVEL], escaped(&bits.into_rbsp())].concat()
}

/// 7.3.2.2
fn picture_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(0); // pic_parameter_set_id
    bits.put_ue(0); // seq_parameter_set_id
    bits.put(0, 2); // CAVLC, no field order
    bits.put_ue(0); // one slice group
    bits.put_ue(0); // one reference in list 0
    bits.put_ue(0); // and in list 1
    bits.put(0, 3); // no weighted prediction
    bits.put_ue(0); // pic_init_qp_minus26
    bits.put_ue(0); // pic_init_qs_minus26
    bits.put_ue(0); // chroma_qp_index_offset
    bits.put(0, 3); // no deblocking control, no constrained intra prediction, no redundant pictures
    [vec![NAL_PICTURE_PARAMETERS], escaped(&bits.into_rbsp())].concat()
}

/// An IDR picture of Intra 16x16 macroblocks, predicted from nothing and without residual (7.3.3, 7.3.5): all grey.
fn idr_slice(parity: u32) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(0); // first_mb_in_slice
    bits.put_ue(7); // slice_type: I
    bits.put_ue(0); // pic_parameter_set_id
    bits.put(0, 4); // frame_num
    bits.put_ue(parity & 1); // idr_pic_id
    bits.put(0, 2); // no_output_of_prior_pics_flag, long_term_reference_flag
    bits.put_ue(0); // slice_qp_delta
    for _ in 0..WIDTH * HEIGHT {
        bits.put_ue(3); // mb_type: I_16x16_2_0_0
        bits.put_ue(0); // intra_chroma_pred_mode: DC
        bits.put_ue(0); // mb_qp_delta
        bits.put(1, 1); // coeff_token: none
    }
    [vec![NAL_IDR], escaped(&bits.into_rbsp())].concat()
}

/// A P picture of skipped macroblocks only.
fn skipped_slice(index: u32) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(0); // first_mb_in_slice
    bits.put_ue(5); // slice_type: P
    bits.put_ue(0); // pic_parameter_set_id
    bits.put(index & 0xf, 4); // frame_num
    bits.put(0, 3); // no override, no reordering, no adaptive marking
    bits.put_ue(0); // slice_qp_delta
    bits.put_ue(WIDTH * HEIGHT); // mb_skip_run
    [vec![NAL_SLICE], escaped(&bits.into_rbsp())].concat()
}

/// Keeps start codes out of a NAL unit (7.4.1).
fn escaped(rbsp: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(rbsp.len());
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nals(body: &[u8]) -> Vec<u8> {
        let mut rest = &body[5..];
        let mut types = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (nal, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            types.push(nal[0] & 0x1f);
            rest = behind;
        }
        types
    }

    #[test]
    fn a_frame_is_stamp_slice_and_filler_of_the_wanted_size() {
        let keyframe = frame(0, 0, 20_000);
        assert_eq!((keyframe.len(), keyframe[0]), (20_000, 0x17));
        assert_eq!(nals(&keyframe), [6, 5, 12]);
        let other = frame(1, 0, 5_000);
        assert_eq!((other.len(), other[0]), (5_000, 0x27));
        assert_eq!(nals(&other), [6, 1, 12]);
    }

    #[test]
    fn a_stamp_stands_where_it_is_said_to() {
        let body = frame(3, 0, 0);
        assert!(body[STAMP_AT..].starts_with(b"RILLCAST"));
        assert_eq!(nals(&body), [6, 1]);
    }
}
