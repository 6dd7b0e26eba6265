//! The lives of an origin, compared: whether two sides speak of one history, and up to where. Every open of a database for
//! replication begins a [`Life`]; within one life history does not branch, so two lists of lives that agree up to a point and
//! then differ, or a side that knows more of a life than the file in which it ended, mean a copy: a restored backup, a clone.

use super::identity::Incarnation;
use super::store::{LIVES, Life, Lineage};

/// How what is here stands to what a peer says of the same origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both know the same of it.
    Same,
    /// The peer knows more.
    Behind,
    /// This side knows more.
    Ahead,
    /// Two histories.
    Forked {
        /// The last version that both have in common.
        agreed: u64,
        /// Whether the peer knows of nothing but what this file's past went on to (a backup was restored), rather than of
        /// another life (a clone, or a backup of a database that was opened again since).
        restored: bool,
    },
}

/// Compares two lineages of one origin and the heads that go with them. Of the origin under which this side writes, its own
/// list ends with the life that it lives now: more versions than its own are a fork then ([`of_own`]).
#[must_use]
pub fn compare(mine: &[Life], my_head: u64, theirs: &[Life], their_head: u64) -> Relation {
    let order = match their_head.cmp(&my_head) {
        std::cmp::Ordering::Less => Relation::Ahead,
        std::cmp::Ordering::Equal => Relation::Same,
        std::cmp::Ordering::Greater => Relation::Behind,
    };
    let (Some(my_first), Some(their_first)) = (mine.first(), theirs.first()) else {
        return order;
    };
    let common = mine.iter().enumerate().rev().find_map(|(index, life)| {
        theirs.iter().position(|other| other.incarnation == life.incarnation).map(|other| (index, other))
    });
    let Some((here, there)) = common else {
        // The older of two lists of the latest lives may have dropped out of the other one altogether.
        return if their_head <= my_first.start {
            Relation::Ahead
        } else if my_head <= their_first.start {
            Relation::Behind
        } else {
            let agreed = my_first.start.min(their_first.start);
            Relation::Forked { agreed, restored: false }
        };
    };
    let (my_next, their_next) = (mine.get(here + 1), theirs.get(there + 1));
    match (my_next, their_next) {
        (None, None) => order,
        // The common life ended here at `start`: versions above it that the peer has were published by a copy, or were lost.
        (Some(next), None) if their_head > next.start => {
            Relation::Forked { agreed: next.start, restored: true }
        }
        (None, Some(next)) if my_head > next.start => Relation::Forked { agreed: next.start, restored: true },
        (Some(_), None) => Relation::Ahead,
        (None, Some(_)) => Relation::Behind,
        (Some(my_next), Some(their_next)) => {
            Relation::Forked { agreed: my_next.start.min(their_next.start), restored: false }
        }
    }
}

/// As [`compare`], of the origin under which this side writes: nobody else may have lives of it, or versions above its head.
#[must_use]
pub fn of_own(mine: &[Life], my_head: u64, theirs: &[Life], their_head: u64) -> Relation {
    match compare(mine, my_head, theirs, their_head) {
        Relation::Behind => {
            let start = mine.last().map_or(0, |life| life.start);
            Relation::Forked { agreed: start.min(my_head), restored: true }
        }
        relation => relation,
    }
}

/// Both lists in one, the latest [`LIVES`]; of two that differ after a common life the one whose next incarnation is smaller, so
/// that all who only heard of both choose the same.
#[must_use]
pub fn prevailing<'a>(mine: &'a [Life], theirs: &'a [Life]) -> &'a [Life] {
    let common = mine.iter().enumerate().rev().find_map(|(index, life)| {
        theirs.iter().position(|other| other.incarnation == life.incarnation).map(|other| (index, other))
    });
    let Some((here, there)) = common else {
        let (my_start, their_start) =
            (mine.first().map(|life| life.start), theirs.first().map(|life| life.start));
        return if their_start >= my_start { theirs } else { mine };
    };
    match (mine.get(here + 1), theirs.get(there + 1)) {
        (None, Some(_)) => theirs,
        (Some(my_next), Some(their_next)) if their_next.incarnation < my_next.incarnation => theirs,
        _ => mine,
    }
}

/// A lineage without the life `abandoned` and those after it: a copy that went on under another origin keeps that life as the
/// first of the new one, which tells everybody that it is none of the old origin's any more.
#[must_use]
pub fn without(lineage: &[Life], abandoned: impl Fn(&Incarnation) -> bool) -> &[Life] {
    let until = lineage.iter().position(|life| abandoned(&life.incarnation)).unwrap_or(lineage.len());
    &lineage[..until]
}

/// As it is kept in `mqs_origin.lineage`: 16 bytes for each life, the latest [`LIVES`] of them.
#[must_use]
pub fn encode(lineage: &[Life]) -> Vec<u8> {
    let latest = &lineage[lineage.len().saturating_sub(LIVES)..];
    latest.iter().flat_map(|life| life.incarnation.0.into_iter().chain(life.start.to_be_bytes())).collect()
}

/// The reverse of [`encode`]; `None` of other bytes.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Lineage> {
    if !bytes.len().is_multiple_of(16) || bytes.len() > 16 * LIVES {
        return None;
    }
    bytes
        .chunks_exact(16)
        .map(|life| {
            let (incarnation, start) = life.split_at(8);
            Some(Life {
                incarnation: Incarnation::from_slice(incarnation)?,
                start: u64::from_be_bytes(start.try_into().ok()?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(of: &[(u8, u64)]) -> Lineage {
        of.iter().map(|&(life, start)| Life { incarnation: Incarnation([life; 8]), start }).collect()
    }

    #[test]
    fn one_history_is_told_from_two() {
        let mine = lives(&[(1, 0), (2, 5), (3, 10)]);
        // The peer was last told of life 2.
        assert_eq!(of_own(&mine, 12, &lives(&[(1, 0), (2, 5)]), 9), Relation::Ahead);
        assert_eq!(of_own(&mine, 12, &mine, 12), Relation::Same);
        assert_eq!(of_own(&mine, 12, &[], 0), Relation::Ahead);
        // It has more of life 2 than the file in which life 3 began: a backup was restored.
        assert_eq!(
            of_own(&mine, 12, &lives(&[(1, 0), (2, 5)]), 20),
            Relation::Forked { agreed: 10, restored: true }
        );
        // It has more of this life than this file: a copy in the middle of it.
        assert_eq!(of_own(&mine, 12, &mine, 13), Relation::Forked { agreed: 10, restored: true });
        // It knows another life after life 2: a clone.
        assert_eq!(
            of_own(&mine, 12, &lives(&[(2, 5), (9, 7)]), 8),
            Relation::Forked { agreed: 7, restored: false }
        );
        assert_eq!(compare(&lives(&[(1, 0)]), 3, &lives(&[(1, 0), (2, 5)]), 9), Relation::Behind);
        assert_eq!(
            compare(&lives(&[(1, 0)]), 7, &lives(&[(1, 0), (2, 5)]), 9),
            Relation::Forked { agreed: 5, restored: true }
        );
        // Lists that no longer overlap.
        assert_eq!(of_own(&lives(&[(7, 40)]), 50, &lives(&[(1, 0)]), 30), Relation::Ahead);
        assert_eq!(
            of_own(&lives(&[(7, 40)]), 50, &lives(&[(1, 30)]), 45),
            Relation::Forked { agreed: 30, restored: false }
        );
    }

    #[test]
    fn those_who_heard_of_both_histories_choose_the_same() {
        let one = lives(&[(1, 0), (2, 5)]);
        let other = lives(&[(1, 0), (3, 4), (4, 9)]);
        assert_eq!(prevailing(&one, &other), prevailing(&other, &one));
        assert_eq!(prevailing(&one, &lives(&[(1, 0)])), &one[..]);
        assert_eq!(prevailing(&lives(&[(1, 0)]), &one), &one[..]);
    }

    #[test]
    fn lives_are_kept_as_bytes() {
        let many: Vec<(u8, u64)> = (0..40).map(|life| (life, u64::from(life))).collect();
        let kept = decode(&encode(&lives(&many))).expect("its own bytes");
        assert_eq!(kept, lives(&many[8..]));
        assert_eq!(decode(&[0; 15]), None);
        assert_eq!(decode(&[0; 16 * 33]), None);
    }
}
