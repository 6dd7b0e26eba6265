//! Frames: every way to cut them, every way to spoil them.

use bytes::{BufMut, Bytes, BytesMut};
use midstreamer::protocol::frame::{
    Decoder, Frame, FrameError, HANDSHAKE_FRAME_BYTES, MAX_HEADER_BYTES, encode, encode_head, encode_message,
    max_frame_bytes,
};
use midstreamer::protocol::messages::{
    Assign, Complete, FrameKind, GoodbyeAck, Heartbeat, Publish, ResultAck,
};
use proptest::prelude::*;

/// The limit of the tests, which is not that of the handshake.
const LIMIT: usize = 1 << 20;

fn frame(kind: FrameKind, request: u64, header: &[u8], payload: &[u8]) -> Frame {
    let (header, payload) = (Bytes::copy_from_slice(header), Bytes::copy_from_slice(payload));
    Frame { kind, skippable: false, request, header, payload }
}

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).unwrap();
    out
}

/// A frame by hand: fields as given, the length as it is.
fn raw(kind: u8, flags: u8, header_length: &[u8], rest: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32_le(u32::try_from(10 + header_length.len() + rest.len()).unwrap());
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u64_le(7);
    out.put_slice(header_length);
    out.put_slice(rest);
    out
}

fn all(decoder: Decoder, buffer: &mut BytesMut) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(buffer)? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let mut out = BytesMut::new();
    let ack = ResultAck { task: 300, epoch: 2, attempt: 1 };
    encode_message(FrameKind::ResultAck, 0x0102, &ack, b"xy", &mut out).unwrap();
    let expected = [
        20, 0, 0, 0, // length
        0x09, 0, // kind, flags
        2, 1, 0, 0, 0, 0, 0, 0, // request
        7, // header length
        0x08, 0xac, 0x02, 0x10, 2, 0x18, 1, // header
        b'x', b'y', // payload
    ];
    assert_eq!(out[..], expected);
    let frame = Decoder::default().decode(&mut out).unwrap().unwrap();
    assert_eq!((frame.kind, frame.request, &frame.payload[..]), (FrameKind::ResultAck, 0x0102, &b"xy"[..]));
    assert_eq!(frame.message::<ResultAck>().unwrap(), ack);
}

#[test]
fn a_stream_cut_at_every_byte_gives_the_same_frames() {
    let mut stream = BytesMut::new();
    let assign = Assign { task: 1, epoch: 2, attempt: 3, kind: "dtw".into(), ..Assign::default() };
    encode_message(FrameKind::Assign, 1, &assign, &[5; 200], &mut stream).unwrap();
    encode_message(FrameKind::GoodbyeAck, 0, &GoodbyeAck {}, &[], &mut stream).unwrap();
    stream.put_slice(&raw(0xee, 1, &[0], b"from the future"));
    encode_message(
        FrameKind::Complete,
        u64::MAX,
        &Complete { task: 1, ..Complete::default() },
        &[9],
        &mut stream,
    )
    .unwrap();
    let decoder = Decoder::default();
    let whole = all(decoder, &mut stream.clone()).unwrap();
    assert_eq!(whole.len(), 3);
    for cut in 0..=stream.len() {
        let mut buffer = BytesMut::from(&stream[..cut]);
        let mut frames = all(decoder, &mut buffer).unwrap();
        buffer.put_slice(&stream[cut..]);
        frames.extend(all(decoder, &mut buffer).unwrap());
        assert_eq!(frames, whole, "cut after {cut}");
        assert!(buffer.is_empty());
    }
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for &byte in &stream {
        buffer.put_u8(byte);
        frames.extend(decoder.decode(&mut buffer).unwrap());
    }
    assert_eq!(frames, whole);
}

#[test]
fn nothing_is_copied() {
    let mut buffer = encoded(&frame(FrameKind::Complete, 1, b"", &[1; 1000]));
    let memory = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    let frame = Decoder::default().decode(&mut buffer).unwrap().unwrap();
    assert!(memory.contains(&(frame.payload.as_ptr() as usize)));
}

#[test]
fn a_length_reserves_no_more_than_has_arrived() {
    let mut buffer = BytesMut::new();
    buffer.put_u32_le(u32::MAX - 1);
    buffer.put_u8(FrameKind::Complete.number());
    assert_eq!(Decoder::new(usize::MAX).decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() <= 64, "{}", buffer.capacity());
    let too_long = FrameError::TooLong { length: u32::MAX as usize - 1, limit: HANDSHAKE_FRAME_BYTES };
    assert_eq!(Decoder::default().decode(&mut buffer), Err(too_long));
}

#[test]
fn limits_are_exact() {
    let payload = vec![0; LIMIT];
    let largest = frame(FrameKind::Complete, 1, &vec![0; MAX_HEADER_BYTES], &payload);
    let limit = max_frame_bytes(LIMIT);
    assert_eq!(Decoder::new(limit).decode(&mut encoded(&largest)), Ok(Some(largest.clone())));
    let error = Decoder::new(limit - 1).decode(&mut encoded(&largest)).unwrap_err();
    assert_eq!(error, FrameError::TooLong { length: limit, limit: limit - 1 });

    let header = vec![0; MAX_HEADER_BYTES + 1];
    let error = encode(&frame(FrameKind::Complete, 1, &header, b""), &mut BytesMut::new()).unwrap_err();
    assert_eq!(error, FrameError::HeaderTooLong { length: MAX_HEADER_BYTES + 1 });
    let mut by_hand = raw(0x42, 0, &[0x81, 0x80, 0x04], &header);
    assert_eq!(Decoder::new(LIMIT).decode(&mut by_hand), Err(error));
}

#[test]
fn what_is_no_frame_is_refused() {
    let refuses = |mut bytes: BytesMut| Decoder::new(LIMIT).decode(&mut bytes).unwrap_err();
    for length in 0..=10u32 {
        let bytes = BytesMut::from(&length.to_le_bytes()[..]);
        assert_eq!(refuses(bytes), FrameError::TooShort { length: length as usize });
    }
    assert_eq!(refuses(raw(0xee, 0, &[0], b"")), FrameError::UnknownKind { kind: 0xee });
    assert_eq!(refuses(raw(0x00, 0, &[0], b"")), FrameError::UnknownKind { kind: 0 });
    assert_eq!(refuses(raw(0x42, 2, &[0], b"")), FrameError::Flags { flags: 2 });
    // The header: past the end, cut off, not in its shortest form, endless.
    for length in [&[1][..], &[0x80], &[0x80, 0x00], &[0x81, 0x00], &[0x80; 6], &[0xff; 5]] {
        assert_eq!(refuses(raw(0x42, 0, length, b"")), FrameError::HeaderLength, "{length:?}");
    }
    let spoilt = frame(FrameKind::Complete, 1, &[0x08], b"");
    assert!(matches!(
        spoilt.message::<Complete>(),
        Err(FrameError::Header { kind: FrameKind::Complete, .. })
    ));
}

#[test]
fn a_frame_may_have_a_stream_of_its_own() {
    let whole = encoded(&frame(FrameKind::Publish, 1, b"", &[7; 100])).freeze();
    let decoder = Decoder::default();
    assert_eq!(decoder.decode_alone(whole.clone()).unwrap().unwrap().payload, vec![7; 100]);
    for cut in 0..whole.len() {
        assert_eq!(decoder.decode_alone(whole.slice(..cut)), Err(FrameError::Truncated { bytes: cut }));
    }
    let two = [&whole[..], &whole[..]].concat();
    assert_eq!(decoder.decode_alone(two.into()), Err(FrameError::NotAlone { bytes: whole.len() }));
    assert_eq!(decoder.decode_alone(raw(0xee, 1, &[0], b"later").freeze()), Ok(None));
}

#[test]
fn a_head_and_a_payload_are_a_frame() {
    let frame = frame(FrameKind::Complete, 3, b"\x08\x01", &[1; 99]);
    let mut out = BytesMut::new();
    encode_head(&frame, &mut out).unwrap();
    assert_eq!([&out[..], &frame.payload[..]].concat(), encoded(&frame));
}

#[test]
fn fields_of_later_versions_are_passed_over() {
    let publish = Publish { topic: "signals".into(), message_id: 4, ..Publish::default() };
    let mut header = prost::Message::encode_to_vec(&publish);
    header.extend([0xfa, 0x07, 3, 1, 2, 3]); // field 127, three bytes
    assert_eq!(frame(FrameKind::Publish, 0, &header, b"").message::<Publish>().unwrap(), publish);
}

#[test]
fn numbers_are_unique_and_known() {
    for &kind in FrameKind::ALL {
        assert_eq!(FrameKind::from_number(kind.number()), Some(kind));
    }
    let known = (0..=u8::MAX).filter_map(FrameKind::from_number).count();
    assert_eq!(known, FrameKind::ALL.len());
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let bytes = |longest: usize| prop::collection::vec(any::<u8>(), 0..longest);
    (0..FrameKind::ALL.len(), any::<bool>(), any::<u64>(), bytes(300), bytes(300)).prop_map(
        |(kind, skippable, request, header, payload)| Frame {
            skippable,
            ..frame(FrameKind::ALL[kind], request, &header, &payload)
        },
    )
}

proptest! {
    #[test]
    fn frames_come_back(frames in prop::collection::vec(any_frame(), 0..8), pieces in prop::collection::vec(1usize..200, 1..50)) {
        let mut stream = BytesMut::new();
        for frame in &frames {
            encode(frame, &mut stream).unwrap();
        }
        let (mut buffer, mut found, mut pieces) = (BytesMut::new(), Vec::new(), pieces.iter().cycle());
        while !stream.is_empty() {
            let piece = *pieces.next().unwrap();
            buffer.put_slice(&stream.split_to(piece.min(stream.len())));
            found.extend(all(Decoder::default(), &mut buffer).unwrap());
        }
        prop_assert_eq!(found, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn heartbeats_come_back(seq: u64, running: u32, load: f32, memory_bytes: u64, completed: u64, failed: u64) {
        let heartbeat = Heartbeat { seq, running, load, memory_bytes, completed, failed };
        let mut out = BytesMut::new();
        encode_message(FrameKind::Heartbeat, 0, &heartbeat, &[], &mut out).unwrap();
        let frame = Decoder::default().decode(&mut out).unwrap().unwrap();
        prop_assert_eq!(frame.message::<Heartbeat>().unwrap(), heartbeat);
    }
}
