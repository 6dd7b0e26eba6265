//! Encoded values: payloads of tasks, results and messages. JSON (RFC 8259) with typed arrays anywhere, which travel as
//! raw little-endian bytes. The other half is js/payload.js; both are held to the same golden bytes.
//!
//! ```text
//! u32 LE   length of the JSON text in bytes; 0 is the value `undefined`
//! u32 LE   number of arrays
//! 16 bytes for each array: u32 LE type, u32 LE 0, u64 LE length in bytes
//! ...      JSON text, UTF-8
//! ...      zeros, up to a multiple of 8
//! ...      the arrays, each with zeros up to a multiple of 8
//! ```
//!
//! An array stands in the JSON as the string of U+0000 and its index in decimal, each at exactly one place. A string that
//! begins with U+0000 gets another one in front. What else begins with U+0000 is a number that JSON lacks: "NaN",
//! "Infinity" or "-Infinity". Programs cannot send those; results of kernels may be infinite.

mod array;
mod encode;
mod layout;
mod node;

pub use array::{Array, ElementKind};
pub use encode::{Elements, Item, encode, encode_undefined};
pub use node::{List, Node, Object};

use bytes::Bytes;
use serde_json::Value as Json;

/// The most containers (lists and objects) inside one another.
pub const MAX_DEPTH: usize = 512;

/// The most values in the JSON of one that is decoded here: numbers in plain lists count, elements of typed arrays do not.
/// A text of a few bytes becomes a hundred times as many in memory.
pub const MAX_VALUES: usize = 1 << 21;

/// A value that was checked in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// With stand-ins for the arrays; `None` is undefined.
    json: Option<Json>,
    arrays: Vec<Array>,
}

/// Why bytes are no value, or a value cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The bytes end before the value does.
    #[error("an encoded value of {bytes} bytes should have at least {needed}")]
    Truncated {
        /// Bytes that are there.
        bytes: usize,
        /// Bytes that the lengths add up to so far.
        needed: u64,
    },
    /// The bytes go on after the value.
    #[error("{bytes} bytes after the end of an encoded value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Padding that is not zero.
    #[error("padding before byte {end} is not zero")]
    Padding {
        /// Where it ends.
        end: usize,
    },
    /// A type of arrays that is not known.
    #[error("array {index} has the unknown type {number}")]
    UnknownType {
        /// Which array.
        index: usize,
        /// The type's number.
        number: u32,
    },
    /// A field that must be 0.
    #[error("array {index} has a reserved field that is not zero")]
    Reserved {
        /// Which array.
        index: usize,
    },
    /// No whole number of elements.
    #[error("array {index} has {bytes} bytes, which is no whole number of {kind}")]
    PartElement {
        /// Which array.
        index: usize,
        /// Its length.
        bytes: u64,
        /// Its type.
        kind: ElementKind,
    },
    /// Undefined is alone.
    #[error("the value is undefined and has arrays")]
    UndefinedWithArrays,
    /// The JSON text is not UTF-8.
    #[error("the JSON text is not UTF-8 after byte {valid}")]
    Utf8 {
        /// So many bytes of it are.
        valid: usize,
    },
    /// More than [`MAX_DEPTH`] containers inside one another.
    #[error("nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_VALUES`] values outside of typed arrays.
    #[error("more than {MAX_VALUES} values outside of typed arrays: send numbers in a Float64Array")]
    TooMany,
    /// The JSON text is not JSON, or has a string with half a surrogate pair.
    #[error("not JSON: {reason}")]
    Json {
        /// What the parser said.
        reason: String,
    },
    /// A stand-in for nothing that is there.
    #[error("{text:?} stands for none of {arrays} arrays")]
    StandIn {
        /// The text after its first character.
        text: String,
        /// How many there are.
        arrays: usize,
    },
    /// An array that stands at two places.
    #[error("array {index} stands at two places")]
    Repeated {
        /// Which.
        index: usize,
    },
    /// An array that stands nowhere.
    #[error("array {index} stands nowhere")]
    Unused {
        /// Which.
        index: usize,
    },
    /// Longer than it may be.
    #[error("a value of {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl Value {
    /// Checks and takes apart. The arrays share the memory of `bytes`; what else there is takes tens to hundreds of bytes a
    /// value, of which there are at most [`MAX_VALUES`].
    pub fn decode(bytes: &Bytes) -> Result<Self, ValueError> {
        let (text, arrays) = layout::take_apart(bytes)?;
        if text.is_empty() {
            return if arrays.is_empty() {
                Ok(Self { json: None, arrays })
            } else {
                Err(ValueError::UndefinedWithArrays)
            };
        }
        let text =
            std::str::from_utf8(text).map_err(|error| ValueError::Utf8 { valid: error.valid_up_to() })?;
        check_shape(text)?;
        let json = parse(text).map_err(|error| ValueError::Json { reason: error.to_string() })?;
        let mut used = vec![false; arrays.len()];
        check_stand_ins(&json, &mut used)?;
        match used.iter().position(|used| !used) {
            Some(index) => Err(ValueError::Unused { index }),
            None => Ok(Self { json: Some(json), arrays }),
        }
    }

    /// The value itself; `None` when it is undefined.
    pub fn root(&self) -> Option<Node<'_>> {
        self.json.as_ref().map(|json| Node::of(json, &self.arrays))
    }
}

/// The parser's own limit is lower than ours, which was checked before.
fn parse(text: &str) -> Result<Json, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let json = serde::Deserialize::deserialize(&mut parser)?;
    parser.end()?;
    Ok(json)
}

/// Counts brackets and commas outside of strings: every value but the first follows one. Says nothing of text that is not
/// JSON.
fn check_shape(text: &str) -> Result<(), ValueError> {
    let (mut depth, mut values, mut bytes) = (0usize, 1usize, text.bytes());
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match (quoted, byte) {
            (true, b'\\') => drop(bytes.next()),
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => (depth, values) = (depth + 1, values + 1),
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, b',') => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(ValueError::TooDeep);
        }
        if values > MAX_VALUES {
            return Err(ValueError::TooMany);
        }
    }
    Ok(())
}

/// What a string of the JSON is.
enum Meaning<'a> {
    Text(&'a str),
    Number(f64),
    Array(usize),
}

/// `None` for a stand-in of no known form.
fn meaning(text: &str) -> Option<Meaning<'_>> {
    let Some(rest) = text.strip_prefix('\0') else { return Some(Meaning::Text(text)) };
    match rest {
        "NaN" => return Some(Meaning::Number(f64::NAN)),
        "Infinity" => return Some(Meaning::Number(f64::INFINITY)),
        "-Infinity" => return Some(Meaning::Number(f64::NEG_INFINITY)),
        _ if rest.starts_with('\0') => return Some(Meaning::Text(rest)),
        _ => {}
    }
    // In its shortest form: neither a sign nor zeros in front.
    let digits = rest.bytes().all(|byte| byte.is_ascii_digit()) && (rest == "0" || !rest.starts_with('0'));
    digits.then(|| rest.parse().ok()).flatten().map(Meaning::Array)
}

fn check_stand_ins(json: &Json, used: &mut [bool]) -> Result<(), ValueError> {
    match json {
        Json::String(text) => match meaning(text) {
            Some(Meaning::Array(index)) if index < used.len() => {
                if std::mem::replace(&mut used[index], true) {
                    return Err(ValueError::Repeated { index });
                }
                Ok(())
            }
            Some(Meaning::Text(_) | Meaning::Number(_)) => Ok(()),
            _ => Err(ValueError::StandIn { text: text[1..].to_owned(), arrays: used.len() }),
        },
        Json::Array(items) => items.iter().try_for_each(|item| check_stand_ins(item, used)),
        Json::Object(fields) => fields.values().try_for_each(|field| check_stand_ins(field, used)),
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}
