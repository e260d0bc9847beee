//! The form that mark and acknowledgement share: `name=value` fields joined by `;`, the first of a name counts.

/// The version of the form, in the field `v`.
pub(super) const VERSION: &str = "1";

/// The longest text that is taken, in bytes.
pub(super) const MAX_BYTES: usize = 2_048;

/// The fields of one text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    /// `None` if the text is too long, holds anything but visible ASCII, or is of no version that is known.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let fields = Self(text);
        let harmless = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        (harmless && fields.get("v") == Some(VERSION)).then_some(fields)
    }

    pub(super) fn get(self, name: &str) -> Option<&'a str> {
        let mut fields = self.0.split(';').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}
