//! What a relay has of one database in memory: everything but the components.

use super::rows;
use super::store::{RelayStore, RelayStoreError, Table};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::identity::{Gid, Origin};
use crate::sync::seal::{SealTag, Sealing};
use crate::sync::store::OriginState;
use std::collections::{BTreeMap, BTreeSet};

/// A node that has been connected for this database.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) heard_ms: u64,
    pub(super) heads: BTreeMap<Origin, u64>,
    changed: bool,
}

/// Numbers of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Its name.
    pub name: String,
    /// Components that are kept, tombstones included.
    pub components: u64,
    /// Of their bodies.
    pub bytes: u64,
    /// Links that are up.
    pub links: usize,
    /// Origins that have ever written.
    pub origins: usize,
    /// Nodes that have ever been connected and were not forgotten.
    pub members: usize,
    /// States that differed and were put right, since the relay has started.
    pub repaired: u64,
}

/// A database.
pub(super) struct Replicated {
    pub(super) number: u32,
    name: String,
    pub(super) origins: BTreeMap<Origin, OriginState>,
    changed_origins: BTreeSet<Origin>,
    sums: Box<[[u8; 16]; 256]>,
    changed_sums: bool,
    components: u64,
    bytes: u64,
    changed_sizes: bool,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) cut: Option<(u64, BTreeMap<Origin, u64>)>,
    pub(super) repaired: u64,
    /// As the first node has said that gave anything a name; `None`: none has.
    pub(super) sealing: Option<Sealing>,
}

impl Replicated {
    fn new(number: u32, name: &str) -> Self {
        Self {
            number,
            name: name.to_owned(),
            origins: BTreeMap::new(),
            changed_origins: BTreeSet::new(),
            sums: Box::new([[0; 16]; 256]),
            changed_sums: false,
            components: 0,
            bytes: 0,
            changed_sizes: true,
            members: BTreeMap::new(),
            cut: None,
            repaired: 0,
            sealing: None,
        }
    }

    /// Whether a node that seals so may take part. `alone`: there is no other link. A database without components is what the
    /// only node that is there says.
    pub(super) fn meets(&mut self, theirs: Sealing, alone: bool) -> bool {
        let fits = self.sealing.is_none_or(|mine| mine.fits(theirs));
        if !(fits || alone && self.is_empty()) {
            return false;
        }
        if (!fits || self.sealing.is_none()) && theirs != Sealing::Unnamed {
            self.sealing = Some(theirs);
            self.changed_sizes = true;
        }
        true
    }

    /// Whether it has no component.
    pub(super) const fn is_empty(&self) -> bool {
        self.components == 0
    }

    pub(super) fn head(&self, origin: Origin) -> u64 {
        self.origins.get(&origin).map_or(0, |state| state.head)
    }

    pub(super) fn floor(&self, origin: Origin) -> u64 {
        self.origins.get(&origin).map_or(0, |state| state.floor)
    }

    /// To be changed.
    pub(super) fn origin(&mut self, origin: Origin) -> &mut OriginState {
        self.changed_origins.insert(origin);
        self.origins.entry(origin).or_insert_with(|| OriginState {
            origin,
            head: 0,
            floor: 0,
            lineage: Vec::new(),
        })
    }

    pub(super) fn digest(&self) -> Vec<[u8; 16]> {
        self.sums.to_vec()
    }

    /// Keeps sums and sizes in step: the stamps and lengths of the bodies before and after.
    pub(super) fn replaced(
        &mut self,
        gid: Gid,
        slot: Slot,
        before: Option<(Stamp, usize)>,
        after: Option<(Stamp, usize)>,
    ) {
        for (stamp, _) in before.iter().chain(&after) {
            let sum = &mut self.sums[usize::from(gid.bucket())];
            for (byte, other) in sum.iter_mut().zip(Component::digest(gid, slot, *stamp)) {
                *byte ^= other;
            }
        }
        self.components = self.components + u64::from(after.is_some()) - u64::from(before.is_some());
        self.bytes = (self.bytes + after.map_or(0, |after| after.1 as u64))
            .saturating_sub(before.map_or(0, |before| before.1 as u64));
        self.changed_sums = true;
        self.changed_sizes = true;
    }

    pub(super) fn heard(&mut self, node: &str, now_ms: u64) {
        let member = match self.members.get_mut(node) {
            Some(member) => member,
            None => self.members.entry(node.to_owned()).or_default(),
        };
        member.heard_ms = member.heard_ms.max(now_ms);
        member.changed = true;
    }

    /// A node has so much; it may have had more once (a backup was restored).
    pub(super) fn acknowledged(&mut self, node: &str, origin: Origin, version: u64, now_ms: u64) {
        self.heard(node, now_ms);
        if let Some(member) = self.members.get_mut(node) {
            member.heads.insert(origin, version);
        }
    }

    pub(super) fn stats(&self, name: &str, links: usize) -> DatabaseStats {
        DatabaseStats {
            name: name.to_owned(),
            components: self.components,
            bytes: self.bytes,
            links,
            origins: self.origins.len(),
            members: self.members.len(),
            repaired: self.repaired,
        }
    }

    /// Writes what has changed in memory alone.
    pub(super) fn save(&mut self, store: &mut dyn RelayStore) -> Result<(), RelayStoreError> {
        for origin in std::mem::take(&mut self.changed_origins) {
            if let Some(state) = self.origins.get(&origin) {
                store.put(
                    Table::Origins,
                    &rows::origin_key(self.number, origin),
                    &rows::origin_value(state),
                )?;
            }
        }
        if std::mem::take(&mut self.changed_sums) {
            store.put(Table::Digests, &rows::prefix(self.number), self.sums.as_flattened())?;
        }
        if std::mem::take(&mut self.changed_sizes) {
            let mut value = self.number.to_le_bytes().to_vec();
            value.extend_from_slice(&self.components.to_le_bytes());
            value.extend_from_slice(&self.bytes.to_le_bytes());
            match self.sealing {
                None | Some(Sealing::Unnamed) => {}
                Some(Sealing::Plain) => value.push(1),
                Some(Sealing::Named(tag)) => {
                    value.push(2);
                    value.extend_from_slice(&tag.0);
                }
            }
            store.put(Table::Databases, self.name.as_bytes(), &value)?;
        }
        Ok(())
    }

    /// What members have is written now and then: what is lost of it they say again when they connect.
    pub(super) fn save_members(&mut self, store: &mut dyn RelayStore) -> Result<(), RelayStoreError> {
        for (node, member) in &mut self.members {
            if std::mem::take(&mut member.changed) {
                let value = rows::heads_value(member.heard_ms, member.heads.iter());
                store.put(Table::Members, &rows::member_key(self.number, node), &value)?;
            }
        }
        Ok(())
    }
}

/// A database that was not there.
pub(super) fn create(store: &mut dyn RelayStore, name: &str) -> Result<Replicated, RelayStoreError> {
    let mut last = 0;
    store.range(Table::Databases, &[], &[u8::MAX; 8], &mut |_, value| {
        last = last.max(value.first_chunk::<4>().map_or(0, |number| u32::from_le_bytes(*number)));
        true
    })?;
    let mut database = Replicated::new(last + 1, name);
    database.save(store)?;
    Ok(database)
}

/// All that are there.
pub(super) fn read_all(store: &mut dyn RelayStore) -> Result<BTreeMap<String, Replicated>, RelayStoreError> {
    let mut found = Vec::new();
    store.range(Table::Databases, &[], &[u8::MAX; 8], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })?;
    found.into_iter().map(|(key, value)| read(store, &key, &value)).collect()
}

/// What stands behind the sizes of a database; the outer `None`: nothing that was written there.
fn sealing_of(bytes: &[u8]) -> Option<Option<Sealing>> {
    match bytes {
        [] => Some(None),
        [1] => Some(Some(Sealing::Plain)),
        [2, tag @ ..] => Some(Some(Sealing::Named(SealTag(tag.try_into().ok()?)))),
        _ => None,
    }
}

fn read(
    store: &mut dyn RelayStore,
    key: &[u8],
    value: &[u8],
) -> Result<(String, Replicated), RelayStoreError> {
    let name = std::str::from_utf8(key).map_err(|_| rows::damaged("the name of a database"))?;
    let (Some(number), Some(components), Some(bytes), Some(sealing)) = (
        value.first_chunk(),
        value.get(4..).and_then(<[u8]>::first_chunk),
        value.get(12..).and_then(<[u8]>::first_chunk),
        value.get(20..).and_then(sealing_of),
    ) else {
        return Err(rows::damaged("a database"));
    };
    let mut database = Replicated::new(u32::from_le_bytes(*number), name);
    (database.components, database.bytes) = (u64::from_le_bytes(*components), u64::from_le_bytes(*bytes));
    // What was stored before anything could be sealed is plain.
    database.sealing = sealing.or((database.components > 0).then_some(Sealing::Plain));
    database.changed_sizes = false;
    let prefix = rows::prefix(database.number);
    let mut failed = None;
    store.range(Table::Origins, &prefix, &rows::after_all(&prefix), &mut |key, value| {
        match rows::origin_state(key, value) {
            Ok(state) => {
                database.origins.insert(state.origin, state);
                true
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    store.range(Table::Members, &prefix, &rows::after_all(&prefix), &mut |key, value| {
        let node = key.get(rows::PREFIX..).and_then(|node| std::str::from_utf8(node).ok());
        match (node, rows::heads(value)) {
            (Some(node), Ok((heard_ms, heads))) => {
                database.members.insert(node.to_owned(), Member { heard_ms, heads, changed: false });
                true
            }
            (_, Err(error)) => {
                failed = Some(error);
                false
            }
            (None, _) => {
                failed = Some(rows::damaged("the name of a node"));
                false
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(sums) = store.get(Table::Digests, &prefix)? {
        let (sums, rest) = sums.as_chunks::<16>();
        let whole = <[[u8; 16]; 256]>::try_from(sums).ok().filter(|_| rest.is_empty());
        database.sums = Box::new(whole.ok_or_else(|| rows::damaged("a digest"))?);
    }
    database.cut = store.get(Table::Cuts, &prefix)?.map(|cut| rows::heads(&cut)).transpose()?;
    Ok((name.to_owned(), database))
}
