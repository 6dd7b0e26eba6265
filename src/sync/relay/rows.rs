//! Keys and values of a relay's tables. Numbers in keys are big-endian, so that they sort; in values little-endian.

use super::store::RelayStoreError;
use crate::sync::clock::Hlc;
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::identity::{Gid, Origin, TableId};
use crate::sync::lineage;
use crate::sync::store::OriginState;

/// Of a database's keys.
pub(super) const PREFIX: usize = 4;
/// database, bucket, gid, slot.
const ROW_KEY: usize = PREFIX + 18;
/// table, hlc, origin, version, whether there is a body.
const HEAD: usize = 8 + 8 + 16 + 8 + 1;

pub(super) fn damaged(what: &str) -> RelayStoreError {
    RelayStoreError::Corrupt(what.to_owned())
}

/// What all keys of a database begin with.
pub(super) const fn prefix(database: u32) -> [u8; PREFIX] {
    database.to_be_bytes()
}

/// The first key after all that begin with `key`.
pub(super) fn after_all(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

pub(super) fn bucket_key(database: u32, bucket: u8) -> Vec<u8> {
    let mut key = prefix(database).to_vec();
    key.push(bucket);
    key
}

/// All components of a row begin with it.
pub(super) fn gid_key(database: u32, gid: Gid) -> Vec<u8> {
    let mut key = bucket_key(database, gid.bucket());
    key.extend_from_slice(&gid.0);
    key
}

pub(super) fn component_key(database: u32, gid: Gid, slot: Slot) -> Vec<u8> {
    let mut key = gid_key(database, gid);
    match slot {
        Slot::Row => key.push(0),
        Slot::Share(owner) => {
            key.push(1);
            key.extend_from_slice(&owner.0);
        }
    }
    key
}

pub(super) fn place_of(key: &[u8]) -> Result<(Gid, Slot), RelayStoreError> {
    let read = || {
        let gid = Gid::from_slice(key.get(PREFIX + 1..PREFIX + 17)?)?;
        match (key.get(ROW_KEY - 1)?, key.get(ROW_KEY..)?) {
            (0, []) => Some((gid, Slot::Row)),
            (1, owner) => Some((gid, Slot::Share(Origin::from_slice(owner)?))),
            _ => None,
        }
    };
    read().ok_or_else(|| damaged("the key of a component"))
}

pub(super) fn version_key(database: u32, origin: Origin, version: u64) -> Vec<u8> {
    let mut key = origin_key(database, origin);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

pub(super) fn origin_key(database: u32, origin: Origin) -> Vec<u8> {
    let mut key = prefix(database).to_vec();
    key.extend_from_slice(&origin.0);
    key
}

pub(super) fn member_key(database: u32, node: &str) -> Vec<u8> {
    let mut key = prefix(database).to_vec();
    key.extend_from_slice(node.as_bytes());
    key
}

pub(super) fn component_value(component: &Component) -> Vec<u8> {
    let body = component.body.as_deref();
    let mut value = Vec::with_capacity(HEAD + body.map_or(0, <[u8]>::len));
    value.extend_from_slice(&component.table.0);
    value.extend_from_slice(&component.stamp.hlc.0.to_le_bytes());
    value.extend_from_slice(&component.stamp.origin.0);
    value.extend_from_slice(&component.stamp.version.to_le_bytes());
    value.push(u8::from(body.is_some()));
    value.extend_from_slice(body.unwrap_or_default());
    value
}

/// Stamp and whether it is a tombstone, of a component's value.
pub(super) fn stamp_of(value: &[u8]) -> Result<(Stamp, bool), RelayStoreError> {
    let read = || {
        let hlc = Hlc(u64::from_le_bytes(value.get(8..16)?.try_into().ok()?));
        let origin = Origin::from_slice(value.get(16..32)?)?;
        let version = u64::from_le_bytes(value.get(32..40)?.try_into().ok()?);
        let tombstone = match (value.get(40)?, value.len()) {
            (0, HEAD) => true,
            (1, _) => false,
            _ => return None,
        };
        Some((Stamp { hlc, origin, version }, tombstone))
    };
    read().ok_or_else(|| damaged("a component"))
}

/// Of a component's value.
pub(super) const fn body_length(value: &[u8]) -> usize {
    value.len().saturating_sub(HEAD)
}

pub(super) fn component(gid: Gid, slot: Slot, value: &[u8]) -> Result<Component, RelayStoreError> {
    let (stamp, tombstone) = stamp_of(value)?;
    let table = value.get(..8).and_then(TableId::from_slice).ok_or_else(|| damaged("a component's table"))?;
    let body = (!tombstone).then(|| value.get(HEAD..).unwrap_or_default().to_vec());
    Ok(Component { gid, slot, table, stamp, body })
}

pub(super) fn origin_value(state: &OriginState) -> Vec<u8> {
    let mut value = state.head.to_le_bytes().to_vec();
    value.extend_from_slice(&state.floor.to_le_bytes());
    value.extend_from_slice(&lineage::encode(&state.lineage));
    value
}

pub(super) fn origin_state(key: &[u8], value: &[u8]) -> Result<OriginState, RelayStoreError> {
    let read = || {
        let origin = Origin::from_slice(key.get(PREFIX..)?)?;
        let head = u64::from_le_bytes(value.get(..8)?.try_into().ok()?);
        let floor = u64::from_le_bytes(value.get(8..16)?.try_into().ok()?);
        Some(OriginState { origin, head, floor, lineage: lineage::decode(value.get(16..)?)? })
    };
    read().ok_or_else(|| damaged("an origin"))
}

/// A time, and a version of some origins: of members and of cuts.
pub(super) fn heads_value<'a>(time_ms: u64, heads: impl Iterator<Item = (&'a Origin, &'a u64)>) -> Vec<u8> {
    let mut value = time_ms.to_le_bytes().to_vec();
    for (origin, version) in heads {
        value.extend_from_slice(&origin.0);
        value.extend_from_slice(&version.to_le_bytes());
    }
    value
}

pub(super) fn heads(value: &[u8]) -> Result<(u64, std::collections::BTreeMap<Origin, u64>), RelayStoreError> {
    let read = || {
        let (time, rest) = value.split_first_chunk::<8>()?;
        let heads = rest.chunks(24).map(|entry| {
            let version = u64::from_le_bytes(entry.get(16..)?.try_into().ok()?);
            Some((Origin::from_slice(entry.get(..16)?)?, version))
        });
        Some((u64::from_le_bytes(*time), heads.collect::<Option<_>>()?))
    };
    read().ok_or_else(|| damaged("a list of heads"))
}
