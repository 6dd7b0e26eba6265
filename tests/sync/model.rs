//! A node without a database: the simplest [`Store`] that could be right, for simulations of sessions, and to compare others with.

use midstreamer::sync::clock::Hlc;
use midstreamer::sync::component::{Component, Slot, Stamp};
use midstreamer::sync::identity::{Gid, Incarnation, Origin, TableId};
use midstreamer::sync::lineage::{self, Relation};
use midstreamer::sync::store::{Applied, Delta, Known, Life, Limit, OriginState, Store, StoreError};
use std::collections::BTreeMap;

/// What a store holds, by component.
pub(crate) type Contents = BTreeMap<(Gid, Slot), (Stamp, Option<Vec<u8>>)>;

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) own: Origin,
    pub(crate) components: BTreeMap<(Gid, Slot), Component>,
    pub(crate) origins: BTreeMap<Origin, OriginState>,
    /// Own versions that some peer has.
    pub(crate) heard: u64,
    pub(crate) forks: usize,
    last: Hlc,
    dice: u64,
}

impl Model {
    pub(crate) fn new(dice: u64) -> Self {
        let mut model = Self {
            own: Origin([0; 16]),
            components: BTreeMap::new(),
            origins: BTreeMap::new(),
            heard: 0,
            forks: 0,
            last: Hlc(0),
            dice,
        };
        model.own = Origin(model.roll());
        let own = model.own;
        model.origin(own);
        model.open(dice);
        model
    }

    fn roll(&mut self) -> [u8; 16] {
        self.dice = self.dice.wrapping_add(1);
        Component::digest(
            Gid([7; 16]),
            Slot::Row,
            Stamp { hlc: Hlc(self.dice), origin: self.own, version: 1 },
        )
    }

    /// A new life, as when a database is opened.
    pub(crate) fn open(&mut self, dice: u64) {
        self.dice = dice;
        let roll = self.roll();
        let own = self.own;
        let state = self.origin(own);
        let incarnation = Incarnation(roll[..8].try_into().unwrap());
        state.lineage.push(Life { incarnation, start: state.head });
    }

    fn origin(&mut self, origin: Origin) -> &mut OriginState {
        self.origins.entry(origin).or_insert_with(|| OriginState {
            origin,
            head: 0,
            floor: 0,
            lineage: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, gid: Gid, slot: Option<Slot>, body: Option<Vec<u8>>, now_ms: u64) {
        self.last = Hlc::at(now_ms).max(Hlc(self.last.0 + 1));
        let hlc = self.last;
        self.publish(gid, slot.unwrap_or(Slot::Row), body, hlc);
    }

    pub(crate) fn count(&mut self, gid: Gid, count: u64, now_ms: u64) {
        let own = self.own;
        self.write(gid, Some(Slot::Share(own)), Some(count.to_le_bytes().to_vec()), now_ms);
    }

    fn publish(&mut self, gid: Gid, slot: Slot, body: Option<Vec<u8>>, hlc: Hlc) {
        let own = self.own;
        let state = self.origin(own);
        state.head += 1;
        let stamp = Stamp { hlc, origin: own, version: state.head };
        let component = Component { gid, slot, table: TableId([3; 8]), stamp, body };
        self.components.insert((gid, slot), component);
    }

    fn merge(&mut self, component: &Component, applied: &mut Applied) {
        self.last = self.last.max(component.stamp.hlc);
        let key = (component.gid, component.slot);
        if self.components.get(&key).is_none_or(|here| here.stamp < component.stamp) {
            self.components.insert(key, component.clone());
            applied.rows += 1;
        }
    }

    fn drop_row(&mut self, gid: Gid) {
        self.components.retain(|key, _| key.0 != gid);
    }

    /// All that is there, and its stamps.
    pub(crate) fn contents(&self) -> Contents {
        self.components
            .iter()
            .map(|(key, component)| (*key, (component.stamp, component.body.clone())))
            .collect()
    }
}

impl Store for Model {
    fn own(&self) -> Option<Origin> {
        Some(self.own)
    }

    fn states(&mut self) -> Result<Vec<OriginState>, StoreError> {
        Ok(self.origins.values().cloned().collect())
    }

    fn read(&mut self, origin: Origin, after: u64, limit: Limit) -> Result<Delta, StoreError> {
        let head = self.origins[&origin].head;
        let mut all: Vec<&Component> = self
            .components
            .values()
            .filter(|component| {
                component.stamp.origin == origin
                    && component.stamp.version > after
                    && component.stamp.version <= head
            })
            .collect();
        all.sort_by_key(|component| component.stamp.version);
        let (mut components, mut bytes, mut to) = (Vec::new(), 0, head);
        for component in &all {
            bytes += component.body.as_ref().map_or(0, Vec::len);
            components.push((*component).clone());
            if (components.len() >= limit.components || bytes >= limit.bytes) && components.len() < all.len()
            {
                to = component.stamp.version;
                break;
            }
        }
        Ok(Delta { origin, after, to, components })
    }

    fn apply(&mut self, delta: &Delta, _: u64) -> Result<Applied, StoreError> {
        let head = self.origin(delta.origin).head;
        if delta.after > head {
            return Err(StoreError::Gap { origin: delta.origin, after: delta.after, head });
        }
        let mut applied = Applied::default();
        for component in delta.components.iter().filter(|component| component.stamp.version > head) {
            self.merge(component, &mut applied);
        }
        self.origin(delta.origin).head = head.max(delta.to);
        Ok(applied)
    }

    fn mend(&mut self, components: &[Component], _: u64) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for component in components {
            let floor = self.origins.get(&component.stamp.origin).map_or(0, |state| state.floor);
            if component.stamp.version > floor || self.components.contains_key(&(component.gid, Slot::Row)) {
                self.merge(component, &mut applied);
            }
        }
        Ok(applied)
    }

    fn learn(&mut self, origin: Origin, theirs: &[Life]) -> Result<(), StoreError> {
        assert_ne!(origin, self.own, "nobody tells a node of its own lives");
        let state = self.origin(origin);
        let prevailing = lineage::prevailing(&state.lineage, theirs).to_vec();
        if prevailing != state.lineage {
            if let Relation::Forked { agreed, .. } = lineage::compare(&state.lineage, state.head, theirs, 0) {
                state.head = state.head.min(agreed);
            }
            state.lineage = prevailing;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Vec<[u8; 16]>, StoreError> {
        let mut sums = vec![[0; 16]; 256];
        for ((gid, slot), component) in &self.components {
            let sum: &mut [u8; 16] = &mut sums[usize::from(gid.bucket())];
            for (byte, other) in sum.iter_mut().zip(Component::digest(*gid, *slot, component.stamp)) {
                *byte ^= other;
            }
        }
        Ok(sums)
    }

    fn bucket(&mut self, bucket: u8) -> Result<Vec<Known>, StoreError> {
        let known = self.components.values().filter(|component| component.gid.bucket() == bucket);
        Ok(known
            .map(|component| Known { gid: component.gid, slot: component.slot, stamp: component.stamp })
            .collect())
    }

    fn pick(&mut self, components: &[(Gid, Slot)]) -> Result<Vec<Component>, StoreError> {
        Ok(components.iter().filter_map(|key| self.components.get(key).cloned()).collect())
    }

    fn forget(&mut self, rows: &[Gid], _: u64) -> Result<Applied, StoreError> {
        rows.iter().for_each(|gid| self.drop_row(*gid));
        Ok(Applied::default())
    }

    fn acknowledged(&mut self, _: &str, origin: Origin, version: u64, _: u64) -> Result<(), StoreError> {
        if origin == self.own {
            assert!(version <= self.origin(origin).head, "a peer has what was never published");
            self.heard = self.heard.max(version);
        }
        Ok(())
    }

    fn collect(&mut self, origin: Origin, floor: u64) -> Result<(), StoreError> {
        let before = self.origin(origin).floor;
        let deleted: Vec<Gid> = self
            .components
            .values()
            .filter(|component| {
                let version = component.stamp.version;
                component.body.is_none()
                    && component.stamp.origin == origin
                    && version > before
                    && version <= floor
            })
            .map(|component| component.gid)
            .collect();
        deleted.into_iter().for_each(|gid| self.drop_row(gid));
        let state = self.origin(origin);
        assert!(floor <= state.head, "a floor above the head");
        state.floor = floor.max(before);
        Ok(())
    }

    fn fork(&mut self, agreed: u64, _: bool, _: u64) -> Result<Origin, StoreError> {
        let old = self.own;
        let again: Vec<Component> = {
            let mut again: Vec<_> = self
                .components
                .values()
                .filter(|component| component.stamp.origin == old && component.stamp.version > agreed)
                .cloned()
                .collect();
            again.sort_by_key(|component| component.stamp.version);
            again
        };
        self.own = Origin(self.roll());
        let own = self.own;
        self.origin(own);
        let roll = self.roll();
        self.origin(own)
            .lineage
            .push(Life { incarnation: Incarnation(roll[..8].try_into().unwrap()), start: 0 });
        for component in again {
            let Component { gid, slot, stamp, body, .. } = component;
            if slot == Slot::Share(old) {
                // A model keeps no base: all of it is counted under the new origin, and the old share comes in again.
                self.components.remove(&(gid, slot));
                self.publish(gid, Slot::Share(own), body, stamp.hlc);
            } else {
                self.publish(gid, slot, body, stamp.hlc);
            }
        }
        let state = self.origin(old);
        state.head = state.head.min(agreed);
        self.heard = 0;
        self.forks += 1;
        Ok(own)
    }
}
