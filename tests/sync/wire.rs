//! The codec: what is encoded is decoded as the same, and bytes that were changed or cut are refused.

use midstreamer::sync::clock::Hlc;
use midstreamer::sync::component::{Component, Slot, Stamp};
use midstreamer::sync::identity::{Gid, Incarnation, Origin, TableId};
use midstreamer::sync::seal::{SealTag, Sealing};
use midstreamer::sync::store::{Delta, Known, Life, OriginState};
use midstreamer::sync::wire::{
    Ack, Assembler, Bucket, Code, Have, Hello, MAX_VERSION, Message, PACKET_BYTES, Reply, Resting, WireError,
    pack,
};

const LIMIT: usize = 4 << 20;

fn gid(dice: &mut fastrand::Rng) -> Gid {
    Gid(std::array::from_fn(|_| dice.u8(..)))
}

fn origin(dice: &mut fastrand::Rng) -> Origin {
    Origin(std::array::from_fn(|_| dice.u8(1..)))
}

fn slot(dice: &mut fastrand::Rng) -> Slot {
    if dice.bool() { Slot::Row } else { Slot::Share(Origin([dice.u8(..); 16])) }
}

fn body(dice: &mut fastrand::Rng, slot: Slot) -> Option<Vec<u8>> {
    let none = slot == Slot::Row && dice.u8(..) < 60;
    let length = dice.usize(0..300);
    (!none).then(|| (0..length).map(|_| dice.u8(0..4)).collect())
}

fn stamp(dice: &mut fastrand::Rng) -> Stamp {
    Stamp { hlc: Hlc(dice.u64(..)), origin: origin(dice), version: dice.u64(1..=MAX_VERSION) }
}

fn component(dice: &mut fastrand::Rng, stamp: Stamp) -> Component {
    let slot = slot(dice);
    Component { gid: gid(dice), slot, table: TableId([dice.u8(..); 8]), stamp, body: body(dice, slot) }
}

fn message(dice: &mut fastrand::Rng) -> Message {
    let after = |dice: &mut fastrand::Rng, bucket: u8| {
        dice.bool().then(|| {
            let mut gid = gid(dice);
            (gid.0[0], gid.0[15]) = (0, bucket);
            (gid, slot(dice))
        })
    };
    match dice.u8(0..14) {
        0 => {
            let node = dice.bool();
            Message::Hello(Hello {
                database: "d".repeat(dice.usize(1..=128)),
                own: node.then(|| origin(dice)),
                epoch: (!node).then(|| [dice.u8(..); 16]),
                now_ms: dice.u64(..),
                capabilities: dice.u64(..),
                sealing: match (dice.u8(..4), node) {
                    (0, true) => Some(Sealing::Unnamed),
                    (0, false) => None,
                    (1, _) => Some(Sealing::Plain),
                    _ => Some(Sealing::Named(SealTag([dice.u8(..); 16]))),
                },
            })
        }
        1 => {
            let mut states: Vec<OriginState> = (0..dice.usize(0..5))
                .map(|_| {
                    let head = dice.u64(0..=MAX_VERSION);
                    let mut starts: Vec<u64> =
                        (0..dice.usize(0..=32)).map(|_| dice.u64(0..=MAX_VERSION)).collect();
                    starts.sort_unstable();
                    let lives = starts
                        .into_iter()
                        .map(|start| Life { incarnation: Incarnation([dice.u8(..); 8]), start });
                    let lineage = lives.collect();
                    OriginState { origin: origin(dice), head, floor: dice.u64(0..=head), lineage }
                })
                .collect();
            states.sort_by_key(|state| state.origin);
            Message::Have(Have { exact: dice.bool(), last: dice.bool(), states })
        }
        2 => {
            let (origin, after) = (origin(dice), dice.u64(0..1000));
            let mut to = after;
            let components = (0..dice.usize(0..20))
                .map(|_| {
                    to += dice.u64(1..100);
                    let hlc = Hlc(dice.u64(..));
                    component(dice, Stamp { hlc, origin, version: to })
                })
                .collect();
            Message::Delta(Delta { origin, after, to: to + 1, components })
        }
        3 => Message::Ack(Ack {
            taken: dice.u64(..),
            heads: (0..dice.usize(0..5)).map(|_| (origin(dice), dice.u64(0..=MAX_VERSION))).collect(),
        }),
        4 => Message::Digest {
            forced: dice.bool(),
            heads: [dice.u8(..); 16],
            sums: (0..256).map(|_| [dice.u8(0..3); 16]).collect(),
        },
        5 => Message::Differ(dice.bool().then(|| std::array::from_fn(|_| dice.u8(..)))),
        6 => {
            let bucket = dice.u8(..);
            Message::Ask { bucket, after: after(dice, bucket) }
        }
        7 => {
            let bucket = dice.u8(..);
            let mut known: Vec<Known> = (0..dice.usize(1..30))
                .map(|_| {
                    let mut gid = gid(dice);
                    (gid.0[0], gid.0[15]) = (dice.u8(1..), bucket);
                    Known { gid, slot: slot(dice), stamp: stamp(dice) }
                })
                .collect();
            known.sort_by_key(|known| (known.gid, known.slot));
            Message::Bucket(Bucket { bucket, after: after(dice, bucket), more: dice.bool(), known })
        }
        8 => Message::Want((0..dice.usize(0..9)).map(|_| (gid(dice), slot(dice))).collect()),
        9 => {
            let reply = [Reply::Unasked, Reply::More, Reply::Last][dice.usize(..3)];
            let components = (0..dice.usize(0..9)).map(|_| stamp(dice)).collect::<Vec<_>>();
            let components = components.into_iter().map(|stamp| component(dice, stamp)).collect();
            Message::Mend { reply, components }
        }
        10 => Message::Reach { origin: origin(dice), version: dice.u64(0..=MAX_VERSION) },
        11 => Message::Ping { now_ms: dice.u64(..) },
        12 => Message::Pong { echo_ms: dice.u64(..), now_ms: dice.u64(..) },
        _ => Message::Bye([Code::Closed, Code::Protocol, Code::Store][dice.usize(..3)]),
    }
}

#[test]
fn messages_come_back_as_they_were() {
    let mut dice = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let message = message(&mut dice);
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        let packets = pack(&bytes);
        let [packet] = &packets[..] else { panic!("a short message is one packet") };
        assert_eq!(receive(&mut Assembler::new(LIMIT), packet), Ok(Some(message)));
    }
}

#[test]
fn cut_or_continued_bytes_are_refused_and_changed_ones_are_refused_or_one_encoding_of_something_else() {
    let mut dice = fastrand::Rng::with_seed(2);
    for _ in 0..150 {
        let bytes = message(&mut dice).encode();
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
        }
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err());
        for _ in 0..300 {
            let mut changed = bytes.clone();
            let bit = dice.usize(..8 * bytes.len());
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Message::decode(&changed) {
                assert_eq!(other.encode(), changed, "there is one encoding of a message");
            }
        }
        let packet = pack(&bytes).remove(0);
        for _ in 0..300 {
            let mut changed = packet.clone();
            let bit = dice.usize(..8 * packet.len());
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Assembler::new(LIMIT).receive(&changed), Err(WireError::Checksum));
        }
    }
}

/// What a packet completes.
fn receive(assembler: &mut Assembler, packet: &[u8]) -> Result<Option<Message>, WireError> {
    assembler.receive(packet).map(|received| received.map(|received| received.message))
}

fn long(dice: &mut fastrand::Rng, length: usize) -> Message {
    let mut component = component(dice, Stamp { hlc: Hlc(1), origin: Origin([1; 16]), version: 1 });
    component.body = Some((0..length).map(|_| dice.u8(..)).collect());
    Message::Mend { reply: Reply::Unasked, components: vec![component] }
}

#[test]
fn long_messages_are_cut_and_short_ones_come_in_between() {
    let mut dice = fastrand::Rng::with_seed(3);
    for length in [PACKET_BYTES - 100, PACKET_BYTES, 3 * PACKET_BYTES] {
        let message = long(&mut dice, length);
        let packets = pack(&message.encode());
        assert!(packets.len() > 1 || length < PACKET_BYTES);
        let mut assembler = Assembler::new(LIMIT);
        let (last, parts) = packets.split_last().unwrap();
        for part in parts {
            assert_eq!(receive(&mut assembler, part), Ok(None));
            let ping = Message::Ping { now_ms: 4 };
            assert_eq!(receive(&mut assembler, &pack(&ping.encode())[0]), Ok(Some(ping)));
        }
        assert_eq!(receive(&mut assembler, last), Ok(Some(message)));
    }
    let packets = pack(&long(&mut dice, 3 * PACKET_BYTES).encode());
    let mut assembler = Assembler::new(LIMIT);
    assert_eq!(assembler.receive(&packets[1]), Err(WireError::Part), "the first one is missing");
    assert_eq!(assembler.receive(&packets[0]), Ok(None));
    assert_eq!(
        assembler.receive(&packets[0]),
        Err(WireError::Part),
        "a second one begins before the end of the first"
    );
    let mut short = Assembler::new(PACKET_BYTES);
    assert_eq!(short.receive(&packets[0]), Ok(None));
    let outcome = packets[1..].iter().find_map(|packet| short.receive(packet).err());
    assert_eq!(outcome, Some(WireError::TooLong));
}

#[test]
fn what_is_packed_may_not_grow_without_bound() {
    let mut packet = vec![4];
    packet.extend_from_slice(&(1_u32 << 21).to_le_bytes());
    packet.extend_from_slice(&zstd::bulk::compress(&vec![0; 1 << 21], 3).unwrap());
    packet.extend_from_slice(&crc32fast::hash(&packet).to_le_bytes());
    assert_eq!(Assembler::new(LIMIT).receive(&packet), Err(WireError::TooLong));
    // The same is sent, in another way.
    let mut dice = fastrand::Rng::with_seed(4);
    let mut message = long(&mut dice, 0);
    if let Message::Mend { components, .. } = &mut message {
        components[0].body = Some(vec![0; 1 << 21]);
    }
    let mut assembler = Assembler::new(LIMIT);
    let whole = pack(&message.encode()).iter().find_map(|packet| receive(&mut assembler, packet).unwrap());
    assert_eq!(whole, Some(message));
}

#[test]
fn what_grows_by_much_waits_packed() {
    let mut dice = fastrand::Rng::with_seed(6);
    let mut message = long(&mut dice, 200_000);
    let received = |message: &Message| {
        let packets = pack(&message.encode());
        let [packet] = &packets[..] else { panic!("one packet") };
        (packet.len(), Assembler::new(LIMIT).receive(packet).unwrap().unwrap())
    };
    let (bytes, whole) = received(&message);
    assert!(whole.length > 200_000 && bytes > 200_000, "floats at random do not shrink");
    assert!(matches!(whole.rest(), Resting::Open(open) if open == message));
    // Twenty times as long as it is packed.
    if let Message::Mend { components, .. } = &mut message {
        components[0].body = Some((0..200_000).map(|at| if at < 10_000 { dice.u8(..) } else { 0 }).collect());
    }
    let (bytes, whole) = received(&message);
    assert!(whole.length > 200_000 && bytes < 12_000);
    let mut resting = whole.rest();
    assert!(matches!(&resting, Resting::Packed(packed) if packed.len() < bytes));
    assert_eq!(resting.open(), Ok(&mut message));
    assert!(matches!(resting, Resting::Open(open) if open == message));
}

#[test]
fn the_inputs_that_fuzzing_starts_from_are_messages() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("fuzz/corpus/sync_messages"));
    let corpus = corpus.into_iter().find(|corpus| corpus.is_dir()).expect("a folder of inputs");
    for name in [
        "hello", "have", "delta", "ack", "digest", "differ", "ask", "bucket", "want", "mend", "reach",
        "ping", "pong", "bye",
    ] {
        let bytes = std::fs::read(corpus.join(name)).unwrap();
        assert_eq!(Message::decode(&bytes).map(|message| message.encode()), Ok(bytes), "{name}");
    }
}

#[test]
fn bytes_at_random_are_no_messages() {
    let mut dice = fastrand::Rng::with_seed(5);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..dice.usize(0..80)).map(|_| dice.u8(..)).collect();
        if let Ok(message) = Message::decode(&bytes) {
            assert_eq!(message.encode(), bytes);
        }
        assert!(Assembler::new(LIMIT).receive(&bytes).is_err());
    }
}
