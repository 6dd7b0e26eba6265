//! Cells per second of the elastic distances: one pair at several lengths, and a batch.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midstreamer::kernels::Interrupt;
use midstreamer::kernels::elastic::{Measure, batch, distance};
use midstreamer::kernels::simd::Level;
use midstreamer::series::Series;
use std::hint::black_box;
use std::time::Duration;

const MEASURES: [(&str, Measure); 8] = [
    ("ddtw", Measure::Ddtw),
    ("wdtw", Measure::Wdtw { g: 0.05 }),
    ("adtw", Measure::Adtw { penalty: 1.0 }),
    ("erp", Measure::Erp { gap: 0.0 }),
    ("edr", Measure::Edr { epsilon: 0.5 }),
    ("msm", Measure::Msm { cost: 1.0 }),
    ("twe", Measure::Twe { nu: 0.001, lambda: 1.0 }),
    ("soft-dtw", Measure::SoftDtw { gamma: 1.0 }),
];

/// A reproducible walk of prices.
fn walk(steps: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut price = 0.0;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        price += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        price
    };
    (0..steps).map(|_| next()).collect()
}

fn pairs(criterion: &mut Criterion) {
    for (name, measure) in MEASURES {
        let mut group = criterion.benchmark_group(format!("elastic/{name}"));
        for steps in [20, 100, 128, 500, 1000, 4000, 10_000] {
            if steps == 10_000 && matches!(measure, Measure::SoftDtw { .. }) {
                continue;
            }
            let (a, b) = (walk(steps, 1), walk(steps, 2));
            let (a, b) = (series(&a), series(&b));
            group.throughput(Throughput::Elements((steps * steps) as u64));
            for level in Level::available() {
                group.bench_function(BenchmarkId::new(level.name(), steps), |bencher| {
                    bencher.iter(|| distance(level, measure, black_box(a), b, None, Interrupt::NEVER));
                });
            }
        }
        let (a, b) = (walk(1000, 1), walk(1000, 2));
        let (a, b) = (series(&a), series(&b));
        group.throughput(Throughput::Elements(1000 * 201));
        group.bench_function("window 100 of 1000", |bencher| {
            let level = Level::best();
            bencher.iter(|| distance(level, measure, black_box(a), b, Some(100), Interrupt::NEVER));
        });
        group.finish();
    }
}

fn batches(criterion: &mut Criterion) {
    let query = walk(100, 1);
    let candidates: Vec<Vec<f64>> = (2..1002).map(|seed| walk(100, seed)).collect();
    let candidates: Vec<Series<'_>> = candidates.iter().map(|x| series(x)).collect();
    let mut group = criterion.benchmark_group("elastic/batch of 1000 x 100");
    group.throughput(Throughput::Elements(1000 * 100 * 100));
    for (name, measure) in MEASURES {
        for level in Level::available() {
            let mut distances = vec![0.0; candidates.len()];
            group.bench_function(BenchmarkId::new(name, level.name()), |bencher| {
                bencher.iter(|| {
                    let query = series(black_box(&query));
                    batch(level, measure, query, &candidates, None, &mut distances, Interrupt::NEVER)
                });
            });
        }
    }
    group.finish();
}

fn series(values: &[f64]) -> Series<'_> {
    Series::new("values", values, 1).expect("the walk is finite and not empty")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    targets = pairs, batches
}
criterion_main!(benches);
