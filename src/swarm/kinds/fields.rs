//! Objects of a payload: every name known, every value checked, and errors that name the place.

use super::KindFailure;
use crate::protocol::value::{Node, Object};

/// The largest integer below which a JavaScript number holds every integer exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// An object, or what stands for one that was left out.
pub(super) struct Fields<'a> {
    path: String,
    object: Option<Object<'a>>,
}

impl<'a> Fields<'a> {
    /// An object that must be there. `kind` is for errors.
    pub(super) fn required(
        path: &str,
        node: Option<Node<'a>>,
        known: &[&str],
        kind: &str,
    ) -> Result<Self, KindFailure> {
        match node {
            Some(Node::Object(object)) => {
                if let Some((name, _)) = object.iter().find(|(name, _)| !known.contains(name)) {
                    let known = known.join(", ");
                    return Err(KindFailure::invalid(format!(
                        "{}{} is unknown: {kind:?} takes {known} there",
                        path,
                        property(name)
                    )));
                }
                Ok(Self { path: path.to_owned(), object: Some(object) })
            }
            other => Err(KindFailure::invalid(format!("{path} must be an object, got {}", show(other)))),
        }
    }

    /// An object that may be left out.
    pub(super) fn optional(
        path: &str,
        node: Option<Node<'a>>,
        known: &[&str],
        kind: &str,
    ) -> Result<Self, KindFailure> {
        match node {
            None => Ok(Self { path: path.to_owned(), object: None }),
            some => Self::required(path, some, known, kind),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        self.object.and_then(|object| object.get(name))
    }

    /// What errors call the field.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{}", self.path, property(name))
    }

    fn refuse(&self, name: &str, wanted: &str) -> KindFailure {
        KindFailure::invalid(format!("{} must be {wanted}, got {}", self.path(name), show(self.get(name))))
    }

    fn integer(&self, name: &str, least: f64) -> Option<usize> {
        let number = self.get(name)?.number()?;
        // In range, and usize has 64 bits wherever this package runs.
        ((least..=MAX_SAFE_INTEGER).contains(&number) && number.fract() == 0.0).then_some(number as usize)
    }

    /// An integer >= 1.
    pub(super) fn count(&self, name: &str) -> Result<usize, KindFailure> {
        self.integer(name, 1.0).ok_or_else(|| self.refuse(name, "an integer >= 1"))
    }

    /// The same, or `default` where it is absent.
    pub(super) fn count_or(&self, name: &str, default: usize) -> Result<usize, KindFailure> {
        if self.get(name).is_none() { Ok(default) } else { self.count(name) }
    }

    /// An integer >= 0.
    pub(super) fn natural(&self, name: &str) -> Result<usize, KindFailure> {
        self.integer(name, 0.0).ok_or_else(|| self.refuse(name, "an integer >= 0"))
    }

    /// A Sakoe-Chiba radius.
    pub(super) fn radius(&self, name: &str) -> Result<Option<usize>, KindFailure> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        let radius = self.integer(name, 0.0);
        radius.map(Some).ok_or_else(|| self.refuse(name, "an integer >= 0, in samples"))
    }

    /// A number >= 0; infinity where it is absent.
    pub(super) fn bound(&self, name: &str) -> Result<f64, KindFailure> {
        match self.get(name) {
            None => Ok(f64::INFINITY),
            Some(Node::Number(number)) if number >= 0.0 => Ok(number),
            Some(_) => Err(self.refuse(name, "a number >= 0")),
        }
    }

    /// Epoch milliseconds.
    pub(super) fn instant(&self, name: &str) -> Result<Option<f64>, KindFailure> {
        match self.get(name) {
            None => Ok(None),
            Some(Node::Number(number)) if !number.is_nan() => Ok(Some(number)),
            Some(_) => Err(self.refuse(name, "a number, in epoch milliseconds")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, KindFailure> {
        self.get(name).and_then(Node::text).ok_or_else(|| self.refuse(name, "a string"))
    }

    /// One of the names, as what stands beside it; the first where it is absent.
    pub(super) fn one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, KindFailure> {
        let chosen = match self.get(name) {
            None => choices.first(),
            Some(Node::Text(text)) => choices.iter().find(|(choice, _)| *choice == text),
            Some(_) => None,
        };
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
            self.refuse(name, &names.join(" or "))
        })
    }
}

/// A property behind the path of its object.
fn property(name: &str) -> String {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    let plain = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    if plain { format!(".{name}") } else { format!("[{}]", quoted(name)) }
}

/// A value for an error message: short, on one line, whatever it is.
pub(super) fn show(node: Option<Node<'_>>) -> String {
    match node {
        None => "undefined".to_owned(),
        Some(Node::Null) => "null".to_owned(),
        Some(Node::Bool(value)) => value.to_string(),
        Some(Node::Number(number)) => show_number(number),
        Some(Node::Text(text)) => quoted(text),
        Some(Node::Array(array)) => format!("a {}", array.kind()),
        Some(Node::List(_)) => "an array".to_owned(),
        Some(Node::Object(_)) => "an object".to_owned(),
    }
}

/// A number as JavaScript prints it, but for exponents.
pub(super) fn show_number(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => number.to_string(),
    }
}

/// The beginning of a text in quotes.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}", format!("{}...", &text[..end])),
        None => format!("{text:?}"),
    }
}
