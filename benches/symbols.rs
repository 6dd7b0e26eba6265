//! LCS, Levenshtein and LCSS at every SIMD level, in cells of the dynamic program a second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, lcs, lcss, levenshtein};
use midstreamer::search::{Job, LcsRatio, lcs_matrix};
use midstreamer::series::Series;
use std::hint::black_box;

const LENGTHS: [usize; 7] = [20, 100, 128, 500, 1000, 4000, 10_000];
const ALPHABETS: [u32; 2] = [4, 100];

/// A reproducible sequence of `n` symbols below `alphabet`.
fn symbols(n: usize, alphabet: u32, seed: u64) -> Vec<u32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % alphabet
        })
        .collect()
}

/// A reproducible random walk.
fn walk(n: usize, seed: u64) -> Vec<f64> {
    let mut at = 100.0;
    symbols(n, 2001, seed)
        .into_iter()
        .map(|step| {
            at += f64::from(step) / 1000.0 - 1.0;
            at
        })
        .collect()
}

fn pairs(c: &mut Criterion) {
    type Kernel = fn(Level, &[u32], &[u32]) -> usize;
    let kernels: [(&str, Kernel); 3] = [
        ("lcs/length", |level, a, b| lcs::length(level, a, b, Interrupt::NEVER).expect("never interrupted")),
        ("lcs/align", |level, a, b| {
            lcs::align(level, a, b, Interrupt::NEVER).expect("never interrupted").len()
        }),
        ("levenshtein", |level, a, b| {
            levenshtein::distance(level, a, b, Interrupt::NEVER).expect("never interrupted")
        }),
    ];
    for (name, kernel) in kernels {
        for alphabet in ALPHABETS {
            let mut group = c.benchmark_group(format!("{name}/{alphabet} symbols"));
            for n in LENGTHS {
                let (a, b) = (symbols(n, alphabet, 1), symbols(n, alphabet, 2));
                group.throughput(Throughput::Elements((n * n) as u64));
                for level in Level::available() {
                    group.bench_function(BenchmarkId::new(level.name(), n), |bencher| {
                        bencher.iter(|| kernel(level, black_box(&a), black_box(&b)));
                    });
                }
            }
        }
    }
}

fn real_values(c: &mut Criterion) {
    for (name, share) in [("lcss", None), ("lcss, window 10 %", Some(10))] {
        let mut group = c.benchmark_group(name);
        for n in LENGTHS {
            let (a, b) = (walk(n, 1), walk(n, 2));
            let (a, b) = (Series::new("a", &a, 1).expect("finite"), Series::new("b", &b, 1).expect("finite"));
            group.throughput(Throughput::Elements((n * n) as u64));
            for level in Level::available() {
                group.bench_function(BenchmarkId::new(level.name(), n), |bencher| {
                    bencher.iter(|| {
                        let window = share.map(|share| n / share);
                        lcss::length(level, black_box(a), black_box(b), 0.5, window, Interrupt::NEVER)
                    });
                });
            }
        }
    }
}

fn matrix(c: &mut Criterion) {
    let mut group = c.benchmark_group("lcs matrix");
    let (count, n) = (50, 450);
    let sequences: Vec<Vec<u32>> = (0..count).map(|seed| symbols(n, 5, seed as u64)).collect();
    group.throughput(Throughput::Elements((count * (count - 1) / 2 * n * n) as u64));
    group.bench_function("50 x 450, 5 symbols", |bencher| {
        bencher.iter(|| lcs_matrix(black_box(&sequences), LcsRatio::Max, &Job::new()));
    });
}

criterion_group!(benches, pairs, real_values, matrix);
criterion_main!(benches);
