//! What is replicated. A row consists of components, each with a stamp of its own: the *row* itself (its plain columns and its
//! embedding, or the fact that it was deleted) and, for tables with counters, one *share* for each origin that has counted.
//!
//! Every component is published by one origin under one of its version numbers. Of two states of the same component the one
//! with the greater [`Stamp`] wins, whichever comes first: a total order, so all nodes end with the same state. A share is
//! published by its owner alone, whose stamps grow, so its latest state wins; shares are then added up. The baseline, which
//! every copy of a database publishes, has its count in place of the time, so the greatest count wins.
//!
//! Merging needs no look into the body: a relay merges what it cannot read.

use super::clock::Hlc;
use super::identity::{Gid, Origin, TableId};

/// Which part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The plain columns and the embedding.
    Row,
    /// What this origin has counted ([`Origin::BASELINE`]: what was there at the beginning).
    Share(Origin),
}

/// When and by whom a state was written. The order of the fields is the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When; of a baseline share: its count.
    pub hlc: Hlc,
    /// Who published it.
    pub origin: Origin,
    /// The number under which it did, from 1.
    pub version: u64,
}

/// One state of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Of which row.
    pub gid: Gid,
    /// Which part of it.
    pub slot: Slot,
    /// Of which table.
    pub table: TableId,
    /// When and by whom.
    pub stamp: Stamp,
    /// The content, encoded ([`super::row`]) and perhaps sealed; `None`: the row was deleted (a tombstone).
    pub body: Option<Vec<u8>>,
}

impl Component {
    /// What the digest of a replica is summed up (by exclusive or) from: 16 bytes that are different for any two states.
    #[must_use]
    pub fn digest(gid: Gid, slot: Slot, stamp: Stamp) -> [u8; 16] {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(&gid.0);
        match slot {
            Slot::Row => context.update(&[0]),
            Slot::Share(owner) => {
                context.update(&[1]);
                context.update(&owner.0);
            }
        }
        context.update(&stamp.hlc.to_bytes());
        context.update(&stamp.origin.0);
        context.update(&stamp.version.to_be_bytes());
        let digest = context.finish();
        let mut first = [0; 16];
        first.copy_from_slice(&digest.as_ref()[..16]);
        first
    }
}
