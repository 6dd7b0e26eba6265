//! What is sealed, under which names, and what does not open.
//!
//! Two replicas can only speak of the same rows when they name them alike. As long as nothing has a name here, the replica
//! follows the naming of whoever it meets, if its keyring has it; after that it is refused to meet others.

use std::sync::Arc;

use super::content::table_id;
use super::{Event, Replica};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, TableId};
use crate::sync::seal::{Naming, SealError, SealTag, Sealing};
use crate::sync::store::StoreError;
use crate::sync::table::Table;

/// So many refused components are remembered, so that each is complained of once although peers offer it again.
const MOST_REMEMBERED: usize = 4096;

impl Replica {
    /// Finds what this database gives names with; `tag` is what it was opened with before, from `mqs_meta`.
    pub(super) fn choose_naming(
        &mut self,
        database: &mut dyn Database,
        tag: Option<&Value>,
    ) -> Result<(), StoreError> {
        let tag = match tag {
            None => None,
            Some(Value::Blob(bytes)) => {
                let tag = bytes.as_slice().try_into().map_err(|_| StoreError::Corrupt("mqs_meta.naming"))?;
                Some(SealTag(tag))
            }
            Some(_) => return Err(StoreError::Corrupt("mqs_meta.naming")),
        };
        let Some(seal) = &self.seal else {
            return match tag {
                None => Ok(()),
                Some(_) => {
                    Err(StoreError::OtherSeal("it is sealed: open it with its keyring, or uninstall() first"))
                }
            };
        };
        let namings = seal.namings(&self.database).map_err(failed)?;
        let used = self.now.authors.values().any(|author| author.head > 0) || self.has_rows(database)?;
        let chosen = match tag {
            None if used => {
                return Err(StoreError::OtherSeal(
                    "it was replicated without a keyring: uninstall() first, and take another name for it",
                ));
            }
            None => namings.into_iter().next(),
            Some(tag) => match namings.iter().find(|naming| naming.tag() == tag) {
                Some(naming) => Some(naming.clone()),
                None if self.is_named(database)? => {
                    return Err(StoreError::OtherSeal(
                        "it is sealed with keys of another line than those of this keyring",
                    ));
                }
                None => namings.into_iter().next(),
            },
        };
        let chosen = chosen.ok_or(StoreError::Seal("the keyring has no key".to_owned()))?;
        self.take_naming(database, chosen)
    }

    fn take_naming(&mut self, database: &mut dyn Database, naming: Naming) -> Result<(), StoreError> {
        database.query(
            "INSERT INTO mqs_meta(k, v) VALUES('naming', ?1) ON CONFLICT(k) DO UPDATE SET v = excluded.v",
            &[Value::Blob(naming.tag().0.to_vec())],
        )?;
        self.now.naming = Some(naming);
        self.identify_tables();
        Ok(())
    }

    /// Tables have the ids that the naming gives them.
    pub(super) fn identify_tables(&mut self) {
        let naming = self.now.naming.as_ref();
        if self.tables.first().is_none_or(|table| table.id == table_id(naming, &table.name)) {
            return;
        }
        for table in &mut self.tables {
            *table = Arc::new(Table { id: table_id(naming, &table.name), ..Table::clone(table) });
        }
    }

    fn has_rows(&self, database: &mut dyn Database) -> Result<bool, StoreError> {
        Ok(!database.query("SELECT 1 FROM mqs_row LIMIT 1", &[])?.is_empty())
    }

    /// Whether anything has a name that another replica would have to know.
    fn is_named(&mut self, database: &mut dyn Database) -> Result<bool, StoreError> {
        if !self.now.named {
            let published = self.now.authors.get(&self.now.own).is_some_and(|author| author.head > 0);
            self.now.named = published || self.has_rows(database)?;
        }
        Ok(self.now.named)
    }

    /// As [`crate::sync::store::Store::sealing`].
    pub(super) fn sealing(&mut self, database: &mut dyn Database) -> Result<Sealing, StoreError> {
        let Some(tag) = self.now.naming.as_ref().map(Naming::tag) else { return Ok(Sealing::Plain) };
        Ok(if self.is_named(database)? { Sealing::Named(tag) } else { Sealing::Unnamed })
    }

    /// As [`crate::sync::store::Store::meets`].
    pub(super) fn meets_sealing(
        &mut self,
        database: &mut dyn Database,
        theirs: Sealing,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let mine = self.sealing(database)?;
        if let (Sealing::Unnamed, Sealing::Named(tag)) = (mine, theirs) {
            self.heard = Some(tag);
            if self.follow(database)? {
                self.wake(database, super::Wake::Key, now_ms)?;
            }
        }
        Ok(mine.fits(theirs))
    }

    /// Takes over what a peer names with, if a key here does too. Says whether anything has changed.
    pub(super) fn follow(&mut self, database: &mut dyn Database) -> Result<bool, StoreError> {
        let (Some(seal), Some(tag)) = (&self.seal, self.heard) else { return Ok(false) };
        if self.now.naming.as_ref().is_some_and(|naming| naming.tag() == tag) {
            return Ok(false);
        }
        let namings = seal.namings(&self.database).map_err(failed)?;
        let theirs = namings.into_iter().find(|naming| naming.tag() == tag);
        match theirs {
            Some(naming) if !self.is_named(database)? => {
                self.take_naming(database, naming)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What a body is sealed for.
    fn context(&self, table: TableId, gid: Gid, slot: Slot, stamp: Stamp) -> Vec<u8> {
        let mut context = (self.database.len() as u64).to_le_bytes().to_vec();
        context.extend_from_slice(self.database.as_bytes());
        context.extend_from_slice(&table.0);
        context.extend_from_slice(&gid.0);
        match slot {
            Slot::Row => context.push(0),
            Slot::Share(owner) => {
                context.push(1);
                context.extend_from_slice(&owner.0);
            }
        }
        context.extend_from_slice(&stamp.hlc.to_bytes());
        context.extend_from_slice(&stamp.origin.0);
        context.extend_from_slice(&stamp.version.to_be_bytes());
        context
    }

    /// A body as it travels.
    pub(super) fn sealed(
        &self,
        table: TableId,
        gid: Gid,
        slot: Slot,
        stamp: Stamp,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        match &self.seal {
            Some(seal) => seal.seal(&self.context(table, gid, slot, stamp), &body).map_err(failed),
            None => Ok(body),
        }
    }

    /// The body of a component as it was before it was sealed; `None`: it has none.
    pub(super) fn unsealed(&self, component: &Component) -> Result<Option<Vec<u8>>, SealError> {
        let Component { gid, slot, table, stamp, body } = component;
        match (body, &self.seal) {
            (None, _) => Ok(None),
            (Some(body), None) => Ok(Some(body.clone())),
            (Some(body), Some(seal)) => seal.open(&self.context(*table, *gid, *slot, *stamp), body).map(Some),
        }
    }

    /// A component that is not what anybody sealed for its place is not taken in at all: a good one with the same stamp may
    /// still come from elsewhere, and an older state stays what it is.
    pub(super) fn refuse(&mut self, component: &Component) {
        let place = (component.gid, component.slot, component.stamp);
        if self.merging.refused.len() >= MOST_REMEMBERED {
            self.merging.refused.clear();
        }
        if self.merging.refused.insert(place) {
            let table = self.name_of(component.table);
            self.merging.tell(Event::Refused { table, gid: component.gid });
        }
    }

    /// The keys that what waits is sealed with, and that are not here: as far as was noticed since keys last changed.
    #[must_use]
    pub fn missing_keys(&self) -> Vec<String> {
        self.merging.missing.iter().cloned().collect()
    }
}

/// No key is to be had at the moment.
fn failed(error: SealError) -> StoreError {
    match error {
        SealError::Failed(reason) => StoreError::Seal(reason),
        SealError::UnknownKey(key) => StoreError::Seal(format!("there is no key {key}")),
        SealError::Damaged => StoreError::Seal("what was sealed is damaged".to_owned()),
    }
}
