//! The built-in kinds from outside: payload in, result out, the same bits as the functions of the crate; bad payloads;
//! shards of libraries.

mod refusals;
mod shards;

use bytes::Bytes;
use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, lcs};
use midstreamer::protocol::value::{Elements, Item, Node, Value, encode};
use midstreamer::search::library::{Library, Names, Row, Shape};
use midstreamer::search::{self, Candidates, Job, LcsRatio};
use midstreamer::series::Series;
use midstreamer::swarm::kinds::{KindFailure, Kinds};
use proptest::prelude::*;
use std::sync::{Arc, mpsc};

// --------------------------------------------------------------------------------------------------- the harness

/// Runs a task to its end.
fn outcome(kinds: &Kinds, kind: &str, payload: Bytes) -> Result<Value, KindFailure> {
    let (sender, receiver) = mpsc::channel();
    kinds.start(kind, payload, Arc::new(Job::new()), move |outcome| sender.send(outcome).unwrap());
    receiver.recv().unwrap().map(|result| Value::decode(&result).unwrap())
}

fn run(kind: &str, payload: &Item<'_>) -> Result<Value, KindFailure> {
    outcome(&Kinds::default(), kind, encoded(payload))
}

fn encoded(payload: &Item<'_>) -> Bytes {
    encode(payload, 1 << 24).unwrap()
}

fn object<'a, const N: usize>(fields: [(&'a str, Item<'a>); N]) -> Item<'a> {
    Item::Object(fields.into_iter().map(|(name, item)| (name.into(), item)).collect())
}

/// A list of numbers, as a program would write it.
fn numbers(values: &[f64]) -> Item<'static> {
    Item::List(values.iter().map(|&value| Item::Number(value)).collect())
}

/// The values in one of the forms in which a program may pass them.
fn series(values: &[f64], form: bool) -> Item<'_> {
    if form { values.into() } else { numbers(values) }
}

fn number(value: &Value) -> f64 {
    value.root().unwrap().number().unwrap()
}

fn array(node: Option<Node<'_>>) -> Vec<f64> {
    let Some(Node::Array(array)) = node else { panic!("{node:?} is no typed array") };
    array.to_f64().unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

// ------------------------------------------------------------------------------------------------------ strategies

/// Few distinct values, so that distances tie.
fn coarse(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-3_i32..4).prop_map(|x| f64::from(x) / 2.0), steps)
}

fn options() -> impl Strategy<Value = DtwOptions> {
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let normalize = prop_oneof![Just(Normalize::None), Just(Normalize::Zscore), Just(Normalize::Minmax)];
    let window = prop_oneof![Just(None), (0..6_usize).prop_map(Some)];
    let max_distance = prop_oneof![Just(f64::INFINITY), (0..20_u32).prop_map(f64::from)];
    (metric, normalize, window, max_distance).prop_map(|(metric, normalize, window, max_distance)| {
        DtwOptions { metric, normalize, window, max_distance }
    })
}

fn option_items(options: &DtwOptions) -> Vec<(std::borrow::Cow<'static, str>, Item<'static>)> {
    let metric = match options.metric {
        Metric::Absolute => "absolute",
        Metric::Squared => "squared",
        Metric::Euclidean => "euclidean",
    };
    let normalize = match options.normalize {
        Normalize::None => "none",
        Normalize::Zscore => "zscore",
        Normalize::Minmax => "minmax",
    };
    let mut items = vec![("metric".into(), metric.into()), ("normalize".into(), normalize.into())];
    items.extend(options.window.map(|window| ("window".into(), Item::Number(window as f64))));
    if options.max_distance.is_finite() {
        items.push(("maxDistance".into(), Item::Number(options.max_distance)));
    }
    items
}

fn ratios() -> impl Strategy<Value = (&'static str, LcsRatio)> {
    prop_oneof![
        Just(("max", LcsRatio::Max)),
        Just(("min", LcsRatio::Min)),
        Just(("dice", LcsRatio::Dice)),
        Just(("none", LcsRatio::None)),
    ]
}

/// Values end to end, and where each row ends.
fn packed<T: Copy>(rows: &[Vec<T>]) -> (Vec<T>, Vec<f64>) {
    let mut end = 0;
    let ends = rows.iter().map(|row| {
        end += row.len();
        end as f64
    });
    let ends = ends.collect();
    (rows.concat(), ends)
}

/// The matrix put together from a tile above the diagonal and the two triangles beside it.
fn from_tiles(
    size: usize,
    cut: usize,
    diagonal: f64,
    tile: impl Fn(usize, usize, usize) -> Vec<f64>,
) -> Vec<f64> {
    let mut matrix = vec![diagonal; size * size];
    for (start, end) in [(0, cut), (cut, size)] {
        let triangle = tile(start, start, end);
        for (row, values) in triangle.chunks(end - start).enumerate() {
            matrix[(start + row) * size + start..][..end - start].copy_from_slice(values);
        }
    }
    let rectangle = tile(0, cut, size);
    for i in 0..cut {
        for j in cut..size {
            let value = rectangle[i * (size - cut) + j - cut];
            (matrix[i * size + j], matrix[j * size + i]) = (value, value);
        }
    }
    matrix
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn dtw_equals_the_function(a in coarse(1..30), b in coarse(1..30), options in options(), form in any::<bool>()) {
        let payload = object([
            ("a", series(&a, form)),
            ("b", series(&b, !form)),
            ("options", Item::Object(option_items(&options))),
        ]);
        let [x, y] = [&a, &b].map(|values| Series::new("x", values, 1).unwrap());
        let wanted = dtw::distance(Level::best(), x, y, &options, Interrupt::NEVER).unwrap();
        let found = number(&run("dtw", &payload).unwrap());
        prop_assert_eq!(found.to_bits(), wanted.to_bits());
    }

    #[test]
    fn nearest_equals_the_function(
        query in coarse(4..10),
        rows in prop::collection::vec(coarse(8..9), 0..60),
        options in options(),
        k in 1..70_usize,
        block in any::<bool>(),
    ) {
        let mut fields = option_items(&options);
        fields.push(("k".into(), Item::Number(k as f64)));
        let data = rows.concat();
        let candidates = if block {
            object([("data", data.as_slice().into()), ("length", Item::Number(8.0))])
        } else {
            Item::List(rows.iter().map(|row| series(row, k % 2 == 0)).collect())
        };
        let payload = object([
            ("query", series(&query, true)),
            ("candidates", candidates),
            ("options", Item::Object(fields)),
        ]);
        let own = Candidates::from_list("rows", rows.iter().map(Vec::as_slice), 1).unwrap();
        let wanted = search::dtw_nearest(Series::new("q", &query, 1).unwrap(), &own, &options, k, &Job::new()).unwrap();
        let result = run("dtw.nearest", &payload).unwrap();
        let Some(Node::List(found)) = result.root() else { panic!("{result:?}") };
        let field = |node: Node<'_>, name: &str| node.get(name).unwrap().number().unwrap();
        let found: Vec<(usize, u64)> = found.iter()
            .map(|near| (field(near, "index") as usize, field(near, "distance").to_bits()))
            .collect();
        let wanted: Vec<(usize, u64)> = wanted.iter().map(|near| (near.index, near.distance.to_bits())).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn matrix_and_tiles_of_series_equal_the_function(
        rows in prop::collection::vec(coarse(1..12), 1..50),
        cut in 1..50_usize,
        options in options(),
    ) {
        let own = Candidates::from_list("rows", rows.iter().map(Vec::as_slice), 1).unwrap();
        let wanted = bits(&search::dtw_matrix(&own, &options, &Job::new()).unwrap());
        let list = Item::List(rows.iter().map(|row| series(row, true)).collect());
        let payload = object([("series", list), ("options", Item::Object(option_items(&options)))]);
        let whole = run("dtw.matrix", &payload).unwrap();
        prop_assert_eq!(whole.root().unwrap().get("size").unwrap().number(), Some(rows.len() as f64));
        prop_assert_eq!(&bits(&array(whole.root().unwrap().get("data"))), &wanted);

        let cut = cut.min(rows.len() - 1);
        let tile = |first: usize, start: usize, end: usize| {
            let count = if first == start { 0 } else { start - first };
            let (values, ends) = packed(&rows[first..end]);
            let payload = object([
                ("values", values.as_slice().into()),
                ("ends", ends.as_slice().into()),
                ("rows", Item::Number(count as f64)),
                ("options", Item::Object(option_items(&options))),
            ]);
            if start == end { vec![] } else { array(run("midstreamer.dtw.tile", &payload).unwrap().root()) }
        };
        if cut > 0 {
            prop_assert_eq!(bits(&from_tiles(rows.len(), cut, 0.0, tile)), wanted);
        }
    }

    #[test]
    fn matrix_and_tiles_of_symbols_equal_the_function(
        rows in prop::collection::vec(prop::collection::vec(0..6_u32, 0..80), 1..30),
        spread in prop_oneof![Just(1_u32), Just(40), Just(70_000)],
        cut in 1..30_usize,
        (name, ratio) in ratios(),
    ) {
        // With many kinds the pairs are compared one by one.
        let rows: Vec<Vec<u32>> =
            rows.iter().map(|row| row.iter().enumerate().map(|(i, x)| (x + 6 * (i as u32 % 11)) * spread).collect()).collect();
        let wanted = search::lcs_matrix(&rows, ratio, &Job::new()).unwrap();
        let floats: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
        let list = Item::List(floats.iter().map(|row| numbers(row)).collect());
        let whole = run("lcs.matrix", &object([("sequences", list), ("normalize", name.into())])).unwrap();
        prop_assert_eq!(bits(&array(whole.root().unwrap().get("data"))), bits(&wanted));

        let cut = cut.min(rows.len() - 1);
        let tile = |first: usize, start: usize, end: usize| {
            let count = if first == start { 0 } else { start - first };
            let (symbols, ends) = packed(&rows[first..end]);
            let narrow: Vec<u8> = symbols.iter().map(|&symbol| symbol as u8).collect();
            let symbols = if spread == 1 { Elements::U8(&narrow) } else { Elements::U32(&symbols) };
            let payload = object([
                ("symbols", Item::Array(symbols)),
                ("ends", ends.as_slice().into()),
                ("rows", Item::Number(count as f64)),
                ("normalize", name.into()),
            ]);
            array(run("midstreamer.lcs.tile", &payload).unwrap().root())
        };
        if cut > 0 {
            prop_assert_eq!(bits(&from_tiles(rows.len(), cut, 0.0, tile)), bits(&wanted));
        }
    }

    #[test]
    fn sequences_of_every_family_compare_alike(a in "[abc]{0,40}", b in "[abc]{0,40}") {
        let symbols = |text: &str| text.chars().map(|c| c as u32).collect::<Vec<u32>>();
        let wanted = lcs::length(Level::best(), &symbols(&a), &symbols(&b), Interrupt::NEVER).unwrap() as f64;
        let strings = |text: &str| Item::List(text.chars().map(|c| Item::Text(format!("\0{c}").into())).collect());
        let integers = |text: &str| text.chars().map(|c| c as i32 - 98).collect::<Vec<i32>>();
        let scaled = |text: &str, by: f64| text.chars().map(|c| (f64::from(c as u32) - 98.0) * by).collect::<Vec<f64>>();
        let (ia, ib) = (integers(&a), integers(&b));
        let forms = [
            (Item::Text(a.as_str().into()), Item::Text(b.as_str().into())),
            (strings(&a), strings(&b)),
            (Item::Array(Elements::I32(&ia)), numbers(&scaled(&b, 1.0))),
            (Item::Array(Elements::U8(a.as_bytes())), Item::Array(Elements::U8(b.as_bytes()))),
            // Neither integers nor one zero: -0 equals 0.
            (numbers(&scaled(&a, -0.5)), numbers(&scaled(&b, -0.5).iter().map(|x| x + 0.0).collect::<Vec<f64>>())),
            (numbers(&scaled(&a, 1e300)), numbers(&scaled(&b, 1e300))),
            (Item::Array(Elements::I32(&ia)), Item::Array(Elements::I32(&ib))),
        ];
        for (a, b) in forms {
            prop_assert_eq!(number(&run("lcs", &object([("a", a), ("b", b)])).unwrap()), wanted);
        }
    }

    #[test]
    fn libraries_and_shards_equal_the_library(
        rows in prop::collection::vec(coarse(6..7), 1..80),
        query in coarse(6..7),
        options in options(),
        k in 1..20_usize,
        as_of in prop_oneof![Just(None), (0..90_u32).prop_map(|x| Some(f64::from(x)))],
        part in 1..40_usize,
    ) {
        let shape = Shape { steps: 3, channels: 2, window: options.window, metric: options.metric, normalize: options.normalize };
        // Every third is not known to end.
        let ends: Vec<f64> = (0..rows.len()).map(|i| if i % 3 == 2 { f64::NAN } else { i as f64 }).collect();
        let mut library = Library::new(shape);
        let added: Vec<Row<'_>> = rows.iter().zip(&ends).map(|(values, &ends_at)| Row { values, ends_at }).collect();
        library.add(Names::List("patterns"), &added).unwrap();
        let q = Series::new("query", &query, 2).unwrap();
        let wanted = library.snapshot().nearest(q, k, options.max_distance, as_of, &[], &Job::new()).unwrap().0;
        let wanted: Vec<(usize, u64)> = wanted.iter().map(|near| (near.ordinal as usize, near.distance.to_bits())).collect();

        let shape_items = || {
            let mut items = option_items(&DtwOptions { max_distance: f64::INFINITY, ..options });
            items.extend([("length".into(), Item::Number(3.0)), ("channels".into(), Item::Number(2.0))]);
            Item::Object(items)
        };
        let mut asked = vec![("k".into(), Item::Number(k as f64))];
        if options.max_distance.is_finite() {
            asked.push(("maxDistance".into(), Item::Number(options.max_distance)));
        }
        asked.extend(as_of.map(|as_of| ("asOf".into(), Item::Number(as_of))));

        let patterns = rows.iter().enumerate().map(|(i, row)| {
            let mut fields = vec![("id".into(), Item::Text(format!("p{i}").into())), ("values".into(), series(row, i % 2 == 0))];
            if i % 3 != 2 {
                fields.push(("meta".into(), object([("endsAt", Item::Number(i as f64)), ("note", numbers(&[1.0]))])));
            }
            Item::Object(fields)
        });
        let payload = object([
            ("patterns", Item::List(patterns.collect())),
            ("options", shape_items()),
            ("query", query.as_slice().into()),
            ("search", Item::Object(asked.clone())),
        ]);
        let result = run("library.search", &payload).unwrap();
        let Some(Node::List(matches)) = result.root() else { panic!("{result:?}") };
        let found: Vec<(usize, u64)> = matches.iter().map(|near| {
            let index = near.get("id").unwrap().text().unwrap()[1..].parse::<usize>().unwrap();
            let distance = near.get("distance").unwrap().number().unwrap();
            let similarity = near.get("similarity").unwrap().number().unwrap();
            assert_eq!(similarity.to_bits(), (1.0 / (1.0 + distance / 3.0)).to_bits());
            assert_eq!(near.get("meta").map(|meta| meta.get("endsAt").unwrap().number()), (index % 3 != 2).then_some(Some(index as f64)));
            (index, distance.to_bits())
        }).collect();
        prop_assert_eq!(&found, &wanted);

        let kinds = Kinds::default();
        for (chunk, ends_at) in rows.chunks(part).zip(ends.chunks(part)).enumerate().map(|(i, (rows, ends))| ((i, rows), ends)) {
            let (values, at) = (chunk.1.concat(), Item::Number((chunk.0 * part) as f64));
            let payload = encoded(&object([
                ("shard", "s".into()),
                ("size", Item::Number(rows.len() as f64)),
                ("at", at),
                ("values", values.as_slice().into()),
                ("endsAt", ends_at.into()),
                ("options", shape_items()),
            ]));
            // A part that comes twice changes nothing.
            for _ in 0..2 {
                let there = outcome(&kinds, "midstreamer.library.put", payload.clone()).unwrap();
                prop_assert_eq!(number(&there), (chunk.0 * part + ends_at.len()) as f64);
            }
        }
        asked.extend([
            ("shard".into(), "s".into()),
            ("size".into(), Item::Number(rows.len() as f64)),
            ("query".into(), query.as_slice().into()),
        ]);
        let result = outcome(&kinds, "midstreamer.library.search", encoded(&Item::Object(asked))).unwrap();
        let indices = array(result.root().unwrap().get("indices"));
        let distances = array(result.root().unwrap().get("distances"));
        let found: Vec<(usize, u64)> = indices.iter().zip(&distances).map(|(&i, d)| (i as usize, d.to_bits())).collect();
        prop_assert_eq!(found, wanted);
    }
}
