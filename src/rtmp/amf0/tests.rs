use proptest::prelude::*;

use super::*;

fn nested_objects(depth: usize) -> Vec<u8> {
    let mut bytes = b"\x03\x00\x01a".repeat(depth);
    bytes.push(marker::NULL);
    bytes.extend(b"\x00\x00\x09".repeat(depth));
    bytes
}

fn object(name: &str, value: Value) -> Value {
    Value::Object(vec![(name.to_owned(), value)])
}

#[test]
fn every_marker_of_the_specification_is_read() {
    let cases: [(&[u8], Value); 15] = [
        (b"\x00\x3f\xf0\x00\x00\x00\x00\x00\x00", Value::Number(1.0)),
        (b"\x01\x01", Value::Boolean(true)),
        (b"\x02\x00\x02ab", Value::string("ab")),
        (b"\x03\x00\x01a\x05\x00\x00\x09", object("a", Value::Null)),
        (b"\x05", Value::Null),
        (b"\x06", Value::Undefined),
        (b"\x07\x00\x03", Value::Reference(3)),
        (b"\x08\x00\x00\x00\x01\x00\x01a\x05\x00\x00\x09", Value::EcmaArray(vec![("a".to_owned(), Value::Null)])),
        (b"\x0a\x00\x00\x00\x02\x05\x06", Value::StrictArray(vec![Value::Null, Value::Undefined])),
        (b"\x0b\x3f\xf0\x00\x00\x00\x00\x00\x00\x00\x00", Value::Date { milliseconds: 1.0 }),
        (b"\x0c\x00\x00\x00\x02ab", Value::string("ab")),
        (b"\x0d", Value::Unsupported),
        (b"\x0f\x00\x00\x00\x02ab", Value::Xml("ab".to_owned())),
        (
            b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09",
            Value::TypedObject { class: "C".to_owned(), properties: vec![("a".to_owned(), Value::Null)] },
        ),
        (b"\x03\x00\x00\x05\x00\x00\x09", object("", Value::Null)),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode_value(bytes), Ok((value, bytes.len())));
    }
}

#[test]
fn markers_that_stand_for_no_value_are_errors() {
    for marker in [4, 9, 14, 17, 18, 255] {
        assert_eq!(decode(&[marker]), Err(AmfError::Marker(marker)));
    }
}

#[test]
fn a_value_that_is_cut_off_anywhere_is_an_error() {
    let value = Value::Object(vec![
        ("number".to_owned(), Value::Number(1.0)),
        ("list".to_owned(), Value::StrictArray(vec![Value::string("x"), Value::Date { milliseconds: 0.0 }])),
    ]);
    let bytes = encode(&[value]);
    for length in 1..bytes.len() {
        assert_eq!(decode(&bytes[..length]), Err(AmfError::Truncated), "cut at {length}");
    }
}

#[test]
fn objects_nest_up_to_sixteen_deep() {
    assert!(decode(&nested_objects(MAX_DEPTH)).is_ok());
    assert_eq!(decode(&nested_objects(MAX_DEPTH + 1)), Err(AmfError::TooDeep));
}

#[test]
fn twenty_thousand_nested_objects_are_an_error_and_no_stack_overflow() {
    assert_eq!(decode(&nested_objects(20_000)), Err(AmfError::TooDeep));
    assert_eq!(decode(&b"\x0a\x00\x00\x00\x01".repeat(20_000)), Err(AmfError::TooDeep));
}

#[test]
fn a_message_holds_at_most_1024_values() {
    assert_eq!(decode(&[marker::NULL; MAX_ITEMS]).map(|values| values.len()), Ok(MAX_ITEMS));
    assert_eq!(decode(&[marker::NULL; MAX_ITEMS + 1]), Err(AmfError::TooManyItems));
}

#[test]
fn nested_values_count_too() {
    let mut bytes = vec![marker::STRICT_ARRAY];
    bytes.extend_from_slice(&2000_u32.to_be_bytes());
    bytes.extend_from_slice(&[marker::NULL; 2000]);
    assert_eq!(decode(&bytes), Err(AmfError::TooManyItems));
}

#[test]
fn an_announced_count_of_four_billion_elements_costs_nothing() {
    assert_eq!(decode(b"\x0a\xff\xff\xff\xff\x05"), Err(AmfError::Truncated));
    assert_eq!(decode(b"\x0c\xff\xff\xff\xffab"), Err(AmfError::Truncated));
}

#[test]
fn a_string_that_is_not_utf_8_is_an_error() {
    assert_eq!(decode(b"\x02\x00\x01\xff"), Err(AmfError::Encoding));
}

#[test]
fn a_string_beyond_64_kib_is_written_in_the_long_form() {
    let value = Value::String("x".repeat(70_000));
    let bytes = encode(std::slice::from_ref(&value));
    assert_eq!(bytes[..5], [marker::LONG_STRING, 0, 1, 0x11, 0x70]);
    assert_eq!(decode(&bytes), Ok(vec![value]));
}

#[test]
fn a_property_whose_name_cannot_be_expressed_is_left_out() {
    let value = Value::Object(vec![("n".repeat(70_000), Value::Null), ("kept".to_owned(), Value::Null)]);
    assert_eq!(decode(&encode(&[value])), Ok(vec![object("kept", Value::Null)]));
}

#[test]
fn properties_are_found_in_every_kind_of_object() {
    let properties = vec![("a".to_owned(), Value::Number(1.0))];
    let typed = Value::TypedObject { class: "C".to_owned(), properties: properties.clone() };
    for value in [Value::Object(properties.clone()), Value::EcmaArray(properties), typed] {
        assert_eq!(value.get("a").and_then(Value::as_number), Some(1.0));
        assert_eq!(value.get("b"), None);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| Value::Number(f64::from(number) / 7.0)),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,12}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        any::<u16>().prop_map(Value::Reference),
        any::<i32>().prop_map(|number| Value::Date { milliseconds: f64::from(number) }),
        Just(Value::Unsupported),
        ".{0,12}".prop_map(Value::Xml),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let properties = proptest::collection::vec((".{0,6}", inner.clone()), 0..6);
        prop_oneof![
            properties.clone().prop_map(Value::Object),
            properties.clone().prop_map(Value::EcmaArray),
            proptest::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            (".{0,6}", properties).prop_map(|(class, properties)| Value::TypedObject { class, properties }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(values in proptest::collection::vec(any_value(), 0..5)) {
        prop_assert_eq!(decode(&encode(&values)), Ok(values));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn arbitrary_structure_never_panics(bytes in proptest::collection::vec(0_u8..18, 0..300)) {
        let _ = decode(&bytes);
    }
}
