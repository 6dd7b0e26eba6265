//! Envelopes: the lowest and highest value near every position, which LB_Keogh bounds a warping path with.
//!
//! Lemire, "Streaming maximum-minimum filter using no more than three comparisons per element", 2006: a queue of
//! positions whose values only get worse, so that its front is always the extreme. Linear whatever the radius.

use super::band::Band;

/// For each of `rows` rows the least and the greatest of the `values` that a band lets it meet: row `i` of `lower` and
/// `upper` is the minimum and maximum over the positions `i - below ..= i + above` that exist, and one must. Both are
/// cleared first; units are those of `values`.
pub(crate) fn envelope<T: Copy + PartialOrd>(
    values: &[T],
    rows: usize,
    band: Band,
    lower: &mut Vec<T>,
    upper: &mut Vec<T>,
) {
    let mut queue = Vec::with_capacity(values.len());
    extremes(values, rows, band, &mut queue, lower, |new, old| new <= old);
    extremes(values, rows, band, &mut queue, upper, |new, old| new >= old);
}

/// The best value in reach of each row; `beats(new, old)` says that `old` never counts again once `new` is there.
#[inline]
fn extremes<T: Copy>(
    values: &[T],
    rows: usize,
    band: Band,
    queue: &mut Vec<usize>,
    out: &mut Vec<T>,
    beats: impl Fn(T, T) -> bool,
) {
    out.clear();
    out.reserve(rows);
    queue.clear();
    // Positions before `head` have left the range; those behind it are ascending, their values ever worse.
    let (mut head, mut next) = (0, 0);
    for row in 0..rows {
        let columns = band.columns(row, values.len());
        while next < columns.end {
            while queue.len() > head && beats(values[next], values[queue[queue.len() - 1]]) {
                queue.pop();
            }
            queue.push(next);
            next += 1;
        }
        while queue[head] < columns.start {
            head += 1;
        }
        out.push(values[queue[head]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(values: &[f64], rows: usize, band: Band) -> (Vec<f64>, Vec<f64>) {
        let best = |pick: fn(f64, f64) -> f64| -> Vec<f64> {
            let met = |row: usize| values[band.columns(row, values.len())].iter().copied();
            (0..rows).map(|row| met(row).reduce(pick).unwrap()).collect()
        };
        (best(f64::min), best(f64::max))
    }

    proptest! {
        #[test]
        fn equals_a_search_in_every_row(
            values in prop::collection::vec((-4..4_i32).prop_map(f64::from), 1..60),
            other in 1..60_usize,
            equal in any::<bool>(),
            window in prop_oneof![Just(None), (0..70_usize).prop_map(Some)],
        ) {
            let rows = if equal { values.len() } else { other };
            let band = Band::new(window, rows, values.len());
            let (mut lower, mut upper) = (vec![9.0; 3], vec![9.0]);
            envelope(&values, rows, band, &mut lower, &mut upper);
            prop_assert_eq!((lower, upper), naive(&values, rows, band));
        }
    }

    #[test]
    fn a_radius_may_be_anything() {
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        envelope(&[3.0, 1.0, 2.0], 3, Band::new(Some(usize::MAX), 3, 3), &mut lower, &mut upper);
        assert_eq!((lower.as_slice(), upper.as_slice()), (&[1.0; 3][..], &[3.0; 3][..]));
        envelope(&[3.0, 1.0, 2.0], 3, Band::new(Some(0), 3, 3), &mut lower, &mut upper);
        assert_eq!((lower.as_slice(), upper.as_slice()), (&[3.0, 1.0, 2.0][..], &[3.0, 1.0, 2.0][..]));
        envelope::<f64>(&[], 0, Band::new(None, 0, 0), &mut lower, &mut upper);
        assert!(lower.is_empty() && upper.is_empty());
    }
}
