//! Counters: what each origin has counted is a share of its own, and what the user's table shows is their sum. Two nodes with
//! ten trials each show twenty, where the last writer alone would leave ten.
//!
//! Shares are added in the order of their owners' 16 bytes, since the sum of doubles depends on the order: all nodes show the
//! same bits. A mean is its sum divided by the count; without trials it is what was put there last (the prior of the share with
//! the greatest stamp), or 0.

use super::Replica;
use super::pending::{Reason, Wait};
use super::states::ShareState;
use crate::sync::clock::Hlc;
use crate::sync::component::{Component, Stamp};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Origin};
use crate::sync::row::{Mean, Share};
use crate::sync::store::StoreError;
use crate::sync::table::{Counters, Table};

/// For how many lives the shares before them are kept.
const BASES: i64 = 8;

/// Counted columns with their values, and the sum of the shares as it is kept in `mqs_row.shown`.
type Counted = (Vec<(String, Value)>, Option<Vec<u8>>);

impl Share {
    /// What all shares come to, with the means that are shown without trials as priors.
    #[must_use]
    pub(super) fn total(shares: &[ShareState], means: usize) -> Self {
        let mut total = Self { count: 0, means: vec![Mean::default(); means] };
        let mut latest = vec![None; means];
        for state in shares {
            total.count = total.count.saturating_add(state.share.count);
            for ((mean, add), latest) in total.means.iter_mut().zip(&state.share.means).zip(&mut latest) {
                mean.sum += add.sum;
                if add.prior.is_some() && *latest < Some(state.stamp) {
                    *latest = Some(state.stamp);
                    mean.prior = add.prior;
                }
            }
        }
        total
    }

    /// What a user's table shows of it: the count, then the means.
    #[must_use]
    pub(super) fn display(&self, counters: &Counters) -> Vec<(String, Value)> {
        let means = counters.means.iter().zip(&self.means).map(|(name, mean)| {
            let value = if self.count > 0 { mean.sum / self.count as f64 } else { mean.prior.unwrap_or(0.0) };
            (name.clone(), Value::Real(value))
        });
        std::iter::once((counters.count.clone(), Value::Integer(self.count))).chain(means).collect()
    }
}

impl ShareState {
    /// As it is kept in `mqs_base.share`: eight bytes of time, eight of version, then the share.
    fn to_base(&self) -> Vec<u8> {
        let mut bytes = self.stamp.hlc.to_bytes().to_vec();
        bytes.extend_from_slice(&self.stamp.version.to_be_bytes());
        bytes.extend_from_slice(&self.share.encode());
        bytes
    }

    /// The reverse; `None` of other bytes.
    pub(super) fn from_base(owner: i64, origin: Origin, bytes: &[u8]) -> Option<Self> {
        let (hlc, rest) = bytes.split_at_checked(8)?;
        let (version, share) = rest.split_at_checked(8)?;
        let stamp = Stamp {
            hlc: Hlc::from_slice(hlc)?,
            origin,
            version: u64::from_be_bytes(version.try_into().ok()?),
        };
        Some(Self { owner, stamp, share: Share::decode(share).ok()? })
    }
}

impl Replica {
    /// One share of a row.
    pub(super) fn share(
        &self,
        database: &mut dyn Database,
        gid: Gid,
        owner: i64,
    ) -> Result<Option<ShareState>, StoreError> {
        let sql = "SELECT hlc, origin, version, share FROM mqs_counter WHERE gid = ?1 AND owner = ?2";
        let Some(row) =
            database.query(sql, &[Value::Blob(gid.0.to_vec()), Value::Integer(owner)])?.into_iter().next()
        else {
            return Ok(None);
        };
        let Ok([hlc, origin, version, Value::Blob(share)]) = <[Value; 4]>::try_from(row) else {
            return Err(StoreError::Corrupt("mqs_counter"));
        };
        let share = Share::decode(&share).map_err(|_| StoreError::Corrupt("mqs_counter.share"))?;
        Ok(Some(ShareState { owner, stamp: self.stamp_of(&hlc, &origin, &version)?, share }))
    }

    /// What a row shows in its counted columns, and how that is kept in `mqs_row.shown`.
    pub(super) fn counted(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        gid: Gid,
    ) -> Result<Counted, StoreError> {
        let Some(counters) = &table.counters else {
            return Ok((Vec::new(), None));
        };
        let total = Share::total(&self.shares(database, gid)?, counters.means.len());
        Ok((total.display(counters), Some(total.encode())))
    }

    /// Merges a share that is newer than the one here; `owner` is its owner's number, and the stamp that it replaces.
    pub(super) fn show_share(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        component: &Component,
        body: &[u8],
        (owner, before): (i64, Option<Stamp>),
    ) -> Result<Option<Wait>, StoreError> {
        let gid = component.gid;
        let coming = self.merging.coming == Some(gid);
        let state = if coming { None } else { self.row(database, gid)? };
        if state.is_none() && !coming {
            return Ok(Some(Wait::row(Reason::Parent, gid)));
        }
        let Some(counters) = &table.counters else {
            return Ok(Some(Wait::because(Reason::Schema, "its counters have no columns here".to_owned())));
        };
        let Ok(share) = Share::decode(body) else {
            return Ok(Some(Wait::because(Reason::Malformed, "what was counted is not a share".to_owned())));
        };
        if share.means.len() != counters.means.len() {
            let detail =
                format!("{} means were counted, there are {} here", share.means.len(), counters.means.len());
            return Ok(Some(Wait::because(Reason::Schema, detail)));
        }
        self.put_share(database, gid, &ShareState { owner, stamp: component.stamp, share }, before)?;
        self.shown(database, component)?;
        if let Some((rid, shown)) = state.and_then(|state| Some((state.rid?, state.shown))) {
            self.recount(database, table, gid, &rid, shown.as_deref())?;
        }
        Ok(None)
    }

    /// Shows the sum of all shares.
    pub(super) fn recount(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        gid: Gid,
        rid: &Value,
        before: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let (columns, shown) = self.counted(database, table, gid)?;
        if shown.as_deref() == before {
            return Ok(());
        }
        self.change(database, table, rid, &columns)?;
        self.merging.wrote(&table.name);
        database.query(
            "UPDATE mqs_row SET shown = ?2 WHERE gid = ?1",
            &[Value::Blob(gid.0.to_vec()), shown.map_or(Value::Null, Value::Blob)],
        )?;
        Ok(())
    }

    /// Keeps the own share of a row as it was before its first change in a life that no peer has heard of: should that life turn
    /// out to be a copy's, only what was counted in it moves to the new origin. To be called before each change of an own share.
    pub(super) fn keep_base(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        before: Option<&ShareState>,
    ) -> Result<(), StoreError> {
        let kept = before.map_or(Value::Null, |before| Value::Blob(before.to_base()));
        database.query(
            "INSERT INTO mqs_base(gid, life, share) VALUES(?1, ?2, ?3) ON CONFLICT(gid, life) DO NOTHING",
            &[Value::Blob(gid.0.to_vec()), Value::Integer(self.now.life), kept],
        )?;
        Ok(())
    }

    /// A peer has accepted the present life. Another one may still know of a copy that parted earlier, so what was kept aside in
    /// the latest [`BASES`] lives stays.
    pub(super) fn drop_bases(&self, database: &mut dyn Database) -> Result<(), StoreError> {
        database.query("DELETE FROM mqs_base WHERE life <= ?1", &[Value::Integer(self.now.life - BASES)])?;
        Ok(())
    }
}

/// A version for a condition on the column: one that a peer names may be any number.
pub(super) fn above(version: u64) -> Value {
    Value::Integer(i64::try_from(version).unwrap_or(i64::MAX))
}
