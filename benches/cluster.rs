//! Series a second of the functions over many series at once.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midstreamer::kernels::dtw::DtwOptions;
use midstreamer::search::{
    BarycenterOptions, Candidates, Job, align_neighbors, barycenter, dtw_matrix, medoids,
};
use std::hint::black_box;
use std::time::Duration;

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

fn walks(count: usize) -> Candidates {
    let list: Vec<Vec<f64>> = (1..=count as u64).map(|seed| walk(128, seed)).collect();
    let list = list.iter().map(Vec::as_slice);
    Candidates::from_list("series", list, 1).expect("the walks are finite and not empty")
}

fn clusters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cluster/128 steps");
    for count in [100, 400] {
        let series = walks(count);
        let options = DtwOptions { window: Some(13), ..DtwOptions::default() };
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("align neighbours", count), |bencher| {
            bencher.iter(|| align_neighbors(black_box(&series), &options, &Job::new()));
        });
        group.bench_function(BenchmarkId::new("barycenter", count), |bencher| {
            let options = BarycenterOptions { window: Some(13), ..BarycenterOptions::default() };
            bencher.iter(|| barycenter(black_box(&series), &options, &Job::new()));
        });
        // What the medoids take beyond this is the search.
        group.bench_function(BenchmarkId::new("matrix", count), |bencher| {
            bencher.iter(|| dtw_matrix(black_box(&series), &options, &Job::new()));
        });
        for k in [2, 10] {
            group.bench_function(BenchmarkId::new(format!("{k} medoids"), count), |bencher| {
                bencher.iter(|| medoids(black_box(&series), k, &options, 0, &Job::new()));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    targets = clusters
}
criterion_main!(benches);
