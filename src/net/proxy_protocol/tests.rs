use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn header(length: usize, client: &str) -> Result<Preamble, HeaderError> {
    Ok(Preamble::Header { length, client: Some(client.parse().unwrap()) })
}

/// A header of version 2 with any rest.
fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [BINARY_BEGINS, &[version_and_command, family], &length, rest].concat()
}

const IPV4_FIELDS: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x07, 0x8f];

#[test]
fn a_line_names_the_client() {
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1935\r\n";
    assert_eq!(parse(line), header(line.len(), "192.0.2.7:56324"));
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 1935\r\n\x03rest";
    assert_eq!(parse(line), header(line.len() - 5, "[2001:db8::7]:56324"));
}

#[test]
fn the_longest_line_of_the_specification_is_read() {
    let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = format!("PROXY UNKNOWN {address} {address} 65535 65535\r\n");
    assert_eq!(line.len(), MAX_TEXT_BYTES);
    assert_eq!(parse(line.as_bytes()), Ok(Preamble::Header { length: line.len(), client: None }));
}

#[test]
fn a_line_that_knows_no_client_leaves_the_proxy_as_it_is() {
    assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Preamble::Header { length: 15, client: None }));
}

#[test]
fn a_binary_header_names_the_client_and_what_follows_the_addresses_is_passed_over() {
    let plain = binary(0x21, 0x11, &IPV4_FIELDS);
    assert_eq!(parse(&plain), header(28, "192.0.2.7:56324"));
    let with_extension = binary(0x21, 0x11, &[&IPV4_FIELDS[..], &[0x04, 0, 1, 0]].concat());
    assert_eq!(parse(&with_extension), header(32, "192.0.2.7:56324"));
    let mut fields = [0; 36];
    fields[..2].copy_from_slice(&[0x20, 0x01]);
    fields[15] = 7;
    fields[32..34].copy_from_slice(&[0xdc, 0x04]);
    assert_eq!(parse(&binary(0x21, 0x21, &fields)), header(52, "[2001::7]:56324"));
}

#[test]
fn a_binary_header_of_the_proxys_own_connection_names_nobody() {
    let local = Ok(Preamble::Header { length: 28, client: None });
    assert_eq!(parse(&binary(0x20, 0x11, &IPV4_FIELDS)), local);
    assert_eq!(parse(&binary(0x20, 0x00, &[])), Ok(Preamble::Header { length: 16, client: None }));
    assert_eq!(parse(&binary(0x21, 0x31, &IPV4_FIELDS)), local);
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in [&b"\x03\0\0"[..], b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", b"PUT /", b"\x16\x03\x01", b"\r\nGET"]
    {
        assert_eq!(parse(bytes), Ok(Preamble::None), "{bytes:?}");
    }
}

#[test]
fn every_beginning_of_a_header_is_waited_for() {
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1935\r\n".to_vec();
    for whole in [line, binary(0x21, 0x11, &IPV4_FIELDS)] {
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(Preamble::Incomplete), "{length} of {whole:?}");
        }
    }
}

#[test]
fn a_line_that_does_not_end_or_names_no_addresses_is_refused() {
    let endless = [TEXT_BEGINS, &[b'x'; 200]].concat();
    assert_eq!(parse(&endless), Err(HeaderError::TooLong));
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 1935 \r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 56324 1935\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +6324 1935\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 66324 1935\r\n",
        "PROXY TCP4 192.0.2.7 ::1 56324 1935\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 56324 1935\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 56324 1935\r\n",
        "PROXY TCP4 example.org 198.51.100.1 56324 1935\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 56324 1935\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(HeaderError::Malformed), "{line:?}");
    }
}

#[test]
fn a_binary_header_that_is_too_long_too_short_or_of_another_version_is_refused() {
    assert_eq!(parse(&binary(0x21, 0x11, &[0; 521])), Err(HeaderError::TooLong));
    assert!(matches!(parse(&binary(0x21, 0x11, &[0; 520])), Ok(Preamble::Header { length: MAX_HEADER_BYTES, .. })));
    assert_eq!(parse(&binary(0x21, 0x11, &[0; 11])), Err(HeaderError::Malformed));
    assert_eq!(parse(&binary(0x21, 0x21, &[0; 35])), Err(HeaderError::Malformed));
    assert_eq!(parse(&binary(0x21, 0x41, &IPV4_FIELDS)), Err(HeaderError::Malformed));
    assert_eq!(parse(&binary(0x11, 0x11, &IPV4_FIELDS)), Err(HeaderError::Version));
    assert_eq!(parse(&binary(0x22, 0x11, &IPV4_FIELDS)), Err(HeaderError::Version));
}

proptest! {
    #[test]
    fn a_written_line_reads_back_the_same(source: u32, destination: u32, port: u16) {
        let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
        let line = format!("PROXY TCP4 {source} {destination} {port} 1935\r\n");
        let client = Some(SocketAddr::new(source.into(), port));
        prop_assert_eq!(parse(line.as_bytes()), Ok(Preamble::Header { length: line.len(), client }));
    }

    #[test]
    fn a_written_binary_header_reads_back_the_same(source: u128, port: u16, extensions in vec(any::<u8>(), 0..400)) {
        let source = Ipv6Addr::from(source);
        let fields = [&source.octets()[..], &[0; 16], &port.to_be_bytes(), &[0; 2], &extensions].concat();
        let whole = binary(0x21, 0x21, &fields);
        let client = Some(SocketAddr::new(source.into(), port));
        prop_assert_eq!(parse(&whole), Ok(Preamble::Header { length: whole.len(), client }));
    }

    #[test]
    fn no_bytes_panic_and_none_are_claimed_that_are_not_there(
        begins in prop_oneof![Just(TEXT_BEGINS), Just(BINARY_BEGINS), Just(&b""[..])],
        rest in vec(any::<u8>(), 0..700),
    ) {
        let bytes = [begins, &rest].concat();
        if let Ok(Preamble::Header { length, .. }) = parse(&bytes) {
            prop_assert!(length <= bytes.len().min(MAX_HEADER_BYTES));
        }
    }

    #[test]
    fn more_bytes_never_change_what_a_complete_header_was(tail in vec(any::<u8>(), 0..64)) {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1935\r\n";
        prop_assert_eq!(parse(&[&line[..], &tail].concat()), parse(line));
    }
}
