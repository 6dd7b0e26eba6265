//! Batches, nearest neighbours and matrices against one pair at a time, and under several thread counts.

use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError, oracle};
use midstreamer::search::{
    Candidates, CorrelationMethod, Job, MAX_MATRIX_VALUES, Neighbor, correlation_matrix, dtw_batch,
    dtw_matrix, dtw_nearest, lag_matrix,
};
use midstreamer::series::Series;
use proptest::prelude::*;

/// Few distinct values, so that distances tie.
fn coarse(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-2_i32..3).prop_map(f64::from), steps)
}

fn options() -> impl Strategy<Value = DtwOptions> {
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let normalize = prop_oneof![Just(Normalize::None), Just(Normalize::Zscore)];
    let window = prop_oneof![Just(None), (0..6_usize).prop_map(Some)];
    (metric, normalize, window).prop_map(|(metric, normalize, window)| DtwOptions {
        metric,
        normalize,
        window,
        ..DtwOptions::default()
    })
}

fn candidates(list: &[Vec<f64>]) -> Candidates {
    Candidates::from_list("candidates", list.iter().map(Vec::as_slice), 1).unwrap()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn batch_and_nearest_equal_single_pairs(
        query in coarse(1..20),
        list in prop::collection::vec(coarse(1..20), 0..90),
        same_length in any::<bool>(),
        options in options(),
        k in 1..100_usize,
        cut in 0..100_usize,
    ) {
        let mut list = list;
        if same_length {
            list.iter_mut().for_each(|c| c.resize(10, 0.5));
        }
        let query = Series::new("query", &query, 1).unwrap();
        let exact: Vec<f64> = list.iter().map(|c| oracle::dtw(query, Series::new("c", c, 1).unwrap(), &options)).collect();
        let list = candidates(&list);
        for max_distance in [f64::INFINITY, exact.get(cut % exact.len().max(1)).copied().unwrap_or(1.0)] {
            let options = DtwOptions { max_distance, ..options };
            let want: Vec<f64> = exact.iter().map(|d| if *d <= max_distance { *d } else { f64::INFINITY }).collect();
            let mut sorted: Vec<Neighbor> = want.iter().enumerate()
                .filter(|(_, d)| **d <= max_distance && d.is_finite())
                .map(|(index, &distance)| Neighbor { index, distance }).collect();
            sorted.sort_by(|a: &Neighbor, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
            sorted.truncate(k);
            for threads in [1, 2, 5] {
                let (batch, nearest, done) = on_threads(threads, || {
                    let job = Job::new();
                    let batch = dtw_batch(query, &list, &options, &job).unwrap();
                    (batch, dtw_nearest(query, &list, &options, k, &Job::new()).unwrap(), job.done())
                });
                prop_assert_eq!(bits(&batch), bits(&want), "{} threads {:?}", threads, options);
                prop_assert_eq!(&nearest, &sorted, "{} threads {:?}", threads, options);
                prop_assert_eq!(done, list.len() as u64);
            }
        }
    }

    #[test]
    fn matrices_equal_single_pairs(
        list in prop::collection::vec(coarse(2..20), 1..40),
        same_length in any::<bool>(),
        options in options(),
    ) {
        let mut list = list;
        if same_length {
            list.iter_mut().for_each(|c| c.resize(9, 0.5));
        }
        let all = candidates(&list);
        let n = list.len();
        let (distances, lags, correlations) = on_threads(3, || (
            dtw_matrix(&all, &options, &Job::new()).unwrap(),
            lag_matrix(&all, &options, &Job::new()).unwrap(),
            correlation_matrix(&all, &options, CorrelationMethod::Dtw, &Job::new()).unwrap(),
        ));
        for i in 0..n {
            prop_assert_eq!((distances[i * n + i], lags[i * n + i], correlations[i * n + i]), (0.0, 0.0, 1.0));
            for j in i + 1..n {
                let (a, b) = (all.get(i), all.get(j));
                let exact = dtw::align(Level::best(), a, b, &options, Interrupt::NEVER).unwrap();
                prop_assert_eq!(distances[i * n + j].to_bits(), exact.distance.to_bits());
                prop_assert_eq!(lags[i * n + j].to_bits(), exact.lag().to_bits());
                prop_assert_eq!(distances[j * n + i].to_bits(), exact.distance.to_bits());
                prop_assert_eq!(lags[j * n + i], -exact.lag());
                let (x, y): (Vec<f64>, Vec<f64>) =
                    exact.path.iter().map(|&(i, j)| (a.values()[i as usize], b.values()[j as usize])).unzip();
                let want = textbook_pearson(&x, &y);
                prop_assert!((correlations[i * n + j] - want).abs() < 1e-9, "{} {}", correlations[i * n + j], want);
                prop_assert_eq!(correlations[j * n + i].to_bits(), correlations[i * n + j].to_bits());
            }
        }
    }
}

/// E[xy] - E[x]E[y] over the roots of the variances: exact enough for small integers.
fn textbook_pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / x.len() as f64;
    let (ex, ey) = (mean(&mut x.iter().copied()), mean(&mut y.iter().copied()));
    let vx = mean(&mut x.iter().map(|v| v * v)) - ex * ex;
    let vy = mean(&mut y.iter().map(|v| v * v)) - ey * ey;
    let cov = mean(&mut x.iter().zip(y).map(|(a, b)| a * b)) - ex * ey;
    if vx < 1e-12 || vy < 1e-12 { 0.0 } else { cov / (vx * vy).sqrt() }
}

#[test]
fn correlation_at_equal_positions() {
    let list =
        vec![vec![1e6, 1e6 + 1.0, 1e6 + 2.0], vec![3.0, 2.0, 1.0], vec![5.0; 3], vec![0.0, 10.0, 20.0]];
    let got = correlation_matrix(
        &candidates(&list),
        &DtwOptions::default(),
        CorrelationMethod::Pearson,
        &Job::new(),
    );
    let want = [1.0, -1.0, 0.0, 1.0, -1.0, 1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 1.0, -1.0, 0.0, 1.0];
    for (got, want) in got.unwrap().iter().zip(want) {
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
}

#[test]
fn correlation_at_extreme_magnitudes() {
    for scale in [1e-300, 1e-170, 1.0, 1e200, 1e307] {
        let list = candidates(&[[1.0, 2.0, 3.0].map(|x| x * scale).to_vec(), vec![1.0, 2.0, 3.0]]);
        for method in [CorrelationMethod::Dtw, CorrelationMethod::Pearson] {
            let options = DtwOptions { normalize: Normalize::Zscore, ..DtwOptions::default() };
            let got = correlation_matrix(&list, &options, method, &Job::new()).unwrap();
            assert!((got[1] - 1.0).abs() < 1e-12, "{scale} {method:?}: {}", got[1]);
        }
        let plain = DtwOptions::default();
        let got = correlation_matrix(&list, &plain, CorrelationMethod::Pearson, &Job::new()).unwrap();
        assert!((got[1] - 1.0).abs() < 1e-12, "{scale}: {}", got[1]);
    }
}

#[test]
fn lags_and_correlations_of_several_channels() {
    let a = [0.0, 5.0, 1.0, 5.0, 2.0, 5.0, 3.0, 6.0];
    let b = [0.0, 5.0, 0.0, 5.0, 1.0, 5.0, 2.0, 7.0];
    let list = Candidates::from_list("series", [&a[..], &b, &a], 2).unwrap();
    let options = DtwOptions::default();
    let lags = lag_matrix(&list, &options, &Job::new()).unwrap();
    let exact = dtw::align(Level::best(), list.get(0), list.get(1), &options, Interrupt::NEVER).unwrap();
    assert_eq!((lags[1], lags[2]), (exact.lag(), 0.0));
    let correlations = correlation_matrix(&list, &options, CorrelationMethod::Dtw, &Job::new()).unwrap();
    assert!((correlations[2] - 1.0).abs() < 1e-12);
}

#[test]
fn an_alignment_beyond_the_limit_is_refused_before_any_work() {
    let mut list = vec![vec![0.0; 30_000]; 50];
    list.extend([vec![0.0; 70_000], vec![0.0; 70_000]]);
    let (list, job) = (candidates(&list), Job::new());
    let error = lag_matrix(&list, &DtwOptions::default(), &job).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { cells: 4_900_000_000, .. }));
    assert_eq!(job.done(), 0);
}

#[test]
fn beyond_the_bound_there_is_no_lag_and_no_correlation() {
    let list = candidates(&[vec![0.0, 1.0], vec![100.0, 101.0]]);
    let options = DtwOptions { max_distance: 1.0, ..DtwOptions::default() };
    assert_eq!(dtw_matrix(&list, &options, &Job::new()).unwrap()[1], f64::INFINITY);
    assert!(lag_matrix(&list, &options, &Job::new()).unwrap()[1].is_nan());
    let correlations = correlation_matrix(&list, &options, CorrelationMethod::Dtw, &Job::new()).unwrap();
    assert!(correlations[1].is_nan());
}

#[test]
fn a_cancelled_job_stops_everything() {
    let list = candidates(&vec![vec![1.0; 50]; 40]);
    let (query, options, job) = (list.get(0), DtwOptions::default(), Job::new());
    job.cancel();
    assert_eq!(dtw_batch(query, &list, &options, &job), Err(KernelError::Interrupted));
    assert_eq!(dtw_nearest(query, &list, &options, 3, &job), Err(KernelError::Interrupted));
    assert_eq!(dtw_matrix(&list, &options, &job), Err(KernelError::Interrupted));
    assert_eq!(lag_matrix(&list, &options, &job), Err(KernelError::Interrupted));
    for method in [CorrelationMethod::Dtw, CorrelationMethod::Pearson] {
        assert_eq!(correlation_matrix(&list, &options, method, &job), Err(KernelError::Interrupted));
    }
}

#[test]
fn a_matrix_has_a_limit() {
    let list = candidates(&vec![vec![1.0]; 11_586]);
    let error = dtw_matrix(&list, &DtwOptions::default(), &Job::new()).unwrap_err();
    assert_eq!(error, KernelError::TooLarge { cells: 11_586 * 11_586, limit: MAX_MATRIX_VALUES });
}

#[test]
fn no_candidates_no_distances() {
    let (none, query) = (candidates(&[]), candidates(&[vec![1.0]]));
    let options = DtwOptions::default();
    assert_eq!(dtw_batch(query.get(0), &none, &options, &Job::new()), Ok(Vec::new()));
    assert_eq!(dtw_nearest(query.get(0), &none, &options, 5, &Job::new()), Ok(Vec::new()));
    assert_eq!(dtw_matrix(&none, &options, &Job::new()), Ok(Vec::new()));
}
