//! The pattern library against a model: a list of patterns, searched by comparing everything with the oracle.

use midstreamer::kernels::dtw::{DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::oracle;
use midstreamer::search::Job;
use midstreamer::search::library::{Found, Library, Names, Row, SearchStats, Shape, Snapshot};
use midstreamer::series::Series;
use proptest::prelude::*;

/// What a library must be equal to.
#[derive(Debug, Clone)]
struct Model {
    shape: Shape,
    /// Ordinal, values, end.
    patterns: Vec<(u64, Vec<f64>, f64)>,
}

impl Model {
    fn nearest(&self, query: &[f64], k: usize, max_distance: f64, as_of: Option<f64>) -> Vec<Found> {
        let Shape { channels, window, metric, normalize, .. } = self.shape;
        let options = DtwOptions { metric, window, normalize, max_distance };
        let series = |values| Series::new("values", values, channels).unwrap();
        let mut found: Vec<Found> = (self.patterns.iter())
            .filter(|(_, _, ends_at)| as_of.is_none_or(|as_of| *ends_at <= as_of))
            .map(|(ordinal, values, _)| Found {
                ordinal: *ordinal,
                distance: oracle::dtw(series(query), series(values), &options),
            })
            .filter(|found| {
                found.distance <= max_distance && (found.distance.is_finite() || max_distance.is_infinite())
            })
            .collect();
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.ordinal.cmp(&b.ordinal)));
        found.truncate(k);
        found
    }
}

fn search(
    snapshot: &Snapshot,
    query: &[f64],
    k: usize,
    max_distance: f64,
    as_of: Option<f64>,
    hints: &[u64],
) -> (Vec<Found>, SearchStats) {
    let query = snapshot.shape().series("query", query).unwrap();
    snapshot.nearest(query, k, max_distance, as_of, hints, &Job::new()).unwrap()
}

/// The same bits, not only equal numbers.
fn assert_same(got: &[Found], want: &[Found]) {
    let bits = |found: &[Found]| -> Vec<(u64, u64)> {
        found.iter().map(|found| (found.ordinal, found.distance.to_bits())).collect()
    };
    assert_eq!(bits(got), bits(want), "{got:?}\n{want:?}");
}

fn shape(steps: usize) -> impl Strategy<Value = Shape> {
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let normalize = prop_oneof![Just(Normalize::None), Just(Normalize::Zscore), Just(Normalize::Minmax)];
    let window = prop_oneof![Just(None), (0..4_usize).prop_map(Some)];
    (1..=steps, 1..=2_usize, window, metric, normalize).prop_map(
        |(steps, channels, window, metric, normalize)| Shape { steps, channels, window, metric, normalize },
    )
}

/// One change of a library, or a search in it; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Add(Vec<(Vec<i32>, Option<i32>)>),
    Remove(usize),
    RemoveRun(usize, usize),
    Search { query: Vec<i32>, k: usize, max_distance: Option<i32>, as_of: Option<i32>, hints: Vec<u64> },
}

/// Few distinct values, so that distances tie.
fn coarse() -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(-2..3_i32, 16)
}

fn step() -> impl Strategy<Value = Step> {
    let pattern = || (coarse(), prop::option::of(0..20_i32));
    let search = (
        coarse(),
        prop_oneof![Just(1_usize), 1..12_usize, Just(2000_usize)],
        prop::option::of(0..12_i32),
        prop::option::of(0..20_i32),
        prop::collection::vec(0..600_u64, 0..4),
    );
    prop_oneof![
        3 => prop::collection::vec(pattern(), 1..4).prop_map(Step::Add),
        1 => prop::collection::vec(pattern(), 200..600).prop_map(Step::Add),
        3 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), 1..300_usize).prop_map(|(from, count)| Step::RemoveRun(from, count)),
        4 => search.prop_map(|(query, k, max_distance, as_of, hints)| Step::Search { query, k, max_distance, as_of, hints }),
    ]
}

fn values(coarse: &[i32], shape: &Shape) -> Vec<f64> {
    coarse[..shape.row()].iter().map(|&x| f64::from(x)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_model_after_any_changes(shape in shape(8), steps in prop::collection::vec(step(), 1..16)) {
        let mut library = Library::new(shape);
        let mut model = Model { shape, patterns: Vec::new() };
        // Taken before a change, asked after it.
        let mut before = (library.snapshot(), model.clone());
        for step in steps {
            match step {
                Step::Add(patterns) => {
                    before = (library.snapshot(), model.clone());
                    let rows: Vec<(Vec<f64>, f64)> = patterns
                        .iter()
                        .map(|(x, end)| (values(x, &shape), end.map_or(f64::NAN, f64::from)))
                        .collect();
                    let borrowed: Vec<Row<'_>> =
                        rows.iter().map(|(values, ends_at)| Row { values, ends_at: *ends_at }).collect();
                    let ordinals = library.add(Names::List("patterns"), &borrowed).unwrap();
                    prop_assert_eq!(ordinals.clone().count(), rows.len());
                    model.patterns.extend(ordinals.zip(rows).map(|(ordinal, (values, end))| (ordinal, values, end)));
                }
                Step::Remove(which) if !model.patterns.is_empty() => {
                    before = (library.snapshot(), model.clone());
                    let (ordinal, ..) = model.patterns.remove(which % model.patterns.len());
                    prop_assert!(library.remove(ordinal));
                    prop_assert!(!library.remove(ordinal));
                }
                Step::RemoveRun(from, count) if !model.patterns.is_empty() => {
                    before = (library.snapshot(), model.clone());
                    let from = from % model.patterns.len();
                    let to = (from + count).min(model.patterns.len());
                    for (ordinal, ..) in model.patterns.drain(from..to) {
                        prop_assert!(library.remove(ordinal));
                    }
                }
                Step::Remove(_) | Step::RemoveRun(..) => prop_assert!(!library.remove(u64::MAX)),
                Step::Search { query, k, max_distance, as_of, hints } => {
                    let query = values(&query, &shape);
                    let max_distance = max_distance.map_or(f64::INFINITY, f64::from);
                    let as_of = as_of.map(f64::from);
                    for (snapshot, model) in [(&library.snapshot(), &model), (&before.0, &before.1)] {
                        let (found, stats) = search(snapshot, &query, k, max_distance, as_of, &hints);
                        assert_same(&found, &model.nearest(&query, k, max_distance, as_of));
                        let eligible = model.patterns.iter().filter(|(_, _, end)| as_of.is_none_or(|t| *end <= t)).count();
                        prop_assert_eq!(stats.candidates, eligible);
                        prop_assert_eq!(stats.candidates, stats.pruned_by_bound + stats.abandoned + stats.computed);
                    }
                }
            }
            prop_assert_eq!(library.size(), model.patterns.len());
            let snapshot = library.snapshot();
            let kept: Vec<&[f64]> = snapshot.rows().collect();
            prop_assert_eq!(kept, model.patterns.iter().map(|(_, values, _)| &values[..]).collect::<Vec<_>>());
            if let Some((ordinal, values, _)) = model.patterns.last() {
                prop_assert_eq!(library.values(*ordinal), Some(&values[..]));
            }
        }
    }
}

const PLAIN: Shape =
    Shape { steps: 4, channels: 1, window: None, metric: Metric::Absolute, normalize: Normalize::None };

fn row(values: &[f64]) -> Row<'_> {
    Row { values, ends_at: f64::NAN }
}

#[test]
fn refuses_all_when_one_is_bad() {
    let mut library = Library::new(PLAIN);
    let good = row(&[1.0, 2.0, 3.0, 4.0]);
    let cases: [(Names<'_>, &[f64], &str); 6] = [
        (Names::List("patterns"), &[1.0, f64::NAN, 3.0, 4.0], "patterns[1].values[1] is NaN"),
        (
            Names::List("patterns"),
            &[1.0; 3],
            "patterns[1].values holds 3 values, the library's patterns have 4",
        ),
        (Names::List("patterns"), &[], "patterns[1].values is empty: a series needs at least one value"),
        (Names::One("pattern"), &[1.0, 2.0, 3.0, f64::INFINITY], "pattern.values[3] is Infinity"),
        (Names::Block("block.data"), &[f64::NEG_INFINITY, 2.0, 3.0, 4.0], "block.data[4] is -Infinity"),
        (Names::Block("block.data"), &[1.0; 5], "block.data holds 5 values, the library's patterns have 4"),
    ];
    for (names, bad, message) in cases {
        assert_eq!(library.add(names, &[good, row(bad)]).unwrap_err().to_string(), message);
    }
    // The first bad one is named, also by many threads.
    let mut many = vec![good; 3000];
    many[700] = row(&[0.0, f64::NAN, f64::NAN, 0.0]);
    many[2900] = row(&[f64::NAN; 4]);
    let error = library.add(Names::List("patterns"), &many).unwrap_err();
    assert_eq!(error.to_string(), "patterns[700].values[1] is NaN");
    assert_eq!(library.size(), 0);
    assert_eq!(library.add(Names::One("pattern"), &[good]).unwrap(), 0..1);
}

#[test]
fn the_query_has_the_length_of_the_patterns() {
    let error = |values: &[f64]| PLAIN.series("query", values).unwrap_err().to_string();
    assert_eq!(error(&[1.0; 5]), "query holds 5 values, the library's patterns have 4");
    assert_eq!(error(&[]), "query is empty: a series needs at least one value");
    assert_eq!(error(&[1.0, 2.0, f64::NAN, 4.0]), "query[2] is NaN");
}

#[test]
fn an_end_that_is_not_finite_is_not_known() {
    let mut library = Library::new(PLAIN);
    let ends = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5.0];
    let rows = ends.map(|ends_at| Row { values: &[0.0; 4], ends_at });
    library.add(Names::List("patterns"), &rows).unwrap();
    let found = |as_of| -> Vec<u64> {
        search(&library.snapshot(), &[0.0; 4], 10, f64::INFINITY, as_of, &[])
            .0
            .iter()
            .map(|x| x.ordinal)
            .collect()
    };
    assert_eq!(found(None), [0, 1, 2, 3]);
    assert_eq!(found(Some(f64::INFINITY)), [3]);
    assert_eq!(found(Some(5.0)), [3]);
    assert_eq!(found(Some(5.0_f64.next_down())), Vec::<u64>::new());
    assert_eq!(found(Some(f64::NEG_INFINITY)), Vec::<u64>::new());
}

#[test]
fn a_distance_that_overflows_is_past_every_bound_that_is_set() {
    let mut library = Library::new(PLAIN);
    library.add(Names::List("patterns"), &[row(&[1e308, -1e308, 1e308, -1e308]), row(&[0.0; 4])]).unwrap();
    let query = [-1e308, 1e308, -1e308, 1e308];
    let all = search(&library.snapshot(), &query, 5, f64::INFINITY, None, &[]).0;
    assert_eq!(all.iter().map(|found| found.distance).collect::<Vec<_>>(), [f64::INFINITY; 2]);
    assert_eq!(search(&library.snapshot(), &query, 5, f64::MAX, None, &[]).0, []);
}

#[test]
fn a_cancelled_search_has_no_result() {
    let mut library = Library::new(PLAIN);
    library.add(Names::One("pattern"), &[row(&[0.0; 4])]).unwrap();
    let job = Job::new();
    job.cancel();
    let query = PLAIN.series("query", &[0.0; 4]).unwrap();
    assert!(library.snapshot().nearest(query, 1, f64::INFINITY, None, &[], &job).is_err());
}
