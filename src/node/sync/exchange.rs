//! Values between the engine and JavaScript's drivers, as bytes in one buffer that both sides see (js/agentdb/exchange.js).
//!
//! Parameters: u32 count, values. Rows: u32 count, u32 columns, values row by row. A value is a tag and what it is made of:
//!
//! | tag | value | bytes |
//! | --- | --- | --- |
//! | 0 | NULL | none |
//! | 1 | integer | i64 |
//! | 2 | real | f64 |
//! | 3 | text | u32 length, UTF-8 |
//! | 4 | blob | u32 length, bytes |
//!
//! All numbers are little-endian.

use crate::sync::database::{Rows, Value};

/// More columns than SQLite allows by default (SQLITE_MAX_COLUMN), so that no count is believed before its values are there.
const MAX_COLUMNS: usize = 2_000;

/// The bytes that parameters take. `None`: one of them is of 4 GiB or more, which SQLite would refuse too.
pub(super) fn size(values: &[Value]) -> Option<usize> {
    values.iter().try_fold(4_usize, |sum, value| {
        let length = match value {
            Value::Null => 0,
            Value::Integer(_) | Value::Real(_) => 8,
            Value::Text(text) => 4 + u32::try_from(text.len()).ok()? as usize,
            Value::Blob(blob) => 4 + u32::try_from(blob.len()).ok()? as usize,
        };
        sum.checked_add(1 + length)
    })
}

/// Writes parameters into a buffer that has room for them ([`size`]).
pub(super) fn write(values: &[Value], buffer: &mut [u8]) {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        buffer[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&(values.len() as u32).to_le_bytes());
    for value in values {
        match value {
            Value::Null => put(&[0]),
            Value::Integer(integer) => {
                put(&[1]);
                put(&integer.to_le_bytes());
            }
            Value::Real(real) => {
                put(&[2]);
                put(&real.to_le_bytes());
            }
            Value::Text(text) => {
                put(&[3]);
                put(&(text.len() as u32).to_le_bytes());
                put(text.as_bytes());
            }
            Value::Blob(blob) => {
                put(&[4]);
                put(&(blob.len() as u32).to_le_bytes());
                put(blob);
            }
        }
    }
}

/// Reads rows; `None` of bytes that are none.
pub(super) fn read(mut bytes: &[u8]) -> Option<Rows> {
    let (count, columns) = (word(&mut bytes)?, word(&mut bytes)?);
    if columns > MAX_COLUMNS || (columns == 0 && count > 0) {
        return None;
    }
    let mut rows = Rows::new();
    for _ in 0..count {
        let mut row = Vec::with_capacity(columns);
        for _ in 0..columns {
            row.push(value(&mut bytes)?);
        }
        rows.push(row);
    }
    bytes.is_empty().then_some(rows)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn word(bytes: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?) as usize)
}

fn value(bytes: &mut &[u8]) -> Option<Value> {
    Some(match take(bytes, 1)?[0] {
        0 => Value::Null,
        1 => Value::Integer(i64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        2 => Value::Real(f64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        3 => {
            let length = word(bytes)?;
            Value::Text(String::from_utf8(take(bytes, length)?.to_vec()).ok()?)
        }
        4 => {
            let length = word(bytes)?;
            Value::Blob(take(bytes, length)?.to_vec())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let values = vec![
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.0),
            Value::Text("na\u{ef}ve \u{1f600}".to_owned()),
            Value::Text(String::new()),
            Value::Blob(Vec::new()),
            Value::Blob(vec![0, 255]),
        ];
        let mut bytes = vec![0; size(&values).unwrap()];
        write(&values, &mut bytes);
        // One row of as many columns.
        let rows = [&1_u32.to_le_bytes()[..], &bytes].concat();
        assert_eq!(read(&rows), Some(vec![values]));
        for end in 0..rows.len() {
            assert_eq!(read(&rows[..end]), None);
        }
        assert_eq!(read(&[&rows[..], &[0]].concat()), None);
        assert_eq!(read(&[0; 8]), Some(Rows::new()));
    }

    #[test]
    fn counts_that_are_lies_reserve_nothing() {
        for counts in [[u32::MAX, 0], [1, u32::MAX], [u32::MAX, 1], [1, 2_001]] {
            let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
            assert_eq!(read(&bytes), None);
        }
        // A text that is longer than what is there, and one that is no UTF-8.
        for value in [&[3, 255, 255, 255, 255, 0][..], &[3, 1, 0, 0, 0, 0xff], &[5]] {
            assert_eq!(read(&[&[1, 0, 0, 0, 1, 0, 0, 0][..], value].concat()), None);
        }
    }
}
