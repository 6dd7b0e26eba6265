//! A state that is a function of a set, though it is computed one element after the other.
//!
//! Elements have a canonical order: by instant, at one instant outcomes before matches, then by id. The state is the fold
//! over all of them in that order. Discounting and the addition of f64 depend on the order, so sums cannot be merged; what
//! is merged is the set, and every order of arrival gives the same bits. An element that arrives late sends the fold
//! back to the last checkpoint before it.
//!
//! Checkpoints thin out with age: the gap between two neighbours is at most [`GAP`] elements or a quarter of their age.
//! There are O(log n) of them, and an element that is n elements late costs the recomputation of at most 1.25 n + 2 `GAP`.

use super::event::{ExperienceId, Instant};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;

/// Elements between two checkpoints when they are made.
const GAP: u64 = 32;

/// What an element is. The order is that in which they count at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An outcome is known.
    Outcome,
    /// Something matched.
    Match,
}

/// The place of an element in the canonical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) at: Instant,
    pub(super) kind: Kind,
    pub(super) id: ExperienceId,
}

impl Key {
    /// After everything of `at`.
    fn end_of(at: Instant) -> Self {
        Self { at, kind: Kind::Match, id: ExperienceId { node: u128::MAX, seq: u64::MAX } }
    }
}

#[derive(Debug, Clone)]
struct Checkpoint<S> {
    /// The last element in it.
    key: Key,
    /// Elements in it.
    folded: u64,
    state: S,
}

/// Elements, and the state they fold into.
#[derive(Debug, Clone)]
pub(super) struct Timeline<S> {
    keys: BTreeSet<Key>,
    start: S,
    /// Oldest first.
    checkpoints: Vec<Checkpoint<S>>,
    head: S,
    /// The last element in `head`.
    last: Option<Key>,
    /// Elements in `head`.
    folded: u64,
}

impl<S: Clone> Timeline<S> {
    /// No element.
    pub(super) fn new(start: S) -> Self {
        let head = start.clone();
        Self { keys: BTreeSet::new(), start, checkpoints: Vec::new(), head, last: None, folded: 0 }
    }

    /// All elements in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Adds an element, unless it is there.
    pub(super) fn insert(&mut self, key: Key) {
        if self.keys.insert(key) {
            self.rewind(key);
        }
    }

    /// Takes an element out.
    pub(super) fn remove(&mut self, key: Key) {
        if self.keys.remove(&key) {
            self.rewind(key);
        }
    }

    /// Goes back to before `key`, if the fold is past it.
    fn rewind(&mut self, key: Key) {
        if self.last.is_none_or(|last| last < key) {
            return;
        }
        while self.checkpoints.last().is_some_and(|checkpoint| checkpoint.key >= key) {
            self.checkpoints.pop();
        }
        match self.checkpoints.last() {
            Some(checkpoint) => {
                self.head = checkpoint.state.clone();
                (self.last, self.folded) = (Some(checkpoint.key), checkpoint.folded);
            }
            None => {
                self.head = self.start.clone();
                (self.last, self.folded) = (None, 0);
            }
        }
    }

    /// Folds what is not folded yet.
    pub(super) fn settle(&mut self, mut apply: impl FnMut(&mut S, &Key)) {
        let from = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        for key in self.keys.range((from, Bound::Unbounded)) {
            apply(&mut self.head, key);
            self.last = Some(*key);
            self.folded += 1;
            if self.folded.is_multiple_of(GAP) {
                let (key, folded, state) = (*key, self.folded, self.head.clone());
                self.checkpoints.push(Checkpoint { key, folded, state });
                thin(&mut self.checkpoints);
            }
        }
    }

    /// The state of all elements. Settled timelines only.
    pub(super) fn head(&self) -> &S {
        &self.head
    }

    /// The state of all elements up to and including `at`. Settled timelines only.
    pub(super) fn as_of(&self, at: Instant, mut apply: impl FnMut(&mut S, &Key)) -> Cow<'_, S> {
        let until = Key::end_of(at);
        if self.last.is_none_or(|last| last <= until) {
            return Cow::Borrowed(&self.head);
        }
        let before = self.checkpoints.partition_point(|checkpoint| checkpoint.key <= until);
        let checkpoint = before.checked_sub(1).map(|index| &self.checkpoints[index]);
        let mut state = checkpoint.map_or(&self.start, |checkpoint| &checkpoint.state).clone();
        let from = checkpoint.map_or(Bound::Unbounded, |checkpoint| Bound::Excluded(checkpoint.key));
        for key in self.keys.range((from, Bound::Included(until))) {
            apply(&mut state, key);
        }
        Cow::Owned(state)
    }
}

/// Takes out checkpoints between neighbours that are near each other for their age.
fn thin<S>(checkpoints: &mut Vec<Checkpoint<S>>) {
    let Some(now) = checkpoints.last().map(|checkpoint| checkpoint.folded) else { return };
    let mut index = 1;
    while index + 1 < checkpoints.len() {
        let (older, newer) = (checkpoints[index - 1].folded, checkpoints[index + 1].folded);
        if newer - older <= (now - newer) / 4 {
            checkpoints.remove(index);
        } else {
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(k: u64) -> Key {
        Key {
            at: Instant::new("at", k as f64).unwrap(),
            kind: Kind::Match,
            id: ExperienceId { node: 0, seq: k },
        }
    }

    /// A fold that depends on the order.
    fn apply(state: &mut f64, key: &Key) {
        *state = *state * 0.999 + libm::sin(key.id.seq as f64);
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_bits() {
        let n = 700;
        let mut expected = 0.0;
        (0..n).for_each(|k| apply(&mut expected, &key(k)));
        for stride in [1, 3, 11, 401, 699] {
            let mut timeline = Timeline::new(0.0);
            for k in 0..n {
                timeline.insert(key(k * stride % n));
                if k % 5 == 0 {
                    timeline.settle(apply);
                }
            }
            timeline.insert(key(5));
            timeline.settle(apply);
            assert_eq!(timeline.head().to_bits(), f64::to_bits(expected), "{stride}");
        }
    }

    #[test]
    fn the_past_is_the_fold_of_what_was_before() {
        let mut timeline = Timeline::new(0.0);
        (0..500).for_each(|k| timeline.insert(key(k)));
        timeline.settle(apply);
        let mut expected = 0.0;
        for k in 0..500 {
            let before = timeline.as_of(Instant::new("at", k as f64 - 0.5).unwrap(), apply);
            assert_eq!(before.to_bits(), f64::to_bits(expected));
            apply(&mut expected, &key(k));
        }
    }

    #[test]
    fn what_is_taken_out_was_never_there() {
        let mut timeline = Timeline::new(0.0);
        (0..200).for_each(|k| timeline.insert(key(k)));
        timeline.settle(apply);
        (0..200).filter(|k| k % 3 == 0).for_each(|k| timeline.remove(key(k)));
        timeline.settle(apply);
        let mut expected = 0.0;
        (0..200).filter(|k| k % 3 != 0).for_each(|k| apply(&mut expected, &key(k)));
        assert_eq!(timeline.head().to_bits(), expected.to_bits());
    }

    #[test]
    fn checkpoints_are_few_and_lateness_costs_what_it_is() {
        let n = 20_000;
        let mut timeline = Timeline::new(0.0);
        (0..n).for_each(|k| timeline.insert(key(2 * k)));
        timeline.settle(apply);
        assert!(timeline.checkpoints.len() < 100, "{}", timeline.checkpoints.len());
        for late in [1, 100, 1000, 10_000] {
            let mut timeline = timeline.clone();
            timeline.insert(key(2 * (n - late) + 1));
            let mut steps = 0;
            timeline.settle(|state, key| {
                steps += 1;
                apply(state, key);
            });
            assert!(steps <= late * 5 / 4 + 2 * GAP, "{steps} for {late}");
        }
    }
}
