//! `tests/golden/kernels.json`, sections lcs, lcss, levenshtein and matrix, value by value on every level.

use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, lcs, lcss, levenshtein};
use midstreamer::search::{Job, LcsRatio, lcs_matrix};
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

/// The symbols are signed in the file; kernels take their bits.
fn symbols(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| i32::try_from(x.as_i64().unwrap()).unwrap().cast_unsigned())
        .collect()
}

fn reals(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn lcs_and_levenshtein() {
    for level in Level::available() {
        for case in golden("lcs") {
            let (a, b) = (symbols(&case["a"]), symbols(&case["b"]));
            let want = case["length"].as_u64().unwrap() as usize;
            assert_eq!(lcs::length(level, &a, &b, Interrupt::NEVER), Ok(want), "{level:?}");
            assert_eq!(lcs::align(level, &a, &b, Interrupt::NEVER).unwrap().len(), want, "{level:?}");
        }
        for case in golden("levenshtein") {
            let (a, b) = (symbols(&case["a"]), symbols(&case["b"]));
            let want = case["distance"].as_u64().unwrap() as usize;
            assert_eq!(levenshtein::distance(level, &a, &b, Interrupt::NEVER), Ok(want), "{level:?}");
        }
    }
}

#[test]
fn lcss_of_real_values() {
    for level in Level::available() {
        for case in golden("lcss") {
            let (a, b) = (reals(&case["a"]), reals(&case["b"]));
            let (a, b) = (Series::new("a", &a, 1).unwrap(), Series::new("b", &b, 1).unwrap());
            let epsilon = case["epsilon"].as_f64().unwrap();
            let window = case["window"].as_u64().map(|w| w as usize);
            let want = case["length"].as_u64().unwrap() as usize;
            assert_eq!(lcss::length(level, a, b, epsilon, window, Interrupt::NEVER), Ok(want), "{level:?}");
        }
    }
}

#[test]
fn matrix_of_lengths() {
    for case in golden("matrix") {
        let sequences: Vec<Vec<u32>> = case["sequences"].as_array().unwrap().iter().map(symbols).collect();
        let want: Vec<f64> = case["lcs"].as_array().unwrap().iter().flat_map(reals).collect();
        assert_eq!(lcs_matrix(&sequences, LcsRatio::None, &Job::new()).unwrap(), want);
    }
}
