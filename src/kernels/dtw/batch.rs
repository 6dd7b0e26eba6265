//! One query against many candidates of any lengths, on one thread: sorted by length, candidates in lanes, what is
//! left over as single pairs.

use super::cost::{Absolute, Channels, Cost, Many, One, Squared};
use super::lanes::{self, Interleaved};
use super::trace;
use super::{Alignment, DtwOptions, Metric, Pair};
use crate::kernels::band::Band;
use crate::kernels::normalize::Normalize;
use crate::kernels::simd::{Kernel, Level, MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;

/// The distance of `query` to each candidate, in order, as [`super::distance`] gives it; infinity beyond
/// `options.max_distance`.
///
/// # Panics
/// When the channels differ, or `distances` is not as long as `candidates`.
pub fn batch(
    level: Level,
    query: Series<'_>,
    candidates: &[Series<'_>],
    options: &DtwOptions,
    distances: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<(), KernelError> {
    assert_eq!(candidates.len(), distances.len(), "one distance a candidate");
    let normalized = options.normalize.apply(query);
    let query = Series::trusted(&normalized, query.channels());
    let order = by_length(candidates);
    let mut scratch = Scratch::default();
    for group in groups(&order, candidates, options.window, level.lanes()) {
        let rows = scratch.normalized(options.normalize, group, candidates);
        if let [index] = group {
            let pair = Pair::new(query, Series::trusted(rows[0], query.channels()), options);
            let total = if pair.ends_exceed_bound() { f64::INFINITY } else { pair.total(level, interrupt)? };
            distances[*index] = options.metric.bounded(total, options.max_distance);
            continue;
        }
        let totals = level.run(GroupTotals { query, rows: &rows, options, interrupt })?;
        for (index, total) in group.iter().zip(totals) {
            distances[*index] = options.metric.bounded(total, options.max_distance);
        }
    }
    Ok(())
}

/// Distance and warping path of `query` (rows) to each candidate, as [`super::align`] gives them, handed to
/// `found` in no particular order. More than [`super::MAX_ALIGN_CELLS`] cells for one of them: [`KernelError::TooLarge`].
///
/// # Panics
/// When the channels differ.
pub fn align_batch(
    level: Level,
    query: Series<'_>,
    candidates: &[Series<'_>],
    options: &DtwOptions,
    mut found: impl FnMut(usize, Alignment),
    interrupt: Interrupt<'_>,
) -> Result<(), KernelError> {
    for candidate in candidates {
        trace::check_alignment(query.steps(), candidate.steps(), options.window)?;
    }
    let original = query;
    let normalized = options.normalize.apply(query);
    let query = Series::trusted(&normalized, query.channels());
    let order = by_length(candidates);
    let mut scratch = Scratch::default();
    for group in groups(&order, candidates, options.window, level.lanes()) {
        let longest = candidates[group[group.len() - 1]].steps();
        if group.len() == 1 || query.steps() * longest > LANE_TRACE_BYTES {
            for &index in group {
                found(index, trace::align(level, original, candidates[index], options, interrupt)?);
            }
            continue;
        }
        let rows = scratch.normalized(options.normalize, group, candidates);
        let alignments = level.run(GroupPaths { query, rows: &rows, options, interrupt })?;
        for (index, alignment) in group.iter().zip(alignments) {
            found(*index, alignment);
        }
    }
    Ok(())
}

/// Above this, directions of several candidates (a byte for one cell of all lanes) would leave the cache.
const LANE_TRACE_BYTES: usize = 1 << 20;

/// Indices of the candidates, shortest first, equal lengths in order.
pub(in crate::kernels) fn by_length(candidates: &[Series<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&index| candidates[index].steps());
    order
}

/// Cuts `order` into runs that share the lanes of a vector. A band's sides depend on the length, so with one only
/// equal lengths run together; without, lengths that differ little.
pub(in crate::kernels) fn groups<'a>(
    order: &'a [usize],
    candidates: &'a [Series<'_>],
    window: Option<usize>,
    lanes: usize,
) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let shortest = candidates[*rest.first()?].steps();
        let longest_allowed = if window.is_some() { shortest } else { shortest + shortest / 4 };
        let fitting =
            rest.iter().take(lanes).take_while(|&&k| candidates[k].steps() <= longest_allowed).count();
        // Half-empty vectors lose to the kernel that puts one pair on all lanes.
        let take = if fitting * 2 > lanes { fitting } else { 1 };
        let (group, later) = rest.split_at(take);
        rest = later;
        Some(group)
    })
}

/// Normalised copies of the candidates of one group, kept from group to group.
#[derive(Default)]
struct Scratch([Vec<f64>; MAX_LANES]);

impl Scratch {
    /// The rows of the group, in place of candidates that need no normalisation the candidates themselves.
    fn normalized<'s>(
        &'s mut self,
        how: Normalize,
        group: &[usize],
        candidates: &[Series<'s>],
    ) -> Vec<&'s [f64]> {
        if how == Normalize::None {
            return group.iter().map(|&index| candidates[index].values()).collect();
        }
        for (copy, &index) in self.0.iter_mut().zip(group) {
            copy.clear();
            copy.extend_from_slice(candidates[index].values());
            how.apply_in_place(copy, candidates[index].channels());
        }
        self.0.iter().take(group.len()).map(Vec::as_slice).collect()
    }
}

/// The totals of a group; infinity for all when all are beyond the bound.
struct GroupTotals<'a> {
    query: Series<'a>,
    rows: &'a [&'a [f64]],
    options: &'a DtwOptions,
    interrupt: Interrupt<'a>,
}

impl Kernel for GroupTotals<'_> {
    type Output = Result<[f64; MAX_LANES], KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        match (self.query.channels() > 1, self.options.metric == Metric::Absolute) {
            (false, true) => self.totals::<V, Absolute, One>(),
            (false, false) => self.totals::<V, Squared, One>(),
            (true, true) => self.totals::<V, Absolute, Many>(),
            (true, false) => self.totals::<V, Squared, Many>(),
        }
    }
}

impl GroupTotals<'_> {
    #[inline(always)]
    fn totals<V: Vector, C: Cost, N: Channels>(self) -> Result<[f64; MAX_LANES], KernelError> {
        let channels = self.query.channels();
        let mut columns = Interleaved::<V>::new(channels);
        columns.fill(self.rows);
        let band = Band::new(self.options.window, self.query.steps(), columns.steps());
        let bound = self.options.metric.bound(self.options.max_distance);
        let mut row = Vec::new();
        let reached = lanes::run::<V, C, N, { lanes::NO_TRACE }>(
            self.query,
            &columns,
            band,
            bound,
            &mut row,
            &mut [],
            self.interrupt,
        )?;
        let mut totals = [f64::INFINITY; MAX_LANES];
        if reached {
            for (q, (total, values)) in totals.iter_mut().zip(self.rows).enumerate() {
                *total = row[values.len() / channels - 1].to_array()[q];
            }
        }
        Ok(totals)
    }
}

/// The alignments of a group.
struct GroupPaths<'a> {
    query: Series<'a>,
    rows: &'a [&'a [f64]],
    options: &'a DtwOptions,
    interrupt: Interrupt<'a>,
}

impl Kernel for GroupPaths<'_> {
    type Output = Result<Vec<Alignment>, KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        match (self.query.channels() > 1, self.options.metric == Metric::Absolute) {
            (false, true) => self.paths::<V, Absolute, One>(),
            (false, false) => self.paths::<V, Squared, One>(),
            (true, true) => self.paths::<V, Absolute, Many>(),
            (true, false) => self.paths::<V, Squared, Many>(),
        }
    }
}

impl GroupPaths<'_> {
    #[inline(always)]
    fn paths<V: Vector, C: Cost, N: Channels>(self) -> Result<Vec<Alignment>, KernelError> {
        let (n, channels, options) = (self.query.steps(), self.query.channels(), self.options);
        let mut columns = Interleaved::<V>::new(channels);
        columns.fill(self.rows);
        let band = Band::new(options.window, n, columns.steps());
        let bound = options.metric.bound(options.max_distance);
        let (mut row, mut directions) = (Vec::new(), vec![0_u8; n * columns.steps()]);
        let reached = lanes::run::<V, C, N, { lanes::TRACE }>(
            self.query,
            &columns,
            band,
            bound,
            &mut row,
            &mut directions,
            self.interrupt,
        )?;
        let one = |(q, values): (usize, &&[f64])| {
            let m = values.len() / channels;
            let total = if reached { row[m - 1].to_array()[q] } else { f64::INFINITY };
            let distance = options.metric.bounded(total, options.max_distance);
            let beyond = distance == f64::INFINITY;
            let path = if beyond { Vec::new() } else { lanes::path(&directions, columns.steps(), q, n, m) };
            Alignment { distance, path }
        };
        Ok(self.rows.iter().enumerate().map(one).collect())
    }
}
