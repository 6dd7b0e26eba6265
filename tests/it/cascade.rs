//! Nearest-neighbour searches large enough to be screened, against sorting all distances: the same candidates with
//! the same bits, for every kind of data, k, bound, eligibility and number of threads.

use midstreamer::kernels::dtw::{self, DtwOptions, Metric};
use midstreamer::kernels::normalize::Normalize;
use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError};
use midstreamer::search::library::{Library, Names, Row, Shape};
use midstreamer::search::{Candidates, Job, dtw_nearest};
use midstreamer::series::Series;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

/// A small generator, so that a case of hundreds of series is a seed.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn signed(&mut self) -> f64 {
        2.0 * self.uniform() - 1.0
    }

    /// A series of one of several kinds.
    fn series(&mut self, kind: Kind, steps: usize) -> Vec<f64> {
        let (phase, speed, start) = (6.3 * self.uniform(), 0.05 + 0.3 * self.uniform(), self.signed());
        let mut walk = start;
        (0..steps)
            .map(|i| match kind {
                Kind::Walk => {
                    walk += self.signed();
                    walk
                }
                Kind::Price => {
                    walk += self.signed();
                    1e5 + walk
                }
                Kind::Sine => (phase + speed * i as f64).sin() + 0.1 * self.signed(),
                Kind::OneClass => (0.2 * i as f64).sin() + 0.2 * self.signed(),
                Kind::Noise => self.signed(),
                Kind::Coarse => (1.4 * self.signed()).round(),
                // Every tenth value is far beyond single precision.
                Kind::Wild => {
                    if self.uniform() < 0.1 {
                        1e200 * self.signed()
                    } else {
                        self.signed()
                    }
                }
                Kind::Constant => start.round(),
                Kind::Tiny => 1.6e-162 * (3.0 * self.signed()).round(),
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Walk,
    Price,
    Sine,
    OneClass,
    Noise,
    Coarse,
    Wild,
    Constant,
    Tiny,
}

/// A search and what it is in.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    kind: Kind,
    steps: usize,
    query_steps: usize,
    candidates: usize,
    duplicates: bool,
    k: usize,
    /// The bound is the distance of the candidate of this rank.
    bound_rank: Option<usize>,
    options: DtwOptions,
}

impl Case {
    fn data(&self) -> (Vec<f64>, Vec<f64>) {
        let mut random = Random(self.seed);
        let query = random.series(self.kind, self.query_steps);
        let mut block = Vec::with_capacity(self.candidates * self.steps);
        while block.len() < self.candidates * self.steps {
            if self.duplicates && block.len() > self.steps && random.uniform() < 0.5 {
                let again = (random.uniform() * (block.len() / self.steps) as f64) as usize * self.steps;
                block.extend_from_within(again..again + self.steps);
            } else {
                block.extend(random.series(self.kind, self.steps));
            }
        }
        (query, block)
    }

    /// All distances without a bound, nearest first: (distance, index).
    fn ranking(&self, query: &[f64], block: &[f64]) -> Vec<(f64, usize)> {
        let query = Series::new("query", query, 1).unwrap();
        let rows: Vec<Series<'_>> =
            block.chunks(self.steps).map(|row| Series::new("row", row, 1).unwrap()).collect();
        let mut distances = vec![0.0; rows.len()];
        dtw::batch(Level::best(), query, &rows, &self.options, &mut distances, Interrupt::NEVER).unwrap();
        let mut ranking: Vec<(f64, usize)> = distances.into_iter().zip(0..).collect();
        ranking.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranking
    }

    fn max_distance(&self, ranking: &[(f64, usize)]) -> f64 {
        self.bound_rank.map_or(f64::INFINITY, |rank| ranking[rank % ranking.len()].0)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        Just(Kind::Walk),
        Just(Kind::Price),
        Just(Kind::Sine),
        Just(Kind::OneClass),
        Just(Kind::Noise),
        Just(Kind::Coarse),
        Just(Kind::Wild),
        Just(Kind::Constant),
        Just(Kind::Tiny),
    ];
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let normalize = prop_oneof![Just(Normalize::None), Just(Normalize::Zscore), Just(Normalize::Minmax)];
    let window = prop_oneof![Just(None), (0..12_usize).prop_map(Some)];
    let k = prop_oneof![Just(1_usize), 2..12_usize, Just(60), Just(1000)];
    let steps = 16..48_usize;
    let bound_rank = prop_oneof![Just(None), (0..20_usize).prop_map(Some)];
    (
        (any::<u64>(), kind, steps.clone(), steps, any::<bool>()),
        (prop_oneof![1 => 1..150_usize, 3 => 150..700_usize], any::<bool>(), k, bound_rank),
        (window, metric, normalize),
    )
        .prop_map(
            |((seed, kind, steps, other, equal), (candidates, duplicates, k, bound_rank), options)| {
                let (window, metric, normalize) = options;
                let options = DtwOptions { metric, window, normalize, max_distance: f64::INFINITY };
                let query_steps = if equal { steps } else { other };
                Case { seed, kind, steps, query_steps, candidates, duplicates, k, bound_rank, options }
            },
        )
}

fn bits(found: impl IntoIterator<Item = (f64, usize)>) -> Vec<(u64, usize)> {
    found.into_iter().map(|(distance, index)| (distance.to_bits(), index)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nearest_is_the_head_of_the_ranking(case in cases(), threads in 1..=8_usize) {
        let (query, block) = case.data();
        let ranking = case.ranking(&query, &block);
        let max_distance = case.max_distance(&ranking);
        let within = ranking.into_iter().filter(|&(distance, _)| distance <= max_distance);
        let want = bits(within.take(case.k));

        let candidates = Candidates::from_block("candidates", block, case.steps, 1).unwrap();
        let query = Series::new("query", &query, 1).unwrap();
        let options = DtwOptions { max_distance, ..case.options };
        let (job, pool) = (Job::new(), ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let found = pool.install(|| dtw_nearest(query, &candidates, &options, case.k, &job)).unwrap();
        prop_assert_eq!(bits(found.iter().map(|near| (near.distance, near.index))), want);
        prop_assert_eq!(job.done(), case.candidates as u64, "progress");
    }

    #[test]
    fn a_library_finds_the_same_among_the_eligible(case in cases(), removed in 2..9_usize, hints in prop::collection::vec(0..700_u64, 0..12)) {
        let case = Case { query_steps: case.steps, ..case };
        let (query, block) = case.data();
        let ranking = case.ranking(&query, &block);
        let max_distance = case.max_distance(&ranking);
        // Every third pattern ends later than the search looks, every seventh nobody knows when.
        let ends_at = |index: usize| if index.is_multiple_of(7) { f64::NAN } else { (index % 3) as f64 };
        let rows: Vec<Row<'_>> = (block.chunks(case.steps).enumerate())
            .map(|(index, values)| Row { values, ends_at: ends_at(index) })
            .collect();
        let DtwOptions { metric, window, normalize, .. } = case.options;
        let mut library = Library::new(Shape { steps: case.steps, channels: 1, window, metric, normalize });
        // In two parts: segments are filled up.
        let (first, second) = rows.split_at(rows.len() / 3);
        library.add(Names::List("patterns"), first).unwrap();
        library.add(Names::List("patterns"), second).unwrap();
        let before = library.snapshot();
        for index in (0..case.candidates).step_by(removed) {
            prop_assert!(library.remove(index as u64));
        }
        let after = library.snapshot();

        let query = Series::new("query", &query, 1).unwrap();
        for (snapshot, as_of) in [(&before, None), (&before, Some(1.0)), (&after, None), (&after, Some(1.0))] {
            let alive = |index: usize| std::ptr::eq(snapshot, &before) || !index.is_multiple_of(removed);
            let eligible = |index: usize| alive(index) && as_of.is_none_or(|as_of| ends_at(index) <= as_of);
            let within = ranking.iter().copied().filter(|&(distance, index)| distance <= max_distance && eligible(index));
            let want = bits(within.take(case.k));
            let (found, stats) =
                snapshot.nearest(query, case.k, max_distance, as_of, &hints, &Job::new()).unwrap();
            prop_assert_eq!(bits(found.iter().map(|found| (found.distance, found.ordinal as usize))), want);
            prop_assert_eq!(stats.candidates, (0..case.candidates).filter(|&index| eligible(index)).count());
            prop_assert_eq!(stats.candidates, stats.pruned_by_bound + stats.abandoned + stats.computed);
        }
    }
}

/// Where bounds can tell candidates apart, nearly all of them are never computed.
#[test]
fn walks_are_hardly_ever_computed() {
    let mut random = Random(7);
    let block: Vec<f64> = (0..4000).flat_map(|_| random.series(Kind::Walk, 64)).collect();
    let rows: Vec<Row<'_>> = block.chunks(64).map(|values| Row { values, ends_at: f64::NAN }).collect();
    for window in [None, Some(6)] {
        for (metric, normalize) in [(Metric::Squared, Normalize::Zscore), (Metric::Absolute, Normalize::None)]
        {
            let mut library = Library::new(Shape { steps: 64, channels: 1, window, metric, normalize });
            library.add(Names::List("patterns"), &rows).unwrap();
            let query = random.series(Kind::Walk, 64);
            let query = Series::new("query", &query, 1).unwrap();
            let (found, stats) =
                library.snapshot().nearest(query, 5, f64::INFINITY, None, &[], &Job::new()).unwrap();
            assert_eq!(found.len(), 5);
            assert!(stats.computed <= 20 && stats.pruned_by_bound > 2000, "{metric:?} {window:?} {stats:?}");
        }
    }
}

#[test]
fn a_cancelled_search_ends() {
    let mut random = Random(9);
    let block: Vec<f64> = (0..2000).flat_map(|_| random.series(Kind::Noise, 64)).collect();
    let query = random.series(Kind::Noise, 64);
    let candidates = Candidates::from_block("candidates", block, 64, 1).unwrap();
    let query = Series::new("query", &query, 1).unwrap();
    let job = Job::new();
    job.cancel();
    let error = dtw_nearest(query, &candidates, &DtwOptions::default(), 3, &job).unwrap_err();
    assert_eq!(error, KernelError::Interrupted);
}

/// Squares of such differences are subnormal: the total of f64 is not near the total in real numbers.
#[test]
fn subnormal_squares_are_ranked_as_they_are_computed() {
    let steps = 64;
    let mut block = vec![3e-160; 300 * steps];
    for (i, x) in block[..steps].iter_mut().enumerate() {
        *x = if i % 2 == 0 { 1.56e-162 } else { -1.56e-162 };
    }
    block[40 * steps..41 * steps].fill(1.56e-162);
    block[50 * steps..51 * steps].fill(0.0);
    block[50 * steps + 9] = 1.6e-162;
    let candidates = Candidates::from_block("candidates", block, steps, 1).unwrap();
    let query = Series::new("query", &[0.0; 64], 1).unwrap();
    let options = DtwOptions { metric: Metric::Squared, window: Some(0), ..DtwOptions::default() };
    let indices = |options: &DtwOptions, k: usize| -> Vec<usize> {
        let found = dtw_nearest(query, &candidates, options, k, &Job::new()).unwrap();
        found.into_iter().map(|near| near.index).collect()
    };
    assert_eq!(indices(&options, 1), [0]);
    assert_eq!(indices(&options, 3), [0, 40, 50]);
    assert_eq!(indices(&DtwOptions { max_distance: 0.0, ..options }, 5), [0, 40]);
}

/// The first sweeps run without a bound, over matrices of any size.
#[test]
fn a_sweep_of_long_series_is_left_in_the_middle() {
    let steps = 20_000;
    let mut random = Random(11);
    let block: Vec<f64> = (0..40).flat_map(|_| random.series(Kind::Noise, steps)).collect();
    let query = random.series(Kind::Noise, steps);
    let candidates = Candidates::from_block("candidates", block, steps, 1).unwrap();
    let query = Series::new("query", &query, 1).unwrap();
    let job = Job::new();
    std::thread::scope(|scope| {
        let search = scope.spawn(|| dtw_nearest(query, &candidates, &DtwOptions::default(), 1, &job));
        std::thread::sleep(std::time::Duration::from_millis(100));
        job.cancel();
        assert_eq!(search.join().unwrap(), Err(KernelError::Interrupted));
    });
}

/// A first pattern that stands still must not decide that none of the others can be screened.
#[test]
fn a_flat_first_pattern_sets_no_scale() {
    let mut random = Random(13);
    let flat: Vec<f64> = (0..64).map(|i| if i == 40 { 100.0_f64.next_up() } else { 100.0 }).collect();
    let block: Vec<f64> =
        flat.into_iter().chain((1..2000).flat_map(|_| random.series(Kind::Walk, 64))).collect();
    let rows: Vec<Row<'_>> = block.chunks(64).map(|values| Row { values, ends_at: f64::NAN }).collect();
    let shape = Shape {
        steps: 64,
        channels: 1,
        window: Some(6),
        metric: Metric::Squared,
        normalize: Normalize::None,
    };
    let mut library = Library::new(shape);
    library.add(Names::List("patterns"), &rows).unwrap();
    let query = random.series(Kind::Walk, 64);
    let query = Series::new("query", &query, 1).unwrap();
    let (_, stats) = library.snapshot().nearest(query, 1, f64::INFINITY, None, &[], &Job::new()).unwrap();
    assert!(stats.computed < 20, "{stats:?}");
}
