//! The audit log: what is acknowledged is there and verifies, whatever happens to process, disk or power; and whatever is
//! changed afterwards is found.

mod crash;
mod disk;
mod files;
mod tamper;
mod trouble;

use midstreamer::security::audit::{
    Action, AuditOptions, Entry, Verification, VerifyOptions, verify_directory,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("midstreamer-audit-{}-{:016x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn entry(action: Action, object: impl Into<String>) -> Entry {
    let mut detail = serde_json::Map::new();
    detail.insert("why".to_owned(), "a test".into());
    Entry { actor: "operator".to_owned(), action, object: object.into(), digest: Some([5; 32]), detail }
}

/// With segments of a few entries, and nothing that waits for a clock.
fn small() -> AuditOptions {
    AuditOptions {
        segment_bytes: 1500,
        checkpoint_entries: 4,
        checkpoint_interval: Duration::from_secs(3600),
        note_delay: Duration::ZERO,
        retry: Duration::from_millis(1),
        ..AuditOptions::default()
    }
}

fn verified(shelf: &dyn midstreamer::security::audit::Shelf, key: Option<&str>) -> Verification {
    verify_directory(shelf, &VerifyOptions { public_key: key, anchor: None }).unwrap()
}
