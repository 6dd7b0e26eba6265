//! What this replica has, in sums and lists: for a peer that doubts whether both have the same.

use super::states::gid_of;
use super::{Replica, layout};
use crate::sync::component::Slot;
use crate::sync::database::{Database, Value};
use crate::sync::store::{Known, StoreError};

impl Replica {
    /// As [`crate::sync::store::Store::bucket`]: of each component the state that is true, whether it is shown or waits.
    pub(super) fn bucket_states(
        &mut self,
        database: &mut dyn Database,
        bucket: u8,
    ) -> Result<Vec<Known>, StoreError> {
        let parameter = [Value::Blob(vec![bucket])];
        let sql = format!(
            "SELECT gid, {row}, hlc, origin, version FROM mqs_row WHERE substr(gid, 16, 1) = ?1
             UNION ALL SELECT gid, owner, hlc, origin, version FROM mqs_counter WHERE substr(gid, 16, 1) = ?1
             UNION ALL SELECT gid, owner, hlc, origin, version FROM mqs_pending WHERE substr(gid, 16, 1) = ?1",
            row = layout::ROW
        );
        let mut states = Vec::new();
        for row in database.query(&sql, &parameter)? {
            let [gid, Value::Integer(owner), hlc, origin, version] = row.as_slice() else {
                return Err(StoreError::Corrupt("a component's state"));
            };
            let slot = if *owner == layout::ROW { Slot::Row } else { Slot::Share(self.origin(*owner)?) };
            states.push(Known { gid: gid_of(gid)?, slot, stamp: self.stamp_of(hlc, origin, version)? });
        }
        states.sort_by_key(|known| (known.gid, known.slot, std::cmp::Reverse(known.stamp)));
        states.dedup_by_key(|known| (known.gid, known.slot));
        Ok(states)
    }
}
