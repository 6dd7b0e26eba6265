//! `tests/golden/kernels.json`, sections dtw, align, multivariate and matrix, value by value on every level.

use midstreamer::kernels::Interrupt;
use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::search::{Candidates, Job, dtw_matrix};
use midstreamer::series::Series;
use serde_json::Value;

fn golden(section: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/kernels.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases = all[section].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "section {section}");
    cases
}

fn reals(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn window(case: &Value) -> Option<usize> {
    case["window"].as_u64().map(|w| w as usize)
}

/// Sums agree to 1e-9 relative.
fn close(got: f64, want: f64) -> bool {
    (got - want).abs() <= 1e-9 * want.abs().max(1e-9)
}

/// The columns of a case and the options they stand for.
const COLUMNS: [(&str, Metric, Normalize); 8] = [
    ("absolute", Metric::Absolute, Normalize::None),
    ("squared", Metric::Squared, Normalize::None),
    ("euclidean", Metric::Euclidean, Normalize::None),
    ("squaredZscored", Metric::Squared, Normalize::Zscore),
    ("absoluteZscored", Metric::Absolute, Normalize::Zscore),
    ("absoluteMinmax", Metric::Absolute, Normalize::Minmax),
    ("squaredMinmax", Metric::Squared, Normalize::Minmax),
    ("euclideanZscored", Metric::Euclidean, Normalize::Zscore),
];

/// Checks every column that `case` has, and returns how many those are.
fn check(case: &Value, channels: usize) -> usize {
    let (a, b) = (reals(&case["a"]), reals(&case["b"]));
    let (a, b) = (Series::new("a", &a, channels).unwrap(), Series::new("b", &b, channels).unwrap());
    let mut checked = 0;
    for (column, metric, normalize) in COLUMNS {
        let Some(want) = case[column].as_f64() else { continue };
        let options = DtwOptions { metric, normalize, window: window(case), ..DtwOptions::default() };
        for level in Level::available() {
            let got = dtw::distance(level, a, b, &options, Interrupt::NEVER).unwrap();
            assert!(close(got, want), "{column} {options:?} {}: {got} {want}", level.name());
            let mut batch = [0.0; 3];
            dtw::batch(level, a, &[b; 3], &options, &mut batch, Interrupt::NEVER).unwrap();
            assert_eq!(batch.map(f64::to_bits), [got.to_bits(); 3], "{column} {}", level.name());
        }
        checked += 1;
    }
    checked
}

#[test]
fn distances() {
    let checked: usize = golden("dtw").iter().map(|case| check(case, 1)).sum();
    assert!(checked >= 80, "{checked}");
}

#[test]
fn distances_of_several_channels() {
    for case in golden("multivariate") {
        let channels = case["channels"].as_u64().unwrap() as usize;
        assert!(check(&case, channels) >= 2);
    }
}

#[test]
fn paths_and_lags() {
    for case in golden("align") {
        let (a, b) = (reals(&case["a"]), reals(&case["b"]));
        let (a, b) = (Series::new("a", &a, 1).unwrap(), Series::new("b", &b, 1).unwrap());
        let options = DtwOptions { window: window(&case), ..DtwOptions::default() };
        for level in Level::available() {
            let got = dtw::align(level, a, b, &options, Interrupt::NEVER).unwrap();
            let path: Vec<f64> = got.path.iter().flat_map(|&(i, j)| [f64::from(i), f64::from(j)]).collect();
            assert_eq!(path, reals(&case["path"]), "{}", level.name());
            assert!(close(got.distance, case["distance"].as_f64().unwrap()));
            assert!(close(got.lag(), case["lag"].as_f64().unwrap()));
        }
    }
}

#[test]
fn matrices() {
    for case in golden("matrix") {
        let series: Vec<Vec<f64>> = case["series"].as_array().unwrap().iter().map(reals).collect();
        let list = Candidates::from_list("series", series.iter().map(Vec::as_slice), 1).unwrap();
        let got = dtw_matrix(&list, &DtwOptions::default(), &Job::new()).unwrap();
        let want: Vec<f64> = case["dtw"].as_array().unwrap().iter().flat_map(reals).collect();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!(close(*got, want), "{got} {want}");
        }
    }
}
