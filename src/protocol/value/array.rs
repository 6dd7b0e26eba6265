//! Typed arrays as they travel.

use bytes::Bytes;
use std::fmt;

/// The element types of JavaScript's typed arrays; the discriminant is the number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ElementKind {
    /// Int8Array.
    I8 = 0,
    /// Uint8Array, and Buffer.
    U8 = 1,
    /// Uint8ClampedArray.
    U8Clamped = 2,
    /// Int16Array.
    I16 = 3,
    /// Uint16Array.
    U16 = 4,
    /// Int32Array.
    I32 = 5,
    /// Uint32Array.
    U32 = 6,
    /// Float32Array.
    F32 = 7,
    /// Float64Array.
    F64 = 8,
    /// BigInt64Array.
    I64 = 9,
    /// BigUint64Array.
    U64 = 10,
}

impl ElementKind {
    /// Every kind, by number.
    pub const ALL: [Self; 11] = [
        Self::I8,
        Self::U8,
        Self::U8Clamped,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::F32,
        Self::F64,
        Self::I64,
        Self::U64,
    ];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Bytes of one element.
    pub const fn element_bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::U8Clamped => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

impl fmt::Display for ElementKind {
    /// The name in JavaScript.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I8 => "Int8Array",
            Self::U8 => "Uint8Array",
            Self::U8Clamped => "Uint8ClampedArray",
            Self::I16 => "Int16Array",
            Self::U16 => "Uint16Array",
            Self::I32 => "Int32Array",
            Self::U32 => "Uint32Array",
            Self::F32 => "Float32Array",
            Self::F64 => "Float64Array",
            Self::I64 => "BigInt64Array",
            Self::U64 => "BigUint64Array",
        })
    }
}

/// A typed array of a decoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    kind: ElementKind,
    bytes: Bytes,
}

impl Array {
    /// The length in bytes was checked.
    pub(super) fn new(kind: ElementKind, bytes: Bytes) -> Self {
        Self { kind, bytes }
    }

    /// Its type.
    pub fn kind(&self) -> ElementKind {
        self.kind
    }

    /// Its elements as they travel: little-endian, one after the other.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.element_bytes()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements as numbers, without any loss; `None` for 64-bit integers, which are no numbers in JavaScript either.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match self.kind {
            ElementKind::I8 => self.elements(|x| f64::from(i8::from_le_bytes(x))),
            ElementKind::U8 | ElementKind::U8Clamped => self.elements(|x| f64::from(u8::from_le_bytes(x))),
            ElementKind::I16 => self.elements(|x| f64::from(i16::from_le_bytes(x))),
            ElementKind::U16 => self.elements(|x| f64::from(u16::from_le_bytes(x))),
            ElementKind::I32 => self.elements(|x| f64::from(i32::from_le_bytes(x))),
            ElementKind::U32 => self.elements(|x| f64::from(u32::from_le_bytes(x))),
            ElementKind::F32 => self.elements(|x| f64::from(f32::from_le_bytes(x))),
            ElementKind::F64 => self.elements(f64::from_le_bytes),
            ElementKind::I64 | ElementKind::U64 => return None,
        })
    }

    fn elements<const N: usize, T>(&self, element: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.as_chunks::<N>().0.iter().map(|&bytes| element(bytes)).collect()
    }
}
