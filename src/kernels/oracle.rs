//! Textbook dynamic programs over the full matrix: what the fast kernels are tested against. Slow on purpose.

mod symbols;

pub use symbols::{common_subsequence_table, lcs_align, lcs_length, lcss_length, levenshtein};
pub mod elastic;

use super::band::Band;
use super::dtw::{DtwOptions, Metric};
use crate::series::Series;

/// The DTW matrix of two series that are normalised already, `n x m` row-major, infinity outside the band.
pub fn dtw_matrix(a: Series<'_>, b: Series<'_>, metric: Metric, window: Option<usize>) -> Vec<f64> {
    let (n, m) = (a.steps(), b.steps());
    let band = Band::new(window, n, m);
    let mut d = vec![f64::INFINITY; n * m];
    for i in 0..n {
        for j in band.columns(i, m) {
            let mut cost = 0.0;
            for c in 0..a.channels() {
                let x = a.values()[i * a.channels() + c] - b.values()[j * b.channels() + c];
                cost += if metric == Metric::Absolute { x.abs() } else { x * x };
            }
            let best = if i == 0 && j == 0 {
                0.0
            } else {
                let up = if i > 0 { d[(i - 1) * m + j] } else { f64::INFINITY };
                let left = if j > 0 { d[i * m + j - 1] } else { f64::INFINITY };
                let diagonal = if i > 0 && j > 0 { d[(i - 1) * m + j - 1] } else { f64::INFINITY };
                up.min(left).min(diagonal)
            };
            d[i * m + j] = cost + best;
        }
    }
    d
}

/// The DTW distance, by the definitions of [`DtwOptions`].
pub fn dtw(a: Series<'_>, b: Series<'_>, options: &DtwOptions) -> f64 {
    let (x, y) = (options.normalize.apply(a), options.normalize.apply(b));
    let (a, b) = (Series::trusted(&x, a.channels()), Series::trusted(&y, b.channels()));
    let d = dtw_matrix(a, b, options.metric, options.window);
    let total = d[d.len() - 1];
    let distance = if options.metric == Metric::Euclidean { total.sqrt() } else { total };
    if distance <= options.max_distance { distance } else { f64::INFINITY }
}

/// The warping path as pairs, traced back from the end: diagonal first, then up, then left.
pub fn dtw_path(a: Series<'_>, b: Series<'_>, options: &DtwOptions) -> Vec<(u32, u32)> {
    let (x, y) = (options.normalize.apply(a), options.normalize.apply(b));
    let (a, b) = (Series::trusted(&x, a.channels()), Series::trusted(&y, b.channels()));
    let m = b.steps();
    let d = dtw_matrix(a, b, options.metric, options.window);
    let (mut i, mut j) = (a.steps() - 1, m - 1);
    let mut path = vec![(i as u32, j as u32)];
    while i > 0 || j > 0 {
        let up = if i > 0 { d[(i - 1) * m + j] } else { f64::INFINITY };
        let left = if j > 0 { d[i * m + j - 1] } else { f64::INFINITY };
        let diagonal = if i > 0 && j > 0 { d[(i - 1) * m + j - 1] } else { f64::INFINITY };
        if i > 0 && j > 0 && diagonal <= up && diagonal <= left {
            (i, j) = (i - 1, j - 1);
        } else if i > 0 && (j == 0 || up <= left) {
            i -= 1;
        } else {
            j -= 1;
        }
        path.push((i as u32, j as u32));
    }
    path.reverse();
    path
}
