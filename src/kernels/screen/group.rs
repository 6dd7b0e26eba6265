//! Candidates eight at a time, a lane each.

use super::lanes;
use crate::kernels::simd::{Singles, WIDTH, prefetch};

/// A candidate that is screened: its scaled values and their largest magnitude.
#[derive(Clone, Copy)]
pub(crate) struct Screened<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) largest: f32,
}

/// The candidates of a search, handed out group by group. Their values live for `'v`.
pub(crate) trait Groups<'v> {
    /// Puts up to [`WIDTH`] candidates into `group` and returns how many; 0 ends the run. The group before it is still
    /// to be looked at, so that the values of this one can be on their way meanwhile.
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize;
    /// The values of one of them.
    fn candidate(&self, id: u32) -> Screened<'v>;
    /// The total that a candidate must not exceed to be of interest.
    fn bound(&self) -> f64;
}

/// Up to [`WIDTH`] candidates.
struct Group<'v> {
    ids: [u32; WIDTH],
    count: usize,
    candidates: [Screened<'v>; WIDTH],
}

/// One group after the other, transposed into vectors.
pub(super) struct Loaded<'v, S> {
    /// Step `i` of every lane; lanes without a candidate repeat the last one.
    pub(super) values: Vec<S>,
    /// The largest magnitudes.
    pub(super) largest: S,
    now: Group<'v>,
    later: Group<'v>,
}

impl<'v, S: Singles> Loaded<'v, S> {
    /// For candidates of `rows` steps; none of them is loaded yet.
    pub(super) fn new(rows: usize, groups: &mut (impl Groups<'v> + ?Sized)) -> Self {
        let zero = S::splat(0.0);
        Self { values: vec![zero; rows], largest: zero, now: Group::none(), later: Group::next(groups) }
    }

    /// The candidates, by lane.
    pub(super) fn ids(&self) -> &[u32] {
        &self.now.ids[..self.now.count]
    }

    /// Loads the next group; false when there is none.
    #[inline(always)]
    pub(super) fn load(&mut self, groups: &mut (impl Groups<'v> + ?Sized)) -> bool {
        if self.later.count == 0 {
            return false;
        }
        self.now = std::mem::replace(&mut self.later, Group::next(groups));
        let group = &self.now.candidates;
        let rows = self.values.len();
        let whole = rows / WIDTH * WIDTH;
        for start in (0..whole).step_by(WIDTH) {
            let chunk = S::transposed(std::array::from_fn(|q| lanes(group[q].values, start)));
            self.values[start..start + WIDTH].copy_from_slice(&chunk);
        }
        for i in whole..rows {
            self.values[i] = S::from_array(&std::array::from_fn(|q| group[q].values[i]));
        }
        self.largest = S::from_array(&std::array::from_fn(|q| group[q].largest));
        true
    }
}

impl<'v> Group<'v> {
    fn none() -> Self {
        Self { ids: [0; WIDTH], count: 0, candidates: [Screened { values: &[], largest: 0.0 }; WIDTH] }
    }

    /// The next one of `groups`, whose values are on their way from then on.
    fn next(groups: &mut (impl Groups<'v> + ?Sized)) -> Self {
        let mut group = Self::none();
        group.count = groups.next(&mut group.ids);
        for q in 0..group.count {
            group.candidates[q] = groups.candidate(group.ids[q]);
            prefetch(group.candidates[q].values);
        }
        if let Some(last) = group.count.checked_sub(1) {
            let (candidates, rest) = group.candidates.split_at_mut(group.count);
            rest.fill(candidates[last]);
        }
        group
    }
}
