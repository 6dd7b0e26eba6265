//! What the built-in kinds refuse, and how.

use super::{encoded, number, numbers, object, outcome, run};
use bytes::Bytes;
use midstreamer::protocol::value::{Elements, Item, encode_undefined};
use midstreamer::search::Job;
use midstreamer::swarm::kinds::{FailureCode, KINDS, Kinds, Limits};
use proptest::prelude::*;
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn bad_payloads_name_the_place() {
    use FailureCode::{EmptySeries, InvalidArgument, LengthMismatch, NonFinite};
    let x = || numbers(&[1.0]);
    let with = |options: Item<'static>| object([("a", x()), ("b", x()), ("options", options)]);
    let integers = [1, 2];
    let cases: Vec<(&str, Item<'_>, FailureCode, &str)> = vec![
        ("dtw", Item::Null, InvalidArgument, "payload must be an object, got null"),
        ("dtw", numbers(&[1.0]), InvalidArgument, "payload must be an object, got an array"),
        (
            "dtw",
            object([("a", x())]),
            InvalidArgument,
            "payload.b must be a Float64Array, a Float32Array or an array of numbers, got undefined",
        ),
        (
            "dtw",
            object([("a", x()), ("b", x()), ("c", x())]),
            InvalidArgument,
            "payload.c is unknown: \"dtw\" takes a, b, options there",
        ),
        (
            "dtw",
            object([("a", numbers(&[])), ("b", x())]),
            EmptySeries,
            "payload.a is empty: a series needs at least one value",
        ),
        (
            "dtw",
            object([("a", x()), ("b", [1.0, f64::NAN].as_slice().into())]),
            NonFinite,
            "payload.b[1] is NaN",
        ),
        (
            "dtw",
            object([("a", x()), ("b", Item::List(vec![Item::Number(1.0), Item::Null]))]),
            InvalidArgument,
            "payload.b[1] must be a number, got null",
        ),
        (
            "dtw",
            object([("a", x()), ("b", Item::Array(Elements::I32(&integers)))]),
            InvalidArgument,
            "payload.b must be a Float64Array, a Float32Array or an array of numbers, got a Int32Array",
        ),
        ("dtw", with(Item::Number(3.0)), InvalidArgument, "payload.options must be an object, got 3"),
        (
            "dtw",
            with(object([("windw", Item::Number(3.0))])),
            InvalidArgument,
            "payload.options.windw is unknown: \"dtw\" takes metric, window, normalize, maxDistance, channels there",
        ),
        (
            "dtw",
            with(object([("a b", Item::Number(3.0))])),
            InvalidArgument,
            "payload.options[\"a b\"] is unknown: \"dtw\" takes metric, window, normalize, maxDistance, channels there",
        ),
        (
            "dtw",
            with(object([("window", Item::Number(-1.0))])),
            InvalidArgument,
            "payload.options.window must be an integer >= 0, in samples, got -1",
        ),
        (
            "dtw",
            with(object([("window", Item::Number(0.5))])),
            InvalidArgument,
            "payload.options.window must be an integer >= 0, in samples, got 0.5",
        ),
        (
            "dtw",
            with(object([("maxDistance", Item::Number(f64::NAN))])),
            InvalidArgument,
            "payload.options.maxDistance must be a number >= 0, got NaN",
        ),
        (
            "dtw",
            with(object([("metric", "cosine".into())])),
            InvalidArgument,
            "payload.options.metric must be 'absolute' or 'squared' or 'euclidean', got \"cosine\"",
        ),
        (
            "dtw",
            with(object([("channels", Item::Number(0.0))])),
            InvalidArgument,
            "payload.options.channels must be an integer >= 1, got 0",
        ),
        (
            "dtw",
            with(object([("channels", Item::Number(2.0))])),
            LengthMismatch,
            "payload.a holds 1 values, which is not a multiple of channels 2",
        ),
        (
            "dtw",
            with(object([("k", Item::Number(2.0))])),
            InvalidArgument,
            "payload.options.k is unknown: \"dtw\" takes metric, window, normalize, maxDistance, channels there",
        ),
        (
            "dtw.nearest",
            object([("query", x()), ("candidates", Item::Bool(true))]),
            InvalidArgument,
            "payload.candidates must be { data, length } or an array of series, got true",
        ),
        (
            "dtw.nearest",
            object([
                ("query", x()),
                (
                    "candidates",
                    object([("data", [1.0, 2.0, 3.0].as_slice().into()), ("length", Item::Number(2.0))]),
                ),
            ]),
            LengthMismatch,
            "payload.candidates.data holds 3 values, which is not a multiple of length x channels 2",
        ),
        (
            "dtw.matrix",
            object([("series", Item::List(vec![x(), numbers(&[])]))]),
            EmptySeries,
            "payload.series[1] is empty: a series needs at least one value",
        ),
        (
            "lcs",
            object([("a", "x".into()), ("b", x())]),
            InvalidArgument,
            "payload.b is numbers but payload.a is a string: sequences that are compared must be of one kind",
        ),
        (
            "lcs",
            object([("a", Item::List(vec![Item::Bool(true)])), ("b", x())]),
            InvalidArgument,
            "payload.a[0] must be a number or a string, got true",
        ),
        (
            "lcs",
            object([("a", x()), ("b", Item::List(vec![Item::Number(1.0), "x".into()]))]),
            InvalidArgument,
            "payload.b[1] must be a number, got \"x\"",
        ),
        (
            "lcs.matrix",
            object([("sequences", Item::List(vec![x()])), ("normalize", "sum".into())]),
            InvalidArgument,
            "payload.normalize must be 'max' or 'min' or 'dice' or 'none', got \"sum\"",
        ),
        (
            "library.search",
            object([("patterns", Item::List(vec![])), ("query", x())]),
            InvalidArgument,
            "payload.options must be an object, got undefined",
        ),
        (
            "library.search",
            object([
                ("patterns", Item::List(vec![])),
                ("query", numbers(&[1.0, 2.0])),
                ("options", object([("length", Item::Number(1.0))])),
            ]),
            LengthMismatch,
            "payload.query holds 2 values, the library's patterns have 1",
        ),
        (
            "library.search",
            object([
                (
                    "patterns",
                    Item::List(vec![
                        object([("id", "p".into()), ("values", x())]),
                        object([("id", "p".into()), ("values", x())]),
                    ]),
                ),
                ("query", x()),
                ("options", object([("length", Item::Number(1.0))])),
            ]),
            InvalidArgument,
            "payload.patterns: the id \"p\" occurs twice",
        ),
        (
            "library.search",
            object([
                (
                    "patterns",
                    Item::List(vec![object([("id", "p".into()), ("values", numbers(&[1.0, 2.0]))])]),
                ),
                ("query", x()),
                ("options", object([("length", Item::Number(1.0))])),
            ]),
            LengthMismatch,
            "payload.patterns[0].values holds 2 values, the library's patterns have 1",
        ),
        (
            "midstreamer.lcs.tile",
            object([
                ("symbols", Item::Array(Elements::U8(b"abc"))),
                ("ends", [4.0].as_slice().into()),
                ("rows", Item::Number(0.0)),
            ]),
            InvalidArgument,
            "payload.ends must ascend to 3",
        ),
    ];
    for (kind, payload, code, message) in cases {
        let failure = run(kind, &payload).unwrap_err();
        assert_eq!(
            (failure.code, failure.message.as_str(), failure.retryable),
            (code, message, false),
            "{kind}"
        );
    }
    let failure = outcome(&Kinds::default(), "dtw", encode_undefined()).unwrap_err();
    assert_eq!(failure.message, "payload must be an object, got undefined");
}

#[test]
fn every_kind_is_there_and_no_other() {
    for kind in KINDS {
        let failure = outcome(&Kinds::default(), kind, encode_undefined()).unwrap_err();
        assert_eq!(failure.code, FailureCode::InvalidArgument, "{kind}");
    }
    for kind in ["", "DTW", "dtw ", "midstreamer.", "toString"] {
        let failure = outcome(&Kinds::default(), kind, encode_undefined()).unwrap_err();
        assert_eq!((failure.code, failure.retryable), (FailureCode::NotFound, false), "{kind}");
    }
}

#[test]
fn infinity_comes_back() {
    let payload = object([
        ("a", numbers(&[0.0])),
        ("b", numbers(&[9.0])),
        ("options", object([("maxDistance", Item::Number(8.0))])),
    ]);
    assert_eq!(number(&run("dtw", &payload).unwrap()), f64::INFINITY);
}

#[test]
fn results_beyond_the_limit_are_refused_before_they_are_computed() {
    let kinds = Kinds::new(Limits { result_bytes: 800, ..Limits::default() });
    let long = vec![0.5; 50_000];
    let sequences = |count: usize| Item::List(vec![long.as_slice().into(); count]);
    let matrix = |count| outcome(&kinds, "dtw.matrix", encoded(&object([("series", sequences(count))])));
    // Computed, this would take minutes.
    let failure = matrix(11).unwrap_err();
    assert_eq!((failure.code, failure.retryable), (FailureCode::TooLarge, false));
    assert_eq!(failure.message, "the result of \"dtw.matrix\" would have 968 bytes, at most 800 are allowed");
    assert!(matrix(1).is_ok());
}

#[test]
fn a_cancelled_job_ends() {
    let long: Vec<f64> = (0..60_000).map(|i| f64::from(i % 97)).collect();
    let payload = encoded(&object([("a", long.as_slice().into()), ("b", long.as_slice().into())]));
    let (kinds, job) = (Kinds::default(), Arc::new(Job::new()));
    let (sender, receiver) = mpsc::channel();
    // Seconds each: the first is ended while it runs, the others before they have a thread.
    for _ in 0..20 {
        let sender = sender.clone();
        kinds.start("dtw", payload.clone(), job.clone(), move |outcome| sender.send(outcome).unwrap());
    }
    std::thread::sleep(Duration::from_millis(20));
    job.cancel();
    for _ in 0..20 {
        assert_eq!(receiver.recv().unwrap().unwrap_err().code, FailureCode::Aborted);
    }
}

/// Payloads that are right.
fn samples() -> Vec<(&'static str, Bytes)> {
    let (a, b) = ([1.0, 2.0, 3.0], [2.0, 3.0]);
    let shape = || object([("length", Item::Number(1.0)), ("window", Item::Number(0.0))]);
    let pattern = |id, value| object([("id", Item::Text(id)), ("values", numbers(&[value]))]);
    vec![
        (
            "dtw",
            encoded(&object([
                ("a", a.as_slice().into()),
                ("b", numbers(&b)),
                ("options", object([("window", Item::Number(1.0))])),
            ])),
        ),
        (
            "midstreamer.lcs.tile",
            encoded(&object([
                ("symbols", Item::Array(Elements::U8(b"abcab"))),
                ("ends", [2.0, 5.0].as_slice().into()),
                ("rows", Item::Number(1.0)),
            ])),
        ),
        (
            "library.search",
            encoded(&object([
                ("patterns", Item::List(vec![pattern("p".into(), 1.0), pattern("q".into(), 2.0)])),
                ("options", shape()),
                ("query", numbers(&[1.5])),
                ("search", object([("k", Item::Number(1.0))])),
            ])),
        ),
        (
            "midstreamer.library.put",
            encoded(&object([
                ("shard", "s".into()),
                ("size", Item::Number(2.0)),
                ("at", Item::Number(0.0)),
                ("values", b.as_slice().into()),
                ("endsAt", [f64::NAN, 1.0].as_slice().into()),
                ("options", shape()),
            ])),
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_payloads_are_refused(which in 0..4_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let (kind, payload) = &samples()[which];
        let mut bytes = payload.to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if which % 2 == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(failure) = outcome(&Kinds::default(), kind, bytes.into()) {
            prop_assert_ne!(failure.code, FailureCode::Internal, "{}", failure);
        }
    }
}
