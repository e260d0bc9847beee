//! AMF0 values, as commands and metadata carry them (Action Message Format 0 specification).
//!
//! Owns the value type, the bounded decoder and the encoder. The session machines call it for commands; metadata on its
//! way from publisher to player is never decoded. It never reads AMF3.

mod decoder;
mod encoder;
#[cfg(test)]
mod tests;

pub use decoder::{MAX_DEPTH, MAX_ITEMS, decode, decode_value};
pub use encoder::encode;

/// The type markers (AMF0 2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
}

/// One AMF0 value. Properties keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double (2.2).
    Number(f64),
    /// A boolean (2.3).
    Boolean(bool),
    /// A string, short or long (2.4, 2.14).
    String(String),
    /// An anonymous object (2.5).
    Object(Vec<(String, Self)>),
    /// Null (2.7).
    Null,
    /// Undefined (2.8).
    Undefined,
    /// A reference to an object sent before in the same message, by its index (2.9).
    Reference(u16),
    /// An associative array (2.10).
    EcmaArray(Vec<(String, Self)>),
    /// An array (2.12).
    StrictArray(Vec<Self>),
    /// A point in time (2.13); the zone is reserved and ignored.
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        milliseconds: f64,
    },
    /// What the sender could not express (2.15).
    Unsupported,
    /// An XML document as text (2.17).
    Xml(String),
    /// An object of a named class (2.18).
    TypedObject {
        /// The class.
        class: String,
        /// Its properties.
        properties: Vec<(String, Self)>,
    },
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The elements of a strict array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(values) => Some(values),
            _ => None,
        }
    }

    /// The first property called `name` of any kind of object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let properties = match self {
            Self::Object(properties) | Self::EcmaArray(properties) | Self::TypedObject { properties, .. } => properties,
            _ => return None,
        };
        properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Why bytes are no AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The input ends inside a value.
    #[error("the AMF0 value is cut off")]
    Truncated,
    /// A marker that stands for no value that can be read, AMF3 (17) included.
    #[error("AMF0 marker {0} is not supported")]
    Marker(u8),
    /// A string is not UTF-8.
    #[error("an AMF0 string is not UTF-8")]
    Encoding,
    /// Objects nest deeper than [`MAX_DEPTH`].
    #[error("AMF0 values nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More values than [`MAX_ITEMS`].
    #[error("more than {MAX_ITEMS} AMF0 values")]
    TooManyItems,
}
