//! A look into a decoded value, with the arrays where their stand-ins are.

use super::{Array, Meaning, meaning};
use serde_json::{Map, Value as Json};

/// Something inside a value, or all of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node<'a> {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number; only one that a kernel returned is not finite.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// A typed array.
    Array(&'a Array),
    /// An array of anything.
    List(List<'a>),
    /// A plain object.
    Object(Object<'a>),
}

impl<'a> Node<'a> {
    /// The stand-ins in `json` were checked against `arrays`.
    pub(super) fn of(json: &'a Json, arrays: &'a [Array]) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(
                number.as_f64().expect("every number is one of 64 bits without arbitrary_precision"),
            ),
            Json::String(text) => match meaning(text).expect("decode() has looked at every string") {
                Meaning::Text(text) => Self::Text(text),
                Meaning::Number(number) => Self::Number(number),
                Meaning::Array(index) => Self::Array(&arrays[index]),
            },
            Json::Array(items) => Self::List(List { items, arrays }),
            Json::Object(fields) => Self::Object(Object { fields, arrays }),
        }
    }

    /// The property of an object; `None` when there is none or this is no object.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        match self {
            Self::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// A series: a typed array, or an array of numbers alone. `None` for everything else.
    pub fn to_f64(self) -> Option<Vec<f64>> {
        match self {
            Self::Array(array) => array.to_f64(),
            Self::List(list) => list.iter().map(Node::number).collect(),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// An array of anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct List<'a> {
    items: &'a [Json],
    arrays: &'a [Array],
}

impl<'a> List<'a> {
    /// Number of items.
    pub fn len(self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.items.is_empty()
    }

    /// One item.
    pub fn get(self, index: usize) -> Option<Node<'a>> {
        self.items.get(index).map(|item| Node::of(item, self.arrays))
    }

    /// All items, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Node<'a>> {
        self.items.iter().map(move |item| Node::of(item, self.arrays))
    }
}

/// A plain object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object<'a> {
    fields: &'a Map<String, Json>,
    arrays: &'a [Array],
}

impl<'a> Object<'a> {
    /// Number of properties.
    pub fn len(self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.fields.is_empty()
    }

    /// One property.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.fields.get(key).map(|field| Node::of(field, self.arrays))
    }

    /// All properties, in no particular order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, Node<'a>)> {
        self.fields.iter().map(move |(key, field)| (key.as_str(), Node::of(field, self.arrays)))
    }
}
