//! Subsequence search on one thread, in windows per second: `cargo bench --bench subsequence`.
//!
//! A query of 128 in a random walk of 1,000,000, z-normalised, radius 5 %, the task of the UCR suite; then the same with
//! one thing changed at a time. The seeds are those of three different walks, because how much a bound rules out
//! depends on how near the best window is.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midstreamer::kernels::dtw::{DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::search::{Job, subsequence_search};
use midstreamer::series::Series;
use std::hint::black_box;
use std::time::Duration;

/// A random walk from a seed; steps are sums of uniform numbers.
fn walk(length: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut level = 0.0;
    (0..length)
        .map(|_| {
            level += uniform() + uniform() + uniform();
            level
        })
        .collect()
}

fn series(values: &[f64]) -> Series<'_> {
    Series::new("bench", values, 1).expect("walks are finite")
}

const LENGTH: usize = 1_000_000;

fn ucr() -> DtwOptions {
    DtwOptions {
        metric: Metric::Squared,
        normalize: Normalize::Zscore,
        window: Some(6),
        ..DtwOptions::default()
    }
}

fn searches(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    let mut group = c.benchmark_group("subsequence");
    let mut search = |name: &str, seed: u64, steps: usize, options: DtwOptions, k: usize, lift: f64| {
        let (mut long, query) = (walk(LENGTH, seed), walk(steps, seed + 1000));
        long.iter_mut().for_each(|x| *x += lift);
        group.throughput(Throughput::Elements((LENGTH + 1 - steps) as u64));
        group.bench_function(BenchmarkId::new(name, seed), |bench| {
            bench.iter(|| {
                let (query, long) = (series(black_box(&query)), series(&long));
                pool.install(|| subsequence_search(query, long, &options, k, steps / 2, &Job::new()))
            });
        });
    };
    for seed in 1..=3 {
        search("ucr", seed, 128, ucr(), 1, 0.0);
    }
    search("k-10", 1, 128, ucr(), 10, 0.0);
    search("prices-of-1e5", 1, 128, ucr(), 1, 1e5);
    search("steps-1000", 1, 1000, DtwOptions { window: Some(50), ..ucr() }, 1, 0.0);
    search("absolute", 1, 128, DtwOptions { metric: Metric::Absolute, ..ucr() }, 1, 0.0);
    search("minmax", 1, 128, DtwOptions { normalize: Normalize::Minmax, ..ucr() }, 1, 0.0);
    search("not-normalised", 1, 128, DtwOptions { normalize: Normalize::None, ..ucr() }, 1, 0.0);
    group.finish();
}

criterion_group! {
    name = subsequence_benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(10);
    targets = searches
}
criterion_main!(subsequence_benches);
