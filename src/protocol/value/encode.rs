//! Values from here: results of kernels, and tiles of work.

use super::layout::{ALIGNMENT, ENTRY_BYTES, HEAD_BYTES};
use super::{Array, ElementKind, MAX_DEPTH, ValueError};
use bytes::{BufMut, Bytes};
use std::borrow::Cow;

/// A value to encode. Numbers may be anything; the arrays are copied once, into the result.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// A typed array.
    Array(Elements<'a>),
    /// An array of anything.
    List(Vec<Item<'a>>),
    /// A plain object: properties in their order, each name once.
    Object(Vec<(Cow<'a, str>, Item<'a>)>),
}

/// The elements of a typed array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Elements<'a> {
    /// Float64Array.
    F64(&'a [f64]),
    /// Float32Array.
    F32(&'a [f32]),
    /// Int32Array.
    I32(&'a [i32]),
    /// Uint32Array.
    U32(&'a [u32]),
    /// Uint8Array.
    U8(&'a [u8]),
    /// One that was decoded.
    Decoded(&'a Array),
}

impl Elements<'_> {
    fn kind(self) -> ElementKind {
        match self {
            Self::F64(_) => ElementKind::F64,
            Self::F32(_) => ElementKind::F32,
            Self::I32(_) => ElementKind::I32,
            Self::U32(_) => ElementKind::U32,
            Self::U8(_) => ElementKind::U8,
            Self::Decoded(array) => array.kind(),
        }
    }

    fn byte_length(self) -> usize {
        match self {
            Self::F64(values) => size_of_val(values),
            Self::F32(values) => size_of_val(values),
            Self::I32(values) => size_of_val(values),
            Self::U32(values) => size_of_val(values),
            Self::U8(values) => values.len(),
            Self::Decoded(array) => array.bytes().len(),
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::F64(values) => values.iter().for_each(|value| out.put_f64_le(*value)),
            Self::F32(values) => values.iter().for_each(|value| out.put_f32_le(*value)),
            Self::I32(values) => values.iter().for_each(|value| out.put_i32_le(*value)),
            Self::U32(values) => values.iter().for_each(|value| out.put_u32_le(*value)),
            Self::U8(values) => out.put_slice(values),
            Self::Decoded(array) => out.put_slice(array.bytes()),
        }
    }
}

impl<'a> From<&'a [f64]> for Item<'a> {
    fn from(values: &'a [f64]) -> Self {
        Self::Array(Elements::F64(values))
    }
}

impl From<f64> for Item<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for Item<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

/// The bytes of `undefined`.
pub fn encode_undefined() -> Bytes {
    Bytes::from_static(&[0; HEAD_BYTES])
}

/// The bytes of a value, at most `max_bytes`.
pub fn encode(item: &Item<'_>, max_bytes: usize) -> Result<Bytes, ValueError> {
    let mut writer = Writer { json: Vec::new(), arrays: Vec::new() };
    writer.item(item, 0)?;
    let Writer { json, arrays } = writer;

    let entries = arrays.len() * ENTRY_BYTES;
    let of_arrays: usize = arrays.iter().map(|array| padded(array.byte_length())).sum();
    let total = HEAD_BYTES + entries + padded(json.len()) + of_arrays;
    let too_large = || ValueError::TooLarge { bytes: total, limit: max_bytes };
    if total > max_bytes {
        return Err(too_large());
    }
    let mut out = Vec::with_capacity(total);
    out.put_u32_le(u32::try_from(json.len()).map_err(|_| too_large())?);
    out.put_u32_le(u32::try_from(arrays.len()).map_err(|_| too_large())?);
    for array in &arrays {
        out.put_u32_le(array.kind().number());
        out.put_u32_le(0);
        out.put_u64_le(array.byte_length() as u64);
    }
    out.put_slice(&json);
    out.resize(padded(out.len()), 0);
    for array in &arrays {
        array.put(&mut out);
        out.resize(padded(out.len()), 0);
    }
    Ok(out.into())
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

struct Writer<'a> {
    json: Vec<u8>,
    arrays: Vec<Elements<'a>>,
}

impl<'a> Writer<'a> {
    fn item(&mut self, item: &Item<'a>, depth: usize) -> Result<(), ValueError> {
        if depth == MAX_DEPTH && matches!(item, Item::List(_) | Item::Object(_)) {
            return Err(ValueError::TooDeep);
        }
        match item {
            Item::Null => self.json.put_slice(b"null"),
            Item::Bool(true) => self.json.put_slice(b"true"),
            Item::Bool(false) => self.json.put_slice(b"false"),
            Item::Number(number) => self.number(*number),
            Item::Text(text) if text.starts_with('\0') => self.json(&format!("\0{text}")),
            Item::Text(text) => self.json(text.as_ref()),
            Item::Array(elements) => {
                self.json(&format!("\0{}", self.arrays.len()));
                self.arrays.push(*elements);
            }
            Item::List(items) => {
                self.json.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.item(item, depth + 1)?;
                }
                self.json.push(b']');
            }
            Item::Object(fields) => {
                self.json.push(b'{');
                for (index, (name, item)) in fields.iter().enumerate() {
                    self.separate(index);
                    self.json(name.as_ref());
                    self.json.push(b':');
                    self.item(item, depth + 1)?;
                }
                self.json.push(b'}');
            }
        }
        Ok(())
    }

    /// Integers as JavaScript writes them, so that the same value has the same bytes on both sides.
    fn number(&mut self, number: f64) {
        const EXACT: f64 = (1u64 << 53) as f64;
        if number.is_nan() {
            self.json("\0NaN");
        } else if number.is_infinite() {
            self.json(if number > 0.0 { "\0Infinity" } else { "\0-Infinity" });
        } else if number == 0.0 && number.is_sign_negative() {
            self.json.put_slice(b"-0");
        } else if number.abs() < EXACT && number.fract() == 0.0 {
            self.json(&(number as i64));
        } else {
            self.json(&number);
        }
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, scalar: &T) {
        serde_json::to_writer(&mut self.json, scalar)
            .expect("a scalar is always JSON, and memory does not fail");
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.json.push(b',');
        }
    }
}
