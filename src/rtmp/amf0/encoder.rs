//! Writes AMF0.
//!
//! Owns the way from [`Value`]s to bytes. Called for our own commands; it never sees a peer's nesting, because the
//! decoder has bounded that before.

use super::{Value, marker};

/// Encodes `values` one after the other, as the body of a command or data message.
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut output = Vec::new();
    for value in values {
        write_value(&mut output, value);
    }
    output
}

fn write_value(output: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            output.push(marker::NUMBER);
            output.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(boolean) => output.extend_from_slice(&[marker::BOOLEAN, u8::from(*boolean)]),
        Value::String(text) => match u16::try_from(text.len()) {
            Ok(length) => {
                output.push(marker::STRING);
                write_short_string(output, length, text);
            }
            Err(_) => write_long_string(output, marker::LONG_STRING, text),
        },
        Value::Object(properties) => {
            output.push(marker::OBJECT);
            write_properties(output, properties);
        }
        Value::Null => output.push(marker::NULL),
        Value::Undefined => output.push(marker::UNDEFINED),
        Value::Reference(index) => {
            output.push(marker::REFERENCE);
            output.extend_from_slice(&index.to_be_bytes());
        }
        Value::EcmaArray(properties) => {
            output.push(marker::ECMA_ARRAY);
            write_count(output, properties.len());
            write_properties(output, properties);
        }
        Value::StrictArray(values) => {
            output.push(marker::STRICT_ARRAY);
            write_count(output, values.len());
            for value in values {
                write_value(output, value);
            }
        }
        Value::Date { milliseconds } => {
            output.push(marker::DATE);
            output.extend_from_slice(&milliseconds.to_be_bytes());
            output.extend_from_slice(&[0, 0]);
        }
        Value::Unsupported => output.push(marker::UNSUPPORTED),
        Value::Xml(text) => write_long_string(output, marker::XML, text),
        Value::TypedObject { class, properties } => {
            // A class name that does not fit its 16 bit length is left out: the object stays readable.
            let length = u16::try_from(class.len());
            output.push(if length.is_ok() { marker::TYPED_OBJECT } else { marker::OBJECT });
            if let Ok(length) = length {
                write_short_string(output, length, class);
            }
            write_properties(output, properties);
        }
    }
}

/// Properties whose name does not fit its 16 bit length cannot be expressed and are left out.
fn write_properties(output: &mut Vec<u8>, properties: &[(String, Value)]) {
    for (name, value) in properties {
        if let Ok(length) = u16::try_from(name.len()) {
            write_short_string(output, length, name);
            write_value(output, value);
        }
    }
    output.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn write_short_string(output: &mut Vec<u8>, length: u16, text: &str) {
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(text.as_bytes());
}

fn write_long_string(output: &mut Vec<u8>, marker: u8, text: &str) {
    output.push(marker);
    write_count(output, text.len());
    output.extend_from_slice(text.as_bytes());
}

/// No value of ours comes near 4 Gi entries.
fn write_count(output: &mut Vec<u8>, count: usize) {
    output.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}
