//! Encoded values: the golden bytes that JavaScript is held to as well (`values.json`), every way back, bad bytes.

use bytes::{BufMut, Bytes};
use midstreamer::protocol::value::{
    ElementKind, Elements, Item, MAX_DEPTH, MAX_VALUES, Node, Value, ValueError, encode, encode_undefined,
};
use proptest::prelude::*;
use serde_json::Value as Json;

/// Larger than every value of the tests.
const LIMIT: usize = 1 << 24;

struct Golden {
    name: String,
    value: Json,
    bytes: Bytes,
}

fn golden() -> Vec<Golden> {
    let cases: Vec<Json> = serde_json::from_str(include_str!("values.json")).unwrap();
    let text = |case: &Json, field: &str| case[field].as_str().unwrap().to_owned();
    (cases.into_iter())
        .map(|case| Golden {
            name: text(&case, "name"),
            value: case["value"].clone(),
            bytes: bytes_of(&text(&case, "hex")),
        })
        .collect()
}

fn bytes_of(hex: &str) -> Bytes {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The valid values, for those who spoil them.
pub(crate) fn corpus() -> Vec<Bytes> {
    golden().into_iter().map(|case| case.bytes).collect()
}

/// Whether a node is what the fixture says in its own words.
fn is(node: Option<Node<'_>>, said: &Json) -> bool {
    let Some(node) = node else { return said["$undefined"] == true };
    match node {
        Node::Null => said.is_null(),
        Node::Bool(value) => said == value,
        Node::Text(text) => said == text,
        Node::Number(number) => match &said["$number"] {
            Json::String(name) => number.to_bits() == name.parse::<f64>().unwrap().to_bits(),
            _ => said.as_f64().is_some_and(|said| said.to_bits() == number.to_bits()),
        },
        Node::Array(array) => {
            let elements = said["$array"] == array.kind().to_string();
            elements && said["of"].as_array().is_some_and(|of| of.len() == array.len() && array_is(array, of))
        }
        Node::List(list) => {
            let items = said.as_array();
            items.is_some_and(|items| {
                items.len() == list.len() && list.iter().zip(items).all(|(x, y)| is(Some(x), y))
            })
        }
        Node::Object(object) => said.as_object().is_some_and(|fields| {
            fields.len() == object.len() && object.iter().all(|(key, x)| is(Some(x), &fields[key]))
        }),
    }
}

fn array_is(array: &midstreamer::protocol::value::Array, said: &[Json]) -> bool {
    match array.to_f64() {
        Some(values) => values.iter().zip(said).all(|(x, y)| y.as_f64() == Some(*x)),
        None => array.bytes().chunks(8).zip(said).all(|(bytes, text)| {
            let bytes = bytes.try_into().unwrap();
            let text = text.as_str().unwrap();
            match array.kind() {
                ElementKind::I64 => i64::from_le_bytes(bytes).to_string() == text,
                _ => u64::from_le_bytes(bytes).to_string() == text,
            }
        }),
    }
}

fn item_of(node: Node<'_>) -> Item<'_> {
    match node {
        Node::Null => Item::Null,
        Node::Bool(value) => Item::Bool(value),
        Node::Number(number) => number.into(),
        Node::Text(text) => text.into(),
        Node::Array(array) => Item::Array(Elements::Decoded(array)),
        Node::List(list) => Item::List(list.iter().map(item_of).collect()),
        Node::Object(object) => {
            Item::Object(object.iter().map(|(key, node)| (key.into(), item_of(node))).collect())
        }
    }
}

fn encoded_again(value: &Value) -> Bytes {
    value.root().map_or_else(encode_undefined, |node| encode(&item_of(node), LIMIT).unwrap())
}

#[test]
fn golden_bytes_are_what_they_say() {
    let cases = golden();
    assert!(cases.len() > 40);
    for case in cases {
        let value = Value::decode(&case.bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(is(value.root(), &case.value), "{}: {value:?}", case.name);
        // The fixture has its properties in order of their names. How a large or small number is written is free.
        let again = encoded_again(&value);
        if case.value.as_f64().is_some_and(|x| x != 0.0 && !(1e-6..1e21).contains(&x.abs())) {
            assert_eq!(Value::decode(&again).unwrap(), value, "{}", case.name);
        } else {
            assert_eq!(again, case.bytes, "{}", case.name);
        }
    }
}

/// A value by hand, with the right lengths and no array.
fn of_json(json: &str) -> Bytes {
    let mut out = Vec::new();
    out.put_u32_le(u32::try_from(json.len()).unwrap());
    out.put_u32_le(0);
    out.put_slice(json.as_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
    out.into()
}

fn refused(bytes: impl Into<Bytes>) -> ValueError {
    Value::decode(&bytes.into()).unwrap_err()
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    for text in
        ["0.1", "2.2250738585072014e-308", "9007199254740993", "1.0000000000000002", "123456789.12345679e-20"]
    {
        let value = Value::decode(&of_json(text)).unwrap();
        let expected: f64 = text.parse().unwrap();
        assert_eq!(value.root().unwrap().number().unwrap().to_bits(), expected.to_bits(), "{text}");
    }
}

#[test]
fn a_series_is_an_array_or_a_list_of_numbers() {
    let series = [1.5, -0.0, 3e300];
    let item = Item::Object(vec![
        ("a".into(), series[..].into()),
        ("b".into(), Item::List(series.iter().map(|&x| x.into()).collect())),
        ("c".into(), Item::List(vec![1.0.into(), "2".into()])),
        ("d".into(), Item::Array(Elements::F32(&[0.5, 1e30]))),
        ("e".into(), Item::Array(Elements::I32(&[i32::MIN, 7]))),
        ("f".into(), Item::Array(Elements::U32(&[u32::MAX]))),
        ("g".into(), Item::Array(Elements::U8(b"\x00\xff"))),
    ]);
    let value = Value::decode(&encode(&item, LIMIT).unwrap()).unwrap();
    let root = value.root().unwrap();
    let bits = |key: &str| {
        root.get(key).unwrap().to_f64().map(|xs| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    };
    let expected = |values: &[f64]| Some(values.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
    assert_eq!(bits("a"), expected(&series));
    assert_eq!(bits("b"), expected(&series));
    assert_eq!(bits("c"), None);
    assert_eq!(bits("d"), expected(&[0.5, f64::from(1e30f32)]));
    assert_eq!(bits("e"), expected(&[f64::from(i32::MIN), 7.0]));
    assert_eq!(bits("f"), expected(&[f64::from(u32::MAX)]));
    assert_eq!(bits("g"), expected(&[0.0, 255.0]));
    assert_eq!(root.get("absent"), None);
    assert_eq!(Node::Null.get("a"), None);
}

#[test]
fn decoded_arrays_share_the_memory_of_their_value() {
    let bytes = encode(&Item::Array(Elements::F64(&[1.0; 100])), LIMIT).unwrap();
    let memory = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
    let value = Value::decode(&bytes).unwrap();
    let Some(Node::Array(array)) = value.root() else { panic!("{value:?}") };
    assert!(memory.contains(&(array.bytes().as_ptr() as usize)));
}

#[test]
fn bytes_that_are_no_value_are_refused() {
    let f64s = encode(&Item::Array(Elements::F64(&[1.0])), LIMIT).unwrap();
    assert_eq!(f64s.len(), 48);
    let with = |at: usize, bytes: &[u8]| {
        let mut spoilt = f64s.to_vec();
        spoilt[at..at + bytes.len()].copy_from_slice(bytes);
        refused(spoilt)
    };
    for length in 0..f64s.len() {
        assert!(matches!(refused(f64s.slice(..length)), ValueError::Truncated { .. }), "{length}");
    }
    assert_eq!(refused([&f64s[..], &[0; 8]].concat()), ValueError::Trailing { bytes: 8 });
    assert_eq!(with(39, &[1]), ValueError::Padding { end: 40 });
    assert_eq!(with(8, &[11]), ValueError::UnknownType { index: 0, number: 11 });
    assert_eq!(with(12, &[1]), ValueError::Reserved { index: 0 });
    assert_eq!(with(16, &[7]), ValueError::PartElement { index: 0, bytes: 7, kind: ElementKind::F64 });
    assert!(matches!(with(16, &[0xf8; 8]), ValueError::Truncated { .. }));
    assert!(matches!(with(0, &[0xff; 8]), ValueError::Truncated { .. }));
    assert_eq!(with(24 + 7, b"1"), ValueError::StandIn { text: "1".into(), arrays: 1 });
    assert_eq!(with(24 + 1, b"abcdefg"), ValueError::Unused { index: 0 });
    assert_eq!(with(24 + 1, &[0xff]), ValueError::Utf8 { valid: 1 });
    assert!(matches!(with(24, b"x"), ValueError::Json { .. }));

    let twice =
        encode(&Item::List(vec![Item::Array(Elements::U8(&[])), Item::Array(Elements::U8(&[]))]), LIMIT)
            .unwrap();
    let twice: Vec<u8> = twice.iter().map(|&byte| if byte == b'1' { b'0' } else { byte }).collect();
    assert_eq!(refused(twice), ValueError::Repeated { index: 0 });
    let mut undefined = encode_undefined().to_vec();
    undefined[4] = 1;
    undefined.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(refused(undefined), ValueError::UndefinedWithArrays);
}

#[test]
fn json_that_is_no_value_is_refused() {
    for text in [
        "\\u0000",
        "\\u0000x",
        "\\u000001",
        "\\u0000+1",
        "\\u0000 1",
        "\\u0000-0",
        "\\u0000nan",
        "\\u000099999999999999999999",
    ] {
        let error = refused(of_json(&format!("[\"{text}\"]")));
        assert!(matches!(error, ValueError::StandIn { arrays: 0, .. }), "{text}: {error}");
    }
    for text in ["[1,]", "{\"a\":1", "NaN", "1 2", "\u{feff}1", "\"\\ud800\"", "'x'", "01", "[", "]", "\""] {
        assert!(matches!(refused(of_json(text)), ValueError::Json { .. }), "{text}");
    }
}

#[test]
fn depth_is_limited_on_both_ways() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let value = Value::decode(&of_json(&nested(MAX_DEPTH))).unwrap();
    assert_eq!(encoded_again(&value), of_json(&nested(MAX_DEPTH)));
    assert_eq!(refused(of_json(&nested(MAX_DEPTH + 1))), ValueError::TooDeep);
    assert_eq!(refused(of_json(&"{\"a\":".repeat(1 << 20))), ValueError::TooDeep);
    let brackets = of_json(&format!("\"\\\"{}\"", "[".repeat(1000)));
    assert!(Value::decode(&brackets).is_ok(), "brackets in a string are no containers");

    let mut item = Item::Null;
    for _ in 0..=MAX_DEPTH {
        item = Item::List(vec![item]);
    }
    assert_eq!(encode(&item, LIMIT), Err(ValueError::TooDeep));
}

#[test]
fn the_number_of_values_is_limited() {
    let zeros = |count: usize| of_json(&format!("[0{}]", ",0".repeat(count - 1)));
    assert!(Value::decode(&zeros(MAX_VALUES - 2)).is_ok());
    assert_eq!(refused(zeros(MAX_VALUES)), ValueError::TooMany);
    assert_eq!(refused(of_json(&format!("[{{}}{}]", ",{}".repeat(MAX_VALUES / 2)))), ValueError::TooMany);
    assert!(Value::decode(&of_json(&format!("\"{}\"", ",[{".repeat(MAX_VALUES)))).is_ok());
}

#[test]
fn the_limit_of_bytes_is_exact() {
    let item = Item::Array(Elements::F64(&[0.5; 3]));
    assert_eq!(encode(&item, 64).unwrap().len(), 64);
    assert_eq!(encode(&item, 63), Err(ValueError::TooLarge { bytes: 64, limit: 63 }));
}

/// Something to encode, owned.
#[derive(Debug, Clone)]
enum Owned {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    F64(Vec<f64>),
    U8(Vec<u8>),
    List(Vec<Owned>),
    Object(Vec<(String, Owned)>),
}

impl Owned {
    fn item(&self) -> Item<'_> {
        match self {
            Self::Null => Item::Null,
            Self::Bool(value) => Item::Bool(*value),
            Self::Number(number) => Item::Number(*number),
            Self::Text(text) => text.as_str().into(),
            Self::F64(values) => values.as_slice().into(),
            Self::U8(values) => Item::Array(Elements::U8(values)),
            Self::List(items) => Item::List(items.iter().map(Self::item).collect()),
            Self::Object(fields) => Item::Object(fields.iter().map(|(k, v)| (k.into(), v.item())).collect()),
        }
    }

    fn is(&self, node: Node<'_>) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        match (self, node) {
            (Self::Null, Node::Null) => true,
            (Self::Bool(a), Node::Bool(b)) => *a == b,
            (Self::Number(a), Node::Number(b)) => same(*a, b),
            (Self::Text(a), Node::Text(b)) => a == b,
            (Self::F64(a), Node::Array(b)) => {
                let b = b.to_f64().unwrap();
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, b))
            }
            (Self::U8(a), Node::Array(b)) => b.bytes() == a,
            (Self::List(a), Node::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is(b))
            }
            (Self::Object(a), Node::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| a.is(b)))
            }
            _ => false,
        }
    }
}

fn any_value() -> impl Strategy<Value = Owned> {
    let text = || prop_oneof!["\\PC*", "\\x00{0,3}[0-9a]{0,2}"];
    let leaf = prop_oneof![
        Just(Owned::Null),
        any::<bool>().prop_map(Owned::Bool),
        any::<f64>().prop_map(Owned::Number),
        any::<i64>().prop_map(|x| Owned::Number(x as f64)),
        text().prop_map(Owned::Text),
        prop::collection::vec(any::<f64>(), 0..5).prop_map(Owned::F64),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Owned::U8),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let fields = prop::collection::btree_map(text(), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Owned::List),
            fields.prop_map(|fields| Owned::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back(value in any_value()) {
        let bytes = encode(&value.item(), LIMIT).unwrap();
        prop_assert_eq!(bytes.len() % 8, 0);
        let decoded = Value::decode(&bytes).unwrap();
        prop_assert!(value.is(decoded.root().unwrap()), "{:?}", decoded);
        prop_assert_eq!(encoded_again(&decoded), bytes);
    }
}
