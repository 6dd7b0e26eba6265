//! The end of tombstones. A relay notes all heads at one time (a *cut*). When every member has all of that, and the cut is old
//! enough, the tombstones below it go, and the cut becomes the floors.
//!
//! All origins move together: a row that was written below the cut by one origin and deleted below it by another is gone
//! everywhere, and whoever still has it sees by the floor of its writer that it was deleted.

use super::database::Replicated;
use super::rows;
use super::store::{RelayStore, RelayStoreError, Table};
use super::view::View;
use crate::sync::store::Store;

/// A node that was not heard of for so long is no member: it compares all it has when it comes back.
pub const MEMBER_MS: u64 = 30 * 24 * 3_600_000;
/// A tombstone is kept for so long at least.
pub const KEPT_MS: u64 = 7 * 24 * 3_600_000;

/// Does what is due. Says whether floors have moved.
pub(super) fn advance(
    store: &mut dyn RelayStore,
    database: &mut Replicated,
    now_ms: u64,
) -> Result<bool, RelayStoreError> {
    let Some((taken_ms, heads)) = &database.cut else {
        if database.origins.values().any(|state| state.head > state.floor) {
            let heads = database.origins.iter().map(|(origin, state)| (*origin, state.head)).collect();
            keep_cut(store, database, Some((now_ms, heads)))?;
        }
        return Ok(false);
    };
    if now_ms < taken_ms.saturating_add(KEPT_MS) {
        return Ok(false);
    }
    let mut members = database
        .members
        .values()
        .filter(|member| member.heard_ms.saturating_add(MEMBER_MS) > now_ms)
        .peekable();
    // With nobody to ask, nobody has it.
    if members.peek().is_none() {
        return Ok(false);
    }
    let has = |member: &super::database::Member| {
        heads.iter().all(|(origin, version)| member.heads.get(origin).copied().unwrap_or(0) >= *version)
    };
    if !members.all(has) {
        return Ok(false);
    }
    let heads = heads.clone();
    for (origin, version) in heads {
        View::new(store, database, false)
            .collect(origin, version)
            .map_err(|error| RelayStoreError::Failed(error.to_string()))?;
    }
    keep_cut(store, database, None)?;
    Ok(true)
}

fn keep_cut(
    store: &mut dyn RelayStore,
    database: &mut Replicated,
    cut: Option<(u64, std::collections::BTreeMap<crate::sync::identity::Origin, u64>)>,
) -> Result<(), RelayStoreError> {
    let key = rows::prefix(database.number);
    match &cut {
        Some((taken_ms, heads)) => {
            store.put(Table::Cuts, &key, &rows::heads_value(*taken_ms, heads.iter()))?
        }
        None => store.remove(Table::Cuts, &key)?,
    }
    database.cut = cut;
    Ok(())
}
