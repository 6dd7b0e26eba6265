//! Lives and forks. A database that turns out to be a copy goes on under a new origin: what it had published after the last
//! version that all agree on is published under the new one, with the times that it had, and the others' truth of the old origin
//! comes in again.
//!
//! What was counted needs more care, since a share holds everything that its owner ever counted: the share goes back to what it
//! was before the life that forked (`mqs_base`), and only what was counted since becomes a share of the new origin.

use super::pending::Wait;
use super::states::{RowState, ShareState, gid_of};
use super::{Author, Event, Replica, layout};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Incarnation, Origin};
use crate::sync::lineage::{self, Relation};
use crate::sync::row::{Mean, Share};
use crate::sync::seal::SealError;
use crate::sync::store::{Life, OriginState, StoreError};

impl Replica {
    /// As [`crate::sync::store::Store::states`].
    pub(super) fn origin_states(&self) -> Vec<OriginState> {
        let mut states: Vec<_> = self
            .now
            .authors
            .values()
            .map(|author| OriginState {
                origin: author.origin,
                head: author.head,
                floor: author.floor,
                lineage: author.lineage.clone(),
            })
            .collect();
        states.sort_by_key(|state| state.origin);
        states
    }

    /// As [`crate::sync::store::Store::learn`]. Where two histories of an origin are heard of, all choose the same one. What was
    /// heard of the other one is given back: its shares are dropped, since a share holds all that its owner ever counted, and
    /// its rows are published again by this replica, since their own author may be no more. Then the origin's versions come in
    /// again from the beginning.
    pub(super) fn learn_lineage(
        &mut self,
        database: &mut dyn Database,
        origin: Origin,
        theirs: &[Life],
    ) -> Result<(), StoreError> {
        let number = self.number(database, origin)?;
        if number == layout::BASELINE {
            return Ok(());
        }
        let abandoned = self.abandoned(number);
        let theirs = lineage::without(theirs, &abandoned).to_vec();
        if number == self.now.own {
            return Ok(());
        }
        let Some(author) = self.now.authors.get(&number) else {
            return Ok(());
        };
        let (mine, head) = (author.lineage.clone(), author.head);
        let prevailing = lineage::prevailing(&mine, &theirs).to_vec();
        if prevailing != mine {
            let relation = lineage::compare(&mine, head, &theirs, 0);
            self.keep_lineage(database, number, prevailing)?;
            if let Relation::Forked { agreed, .. } = relation {
                self.give_back(database, number, agreed)?;
            }
        }
        // A life that is this origin's first may be one that another origin has given up.
        let Some(first) = theirs.first().map(|life| life.incarnation) else {
            return Ok(());
        };
        let given_up: Vec<(i64, u64)> = self
            .now
            .authors
            .iter()
            .filter(|&(&other, _)| other != number && other != self.now.own)
            .filter_map(|(&other, author)| {
                author.lineage.iter().find(|life| life.incarnation == first).map(|life| (other, life.start))
            })
            .collect();
        for (other, start) in given_up {
            let kept = self.now.authors.get(&other).map_or(Vec::new(), |author| {
                lineage::without(&author.lineage, |life| *life == first).to_vec()
            });
            self.keep_lineage(database, other, kept)?;
            self.give_back(database, other, start)?;
        }
        Ok(())
    }

    /// Which lives are the first of other origins: those that copies have given up.
    fn abandoned(&self, number: i64) -> impl Fn(&Incarnation) -> bool + use<> {
        let firsts: Vec<Incarnation> = self
            .now
            .authors
            .iter()
            .filter(|(other, _)| **other != number)
            .filter_map(|(_, author)| author.lineage.first().map(|life| life.incarnation))
            .collect();
        move |life| firsts.contains(life)
    }

    fn keep_lineage(
        &mut self,
        database: &mut dyn Database,
        number: i64,
        lineage: Vec<Life>,
    ) -> Result<(), StoreError> {
        let bytes = lineage::encode(&lineage);
        if let Some(author) = self.now.authors.get_mut(&number) {
            author.lineage = lineage;
        }
        database.query(
            "UPDATE mqs_origin SET lineage = ?2 WHERE id = ?1",
            &[Value::Integer(number), Value::Blob(bytes)],
        )?;
        Ok(())
    }

    /// What was heard of an origin above `agreed` was another history than the one that all go on with.
    fn give_back(&mut self, database: &mut dyn Database, number: i64, agreed: u64) -> Result<(), StoreError> {
        let Some(head) = self.now.authors.get(&number).map(|author| author.head) else {
            return Ok(());
        };
        if head <= agreed {
            return Ok(());
        }
        self.restamp_rows(database, number, agreed)?;
        self.drop_shares(database, number, agreed)?;
        if let Some(author) = self.now.authors.get_mut(&number) {
            author.head = 0;
        }
        Ok(())
    }

    fn drop_shares(
        &mut self,
        database: &mut dyn Database,
        number: i64,
        agreed: u64,
    ) -> Result<(), StoreError> {
        let key = [Value::Integer(number), super::counters::above(agreed)];
        for row in
            database.query("SELECT gid, owner FROM mqs_counter WHERE origin = ?1 AND version > ?2", &key)?
        {
            let [gid, Value::Integer(owner)] = row.as_slice() else {
                return Err(StoreError::Corrupt("mqs_counter"));
            };
            let (gid, owner) = (gid_of(gid)?, *owner);
            let Some(state) = self.share(database, gid, owner)? else { continue };
            if owner == layout::BASELINE {
                let stamp = self.again_as(state.stamp);
                self.put_share(database, gid, &ShareState { stamp, ..state.clone() }, Some(state.stamp))?;
                continue;
            }
            self.drop_share(database, gid, &state)?;
            self.show_counted(database, gid)?;
        }
        for waiting in self.all_waiting(database, "origin = ?1 AND version > ?2 AND owner > 0", &key)? {
            let (gid, slot) = (waiting.component.gid, waiting.component.slot);
            let stored = match slot {
                Slot::Row => None,
                Slot::Share(_) => self.share(database, gid, number)?.map(|state| state.stamp),
            };
            self.unpark(database, gid, slot)?;
            self.replaced(gid, slot, Some(waiting.component.stamp), stored);
        }
        Ok(())
    }

    fn drop_share(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        state: &ShareState,
    ) -> Result<(), StoreError> {
        let key = [Value::Blob(gid.0.to_vec()), Value::Integer(state.owner)];
        database.query("DELETE FROM mqs_counter WHERE gid = ?1 AND owner = ?2", &key)?;
        let slot = Slot::Share(self.origin(state.owner)?);
        if self.waiting(database, gid, slot)?.is_none() {
            self.replaced(gid, slot, Some(state.stamp), None);
        }
        Ok(())
    }

    /// The counters of a row are shown anew.
    fn show_counted(&mut self, database: &mut dyn Database, gid: Gid) -> Result<(), StoreError> {
        let Some(state) = self.row(database, gid)? else {
            return Ok(());
        };
        if let (Some(rid), Some(table)) = (&state.rid, self.table_numbered(state.table).cloned()) {
            self.silence(database, true)?;
            self.recount(database, &table, gid, rid, state.shown.as_deref())?;
            self.silence(database, false)?;
        }
        Ok(())
    }

    /// As [`crate::sync::store::Store::acknowledged`]. A peer that has versions of this replica has accepted its lineage: the
    /// present life is confirmed, and what was kept in case it were a copy's is not needed.
    pub(super) fn heard(
        &mut self,
        database: &mut dyn Database,
        peer: &str,
        origin: Origin,
        version: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let number = self.number(database, origin)?;
        database.query(
            "INSERT INTO mqs_peer(peer, origin, version, heard) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT(peer, origin) DO UPDATE SET version = max(version, excluded.version), heard = max(heard, excluded.heard)",
            &[Value::Text(peer.to_owned()), Value::Integer(number), super::counters::above(version), super::counters::above(now_ms)],
        )?;
        if number == self.now.own && self.merging.confirmed != Some(self.now.life) {
            database.query(
                "INSERT INTO mqs_meta(k, v) VALUES('confirmed', ?1) ON CONFLICT(k) DO UPDATE SET v = excluded.v",
                &[Value::Integer(self.now.life)],
            )?;
            self.drop_bases(database)?;
            self.merging.confirmed = Some(self.now.life);
        }
        Ok(())
    }

    /// As [`crate::sync::store::Store::fork`].
    pub(super) fn fork_at(
        &mut self,
        database: &mut dyn Database,
        agreed: u64,
        restored: bool,
        now_ms: u64,
    ) -> Result<Origin, StoreError> {
        let old = self.now.own;
        let from = self.own();
        let since = self.first_life_after(old, agreed);
        let roll = self.dice.roll();
        let to = above_in_order(from, &roll);
        let (incarnation, own_lineage) = self.leave_lineage(old, agreed, &roll);
        self.keep_lineage(database, old, own_lineage)?;
        let own = self.number(database, to)?;
        self.now.own = own;
        self.now.life += 1;
        let lives = vec![Life { incarnation, start: 0 }];
        database.query(
            "UPDATE mqs_origin SET lineage = ?2 WHERE id = ?1",
            &[Value::Integer(own), Value::Blob(lineage::encode(&lives))],
        )?;
        self.now.authors.insert(own, Author { origin: to, head: 0, floor: 0, lineage: lives });
        self.keep_identity(database)?;
        self.restamp_rows(database, old, agreed)?;
        let whole = self.restamp_shares(database, old, agreed, since)?;
        database.query("DELETE FROM mqs_base WHERE life < ?1", &[Value::Integer(self.now.life)])?;
        if let Some(author) = self.now.authors.get_mut(&old) {
            author.head = if whole { author.head.min(agreed) } else { 0 };
        }
        self.merging.tell(Event::Forked { from, to, restored });
        self.settle(database, now_ms)?;
        Ok(to)
    }

    /// The life that goes over to the new origin, and what is left of the old lineage without it.
    fn leave_lineage(&self, old: i64, agreed: u64, roll: &[u8; 32]) -> (Incarnation, Vec<Life>) {
        let lives = self.now.authors.get(&old).map_or(&[][..], |author| &author.lineage[..]);
        let first = lives.iter().map(|life| life.start).find(|start| *start >= agreed);
        // Of several that began at one version the others may know the earlier ones as theirs.
        let until =
            lives.iter().rposition(|life| Some(life.start) == first).unwrap_or(lives.len().saturating_sub(1));
        let mut minted = [0; 8];
        minted.copy_from_slice(&roll[16..24]);
        let incarnation = lives.get(until).map_or(Incarnation(minted), |life| life.incarnation);
        (incarnation, lives[..until].to_vec())
    }

    /// Ordinal of the first life whose versions are above `agreed`.
    fn first_life_after(&self, own: i64, agreed: u64) -> i64 {
        let lives = self.now.authors.get(&own).map_or(&[][..], |author| &author.lineage[..]);
        let later = lives.iter().filter(|life| life.start >= agreed).count().max(1);
        self.now.life - i64::try_from(later).unwrap_or(i64::MAX) + 1
    }

    /// The stamp of a component that is published again: its time stays, so that it wins over no more than it did.
    fn again_as(&mut self, stamp: Stamp) -> Stamp {
        self.stamp_at(stamp.hlc)
    }

    fn restamp_rows(&mut self, database: &mut dyn Database, old: i64, agreed: u64) -> Result<(), StoreError> {
        let parameters = [Value::Integer(old), super::counters::above(agreed)];
        let shown = database
            .query("SELECT gid, version FROM mqs_row WHERE origin = ?1 AND version > ?2", &parameters)?;
        let waiting = database.query(
            "SELECT gid, version FROM mqs_pending WHERE origin = ?1 AND version > ?2 AND owner = -1",
            &parameters,
        )?;
        let mut versions = Vec::with_capacity(shown.len() + waiting.len());
        for row in shown.into_iter().chain(waiting) {
            let [gid, Value::Integer(version)] = row.as_slice() else {
                return Err(StoreError::Corrupt("a component's version"));
            };
            versions.push((version.unsigned_abs(), gid_of(gid)?));
        }
        versions.sort_unstable();
        versions.dedup();
        for (version, gid) in versions {
            self.restamp_row(database, gid, version)?;
        }
        Ok(())
    }

    fn restamp_row(&mut self, database: &mut dyn Database, gid: Gid, version: u64) -> Result<(), StoreError> {
        let state = self.row(database, gid)?.filter(|state| state.stamp.version == version);
        let waiting = self
            .waiting(database, gid, Slot::Row)?
            .filter(|waiting| waiting.component.stamp.version == version);
        let reopened = match waiting {
            None => None,
            Some(waiting) => {
                let component = &waiting.component;
                match self.unsealed(component) {
                    Ok(body) => Some((waiting, body)),
                    Err(SealError::Failed(reason)) => return Err(StoreError::Seal(reason)),
                    // Sealed for its old stamp, with a key that is gone: it stays as it is, and peers get it by repair.
                    Err(_) => return Ok(()),
                }
            }
        };
        let Some(before) = state
            .as_ref()
            .map(|state| state.stamp)
            .or(reopened.as_ref().map(|(waiting, _)| waiting.component.stamp))
        else {
            return Ok(());
        };
        let stamp = self.again_as(before);
        if reopened.is_some() {
            self.unpark(database, gid, Slot::Row)?;
        }
        match state {
            Some(state) => self.put_row(database, &RowState { stamp, ..state }, Some(before))?,
            None => self.replaced(gid, Slot::Row, Some(before), Some(stamp)),
        }
        if let Some((waiting, body)) = reopened {
            let table = waiting.component.table;
            let body = body.map(|body| self.sealed(table, gid, Slot::Row, stamp, body)).transpose()?;
            let wait = Wait { reason: waiting.reason, row: waiting.row, detail: None };
            self.park(database, &Component { gid, slot: Slot::Row, table, stamp, body }, &wait)?;
        }
        Ok(())
    }

    /// Says whether all of them could be told apart.
    fn restamp_shares(
        &mut self,
        database: &mut dyn Database,
        old: i64,
        agreed: u64,
        since: i64,
    ) -> Result<bool, StoreError> {
        let mut whole = true;
        let sql = "SELECT gid, owner FROM mqs_counter WHERE origin = ?1 AND version > ?2 ORDER BY version";
        for row in database.query(sql, &[Value::Integer(old), super::counters::above(agreed)])? {
            let [gid, Value::Integer(owner)] = row.as_slice() else {
                return Err(StoreError::Corrupt("mqs_counter"));
            };
            let (gid, owner) = (gid_of(gid)?, *owner);
            let Some(state) = self.share(database, gid, owner)? else { continue };
            if owner == layout::BASELINE {
                let stamp = self.again_as(state.stamp);
                self.put_share(database, gid, &ShareState { stamp, ..state.clone() }, Some(state.stamp))?;
            } else if owner == old {
                let told_apart = self.split_share(database, gid, &state, since)?;
                if !told_apart {
                    self.show_counted(database, gid)?;
                    whole = false;
                }
            }
        }
        Ok(whole)
    }

    /// The part of a share up to the fork stays with the old origin, the rest becomes the new one's. Says whether that could be
    /// told apart.
    fn split_share(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        state: &ShareState,
        since: i64,
    ) -> Result<bool, StoreError> {
        let Some(base) = self.base(database, gid, state, since)? else {
            // Too long ago to tell what was counted since: the others' state of it comes in again.
            self.drop_share(database, gid, state)?;
            return Ok(false);
        };
        let increment = state.share.less(base.as_ref().map(|base| &base.share));
        match &base {
            Some(base) => self.put_share(database, gid, base, Some(state.stamp))?,
            None => {
                self.drop_share(database, gid, state)?;
            }
        }
        self.keep_base(database, gid, None)?;
        let stamp = self.again_as(state.stamp);
        self.put_share(database, gid, &ShareState { owner: self.now.own, stamp, share: increment }, None)?;
        Ok(true)
    }

    /// The state of the own share before its first change in life `since` or later: `None` where none was kept, `Some(None)`
    /// where there was no share yet.
    fn base(
        &self,
        database: &mut dyn Database,
        gid: Gid,
        state: &ShareState,
        since: i64,
    ) -> Result<Option<Option<ShareState>>, StoreError> {
        let sql = "SELECT share FROM mqs_base WHERE gid = ?1 AND life >= ?2 ORDER BY life LIMIT 1";
        let rows = database.query(sql, &[Value::Blob(gid.0.to_vec()), Value::Integer(since)])?;
        match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Blob(bytes)) => {
                let (owner, stamp) = (state.owner, state.stamp);
                ShareState::from_base(owner, stamp.origin, &bytes)
                    .map(|base| Some(Some(base)))
                    .ok_or(StoreError::Corrupt("mqs_base"))
            }
            Some(_) => Err(StoreError::Corrupt("mqs_base")),
        }
    }

    /// The origin and the life under which this replica goes on.
    fn keep_identity(&self, database: &mut dyn Database) -> Result<(), StoreError> {
        let sql = "INSERT INTO mqs_meta(k, v) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET v = excluded.v";
        database.query(sql, &[Value::Text("own".to_owned()), Value::Integer(self.now.own)])?;
        database.query(sql, &[Value::Text("life".to_owned()), Value::Integer(self.now.life)])?;
        Ok(())
    }
}

/// A new origin that is above the old one: a component that is published again then wins over the state that it was, wherever
/// somebody has heard of that.
fn above_in_order(old: Origin, roll: &[u8; 32]) -> Origin {
    let mut random = [0; 16];
    random.copy_from_slice(&roll[..16]);
    let random = u128::from_be_bytes(random);
    Origin(u128::from_be_bytes(old.0).checked_add((random >> 16) | 1).unwrap_or(random).to_be_bytes())
}

impl Share {
    /// What was counted since `base`. What stands there without trials is of now.
    fn less(&self, base: Option<&Self>) -> Self {
        let none = Self::default();
        let base = base.unwrap_or(&none);
        let means = self.means.iter().enumerate().map(|(place, mean)| {
            let before = base.means.get(place).map_or(0.0, |before| before.sum);
            Mean { sum: mean.sum - before, prior: mean.prior }
        });
        Self { count: self.count.saturating_sub(base.count), means: means.collect() }
    }
}
