//! The elastic distances from their papers: one cell after the other over the full matrix, borders included.

use crate::kernels::band::Band;
use crate::kernels::elastic::Measure;
use crate::series::Series;

/// The distance by the definitions of [`Measure`]. Univariate; `Ddtw` needs at least three steps on each side.
pub fn elastic(measure: Measure, a: Series<'_>, b: Series<'_>, window: Option<usize>) -> f64 {
    if measure == Measure::Ddtw {
        let (x, y) = (derivative(a.values()), derivative(b.values()));
        return matrix(measure, &x, &y, window);
    }
    matrix(measure, a.values(), b.values(), window)
}

/// Keogh and Pazzani 2001: the mean of the slope to the left neighbour and the slope across both neighbours.
fn derivative(x: &[f64]) -> Vec<f64> {
    (1..x.len() - 1).map(|i| ((x[i] - x[i - 1]) + (x[i + 1] - x[i - 1]) / 2.0) / 2.0).collect()
}

/// Row and column 0 are the borders: value `i` of the paper is `a[i - 1]` here.
fn matrix(measure: Measure, a: &[f64], b: &[f64], window: Option<usize>) -> f64 {
    let (n, m) = (a.len(), b.len());
    let band = Band::new(window, n, m);
    let inside = |i: usize, j: usize| i <= j.saturating_add(band.below) && j <= i.saturating_add(band.above);
    let mut d = vec![vec![f64::INFINITY; m + 1]; n + 1];
    d[0][0] = 0.0;
    for i in 1..=n {
        if inside(i, 0) {
            d[i][0] = match measure {
                Measure::Erp { gap } => d[i - 1][0] + (a[i - 1] - gap).abs(),
                Measure::Edr { .. } => i as f64,
                _ => f64::INFINITY,
            };
        }
    }
    for j in 1..=m {
        if inside(0, j) {
            d[0][j] = match measure {
                Measure::Erp { gap } => d[0][j - 1] + (b[j - 1] - gap).abs(),
                Measure::Edr { .. } => j as f64,
                _ => f64::INFINITY,
            };
        }
    }
    for i in 1..=n {
        for j in 1..=m {
            if inside(i, j) {
                d[i][j] = cell(measure, a, b, i, j, [d[i - 1][j - 1], d[i - 1][j], d[i][j - 1]]);
            }
        }
    }
    d[n][m]
}

fn cell(measure: Measure, a: &[f64], b: &[f64], i: usize, j: usize, from: [f64; 3]) -> f64 {
    let [diagonal, up, left] = from;
    let (x, y) = (a[i - 1], b[j - 1]);
    let (x_before, y_before) = (if i > 1 { a[i - 2] } else { 0.0 }, if j > 1 { b[j - 2] } else { 0.0 });
    let squared = (x - y) * (x - y);
    let apart = i.abs_diff(j) as f64;
    let min3 = |p: f64, q: f64, r: f64| p.min(q).min(r);
    match measure {
        Measure::Ddtw => squared + min3(diagonal, up, left),
        Measure::Wdtw { g } => {
            let half = a.len().max(b.len()) as f64 / 2.0;
            let weight = 1.0 / (1.0 + libm::exp(-g * (apart - half)));
            squared * weight.max(f64::MIN_POSITIVE) + min3(diagonal, up, left)
        }
        Measure::Adtw { penalty } => squared + min3(diagonal, up + penalty, left + penalty),
        Measure::Erp { gap } => min3(diagonal + (x - y).abs(), up + (x - gap).abs(), left + (y - gap).abs()),
        Measure::Edr { epsilon } => {
            let miss = if (x - y).abs() <= epsilon { 0.0 } else { 1.0 };
            min3(diagonal + miss, up + 1.0, left + 1.0)
        }
        Measure::Msm { cost } => {
            // Split or merge: free but for `cost` when x lies between its neighbours.
            let extra = |x: f64, before: f64, other: f64| {
                if (before <= x && x <= other) || (before >= x && x >= other) {
                    0.0
                } else {
                    (x - before).abs().min((x - other).abs())
                }
            };
            min3(
                diagonal + (x - y).abs(),
                up + extra(x, x_before, y) + cost,
                left + extra(y, y_before, x) + cost,
            )
        }
        Measure::Twe { nu, lambda } => {
            let matched = (x - y).abs() + (x_before - y_before).abs() + 2.0 * (nu * apart);
            min3(
                diagonal + matched,
                up + ((x - x_before).abs() + (nu + lambda)),
                left + ((y - y_before).abs() + (nu + lambda)),
            )
        }
        Measure::SoftDtw { gamma } => {
            let mut sorted = from;
            sorted.sort_by(f64::total_cmp);
            let [least, middle, most] = sorted;
            if least == f64::INFINITY {
                return f64::INFINITY;
            }
            // exp of the least less itself is 1.
            let terms = 1.0
                + (libm::exp((least - middle) * (1.0 / gamma)) + libm::exp((least - most) * (1.0 / gamma)));
            squared + (least - gamma * libm::log(terms))
        }
    }
}
