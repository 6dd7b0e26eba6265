//! Subsequence search against every window computed by the textbook and chosen by the definition.

use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError, oracle};
use midstreamer::search::{Job, SubsequenceMatch, subsequence_search};
use midstreamer::series::Series;
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn series(values: &[f64], channels: usize) -> Series<'_> {
    Series::new("values", values, channels).expect("the strategies make finite values, at least one step")
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// (start, bits of the distance)
type Found = Vec<(usize, u64)>;

fn found(matches: Vec<SubsequenceMatch>) -> Found {
    matches.into_iter().map(|m| (m.start, m.distance.to_bits())).collect()
}

/// By the definition: all windows by (distance, start), one after the other unless too near to an accepted one.
fn choose(distances: &[f64], max_distance: f64, k: usize, exclusion: usize) -> Found {
    let mut order: Vec<usize> = (0..distances.len()).filter(|&s| distances[s] <= max_distance).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
    let mut accepted: Vec<usize> = Vec::new();
    for start in order {
        if accepted.len() < k && accepted.iter().all(|other| other.abs_diff(start) > exclusion) {
            accepted.push(start);
        }
    }
    accepted.into_iter().map(|start| (start, distances[start].to_bits())).collect()
}

/// The distance of every window.
fn all(query: Series<'_>, long: Series<'_>, options: &DtwOptions) -> Vec<f64> {
    let unbounded = DtwOptions { max_distance: f64::INFINITY, ..*options };
    let row = query.values().len();
    let values = long.values();
    (0..=values.len().saturating_sub(row))
        .step_by(query.channels())
        .filter(|_| values.len() >= row)
        .map(|at| oracle::dtw(query, series(&values[at..at + row], long.channels()), &unbounded))
        .collect()
}

fn options() -> impl Strategy<Value = DtwOptions> {
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let normalize = prop_oneof![
        2 => Just(Normalize::Zscore),
        1 => Just(Normalize::None),
        1 => Just(Normalize::Minmax),
    ];
    let window = prop_oneof![Just(None), (0..8_usize).prop_map(Some), Just(Some(usize::MAX))];
    (metric, normalize, window).prop_map(|(metric, normalize, window)| DtwOptions {
        metric,
        normalize,
        window,
        ..DtwOptions::default()
    })
}

/// What a series is made of: runs of walks, ties, constants and near-constants at any level, and repetitions.
fn long_values() -> impl Strategy<Value = Vec<f64>> {
    let level = prop_oneof![
        Just(0.0),
        Just(100.0),
        Just(1e5),
        Just(-1e9),
        Just(1e15),
        Just(1e-6),
        Just(1e30),
        Just(1e200),
        Just(1e-200),
        Just(1e300)
    ];
    let scale = prop_oneof![
        Just(1.0),
        Just(1e-3),
        Just(1e-9),
        Just(0.0),
        Just(1e6),
        Just(1e22),
        Just(1e40),
        Just(1e-160),
        Just(1e290)
    ];
    let run = (level, scale, prop::collection::vec(-1.0..1.0_f64, 1..120), 0..4_u8).prop_map(
        |(level, scale, steps, kind)| -> Vec<f64> {
            let mut sum = 0.0;
            steps
                .iter()
                .map(|step| {
                    sum += step;
                    match kind {
                        0 => level + scale * sum,
                        1 => level + scale * (step * 2.0).round(),
                        2 => level + scale * (step * step * 1.2).floor(),
                        _ => scale * step,
                    }
                })
                .collect()
        },
    );
    (prop::collection::vec(run, 1..4), any::<bool>()).prop_map(|(runs, twice)| {
        let once = runs.concat();
        if twice { [once.clone(), once].concat() } else { once }
    })
}

#[derive(Debug, Clone)]
struct Case {
    long: Vec<f64>,
    query: Vec<f64>,
    channels: usize,
    options: DtwOptions,
    k: usize,
    exclusion: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let k = prop_oneof![Just(1_usize), 2..5_usize, Just(1000), Just(usize::MAX)];
    let exclusion = prop_oneof![Just(0_usize), 1..10_usize, 10..60_usize, Just(usize::MAX)];
    let channels = prop_oneof![4 => Just(1_usize), 1 => Just(2), 1 => Just(3)];
    let shape = (any::<prop::sample::Index>(), 1..80_usize, prop_oneof![Just(0.0), Just(1e-12), Just(0.1)]);
    let stranger = prop::option::of(prop::collection::vec(-2.0..2.0_f64, 1..40));
    (long_values(), channels, options(), k, exclusion, shape, stranger).prop_map(
        |(mut long, channels, options, k, exclusion, (at, steps, noise), stranger)| {
            while !long.len().is_multiple_of(channels) {
                long.push(1.0);
            }
            let total = long.len() / channels;
            let steps = steps.min(total);
            let start = at.index(total - steps + 1);
            let mut query = long[start * channels..(start + steps) * channels].to_vec();
            for (index, x) in query.iter_mut().enumerate() {
                *x *= 1.0 + noise * ((index * 7919 % 13) as f64 / 13.0 - 0.5);
            }
            if let Some(mut other) = stranger {
                other.truncate(steps * channels);
                while !other.len().is_multiple_of(channels) {
                    other.pop();
                }
                if !other.is_empty() {
                    query = other;
                }
            }
            Case { long, query, channels, options, k, exclusion }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_definition(case in case(), cut in any::<prop::sample::Index>()) {
        let Case { long, query, channels, options, k, exclusion } = &case;
        let (query, long) = (series(query, *channels), series(long, *channels));
        let distances = all(query, long, options);
        for max_distance in [f64::INFINITY, distances[cut.index(distances.len())]] {
            let options = DtwOptions { max_distance, ..*options };
            let want = choose(&distances, max_distance, *k, *exclusion);
            for threads in [1, 3] {
                let job = Job::new();
                let got = on_threads(threads, || subsequence_search(query, long, &options, *k, *exclusion, &job));
                prop_assert_eq!(found(got.unwrap()), want.clone(), "{} threads, within {}", threads, max_distance);
                prop_assert_eq!(job.done(), distances.len() as u64);
            }
        }
    }
}

/// A walk from a seed, in steps of up to 1.
fn walk(length: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut sum = 0.0;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
            sum
        })
        .collect()
}

/// As `all`, with the kernels, for series on which the textbook takes too long.
fn all_fast(query: Series<'_>, long: Series<'_>, options: &DtwOptions) -> Vec<f64> {
    let (n, values) = (query.values().len(), long.values());
    let one = |at: usize| {
        dtw::distance(Level::best(), query, series(&values[at..at + n], 1), options, Interrupt::NEVER)
            .unwrap()
    };
    (0..=values.len() - n).map(one).collect()
}

#[test]
fn long_walks_at_high_levels_and_any_number_of_threads() {
    for (seed, level, scale, n) in
        [(1, 0.0, 1.0, 128), (2, 1e5, 1.0, 100), (3, 1e9, 1e-3, 64), (4, 1e5, 1e-4, 37), (5, -1e12, 1.0, 90)]
    {
        let long: Vec<f64> = walk(6000, seed).iter().map(|x| level + scale * x).collect();
        let query: Vec<f64> = walk(n, seed + 100);
        let (long, query) = (series(&long, 1), series(&query, 1));
        for (metric, normalize) in [
            (Metric::Squared, Normalize::Zscore),
            (Metric::Absolute, Normalize::Zscore),
            (Metric::Euclidean, Normalize::Minmax),
        ] {
            let options = DtwOptions { metric, normalize, window: Some(6), ..DtwOptions::default() };
            let distances = all_fast(query, long, &options);
            for (k, exclusion) in [(1, n / 2), (7, n / 2), (40, 3), (40, 0)] {
                let want = choose(&distances, f64::INFINITY, k, exclusion);
                for threads in 1..=8 {
                    let got = on_threads(threads, || {
                        subsequence_search(query, long, &options, k, exclusion, &Job::new()).unwrap()
                    });
                    assert_eq!(
                        found(got),
                        want,
                        "seed {seed} {options:?} k {k} exclusion {exclusion} on {threads}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_better_window_between_two_shuts_out_both() {
    // Distances 0 at 10, a little more at 8 and 12: with exclusion 2 the best one takes both with it.
    let mut long = vec![50.0; 40];
    for (at, x) in [(8, 1.0), (10, 0.0), (12, 2.0), (30, 9.0)] {
        long[at] = x;
    }
    let got = subsequence_search(
        series(&[0.0], 1),
        series(&long, 1),
        &DtwOptions { max_distance: 9.0, ..DtwOptions::default() },
        2,
        2,
        &Job::new(),
    );
    let at = |start, distance| SubsequenceMatch { start, distance };
    assert_eq!(got.unwrap(), [at(10, 0.0), at(30, 9.0)]);
}

#[test]
fn a_series_shorter_than_the_query_has_no_window() {
    let (query, long) = (walk(9, 1), walk(8, 2));
    let job = Job::new();
    let got = subsequence_search(series(&query, 1), series(&long, 1), &DtwOptions::default(), 3, 1, &job);
    assert_eq!((got.unwrap(), job.done()), (vec![], 0));
}

#[test]
fn a_cancelled_job_stops() {
    let (query, long) = (walk(200, 1), walk(400_000, 2));
    let (query, long) = (series(&query, 1), series(&long, 1));
    // As many as there are: nothing can be ruled out.
    let (options, k) = (DtwOptions { normalize: Normalize::Zscore, ..DtwOptions::default() }, usize::MAX);
    let job = Job::new();
    job.cancel();
    assert_eq!(subsequence_search(query, long, &options, k, 0, &job), Err(KernelError::Interrupted));
    assert_eq!(job.done(), 0);
    let job = Job::new();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| subsequence_search(query, long, &options, k, 0, &job));
        while job.done() == 0 {
            std::thread::yield_now();
        }
        job.cancel();
        let cancelled = Instant::now();
        assert_eq!(work.join().unwrap(), Err(KernelError::Interrupted));
        assert!(cancelled.elapsed() < Duration::from_secs(2), "{:?}", cancelled.elapsed());
    });
    assert!(job.done() < 400_000);
}
