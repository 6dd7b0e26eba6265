//! Shards of libraries: complete or not found, and dropped for those that are needed.

use super::{array, encoded, number, numbers, object, outcome};
use midstreamer::protocol::value::{Item, Node};
use midstreamer::swarm::kinds::{FailureCode, Kinds, Limits};

fn put(kinds: &Kinds, id: &str, size: usize, at: usize, count: usize) -> Result<f64, FailureCode> {
    let (values, ends) = (vec![at as f64; count * 10], vec![f64::NAN; count]);
    let payload = encoded(&object([
        ("shard", id.into()),
        ("size", Item::Number(size as f64)),
        ("at", Item::Number(at as f64)),
        ("values", values.as_slice().into()),
        ("endsAt", ends.as_slice().into()),
        ("options", object([("length", Item::Number(10.0))])),
    ]));
    outcome(kinds, "midstreamer.library.put", payload)
        .map(|there| number(&there))
        .map_err(|failure| failure.code)
}

fn find(kinds: &Kinds, id: &str, size: usize) -> Result<usize, FailureCode> {
    let payload = encoded(&object([
        ("shard", id.into()),
        ("size", Item::Number(size as f64)),
        ("query", numbers(&[0.0; 10])),
    ]));
    let result = outcome(kinds, "midstreamer.library.search", payload).map_err(|failure| failure.code)?;
    Ok(array(result.root().unwrap().get("indices")).len())
}

fn drop_shard(kinds: &Kinds, id: &str) -> bool {
    let result =
        outcome(kinds, "midstreamer.library.drop", encoded(&object([("shard", id.into())]))).unwrap();
    result.root() == Some(Node::Bool(true))
}

#[test]
fn a_shard_is_found_only_when_it_is_complete() {
    let kinds = Kinds::default();
    assert_eq!(find(&kinds, "s", 5), Err(FailureCode::NotFound));
    assert_eq!(put(&kinds, "s", 5, 2, 1), Err(FailureCode::NotFound), "no first part");
    assert_eq!(put(&kinds, "s", 5, 0, 2), Ok(2.0));
    assert_eq!(find(&kinds, "s", 5), Err(FailureCode::NotFound));
    assert_eq!(put(&kinds, "s", 5, 3, 2), Err(FailureCode::NotFound), "a part is missing");
    assert_eq!(put(&kinds, "s", 6, 2, 2), Err(FailureCode::InvalidArgument), "another size");
    assert_eq!(put(&kinds, "s", 5, 2, 4), Err(FailureCode::LengthMismatch), "more than its size");
    assert_eq!(put(&kinds, "s", 5, 2, 3), Ok(5.0));
    assert_eq!(put(&kinds, "s", 5, 0, 2), Ok(5.0), "sent again");
    assert_eq!(find(&kinds, "s", 5), Ok(5));
    assert_eq!(find(&kinds, "s", 4), Err(FailureCode::NotFound), "another size");
    assert!(drop_shard(&kinds, "s") && !drop_shard(&kinds, "s"));
    assert_eq!(find(&kinds, "s", 5), Err(FailureCode::NotFound));
    assert_eq!(put(&kinds, "s", 5, 0, 5), Ok(5.0));
    kinds.clear();
    assert_eq!(find(&kinds, "s", 5), Err(FailureCode::NotFound));
}

#[test]
fn shards_that_were_not_needed_for_longest_make_room() {
    // A pattern of ten values counts for 240 bytes.
    let kinds = Kinds::new(Limits { held_bytes: 1000, ..Limits::default() });
    assert_eq!(put(&kinds, "huge", 5, 0, 5), Err(FailureCode::TooLarge));
    for id in ["a", "b", "c", "d"] {
        assert_eq!(put(&kinds, id, 1, 0, 1), Ok(1.0));
    }
    assert_eq!(find(&kinds, "a", 1), Ok(1));
    assert_eq!(put(&kinds, "e", 2, 0, 1), Ok(1.0));
    let there = ["a", "b", "c", "d"].map(|id| find(&kinds, id, 1).is_ok());
    assert_eq!(there, [true, false, false, true]);
    // Room for all of "e" was made with its first part.
    assert_eq!(put(&kinds, "e", 2, 1, 1), Ok(2.0));
    assert_eq!((find(&kinds, "a", 1), find(&kinds, "d", 1), find(&kinds, "e", 2)), (Ok(1), Ok(1), Ok(2)));
}
