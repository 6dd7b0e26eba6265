//! Which windows are the answer: the greedy choice with an exclusion zone, and how far a window may be and still matter.
//!
//! The choice is defined over all windows sorted by distance, then start: accept one after the other, leaving out those
//! within `exclusion` of an accepted one, until there are `k`. Most windows must never be computed, so a bound on the
//! distance of the last accepted window is needed while only some are known.
//!
//! **The bound.** Let `W` be `k` known windows whose starts differ pairwise by more than `2 * exclusion`, and `T` their
//! largest distance. Then the choice over all windows accepts at least `k` with distances of at most `T`: each `w` in
//! `W` comes at or before `T` in the order, so it is accepted itself or lies within `exclusion` of a window that was
//! accepted before it. One accepted window cannot be that for two members of `W`, because both would lie within
//! `exclusion` of it and so within `2 * exclusion` of each other. Hence what is farther than `T` comes after the `k`-th
//! accepted window, and such windows neither are in the answer nor keep another window out of it. What is exactly
//! as far may be, by its start, so only what is strictly farther than `T` is dropped.
//!
//! (`k` windows that merely keep `exclusion` apart do not suffice: one better window between two of them shuts out
//! both.) The choice over every window up to `T` is therefore the choice over all windows, in whatever order and on
//! however many threads they were found.

use crate::kernels::KernelError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A window of the series and its distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubsequenceMatch {
    /// The time step of the series at which the window begins.
    pub start: usize,
    /// The distance of the query to the window.
    pub distance: f64,
}

impl SubsequenceMatch {
    /// Best first, ties by start.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.start.cmp(&other.start))
    }
}

/// The windows found so far, shared by all threads.
pub(super) struct Acceptance {
    k: usize,
    exclusion: usize,
    /// Bits of `T`: non-negative f64 keep their order as integers. Only ever falls.
    bound: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Every window that was within the bound when it was offered.
    windows: Vec<SubsequenceMatch>,
    /// When there are more, those beyond the bound are dropped.
    full: usize,
    witnesses: Witnesses,
}

/// `W`: at most `k` windows, pairwise more than `2 * exclusion` apart.
#[derive(Default)]
struct Witnesses {
    /// Bits of the distance of each start.
    by_start: BTreeMap<usize, u64>,
    /// The same as (bits, start).
    by_distance: BTreeSet<(u64, usize)>,
}

impl Acceptance {
    /// Nothing found yet; windows beyond `max_distance` never count.
    pub(super) fn new(k: usize, exclusion: usize, max_distance: f64) -> Self {
        Self {
            k,
            exclusion,
            bound: AtomicU64::new(max_distance.to_bits()),
            found: Mutex::new(Found { full: 1 << 12, ..Found::default() }),
        }
    }

    /// A window strictly farther than this changes nothing.
    pub(super) fn bound(&self) -> f64 {
        f64::from_bits(self.bound.load(Ordering::Relaxed))
    }

    /// Takes windows whose distances are known; each window once.
    pub(super) fn offer(&self, windows: impl Iterator<Item = SubsequenceMatch>) -> Result<(), KernelError> {
        let mut found = self.found.lock().expect("no thread panics while it holds the windows");
        for window in windows {
            if window.distance <= self.bound() {
                let bytes = (found.windows.len() + 1) * size_of::<SubsequenceMatch>();
                found.windows.try_reserve(1).map_err(|_| KernelError::OutOfMemory { bytes })?;
                found.windows.push(window);
                let apart = self.exclusion.saturating_mul(2);
                if let Some(farthest) = found.witnesses.consider(window, self.k, apart) {
                    self.bound.fetch_min(farthest.to_bits(), Ordering::Relaxed);
                }
            }
        }
        if found.windows.len() > found.full {
            let bound = self.bound();
            found.windows.retain(|window| window.distance <= bound);
            found.full = 2 * found.windows.len() + (1 << 12);
        }
        Ok(())
    }

    /// The answer, once every window within the bound was offered.
    pub(super) fn into_answer(self) -> Vec<SubsequenceMatch> {
        let mut windows =
            self.found.into_inner().expect("no thread panics while it holds the windows").windows;
        windows.sort_unstable_by(SubsequenceMatch::order);
        let (mut starts, mut accepted) = (BTreeSet::new(), Vec::new());
        for window in windows {
            if accepted.len() == self.k {
                break;
            }
            let low = window.start.saturating_sub(self.exclusion);
            let high = window.start.saturating_add(self.exclusion);
            if starts.range(low..=high).next().is_none() {
                starts.insert(window.start);
                accepted.push(window);
            }
        }
        accepted
    }
}

impl Witnesses {
    /// Takes the window where it improves on those that it cannot stand beside. The largest distance, once there
    /// are `k`.
    fn consider(&mut self, window: SubsequenceMatch, k: usize, apart: usize) -> Option<f64> {
        let bits = window.distance.to_bits();
        let near = window.start.saturating_sub(apart)..=window.start.saturating_add(apart);
        if self.by_start.range(near.clone()).any(|(_, &other)| other <= bits) {
            return None;
        }
        // At most two: they are more than `apart` from each other.
        while let Some((&start, &other)) = self.by_start.range(near.clone()).next() {
            self.by_start.remove(&start);
            self.by_distance.remove(&(other, start));
        }
        self.by_start.insert(window.start, bits);
        self.by_distance.insert((bits, window.start));
        if self.by_distance.len() > k
            && let Some((_, start)) = self.by_distance.pop_last()
        {
            self.by_start.remove(&start);
        }
        if self.by_distance.len() < k {
            return None;
        }
        self.by_distance.last().map(|&(bits, _)| f64::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition.
    fn choose(distances: &[f64], k: usize, exclusion: usize, max_distance: f64) -> Vec<SubsequenceMatch> {
        let mut windows: Vec<SubsequenceMatch> = (distances.iter().enumerate())
            .map(|(start, &distance)| SubsequenceMatch { start, distance })
            .filter(|window| window.distance <= max_distance)
            .collect();
        windows.sort_by(SubsequenceMatch::order);
        let mut accepted: Vec<SubsequenceMatch> = Vec::new();
        for window in windows {
            if accepted.len() < k && accepted.iter().all(|a| a.start.abs_diff(window.start) > exclusion) {
                accepted.push(window);
            }
        }
        accepted
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// In any order, without the windows that the bound rules out at their turn.
        #[test]
        fn the_bound_never_changes_the_choice(
            distances in prop::collection::vec((0..30_u32).prop_map(f64::from), 1..80),
            order in prop::collection::vec(any::<u32>(), 80),
            k in prop_oneof![1..6_usize, Just(usize::MAX)],
            exclusion in prop_oneof![0..12_usize, Just(usize::MAX)],
            max_distance in prop_oneof![Just(f64::INFINITY), (0..30_u32).prop_map(f64::from)],
        ) {
            let acceptance = Acceptance::new(k, exclusion, max_distance);
            let mut starts: Vec<usize> = (0..distances.len()).collect();
            starts.sort_by_key(|&start| order[start]);
            for start in starts {
                let window = SubsequenceMatch { start, distance: distances[start] };
                if window.distance <= acceptance.bound() {
                    acceptance.offer([window].into_iter()).unwrap();
                }
            }
            prop_assert_eq!(acceptance.into_answer(), choose(&distances, k, exclusion, max_distance));
        }
    }

    #[test]
    fn the_bound_falls_to_the_kth_window_that_keeps_its_distance() {
        let acceptance = Acceptance::new(2, 3, f64::INFINITY);
        let offer = |start, distance| {
            acceptance.offer([SubsequenceMatch { start, distance }].into_iter()).unwrap();
            acceptance.bound()
        };
        assert_eq!(offer(10, 5.0), f64::INFINITY);
        // Six apart: one window between them could shut out both.
        assert_eq!(offer(16, 4.0), f64::INFINITY);
        assert_eq!(offer(23, 6.0), 6.0);
        assert_eq!(offer(30, 1.0), 4.0);
        assert_eq!(offer(50, 2.0), 2.0);
    }

    #[test]
    fn windows_beyond_the_bound_are_forgotten() {
        let acceptance = Acceptance::new(1, 0, f64::INFINITY);
        let falling = (0..10_000).map(|start| SubsequenceMatch { start, distance: (20_000 - start) as f64 });
        acceptance.offer(falling).unwrap();
        let found = acceptance.found.into_inner().unwrap();
        assert_eq!(found.windows.len(), 1);
    }
}
