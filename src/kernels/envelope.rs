//! Envelopes: the lowest and highest value near every position, which LB_Keogh bounds a warping path with.
//!
//! Lemire, "Streaming maximum-minimum filter using no more than three comparisons per element", 2006: a queue of
//! positions whose values only get worse, so that its front is always the extreme. Linear whatever the radius.

/// Row `i` of `lower` and `upper` is the minimum and maximum of `values` over the positions `i - below ..= i + above`
/// that exist. Both are cleared first and end as long as `values`, in the units of `values`.
pub(crate) fn envelope(
    values: &[f64],
    below: usize,
    above: usize,
    lower: &mut Vec<f64>,
    upper: &mut Vec<f64>,
) {
    let mut queue = Vec::with_capacity(values.len());
    extremes(values, below, above, &mut queue, lower, |new, old| new <= old);
    extremes(values, below, above, &mut queue, upper, |new, old| new >= old);
}

/// The best value around each position; `beats(new, old)` says that `old` never counts again once `new` is there.
#[inline]
fn extremes(
    values: &[f64],
    below: usize,
    above: usize,
    queue: &mut Vec<usize>,
    out: &mut Vec<f64>,
    beats: impl Fn(f64, f64) -> bool,
) {
    out.clear();
    out.reserve(values.len());
    queue.clear();
    // Positions before `head` have left the range; those behind it are ascending, their values ever worse.
    let (mut head, mut next) = (0, 0);
    for i in 0..values.len() {
        let end = i.saturating_add(above).saturating_add(1).min(values.len());
        while next < end {
            while queue.len() > head && beats(values[next], values[queue[queue.len() - 1]]) {
                queue.pop();
            }
            queue.push(next);
            next += 1;
        }
        let start = i.saturating_sub(below);
        while queue[head] < start {
            head += 1;
        }
        out.push(values[queue[head]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(values: &[f64], below: usize, above: usize) -> (Vec<f64>, Vec<f64>) {
        let near = |i: usize| &values[i.saturating_sub(below)..i.saturating_add(above + 1).min(values.len())];
        let best = |pick: fn(f64, f64) -> f64| -> Vec<f64> {
            (0..values.len()).map(|i| near(i).iter().copied().reduce(pick).unwrap()).collect()
        };
        (best(f64::min), best(f64::max))
    }

    proptest! {
        #[test]
        fn equals_a_search_at_every_position(
            values in prop::collection::vec((-4..4_i32).prop_map(f64::from), 0..60),
            below in 0..70_usize,
            above in 0..70_usize,
        ) {
            let (mut lower, mut upper) = (vec![9.0; 3], vec![9.0]);
            envelope(&values, below, above, &mut lower, &mut upper);
            prop_assert_eq!((lower, upper), naive(&values, below, above));
        }
    }

    #[test]
    fn a_radius_may_be_anything() {
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        envelope(&[3.0, 1.0, 2.0], usize::MAX, usize::MAX, &mut lower, &mut upper);
        assert_eq!((lower.as_slice(), upper.as_slice()), (&[1.0; 3][..], &[3.0; 3][..]));
        envelope(&[3.0, 1.0, 2.0], 0, 0, &mut lower, &mut upper);
        assert_eq!((lower.as_slice(), upper.as_slice()), (&[3.0, 1.0, 2.0][..], &[3.0, 1.0, 2.0][..]));
        envelope(&[], 1, 1, &mut lower, &mut upper);
        assert!(lower.is_empty() && upper.is_empty());
    }
}
