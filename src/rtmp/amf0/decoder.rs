//! Reads AMF0 under bounds.
//!
//! Owns the way from bytes to [`Value`]s. Called for every command a peer sends, before any authentication: nesting and
//! the number of values are capped, and no count that the input announces is ever allocated for.

use super::{AmfError, Value, marker};

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 16;

/// How many values one message may hold, nested ones included.
pub const MAX_ITEMS: usize = 1024;

/// Decodes all values of a message.
pub fn decode(input: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut decoder = Decoder { input, items: 0 };
    let mut values = Vec::new();
    while !decoder.input.is_empty() {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

/// Decodes the first value, and says how many bytes it took.
pub fn decode_value(input: &[u8]) -> Result<(Value, usize), AmfError> {
    let mut decoder = Decoder { input, items: 0 };
    let value = decoder.value(0)?;
    Ok((value, input.len() - decoder.input.len()))
}

struct Decoder<'a> {
    input: &'a [u8],
    items: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(AmfError::TooManyItems);
        }
        let [marker] = self.array()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            marker::STRING => Value::String(self.short_string()?),
            marker::OBJECT => Value::Object(self.properties(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => Value::Reference(u16::from_be_bytes(self.array()?)),
            marker::ECMA_ARRAY => {
                // The count is a hint that many encoders get wrong; the end marker decides.
                self.array::<4>()?;
                Value::EcmaArray(self.properties(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.elements(depth)?),
            marker::DATE => {
                let milliseconds = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Value::Date { milliseconds }
            }
            marker::LONG_STRING => Value::String(self.long_string()?),
            marker::UNSUPPORTED => Value::Unsupported,
            marker::XML => Value::Xml(self.long_string()?),
            marker::TYPED_OBJECT => {
                let class = self.short_string()?;
                Value::TypedObject { class, properties: self.properties(depth)? }
            }
            unknown => return Err(AmfError::Marker(unknown)),
        })
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let depth = nested(depth)?;
        let mut properties = Vec::new();
        loop {
            let name = self.short_string()?;
            if name.is_empty() && self.input.first() == Some(&marker::OBJECT_END) {
                self.array::<1>()?;
                return Ok(properties);
            }
            properties.push((name, self.value(depth)?));
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, AmfError> {
        let depth = nested(depth)?;
        let count = u32::from_be_bytes(self.array()?);
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth)?);
        }
        Ok(elements)
    }

    fn short_string(&mut self) -> Result<String, AmfError> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn long_string(&mut self) -> Result<String, AmfError> {
        let length = u32::from_be_bytes(self.array()?);
        self.text(usize::try_from(length).map_err(|_| AmfError::Truncated)?)
    }

    fn text(&mut self, length: usize) -> Result<String, AmfError> {
        let (text, rest) = self.input.split_at_checked(length).ok_or(AmfError::Truncated)?;
        self.input = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| AmfError::Encoding)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], AmfError> {
        let (array, rest) = self.input.split_first_chunk().ok_or(AmfError::Truncated)?;
        self.input = rest;
        Ok(*array)
    }
}

fn nested(depth: usize) -> Result<usize, AmfError> {
    if depth >= MAX_DEPTH { Err(AmfError::TooDeep) } else { Ok(depth + 1) }
}
