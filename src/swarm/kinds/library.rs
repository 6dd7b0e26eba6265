//! A search in patterns that come with the query: everything in one payload.

use super::fields::{Fields, quoted, show};
use super::series::{METRICS, NORMALIZATIONS, as_array, floats, values};
use super::shards::Shards;
use super::{KindFailure, Task};
use crate::protocol::value::{Elements, Item, List, Node};
use crate::search::library::{Library, Names, Row, Shape};
use crate::series::Series;
use bytes::Bytes;
use std::collections::HashSet;

/// The options of a library.
pub(super) const SHAPE: &[&str] = &["length", "channels", "window", "metric", "normalize"];

/// What all patterns have in common.
pub(super) fn shape(fields: &Fields<'_>) -> Result<Shape, KindFailure> {
    Ok(Shape {
        steps: fields.count("length")?,
        channels: fields.count_or("channels", 1)?,
        window: fields.radius("window")?,
        metric: fields.one_of("metric", METRICS)?,
        normalize: fields.one_of("normalize", NORMALIZATIONS)?,
    })
}

/// What is asked of a library.
pub(super) struct Request {
    pub(super) k: usize,
    pub(super) max_distance: f64,
    pub(super) as_of: Option<f64>,
}

impl Request {
    pub(super) const KNOWN: &[&str] = &["k", "maxDistance", "asOf"];

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, KindFailure> {
        Ok(Self {
            k: fields.count_or("k", 10)?,
            max_distance: fields.bound("maxDistance")?,
            as_of: fields.instant("asOf")?,
        })
    }
}

/// The values of a query, checked against the shape.
pub(super) fn query(fields: &Fields<'_>, shape: &Shape) -> Result<Vec<f64>, KindFailure> {
    let path = fields.path("query");
    let values = values(|| path.clone(), fields.get("query"))?;
    shape.series(&path, &values)?;
    Ok(values)
}

/// A pattern as it is in the payload.
struct Pattern<'a> {
    id: &'a str,
    values: Vec<f64>,
    meta: Option<Node<'a>>,
}

/// `{ patterns, options, query, search? }` to a list of `{ id, distance, similarity, meta? }`.
pub(super) fn search(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["patterns", "options", "query", "search"])?;
    let options = Fields::required("payload.options", fields.get("options"), SHAPE, task.kind)?;
    let shape = shape(&options)?;
    let request = Request::read(&task.options("payload.search", "search", Request::KNOWN)?)?;
    let query = query(&fields, &shape)?;
    let patterns = patterns(&fields, &shape, task.kind)?;

    let mut library = Library::new(shape);
    let rows: Vec<Row<'_>> = (patterns.iter())
        .map(|pattern| Row { values: &pattern.values, ends_at: ends_at(pattern.meta) })
        .collect();
    library.add(Names::List("payload.patterns"), &rows)?;
    let query = Series::new("payload.query", &query, shape.channels)?;
    let k = request.k.min(library.size());
    let (found, _) =
        library.snapshot().nearest(query, k, request.max_distance, request.as_of, &[], task.job)?;
    let matches = found.iter().map(|near| {
        // Ordinals of a new library count from 0.
        let pattern = &patterns[near.ordinal as usize];
        let similarity = 1.0 / (1.0 + near.distance / shape.steps as f64);
        let mut fields = vec![
            ("id".into(), pattern.id.into()),
            ("distance".into(), Item::Number(near.distance)),
            ("similarity".into(), Item::Number(similarity)),
        ];
        fields.extend(pattern.meta.map(|meta| ("meta".into(), item(meta))));
        Item::Object(fields)
    });
    task.reply(&Item::List(matches.collect()))
}

fn patterns<'a>(fields: &Fields<'a>, shape: &Shape, kind: &str) -> Result<Vec<Pattern<'a>>, KindFailure> {
    let path = fields.path("patterns");
    let patterns = match fields.get("patterns") {
        Some(Node::List(list)) => from_list(&path, list)?,
        Some(node @ Node::Object(_)) => {
            from_block(&Fields::required(&path, Some(node), &["ids", "data", "meta"], kind)?, shape)?
        }
        other => {
            return Err(KindFailure::invalid(format!(
                "{path} must be an array of {{ id, values }} or {{ ids, data }}, got {}",
                show(other)
            )));
        }
    };
    let mut seen = HashSet::new();
    match patterns.iter().find(|pattern| !seen.insert(pattern.id)) {
        Some(twice) => Err(KindFailure::invalid(format!("{path}: the id {} occurs twice", quoted(twice.id)))),
        None => Ok(patterns),
    }
}

fn from_list<'a>(path: &str, list: List<'a>) -> Result<Vec<Pattern<'a>>, KindFailure> {
    let one = |(index, node): (usize, Node<'a>)| {
        if !matches!(node, Node::Object(_)) {
            let got = show(Some(node));
            return Err(KindFailure::invalid(format!("{path}[{index}] must be {{ id, values }}, got {got}")));
        }
        // Other fields are the caller's own.
        let id = text(|| format!("{path}[{index}].id"), node.get("id"))?;
        let values = values(|| format!("{path}[{index}].values"), node.get("values"))?;
        Ok(Pattern { id, values, meta: node.get("meta") })
    };
    list.iter().enumerate().map(one).collect()
}

fn from_block<'a>(block: &Fields<'a>, shape: &Shape) -> Result<Vec<Pattern<'a>>, KindFailure> {
    let (ids, data, meta) = (block.get("ids"), block.get("data"), block.get("meta"));
    let Some(Node::List(ids)) = ids else {
        let path = block.path("ids");
        return Err(KindFailure::invalid(format!("{path} must be an array of strings, got {}", show(ids))));
    };
    let Some(values) = data.and_then(as_array).and_then(floats) else {
        let path = block.path("data");
        let got = show(data);
        return Err(KindFailure::invalid(format!(
            "{path} must be a Float64Array or a Float32Array, got {got}"
        )));
    };
    let metas = match meta {
        None => None,
        Some(Node::List(list)) => Some(list),
        other => {
            let path = block.path("meta");
            return Err(KindFailure::invalid(format!("{path} must be an array, got {}", show(other))));
        }
    };
    if metas.is_some_and(|metas| metas.len() != ids.len())
        || ids.len().checked_mul(shape.row()) != Some(values.len())
    {
        return Err(KindFailure::length_mismatch(format!(
            "{} holds {} ids of patterns of {} values, {} {} values",
            block.path("ids"),
            ids.len(),
            shape.row(),
            block.path("data"),
            values.len()
        )));
    }
    let row = |index: usize| values[index * shape.row()..(index + 1) * shape.row()].to_vec();
    (ids.iter().enumerate())
        .map(|(index, id)| {
            let id = text(|| format!("{}[{index}]", block.path("ids")), Some(id))?;
            Ok(Pattern { id, values: row(index), meta: metas.and_then(|metas| metas.get(index)) })
        })
        .collect()
}

fn text<'a>(path: impl Fn() -> String, node: Option<Node<'a>>) -> Result<&'a str, KindFailure> {
    node.and_then(Node::text)
        .ok_or_else(|| KindFailure::invalid(format!("{} must be a string, got {}", path(), show(node))))
}

/// The instant of meta.endsAt, NaN where there is none.
fn ends_at(meta: Option<Node<'_>>) -> f64 {
    let ends_at = meta.and_then(|meta| meta.get("endsAt")).and_then(Node::number);
    ends_at.filter(|instant| instant.is_finite()).unwrap_or(f64::NAN)
}

/// What was received, to be sent again.
fn item(node: Node<'_>) -> Item<'_> {
    match node {
        Node::Null => Item::Null,
        Node::Bool(value) => Item::Bool(value),
        Node::Number(number) => Item::Number(number),
        Node::Text(text) => text.into(),
        Node::Array(array) => Item::Array(Elements::Decoded(array)),
        Node::List(list) => Item::List(list.iter().map(item).collect()),
        Node::Object(object) => {
            Item::Object(object.iter().map(|(name, node)| (name.into(), item(node))).collect())
        }
    }
}
