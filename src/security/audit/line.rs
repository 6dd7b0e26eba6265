//! One entry as a line of bytes, chained to the one before (`docs/audit-log.md`).
//!
//! A line is a JSON object whose members stand in one order and in one form, so that an entry has one sequence of
//! bytes and no other; it ends with its hash, SHA-256 over the bytes before that member, and a line feed.

use super::Entry;
use crate::security::hex;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes of a line, its line feed included.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// Bytes of `detail` as JSON. More is replaced by its length and SHA-256.
pub const LONGEST_DETAIL: usize = 48 * 1024;

/// Bytes of `actor` and `object`; JSON may need six for each.
const LONGEST_NAME: usize = 1024;

/// Objects and lists of `detail` in each other; readers of JSON give up somewhere.
const DEEPEST: usize = 16;

/// `,"hash":"`, 64 digits, `"}`.
const HASH_MEMBER: usize = 9 + 64 + 2;

/// The greatest sequence number: what JSON readers take for a whole number.
const LAST_SEQ: u64 = (1 << 53) - 1;

/// A place in the log: an entry by its number and its hash. What somebody keeps elsewhere to notice that the log was
/// cut or written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The entry; 0 is the beginning, before every entry.
    pub seq: u64,
    /// Its hash; zeros at the beginning.
    pub head: [u8; 32],
}

impl Anchor {
    /// Before the first entry.
    pub const GENESIS: Self = Self { seq: 0, head: [0; 32] };
}

/// The members of a line, in their order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) object: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) object_hash: Option<String>,
    pub(super) detail: Map<String, Value>,
    pub(super) prev: String,
    pub(super) hash: String,
}

/// Appends the line of an entry that follows `before`; `at` is in milliseconds since the Unix epoch. Returns its place.
pub(super) fn append(out: &mut Vec<u8>, before: Anchor, at: u64, entry: Entry) -> Anchor {
    let Entry { actor, action, object, digest, detail } = entry;
    let line = Line {
        seq: before.seq + 1,
        at,
        actor: clip(actor),
        action: action.as_str().to_owned(),
        object: clip(object),
        object_hash: digest.map(|digest| hex(&digest)),
        detail: bounded(detail),
        prev: hex(&before.head),
        hash: "0".repeat(64),
    };
    let start = out.len();
    out.extend(bytes_of(&line));
    let head = hash_of(&out[start..]);
    let end = out.len() - 2;
    out[end - 64..end].copy_from_slice(hex(&head).as_bytes());
    out.push(b'\n');
    Anchor { seq: line.seq, head }
}

/// Reads a line, without its line feed. `None` unless it is exactly what [`append`] would have written for what it says:
/// this way there are no members twice, no other spelling of a number, and nothing between members.
pub(super) fn parse(bytes: &[u8]) -> Option<(Line, Anchor)> {
    if bytes.len() >= LONGEST_LINE {
        return None;
    }
    let line: Line = serde_json::from_slice(bytes).ok()?;
    let head = hash_of(bytes);
    let whole = bytes_of(&line) == bytes
        && (1..=LAST_SEQ).contains(&line.seq)
        && line.hash == hex(&head)
        && unhex(&line.prev).is_some()
        && line.object_hash.as_deref().is_none_or(|hash| unhex(hash).is_some());
    let place = Anchor { seq: line.seq, head };
    whole.then_some((line, place))
}

fn bytes_of(line: &Line) -> Vec<u8> {
    serde_json::to_vec(line).expect("texts, numbers and values of JSON")
}

/// Of a line without its line feed.
fn hash_of(line: &[u8]) -> [u8; 32] {
    sha256(&line[..line.len().saturating_sub(HASH_MEMBER)])
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// 64 lower-case hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    unhex_into(text, &mut out).then_some(out)
}

/// Two lower-case hexadecimal digits for each byte, no more and no fewer.
pub(super) fn unhex_into(text: &str, out: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * out.len() {
        return false;
    }
    out.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
        true
    })
}

/// A name is for finding things; who sends a book as its name is found by the first page.
fn clip(mut text: String) -> String {
    if text.len() > LONGEST_NAME {
        let end = (0..=LONGEST_NAME).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn bounded(detail: Map<String, Value>) -> Map<String, Value> {
    let flat = detail.values().all(|value| shallow(value, DEEPEST));
    // What is too deep for readers is not written as JSON here either.
    let text = if flat { serde_json::to_vec(&detail).expect("values of JSON") } else { Vec::new() };
    if flat && text.len() <= LONGEST_DETAIL {
        return detail;
    }
    let mut short = Map::new();
    short.insert("omittedBytes".to_owned(), text.len().into());
    short.insert("omittedHash".to_owned(), hex(&sha256(&text)).into());
    short
}

fn shallow(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(list) => left > 0 && list.iter().all(|value| shallow(value, left - 1)),
        Value::Object(map) => left > 0 && map.values().all(|value| shallow(value, left - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::*;
    use proptest::prelude::*;

    fn entry(actor: &str, object: &str, detail: Value) -> Entry {
        let Value::Object(detail) = detail else { panic!("an object") };
        Entry {
            actor: actor.to_owned(),
            action: Action::Revoked,
            object: object.to_owned(),
            digest: Some([7; 32]),
            detail,
        }
    }

    #[test]
    fn the_bytes_of_an_entry_are_fixed() {
        let mut out = Vec::new();
        let detail = serde_json::json!({ "why": "lost \"laptop\"\n", "n": 1.5 });
        let place = append(&mut out, Anchor::GENESIS, 12, entry("operator", "a", detail));
        let body = format!(
            r#"{{"seq":1,"at":12,"actor":"operator","action":"revoked","object":"a","objectHash":"{}","detail":{{"n":1.5,"why":"lost \"laptop\"\n"}},"prev":"{}""#,
            "07".repeat(32),
            "0".repeat(64)
        );
        let hash = hex(&sha256(body.as_bytes()));
        assert_eq!(String::from_utf8(out).unwrap(), format!("{body},\"hash\":\"{hash}\"}}\n"));
        assert_eq!(place, Anchor { seq: 1, head: unhex(&hash).unwrap() });
    }

    /// With the hash that fits, as somebody would make it who knows the format.
    fn rehashed(line: &str) -> Vec<u8> {
        let body = &line[..line.len() - HASH_MEMBER];
        format!("{body},\"hash\":\"{}\"}}", hex(&sha256(body.as_bytes()))).into_bytes()
    }

    #[test]
    fn another_spelling_of_the_same_entry_is_refused() {
        let mut out = Vec::new();
        append(&mut out, Anchor::GENESIS, 12, entry("operator", "a", serde_json::json!({ "n": 1 })));
        out.pop();
        let line = String::from_utf8(out).unwrap();
        assert!(parse(&rehashed(&line)).is_some());
        for (from, to) in [
            (r#""seq":1"#, r#""seq": 1"#),
            (r#""seq":1"#, r#""seq":1.0"#),
            (r#""seq":1"#, r#""seq":0"#),
            (r#""seq":1"#, r#""seq":9007199254740992"#),
            (r#""seq":1"#, r#""seq":1,"seq":1"#),
            (r#"{"n":1}"#, r#"{"n":1,"n":1}"#),
            (r#"{"n":1}"#, r#"{"n":1e0}"#),
            (r#""object":"a""#, r#""object":"\u0061""#),
            (r#""object":"a""#, r#""object":"a","more":1"#),
            (r#""at":12,"actor":"operator""#, r#""actor":"operator","at":12"#),
            (r#""objectHash":"07"#, r#""objectHash":"0G"#),
            (r#""prev":"00"#, r#""prev":"0"#),
        ] {
            let changed = line.replace(from, to);
            assert_ne!(changed, line, "{from}");
            assert!(parse(&rehashed(&changed)).is_none(), "{to}");
        }
        let hashless =
            line.replace(&format!(r#""objectHash":"{}","#, "07".repeat(32)), r#""objectHash":null,"#);
        assert!(parse(&rehashed(&hashless)).is_none());
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_cut_so_that_every_line_can_be_read() {
        let mut deep = Value::from(1);
        for _ in 0..10_000 {
            deep = Value::Array(vec![deep]);
        }
        let long = "\u{1}".repeat(LONGEST_LINE);
        for detail in
            [serde_json::json!({ "x": long }), Value::Object(Map::from_iter([("x".to_owned(), deep)]))]
        {
            let mut out = Vec::new();
            append(&mut out, Anchor::GENESIS, 12, entry(&long, &"\u{20ac}".repeat(5_000), detail));
            assert_eq!(out.pop(), Some(b'\n'));
            let (line, _) = parse(&out).unwrap();
            assert_eq!(line.actor.len(), LONGEST_NAME + 3);
            assert!(line.object.len() <= LONGEST_NAME + 3 && line.object.ends_with("\u{20ac}..."));
            assert_eq!(line.detail.keys().collect::<Vec<_>>(), ["omittedBytes", "omittedHash"]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(actor in ".{0,40}", object in ".{0,40}", key in ".{0,9}", number: f64, text in ".{0,99}") {
            let detail = serde_json::json!({ key: [text.clone()], text: number });
            let mut out = Vec::new();
            let before = Anchor { seq: 41, head: [3; 32] };
            let place = append(&mut out, before, u64::MAX, entry(&actor, &object, detail.clone()));
            prop_assert_eq!(out.pop(), Some(b'\n'));
            let (line, read) = parse(&out).unwrap();
            prop_assert_eq!(read, place);
            prop_assert_eq!((line.seq, line.at, line.actor, line.object), (42, u64::MAX, actor, object));
            prop_assert_eq!(Value::Object(line.detail), detail);
        }
    }
}
