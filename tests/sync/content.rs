//! The contents of rows and counters as they travel and are kept: one encoding each, and other bytes are refused.

use midstreamer::sync::database::Value;
use midstreamer::sync::identity::Gid;
use midstreamer::sync::row::{Cell, Content, Embedding, Malformed, Mean, Share};

/// Numbers of every kind that is finite, zero of both signs among them.
fn number(dice: &mut fastrand::Rng) -> f64 {
    match dice.u8(..6) {
        0 => 0.0,
        1 => -0.0,
        2 => f64::MIN_POSITIVE / 4.0,
        3 => -f64::MAX,
        _ => dice.f64() - 0.5,
    }
}

fn share(dice: &mut fastrand::Rng) -> Share {
    let count = match dice.u8(..6) {
        0 => 0,
        1 => i64::MIN,
        2 => i64::MAX,
        3 => -1,
        _ => dice.i64(..) >> dice.u8(..64),
    };
    let mean =
        |dice: &mut fastrand::Rng| Mean { sum: number(dice), prior: dice.bool().then(|| number(dice)) };
    Share { count, means: (0..dice.usize(..4)).map(|_| mean(dice)).collect() }
}

fn text(dice: &mut fastrand::Rng) -> String {
    (0..dice.usize(..12)).map(|_| dice.char(..)).collect()
}

fn value(dice: &mut fastrand::Rng) -> Value {
    match dice.u8(..5) {
        0 => Value::Null,
        1 => Value::Integer(dice.i64(..)),
        2 => Value::Real(number(dice)),
        3 => Value::Text(text(dice)),
        _ => Value::Blob((0..dice.usize(..9)).map(|_| dice.u8(..)).collect()),
    }
}

fn content(dice: &mut fastrand::Rng) -> Content {
    let cell = |dice: &mut fastrand::Rng| match dice.u8(..4) {
        0 => Cell::Reference(Gid(std::array::from_fn(|_| dice.u8(..)))),
        _ => Cell::Value(value(dice)),
    };
    Content {
        table: text(dice),
        cells: (0..dice.usize(..5)).map(|_| (text(dice), cell(dice))).collect(),
        embedding: dice.bool().then(|| Embedding {
            vector: (0..4 * dice.usize(..9)).map(|_| dice.u8(..)).collect(),
            model: value(dice),
        }),
    }
}

/// What is cut or continued is refused, and what is changed is refused or the one encoding of something else.
fn strict<T>(
    dice: &mut fastrand::Rng,
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, Malformed>,
    encode: fn(&T) -> Vec<u8>,
) {
    assert_eq!(decode(bytes).map(|value| encode(&value)), Ok(bytes.to_vec()));
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
    assert!(decode(&[bytes, &[0]].concat()).is_err());
    for _ in 0..100 {
        let mut changed = bytes.to_vec();
        for _ in 0..dice.usize(1..3) {
            let place = dice.usize(..changed.len());
            changed[place] = dice.u8(..);
        }
        if let Ok(other) = decode(&changed) {
            assert_eq!(encode(&other), changed, "there is one encoding");
        }
    }
}

#[test]
fn shares_have_one_encoding() {
    let mut dice = fastrand::Rng::with_seed(1);
    for _ in 0..500 {
        let share = share(&mut dice);
        let bytes = share.encode();
        let back = Share::decode(&bytes).unwrap();
        assert_eq!(back.count, share.count);
        let bits = |share: &Share| -> Vec<_> {
            share.means.iter().map(|mean| (mean.sum.to_bits(), mean.prior.map(f64::to_bits))).collect()
        };
        assert_eq!(bits(&back), bits(&share));
        strict(&mut dice, &bytes, Share::decode, Share::encode);
    }
}

#[test]
fn shares_that_count_nothing_are_small_and_numbers_that_are_none_are_refused() {
    let nothing = Share { count: 0, means: vec![Mean { sum: 0.0, prior: None }; 2] };
    assert_eq!(nothing.encode(), [0, 2, 0, 0]);
    let prior = Share { count: -1, means: vec![Mean { sum: 0.0, prior: Some(0.5) }] };
    assert_eq!(prior.encode(), [1, 1, 6, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]);
    for sum in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let share = Share { count: 1, means: vec![Mean { sum, prior: None }] };
        assert_eq!(Share::decode(&share.encode()), Err(Malformed));
    }
    // A length that is a lie, more trials than 64 bits hold, a flag that means nothing, a value without a prior.
    for bytes in [&[0, 64][..], &[0xff; 12], &[0, 1, 8], &[0, 1, 4, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]] {
        assert_eq!(Share::decode(bytes), Err(Malformed), "{bytes:?}");
    }
}

#[test]
fn contents_have_one_encoding() {
    let mut dice = fastrand::Rng::with_seed(2);
    for _ in 0..300 {
        let content = content(&mut dice);
        let bytes = content.encode();
        strict(&mut dice, &bytes, Content::decode, Content::encode);
    }
}
