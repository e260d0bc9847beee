//! Boxes: a size, a name, content (ISO/IEC 14496-12, 4.2).

use bytes::{BufMut, BytesMut};

/// Appends a box around what `content` appends.
pub(super) fn put_box(name: &[u8; 4], out: &mut BytesMut, content: impl FnOnce(&mut BytesMut)) {
    let begin = out.len();
    out.put_u32(0);
    out.put_slice(name);
    content(out);
    let size = (out.len() - begin) as u32;
    out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with a version and 24 flags.
pub(super) fn put_full_box(
    name: &[u8; 4],
    version: u8,
    flags: u32,
    out: &mut BytesMut,
    content: impl FnOnce(&mut BytesMut),
) {
    put_box(name, out, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        content(out);
    });
}

/// Appends an MPEG-4 descriptor: a tag, a size in four bytes, content (ISO/IEC 14496-1, 8.3.3).
pub(super) fn put_descriptor(tag: u8, out: &mut BytesMut, content: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let begin = out.len();
    out.put_u32(0);
    content(out);
    let size = (out.len() - begin - 4) as u32;
    let groups = [21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8);
    out[begin..begin + 4].copy_from_slice(&[groups[0] | 0x80, groups[1] | 0x80, groups[2] | 0x80, groups[3]]);
}
