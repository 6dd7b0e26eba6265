//! The elastic distances against values of other libraries (`tests/golden/README.md`) and of the papers.

use midstreamer::kernels::Interrupt;
use midstreamer::kernels::elastic::{Measure, batch, distance};
use midstreamer::kernels::simd::Level;
use midstreamer::series::Series;
use serde_json::Value;

fn number(parameters: &Value, name: &str, default: f64) -> f64 {
    parameters[name].as_f64().unwrap_or(default)
}

/// With the defaults of the JavaScript functions, which the golden file leaves out.
fn measure(name: &str, parameters: &Value) -> Measure {
    match name {
        "ddtw" => Measure::Ddtw,
        "wdtw" => Measure::Wdtw { g: number(parameters, "g", 0.05) },
        "adtw" => Measure::Adtw { penalty: number(parameters, "penalty", 1.0) },
        "erp" => Measure::Erp { gap: number(parameters, "gap", 0.0) },
        "edr" => {
            Measure::Edr { epsilon: parameters["epsilon"].as_f64().expect("edr has no default epsilon") }
        }
        "msm" => Measure::Msm { cost: number(parameters, "cost", 1.0) },
        "twe" => {
            Measure::Twe { nu: number(parameters, "nu", 0.001), lambda: number(parameters, "lambda", 1.0) }
        }
        "soft-dtw" => Measure::SoftDtw { gamma: number(parameters, "gamma", 1.0) },
        other => panic!("unknown measure {other}"),
    }
}

fn values(case: &Value, name: &str) -> Vec<f64> {
    let list = case[name].as_array().expect("a series is an array");
    list.iter().map(|x| x.as_f64().expect("of numbers")).collect()
}

/// Relative 1e-9, and exact where the value counts something.
fn assert_close(measure: Measure, got: f64, want: f64) {
    let tolerance = if matches!(measure, Measure::Edr { .. }) { 0.0 } else { 1e-9 * want.abs() };
    assert!((got - want).abs() <= tolerance, "{measure:?}: {got}, expected {want}");
}

#[test]
fn agrees_with_other_libraries() {
    let golden: Value = serde_json::from_str(include_str!("../golden/kernels.json")).unwrap();
    let mut checked = 0;
    for case in golden["elastic"].as_array().unwrap() {
        let (a, b) = (values(case, "a"), values(case, "b"));
        let (a, b) = (Series::new("a", &a, 1).unwrap(), Series::new("b", &b, 1).unwrap());
        for entry in case["values"].as_array().unwrap() {
            let parameters = &entry[1];
            let measure = measure(entry[0].as_str().unwrap(), parameters);
            let window = parameters["window"].as_u64().map(|w| w as usize);
            let want = entry[2].as_f64().unwrap();
            for level in Level::available() {
                let got = distance(level, measure, a, b, window, Interrupt::NEVER).unwrap();
                assert_close(measure, got, want);
                let mut many = [0.0; 5];
                batch(level, measure, a, &[b; 5], window, &mut many, Interrupt::NEVER).unwrap();
                assert_eq!(many.map(f64::to_bits), [got.to_bits(); 5], "{measure:?} {}", level.name());
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 65 * Level::available().len());
}

/// The short series that the research for this library evaluated by hand and by several libraries.
#[test]
fn agrees_with_published_values() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    let same = [0.0, 1.0, 2.0];
    let cases: [(Measure, &[f64], &[f64], f64); 5] = [
        // Insertions and deletions cost the running sums: the border is not the total of the series.
        (Measure::Erp { gap: 0.0 }, &[5.0, 1.0, 1.0], &[1.0, 1.0, 9.0, 9.0], 15.0),
        // A smoothed minimum is below the minimum, so identical series have a negative value.
        (Measure::SoftDtw { gamma: 1.0 }, &same, &same, -1.1904),
        (Measure::Edr { epsilon: 0.0 }, &x, &x[..2], 3.0),
        (Measure::Adtw { penalty: 1.0 }, &x, &x[..4], 2.0),
        (Measure::Msm { cost: 1.0 }, &[1.0, 2.0], &[1.0, 1.0, 2.0], 1.0),
    ];
    for (measure, a, b, want) in cases {
        let (a, b) = (Series::new("a", a, 1).unwrap(), Series::new("b", b, 1).unwrap());
        let got = distance(Level::best(), measure, a, b, None, Interrupt::NEVER).unwrap();
        assert!((got - want).abs() < 5e-5, "{measure:?}: {got}, expected {want}");
    }
}
