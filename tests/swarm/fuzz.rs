//! Every decoder of the protocol under fire: valid bytes, spoilt by a seeded generator. Whatever comes, a decoder gives a
//! value that holds to its limits, or an error; it neither panics nor reserves what has not arrived.
//!
//! `SWARM_FUZZ_ROUNDS` sets the rounds for each decoder, `SWARM_FUZZ_SEED` the seed, which a failure names.

use crate::corpus::targets::{self, read_message};
use crate::value::corpus;
use bytes::{Bytes, BytesMut};
use midstreamer::protocol::direct::{message_head, put_preamble};
use midstreamer::protocol::enrolment::{self, EnrolmentError};
use midstreamer::protocol::frame::{
    Decoder, HANDSHAKE_FRAME_BYTES, LANE_FRAME_BYTES, encode, encode_message,
};
use midstreamer::protocol::messages::*;
use midstreamer::protocol::session::{
    Dialing, Listening, MAX_HELD, MAX_NAME_BYTES, MAX_NAMES, MAX_SLOTS, Registration, VERSIONS,
};
use midstreamer::protocol::value::{MAX_DEPTH, Node, Value};
use prost::Message;
use std::collections::BTreeMap;

/// Some seconds for all of them, unoptimised.
const ROUNDS: u64 = 20_000;

/// Runs `round` with a generator of its own as often as is asked for. Returns whether that was as often as usual.
pub(crate) fn fuzz(mut round: impl FnMut(&mut fastrand::Rng)) -> bool {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
    };
    let first = number("SWARM_FUZZ_SEED", 1);
    let rounds = number("SWARM_FUZZ_ROUNDS", ROUNDS);
    for seed in first..first.saturating_add(rounds) {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            round(&mut fastrand::Rng::with_seed(seed))
        }));
        assert!(failed.is_ok(), "SWARM_FUZZ_SEED={seed} SWARM_FUZZ_ROUNDS=1 shows the failure above");
    }
    rounds >= ROUNDS
}

/// Up to four changes of the kinds that parsers trip over.
pub(crate) fn spoil(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=bytes.len());
        match random.u8(..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, std::iter::repeat_with(|| random.u8(..)).take(at % 9))),
            2 => drop(bytes.drain(at..(at + at % 9).min(bytes.len()))),
            3 => bytes.extend_from_within(at..),
            // Lengths and counts: all the bits, one too many, none.
            4 | 5 if bytes.len() >= at + 4 => {
                let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                let new = [u32::MAX, 1 << 31, old.wrapping_add(1), old.wrapping_sub(1), 0, 8];
                bytes[at..at + 4].copy_from_slice(&new[random.usize(..new.len())].to_le_bytes());
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            _ => {}
        }
    }
}

fn framed(kind: FrameKind, message: &impl Message, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_message(kind, 1, message, payload, &mut out).unwrap();
    out.to_vec()
}

fn registration() -> Registration {
    Registration {
        instance: [3; 16],
        agent_type: "worker".into(),
        capabilities: vec!["simd".into(), "gpu".into()],
        kinds: vec!["dtw".into()],
        slots: 4,
        metadata: BTreeMap::from([("zone".into(), "eu".into())]),
        software: "midstreamer".into(),
    }
}

/// Hello and Resume frames, and the agent that waits for their answer.
fn dial() -> (Dialing, Vec<u8>) {
    let held: Vec<Held> =
        (0..2_100).map(|task| Held { task, epoch: 1, attempt: 1, finished: task % 2 == 0 }).collect();
    let mut out = BytesMut::new();
    let dialing = Dialing::new(VERSIONS[0], &registration(), &held, Some([9; 16]), 0, &mut out).unwrap();
    (dialing, out.to_vec())
}

fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        coordinator: "desk".into(),
        generation: 2,
        store: Bytes::from_static(&[9; 16]),
        epoch: 4,
        agent_timeout_ms: 10_000,
        max_message_bytes: 1 << 26,
        features: 0,
        heartbeat_ms: 3_333,
    };
    framed(FrameKind::Welcome, &welcome, &[])
}

/// A frame of every kind.
fn frames() -> Vec<Vec<u8>> {
    let (task, epoch, attempt) = (300, 2, 1);
    let topic = || "signals".to_owned();
    let message = || "why".to_owned();
    let hello =
        Hello { protocol: 1, agent_type: "worker".into(), kinds: vec!["a".into()], ..Hello::default() };
    let resume = Resume { resume: vec![Held { task, epoch, attempt, finished: true }; 3], more: true };
    let heartbeat =
        Heartbeat { seq: 9, running: 1, load: 0.5, memory_bytes: 1 << 30, completed: 7, failed: 1 };
    let assign = Assign {
        task,
        epoch,
        attempt,
        kind: "dtw".into(),
        key: Some("k".into()),
        deadline_ms: Some(1_000),
        attempt_timeout_ms: Some(500),
        progress_timeout_ms: Some(100),
        used_attempts: 2,
    };
    let code = Some("E1".to_owned());
    let error =
        TaskError { task, epoch, attempt, reason: 1, message: message(), code, retryable: true, run_ms: 5 };
    let renewed = Renewed { certificate: "pem".into(), ca: "pem".into(), code: 5, message: message() };
    let publish = Publish { topic: topic(), from: "a".into(), content: 2, message_id: 3 };
    vec![
        framed(FrameKind::Hello, &hello, &[]),
        framed(FrameKind::Resume, &resume, &[]),
        welcome(),
        framed(FrameKind::Refuse, &Refuse { code: 5, message: message() }, &[]),
        framed(FrameKind::Heartbeat, &heartbeat, &[]),
        framed(FrameKind::HeartbeatAck, &HeartbeatAck { seq: 9 }, &[]),
        framed(FrameKind::Offer, &Offer { kinds: vec!["a".into(), "b".into()], slots: 3 }, &[]),
        framed(FrameKind::Cancel, &Cancel { task, epoch, attempt, reason: 2 }, &[]),
        framed(FrameKind::ResultAck, &ResultAck { task, epoch, attempt }, &[]),
        framed(FrameKind::Progress, &Progress { task, epoch, attempt, fraction: 0.5 }, &[]),
        framed(FrameKind::Subscribe, &Subscribe { topic: topic() }, &[]),
        framed(FrameKind::SubscribeAck, &SubscribeAck { topic: topic(), code: 3, message: message() }, &[]),
        framed(FrameKind::Unsubscribe, &Unsubscribe { topic: topic() }, &[]),
        framed(FrameKind::Goodbye, &Goodbye { code: 7, message: message() }, &[]),
        framed(FrameKind::GoodbyeAck, &GoodbyeAck {}, &[]),
        framed(FrameKind::Renew, &Renew { csr: vec![0x30; 200].into() }, &[]),
        framed(FrameKind::Renewed, &renewed, &[]),
        framed(FrameKind::RenewalKept, &RenewalKept { serial: "4f00".into() }, &[]),
        framed(FrameKind::LaneOpen, &LaneOpen { lane: 1 }, &[]),
        framed(FrameKind::Assign, &assign, &[1; 40]),
        framed(FrameKind::Complete, &Complete { task, epoch, attempt, run_ms: 12 }, &[2; 40]),
        framed(FrameKind::TaskError, &error, &[]),
        framed(FrameKind::Publish, &publish, &[3; 40]),
        framed(FrameKind::PublishAck, &PublishAck { reached: 4, code: 0, message: message() }, &[]),
        framed(FrameKind::Adapt, &Adapt { command: "slower".into() }, &[4; 8]),
        framed(FrameKind::SyncOpen, &SyncOpen { link: 7, database: "memory".into() }, &[]),
        framed(FrameKind::SyncOpened, &SyncOpened { link: 7 }, &[]),
        framed(FrameKind::SyncClosed, &SyncClosed { link: 7, code: 3, message: message() }, &[]),
        framed(FrameKind::SyncMessage, &SyncMessage { link: 7 }, &[5; 40]),
        framed(FrameKind::Enrol, &enrol(), &[]),
        framed(FrameKind::Enrolled, &Enrolled { certificate: "-----BEGIN".into(), ca: "ca".into() }, &[]),
    ]
}

fn enrol() -> Enrol {
    Enrol {
        token: vec![1; 8].into(),
        secret: vec![2; 16].into(),
        agent_id: "agent-7".into(),
        certificate_request: vec![0x30; 200].into(),
    }
}

#[test]
fn the_corpus_is_valid_and_whole() {
    let kinds: Vec<FrameKind> = (frames().into_iter())
        .map(|bytes| {
            let frame = Decoder::default().decode_alone(bytes.into()).unwrap().unwrap();
            read_message(&frame);
            frame.kind
        })
        .collect();
    assert_eq!(kinds, FrameKind::ALL);
}

#[test]
fn spoilt_questions_and_answers_of_enrolment() {
    let mut corpus = frames();
    corpus.retain(|frame| [0x04, 0xc0, 0xc1].contains(&frame[4]));
    assert_eq!(corpus.len(), 3);
    let mut good = 0;
    let whole = fuzz(|random| {
        let mut stream = corpus[random.usize(..corpus.len())].clone();
        spoil(&mut stream, random);
        if let Ok(question) = enrolment::question(stream.clone().into()) {
            assert!(
                question.token.len() == 8 && question.secret.len() == 16 && question.agent_id.len() <= 128
            );
            good += 1;
        }
        if let Err(EnrolmentError::Refused { message, .. }) = enrolment::answer(stream.into()) {
            assert!(message.chars().count() <= 300 && !message.contains(char::is_control));
        }
    });
    assert!(!whole || good > 100, "{good} of them were questions still");
}

#[test]
fn spoilt_direct_links() {
    let mut good = BytesMut::new();
    put_preamble("memory", &mut good).unwrap();
    for length in [1, 30, 300] {
        good.extend_from_slice(&message_head(length).unwrap());
        good.extend_from_slice(&vec![7; length]);
    }
    let target = targets::find("directs").unwrap();
    fuzz(|random| {
        let mut stream = good.to_vec();
        spoil(&mut stream, random);
        stream.insert(0, random.u8(..));
        target(&stream);
    });
}

#[test]
fn spoilt_streams_of_frames() {
    let corpus = frames();
    fuzz(|random| {
        let mut stream: Vec<u8> =
            (0..random.usize(1..4)).flat_map(|_| corpus[random.usize(..corpus.len())].clone()).collect();
        spoil(&mut stream, random);
        let decoder = Decoder::new(if random.bool() { LANE_FRAME_BYTES } else { usize::MAX });
        let (mut buffer, mut arrived) = (BytesMut::new(), 0);
        'stream: for piece in stream.chunks(random.usize(1..200)) {
            buffer.extend_from_slice(piece);
            arrived += piece.len();
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        read_message(&frame);
                        let mut again = BytesMut::new();
                        encode(&frame, &mut again).unwrap();
                        assert_eq!(decoder.decode(&mut again), Ok(Some(frame)));
                    }
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
            assert!(buffer.capacity() <= 4 * arrived + 128, "{} for {arrived}", buffer.capacity());
        }
        if let Ok(Some(frame)) = decoder.decode_alone(stream.into()) {
            read_message(&frame);
        }
    });
}

#[test]
fn spoilt_handshakes() {
    let (_, hello) = dial();
    let small = {
        let mut out = BytesMut::new();
        Dialing::new(VERSIONS[0], &registration(), &[], None, 0, &mut out).unwrap();
        out.to_vec()
    };
    let mut greeted = 0;
    let many = fuzz(|random| {
        // The long one seldom: most of it is alike.
        let mut bytes = if random.u8(..50) == 0 { hello.clone() } else { small.clone() };
        spoil(&mut bytes, random);
        let (mut buffer, mut listening) = (BytesMut::from(&bytes[..]), Listening::new(VERSIONS[0], 0, 1));
        while let Ok(Some(frame)) = Decoder::new(HANDSHAKE_FRAME_BYTES).decode(&mut buffer) {
            let Ok(greeting) = listening.receive(&frame) else { break };
            let Some(greeting) = greeting else { continue };
            greeted += 1;
            let names = greeting.kinds.iter().chain(&greeting.capabilities);
            assert!(names.clone().count() <= 2 * MAX_NAMES);
            assert!(names.clone().all(|name| (1..=MAX_NAME_BYTES).contains(&name.len())));
            assert!(greeting.slots <= MAX_SLOTS && greeting.held.len() <= MAX_HELD);
            break;
        }
        let mut answer = welcome();
        spoil(&mut answer, random);
        if let Ok(Some(frame)) = Decoder::default().decode_alone(answer.into()) {
            let mut out = BytesMut::new();
            let mut dialing = Dialing::new(VERSIONS[0], &registration(), &[], None, 0, &mut out).unwrap();
            if let Ok(Some(accepted)) = dialing.receive(&frame) {
                assert!((1..accepted.lease.agent_timeout_ms()).contains(&accepted.heartbeat_ms));
            }
        }
    });
    assert!(greeted > 0 || !many, "some changes do no harm");
}

/// Looks at everything, and says how deep it goes.
fn depth_of(node: Node<'_>) -> usize {
    match node {
        Node::List(list) => 1 + list.iter().map(depth_of).max().unwrap_or(0),
        Node::Object(object) => 1 + object.iter().map(|(_, node)| depth_of(node)).max().unwrap_or(0),
        Node::Array(array) => array.to_f64().map_or(0, |values| (values.len() != array.len()).into()),
        _ => 0,
    }
}

#[test]
fn spoilt_values() {
    let corpus = corpus();
    let mut decoded = 0;
    let many = fuzz(|random| {
        let mut bytes = corpus[random.usize(..corpus.len())].to_vec();
        spoil(&mut bytes, random);
        if let Ok(value) = Value::decode(&bytes.into()) {
            decoded += 1;
            assert!(value.root().map_or(0, depth_of) <= MAX_DEPTH);
        }
    });
    assert!(decoded > 0 || !many, "some changes do no harm");
}
