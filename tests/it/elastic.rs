//! The elastic distances against textbook dynamic programs, bit for bit at every instruction set, and their laws.

use midstreamer::kernels::dtw::{DtwOptions, Metric};
use midstreamer::kernels::elastic::{Measure, batch, distance};
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError, oracle};
use midstreamer::search::{Candidates, Job, elastic_batch};
use midstreamer::series::Series;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn series(values: &[f64]) -> Series<'_> {
    Series::new("values", values, 1).expect("the strategies make finite values, at least one")
}

/// Small whole numbers make ties and matches, others rounding; the first value is often far from 0.
fn values(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        (-3_i32..4).prop_map(f64::from),
        -3.0..3.0_f64,
        (90.0..110.0_f64),
        Just(-0.0),
        Just(1e150),
    ];
    let tame = prop_oneof![(-3_i32..4).prop_map(f64::from), -3.0..3.0_f64];
    prop_oneof![prop::collection::vec(tame, steps.clone()), prop::collection::vec(value, steps)]
}

fn parameter() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..2.0_f64, Just(50.0)]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        Just(Measure::Ddtw),
        parameter().prop_map(|g| Measure::Wdtw { g }),
        parameter().prop_map(|penalty| Measure::Adtw { penalty }),
        (-2.0..2.0_f64).prop_map(|gap| Measure::Erp { gap }),
        parameter().prop_map(|epsilon| Measure::Edr { epsilon }),
        parameter().prop_map(|cost| Measure::Msm { cost }),
        (parameter(), parameter()).prop_map(|(nu, lambda)| Measure::Twe { nu, lambda }),
        (0.01..5.0_f64).prop_map(|gamma| Measure::SoftDtw { gamma }),
    ]
}

fn window() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        Just(None),
        (0_usize..12).prop_map(Some),
        (0_usize..80).prop_map(Some),
        Just(Some(usize::MAX))
    ]
}

fn fast(measure: Measure, a: &[f64], b: &[f64], window: Option<usize>) -> f64 {
    distance(Level::best(), measure, series(a), series(b), window, Interrupt::NEVER).expect("not interrupted")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_pair_equals_the_textbook(
        measure in measure(),
        a in values(3..70),
        b in values(3..70),
        window in window(),
    ) {
        let want = oracle::elastic::elastic(measure, series(&a), series(&b), window);
        for level in Level::available() {
            let got = distance(level, measure, series(&a), series(&b), window, Interrupt::NEVER).unwrap();
            prop_assert_eq!(got.to_bits(), want.to_bits(), "{}: {}, expected {}", level.name(), got, want);
        }
    }

    #[test]
    fn a_batch_equals_the_textbook(
        measure in measure(),
        query in values(3..40),
        candidates in prop::collection::vec(values(3..40), 0..14),
        equal in any::<bool>(),
        window in window(),
    ) {
        let steps = candidates.iter().map(Vec::len).min().unwrap_or(0);
        let cut = |x: &'_ Vec<f64>| if equal { x[..steps].to_vec() } else { x.clone() };
        let candidates: Vec<Vec<f64>> = candidates.iter().map(cut).collect();
        let list: Vec<Series<'_>> = candidates.iter().map(|x| series(x)).collect();
        let want: Vec<u64> = list
            .iter()
            .map(|b| oracle::elastic::elastic(measure, series(&query), *b, window).to_bits())
            .collect();
        for level in Level::available() {
            let mut got = vec![f64::NAN; list.len()];
            batch(level, measure, series(&query), &list, window, &mut got, Interrupt::NEVER).unwrap();
            let got: Vec<u64> = got.into_iter().map(f64::to_bits).collect();
            prop_assert_eq!(&got, &want, "{}", level.name());
        }
        let block = Candidates::from_list("candidates", candidates.iter().map(Vec::as_slice), 1).unwrap();
        let job = Job::new();
        let got = elastic_batch(measure, series(&query), &block, window, &job).unwrap();
        prop_assert_eq!(got.into_iter().map(f64::to_bits).collect::<Vec<_>>(), want);
        prop_assert_eq!(job.done(), candidates.len() as u64);
    }

    #[test]
    fn is_symmetric_to_the_bit(measure in measure(), a in values(3..50), b in values(3..50), window in window()) {
        prop_assert_eq!(fast(measure, &a, &b, window).to_bits(), fast(measure, &b, &a, window).to_bits());
    }

    #[test]
    fn is_zero_for_the_same_series(measure in measure(), a in values(3..50), window in window()) {
        let got = fast(measure, &a, &a, window);
        if matches!(measure, Measure::SoftDtw { .. }) {
            prop_assert!(got <= 0.0);
        } else {
            prop_assert_eq!(got, 0.0);
        }
    }

    #[test]
    fn a_wider_window_is_never_farther(measure in measure(), a in values(3..50), b in values(3..50)) {
        let mut before = f64::INFINITY;
        for w in (0..52).map(Some).chain([None]) {
            let got = fast(measure, &a, &b, w);
            // The soft minimum of more paths is less but for rounding, and rounding is monotone elsewhere.
            let slack = if matches!(measure, Measure::SoftDtw { .. }) { 1e-9 * (1.0 + before.abs()) } else { 0.0 };
            prop_assert!(got <= before + slack, "{:?}: {} after {}", w, got, before);
            before = got;
        }
        prop_assert_eq!(fast(measure, &a, &b, Some(a.len().max(b.len()))).to_bits(), before.to_bits());
    }

    #[test]
    fn metrics_obey_the_triangle_inequality(
        measure in prop_oneof![
            (-2.0..2.0_f64).prop_map(|gap| Measure::Erp { gap }),
            (0.01..3.0_f64).prop_map(|cost| Measure::Msm { cost }),
            (0.01..1.0_f64, 0.0..1.0_f64).prop_map(|(nu, lambda)| Measure::Twe { nu, lambda }),
        ],
        a in prop::collection::vec(-3.0..3.0_f64, 1..20),
        b in prop::collection::vec(-3.0..3.0_f64, 1..20),
        c in prop::collection::vec(-3.0..3.0_f64, 1..20),
    ) {
        let around = fast(measure, &a, &b, None) + fast(measure, &b, &c, None);
        prop_assert!(fast(measure, &a, &c, None) <= around * (1.0 + 1e-12) + 1e-12);
    }

    #[test]
    fn without_penalty_or_slope_it_is_dtw(a in values(3..50), b in values(3..50), window in window()) {
        let options = DtwOptions { metric: Metric::Squared, window, ..DtwOptions::default() };
        let dtw = oracle::dtw(series(&a), series(&b), &options);
        prop_assert_eq!(fast(Measure::Adtw { penalty: 0.0 }, &a, &b, window), dtw);
        prop_assert_eq!(fast(Measure::Wdtw { g: 0.0 }, &a, &b, window), 0.5 * dtw);
    }

    #[test]
    fn a_sharp_soft_minimum_is_the_minimum(a in prop::collection::vec(-3.0..3.0_f64, 1..30)) {
        let b: Vec<f64> = a.iter().rev().copied().collect();
        let options = DtwOptions { metric: Metric::Squared, ..DtwOptions::default() };
        let dtw = oracle::dtw(series(&a), series(&b), &options);
        let soft = fast(Measure::SoftDtw { gamma: 1e-9 }, &a, &b, None);
        prop_assert!((soft - dtw).abs() <= 1e-6, "{soft} {dtw}");
    }

    #[test]
    fn a_penalty_beyond_all_warping_leaves_the_diagonal(a in prop::collection::vec(-3.0..3.0_f64, 1..60)) {
        let b: Vec<f64> = a.iter().rev().copied().collect();
        let diagonal = fast(Measure::Adtw { penalty: 1e9 }, &a, &b, None);
        prop_assert_eq!(diagonal, fast(Measure::Adtw { penalty: 0.0 }, &a, &b, Some(0)));
    }
}

/// Random cases seldom hit the corners of the strips: every pair of lengths about their height, every small window.
#[test]
fn every_small_shape_equals_the_textbook() {
    let a: Vec<f64> = (0..36).map(|i| f64::from(i * 37 % 17) - 8.0).collect();
    let b: Vec<f64> = (0..36).map(|i| f64::from(i * 29 % 19) * 0.75 - 6.0).collect();
    let measures = [
        Measure::Wdtw { g: 0.2 },
        Measure::Erp { gap: 0.5 },
        Measure::Edr { epsilon: 1.0 },
        Measure::Msm { cost: 0.5 },
        Measure::Twe { nu: 0.1, lambda: 0.5 },
        Measure::SoftDtw { gamma: 0.7 },
    ];
    for n in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36] {
        for m in [1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 36] {
            for w in [None, Some(0), Some(1), Some(2), Some(5), Some(17)] {
                for measure in measures {
                    let (a, b) = (series(&a[..n]), series(&b[..m]));
                    let want = oracle::elastic::elastic(measure, a, b, w).to_bits();
                    for level in Level::available() {
                        let got = distance(level, measure, a, b, w, Interrupt::NEVER).unwrap();
                        assert_eq!(got.to_bits(), want, "{measure:?} {n} {m} {w:?} {}", level.name());
                        let mut many = [0.0; 4];
                        batch(level, measure, a, &[b; 4], w, &mut many, Interrupt::NEVER).unwrap();
                        assert_eq!(
                            many.map(f64::to_bits),
                            [want; 4],
                            "{measure:?} {n} {m} {w:?} {}",
                            level.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_largest_values_give_infinity_and_not_nan() {
    let (a, b) = ([f64::MAX, -f64::MAX, f64::MAX, 0.0, 1.0], [-f64::MAX, f64::MAX, f64::MAX, -f64::MAX]);
    for measure in [
        Measure::Ddtw,
        Measure::Wdtw { g: 0.05 },
        Measure::Wdtw { g: 1e6 },
        Measure::Adtw { penalty: 1.0 },
        Measure::Erp { gap: 0.0 },
        Measure::Msm { cost: 1.0 },
        Measure::Twe { nu: 0.001, lambda: 1.0 },
        Measure::SoftDtw { gamma: 1.0 },
    ] {
        assert_eq!(fast(measure, &a, &b, None), f64::INFINITY, "{measure:?}");
    }
    assert_eq!(fast(Measure::Edr { epsilon: 1.0 }, &a, &b, None), 3.0);
}

#[test]
fn stops_when_it_is_asked_to() {
    let flag = AtomicBool::new(true);
    let values = [1.0; 40];
    let one = series(&values);
    let measure = Measure::Msm { cost: 1.0 };
    for level in Level::available() {
        let stopped = distance(level, measure, one, one, None, Interrupt::when(&flag));
        assert_eq!(stopped, Err(KernelError::Interrupted));
        let mut distances = [0.0; 9];
        let stopped = batch(level, measure, one, &[one; 9], None, &mut distances, Interrupt::when(&flag));
        assert_eq!(stopped, Err(KernelError::Interrupted));
    }
    let job = Job::new();
    job.cancel();
    let candidates = Candidates::from_block("candidates", vec![0.0; 80], 40, 1).unwrap();
    assert_eq!(elastic_batch(measure, one, &candidates, None, &job), Err(KernelError::Interrupted));
}

/// Raises a flag `after` the start of `work`, and says how `work` ended and how long after the flag.
fn interrupted<T>(
    after: Duration,
    work: impl FnOnce(Interrupt<'_>) -> Result<T, KernelError>,
) -> (Option<KernelError>, Duration) {
    let flag = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let raised = scope.spawn(|| {
            std::thread::sleep(after);
            flag.store(true, Ordering::Relaxed);
            Instant::now()
        });
        let outcome = work(Interrupt::when(&flag)).err();
        let ended = Instant::now();
        (outcome, ended.saturating_duration_since(raised.join().unwrap()))
    })
}

/// Long after what is promised, but long before the work would have ended: the machine may be busy.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_long_run_stops_when_the_flag_is_raised_meanwhile() {
    let values: Vec<f64> = (0..300_000_u32).map(|i| f64::from(i * 7 % 1013)).collect();
    let long = series(&values);
    let after = Duration::from_millis(50);
    for measure in [Measure::Ddtw, Measure::Msm { cost: 1.0 }, Measure::SoftDtw { gamma: 1.0 }] {
        let (outcome, took) = interrupted(after, |interrupt| {
            distance(Level::best(), measure, long, long, None, interrupt).map(drop)
        });
        assert_eq!(outcome, Some(KernelError::Interrupted), "{measure:?}");
        assert!(took < SOON, "{measure:?}: {took:?}");
        let (outcome, took) = interrupted(after, |interrupt| {
            batch(Level::best(), measure, long, &[long; 4], None, &mut [0.0; 4], interrupt)
        });
        assert_eq!(outcome, Some(KernelError::Interrupted), "{measure:?}");
        assert!(took < SOON, "{measure:?}: {took:?}");
    }
}

/// A single strip of a pair, a single block of a batch: it is left in the middle of a row.
#[test]
fn a_run_along_few_rows_stops_when_the_flag_is_raised_meanwhile() {
    let values: Vec<f64> = (0..1_000_000_u32).map(|i| f64::from(i * 7 % 1013)).collect();
    let (few, long) = (series(&values[..4]), series(&values));
    let measure = Measure::SoftDtw { gamma: 1e6 };
    // Of seconds; laying out the columns takes a small part of it.
    for level in Level::available() {
        stops_halfway(level, |interrupt| distance(level, measure, few, long, None, interrupt).map(drop));
        stops_halfway(level, |interrupt| {
            batch(level, measure, few, &[long; 4], None, &mut [0.0; 4], interrupt)
        });
    }
}

/// A machine that gets faster between the two runs is done before the flag is up: then it is raised earlier.
fn stops_halfway(level: Level, work: impl Fn(Interrupt<'_>) -> Result<(), KernelError> + Copy + Send) {
    let start = Instant::now();
    work(Interrupt::NEVER).unwrap();
    let mut after = start.elapsed();
    let outcomes = std::iter::repeat_with(|| {
        after /= 2;
        interrupted(after, work).0
    });
    let stopped = outcomes.take(6).any(|outcome| outcome == Some(KernelError::Interrupted));
    assert!(stopped, "{}", level.name());
}

#[test]
fn a_batch_of_few_candidates_is_more_than_one_task() {
    let query: Vec<f64> = (0..40_000_u32).map(|i| f64::from(i * 7 % 1013)).collect();
    let candidates = Candidates::from_block("candidates", query[..16 * 32].to_vec(), 16, 1).unwrap();
    let job = Job::new();
    // One thread takes the tasks one after the other, so the first is done long before the last.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while job.done() == 0 {
                std::thread::yield_now();
            }
            job.cancel();
        });
        pool.install(|| {
            elastic_batch(Measure::SoftDtw { gamma: 1e6 }, series(&query), &candidates, None, &job)
        })
    });
    assert_eq!(outcome, Err(KernelError::Interrupted));
    assert!(job.done() < 32, "{} of 32", job.done());
}

/// Every parameter at the ends of its domain, ordinary and extreme series: a number or infinity.
#[test]
fn no_parameter_gives_nan() {
    let ends = [0.0, 1e-300, 1e308, f64::MAX];
    let mut measures = Vec::new();
    for x in ends {
        measures.extend([
            Measure::Wdtw { g: x },
            Measure::Adtw { penalty: x },
            Measure::Erp { gap: x },
            Measure::Erp { gap: -x },
            Measure::Edr { epsilon: x },
            Measure::Msm { cost: x },
        ]);
        measures.extend(ends.map(|lambda| Measure::Twe { nu: x, lambda }));
    }
    measures.extend([1e-150, 1e-100, 1e100, 1e150].map(|gamma| Measure::SoftDtw { gamma }));
    let all: [&[f64]; 6] = [
        &[0.0; 6],
        &[0.0, 0.0, 0.0, 0.0, 0.0, 1e200],
        &[1.0, -2.0, 3.5, 0.25, 9.0],
        &[f64::MAX, -f64::MAX, f64::MAX, 0.0, 1.0, -f64::MAX, 2.0],
        &[5e-324, -1e-300, 0.0, 1e-160],
        &[f64::MAX; 5],
    ];
    for measure in measures {
        assert!(measure.in_domain(), "{measure:?}");
        for (a, b) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
            for window in [None, Some(0), Some(2)] {
                let want = oracle::elastic::elastic(measure, series(a), series(b), window);
                for level in Level::available() {
                    let got =
                        distance(level, measure, series(a), series(b), window, Interrupt::NEVER).unwrap();
                    assert!(!got.is_nan(), "{measure:?} {a:?} {b:?} {window:?}");
                    assert_eq!(got.to_bits(), want.to_bits(), "{measure:?} {a:?} {b:?} {window:?}");
                    let mut many = [0.0; 4];
                    batch(level, measure, series(a), &[series(b); 4], window, &mut many, Interrupt::NEVER)
                        .unwrap();
                    assert_eq!(many.map(f64::to_bits), [got.to_bits(); 4], "{measure:?} {a:?} {b:?}");
                }
            }
            if a == b && !matches!(measure, Measure::SoftDtw { .. }) {
                assert_eq!(fast(measure, a, a, None), 0.0, "{measure:?} {a:?}");
            }
        }
    }
}

#[test]
fn the_domain_of_a_parameter_is_bounded() {
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        for measure in [
            Measure::Wdtw { g: x },
            Measure::Adtw { penalty: x },
            Measure::Edr { epsilon: x },
            Measure::Msm { cost: x },
            Measure::Twe { nu: x, lambda: 1.0 },
            Measure::Twe { nu: 1.0, lambda: x },
            Measure::SoftDtw { gamma: x },
        ] {
            assert!(!measure.in_domain(), "{measure:?}");
        }
        assert_eq!(Measure::Erp { gap: x }.in_domain(), x == -1.0);
    }
    for gamma in [0.0, 1e-151, 1e151, f64::MAX] {
        assert!(!Measure::SoftDtw { gamma }.in_domain(), "{gamma}");
    }
}

#[test]
#[should_panic(expected = "is in its domain")]
fn a_parameter_outside_its_domain_is_a_panic() {
    fast(Measure::SoftDtw { gamma: 1e308 }, &[0.0; 6], &[0.0; 6], None);
}

#[test]
#[should_panic(expected = "of one channel")]
fn two_channels_are_a_panic() {
    let two = Series::new("a", &[1.0; 8], 2).unwrap();
    distance(Level::best(), Measure::Erp { gap: 0.0 }, series(&[1.0; 8]), two, None, Interrupt::NEVER)
        .unwrap();
}

#[test]
#[should_panic(expected = "is defined for 3 steps or more")]
fn too_few_steps_are_a_panic() {
    let (query, short) = (series(&[1.0; 5]), series(&[1.0; 2]));
    batch(Level::best(), Measure::Ddtw, query, &[query, short], None, &mut [0.0; 2], Interrupt::NEVER)
        .unwrap();
}

#[test]
#[should_panic(expected = "one distance a candidate")]
fn too_few_distances_are_a_panic() {
    let one = series(&[1.0; 5]);
    batch(Level::best(), Measure::Ddtw, one, &[one; 2], None, &mut [0.0; 1], Interrupt::NEVER).unwrap();
}
