//! Alignments of neighbours, DBA and k-medoids against definitions written down naively, and under several thread
//! counts.

use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError, oracle};
use midstreamer::search::{
    BarycenterOptions, Candidates, Job, MAX_MATRIX_VALUES, Medoids, align_neighbors, barycenter, dtw_matrix,
    medoids,
};
use midstreamer::series::Series;
use proptest::prelude::*;

fn list_of(lists: &[Vec<f64>]) -> Candidates {
    Candidates::from_list("series", lists.iter().map(Vec::as_slice), 1).unwrap()
}

fn series(values: &[f64]) -> Series<'_> {
    Series::new("series", values, 1).unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Prices or few distinct values, the latter for ties.
fn values(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec((-2_i32..3).prop_map(f64::from), steps.clone()),
        prop::collection::vec(-1.0..1.0_f64, steps)
    ]
}

/// A reproducible walk of prices.
fn walk(steps: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut price = 100.0;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        price += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        price
    };
    (0..steps).map(|_| next()).collect()
}

fn squared(window: Option<usize>) -> DtwOptions {
    DtwOptions { metric: Metric::Squared, window, ..DtwOptions::default() }
}

// ------------------------------------------------------------------------------------------------------ neighbours

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn neighbours_are_aligned_like_pairs(
        list in prop::collection::vec(values(1..30), 0..12),
        window in prop::option::of(0..8_usize),
        zscore in any::<bool>(),
    ) {
        let normalize = if zscore { Normalize::Zscore } else { Normalize::None };
        let options = DtwOptions { window, normalize, ..DtwOptions::default() };
        let all = list_of(&list);
        let job = Job::new();
        let got = on_threads(3, || align_neighbors(&all, &options, &job)).unwrap();
        prop_assert_eq!(got.len(), list.len().saturating_sub(1));
        prop_assert_eq!(job.done(), got.len() as u64);
        for (k, alignment) in got.iter().enumerate() {
            let (a, b) = (all.get(k), all.get(k + 1));
            let want = dtw::align(Level::best(), a, b, &options, Interrupt::NEVER).unwrap();
            prop_assert_eq!(alignment, &want);
            prop_assert_eq!(alignment.distance.to_bits(), oracle::dtw(a, b, &options).to_bits());
        }
    }
}

#[test]
fn neighbours_beyond_the_limit_are_refused_before_any_work() {
    let list = list_of(&[vec![0.0; 9000], vec![0.0; 9000], vec![0.0; 70_000], vec![0.0; 70_000]]);
    let job = Job::new();
    let error = align_neighbors(&list, &DtwOptions::default(), &job).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { cells: 4_900_000_000, .. }));
    assert_eq!(job.done(), 0);
}

// ------------------------------------------------------------------------------------------------------ barycenter

/// The inertia by the oracle, added in order.
fn inertia_of(center: &[f64], list: &[Vec<f64>], window: Option<usize>) -> f64 {
    list.iter().map(|one| oracle::dtw(series(center), series(one), &squared(window))).sum()
}

/// One round of the paper: each value becomes the mean of those paired with it.
fn moved(center: &[f64], list: &[Vec<f64>], window: Option<usize>) -> Vec<f64> {
    let mut paired = vec![Vec::new(); center.len()];
    for one in list {
        let (a, b) = (series(center), series(one));
        let path = dtw::align(Level::best(), a, b, &squared(window), Interrupt::NEVER).unwrap().path;
        for (i, j) in path {
            paired[i as usize].push(one[j as usize]);
        }
    }
    paired.iter().map(|values| values.iter().sum::<f64>() / values.len() as f64).collect()
}

fn naive_medoid(list: &[Vec<f64>], window: Option<usize>) -> usize {
    let sums: Vec<f64> = list.iter().map(|one| inertia_of(one, list, window)).collect();
    (0..list.len()).min_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap()
}

/// Whether two numbers are equal but for the order of additions.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn barycenter_is_the_rounds_of_the_paper(
        list in prop::collection::vec(prop::collection::vec(-1.0..1.0_f64, 1..16), 1..12),
        window in prop::option::of(0..6_usize),
        max_iterations in 1..8_usize,
        tolerance in prop_oneof![Just(0.0), Just(1e-6), Just(0.1)],
    ) {
        let options = BarycenterOptions { window, max_iterations, tolerance };
        let found = barycenter(&list_of(&list), &options, &Job::new()).unwrap();
        prop_assert_eq!(found.inertia.to_bits(), inertia_of(&found.center, &list, window).to_bits());

        // The same from the definition. Where two paths cost the same but for rounding, the two may part: with values
        // drawn from a continuum that does not happen.
        let mut center = list[naive_medoid(&list, window)].clone();
        let mut inertia = inertia_of(&center, &list, window);
        prop_assert!(found.inertia <= inertia);
        prop_assert_eq!(found.center.len(), center.len());
        let mut iterations = 0;
        for round in 1..=max_iterations {
            let next = moved(&center, &list, window);
            let less = inertia_of(&next, &list, window);
            iterations = round;
            let fall = inertia - less;
            if fall > 0.0 {
                (center, inertia) = (next, less);
            }
            if fall <= 0.0 || fall < tolerance {
                break;
            }
        }
        prop_assert!(close(found.inertia, inertia), "{} {}", found.inertia, inertia);
        for (got, want) in found.center.iter().zip(&center) {
            prop_assert!(close(*got, *want), "{:?} {:?}", found.center, center);
        }
        // With tolerance 0 the end is decided by rounding.
        if tolerance > 0.0 {
            prop_assert_eq!(found.iterations, iterations);
        }
    }

    #[test]
    fn more_iterations_are_never_worse(
        list in prop::collection::vec(values(1..16), 1..12),
        window in prop::option::of(0..6_usize),
    ) {
        let all = list_of(&list);
        let mut before = inertia_of(&list[naive_medoid(&list, window)], &list, window);
        for max_iterations in 1..8 {
            let options = BarycenterOptions { window, max_iterations, tolerance: 0.0 };
            let found = barycenter(&all, &options, &Job::new()).unwrap();
            prop_assert!(found.inertia <= before);
            prop_assert!((1..=max_iterations).contains(&found.iterations));
            prop_assert_eq!(found.inertia.to_bits(), inertia_of(&found.center, &list, window).to_bits());
            before = found.inertia;
        }
    }
}

#[test]
fn without_warping_the_barycenter_is_the_mean() {
    let list: Vec<Vec<f64>> = (0..20).map(|seed| walk(50, seed)).collect();
    let options = BarycenterOptions { window: Some(0), ..BarycenterOptions::default() };
    let found = barycenter(&list_of(&list), &options, &Job::new()).unwrap();
    for (i, got) in found.center.iter().enumerate() {
        let want = list.iter().map(|one| one[i]).sum::<f64>() / 20.0;
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
    assert_eq!(found.iterations, 2);
}

#[test]
fn equal_series_are_their_own_barycenter() {
    // Three times 0.1 divided by three is not 0.1: the mean must not replace it.
    let one = vec![0.1, 0.7, 0.2, 1e5 + 0.1];
    let found =
        barycenter(&list_of(&vec![one.clone(); 3]), &BarycenterOptions::default(), &Job::new()).unwrap();
    assert_eq!((found.center, found.inertia, found.iterations), (one, 0.0, 1));
}

#[test]
fn barycenter_has_the_same_bits_for_every_number_of_threads() {
    // More than are held at once, of several lengths.
    let list: Vec<Vec<f64>> = (0..300).map(|seed| walk(30 + (seed % 4) as usize, seed)).collect();
    let all = list_of(&list);
    let options = BarycenterOptions { window: Some(5), max_iterations: 6, ..BarycenterOptions::default() };
    let job = Job::new();
    let one = on_threads(1, || barycenter(&all, &options, &job)).unwrap();
    assert_eq!(job.done(), (300 * 299 / 2 + 300 * (1 + one.iterations)) as u64);
    for threads in [2, 5] {
        let many = on_threads(threads, || barycenter(&all, &options, &Job::new())).unwrap();
        assert_eq!((bits(&many.center), many.inertia.to_bits()), (bits(&one.center), one.inertia.to_bits()));
    }
    // The same at every instruction set: `npm test` runs this at each.
    assert_eq!((one.inertia.to_bits(), folded(&one.center)), BARYCENTER_BITS);
}

const BARYCENTER_BITS: (u64, u64) = (4_666_962_718_954_763_632, 11_606_009_789_092_488_522);

/// Every bit of the values, in one number.
fn folded(values: &[f64]) -> u64 {
    values.iter().fold(0, |folded, x| folded.rotate_left(7) ^ x.to_bits())
}

#[test]
fn magnitudes_whose_squares_overflow() {
    let list: Vec<Vec<f64>> = (0..5).map(|seed| walk(20, seed)).collect();
    let options = BarycenterOptions { tolerance: 0.0, ..BarycenterOptions::default() };
    let plain = barycenter(&list_of(&list), &options, &Job::new()).unwrap();
    for (exponent, squares_overflow) in [(300, false), (900, true), (1015, true)] {
        let scale = 2.0_f64.powi(exponent);
        let large: Vec<Vec<f64>> = list.iter().map(|one| one.iter().map(|x| x * scale).collect()).collect();
        let found = barycenter(&list_of(&large), &options, &Job::new()).unwrap();
        let back: Vec<f64> = found.center.iter().map(|x| x / scale).collect();
        assert_eq!((bits(&back), found.iterations), (bits(&plain.center), plain.iterations), "2^{exponent}");
        let want = if squares_overflow { f64::INFINITY } else { plain.inertia * scale * scale };
        assert_eq!(found.inertia, want, "2^{exponent}");
    }
}

#[test]
fn a_barycenter_beyond_the_limits_is_refused_before_any_work() {
    let job = Job::new();
    let options = BarycenterOptions::default();
    let long = list_of(&[vec![0.0; 70_000], vec![0.0; 10]]);
    assert!(matches!(
        barycenter(&long, &options, &job),
        Err(KernelError::TooLarge { cells: 4_900_000_000, .. })
    ));
    let many = list_of(&vec![vec![1.0]; 11_586]);
    let limit = Err(KernelError::TooLarge { cells: 11_586 * 11_586, limit: MAX_MATRIX_VALUES });
    assert_eq!(barycenter(&many, &options, &job), limit);
    assert_eq!(job.done(), 0);
}

// --------------------------------------------------------------------------------------------------------- medoids

/// Series out of reach, and the sum of the other distances.
type Cost = (usize, f64);

fn cost_of(chosen: &[usize], distances: &[f64], n: usize) -> Cost {
    let nearest = |i: usize| chosen.iter().map(|&m| distances[m * n + i]).fold(f64::INFINITY, f64::min);
    let all: Vec<f64> = (0..n).map(nearest).collect();
    let finite = all.iter().filter(|d| d.is_finite());
    (n - finite.clone().count(), finite.sum())
}

fn subsets(n: usize, k: usize) -> Vec<Vec<usize>> {
    let bits = (0_u32..1 << n).filter(|set| set.count_ones() as usize == k);
    bits.map(|set| (0..n).filter(|i| set >> i & 1 == 1).collect()).collect()
}

fn chosen(found: &Medoids) -> Vec<usize> {
    found.medoids.iter().map(|&m| m as usize).collect()
}

/// Whether the first cost is lower by more than what sums in another order differ by.
fn lower(a: Cost, b: Cost) -> bool {
    a.0 < b.0 || (a.0 == b.0 && a.1 < b.1 && !close(a.1, b.1))
}

fn check_shape(found: &Medoids, distances: &[f64], n: usize, k: usize) {
    let picked = chosen(found);
    assert_eq!(picked.len(), k);
    assert!(picked.is_sorted_by(|a, b| a < b), "{picked:?}");
    let mut inertia = 0.0;
    for i in 0..n {
        let own = picked.iter().position(|&m| m == i);
        let distance = |slot: usize| distances[picked[slot] * n + i];
        let first = (0..k).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap();
        assert_eq!(found.assignment[i] as usize, own.unwrap_or(first), "{i}");
        inertia += distance(found.assignment[i] as usize);
    }
    assert_eq!(found.inertia.to_bits(), inertia.to_bits());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_exchange_improves_the_medoids(
        list in prop::collection::vec(values(1..10), 1..40),
        k in 1..40_usize,
        seed in any::<u64>(),
        cut in prop::option::of(0.1..3.0_f64),
    ) {
        let (n, k) = (list.len(), k.min(list.len()));
        let options = DtwOptions { max_distance: cut.unwrap_or(f64::INFINITY), ..DtwOptions::default() };
        let all = list_of(&list);
        let distances = dtw_matrix(&all, &options, &Job::new()).unwrap();
        let job = Job::new();
        let found = medoids(&all, k, &options, seed, &job).unwrap();
        prop_assert_eq!(job.done(), (n * (n - 1) / 2) as u64);
        check_shape(&found, &distances, n, k);
        let picked = chosen(&found);
        let cost = cost_of(&picked, &distances, n);
        for slot in 0..k {
            for candidate in (0..n).filter(|i| !picked.contains(i)) {
                let mut exchanged = picked.clone();
                exchanged[slot] = candidate;
                let other = cost_of(&exchanged, &distances, n);
                prop_assert!(!lower(other, cost), "{:?} {:?}, {} for slot {}", other, cost, candidate, slot);
            }
        }
    }

    #[test]
    fn one_medoid_is_the_best_one(list in prop::collection::vec(values(1..10), 1..30), seed in any::<u64>()) {
        let (n, all, options) = (list.len(), list_of(&list), DtwOptions::default());
        let distances = dtw_matrix(&all, &options, &Job::new()).unwrap();
        let found = medoids(&all, 1, &options, seed, &Job::new()).unwrap();
        let sums: Vec<f64> = distances.chunks(n).map(|row| row.iter().sum()).collect();
        let best = (0..n).min_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap();
        prop_assert_eq!((found.medoids[0] as usize, found.inertia.to_bits()), (best, sums[best].to_bits()));
    }
}

#[test]
fn small_sets_reach_the_optimum_of_all_subsets() {
    let (mut optimal, mut total) = (0, 0);
    for round in 0..60 {
        let n = 7 + round % 6;
        let list: Vec<Vec<f64>> = (0..n).map(|i| walk(12, (round * 100 + i) as u64)).collect();
        let all = list_of(&list);
        let options = DtwOptions { normalize: Normalize::Zscore, ..DtwOptions::default() };
        let distances = dtw_matrix(&all, &options, &Job::new()).unwrap();
        for k in 2..5 {
            let found = medoids(&all, k, &options, round as u64, &Job::new()).unwrap();
            let cost = cost_of(&chosen(&found), &distances, n);
            let best =
                subsets(n, k).iter().map(|set| cost_of(set, &distances, n).1).fold(f64::INFINITY, f64::min);
            assert!(cost.1 >= best - 1e-9);
            optimal += usize::from(close(cost.1, best));
            total += 1;
        }
    }
    // A local search promises less; several starts find it nearly always.
    assert!(optimal * 100 >= total * 97, "{optimal} of {total}");
}

#[test]
fn clear_clusters_are_found_whatever_the_seed() {
    let list: Vec<Vec<f64>> =
        (0..40).map(|i| walk(20, i).iter().map(|x| x + 1000.0 * (i % 4) as f64).collect()).collect();
    let all = list_of(&list);
    let first = medoids(&all, 4, &DtwOptions::default(), 0, &Job::new()).unwrap();
    for seed in 1..30 {
        assert_eq!(medoids(&all, 4, &DtwOptions::default(), seed, &Job::new()).unwrap(), first);
    }
    for i in 0..40 {
        assert_eq!(first.assignment[i], first.assignment[i % 4]);
    }
}

#[test]
fn medoids_are_the_same_for_every_number_of_threads() {
    let list: Vec<Vec<f64>> = (0..120).map(|seed| walk(25, seed)).collect();
    let (all, options) = (list_of(&list), DtwOptions { window: Some(4), ..DtwOptions::default() });
    let one = on_threads(1, || medoids(&all, 9, &options, 7, &Job::new())).unwrap();
    for threads in [2, 5] {
        assert_eq!(on_threads(threads, || medoids(&all, 9, &options, 7, &Job::new())).unwrap(), one);
    }
    assert_eq!((one.inertia.to_bits(), one.medoids), (MEDOIDS_INERTIA_BITS, MEDOIDS.to_vec()));
}

const MEDOIDS_INERTIA_BITS: u64 = 4_649_209_255_420_159_318;
const MEDOIDS: [u32; 9] = [26, 46, 53, 61, 74, 90, 92, 93, 112];

#[test]
fn all_series_as_medoids_and_duplicates() {
    let list = vec![vec![1.0, 2.0], vec![1.0, 2.0], vec![1.0, 2.0], vec![5.0]];
    let all = list_of(&list);
    let every = medoids(&all, 4, &DtwOptions::default(), 3, &Job::new()).unwrap();
    assert_eq!((every.medoids, every.assignment, every.inertia), (vec![0, 1, 2, 3], vec![0, 1, 2, 3], 0.0));
    let three = medoids(&all, 3, &DtwOptions::default(), 3, &Job::new()).unwrap();
    assert_eq!((three.inertia, three.medoids[2]), (0.0, 3));
    let same = list_of(&vec![vec![7.0; 4]; 6]);
    let found = medoids(&same, 2, &DtwOptions::default(), 3, &Job::new()).unwrap();
    assert_eq!(found.inertia, 0.0);
    assert_eq!(found.assignment[found.medoids[1] as usize], 1);
}

#[test]
fn out_of_reach_counts_before_any_distance() {
    // Two tight groups and one series far from everything: with 2 medoids one series stays out of reach.
    let list: Vec<Vec<f64>> = [0.0, 1.0, 2.0, 500.0, 501.0, 503.0, 9000.0].iter().map(|x| vec![*x]).collect();
    let options = DtwOptions { max_distance: 10.0, ..DtwOptions::default() };
    for seed in 0..20 {
        let two = medoids(&list_of(&list), 2, &options, seed, &Job::new()).unwrap();
        assert_eq!((two.medoids, two.inertia), (vec![1, 4], f64::INFINITY));
        assert_eq!(two.assignment, [0, 0, 0, 1, 1, 1, 0]);
        let three = medoids(&list_of(&list), 3, &options, seed, &Job::new()).unwrap();
        assert_eq!((three.medoids, three.inertia), (vec![1, 4, 6], 5.0));
    }
}

#[test]
fn distances_whose_sum_overflows() {
    let list: Vec<Vec<f64>> =
        [0.0, 1.0, 2.0, 80.0, 81.0, 83.0].iter().map(|x| vec![x * 2.0_f64.powi(1017)]).collect();
    let all = list_of(&list);
    let two = medoids(&all, 2, &DtwOptions::default(), 0, &Job::new()).unwrap();
    assert_eq!((two.medoids, two.inertia), (vec![1, 4], 5.0 * 2.0_f64.powi(1017)));
    let one = medoids(&all, 1, &DtwOptions::default(), 0, &Job::new()).unwrap();
    assert_eq!((one.medoids, one.inertia), (vec![2], f64::INFINITY));
}

#[test]
fn a_cancelled_job_stops_every_one() {
    let list = list_of(&vec![vec![1.0; 50]; 40]);
    let (options, job) = (DtwOptions::default(), Job::new());
    job.cancel();
    assert_eq!(align_neighbors(&list, &options, &job), Err(KernelError::Interrupted));
    assert_eq!(barycenter(&list, &BarycenterOptions::default(), &job), Err(KernelError::Interrupted));
    assert_eq!(medoids(&list, 3, &options, 0, &job), Err(KernelError::Interrupted));
}
