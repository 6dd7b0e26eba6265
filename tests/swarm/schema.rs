//! docs/protocol.md is the schema for other languages, and the code is what is spoken: the two are compared.

use midstreamer::protocol::messages::{FrameKind, Lane, Sender};
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

const SOURCES: [&str; 6] = [
    include_str!("../../src/protocol/messages/control.rs"),
    include_str!("../../src/protocol/messages/renewal.rs"),
    include_str!("../../src/protocol/messages/task.rs"),
    include_str!("../../src/protocol/messages/sync.rs"),
    include_str!("../../src/protocol/messages/enrolment.rs"),
    include_str!("../../src/protocol/messages/code.rs"),
];

/// "message Hello" or "enum Code", and its lines as in proto3: "uint32 protocol = 1".
type Schema = BTreeMap<String, Vec<String>>;

fn of_document() -> Schema {
    let text = DOCUMENT.split_once("```proto\n").unwrap().1.split_once("```").unwrap().0;
    let mut schema = Schema::new();
    let mut current = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap().trim();
        if let Some((name, rest)) = line.split_once(" {") {
            current = (rest != "}").then(|| name.to_owned());
            assert_eq!(schema.insert(name.to_owned(), Vec::new()), None, "{name} stands twice");
        } else if line == "}" {
            current = None;
        } else if let Some(name) = &current {
            schema.get_mut(name).unwrap().push(line.strip_suffix(';').unwrap().to_owned());
        } else {
            assert!(line.is_empty() || line.starts_with("syntax") || line.starts_with("package"), "{line}");
        }
    }
    schema
}

/// The same from what prost is told.
fn of_sources() -> Schema {
    let mut schema = Schema::new();
    for source in SOURCES {
        // What the item that follows is, its name, and the attribute of the field that follows.
        let (mut kind, mut current, mut attribute) = ("", String::new(), "");
        for line in source.lines().map(str::trim) {
            if line.starts_with("#[derive(") {
                kind = match line {
                    _ if line.contains("prost::Message") => "message",
                    _ if line.contains("prost::Enumeration") => "enum",
                    _ => panic!("{line}"),
                };
            } else if let Some(rest) =
                line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))
            {
                current = format!("{kind} {}", rest.split_once(" {").unwrap().0);
                assert_eq!(schema.insert(current.clone(), Vec::new()), None);
            } else if line == "}" {
                current.clear();
            } else if let Some(rest) = line.strip_prefix("#[prost(") {
                attribute = rest.strip_suffix(")]").unwrap();
            } else if let Some(rest) =
                line.strip_prefix("pub ").filter(|_| kind == "message" && !current.is_empty())
            {
                let (name, of) = rest.strip_suffix(',').unwrap().split_once(": ").unwrap();
                schema.get_mut(&current).unwrap().push(field(name, of, attribute));
            } else if let Some((name, number)) =
                line.split_once(" = ").filter(|_| current.starts_with("enum"))
            {
                let prefix = current.strip_prefix("enum ").unwrap();
                let value = format!("{}_{} = {}", upper(prefix), upper(name), number.trim_end_matches(','));
                schema.get_mut(&current).unwrap().push(value);
            }
        }
    }
    schema
}

/// `tag` says the number, the rest the type.
fn field(name: &str, of: &str, attribute: &str) -> String {
    let (kind, number) = attribute.rsplit_once(", tag = ").unwrap();
    let quoted = |text: &str| text.trim_matches('"').to_owned();
    let number = quoted(number);
    let message = || of.trim_start_matches("Vec<").trim_end_matches('>').to_owned();
    let kind = match kind.split_once(" = ") {
        Some(("bytes", _)) => "bytes".to_owned(),
        Some(("btree_map", of)) => format!("map<{}>", quoted(of)),
        Some(("enumeration", of)) => quoted(of).replace("super::", ""),
        Some(other) => panic!("{other:?}"),
        None => match kind.split_once(", ") {
            Some(("message", "repeated")) => format!("repeated {}", message()),
            Some((kind, label)) => format!("{label} {kind}"),
            None => kind.to_owned(),
        },
    };
    format!("{kind} {name} = {number}")
}

/// SessionReplaced becomes SESSION_REPLACED.
fn upper(name: &str) -> String {
    let mut upper = String::new();
    for (index, c) in name.char_indices() {
        if index > 0 && c.is_ascii_uppercase() {
            upper.push('_');
        }
        upper.push(c.to_ascii_uppercase());
    }
    upper
}

#[test]
fn the_document_has_the_schema_of_the_code() {
    let (document, code) = (of_document(), of_sources());
    assert_eq!(document.keys().collect::<Vec<_>>(), code.keys().collect::<Vec<_>>());
    for (name, fields) in &code {
        assert_eq!(&document[name], fields, "{name}");
    }
    let fields: usize = code.values().map(Vec::len).sum();
    assert!(code.len() > 20 && fields > 100, "{} types, {fields} fields", code.len());
}

#[test]
fn every_kind_has_its_message_and_its_row() {
    let schema = of_document();
    let rows: Vec<Vec<&str>> = (DOCUMENT.lines())
        .filter(|line| line.starts_with("| 0x"))
        .map(|line| line.split('|').skip(1).take(4).map(str::trim).collect())
        .collect();
    let expected: Vec<Vec<String>> = (FrameKind::ALL.iter())
        .map(|kind| {
            assert!(schema.contains_key(&format!("message {kind}")), "{kind}");
            let lane = match kind.lane() {
                Lane::Control => "control",
                Lane::Task => "task",
                Lane::Sync => "sync",
                Lane::Enrolment => "enrolment",
            };
            let from = match kind.sender() {
                Sender::Agent => "agent",
                Sender::Coordinator => "coordinator",
                Sender::Either => "either",
            };
            vec![format!("{:#04x}", kind.number()), kind.to_string(), lane.to_owned(), from.to_owned()]
        })
        .collect();
    assert_eq!(rows, expected);
}
