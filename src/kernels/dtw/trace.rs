//! Warping paths of one pair, in bounded memory.
//!
//! The strips write down, two bits a cell, which predecessor won; the path is read back from the end. When the bits
//! of the whole matrix would exceed [`TRACE_BYTES`], a first pass keeps only the boundary rows at the starts of
//! blocks of strips, and the blocks are computed a second time, last to first, each with its bits: twice the work,
//! and memory that grows with the square root of the rows.

use super::cost::{Absolute, Channels, Cost, Many, One, Squared};
use super::strip::{NO_TRACE, Strips, TRACE};
use super::{Alignment, DtwOptions, Metric, Pair};
use crate::kernels::band::Band;
use crate::kernels::simd::{Kernel, Level, MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;

/// The most cells that [`align`] accepts: those inside the band, when there is one.
pub const MAX_ALIGN_CELLS: u64 = 4_000_000_000;

/// Bytes of directions that are held at once, unless a single strip needs more.
const TRACE_BYTES: usize = 32 << 20;

/// Distance and warping path. More than [`MAX_ALIGN_CELLS`] cells: [`KernelError::TooLarge`].
///
/// # Panics
/// When the channels of `a` and `b` differ.
pub fn align(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    options: &DtwOptions,
    interrupt: Interrupt<'_>,
) -> Result<Alignment, KernelError> {
    align_within(level, a, b, options, TRACE_BYTES, interrupt)
}

/// [`align`] with the memory for directions as an argument, so that tests reach the second pass on small inputs.
pub(super) fn align_within(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    options: &DtwOptions,
    trace_bytes: usize,
    interrupt: Interrupt<'_>,
) -> Result<Alignment, KernelError> {
    check_alignment(a.steps(), b.steps(), options.window)?;
    let (x, y) = (options.normalize.apply(a), options.normalize.apply(b));
    let (a, b) = (Series::trusted(&x, a.channels()), Series::trusted(&y, b.channels()));
    // Rows are `a`, whichever is longer: the order of ties is the caller's.
    let band = Band::new(options.window, a.steps(), b.steps());
    let pair = Pair { rows: a, columns: b, band, ..Pair::new(a, b, options) };
    if pair.ends_exceed_bound() {
        return Ok(Alignment { distance: f64::INFINITY, path: Vec::new() });
    }
    let (total, mut path) = level.run(PairPath { pair, trace_bytes, interrupt })?;
    let distance = options.metric.bounded(total, options.max_distance);
    if distance == f64::INFINITY {
        path.clear();
    }
    Ok(Alignment { distance, path })
}

/// Refuses an alignment of `n` and `m` time steps beyond [`MAX_ALIGN_CELLS`].
pub(crate) fn check_alignment(n: usize, m: usize, window: Option<usize>) -> Result<(), KernelError> {
    let cells = cells_inside(n, m, window);
    if cells > u128::from(MAX_ALIGN_CELLS) {
        return Err(KernelError::TooLarge { cells, limit: MAX_ALIGN_CELLS });
    }
    Ok(())
}

/// Cells of an `n x m` matrix inside the band.
pub(super) fn cells_inside(n: usize, m: usize, window: Option<usize>) -> u128 {
    let band = Band::new(window, n, m);
    // What the band leaves out are two triangles, below and above it, with their far corners cut off where the
    // matrix ends.
    let triangle = |side: usize| (side as u128) * (side as u128 + 1) / 2;
    let below = triangle(n.saturating_sub(band.below + 1)) - triangle(n.saturating_sub(band.below + m + 1));
    let above = triangle(m.saturating_sub(band.above + 1)) - triangle(m.saturating_sub(band.above + n + 1));
    n as u128 * m as u128 - below - above
}

struct PairPath<'a> {
    pair: Pair<'a>,
    trace_bytes: usize,
    interrupt: Interrupt<'a>,
}

type TotalAndPath = (f64, Vec<(u32, u32)>);

impl Kernel for PairPath<'_> {
    const REGISTERS: usize = 32;
    type Output = Result<TotalAndPath, KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        match (self.pair.rows.channels() > 1, self.pair.metric == Metric::Absolute) {
            (false, true) => self.trace::<V, Absolute, One>(),
            (false, false) => self.trace::<V, Squared, One>(),
            (true, true) => self.trace::<V, Absolute, Many>(),
            (true, false) => self.trace::<V, Squared, Many>(),
        }
    }
}

/// Bytes of a boundary row for each of its columns.
const BOUNDARY_BYTES: usize = size_of::<f64>();

/// Row vectors of a strip.
const K: usize = 4;

impl PairPath<'_> {
    #[inline(always)]
    fn trace<V: Vector, C: Cost, N: Channels>(self) -> Result<TotalAndPath, KernelError> {
        let (rows, n, m) = (self.pair.rows, self.pair.rows.steps(), self.pair.columns.steps());
        let mut strips = Strips::<V>::new::<K>(n, self.pair.columns, self.pair.band);
        let height = V::LANES * K;
        let count = n.div_ceil(height);
        // Blocks of consecutive strips whose directions fit the memory (the middle strip is as long as any); but not
        // so short that the boundary rows between them need more.
        let longest = strips.span(count / 2 * height).steps().max(strips.span(0).steps()) * K;
        let balanced = (count as f64 * BOUNDARY_BYTES as f64 / K as f64).sqrt() as usize;
        let per_block = (self.trace_bytes / longest).max(balanced).clamp(1, count);
        let starts: Vec<usize> = (0..count).step_by(per_block).collect();

        let mut directions = Vec::new();
        let mut boundaries = vec![strips.boundary_above(0)];
        for strip in 0..starts[starts.len() - 1] {
            self.interrupt.check()?;
            strips.run::<C, N::Rows<V, K>, K, NO_TRACE>(rows, strip * height, &mut []);
            if self.pair.bound < f64::INFINITY && !strips.reaches(strip * height, self.pair.bound) {
                return Ok((f64::INFINITY, Vec::new()));
            }
            if (strip + 1).is_multiple_of(per_block) {
                boundaries.push(strips.boundary_above((strip + 1) * height));
            }
        }

        let mut total = f64::INFINITY;
        let mut walk = Walk { i: n - 1, j: m - 1, path: Vec::with_capacity(n + m) };
        for (start, boundary) in starts.into_iter().zip(boundaries).rev() {
            strips.resume(&boundary);
            let end = (start + per_block).min(count);
            // Where each strip's directions begin.
            let offsets: Vec<usize> = (start..=end)
                .scan(0, |offset, strip| {
                    let this = *offset;
                    if strip < end {
                        *offset += strips.span(strip * height).steps() * K;
                    }
                    Some(this)
                })
                .collect();
            directions.resize(offsets[end - start], 0_u8);
            for strip in start..end {
                self.interrupt.check()?;
                let bytes = &mut directions[offsets[strip - start]..offsets[strip - start + 1]];
                if let Some(last) = strips.run::<C, N::Rows<V, K>, K, TRACE>(rows, strip * height, bytes) {
                    total = last;
                }
            }
            // Beyond the bound there is no path; and where sums overflowed to infinity, there is none to follow.
            if total > self.pair.bound || total == f64::INFINITY {
                return Ok((f64::INFINITY, Vec::new()));
            }
            for strip in (start..end).rev() {
                walk.up_through(&strips, strip * height, &directions[offsets[strip - start]..]);
            }
        }
        walk.path.reverse();
        Ok((total, walk.path))
    }
}

/// The path so far, from the end.
struct Walk {
    i: usize,
    j: usize,
    path: Vec<(u32, u32)>,
}

impl Walk {
    /// Follows the directions until the path leaves the strip at its top, or reaches the first cell.
    fn up_through<V: Vector>(&mut self, strips: &Strips<V>, first_row: usize, directions: &[u8]) {
        let span = strips.span(first_row);
        while self.i >= first_row {
            self.path.push((self.i as u32, self.j as u32));
            if self.i == 0 && self.j == 0 {
                return;
            }
            let row = self.i - first_row;
            let (lane, v) = strips.geometry().place(row);
            let step = (self.j as isize - span.origin) as usize + strips.geometry().delay(row) - span.first;
            let bits = directions[step * K + v] >> lane;
            let (diagonal, up) = (bits & 1 == 1, bits >> MAX_LANES & 1 == 1);
            if diagonal || !up {
                self.j -= 1;
            }
            if diagonal || up {
                self.i -= 1;
            }
        }
    }
}
