//! No floor above the total, no total above its upper bound, nobody dropped below the bound: on every level, for data
//! that rounds well and for data that rounds badly.

use super::*;
use crate::kernels::Interrupt;
use crate::kernels::dtw::DtwOptions;
use crate::kernels::oracle;
use crate::kernels::simd::Level;
use crate::series::Series;
use proptest::prelude::*;

/// Eight candidates and a query.
#[derive(Debug, Clone)]
struct Case {
    query: Vec<f64>,
    rows: Vec<Vec<f64>>,
    window: Option<usize>,
    metric: Metric,
    scale: Scale,
}

/// Series of one of several kinds, at a level and of a size.
fn series(kind: u8, steps: usize, size: f64, level: f64, moves: &[f64]) -> Vec<f64> {
    let mut walk = 0.0;
    let values = moves.iter().cycle().take(steps).enumerate().map(|(i, x)| match kind {
        0 => {
            walk += x;
            walk
        }
        1 => *x,
        2 => (i as f64 * 0.3 + x * 0.01).sin(),
        // Cheap ends and a dear middle: the sweeps' limits lean on LB_Keogh of the rows between them.
        3 => {
            if (steps / 3..2 * steps / 3).contains(&i) {
                20.0 + x
            } else {
                x * 0.01
            }
        }
        // Few values: ties everywhere.
        _ => (x * 2.0).round(),
    });
    values.map(|x| level + x * size).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)];
    let window = prop_oneof![Just(None), (0..8_usize).prop_map(Some), (8..80_usize).prop_map(Some)];
    let size = prop_oneof![
        Just(1.0),
        Just(1e-3),
        Just(1e5),
        Just(1e-150),
        Just(1e150),
        Just(1e-161),
        Just(1.6e-162)
    ];
    let level = prop_oneof![Just(0.0), Just(1.0), Just(1e5), Just(-1e9)];
    let moves = || prop::collection::vec(-1.0..1.0_f64, 40..80);
    let fit = prop_oneof![3 => Just(true), 1 => Just(false)];
    (
        (MIN_STEPS..70, MIN_STEPS..70, any::<bool>(), window, metric, fit),
        (0..5_u8, moves(), size, level),
        prop::collection::vec((0..5_u8, moves(), 0.5..2.0_f64), WIDTH),
    )
        .prop_map(|((n, m, equal, window, metric, fit), (kind, moves, size, level), others)| {
            let query = series(kind, if equal { m } else { n }, size, level, &moves);
            let rows: Vec<Vec<f64>> = (others.iter())
                .map(|(other, moves, stretch)| {
                    // Most candidates look like the query.
                    let kind = if *stretch < 1.6 { kind } else { *other };
                    series(kind, m, size * stretch, level, moves)
                })
                .collect();
            let scale = if fit { Scale::of(&rows[0]) } else { Scale::new(0.0, 1.0) };
            Case { query, rows, window, metric, scale }
        })
}

impl Case {
    fn totals(&self) -> Vec<f64> {
        let metric = if self.metric == Metric::Euclidean { Metric::Squared } else { self.metric };
        let options = DtwOptions { metric, window: self.window, ..DtwOptions::default() };
        let query = Series::new("query", &self.query, 1).unwrap();
        self.rows
            .iter()
            .map(|row| oracle::dtw(query, Series::new("row", row, 1).unwrap(), &options))
            .collect()
    }

    fn target(&self) -> Option<Target> {
        Target::new(&self.query, self.rows[0].len(), self.window, self.metric, self.scale)
    }

    /// The candidates in single precision, if all of them can be had in it.
    fn singles(&self) -> Option<Vec<(Vec<f32>, f32)>> {
        let single = |row: &Vec<f64>| {
            let mut singles = Vec::new();
            let fits = self.scale.extend(&mut singles, row);
            let largest = singles.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            fits.then_some((singles, largest))
        };
        self.rows.iter().map(single).collect()
    }
}

/// One group, looked at once.
struct Once<'a> {
    singles: &'a [(Vec<f32>, f32)],
    bound: f64,
    handed_out: bool,
    met: Vec<(u32, Met)>,
    projected: Vec<(u32, f32)>,
}

impl<'a> Once<'a> {
    fn new(singles: &'a [(Vec<f32>, f32)], bound: f64) -> Self {
        Self { singles, bound, handed_out: false, met: Vec::new(), projected: Vec::new() }
    }
}

impl<'a> Groups<'a> for Once<'a> {
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize {
        if std::mem::replace(&mut self.handed_out, true) {
            return 0;
        }
        for (id, slot) in (0..).zip(group.iter_mut()) {
            *slot = id;
        }
        WIDTH
    }
    fn candidate(&self, id: u32) -> Screened<'a> {
        let (values, largest) = &self.singles[id as usize];
        Screened { values, largest: *largest }
    }
    fn bound(&self) -> f64 {
        self.bound
    }
}

impl<'a> Meeting<'a> for Once<'a> {
    fn met(&mut self, id: u32, met: Met) {
        self.met.push((id, met));
    }
}

impl<'a> Projecting<'a> for Once<'a> {
    fn projected(&mut self, id: u32, floor: f32) {
        self.projected.push((id, floor));
    }
}

fn meet(level: Level, target: &Target, singles: &[(Vec<f32>, f32)], bound: f64) -> Vec<(u32, Met)> {
    let mut once = Once::new(singles, bound);
    level.run_singles(Meetings { target, meeting: &mut once, interrupt: Interrupt::NEVER });
    once.met
}

fn project(level: Level, target: &Target, singles: &[(Vec<f32>, f32)], bound: f64) -> Vec<(u32, f32)> {
    let mut once = Once::new(singles, bound);
    level.run_singles(Projections { target, projecting: &mut once });
    once.projected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn summaries_are_below_the_totals(case in cases()) {
        let (Some(target), Some(_)) = (case.target(), case.singles()) else { return Ok(()) };
        let summary = Summary::new(case.rows[0].len());
        let mut vectors = vec![[0.0; WIDTH]; summary.vectors()];
        for (lane, row) in case.rows.iter().enumerate() {
            summary.write(row, case.scale, lane, &mut vectors);
        }
        let totals = case.totals();
        for level in Level::available() {
            let mut floors = [[0.0; WIDTH]];
            level.run_singles(SummaryBounds { target: &target, summaries: &vectors, floors: &mut floors });
            for (floor, total) in floors[0].iter().zip(&totals) {
                prop_assert!(*floor <= target.threshold(*total), "{}: {floor} {total}", level.name());
            }
        }
    }

    #[test]
    fn meetings_enclose_the_totals(case in cases()) {
        let (Some(target), Some(singles)) = (case.target(), case.singles()) else { return Ok(()) };
        let totals = case.totals();
        for level in Level::available() {
            let met = meet(level, &target, &singles, f64::INFINITY);
            prop_assert_eq!(met.len(), WIDTH, "without a bound nobody is dropped");
            for (id, met) in met {
                let total = totals[id as usize];
                prop_assert!(met.floor <= target.threshold(total), "{}: {met:?} {total}", level.name());
                prop_assert!(met.total_at_most >= total, "{}: {met:?} {total}", level.name());
            }
        }
    }

    #[test]
    fn projections_are_below_the_totals(case in cases()) {
        let (Some(target), Some(singles)) = (case.target(), case.singles()) else { return Ok(()) };
        let totals = case.totals();
        for level in Level::available() {
            let projected = project(level, &target, &singles, f64::INFINITY);
            prop_assert_eq!(projected.len(), WIDTH, "without a bound nobody is dropped");
            for &bound in totals.iter().chain([&f64::INFINITY]) {
                let projected = project(level, &target, &singles, bound);
                for (id, &total) in (0..).zip(&totals) {
                    let found = projected.iter().find(|(other, _)| *other == id);
                    if total <= bound {
                        prop_assert!(found.is_some(), "{}: {id} of {total} within {bound}", level.name());
                    }
                    if let Some((_, floor)) = found {
                        prop_assert!(*floor <= target.threshold(total), "{}: {floor} {total}", level.name());
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_at_or_below_the_bound_is_dropped(case in cases()) {
        let (Some(target), Some(singles)) = (case.target(), case.singles()) else { return Ok(()) };
        let totals = case.totals();
        for level in Level::available() {
            for &bound in &totals {
                let met = meet(level, &target, &singles, bound);
                for (id, &total) in totals.iter().enumerate() {
                    let found = met.iter().find(|(other, _)| *other as usize == id);
                    if total <= bound {
                        prop_assert!(found.is_some(), "{}: {id} of {total} within {bound}", level.name());
                    }
                    if let Some((_, met)) = found {
                        prop_assert!(met.floor <= target.threshold(total) && met.total_at_most >= total);
                    }
                }
            }
        }
    }
}

/// Walks, the same ones every time.
fn walks() -> impl FnMut(usize) -> Vec<f64> {
    let mut state = 12345_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    move |steps: usize| {
        let moves: Vec<f64> = (0..steps).map(|_| uniform()).collect();
        series(0, steps, 1.0, 0.0, &moves)
    }
}

/// LB_Improved of a row, in f64 and word for word: of the rows and the columns that are in no corner.
fn improved(case: &Case, row: &[f64]) -> f64 {
    let (query, inner) = (&case.query, |steps: usize| corner::CORNER..steps - corner::CORNER);
    let band = Band::new(case.window, row.len(), query.len());
    let cost = |x: f64| if case.metric == Metric::Absolute { x.abs() } else { x * x };
    let sides = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (mut projected, mut sum) = (row.to_vec(), 0.0);
    for i in 1..row.len() - 1 {
        let (low, high) = sides(&mut query[band.columns(i, query.len())].iter().copied());
        projected[i] = row[i].clamp(low, high);
        if inner(row.len()).contains(&i) {
            sum += cost(row[i] - projected[i]);
        }
    }
    for j in inner(query.len()) {
        let meets = |i: &usize| band.columns(*i, query.len()).contains(&j);
        let (low, high) = sides(&mut (0..row.len()).filter(meets).map(|i| projected[i]));
        sum += cost(query[j] - query[j].clamp(low, high));
    }
    sum
}

/// A floor of zero would be below every total, too.
#[test]
fn projections_are_at_least_the_bound_of_the_paper() {
    let mut walk = walks();
    let mut above = 0;
    for metric in [Metric::Absolute, Metric::Squared] {
        for window in [None, Some(0), Some(1), Some(13), Some(50), Some(90)] {
            for (columns, steps) in [(128, 128), (100, 128), (128, 97), (16, 16), (17, 40)] {
                let rows: Vec<Vec<f64>> = (0..WIDTH).map(|_| walk(steps)).collect();
                let case = Case { query: walk(columns), scale: Scale::of(&rows[0]), rows, window, metric };
                let (target, singles) = (case.target().unwrap(), case.singles().unwrap());
                for level in Level::available() {
                    let projected = project(level, &target, &singles, f64::INFINITY);
                    for (row, (id, floor)) in case.rows.iter().zip(projected) {
                        let bound = improved(&case, row);
                        let least = f64::from(target.threshold(bound)) * 0.999 - 1e-6;
                        let about =
                            format!("{metric:?} {window:?} {columns} x {steps}: {floor} {bound} {id}");
                        assert!(f64::from(floor) >= least, "{}: {about}", level.name());
                        above += usize::from(bound > 0.0);
                    }
                }
            }
        }
    }
    assert!(above > 100, "of these walks many have to leave an envelope: {above}");
}

/// The bounds would be of no use if they were far off: for walks in their own scale a sweep encloses the total
/// within a thousandth.
#[test]
fn meetings_are_tight() {
    let mut walk = walks();
    for metric in [Metric::Absolute, Metric::Squared] {
        for window in [None, Some(13)] {
            let rows: Vec<Vec<f64>> = (0..WIDTH).map(|_| walk(128)).collect();
            let case = Case { query: walk(128), scale: Scale::of(&rows[0]), rows, window, metric };
            let (target, singles) = (case.target().unwrap(), case.singles().unwrap());
            for (id, met) in meet(Level::best(), &target, &singles, f64::INFINITY) {
                let total = case.totals()[id as usize];
                assert!(met.total_at_most <= total * 1.001, "{met:?} {total}");
                assert!(
                    f64::from(met.floor) >= f64::from(target.threshold(total)) * 0.999,
                    "{met:?} {total}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let fine = vec![1.0; MIN_STEPS];
    let unit = Scale::new(0.0, 1.0);
    assert!(Target::new(&fine, MIN_STEPS, None, Metric::Absolute, unit).is_some());
    assert!(Target::new(&fine, MIN_STEPS - 1, None, Metric::Absolute, unit).is_none());
    assert!(Target::new(&fine[1..], MIN_STEPS, None, Metric::Absolute, unit).is_none());
    assert!(Target::new(&[1e200; MIN_STEPS], MIN_STEPS, None, Metric::Absolute, unit).is_none());
    let wide: Vec<f64> = [f64::MAX, f64::MIN].repeat(MIN_STEPS);
    assert!(
        !Scale::of(&wide).extend(&mut Vec::new(), &wide),
        "no power of two with a square brings these into f32"
    );
    assert!(Scale::of(&[1e150, -1e150]).extend(&mut Vec::new(), &[1e150, -1e150]));
}
