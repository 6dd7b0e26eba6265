//! The content of a component on its way: what is in [`super::component::Component::body`] before it is sealed.
//!
//! Encoding (all numbers little-endian, lengths as LEB128 varints):
//! row = text table, count, (text column, cell)..., u8 has-embedding, [bytes vector, cell model]; share = zigzag varint
//! trials, count of means, (u8 flags, [f64 sum], [f64 prior])..., where the flags say of a mean that it has a sum (1), a prior (2),
//! a prior other than 0 (4), and what is 0 takes no bytes; cell = u8 tag, then nothing (NULL), i64, f64, text, blob or a gid.
//! Columns are in the order of their names, so that equal contents are equal bytes.

use super::database::Value;
use super::identity::Gid;

/// More columns than SQLite allows by default (SQLITE_MAX_COLUMN).
const MAX_COLUMNS: usize = 2_000;
/// More means than any table has counted columns.
const MAX_MEANS: usize = 64;

/// Flags of a mean.
const HAS_SUM: u8 = 1;
const HAS_PRIOR: u8 = 2;
/// Of a prior: it is not 0.
const HAS_VALUE: u8 = 4;

/// A column's content.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// As it is stored.
    Value(Value),
    /// A row of another table.
    Reference(Gid),
}

/// A vector and what made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Raw little-endian f32.
    pub vector: Vec<u8>,
    /// The model's name, where the table keeps one; else NULL.
    pub model: Value,
}

/// The content of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The table's name.
    pub table: String,
    /// Column and content, by name.
    pub cells: Vec<(String, Cell)>,
    /// Its embedding.
    pub embedding: Option<Embedding>,
}

/// What one origin has counted in a row: trials, and for each mean the sum over its trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    /// Trials; negative when a user has lowered a count.
    pub count: i64,
    /// In the order of [`super::table::Counters::means`].
    pub means: Vec<Mean>,
}

/// One mean of a share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// Mean times count.
    pub sum: f64,
    /// What stands there while there are no trials at all.
    pub prior: Option<f64>,
}

/// Bytes that are no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Content {
    /// Encoded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_bytes(&mut out, self.table.as_bytes());
        put_length(&mut out, self.cells.len());
        for (name, cell) in &self.cells {
            put_bytes(&mut out, name.as_bytes());
            put_cell(&mut out, cell);
        }
        out.push(u8::from(self.embedding.is_some()));
        if let Some(embedding) = &self.embedding {
            put_bytes(&mut out, &embedding.vector);
            put_value(&mut out, &embedding.model);
        }
        out
    }

    /// # Errors
    ///
    /// [`Malformed`], also when something follows.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        let table = input.text()?;
        let count = input.length()?;
        if count > MAX_COLUMNS {
            return Err(Malformed);
        }
        let cells = (0..count).map(|_| Ok((input.text()?, input.cell()?))).collect::<Result<_, _>>()?;
        let embedding = match input.byte()? {
            0 => None,
            1 => Some(Embedding { vector: input.bytes()?.to_vec(), model: input.value()? }),
            _ => return Err(Malformed),
        };
        input.end(Self { table, cells, embedding })
    }
}

impl Share {
    /// Encoded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 17 * self.means.len());
        put_varint(&mut out, (self.count.cast_unsigned() << 1) ^ (self.count >> 63).cast_unsigned());
        put_length(&mut out, self.means.len());
        for mean in &self.means {
            let numbers = [(HAS_SUM, Some(mean.sum)), (HAS_VALUE, mean.prior)];
            let kept = numbers.map(|(flag, number)| (flag, number.filter(|number| number.to_bits() != 0)));
            let flags =
                kept.iter().filter(|(_, number)| number.is_some()).fold(0, |flags, (flag, _)| flags | flag);
            out.push(flags | if mean.prior.is_some() { HAS_PRIOR } else { 0 });
            for (_, number) in kept {
                out.extend(number.iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        out
    }

    /// # Errors
    ///
    /// [`Malformed`], also when something follows, a sum or prior is not finite, or it is not as [`Share::encode`] has it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        let zigzag = input.varint()?;
        let count = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let means = input.length()?;
        if means > MAX_MEANS {
            return Err(Malformed);
        }
        let means = (0..means)
            .map(|_| {
                let flags = input.byte()?;
                if flags & !(HAS_SUM | HAS_PRIOR | HAS_VALUE) != 0
                    || flags & (HAS_PRIOR | HAS_VALUE) == HAS_VALUE
                {
                    return Err(Malformed);
                }
                let mut number = |flag| if flags & flag == 0 { Ok(0.0) } else { input.not_zero() };
                let (sum, prior) = (number(HAS_SUM)?, number(HAS_VALUE)?);
                Ok(Mean { sum, prior: (flags & HAS_PRIOR != 0).then_some(prior) })
            })
            .collect::<Result<_, _>>()?;
        input.end(Self { count, means })
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, length as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Integer(integer) => {
            out.push(1);
            out.extend_from_slice(&integer.to_le_bytes());
        }
        Value::Real(real) => {
            out.push(2);
            out.extend_from_slice(&real.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(3);
            put_bytes(out, text.as_bytes());
        }
        Value::Blob(blob) => {
            out.push(4);
            put_bytes(out, blob);
        }
    }
}

fn put_cell(out: &mut Vec<u8>, cell: &Cell) {
    match cell {
        Cell::Value(value) => put_value(out, value),
        Cell::Reference(gid) => {
            out.push(5);
            out.extend_from_slice(&gid.0);
        }
    }
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// A finite number other than 0, which takes no bytes.
    fn not_zero(&mut self) -> Result<f64, Malformed> {
        let value = f64::from_le_bytes(self.array()?);
        (value.is_finite() && value.to_bits() != 0).then_some(value).ok_or(Malformed)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte != 0 || shift == 0 { Ok(number) } else { Err(Malformed) };
            }
        }
        Err(Malformed)
    }

    /// Never more than what is left, so that nothing is reserved for a length that is a lie.
    fn length(&mut self) -> Result<usize, Malformed> {
        let mut length = 0_usize;
        for shift in (0..28).step_by(7) {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if length <= self.0.len() && (byte != 0 || shift == 0) {
                    Ok(length)
                } else {
                    Err(Malformed)
                };
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed)
    }

    fn cell(&mut self) -> Result<Cell, Malformed> {
        if self.0.first() == Some(&5) {
            self.byte()?;
            return Ok(Cell::Reference(Gid(self.array()?)));
        }
        self.value().map(Cell::Value)
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Integer(i64::from_le_bytes(self.array()?)),
            2 => Value::Real(f64::from_le_bytes(self.array()?)),
            3 => Value::Text(self.text()?),
            4 => Value::Blob(self.bytes()?.to_vec()),
            _ => return Err(Malformed),
        })
    }

    fn end<T>(&self, value: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(value) } else { Err(Malformed) }
    }
}
