//! The tables that are added to the user's database, all with the prefix `mqs_`; uninstalling removes every one.
//!
//! Versions are INTEGER: they count from 1, and no database lives to see 2^53. Hybrid times use all 64 bits and are BLOBs of
//! eight bytes, big-endian, which sort as they should. Origins are numbered within the file (`mqs_origin.id`; 0 is the
//! baseline), since 16 bytes in each row would cost more than the rest of it.

/// Version of this layout, in `mqs_meta` under `format`.
pub(super) const FORMAT: i64 = 1;

/// Whose share in a counter is the baseline, in `mqs_counter.owner`.
pub(super) const BASELINE: i64 = 0;

/// In `mqs_pending.owner`: the row itself, not a share.
pub(super) const ROW: i64 = -1;

/// Their names.
pub(super) const NAMES: [&str; 10] = [
    "mqs_meta",
    "mqs_table",
    "mqs_dirty",
    "mqs_origin",
    "mqs_row",
    "mqs_counter",
    "mqs_base",
    "mqs_pending",
    "mqs_digest",
    "mqs_peer",
];

/// All tables, without triggers.
pub(super) const TABLES: &str = "
CREATE TABLE mqs_meta(k TEXT NOT NULL PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE mqs_table(tbl INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, fingerprint BLOB, installed INTEGER NOT NULL, after, last INTEGER);
CREATE TABLE mqs_dirty(tbl INTEGER NOT NULL, rid NOT NULL, PRIMARY KEY(tbl, rid)) WITHOUT ROWID;
CREATE TABLE mqs_origin(id INTEGER PRIMARY KEY, origin BLOB NOT NULL UNIQUE, head INTEGER NOT NULL, floor INTEGER NOT NULL, lineage BLOB NOT NULL);
CREATE TABLE mqs_row(gid BLOB NOT NULL PRIMARY KEY, tbl INTEGER NOT NULL, rid, hlc BLOB NOT NULL, origin INTEGER NOT NULL,
  version INTEGER NOT NULL, fingerprint BLOB NOT NULL, shown BLOB) WITHOUT ROWID;
CREATE UNIQUE INDEX mqs_row_local ON mqs_row(tbl, rid) WHERE rid IS NOT NULL;
CREATE INDEX mqs_row_version ON mqs_row(origin, version);
CREATE TABLE mqs_counter(gid BLOB NOT NULL, owner INTEGER NOT NULL, hlc BLOB NOT NULL, origin INTEGER NOT NULL, version INTEGER NOT NULL,
  share BLOB NOT NULL, PRIMARY KEY(gid, owner)) WITHOUT ROWID;
CREATE INDEX mqs_counter_version ON mqs_counter(origin, version);
CREATE TABLE mqs_base(gid BLOB NOT NULL, life INTEGER NOT NULL, share BLOB, PRIMARY KEY(gid, life)) WITHOUT ROWID;
CREATE TABLE mqs_pending(gid BLOB NOT NULL, owner INTEGER NOT NULL, hlc BLOB NOT NULL, origin INTEGER NOT NULL, version INTEGER NOT NULL,
  tbl BLOB NOT NULL, body BLOB, reason INTEGER NOT NULL, waits BLOB, PRIMARY KEY(gid, owner)) WITHOUT ROWID;
CREATE INDEX mqs_pending_version ON mqs_pending(origin, version);
CREATE INDEX mqs_pending_waits ON mqs_pending(waits) WHERE waits IS NOT NULL;
CREATE TABLE mqs_digest(bucket INTEGER NOT NULL PRIMARY KEY, sum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE mqs_peer(peer TEXT NOT NULL, origin INTEGER NOT NULL, version INTEGER NOT NULL, heard INTEGER NOT NULL, PRIMARY KEY(peer, origin)) WITHOUT ROWID;
";
