//! The states of components in `mqs_row`, `mqs_counter` and `mqs_pending`: read and written in one place, which keeps the
//! digest in step.

use super::Replica;
use crate::sync::clock::Hlc;
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::database::{Database, Rows, Value};
use crate::sync::identity::Gid;
use crate::sync::row::Share;
use crate::sync::store::StoreError;

/// A row as it was captured or merged last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RowState {
    pub(super) gid: Gid,
    /// `mqs_table.tbl`.
    pub(super) table: i64,
    /// Its local key; `None`: deleted.
    pub(super) rid: Option<Value>,
    pub(super) stamp: Stamp,
    /// Of its content without counters, so that a write that changes nothing is seen to.
    pub(super) fingerprint: [u8; 8],
    /// Its counters as they were shown last, the sum over all shares (encoded [`Share`] with priors as shown).
    pub(super) shown: Option<Vec<u8>>,
}

/// What an origin has counted, as it was captured or merged last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShareState {
    /// `mqs_origin.id`, or [`super::layout::BASELINE`].
    pub(super) owner: i64,
    pub(super) stamp: Stamp,
    pub(super) share: Share,
}

const BY_GID: &str =
    "SELECT gid, tbl, rid, hlc, origin, version, fingerprint, shown FROM mqs_row WHERE gid = ?1";
const BY_RID: &str =
    "SELECT gid, tbl, rid, hlc, origin, version, fingerprint, shown FROM mqs_row WHERE tbl = ?1 AND rid = ?2";

impl Replica {
    /// The state of a row.
    pub(super) fn row(&self, database: &mut dyn Database, gid: Gid) -> Result<Option<RowState>, StoreError> {
        let rows = database.query(BY_GID, &[Value::Blob(gid.0.to_vec())])?;
        self.first_row(rows)
    }

    /// The state of a row by its local key.
    pub(super) fn local_row(
        &self,
        database: &mut dyn Database,
        table: i64,
        rid: &Value,
    ) -> Result<Option<RowState>, StoreError> {
        let rows = database.query(BY_RID, &[Value::Integer(table), rid.clone()])?;
        self.first_row(rows)
    }

    fn first_row(&self, rows: Rows) -> Result<Option<RowState>, StoreError> {
        rows.into_iter().next().map(|row| self.row_state(row)).transpose()
    }

    /// Reads the columns of [`BY_GID`].
    pub(super) fn row_state(&self, row: Vec<Value>) -> Result<RowState, StoreError> {
        let Ok([gid, Value::Integer(table), rid, hlc, origin, version, fingerprint, shown]) =
            <[Value; 8]>::try_from(row)
        else {
            return Err(StoreError::Corrupt("mqs_row"));
        };
        Ok(RowState {
            gid: gid_of(&gid)?,
            table,
            rid: (rid != Value::Null).then_some(rid),
            stamp: self.stamp_of(&hlc, &origin, &version)?,
            fingerprint: match fingerprint {
                Value::Blob(bytes) => {
                    bytes.try_into().map_err(|_| StoreError::Corrupt("mqs_row.fingerprint"))?
                }
                _ => return Err(StoreError::Corrupt("mqs_row.fingerprint")),
            },
            shown: match shown {
                Value::Null => None,
                Value::Blob(bytes) => Some(bytes),
                _ => return Err(StoreError::Corrupt("mqs_row.shown")),
            },
        })
    }

    /// Puts a row's state; `before` is the stamp that it replaces. A state that waited in `mqs_pending` and is older goes.
    pub(super) fn put_row(
        &mut self,
        database: &mut dyn Database,
        state: &RowState,
        before: Option<Stamp>,
    ) -> Result<(), StoreError> {
        let origin = self.number(database, state.stamp.origin)?;
        let waited = self.release(database, state.gid, Slot::Row, state.stamp)?;
        database.query(
            "INSERT INTO mqs_row(gid, tbl, rid, hlc, origin, version, fingerprint, shown) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT(gid) DO UPDATE SET tbl = excluded.tbl, rid = excluded.rid, hlc = excluded.hlc, origin = excluded.origin,
             version = excluded.version, fingerprint = excluded.fingerprint, shown = excluded.shown",
            &[
                Value::Blob(state.gid.0.to_vec()),
                Value::Integer(state.table),
                state.rid.clone().unwrap_or(Value::Null),
                hlc_value(state.stamp.hlc),
                Value::Integer(origin),
                version_value(state.stamp.version),
                Value::Blob(state.fingerprint.to_vec()),
                state.shown.clone().map_or(Value::Null, Value::Blob),
            ],
        )?;
        match waited {
            Some(waiting) if waiting >= state.stamp => {}
            waited => self.replaced(state.gid, Slot::Row, waited.or(before), Some(state.stamp)),
        }
        self.stir(database, state.gid, state.table)
    }

    /// All shares of a row's counters, in the order of their owners' 16 bytes: addition of doubles depends on the order, and all
    /// nodes must show the same.
    pub(super) fn shares(
        &self,
        database: &mut dyn Database,
        gid: Gid,
    ) -> Result<Vec<ShareState>, StoreError> {
        let rows = database.query(
            "SELECT owner, hlc, origin, version, share FROM mqs_counter WHERE gid = ?1",
            &[Value::Blob(gid.0.to_vec())],
        )?;
        let mut shares = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok([Value::Integer(owner), hlc, origin, version, Value::Blob(share)]) =
                <[Value; 5]>::try_from(row)
            else {
                return Err(StoreError::Corrupt("mqs_counter"));
            };
            shares.push(ShareState {
                owner,
                stamp: self.stamp_of(&hlc, &origin, &version)?,
                share: Share::decode(&share).map_err(|_| StoreError::Corrupt("mqs_counter.share"))?,
            });
        }
        let mut keyed = shares
            .into_iter()
            .map(|share| Ok((self.origin(share.owner)?, share)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        keyed.sort_by_key(|(owner, _)| *owner);
        Ok(keyed.into_iter().map(|(_, share)| share).collect())
    }

    /// Puts one share; `before` is the stamp that it replaces. A state that waited in `mqs_pending` and is older goes.
    pub(super) fn put_share(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        state: &ShareState,
        before: Option<Stamp>,
    ) -> Result<(), StoreError> {
        let origin = self.number(database, state.stamp.origin)?;
        let owner = self.origin(state.owner)?;
        let waited = self.release(database, gid, Slot::Share(owner), state.stamp)?;
        database.query(
            "INSERT INTO mqs_counter(gid, owner, hlc, origin, version, share) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(gid, owner) DO UPDATE SET hlc = excluded.hlc, origin = excluded.origin, version = excluded.version, share = excluded.share",
            &[
                Value::Blob(gid.0.to_vec()),
                Value::Integer(state.owner),
                hlc_value(state.stamp.hlc),
                Value::Integer(origin),
                version_value(state.stamp.version),
                Value::Blob(state.share.encode()),
            ],
        )?;
        match waited {
            Some(waiting) if waiting >= state.stamp => {}
            waited => self.replaced(gid, Slot::Share(owner), waited.or(before), Some(state.stamp)),
        }
        Ok(())
    }

    /// Keeps the digest in step with one component's state.
    pub(super) fn replaced(&mut self, gid: Gid, slot: Slot, before: Option<Stamp>, after: Option<Stamp>) {
        let bucket = gid.bucket();
        for stamp in [before, after].into_iter().flatten() {
            let sum = &mut self.now.digest[usize::from(bucket)];
            for (byte, other) in sum.iter_mut().zip(Component::digest(gid, slot, stamp)) {
                *byte ^= other;
            }
        }
        if !self.now.touched.contains(&bucket) {
            self.now.touched.push(bucket);
        }
    }

    /// A stamp from its three columns.
    pub(super) fn stamp_of(&self, hlc: &Value, origin: &Value, version: &Value) -> Result<Stamp, StoreError> {
        let (Value::Blob(hlc), Value::Integer(origin), Value::Integer(version)) = (hlc, origin, version)
        else {
            return Err(StoreError::Corrupt("a stamp"));
        };
        Ok(Stamp {
            hlc: Hlc::from_slice(hlc).ok_or(StoreError::Corrupt("a stamp's time"))?,
            origin: self.origin(*origin)?,
            version: u64::try_from(*version).map_err(|_| StoreError::Corrupt("a stamp's version"))?,
        })
    }
}

/// A gid from its column.
pub(super) fn gid_of(value: &Value) -> Result<Gid, StoreError> {
    match value {
        Value::Blob(bytes) => Gid::from_slice(bytes).ok_or(StoreError::Corrupt("a gid")),
        _ => Err(StoreError::Corrupt("a gid")),
    }
}

/// A hybrid time for its column.
pub(super) fn hlc_value(hlc: Hlc) -> Value {
    Value::Blob(hlc.to_bytes().to_vec())
}

/// A version for its column.
pub(super) fn version_value(version: u64) -> Value {
    Value::Integer(i64::try_from(version).expect("versions count from 1, one at a time"))
}
