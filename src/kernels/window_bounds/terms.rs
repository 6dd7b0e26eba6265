//! What the windows of a series are compared with: the query, its envelope, and the means of that over segments.
//!
//! Made once for a query and a Sakoe-Chiba radius, in the units of the normalised query, one channel at a time.

use crate::kernels::band::Band;
use crate::kernels::envelope::envelope;
use crate::kernels::rolling::reserve;
use crate::kernels::{Interrupt, KernelError};

/// Levels of segments of a coarse bound. What they leave over of a window, less than a hundredth of it, is no part of the
/// bound, which takes a few means for each sample then, however long the query is.
pub(super) const LEVELS: usize = 4;

/// What one sample or segment is compared with: it costs what is above `half` in its distance from `middle`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// Time step of the window at which it begins.
    pub(super) at: usize,
    pub(super) middle: f64,
    pub(super) half: f64,
}

/// Segments of `2^level` samples.
pub(super) struct Segments {
    pub(super) level: usize,
    pub(super) terms: Vec<Term>,
}

/// What the windows of one channel are compared with.
pub(super) struct ChannelTerms {
    pub(super) coarse: Vec<Segments>,
    pub(super) fine: Vec<Term>,
    /// The inner values of the query, those first that cost most windows most.
    pub(super) reverse: Vec<(usize, f64)>,
}

impl ChannelTerms {
    /// Of the normalised values of one channel, for segments of `2^top` samples and less.
    ///
    /// # Errors
    /// When there is no room for what is kept of each value, or when interrupted.
    pub(super) fn new(
        query: &[f64],
        radius: usize,
        top: usize,
        interrupt: Interrupt<'_>,
    ) -> Result<Self, KernelError> {
        let steps = query.len();
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        reserve(&mut lower, steps)?;
        reserve(&mut upper, steps)?;
        envelope(query, steps, Band::new(Some(radius), steps, steps), &mut lower, &mut upper);
        interrupt.check()?;
        let term = |at: usize, low: f64, high: f64| Term {
            at,
            middle: 0.5 * low + 0.5 * high,
            half: 0.5 * high - 0.5 * low,
        };
        let mut ends = vec![term(0, query[0], query[0])];
        if steps > 1 {
            ends.push(term(steps - 1, query[steps - 1], query[steps - 1]));
        }
        let inner = 1..steps.max(2) - 1;

        let mut fine = Vec::new();
        reserve(&mut fine, steps)?;
        fine.extend_from_slice(&ends);
        fine.extend(inner.clone().map(|at| term(at, lower[at], upper[at])));
        // What is far from the mean costs most windows most.
        let mean = query.iter().map(|x| x / steps as f64).sum::<f64>();
        let far = |term: &Term| (term.middle - mean).abs() - term.half;
        fine[ends.len()..].sort_unstable_by(|a, b| far(b).total_cmp(&far(a)).then(a.at.cmp(&b.at)));
        interrupt.check()?;

        let mut reverse: Vec<(usize, f64)> = Vec::new();
        reserve(&mut reverse, steps)?;
        reverse.extend(inner.clone().map(|at| (at, query[at])));
        let far = |value: f64| (value - mean).abs();
        reverse.sort_unstable_by(|a, b| far(b.1).total_cmp(&far(a.1)).then(a.0.cmp(&b.0)));
        interrupt.check()?;

        let mut coarse: Vec<Segments> = Vec::new();
        let mut at = inner.start;
        for level in (0..=top).rev().take(LEVELS) {
            let p = 1 << level;
            let share = 1.0 / p as f64;
            let mut terms = Vec::new();
            while inner.end - at >= p {
                let mean = |bound: &[f64]| bound[at..at + p].iter().map(|x| x * share).sum::<f64>();
                terms.push(term(at, mean(&lower), mean(&upper)));
                at += p;
            }
            coarse.push(Segments { level, terms });
        }
        match coarse.last_mut() {
            Some(samples) if samples.level == 0 => {
                samples.terms.splice(0..0, ends);
            }
            _ => coarse.push(Segments { level: 0, terms: ends }),
        }
        coarse.retain(|segments| !segments.terms.is_empty());
        Ok(Self { coarse, fine, reverse })
    }
}
