//! One query against windows of one series, on one thread: each window is normalised by itself, several side by side,
//! by the operations of [`Normalize`] in their order, so the totals have the bits of [`super::distance`].

use super::cost::{Absolute, Channels, Cost, Many, One, Squared};
use super::lanes::{self, Interleaved};
use super::{DtwOptions, Metric};
use crate::kernels::band::Band;
use crate::kernels::normalize::{Normalize, is_constant};
use crate::kernels::simd::{Kernel, Level, MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;

/// A query and the series whose windows it is compared with.
#[derive(Clone, Copy)]
pub(crate) struct WindowTotals<'a> {
    /// Normalised.
    pub(crate) query: Series<'a>,
    pub(crate) series: Series<'a>,
    /// `max_distance` is not looked at.
    pub(crate) options: &'a DtwOptions,
    pub(crate) interrupt: Interrupt<'a>,
}

/// Computes the DTW total of `query` and the windows that begin at `starts`, a vector of them at a time.
///
/// Before each vector `bound` gets the position in `starts` of its first and says beyond which total nobody wants
/// to know, or `None` to stop. `found` then gets starts and totals, infinity for all when all are beyond.
pub(crate) fn totals_of_windows(
    level: Level,
    windows: WindowTotals<'_>,
    starts: &[usize],
    bound: impl FnMut(usize) -> Option<f64>,
    found: impl FnMut(&[usize], &[f64]) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    level.run(Run { windows, starts, bound, found })
}

struct Run<'a, B, F> {
    windows: WindowTotals<'a>,
    starts: &'a [usize],
    bound: B,
    found: F,
}

impl<B, F> Kernel for Run<'_, B, F>
where
    B: FnMut(usize) -> Option<f64>,
    F: FnMut(&[usize], &[f64]) -> Result<(), KernelError>,
{
    type Output = Result<(), KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        match (self.windows.query.channels() > 1, self.windows.options.metric == Metric::Absolute) {
            (false, true) => self.totals::<V, Absolute, One>(),
            (false, false) => self.totals::<V, Squared, One>(),
            (true, true) => self.totals::<V, Absolute, Many>(),
            (true, false) => self.totals::<V, Squared, Many>(),
        }
    }
}

impl<B, F> Run<'_, B, F>
where
    B: FnMut(usize) -> Option<f64>,
    F: FnMut(&[usize], &[f64]) -> Result<(), KernelError>,
{
    #[inline(always)]
    fn totals<V: Vector, C: Cost, N: Channels>(mut self) -> Result<(), KernelError> {
        let WindowTotals { query, series, options, interrupt } = self.windows;
        let (n, channels) = (query.steps(), query.channels());
        let band = Band::new(options.window, n, n);
        let mut columns = Interleaved::<V>::new(channels);
        let mut row = Vec::new();
        for (index, group) in self.starts.chunks(V::LANES).enumerate() {
            let Some(bound) = (self.bound)(index * V::LANES) else { break };
            let windows: [&[f64]; MAX_LANES] = std::array::from_fn(|q| {
                &series.values()[group[q.min(group.len() - 1)] * channels..][..n * channels]
            });
            fill(&mut columns, &windows[..V::LANES], options.normalize, channels);
            let reached = lanes::run::<V, C, N, { lanes::NO_TRACE }>(
                query,
                &columns,
                band,
                bound,
                &mut row,
                &mut [],
                interrupt,
            )?;
            let totals = if reached { row[n - 1].to_array() } else { [f64::INFINITY; MAX_LANES] };
            (self.found)(group, &totals[..group.len()])?;
        }
        Ok(())
    }
}

/// Lane `q` becomes window `q`, normalised.
#[inline(always)]
fn fill<V: Vector>(columns: &mut Interleaved<V>, windows: &[&[f64]], normalize: Normalize, channels: usize) {
    columns.fill(windows);
    if normalize == Normalize::None {
        return;
    }
    for channel in 0..channels {
        let values = &mut columns.values[channel..];
        let scaled = match normalize {
            Normalize::Zscore => zscore(values, channels),
            _ => minmax(values, channels),
        };
        if scaled {
            continue;
        }
        // Magnitudes at the ends of f64 are scaled first, each window by itself.
        let mut copies = windows.iter().map(|window| window.to_vec()).collect::<Vec<_>>();
        for copy in &mut copies {
            normalize.apply_in_place(copy, channels);
        }
        columns.fill(&copies.iter().map(Vec::as_slice).collect::<Vec<_>>());
        return;
    }
}

/// As in [`Normalize::Zscore`]; false, and nothing done, where that one would scale a window first.
#[inline(always)]
fn zscore<V: Vector>(values: &mut [V], channels: usize) -> bool {
    let mut largest = V::splat(0.0);
    let mut sums = [V::splat(0.0); 4];
    let whole = values.len() / (4 * channels) * 4 * channels;
    let mut at = 0;
    // Four sums that take turns, as there; a plain index would keep them in memory.
    while at < whole {
        for sum in &mut sums {
            largest = largest.max(values[at].abs());
            *sum = sum.add(values[at]);
            at += channels;
        }
    }
    for sum in &mut sums {
        if at < values.len() {
            largest = largest.max(values[at].abs());
            *sum = sum.add(values[at]);
            at += channels;
        }
    }
    for largest in &largest.to_array()[..V::LANES] {
        let (_, exponent) = libm::frexp(*largest);
        if exponent.abs() > 200 {
            return false;
        }
    }
    let count = V::splat(values.len().div_ceil(channels) as f64);
    let mean = sums[0].add(sums[1]).add(sums[2].add(sums[3])).div(count);
    let mut sums = [V::splat(0.0); 4];
    at = 0;
    while at < whole {
        for sum in &mut sums {
            let from_mean = values[at].sub(mean);
            *sum = sum.add(from_mean.mul(from_mean));
            at += channels;
        }
    }
    for sum in &mut sums {
        if at < values.len() {
            let from_mean = values[at].sub(mean);
            *sum = sum.add(from_mean.mul(from_mean));
            at += channels;
        }
    }
    let variance = sums[0].add(sums[1]).add(sums[2].add(sums[3])).div(count).to_array();
    let means = mean.to_array();
    let deviation = V::from_fn(|q| variance[q].sqrt());
    let deviations = deviation.to_array();
    let constant = V::mask_from_fn(|q| is_constant(deviations[q], means[q]));
    scale(values, channels, mean, deviation, constant);
    true
}

/// As in [`Normalize::Minmax`]; false, and nothing done, where that one would scale a window first.
#[inline(always)]
fn minmax<V: Vector>(values: &mut [V], channels: usize) -> bool {
    let (mut low, mut high) = (values[0], values[0]);
    let mut at = channels;
    while at < values.len() {
        low = low.min(values[at]);
        high = high.max(values[at]);
        at += channels;
    }
    let range = high.sub(low);
    let ranges = range.to_array();
    if ranges[..V::LANES].iter().any(|range| !range.is_finite()) {
        return false;
    }
    let constant = V::mask_from_fn(|q| ranges[q] == 0.0);
    scale(values, channels, low, range, constant);
    true
}

/// `(x - shift) / divisor`, zeros in the lanes that are constant.
#[inline(always)]
fn scale<V: Vector>(values: &mut [V], channels: usize, shift: V, divisor: V, constant: V::Mask) {
    let mut at = 0;
    while at < values.len() {
        let scaled = values[at].sub(shift).div(divisor);
        values[at] = V::select(constant, V::splat(0.0), scaled);
        at += channels;
    }
}
