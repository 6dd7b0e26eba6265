//! The state of the art that `nearest` is compared with: scalar dynamic time warping, squared cost, that abandons early
//! and prunes, for every candidate in order with the k-th best so far as its cut-off.
//!
//! M. Herrmann, G. I. Webb, "Early abandoning and pruning for elastic distances including dynamic time warping", Data
//! Mining and Knowledge Discovery 35 (2021). Written from the paper, with its four stages of a row, and the tightening
//! of the cut-off by what the last cell costs, which no path avoids.

/// Two rows of the cost matrix, used again from pair to pair.
pub(crate) struct Rows {
    previous: Vec<f64>,
    current: Vec<f64>,
}

impl Rows {
    pub(crate) fn new(length: usize) -> Self {
        Self { previous: vec![f64::INFINITY; length + 1], current: vec![f64::INFINITY; length + 1] }
    }
}

// `f64::min` also treats NaN, which costs more than the minimum.
fn lower(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

fn square(difference: f64) -> f64 {
    difference * difference
}

/// The total squared cost of the best path within the Sakoe-Chiba radius `window`, where it is at most `cutoff`, else
/// infinity. Both series have the length that `rows` was made for.
///
/// Column `j` of a row is the sample `j - 1`; column 0 is the border. In a row, the cells left of `start` and those
/// from `prune` on are known to be above the bound, without being computed.
pub(crate) fn distance(a: &[f64], b: &[f64], window: usize, cutoff: f64, rows: &mut Rows) -> f64 {
    let length = a.len();
    let Rows { previous, current } = rows;
    let (mut previous, mut current) = (&mut previous[..=length], &mut current[..=length]);
    let b = &b[..length];
    previous.fill(f64::INFINITY);
    previous[0] = 0.0;

    let last = square(a[length - 1] - b[length - 1]);
    // The margin is above what the subtraction and the final addition round.
    let tightened = cutoff - last + 2.0 * f64::EPSILON * cutoff;
    let mut start = 1;
    let mut prune = 1;
    for (i, &x) in (1..).zip(a) {
        let bound = if i < length { tightened } else { cutoff };
        start = start.max(i.saturating_sub(window));
        let stop = length.min(i + window);
        if start > prune {
            return f64::INFINITY;
        }
        let mut j = start;
        let mut left = f64::INFINITY;
        let mut next_prune = start;
        current[start - 1] = left;
        // Everything to the left is above the bound.
        while j == start && j < prune {
            left = lower(previous[j - 1], previous[j]) + square(x - b[j - 1]);
            current[j] = left;
            j += 1;
            if left <= bound {
                next_prune = j;
            } else {
                start += 1;
            }
        }
        // All three neighbours count.
        if j < prune {
            let above = previous[j - 1..prune].windows(2);
            for ((pair, cell), &y) in above.zip(&mut current[j..prune]).zip(&b[j - 1..prune - 1]) {
                left = lower(lower(pair[0], pair[1]), left) + square(x - y);
                *cell = left;
                j += 1;
                if left <= bound {
                    next_prune = j;
                }
            }
        }
        // What is above is beyond the pruning point, what is above to the left is not.
        if j <= stop {
            let diagonal = previous[j - 1];
            let best = if j == start { diagonal } else { lower(diagonal, left) };
            left = best + square(x - b[j - 1]);
            current[j] = left;
            if left <= bound {
                next_prune = j + 1;
            } else if j == start {
                return f64::INFINITY;
            }
            j += 1;
        } else if j == start {
            return f64::INFINITY;
        }
        // Only what is to the left counts.
        while j == next_prune && j <= stop {
            left += square(x - b[j - 1]);
            current[j] = left;
            j += 1;
            if left <= bound {
                next_prune = j;
            }
        }
        prune = next_prune;
        (previous, current) = (current, previous);
    }
    if prune > length { previous[length] } else { f64::INFINITY }
}

/// The `k` nearest rows of `data` as (row, distance), nearest first, ties by row.
pub(crate) fn nearest(query: &[f64], data: &[f64], window: usize, k: usize) -> Vec<(u64, f64)> {
    let mut rows = Rows::new(query.len());
    let mut best: Vec<(u64, f64)> = Vec::with_capacity(k + 1);
    let mut cutoff = f64::INFINITY;
    for (row, candidate) in (0..).zip(data.chunks_exact(query.len())) {
        let distance = distance(query, candidate, window, cutoff, &mut rows);
        if distance < cutoff {
            let place = best.partition_point(|&(_, other)| other <= distance);
            best.insert(place, (row, distance));
            best.truncate(k);
            if best.len() == k {
                cutoff = best[k - 1].1;
            }
        }
    }
    best
}
