//! The thresholds of a family, and when they move.
//!
//! The range 0..=1 of a threshold is cut into [`SLICES`]. Each slice has a confidence sequence of the net returns of the
//! outcomes in it, taken or skipped, whatever the threshold is. The threshold rises past the lowest admitted slice that is
//! known when that slice's upper bound is below 0 and some known slice above it has a mean that is above 0 by a standard
//! error: a threshold is for telling good matches from bad ones, and where all are bad, or all alike, it has nothing to
//! tell. It falls to the highest excluded slice that is known when that slice's lower bound is above 0. "Known" is
//! [`LEAST`] outcomes or more that do not overlap, so no single verdict moves anything; the slice that moved the threshold
//! begins anew, and after an alarm of the drift test all do.
//!
//! The bounds are anytime-valid, and a family's alpha is divided over its two thresholds, their slices, the two directions
//! and, as the n-th time 1 / (n (n + 1)), the times that a slice begins anew. So in a family whose slices do not change
//! their nature the probability that any threshold *ever* moves the wrong way is at most alpha.

use super::bernstein::EmpiricalBernstein;
use super::event::{ExperienceId, Instant};
use super::window::Lane;
use std::fmt;

/// Slices of a threshold's range, each 0.05 wide.
pub const SLICES: usize = 20;

/// Outcomes that a slice needs before it is known.
pub const LEAST: f64 = 20.0;

/// Which threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Of the similarity of a match.
    Similarity,
    /// Of the confidence of its prediction.
    Confidence,
}

impl Parameter {
    /// Its name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Similarity => "similarityThreshold",
            Self::Confidence => "confidenceThreshold",
        }
    }
}

/// What moved a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Outcomes in the slice, overlapping ones left out.
    pub n: f64,
    /// The share with a positive net return.
    pub win_rate: f64,
    /// Of the mean net return, a fraction.
    pub lower: f64,
    /// Of the mean net return, a fraction.
    pub upper: f64,
}

/// A threshold that moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Which.
    pub parameter: Parameter,
    /// From here.
    pub from: f64,
    /// To here.
    pub to: f64,
    /// Lower and upper end of the slice that was judged.
    pub slice: (f64, f64),
    /// What is known of it.
    pub evidence: Evidence,
    /// When the last outcome was known.
    pub at: Instant,
    /// The last outcome.
    pub cause: ExperienceId,
}

/// In words for a trader.
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.parameter {
            Parameter::Similarity => "similarity",
            Parameter::Confidence => "confidence",
        };
        let Evidence { n, lower, upper, .. } = self.evidence;
        let (low, high) = self.slice;
        write!(f, "matches with {name} {low:.2} to {high:.2} ")?;
        if self.to > self.from {
            write!(f, "lose: the mean net return of {n} is at most {:.4} %", upper * 100.0)
        } else {
            write!(f, "earn: the mean net return of {n} is at least {:.4} %", lower * 100.0)
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Slice {
    /// Outlives a restart: who begins anew still knows what is under way.
    lane: Lane,
    sequence: EmpiricalBernstein,
    /// How often it began anew.
    generation: u32,
}

impl Slice {
    /// Begins anew.
    fn restart(&mut self) {
        self.sequence = EmpiricalBernstein::default();
        self.generation = self.generation.saturating_add(1);
    }
}

/// One threshold of one family.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    parameter: Parameter,
    value: f64,
    slices: Vec<Slice>,
}

/// An outcome as thresholds see it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Of which.
    pub id: ExperienceId,
    /// When it was known.
    pub end: Instant,
    /// A fraction.
    pub net_return: f64,
    /// Of the family's returns.
    pub scale: f64,
}

impl Threshold {
    /// Starts at `value` in 0..=1.
    pub fn new(parameter: Parameter, value: f64) -> Self {
        Self { parameter, value, slices: vec![Slice::default(); SLICES] }
    }

    /// Where it is.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// A match at `at` that has `position` in 0..=1; the life of its slice if it counts there. If so, its window has to be
    /// [left](Threshold::leave).
    pub fn reserve(&mut self, position: f64, at: Instant) -> Option<u32> {
        let slice = &mut self.slices[slice_of(position)];
        slice.lane.opens(at).then_some(slice.generation)
    }

    /// A match that counts is over, with an outcome or without; others may begin at `busy`.
    pub fn leave(&mut self, position: f64, busy: Instant) {
        self.slices[slice_of(position)].lane.leaves(busy);
    }

    /// An outcome of a match that had `position` in 0..=1 and counts in the life `generation` of its slice; the move that it
    /// leads to. In a later life it does not count: its window had begun before.
    pub fn add(&mut self, position: f64, generation: u32, seen: &Seen, alpha: f64) -> Option<Move> {
        let slice = &mut self.slices[slice_of(position)];
        if slice.generation != generation {
            return None;
        }
        slice.sequence.add(seen.net_return, seen.scale);
        let (judged, to) = self.next(alpha)?;
        let slice = &mut self.slices[judged];
        let (lower, upper) = slice.sequence.bounds(level(alpha, slice.generation), seen.scale);
        let evidence = Evidence { n: slice.sequence.n(), win_rate: slice.sequence.win_rate(), lower, upper };
        slice.restart();
        let moved = Move {
            parameter: self.parameter,
            from: self.value,
            to,
            slice: (edge(judged), edge(judged + 1)),
            evidence,
            at: seen.end,
            cause: seen.id,
        };
        self.value = to;
        Some(moved)
    }

    /// Forgets the outcomes; the threshold stays where it is.
    pub fn restart(&mut self) {
        self.slices.iter_mut().filter(|slice| slice.sequence.n() > 0.0).for_each(Slice::restart);
    }

    /// The slice that is judged, and where the threshold goes.
    fn next(&self, alpha: f64) -> Option<(usize, f64)> {
        let known = |index: &usize| self.slices[*index].sequence.n() >= LEAST;
        let level = |index: usize| level(alpha, self.slices[index].generation);
        // The first slice of which nothing is excluded, or the one that the threshold is in.
        let first = slice_of(self.value);
        let lowest = (first..SLICES - 1).find(known);
        let loses = lowest.filter(|&index| self.slices[index].sequence.is_below_zero(level(index)));
        let earns = |index: usize| self.slices[index].sequence.seems_above_zero();
        if let Some(index) = loses.filter(|&index| (index + 1..SLICES).filter(known).any(earns)) {
            return Some((index, edge(index + 1)));
        }
        let excluded = (0..SLICES).rev().filter(|&index| edge(index) < self.value).find(known)?;
        let rises = self.slices[excluded].sequence.is_above_zero(level(excluded));
        rises.then(|| (excluded, edge(excluded)))
    }
}

/// The error rate of one direction of one slice of one threshold in its n-th life.
fn level(alpha: f64, generation: u32) -> f64 {
    let n = f64::from(generation) + 1.0;
    alpha / (2.0 * 2.0 * SLICES as f64) / (n * (n + 1.0))
}

/// The lower end of a slice. Divided, so that the ends are the numbers as they are written: 0.15 and not 3 x 0.05.
fn edge(index: usize) -> f64 {
    index as f64 / SLICES as f64
}

/// The slice of a position in 0..=1.
fn slice_of(position: f64) -> usize {
    ((position * SLICES as f64) as usize).min(SLICES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(threshold: &mut Threshold, position: f64, count: u32, x: impl Fn(u32) -> f64) -> Vec<Move> {
        let one = |k: u32| {
            let at = Instant::new("at", f64::from(k)).unwrap();
            let id = ExperienceId { node: 1, seq: u64::from(k) };
            let seen = Seen { id, end: at.plus(0.5), net_return: x(k), scale: 0.01 };
            let generation = threshold.reserve(position, at)?;
            threshold.leave(position, seen.end);
            threshold.add(position, generation, &seen, 0.05)
        };
        (0..count).filter_map(one).collect()
    }

    /// Four of five lose.
    fn loses(k: u32) -> f64 {
        if k.is_multiple_of(5) { 0.01 } else { -0.01 }
    }

    #[test]
    fn it_rises_past_what_loses_and_falls_to_what_earns() {
        let mut threshold = Threshold::new(Parameter::Similarity, 0.0);
        assert_eq!(feed(&mut threshold, 0.92, 100, |k| -loses(k)), []);
        let up = feed(&mut threshold, 0.62, 1000, loses);
        assert_eq!((up[0].from, up[0].to, up[0].slice), (0.0, 0.65, (0.6, 0.65)));
        assert!(up[0].evidence.upper < 0.0 && up[0].evidence.n >= LEAST);
        assert!(up[0].to_string().contains("lose"), "{}", up[0]);
        assert_eq!(threshold.value(), 0.65);
        // What it still sees of the slice keeps it out: nothing moves twice.
        assert_eq!(up.len(), 1);
        let down = feed(&mut threshold, 0.62, 3000, |k| -loses(k));
        assert_eq!((down[0].from, down[0].to), (0.65, 0.6));
        assert!(down[0].evidence.lower > 0.0 && down[0].evidence.win_rate < 0.9);
    }

    #[test]
    fn it_stays_where_nothing_is_better() {
        let mut threshold = Threshold::new(Parameter::Confidence, 0.0);
        for position in [0.3, 0.5, 0.97] {
            assert_eq!(feed(&mut threshold, position, 3000, loses), []);
        }
    }

    #[test]
    fn no_verdict_alone_moves_it() {
        for x in [-1e6, 1e6] {
            let mut threshold = Threshold::new(Parameter::Confidence, 0.5);
            assert_eq!(feed(&mut threshold, 0.9, 100, |k| -loses(k)), []);
            for position in [0.45, 0.5, 0.7] {
                assert_eq!(feed(&mut threshold, position, LEAST as u32 - 1, |_| x), []);
            }
        }
    }

    #[test]
    fn levels_add_up_to_alpha() {
        let all: f64 =
            (0..100_000).map(|generation| level(0.05, generation)).sum::<f64>() * 4.0 * SLICES as f64;
        assert!(all <= 0.05 && all > 0.0499, "{all}");
    }
}
