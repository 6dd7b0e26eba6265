//! Stamps, keys and components within messages.

use super::WireError;
use super::bytes::{Input, put_bytes, put_varint};
use super::message::Key;
use crate::sync::clock::Hlc;
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::identity::{Gid, Incarnation, Origin, TableId};
use crate::sync::store::{Delta, Known, LIVES, Life, OriginState};

/// gid, slot.
const KEY: usize = 17;
/// hlc, origin, version.
const STAMP: usize = 25;
/// Of a delta: key, table, hlc, version, body.
const OWN_COMPONENT: usize = KEY + 8 + 8 + 1 + 1;
/// Of any origin.
const COMPONENT: usize = KEY + 8 + STAMP + 1;
/// origin, head, floor, lives.
const STATE: usize = 16 + 3;

pub(super) fn put_key(out: &mut Vec<u8>, key: Key) {
    out.extend_from_slice(&key.0.0);
    match key.1 {
        Slot::Row => out.push(0),
        Slot::Share(owner) => {
            out.push(1);
            out.extend_from_slice(&owner.0);
        }
    }
}

pub(super) fn key(input: &mut Input<'_>) -> Result<Key, WireError> {
    let gid = Gid(input.array()?);
    let slot = match input.byte()? {
        0 => Slot::Row,
        1 => Slot::Share(Origin(input.array()?)),
        _ => return Err(WireError::Malformed),
    };
    Ok((gid, slot))
}

pub(super) fn put_keys(out: &mut Vec<u8>, keys: &[Key]) {
    put_varint(out, keys.len() as u64);
    keys.iter().for_each(|&each| put_key(out, each));
}

pub(super) fn keys(input: &mut Input<'_>) -> Result<Vec<Key>, WireError> {
    (0..input.count(KEY)?).map(|_| key(input)).collect()
}

fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    out.extend_from_slice(&stamp.hlc.0.to_le_bytes());
    out.extend_from_slice(&stamp.origin.0);
    put_varint(out, stamp.version);
}

fn stamp(input: &mut Input<'_>) -> Result<Stamp, WireError> {
    let (hlc, origin) = (Hlc(input.u64()?), origin(input)?);
    Ok(Stamp { hlc, origin, version: published(input)? })
}

/// One that writes: the baseline publishes nothing.
pub(super) fn origin(input: &mut Input<'_>) -> Result<Origin, WireError> {
    let origin = Origin(input.array()?);
    if origin == Origin::BASELINE { Err(WireError::Malformed) } else { Ok(origin) }
}

/// A version of something that was published: from 1.
fn published(input: &mut Input<'_>) -> Result<u64, WireError> {
    match input.version()? {
        0 => Err(WireError::Malformed),
        version => Ok(version),
    }
}

pub(super) fn put_known(out: &mut Vec<u8>, known: &[Known]) {
    put_varint(out, known.len() as u64);
    for each in known {
        put_key(out, (each.gid, each.slot));
        put_stamp(out, each.stamp);
    }
}

/// In the order of their keys, all in one bucket.
pub(super) fn known(input: &mut Input<'_>, bucket: u8) -> Result<Vec<Known>, WireError> {
    let count = input.count(KEY + STAMP)?;
    let mut all: Vec<Known> = Vec::with_capacity(count);
    for _ in 0..count {
        let ((gid, slot), stamp) = (key(input)?, stamp(input)?);
        let follows = all.last().is_none_or(|last| (last.gid, last.slot) < (gid, slot));
        if !follows || gid.bucket() != bucket {
            return Err(WireError::Malformed);
        }
        all.push(Known { gid, slot, stamp });
    }
    Ok(all)
}

fn put_body(out: &mut Vec<u8>, body: Option<&[u8]>) {
    out.push(u8::from(body.is_some()));
    if let Some(body) = body {
        put_bytes(out, body);
    }
}

/// A share has a body: nobody deletes what was counted.
fn body(input: &mut Input<'_>, slot: Slot) -> Result<Option<Vec<u8>>, WireError> {
    match (input.flag()?, slot) {
        (true, _) => Ok(Some(input.bytes()?.to_vec())),
        (false, Slot::Row) => Ok(None),
        (false, Slot::Share(_)) => Err(WireError::Malformed),
    }
}

pub(super) fn put_components(out: &mut Vec<u8>, components: &[Component]) {
    put_varint(out, components.len() as u64);
    for each in components {
        put_key(out, (each.gid, each.slot));
        out.extend_from_slice(&each.table.0);
        put_stamp(out, each.stamp);
        put_body(out, each.body.as_deref());
    }
}

pub(super) fn components(input: &mut Input<'_>) -> Result<Vec<Component>, WireError> {
    (0..input.count(COMPONENT)?)
        .map(|_| {
            let ((gid, slot), table) = (key(input)?, TableId(input.array()?));
            let stamp = stamp(input)?;
            Ok(Component { gid, slot, table, stamp, body: body(input, slot)? })
        })
        .collect()
}

/// The origin once, versions as what they are above the one before.
pub(super) fn put_delta(out: &mut Vec<u8>, delta: &Delta) {
    out.extend_from_slice(&delta.origin.0);
    put_varint(out, delta.after);
    put_varint(out, delta.to);
    put_varint(out, delta.components.len() as u64);
    let mut before = delta.after;
    for each in &delta.components {
        put_key(out, (each.gid, each.slot));
        out.extend_from_slice(&each.table.0);
        out.extend_from_slice(&each.stamp.hlc.0.to_le_bytes());
        put_varint(out, each.stamp.version.saturating_sub(before));
        before = each.stamp.version;
        put_body(out, each.body.as_deref());
    }
}

pub(super) fn delta(input: &mut Input<'_>) -> Result<Delta, WireError> {
    let (origin, after, to) = (origin(input)?, input.version()?, input.version()?);
    let count = input.count(OWN_COMPONENT)?;
    if to <= after {
        return Err(WireError::Malformed);
    }
    let mut components = Vec::with_capacity(count);
    let mut version = after;
    for _ in 0..count {
        let ((gid, slot), table, hlc) = (key(input)?, TableId(input.array()?), Hlc(input.u64()?));
        version += published(input)?;
        if version > to {
            return Err(WireError::Malformed);
        }
        let stamp = Stamp { hlc, origin, version };
        components.push(Component { gid, slot, table, stamp, body: body(input, slot)? });
    }
    Ok(Delta { origin, after, to, components })
}

pub(super) fn put_states(out: &mut Vec<u8>, states: &[OriginState]) {
    put_varint(out, states.len() as u64);
    for state in states {
        out.extend_from_slice(&state.origin.0);
        put_varint(out, state.head);
        put_varint(out, state.floor);
        let lives = &state.lineage[state.lineage.len().saturating_sub(LIVES)..];
        put_varint(out, lives.len() as u64);
        for life in lives {
            out.extend_from_slice(&life.incarnation.0);
            put_varint(out, life.start);
        }
    }
}

/// Each origin once, in their order; lives in the order in which they began; no floor above its head.
pub(super) fn states(input: &mut Input<'_>) -> Result<Vec<OriginState>, WireError> {
    let count = input.count(STATE)?;
    let mut all: Vec<OriginState> = Vec::with_capacity(count);
    for _ in 0..count {
        let (origin, head, floor) = (origin(input)?, input.version()?, input.version()?);
        let lives = input.count(9)?;
        if lives > LIVES || floor > head || all.last().is_some_and(|last| last.origin >= origin) {
            return Err(WireError::Malformed);
        }
        let mut lineage: Vec<Life> = Vec::with_capacity(lives);
        for _ in 0..lives {
            let life = Life { incarnation: Incarnation(input.array()?), start: input.version()? };
            if lineage.last().is_some_and(|last| last.start > life.start) {
                return Err(WireError::Malformed);
            }
            lineage.push(life);
        }
        all.push(OriginState { origin, head, floor, lineage });
    }
    Ok(all)
}
