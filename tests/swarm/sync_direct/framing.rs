//! What is said on the stream, byte by byte.

use bytes::{BufMut, BytesMut};
use midstreamer::protocol::direct::{DirectError, message_head, put_preamble, take_message, take_preamble};
use midstreamer::protocol::messages::Code;
use proptest::prelude::*;

const LONGEST: usize = 256 << 10;

fn preamble(database: &str) -> BytesMut {
    let mut out = BytesMut::new();
    put_preamble(database, &mut out).unwrap();
    out
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    assert_eq!(preamble("memory")[..], *b"MQSL\x01\x00\x06\x00memory");
    assert_eq!(message_head(0x0001_0203).unwrap()[..], [3, 2, 1, 0]);
    assert_eq!(message_head(LONGEST).unwrap()[..], [0, 0, 4, 0]);
    for length in [0, LONGEST + 1] {
        assert_eq!(message_head(length), Err(DirectError::Length { length }));
    }
    for name in ["", &"x".repeat(129), "a\0"] {
        assert!(matches!(put_preamble(name, &mut BytesMut::new()), Err(DirectError::Name { .. })));
    }
}

#[test]
fn what_is_no_preamble_is_refused_as_soon_as_that_is_seen() {
    for (bytes, error) in [
        (&b"G"[..], DirectError::Magic),
        (b"MQSX", DirectError::Magic),
        (b"MQSL\x02\x00\x01\x00", DirectError::Version { found: 2 }),
        (
            b"MQSL\x01\x00\x00\x00",
            DirectError::Name { what: "database has 0 bytes, not 1 to 128".to_owned() },
        ),
        (
            b"MQSL\x01\x00\x81\x00",
            DirectError::Name { what: "database has 129 bytes, not 1 to 128".to_owned() },
        ),
        (b"MQSL\x01\x00\x01\x00\xff", DirectError::Name { what: "database is not UTF-8".to_owned() }),
        (
            b"MQSL\x01\x00\x01\x00\n",
            DirectError::Name { what: "database \"\\n\" has a control character".to_owned() },
        ),
    ] {
        assert_eq!(take_preamble(&mut BytesMut::from(bytes)), Err(error.clone()));
        assert_eq!(error.code(), Code::Protocol);
    }
}

#[test]
fn a_length_reserves_no_more_than_has_arrived() {
    let mut buffer = message_head(LONGEST).unwrap();
    buffer.put_u8(1);
    assert_eq!(take_message(&mut buffer), Ok(None));
    assert!(buffer.capacity() <= 64, "{}", buffer.capacity());
    for length in [0, LONGEST + 1, u32::MAX as usize] {
        let mut buffer = BytesMut::from(&(length as u32).to_le_bytes()[..]);
        assert_eq!(take_message(&mut buffer), Err(DirectError::Length { length }));
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_it_comes_back(
        name in "[a-z\u{e4}]{1,64}",
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        piece in 1_usize..70,
    ) {
        let mut stream = preamble(&name);
        for message in &messages {
            stream.put_slice(&message_head(message.len()).unwrap());
            stream.put_slice(message);
        }
        let (mut buffer, mut database, mut got) = (BytesMut::new(), None, Vec::new());
        for piece in stream.chunks(piece) {
            buffer.put_slice(piece);
            if database.is_none() {
                database = take_preamble(&mut buffer).unwrap();
            }
            while database.is_some() && let Some(message) = take_message(&mut buffer).unwrap() {
                got.push(message.to_vec());
            }
        }
        prop_assert_eq!(database.as_deref(), Some(name.as_str()));
        prop_assert_eq!(got, messages);
        prop_assert!(buffer.is_empty());
    }
}
