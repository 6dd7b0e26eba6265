//! DTW kernels, in cells per second, single thread: `cargo bench --bench dtw`.
//!
//! Groups: `pair` (no band), `pair-band` (radius a tenth of the length), `lanes` (one query, 64 candidates),
//! `lanes-band`, `align`. Every group runs at every SIMD level of the processor.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midstreamer::kernels::Interrupt;
use midstreamer::kernels::band::Band;
use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::simd::Level;
use midstreamer::series::Series;
use std::hint::black_box;
use std::time::Duration;

const LENGTHS: [usize; 7] = [20, 100, 128, 500, 1000, 4000, 10_000];
const NEVER: Interrupt<'static> = Interrupt::NEVER;

/// A price-like walk from a seed.
fn walk(length: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut price = 100.0;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            price *= 1.0 + ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 0.02;
            price
        })
        .collect()
}

fn series(values: &[f64]) -> Series<'_> {
    Series::new("bench", values, 1).expect("walks are finite")
}

fn cells(n: usize, window: Option<usize>) -> u64 {
    let band = Band::new(window, n, n);
    (0..n).map(|i| band.columns(i, n).len() as u64).sum()
}

fn pairs(c: &mut Criterion, name: &str, window: impl Fn(usize) -> Option<usize>) {
    let mut group = c.benchmark_group(name);
    for length in LENGTHS {
        let (a, b) = (walk(length, 1), walk(length, 2));
        group.throughput(Throughput::Elements(cells(length, window(length))));
        for level in Level::available() {
            for metric in [Metric::Absolute, Metric::Squared] {
                let options = DtwOptions { metric, window: window(length), ..DtwOptions::default() };
                let id = BenchmarkId::new(format!("{}/{metric:?}", level.name()), length);
                group.bench_function(id, |bench| {
                    bench.iter(|| dtw::distance(level, black_box(series(&a)), series(&b), &options, NEVER));
                });
            }
        }
    }
    group.finish();
}

fn lanes(c: &mut Criterion, name: &str, window: impl Fn(usize) -> Option<usize>) {
    let mut group = c.benchmark_group(name);
    for length in LENGTHS {
        let count = if length > 1000 { 4 } else { 64 };
        let query = walk(length, 1);
        let candidates: Vec<Vec<f64>> = (0..count).map(|k| walk(length, 2 + k as u64)).collect();
        let candidates: Vec<Series<'_>> = candidates.iter().map(|c| series(c)).collect();
        group.throughput(Throughput::Elements(count as u64 * cells(length, window(length))));
        for level in Level::available() {
            let options = DtwOptions { window: window(length), ..DtwOptions::default() };
            let mut out = vec![0.0; count];
            group.bench_function(BenchmarkId::new(level.name(), length), |bench| {
                bench.iter(|| {
                    dtw::batch(level, series(&query), &candidates, &options, black_box(&mut out), NEVER)
                });
            });
        }
    }
    group.finish();
}

fn align(c: &mut Criterion) {
    let mut group = c.benchmark_group("align");
    for length in LENGTHS {
        let (a, b) = (walk(length, 1), walk(length, 2));
        group.throughput(Throughput::Elements(cells(length, None)));
        for level in Level::available() {
            group.bench_function(BenchmarkId::new(level.name(), length), |bench| {
                bench.iter(|| {
                    dtw::align(level, black_box(series(&a)), series(&b), &DtwOptions::default(), NEVER)
                });
            });
        }
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    pairs(c, "pair", |_| None);
    pairs(c, "pair-band", |length| Some(length.div_ceil(10)));
    lanes(c, "lanes", |_| None);
    lanes(c, "lanes-band", |length| Some(length.div_ceil(10)));
    align(c);
}

criterion_group! {
    name = dtw_benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800)).sample_size(20);
    targets = all
}
criterion_main!(dtw_benches);
