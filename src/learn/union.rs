//! What happened as a set that merges by union.
//!
//! The set is a join semilattice: of each id it keeps the canonically first experience and all outcomes that were ever told,
//! so any order of arrival, any repetition and any way through other nodes end in the same set. "First" is by instant, then by
//! content:
//!
//! - an outcome that is told twice counts once; of different ones the earliest counts, of equally early ones the smaller;
//! - an outcome may come before its experience; it waits;
//! - an outcome that is dated at or before its match is none: nobody can know it then
//!   ([`EventError::Premature`](super::event::EventError::Premature) where both are known, passed over where they meet in a
//!   merge, so that one which came by a merge keeps no other from counting);
//! - an experience without an outcome at the end of its horizon plus a grace is expired. An outcome that comes later
//!   still counts from then on.

use super::event::{Experience, ExperienceId, Resolution};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

/// What is known of one id. Either half may be missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The match.
    pub experience: Option<Arc<Experience>>,
    /// What was told of its outcome, canonically first first. There is more than one where nodes told different ones.
    pub resolutions: Vec<Resolution>,
}

impl Entry {
    /// The match with its outcome, where there is a match: the first that is later.
    pub fn known(&self) -> Option<(&Arc<Experience>, Option<Resolution>)> {
        let experience = self.experience.as_ref()?;
        let later = |outcome: &&Resolution| outcome.instant() > experience.instant();
        Some((experience, self.resolutions.iter().find(later).copied()))
    }
}

/// The set of events. Grows only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    entries: BTreeMap<ExperienceId, Entry>,
}

impl Events {
    /// What is known of `id`.
    pub fn get(&self, id: ExperienceId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// All ids in order with what is known of them.
    pub fn iter(&self) -> btree_map::Iter<'_, ExperienceId, Entry> {
        self.entries.iter()
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a checked experience; what was known of its id before, when that changes.
    pub(super) fn add_experience(&mut self, experience: Arc<Experience>) -> Option<Entry> {
        let entry = self.entries.entry(experience.id).or_default();
        if entry.experience.as_ref().is_some_and(|known| {
            Arc::ptr_eq(known, &experience) || known.canonical() <= experience.canonical()
        }) {
            return None;
        }
        let before = entry.clone();
        entry.experience = Some(experience);
        Some(before)
    }

    /// Adds a checked outcome; what was known of its id before, when it is news.
    pub(super) fn add_resolution(&mut self, resolution: Resolution) -> Option<Entry> {
        let entry = self.entries.entry(resolution.id).or_default();
        let told = entry.resolutions.binary_search_by_key(&resolution.canonical(), Resolution::canonical);
        let place = told.err()?;
        let before = entry.clone();
        entry.resolutions.insert(place, resolution);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::event::tests::experience;

    #[test]
    fn the_earliest_outcome_counts_whenever_it_arrives() {
        let told = [(5.0, 0.2), (3.0, 0.1), (3.0, -0.1), (9.0, 0.4), (3.0, -0.1)];
        for turn in 0..told.len() {
            let mut events = Events::default();
            for k in 0..told.len() {
                let (at, actual) = told[(k + turn) % told.len()];
                events.add_resolution(Resolution { id: experience(1, 0.0).id, actual, at });
            }
            events.add_experience(Arc::new(experience(1, 0.0)));
            let (_, outcome) = events.get(experience(1, 0.0).id).unwrap().known().unwrap();
            assert_eq!(outcome.map(|outcome| (outcome.at, outcome.actual)), Some((3.0, -0.1)));
        }
    }

    #[test]
    fn an_outcome_before_its_match_is_none() {
        let mut events = Events::default();
        let experience = experience(1, 5.0);
        events.add_resolution(Resolution { id: experience.id, actual: 0.1, at: 5.0 });
        assert_eq!(events.get(experience.id).unwrap().known(), None);
        events.add_experience(Arc::new(experience.clone()));
        assert_eq!(events.get(experience.id).unwrap().known().unwrap().1, None);
    }

    #[test]
    fn an_outcome_before_its_match_keeps_no_other_from_counting() {
        let experience = experience(1, 5.0);
        let outcome = |at| Resolution { id: experience.id, actual: 0.1, at };
        // Each as one of three, in every order: two outcomes and the match between them.
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut events = Events::default();
            for one in order {
                match one {
                    0 => _ = events.add_resolution(outcome(3.0)),
                    1 => _ = events.add_resolution(outcome(9.0)),
                    _ => _ = events.add_experience(Arc::new(experience.clone())),
                }
            }
            let known = events.get(experience.id).unwrap().known().unwrap().1;
            assert_eq!(known, Some(outcome(9.0)), "{order:?}");
        }
    }

    #[test]
    fn two_experiences_of_one_id_end_the_same_way() {
        let (a, b) = (experience(1, 5.0), Experience { predicted: -0.01, ..experience(1, 5.0) });
        let union = |list: [&Experience; 2]| {
            let mut events = Events::default();
            for one in list {
                events.add_experience(Arc::new(one.clone()));
            }
            events
        };
        assert_eq!(union([&a, &b]), union([&b, &a]));
        assert_eq!(union([&a, &a]).len(), 1);
    }
}
