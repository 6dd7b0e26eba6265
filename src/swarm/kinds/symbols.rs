//! Sequences of symbols of a payload, as numbers that are equal where the symbols are.

use super::KindFailure;
use super::fields::{Fields, show, show_number};
use super::series::{as_array, ends};
use crate::protocol::value::{Array, ElementKind, List, Node};
use std::collections::HashMap;

/// What a sequence consists of; only sequences of one family are compared.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    /// UTF-16 code units.
    Text,
    Strings,
    Numbers,
    /// An empty array is both of numbers and of strings.
    Any,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Strings => "an array of strings",
            Self::Numbers => "numbers",
            Self::Any => "an empty array",
        }
    }
}

fn family(path: &dyn Fn() -> String, node: Option<Node<'_>>) -> Result<Family, KindFailure> {
    match node {
        Some(Node::Text(_)) => Ok(Family::Text),
        Some(Node::Array(array)) if matches!(array.kind(), ElementKind::I32 | ElementKind::U8) => {
            Ok(Family::Numbers)
        }
        Some(Node::List(list)) => match list.get(0) {
            None => Ok(Family::Any),
            Some(Node::Number(_)) => Ok(Family::Numbers),
            Some(Node::Text(_)) => Ok(Family::Strings),
            other => Err(KindFailure::invalid(format!(
                "{}[0] must be a number or a string, got {}",
                path(),
                show(other)
            ))),
        },
        other => Err(KindFailure::invalid(format!(
            "{} must be an Int32Array, a Uint8Array, a string or an array of numbers or strings, got {}",
            path(),
            show(other)
        ))),
    }
}

/// The sequences, numbered alike; `path(i)` is what errors call sequence `i`.
fn numbered(
    path: &dyn Fn(usize) -> String,
    sequences: &[Option<Node<'_>>],
) -> Result<Vec<Vec<u32>>, KindFailure> {
    let (mut common, mut from) = (Family::Any, 0);
    for (index, &sequence) in sequences.iter().enumerate() {
        let own = family(&|| path(index), sequence)?;
        if own == common {
            continue;
        }
        if common == Family::Any && (index == 0 || own != Family::Text) {
            (common, from) = (own, index);
        } else if own != Family::Any || common == Family::Text {
            return Err(KindFailure::invalid(format!(
                "{} is {} but {} is {}: sequences that are compared must be of one kind",
                path(index),
                own.name(),
                path(from),
                common.name()
            )));
        }
    }
    let each = || sequences.iter().copied().flatten().enumerate();
    match common {
        Family::Text => Ok(each().map(|(_, node)| code_units(node)).collect()),
        Family::Strings => {
            let mut ids = HashMap::new();
            each().map(|(index, node)| strings(&|| path(index), node, &mut ids)).collect()
        }
        Family::Numbers | Family::Any => {
            let all: Vec<Vec<f64>> =
                each().map(|(index, node)| numbers(&|| path(index), node)).collect::<Result<_, _>>()?;
            Ok(by_value(&all))
        }
    }
}

fn code_units(node: Node<'_>) -> Vec<u32> {
    node.text().unwrap_or_default().encode_utf16().map(u32::from).collect()
}

fn strings<'a>(
    path: &dyn Fn() -> String,
    node: Node<'a>,
    ids: &mut HashMap<&'a str, u32>,
) -> Result<Vec<u32>, KindFailure> {
    items(node)
        .enumerate()
        .map(|(index, item)| {
            let text = item.text().ok_or_else(|| wrong_item(path, index, "a string", item))?;
            let next = ids.len() as u32;
            Ok(*ids.entry(text).or_insert(next))
        })
        .collect()
}

fn numbers(path: &dyn Fn() -> String, node: Node<'_>) -> Result<Vec<f64>, KindFailure> {
    if let Some(values) = as_array(node).and_then(Array::to_f64) {
        return Ok(values);
    }
    items(node)
        .enumerate()
        .map(|(index, item)| match item {
            Node::Number(number) if number.is_finite() => Ok(number),
            Node::Number(number) => {
                Err(KindFailure::non_finite(format!("{}[{index}] is {}", path(), show_number(number))))
            }
            _ => Err(wrong_item(path, index, "a number", item)),
        })
        .collect()
}

/// The items of a list; none for everything else.
fn items<'a>(node: Node<'a>) -> impl Iterator<Item = Node<'a>> {
    let list = match node {
        Node::List(list) => Some(list),
        _ => None,
    };
    list.into_iter().flat_map(List::iter)
}

fn wrong_item(path: &dyn Fn() -> String, index: usize, wanted: &str, item: Node<'_>) -> KindFailure {
    KindFailure::invalid(format!("{}[{index}] must be {wanted}, got {}", path(), show(Some(item))))
}

/// 32-bit integers as they are; with one number among them that is none, all by the order of their appearance.
fn by_value(sequences: &[Vec<f64>]) -> Vec<Vec<u32>> {
    let bits = |number: &f64| {
        let integer = *number as i32;
        (f64::from(integer) == *number).then_some(integer as u32)
    };
    let integers: Option<Vec<Vec<u32>>> =
        sequences.iter().map(|sequence| sequence.iter().map(bits).collect()).collect();
    integers.unwrap_or_else(|| {
        let mut ids = HashMap::new();
        let mut id = |number: &f64| {
            let next = ids.len() as u32;
            // The sum makes one zero of both.
            *ids.entry((number + 0.0).to_bits()).or_insert(next)
        };
        sequences.iter().map(|sequence| sequence.iter().map(&mut id).collect()).collect()
    })
}

/// The two sequences of a pair.
pub(super) fn pair(fields: &Fields<'_>) -> Result<(Vec<u32>, Vec<u32>), KindFailure> {
    let path = |index: usize| fields.path(if index == 0 { "a" } else { "b" });
    let mut both = numbered(&path, &[fields.get("a"), fields.get("b")])?.into_iter();
    Ok((both.next().unwrap_or_default(), both.next().unwrap_or_default()))
}

/// A list of sequences.
pub(super) fn list(fields: &Fields<'_>, name: &str) -> Result<Vec<Vec<u32>>, KindFailure> {
    let path = fields.path(name);
    match fields.get(name) {
        Some(Node::List(list)) => {
            let sequences: Vec<Option<Node<'_>>> = list.iter().map(Some).collect();
            numbered(&|index| format!("{path}[{index}]"), &sequences)
        }
        other => {
            Err(KindFailure::invalid(format!("{path} must be an array of sequences, got {}", show(other))))
        }
    }
}

/// The rows and columns of a tile, packed: `symbols` in the narrowest type that holds them, where each sequence ends, and
/// how many of them are rows. Without rows the tile is a matrix of all pairs.
pub(super) struct Tile {
    pub(super) rows: Vec<Vec<u32>>,
    pub(super) columns: Vec<Vec<u32>>,
}

impl Tile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, KindFailure> {
        let Some(symbols) = fields.get("symbols").and_then(as_array).and_then(unsigned) else {
            let wanted = "a Uint8Array, Uint16Array or Uint32Array";
            return Err(KindFailure::invalid(format!("{} must be {wanted}", fields.path("symbols"))));
        };
        let ends = ends(fields, "ends", symbols.len())?;
        let mut start = 0;
        let mut rows: Vec<Vec<u32>> =
            (ends.iter()).map(|&end| symbols[std::mem::replace(&mut start, end)..end].to_vec()).collect();
        let columns = rows.split_off(fields.natural("rows")?.min(rows.len()));
        Ok(Self { rows, columns })
    }
}

fn unsigned(array: &Array) -> Option<Vec<u32>> {
    let bytes = array.bytes();
    match array.kind() {
        ElementKind::U8 => Some(bytes.iter().map(|&byte| u32::from(byte)).collect()),
        ElementKind::U16 => {
            Some(bytes.as_chunks().0.iter().map(|&unit| u32::from(u16::from_le_bytes(unit))).collect())
        }
        ElementKind::U32 => {
            Some(bytes.as_chunks().0.iter().map(|&symbol| u32::from_le_bytes(symbol)).collect())
        }
        _ => None,
    }
}
