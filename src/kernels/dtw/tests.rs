//! Every kernel at every level against the textbook matrix, to the last bit.

use super::trace::align_within;
use super::*;
use crate::kernels::oracle;
use proptest::prelude::*;

const NEVER: Interrupt<'static> = Interrupt::NEVER;

fn series(values: &[f64], channels: usize) -> Series<'_> {
    Series::new("test", values, channels).unwrap()
}

/// Values of several kinds: few distinct ones (ties everywhere), prices, and extremes.
fn values(steps: std::ops::Range<usize>, channels: usize) -> impl Strategy<Value = Vec<f64>> {
    let kinds = [
        (-3_i32..4).prop_map(f64::from).boxed(),
        (90.0..110.0_f64).boxed(),
        prop_oneof![
            Just(1e-300),
            Just(-1e-300),
            Just(1e150),
            Just(-1e150),
            Just(0.0),
            Just(-0.0),
            Just(1e308)
        ]
        .boxed(),
        (-1.0..1.0_f64).boxed(),
    ];
    (steps, 0..4_usize)
        .prop_flat_map(move |(steps, kind)| prop::collection::vec(kinds[kind].clone(), steps * channels))
}

fn metric() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)]
}

fn options() -> impl Strategy<Value = DtwOptions> {
    let window = prop_oneof![3 => Just(None), 4 => (0..12_usize).prop_map(Some), 2 => (0..150_usize).prop_map(Some), 1 => Just(Some(usize::MAX))];
    let normalize =
        prop_oneof![3 => Just(Normalize::None), 1 => Just(Normalize::Zscore), 1 => Just(Normalize::Minmax)];
    (metric(), window, normalize).prop_map(|(metric, window, normalize)| DtwOptions {
        metric,
        window,
        normalize,
        ..DtwOptions::default()
    })
}

/// Bounds around the true distance: below, equal, one unit above, far.
fn bounds(distance: f64) -> [f64; 6] {
    [0.0, distance / 2.0, distance.next_down().max(0.0), distance, distance.next_up(), f64::INFINITY]
}

fn check_pair(a: Series<'_>, b: Series<'_>, base: &DtwOptions) -> Result<(), TestCaseError> {
    let exact = oracle::dtw(a, b, base);
    let path = oracle::dtw_path(a, b, base);
    for level in Level::available() {
        for max_distance in bounds(exact) {
            let options = DtwOptions { max_distance, ..*base };
            let expected = if exact <= max_distance { exact } else { f64::INFINITY };
            let got = distance(level, a, b, &options, NEVER).unwrap();
            prop_assert_eq!(
                got.to_bits(),
                expected.to_bits(),
                "{} {:?}: {} {}",
                level.name(),
                options,
                got,
                expected
            );
            let mirrored = distance(level, b, a, &options, NEVER).unwrap();
            prop_assert_eq!(
                mirrored.to_bits(),
                expected.to_bits(),
                "{} mirrored {:?}",
                level.name(),
                options
            );
            for trace_bytes in [1, 1000, 1 << 20] {
                let got = align_within(level, a, b, &options, trace_bytes, NEVER).unwrap();
                prop_assert_eq!(got.distance.to_bits(), expected.to_bits());
                let expected_path: &[(u32, u32)] = if expected.is_finite() { &path } else { &[] };
                prop_assert_eq!(&got.path, expected_path, "{} {:?} {}", level.name(), options, trace_bytes);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn pairs_equal_the_matrix(a in values(1..70, 1), b in values(1..70, 1), options in options()) {
        check_pair(series(&a, 1), series(&b, 1), &options)?;
    }

    #[test]
    fn pairs_of_channels_equal_the_matrix(
        (channels, a, b) in (2..5_usize).prop_flat_map(|c| (Just(c), values(1..40, c), values(1..40, c))),
        options in options(),
    ) {
        check_pair(series(&a, channels), series(&b, channels), &options)?;
    }

    #[test]
    fn batches_equal_single_pairs(
        query in values(1..60, 1),
        candidates in prop::collection::vec(values(1..60, 1), 0..14),
        same_length in any::<bool>(),
        options in options(),
        cut in 0..4_usize,
    ) {
        let mut candidates = candidates;
        if same_length && let Some(length) = candidates.first().map(Vec::len) {
            for candidate in &mut candidates {
                candidate.resize(length, 1.0);
            }
        }
        let query = series(&query, 1);
        let list: Vec<Series<'_>> = candidates.iter().map(|c| series(c, 1)).collect();
        let mut exact: Vec<f64> = list.iter().map(|c| oracle::dtw(query, *c, &options)).collect();
        let mut sorted = exact.clone();
        sorted.sort_by(f64::total_cmp);
        let max_distance = if cut == 3 || sorted.is_empty() { f64::INFINITY } else { sorted[(sorted.len() - 1) * cut / 3] };
        let options = DtwOptions { max_distance, ..options };
        for d in &mut exact {
            if *d > max_distance {
                *d = f64::INFINITY;
            }
        }
        for level in Level::available() {
            let mut got = vec![f64::NAN; list.len()];
            batch(level, query, &list, &options, &mut got, NEVER).unwrap();
            prop_assert_eq!(got.iter().map(|d| d.to_bits()).collect::<Vec<_>>(), exact.iter().map(|d| d.to_bits()).collect::<Vec<_>>(), "{} {:?} {:?}", level.name(), got, exact);
            let mut seen = vec![0; list.len()];
            let mut wrong = None;
            align_batch(level, query, &list, &options, |index, alignment| {
                seen[index] += 1;
                let expected = if exact[index].is_finite() { oracle::dtw_path(query, list[index], &options) } else { Vec::new() };
                if alignment.distance.to_bits() != exact[index].to_bits() || alignment.path != expected {
                    wrong = Some(index);
                }
            }, NEVER).unwrap();
            prop_assert_eq!(wrong, None, "{}", level.name());
            prop_assert!(seen.iter().all(|count| *count == 1));
        }
    }

    #[test]
    fn a_wider_window_is_never_farther(a in values(1..60, 1), b in values(1..60, 1), metric in metric(), w in 0..40_usize) {
        let at = |window| {
            let options = DtwOptions { metric, window, ..DtwOptions::default() };
            distance(Level::best(), series(&a, 1), series(&b, 1), &options, NEVER).unwrap()
        };
        prop_assert!(at(Some(w + 1)) <= at(Some(w)));
        prop_assert!(at(None) <= at(Some(w + 1)));
        prop_assert_eq!(at(Some(a.len().max(b.len()))), at(None));
    }

    #[test]
    fn a_series_is_at_no_distance_from_itself(a in values(1..200, 1), options in options()) {
        let a = series(&a, 1);
        prop_assert_eq!(distance(Level::best(), a, a, &options, NEVER).unwrap(), 0.0);
    }
}

/// Lengths around the strip heights of every level, and long ones that take the wide strips; windows around the widths
/// that whole diagonals take.
#[test]
fn lengths_around_the_strips() {
    let wave = |n: usize, phase: f64| -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.37 + phase).sin() * 10.0).collect()
    };
    for (n, m) in [
        (1, 1),
        (1, 300),
        (15, 17),
        (16, 16),
        (17, 33),
        (23, 25),
        (24, 24),
        (47, 49),
        (999, 1001),
        (1000, 1000),
        (1001, 1100),
        (1000, 40),
    ] {
        let (a, b) = (wave(n, 0.0), wave(m, 1.0));
        // With equal lengths, the diagonals of a window have one cell more than it: all that fill vectors, and more.
        for window in (0..26).chain([100, 999]).map(Some).chain([None]) {
            for metric in [Metric::Absolute, Metric::Squared] {
                let options = DtwOptions { metric, window, ..DtwOptions::default() };
                let exact = oracle::dtw(series(&a, 1), series(&b, 1), &options);
                for level in Level::available() {
                    for bound in [f64::INFINITY, exact, exact / 2.0, exact / 1000.0] {
                        let bounded = DtwOptions { max_distance: bound, ..options };
                        let got = distance(level, series(&a, 1), series(&b, 1), &bounded, NEVER).unwrap();
                        let expected = if exact <= bound { exact } else { f64::INFINITY };
                        assert_eq!(
                            got.to_bits(),
                            expected.to_bits(),
                            "{n} {m} {window:?} {bound} {}",
                            level.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn equal_totals_under_a_euclidean_bound_are_kept() {
    // Squaring the bound loses a rounding in one case of four: the rounded root is what counts.
    for k in 1..2000 {
        let (a, b) = ([0.0, 0.1 * f64::from(k)], [0.3, 1.0 / f64::from(k)]);
        let options = DtwOptions { metric: Metric::Euclidean, ..DtwOptions::default() };
        let exact = oracle::dtw(series(&a, 1), series(&b, 1), &options);
        let bounded = DtwOptions { max_distance: exact, ..options };
        let got = distance(Level::best(), series(&a, 1), series(&b, 1), &bounded, NEVER).unwrap();
        assert_eq!(got.to_bits(), exact.to_bits());
    }
}

#[test]
fn sums_that_overflow_are_infinite_and_have_no_path() {
    let (a, b) = ([1e308; 30], [-1e308; 40]);
    for level in Level::available() {
        let got = align(level, series(&a, 1), series(&b, 1), &DtwOptions::default(), NEVER).unwrap();
        assert_eq!((got.distance, got.path.len()), (f64::INFINITY, 0));
    }
}

#[test]
fn an_interrupt_ends_every_kernel() {
    let flag = std::sync::atomic::AtomicBool::new(true);
    let stop = Interrupt::when(&flag);
    let a = vec![1.0; 100];
    let (a, options) = (series(&a, 1), DtwOptions::default());
    let level = Level::best();
    assert_eq!(distance(level, a, a, &options, stop), Err(KernelError::Interrupted));
    assert_eq!(align(level, a, a, &options, stop), Err(KernelError::Interrupted));
    assert_eq!(batch(level, a, &[a; 5], &options, &mut [0.0; 5], stop), Err(KernelError::Interrupted));
    assert_eq!(align_batch(level, a, &[a; 5], &options, |_, _| {}, stop), Err(KernelError::Interrupted));
}

#[test]
fn an_interrupt_ends_a_running_kernel() {
    type Kernel = fn(Series<'_>, Interrupt<'_>) -> Option<KernelError>;
    // Uninterrupted, each of these takes minutes or at least seconds.
    let kernels: [Kernel; 3] = [
        |a, stop| distance(Level::best(), a, a, &DtwOptions::default(), stop).err(),
        |a, stop| {
            let banded = DtwOptions { window: Some(1900), ..DtwOptions::default() };
            align(Level::best(), a, a, &banded, stop).err()
        },
        |a, stop| batch(Level::best(), a, &[a; 4], &DtwOptions::default(), &mut [0.0; 4], stop).err(),
    ];
    let long = vec![1.0; 1_000_000];
    for kernel in kernels {
        let flag = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| kernel(series(&long, 1), Interrupt::when(&flag)));
            std::thread::sleep(std::time::Duration::from_millis(30));
            flag.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(running.join().unwrap(), Some(KernelError::Interrupted));
        });
    }
}

#[test]
fn cells_inside_a_band_are_counted_exactly() {
    for n in 1..20 {
        for m in 1..20 {
            for window in (0..25).map(Some).chain([None]) {
                let band = Band::new(window, n, m);
                let counted: usize = (0..n).map(|i| band.columns(i, m).len()).sum();
                assert_eq!(super::trace::cells_inside(n, m, window), counted as u128, "{n} {m} {window:?}");
            }
        }
    }
}

#[test]
fn a_narrow_band_is_abandoned_early_in_spite_of_what_it_left_behind() {
    // The first values are equal, the rest one apart, and the bound is passed at row 501. The boundary still holds
    // the zeros of the start left of the band; were they looked at, this took a hundred million cells.
    let n = 1_000_000;
    let a = vec![0.0; n];
    let b: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i >= 500))).collect();
    let options = DtwOptions { window: Some(5), max_distance: 1.0, ..DtwOptions::default() };
    for level in Level::available() {
        assert_eq!(distance(level, series(&a, 1), series(&b, 1), &options, NEVER), Ok(f64::INFINITY));
    }
}

#[test]
fn an_alignment_has_a_limit_and_a_band_makes_room() {
    let long = vec![0.0; 70_000];
    let (a, level) = (series(&long, 1), Level::best());
    let error = align(level, a, a, &DtwOptions::default(), NEVER).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { cells: 4_900_000_000, limit: MAX_ALIGN_CELLS }));
    let banded = DtwOptions { window: Some(2), ..DtwOptions::default() };
    assert_eq!(align(level, a, a, &banded, NEVER).unwrap().path.len(), 70_000);
}
